"""The first word is not lost: from the microphone to the far end, sample by sample."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.speech import load_speech
from tests.support.world import World, answering, live

HZ = 24_000
WINDOW = HZ // 10


def telephone(sound: NDArray[np.int16]) -> NDArray[np.float64]:
    """Return 24 kHz sound below 5 kHz: what every filter on the way leaves alone."""
    spectrum = np.fft.rfft(sound.astype(np.float64))
    spectrum[round(5000 * len(sound) / HZ) :] = 0
    return np.fft.irfft(spectrum, len(sound))


def place_of(words: NDArray[np.float64], heard: NDArray[np.float64]) -> int:
    """Return where in `heard` the words begin (negative: their beginning is missing)."""
    size = 1 << (len(heard) + len(words)).bit_length()
    match = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(words, size)))
    at = int(np.argmax(match))
    return at if at < len(heard) else at - size


@pytest.mark.parametrize("connect_s", [0.0, 0.4, 2.0, 5.0])
def test_all_from_the_preroll_on_reaches_the_agent(tmp_path: Path, connect_s: float):
    async def main(world: World) -> tuple[float, float, NDArray[np.int16]]:
        start_s, _ = world.say("user_wake_time", at_s=1.5)
        await world.reach("listening")
        decided_s = world.line("wake")["position"] / 16_000 + world.mic.time_of(0)
        await world.until(lambda: world.has("transcript", who="user", final=True), 30)
        return start_s, decided_s, world.received()

    start_s, decided_s, received = live(
        main, tmp_path, plan=answering("agent_short", ready_delay_s=connect_s)
    )

    words = telephone(load_speech("user_wake_time").at_rate(HZ))
    heard = telephone(received)
    at = place_of(words, heard)
    # it begins where it was promised: 300 ms before the decision (the resamplers hold back 2-3 ms)
    began_s = start_s - at / HZ
    assert began_s == pytest.approx(decided_s - 0.3, abs=0.006)
    # and from there on nothing is missing, doubled or out of place
    for begin in range(max(0, -at), len(words) - WINDOW, WINDOW):
        expected, got = words[begin : begin + WINDOW], heard[at + begin : at + begin + WINDOW]
        if np.abs(expected).max() > 500:
            assert np.corrcoef(expected, got)[0, 1] > 0.98, f"{begin / HZ:.1f} s into the words"


def test_a_slow_connect_loses_nothing_that_is_said_meanwhile(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    async def main(world: World) -> tuple[int, object]:
        world.say("user_wake_time", at_s=1.5)
        await world.reach("listening")
        await world.until(lambda: world.daemon.turn.link.value == "up", 15)
        return world.daemon.uplink.dropped_frames, world.daemon.session.status()["dropped_s"]

    with caplog.at_level(logging.WARNING):
        dropped = live(main, tmp_path, plan=answering("agent_short", ready_delay_s=9.0))

    assert dropped == (0, 0.0)
    assert "is lost" not in caplog.text
