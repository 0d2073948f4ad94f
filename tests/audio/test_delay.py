"""The delay of the echo is found to the millisecond, or not at all."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from pivoice.audio.buffers import EAR_HZ
from pivoice.audio.delay import EchoDelay
from pivoice.audio.pcm import Samples
from tests.support.rooms import Room
from tests.support.speech import load_speech

PERIOD = EAR_HZ // 50
OWN_MS = 0.9  # 12 cm of air, and what the simulated loudspeaker and its filters hold back


@lru_cache
def agent(seconds: float) -> Samples:
    return load_speech("agent_long").at_rate(EAR_HZ)[: round(seconds * EAR_HZ)]


@lru_cache
def user() -> Samples:
    return np.tile(load_speech("user_barge").at_rate(EAR_HZ), 3)


def heard(near: Samples, far: Samples, delay: EchoDelay) -> EchoDelay:
    for start in range(0, len(far) // PERIOD * PERIOD, PERIOD):
        delay.hear(near[start : start + PERIOD], far[start : start + PERIOD])
    return delay


@pytest.mark.parametrize("distortion", ["mild", "strong"])
@pytest.mark.parametrize("delay_ms", [0, 20, 130, 250, 440])
def test_the_delay_is_known_to_a_millisecond_within_two_seconds(distortion, delay_ms):
    near = Room(1, distortion, delay_ms).microphone(agent(2.0))

    delay = heard(near, agent(2.0), EchoDelay())

    assert delay.delay_s is not None
    assert delay.delay_s * 1000 == pytest.approx(delay_ms + OWN_MS, abs=1.0)


@pytest.mark.parametrize("noise_db", [-65, -40])
def test_a_user_who_talks_as_loud_as_the_echo_does_not_mislead_it(noise_db):
    room = Room(2, "strong", 120, noise_db)
    near = room.microphone(agent(4.0), (0.0, room.voice(user(), 0)))

    delay = heard(near, agent(4.0), EchoDelay())

    assert delay.delay_s is not None
    assert delay.delay_s * 1000 == pytest.approx(120 + OWN_MS, abs=1.0)


def test_a_user_alone_has_no_delay():
    room = Room(0)
    near = room.microphone(np.zeros(len(agent(8.0)), np.int16), (0.0, room.voice(user(), 0)))

    assert heard(near, agent(8.0), EchoDelay()).delay_s is None


def test_silence_has_no_delay():
    silence = np.zeros(4 * EAR_HZ, np.int16)

    assert heard(silence, silence, EchoDelay()).delay_s is None


def test_a_tone_that_never_changes_has_no_delay():
    tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(3 * EAR_HZ) / EAR_HZ)).astype(np.int16)
    tone[: EAR_HZ // 2] = tone[: EAR_HZ // 2] * np.linspace(0, 1, EAR_HZ // 2)

    assert heard(Room().microphone(tone), tone, EchoDelay()).delay_s is None


def test_a_delay_that_moved_is_followed():
    delay = heard(Room(delay_ms=60).microphone(agent(3.0)), agent(3.0), EchoDelay())

    heard(Room(delay_ms=180).microphone(agent(8.0)), agent(8.0), delay)

    assert delay.delay_s is not None
    assert delay.delay_s * 1000 == pytest.approx(180 + OWN_MS, abs=1.0)


def test_a_delay_in_doubt_is_found_anew_within_two_seconds_and_goes_on_meanwhile():
    delay = heard(Room(delay_ms=60).microphone(agent(3.0)), agent(3.0), EchoDelay())
    known_s = delay.delay_s

    delay.doubt()
    meanwhile_s = delay.delay_s
    heard(Room(delay_ms=30).microphone(agent(2.0)), agent(2.0), delay)

    assert meanwhile_s == known_s
    assert delay.delay_s is not None
    assert delay.delay_s * 1000 == pytest.approx(30 + OWN_MS, abs=1.0)


def test_looks_are_rare_once_the_delay_is_known(monkeypatch):
    far = agent(13.0)
    near = Room().microphone(far)
    looks: list[int | None] = []
    once = EchoDelay._look
    monkeypatch.setattr(EchoDelay, "_look", lambda self: looks.append(once(self)) or looks[-1])

    heard(near, far, EchoDelay())

    assert 5 <= len(looks) <= 10


def test_a_pause_makes_the_next_reply_confirm_the_delay_at_once():
    delay = heard(Room(delay_ms=60).microphone(agent(3.0)), agent(3.0), EchoDelay())
    heard(np.zeros(EAR_HZ * 2, np.int16), np.zeros(EAR_HZ * 2, np.int16), delay)

    heard(Room(delay_ms=64).microphone(agent(1.5)), agent(1.5), delay)

    assert delay.delay_s is not None
    assert delay.delay_s * 1000 == pytest.approx(64 + OWN_MS, abs=0.5)
