"""What goes wrong ends in a state, a sentence and a closed socket; never in waiting, deafness or a storm."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pivoice.agent.simulated_plan import ScriptedCall, Turn
from pivoice.turn import actions
from pivoice.turn.events import ButtonPressed, MuteChanged
from tests.support.world import World, answering, live


def test_a_session_that_the_server_ends_in_mid_reply_plays_out_and_is_over(tmp_path: Path):
    async def main(world: World) -> None:
        world.say("user_wake_time")
        await world.reach("speaking")
        await asyncio.sleep(1)

        world.agent.session.end()
        await world.agent.session.send("session.ended", session_duration_seconds=3.0)
        ended_s = world.loop.time()
        await world.reach("idle", 10)

        assert world.loop.time() - ended_s < 5
        assert world.agent.open_sockets == 0
        assert not world.daemon.turn.conditions, "the network is there: the light must not say otherwise"

    live(main, tmp_path, plan=answering("agent_long"))


def test_a_tool_call_that_the_user_cuts_short_is_answered_all_the_same(tmp_path: Path):
    plan = answering("agent_short", "agent_long")
    plan.turns[0] = Turn(plan.turns[0].voice, "time", tools=(ScriptedCall("get_time", {}),))

    async def main(world: World) -> None:
        slow = asyncio.Event()

        async def never(*_: object) -> None:
            await slow.wait()

        world.daemon.toolbox.registry.run = never  # type: ignore[method-assign, assignment]
        world.say("user_wake_time")
        await world.until(lambda: len(world.daemon.toolbox.runs) > 0, 10)

        world.daemon.post(ButtonPressed())
        await asyncio.sleep(2)

        (result,) = world.agent.session.results.values()
        assert result["is_error"] is True
        assert len(world.daemon.toolbox.runs) == 0

    live(main, tmp_path, plan=plan)


def test_an_action_that_goes_wrong_leaves_no_conversation_without_an_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    async def main(world: World) -> None:
        def broken(name: str) -> None:
            raise RuntimeError("no such sound")

        world.daemon.mouth.chime = broken  # type: ignore[method-assign]
        world.daemon.post(ButtonPressed())

        assert world.state == "listening"
        await world.reach("idle", 15)
        await asyncio.sleep(1)
        assert world.agent.open_sockets == 0

    live(main, tmp_path, toml="[agent]\nlinger = false\n")

    assert str(actions.Chime("wake")) in caplog.text


@pytest.mark.parametrize("pause_s", [0.0, 0.001, 0.02, 0.3])
def test_quick_mutes_and_unmutes_end_in_an_open_microphone(tmp_path: Path, pause_s: float):
    async def main(world: World) -> None:
        for _ in range(20):
            world.daemon.post(MuteChanged(on=True))
            await asyncio.sleep(pause_s)
            world.daemon.post(MuteChanged(on=False))
            await asyncio.sleep(pause_s)
        await asyncio.sleep(1)

        beats = world.daemon.ears.beats
        await asyncio.sleep(1)
        assert world.daemon.seen.hears
        assert world.daemon.ears.beats > beats

    live(main, tmp_path)


def test_nothing_is_opened_while_the_daemon_closes(tmp_path: Path):
    async def main(world: World) -> None:
        world.daemon.stop()
        await asyncio.sleep(0)
        world.daemon.post(ButtonPressed())
        await asyncio.sleep(1)

        assert world.agent.connections == 0

    live(main, tmp_path)


def test_a_server_that_freezes_does_not_hold_up_the_end(tmp_path: Path):
    async def main(world: World) -> None:
        world.say("user_wake_time")
        await world.reach("speaking")

        async def deaf(*_: object) -> None:
            await asyncio.sleep(3600)

        world.agent.session.hear = deaf  # type: ignore[method-assign]
        asked_s = world.loop.time()
        world.daemon.stop()
        await world._running

        assert world.loop.time() - asked_s < 3.0
        assert world.mic.in_use is None and world.speaker.in_use is None

    live(main, tmp_path, plan=answering("agent_long"))
