"""Half a day in seconds: the real daemon, its threads and its socket, in time that jumps.

Whole days, with all that can go wrong in them: test_soak.py.
"""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pivoice import fitting
from pivoice.commands import status
from pivoice.wake.simulated import SimulatedDetector
from tests.support.soak.ground import LoudGate
from tests.support.speech import load_speech
from tests.support.world import World, answering, live

HOUR_S = 3600.0
TOML = '[audio]\necho = "none"\n'
PERIOD_MS = 800  # no card has such, but half a day is 2.2 million of 20 ms and 54,000 of these
LOUD_WAKE = np.full(2400, 30_000, np.int16)  # 0.1 s that the simulated detector takes for the wake word
KNOCK = LOUD_WAKE[:120]  # for the detector, too, but nobody takes it for speech


@pytest.mark.timeout(300)
def test_half_a_day_with_a_conversation_every_hour_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(fitting, "EnergyGate", partial(LoudGate, block_s=PERIOD_MS / 1000))
    question = load_speech("user_weather").at_rate(24_000)
    breath = np.concatenate([LOUD_WAKE, np.zeros(1200, np.int16), question])

    async def main(world: World) -> None:
        for hour in range(12):
            world.say(breath, at_s=hour * HOUR_S + 600)
        for at_s in (1800, 12_000, 20_000, 40_000):
            world.say(KNOCK, at_s=at_s)
        await asyncio.sleep(5.5 * HOUR_S)
        world.agent.drop()  # nobody is connected: nothing happens
        await asyncio.sleep(6.5 * HOUR_S - world.loop.time() % 1)

        sessions = list(world.agent.sessions.values())
        open_s = sum(
            seconds for seconds in (each.arrivals[-1][0] - each.began_s for each in sessions if each.arrivals)
        )
        assert len(sessions) == 12 + 4
        assert not world.agent.open_sessions and world.agent.open_sockets == 0
        assert open_s < 16 * 30, "a session stayed open"
        assert sum(each["event"] == "state" and each["state"] == "speaking" for each in world.lines) == 12
        assert world.state == "idle"
        assert world.daemon.ears.xruns == 0
        assert len(asyncio.all_tasks(world.loop)) < 12, "tasks pile up"
        assert not world.agent.violations

    detectors = SimulatedDetector(loud_lsb=29_000, memory_blocks=25), SimulatedDetector()
    live(main, tmp_path, toml=TOML, period_ms=PERIOD_MS, plan=answering("agent_weather"), detectors=detectors)


def test_a_microphone_unplugged_for_an_hour_is_found_again_and_was_complained_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    async def main(world: World) -> None:
        await asyncio.sleep(60)
        world.mic.unplug()
        await asyncio.sleep(1)
        assert "no_microphone" in status(world.daemon)["conditions"]

        await asyncio.sleep(HOUR_S)
        world.mic.replug()
        await asyncio.sleep(6)

        assert status(world.daemon)["hears"]
        assert sum("No such device" in each.getMessage() for each in caplog.records) == 1

    live(main, tmp_path, toml=TOML, period_ms=PERIOD_MS, detectors=(SimulatedDetector(), SimulatedDetector()))
