"""Hands in the whole device: buttons, switch, volume and tools, with what is sent and what is played."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pivoice.agent.simulated_plan import ScriptedCall
from pivoice.panel.simulated import SimulatedPanel
from pivoice.tools.registry import ToolDefinition
from pivoice.turn.events import TimerRang
from tests.support.world import World, answering, live

HALF = '[audio]\necho = "half_duplex"\n'
TALK = '[[panel.button]]\npin = 5\npress = "push_to_talk"\n'
SWITCH = "[panel]\nmute_switch_pin = 6\n"
CARD_FLOOR = 300  # of samples: what an earcon is above, and silence is not


def panel_of(world: World) -> SimulatedPanel:
    panel = world.daemon.panel
    assert isinstance(panel, SimulatedPanel)
    return panel


def button(world: World, pin: int) -> int:
    return [each.pin for each in world.settings.panel.buttons].index(pin)


def is_loud(world: World, from_s: float, to_s: float) -> bool:
    return bool(np.abs(world.heard(from_s, to_s).astype(int)).max(initial=0) > CARD_FLOOR)


def test_the_voice_goes_up_while_the_button_is_held_and_the_turn_ends_with_it(tmp_path: Path):
    async def main(world: World) -> None:
        talk = button(world, 5)
        start_s = 3.0
        world.say("user_wake_time", at_s=start_s)  # speaks on, far beyond the release
        await asyncio.sleep(start_s + 1.0 - world.loop.time())
        panel_of(world).down(talk)
        await world.until(lambda: world.daemon.turn.link.value == "up", 5)
        await asyncio.sleep(1.5)
        sent = len(world.received())

        panel_of(world).up(talk)

        await asyncio.sleep(0)
        assert world.state == "thinking"
        await asyncio.sleep(2.0)
        after = world.received()[sent:].astype(int)
        held, silent = np.abs(after[:4800]), np.abs(after[12000:])
        assert np.abs(world.received()[:sent].astype(int)).max() > 3000  # the voice
        assert len(silent) > 24_000 and not silent.any()  # zeros, in real time: the server sees the end
        assert held.size

    live(main, tmp_path, toml=HALF + TALK)


def test_the_switch_closes_the_microphone_and_nothing_else_opens_it(tmp_path: Path):
    async def main(world: World) -> None:
        panel_of(world).switch(on=True)
        await world.until(lambda: not world.daemon.ears.is_open, 2)

        answer = await world.ask("unmute")
        panel_of(world).down(0)  # holding the button unmutes, too
        await asyncio.sleep(2)
        panel_of(world).up(0)

        assert not world.daemon.ears.is_open
        assert "the mute switch" in answer["error"]
        assert panel_of(world).shown[-1].name == "muted"
        panel_of(world).switch(on=False)
        await world.until(lambda: world.daemon.ears.is_open, 2)

    live(main, tmp_path, toml=SWITCH)


def test_a_switch_that_mutes_at_the_start_keeps_the_microphone_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(SimulatedPanel, "is_switched_at_first", True)

    async def main(world: World) -> None:
        assert world.daemon.ears.attempts == 0
        panel_of(world).switch(on=False)
        await world.until(lambda: world.daemon.ears.is_open, 2)

    with pytest.raises(AssertionError, match="not within 5 s"):  # no period ever arrives
        live(main, tmp_path, toml=SWITCH)


def test_mute_outlives_the_process_and_unmute_as_well(tmp_path: Path):
    async def mute(world: World) -> None:
        await world.ask("mute")
        await world.until(lambda: not world.daemon.ears.is_open, 2)

    async def unmute(world: World) -> None:
        await world.ask("unmute")
        await world.until(lambda: world.daemon.ears.is_open, 2)

    async def hears(world: World) -> None:
        assert not world.daemon.turn.muted

    live(mute, tmp_path)
    with pytest.raises(AssertionError, match="not within 5 s"):
        live(hears, tmp_path)  # it waits for the first period of sound in vain
    (tmp_path / "records" / "mute.json").write_text('{"muted":false}')
    live(hears, tmp_path)


def test_a_ring_sounds_again_and_again_until_a_press_which_does_nothing_else(tmp_path: Path):
    async def main(world: World) -> None:
        await asyncio.sleep(1)
        rang_s = world.loop.time()
        world.daemon.post(TimerRang("eggs"))
        await asyncio.sleep(30)
        assert panel_of(world).shown[-1].name == "ringing"

        panel_of(world).press()
        pressed_s = world.loop.time()
        await asyncio.sleep(30)

        rings = [is_loud(world, rang_s + s, rang_s + s + 1) for s in range(1, 29)]
        assert 6 <= sum(rings) <= 24 and not all(rings)  # with pauses
        assert not is_loud(world, pressed_s + 2, pressed_s + 29)
        assert world.state == "idle" and world.agent.connections == 0
        assert panel_of(world).shown[-1].name == "idle"

    live(main, tmp_path)


def test_a_ring_is_silenced_by_the_wake_word_alone_and_the_next_one_is_heard(tmp_path: Path):
    async def main(world: World) -> None:
        await asyncio.sleep(1)
        world.daemon.post(TimerRang("eggs"))
        await asyncio.sleep(5)
        world.say("user_wake")
        await world.until(lambda: not world.daemon.turn.ringing, 10)
        assert world.state == "idle"
        await asyncio.sleep(5)

        world.say("user_wake")

        await world.reach("listening")

    live(main, tmp_path)


def test_a_ring_nobody_stops_ends_with_its_minutes(tmp_path: Path):
    async def main(world: World) -> None:
        world.daemon.post(TimerRang("eggs"))
        await asyncio.sleep(0.9 * 60)
        assert world.daemon.turn.ringing
        await asyncio.sleep(0.2 * 60)
        assert not world.daemon.turn.ringing

    live(main, tmp_path, toml="[tools]\nring_minutes = 1")


def test_volume_by_command_is_kept_bounded_and_heard(tmp_path: Path):
    async def main(world: World) -> None:
        answer = await world.ask("volume", value="40")
        assert answer["volume"] == 40
        assert (await world.ask("volume", value="+100"))["volume"] == 70
        assert (await world.ask("volume", value="100"))["volume"] == 70
        assert (await world.ask("volume", value="down"))["volume"] == 60
        for wrong in ("loud", "101", "", True, None, "1e2", "-"):
            assert "error" in await world.ask("volume", value=wrong)
        said_s = world.loop.time()
        await world.ask("volume", value=50)
        await asyncio.sleep(1)
        assert is_loud(world, said_s, said_s + 1)
        assert (await world.ask("status"))["volume"] == 50

    async def again(world: World) -> None:
        assert (await world.ask("volume"))["volume"] == 50

    live(main, tmp_path, toml="[audio]\nmax_volume = 70")
    live(again, tmp_path)


def test_a_button_changes_the_volume_and_another_calls_a_tool(tmp_path: Path):
    toml = """
        [[panel.button]]
        pin = 5
        press = "volume_down"
        [[panel.button]]
        pin = 6
        press = 'tool:set_timer {"minutes": 5, "name": "tea"}'
        [audio]
        volume = 80
    """

    async def main(world: World) -> None:
        for _ in range(2):
            panel_of(world).press(button(world, 5))
            await asyncio.sleep(0.5)
        panel_of(world).press(button(world, 6))
        await asyncio.sleep(0.5)

        assert (await world.ask("volume"))["volume"] == 60
        (timer,) = (await world.ask("timers"))["timers"]
        assert timer["name"] == "tea"
        assert (await world.ask("timers", cancel="tea"))["timers"] == []
        assert "error" in await world.ask("timers", cancel="tea")

    live(main, tmp_path, toml=toml)


def test_tools_are_listed_and_called_by_hand(tmp_path: Path):
    async def main(world: World) -> None:
        tools = (await world.ask("tools"))["tools"]
        assert {"get_time", "set_volume", "set_timer", "remember"} <= {each["name"] for each in tools}
        answer = await world.ask("call", tool="remember", arguments={"text": "the key is under the mat"})
        assert not answer["is_error"], answer
        (note,) = (await world.ask("notes"))["notes"]
        assert "under the mat" in str(note)
        assert (await world.ask("notes", forget="all"))["notes"] == []
        assert (await world.ask("call", tool="no_such", arguments={}))["is_error"]
        assert "error" in await world.ask("call", tool=3)
        assert "error" in await world.ask("notes", forget="mat")

    live(main, tmp_path)


def test_a_slow_tool_is_heard_working_then_started_and_its_outcome_is_told_in_the_conversation(
    tmp_path: Path,
):
    toml = """
        [audio]
        echo = "half_duplex"
        [tools]
        working_s = 1.5
        started_s = 6
    """
    plan = answering("agent_short", "agent_weather")
    plan.turns[0] = replace(plan.turns[0], tools=(ScriptedCall("wash", {}),))

    async def main(world: World) -> None:
        async def slowly(arguments: object) -> str:
            await asyncio.sleep(10)
            return json.dumps({"laundry": "clean"})

        wash = ToolDefinition("wash", "Washes.", {"type": "object", "properties": {}}, slowly)
        world.daemon.toolbox.registry.put("command", [wash])
        world.say("user_wake_time")
        await world.until(lambda: len(world.daemon.toolbox.runs) == 1, 20)
        called_s = world.loop.time()
        await asyncio.sleep(5.5)
        assert not is_loud(world, called_s + 0.3, called_s + 1.4)
        assert is_loud(world, called_s + 1.4, called_s + 2.5)
        await world.until(lambda: bool(world.agent.session.calls.results), 5)

        await world.until(lambda: bool(world.agent.session.instructions), 30)

        (result,) = world.agent.session.calls.results.values()
        assert json.loads(str(result["result"]))["status"] == "started"
        assert '{"laundry": "clean"}' in world.agent.session.instructions[-1]

    live(main, tmp_path, toml=toml, plan=plan)


def test_a_reload_waits_for_the_outcome_that_was_promised(tmp_path: Path):
    plan = answering("agent_short", "agent_weather")
    plan.turns[0] = replace(plan.turns[0], tools=(ScriptedCall("wash", {}),))

    async def main(world: World) -> None:
        async def slowly(arguments: object) -> str:
            await asyncio.sleep(45)
            return json.dumps({"laundry": "clean"})

        wash = ToolDefinition("wash", "Washes.", {"type": "object", "properties": {}}, slowly)
        world.daemon.toolbox.registry.put("command", [wash])
        daemon = world.daemon
        world.say("user_wake_time")
        await world.until(lambda: len(world.daemon.toolbox.runs) == 1, 20)
        await world.reach("speaking")
        await world.reach("idle")

        answer = await world.ask("reload")
        await world.until(lambda: bool(world.agent.session.instructions), 60)

        assert "waits" in answer
        assert world.daemon is daemon
        assert '{"laundry": "clean"}' in world.agent.session.instructions[-1]
        await world.until(lambda: world.daemon is not daemon, 60)

    live(main, tmp_path, toml=f"{HALF}[tools]\ntimeout_s = 100\n", plan=plan)


def test_a_stop_gives_up_the_outcome_that_was_promised_also_after_the_conversation(tmp_path: Path):
    plan = answering("agent_short", "agent_weather")
    plan.turns[0] = replace(plan.turns[0], tools=(ScriptedCall("wash", {}),))

    async def main(world: World) -> None:
        async def slowly(arguments: object) -> str:
            await asyncio.sleep(45)
            return "{}"

        wash = ToolDefinition("wash", "Washes.", {"type": "object", "properties": {}}, slowly)
        world.daemon.toolbox.registry.put("command", [wash])
        world.say("user_wake_time")
        await world.reach("speaking")
        await world.reach("idle")
        assert len(world.daemon.toolbox.runs) == 1

        await world.ask("stop")
        await asyncio.sleep(60)

        assert len(world.daemon.toolbox.runs) == 0
        assert not world.agent.session.instructions

    live(main, tmp_path, toml=f"{HALF}[tools]\ntimeout_s = 100\n", plan=plan)
