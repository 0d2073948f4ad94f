"""Timers in the whole device: the agent sets one, it rings with light and sound, and a person ends it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pivoice.agent.simulated import Plan
from pivoice.agent.simulated_plan import ScriptedCall
from pivoice.panel.simulated import SimulatedPanel
from tests.support.world import World, answering, live

SOUND = 300  # of samples: what an earcon is above, and silence is not


def panel_of(world: World) -> SimulatedPanel:
    panel = world.daemon.panel
    assert isinstance(panel, SimulatedPanel)
    return panel


def is_loud(world: World, from_s: float, to_s: float) -> bool:
    return bool(np.abs(world.heard(from_s, to_s).astype(int)).max(initial=0) > SOUND)


def calling(tool: str, **arguments: object) -> Plan:
    """Return a plan whose agent uses a tool, and then answers."""
    plan = answering("agent_short", "agent_short")
    plan.turns[0] = replace(plan.turns[0], tools=(ScriptedCall(tool, dict(arguments)),))
    return plan


async def set_by_voice(world: World) -> float:
    """Ask the agent; return when the timer was set, once the conversation is over."""
    world.say("user_wake_time")
    await world.until(lambda: bool(world.daemon.toolbox.timers.entries), 20)
    set_s = world.loop.time()
    await world.reach("idle", 120)
    return set_s


async def names(world: World) -> list[str]:
    return [each["name"] for each in (await world.ask("timers"))["timers"]]


def test_a_timer_that_the_agent_set_rings_long_after_the_conversation_until_a_press(tmp_path: Path):
    async def main(world: World) -> None:
        set_s = await set_by_voice(world)
        rings_s = set_s + 60
        await asyncio.sleep(rings_s - world.loop.time() - 1)
        assert not world.daemon.turn.ringing
        await asyncio.sleep(11)
        assert panel_of(world).shown[-1].name == "ringing"
        assert not is_loud(world, rings_s - 10, rings_s - 0.1)
        assert is_loud(world, rings_s, rings_s + 10)
        (timer,) = (await world.ask("timers"))["timers"]
        assert timer["ringing"]

        panel_of(world).press()
        await asyncio.sleep(0.5)

        assert await names(world) == []
        assert panel_of(world).shown[-1].name == "idle"
        assert world.state == "idle"

    live(main, tmp_path, plan=calling("set_timer", minutes=1, name="eggs"))


def test_the_wake_word_and_the_minutes_end_it_for_good_too(tmp_path: Path):
    async def main(world: World) -> None:
        timers = world.daemon.toolbox.timers
        timers.set_timer(5, "first")
        timers.set_timer(100, "second")
        await asyncio.sleep(8)
        world.say("user_wake")
        await world.until(lambda: not world.daemon.turn.ringing, 10)
        assert await names(world) == ["second"]

        await asyncio.sleep(100 + 30)

        assert await names(world) == []
        assert not world.daemon.turn.ringing

    live(main, tmp_path, toml="[tools]\nring_minutes = 0.5")


def test_the_agent_can_stop_what_rings(tmp_path: Path):
    async def main(world: World) -> None:
        world.say("user_wake_time")
        await world.reach("listening")
        world.daemon.toolbox.timers.set_timer(0.5, "eggs")  # the user is still asking for something
        await world.until(lambda: world.daemon.turn.ringing, 1)

        await world.until(lambda: not world.daemon.turn.ringing, 30)

        assert await names(world) == []
        (result,) = world.agent.session.calls.results.values()
        assert "cancelled" in str(result["result"])

    live(main, tmp_path, plan=calling("cancel_timer"))


def test_timers_outlive_a_reload_and_a_ring_goes_on_after_it(tmp_path: Path):
    async def main(world: World) -> None:
        timers = world.daemon.toolbox.timers
        timers.set_timer(100, "eggs")
        timers.set_timer(1000, "bread")
        await asyncio.sleep(50)
        await reload(world)
        assert await names(world) == ["eggs", "bread"]
        await world.until(lambda: world.daemon.turn.ringing, 60)
        rang_s = world.loop.time()

        await reload(world)

        assert rang_s == pytest.approx(101, abs=2)
        await world.until(lambda: world.daemon.turn.ringing, 10)
        panel_of(world).press()
        await asyncio.sleep(1)
        assert await names(world) == ["bread"]

    live(main, tmp_path)


async def reload(world: World) -> None:
    before = world.daemon
    await world.ask("reload")
    await world.until(lambda: world.daemon is not before and world.daemon.ears.beats > 0, 60)


def test_an_alarm_goes_by_the_wall_clock_when_it_is_set(tmp_path: Path):
    async def main(world: World) -> None:
        answer = await world.ask("call", tool="set_timer", arguments={"at": "12:30"})
        assert "12:30 in the afternoon, today" in answer["result"]
        world.power_on_s += 29 * 60

        await world.until(lambda: world.daemon.turn.ringing, 61)

        assert "12:30" in str((await world.ask("call", tool="get_time", arguments={}))["result"])

    live(main, tmp_path)


def test_an_idle_device_with_nothing_pending_has_no_timer_for_it(tmp_path: Path):
    async def main(world: World) -> None:
        asked = 0
        times = world.daemon.toolbox.timers.times

        def count() -> float:
            nonlocal asked
            asked += 1
            return times.now_s()

        world.daemon.toolbox.timers.times = replace(times, now_s=count)

        await asyncio.sleep(100)

        assert asked == 0

    live(main, tmp_path)
