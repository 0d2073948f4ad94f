"""The day's minutes, seen from the user's side and from the server's."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np

from pivoice.audio.earcons import load_notice
from pivoice.audio.pcm import Samples
from pivoice.turn.events import WakeAsked
from tests.support.world import World, answering, live

ONE_MINUTE = "[agent]\ndaily_minutes = 1.0\n[turn]\nno_speech_s = 120\n"


def likeness(wanted: Samples, heard: Samples) -> float:
    """Return how much of `wanted` is somewhere in `heard`; 1.0: all of it, an earcon beside it or not."""
    size = len(wanted) + len(heard)
    product = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(wanted, size))
    return float(np.fft.irfft(product, size).max() / np.sum(np.square(wanted, dtype=float)))


def test_when_the_day_is_used_up_the_user_hears_why_and_nothing_stays_open(tmp_path: Path):
    async def main(world: World) -> None:
        world.daemon.post(WakeAsked())
        await world.until(lambda: world.has("session", state="lost"), 90)
        lost_s = world.loop.time()
        await asyncio.sleep(10)
        open_sessions = len(world.agent.open_sessions)
        world.daemon.post(WakeAsked())  # and at every other try
        again_s = world.loop.time()
        await asyncio.sleep(10)

        notice = load_notice("cap", world.speaker.rate_hz)
        for since_s in (lost_s, again_s):
            assert likeness(notice, world.heard(since_s - 0.1, since_s + 10)) > 0.95
        assert (open_sessions, world.agent.connections) == (0, 1)

    live(main, tmp_path, toml=ONE_MINUTE, plan=answering("agent_short"))
