"""Tools that come and go while the agent's session lives, and a server that does not take them."""

from __future__ import annotations

import dataclasses

import pytest

from pivoice.agent.offer import Offer
from pivoice.agent.simulated import Turn
from pivoice.agent.simulated_plan import ScriptedCall
from pivoice.tools.registry import ToolDefinition
from pivoice.turn import events
from tests.agent.scene import Scene, scene, settle, tone, weather_tool

STORED = {"agent_1": {"system_prompt": "You are a lighthouse keeper."}}
LATE = ScriptedCall("house_lights", {"on": True})


def tool(name: str, **changes: object) -> ToolDefinition:
    return dataclasses.replace(weather_tool(), name=name, **changes)


WEATHER, LIGHTS, BAD = tool("get_weather"), tool("house_lights"), tool("bad", description=None)


def held(s: Scene) -> list[str]:
    """The names of the tools that the newest session on the server has."""
    return [each["name"] for each in s.agent.session.settings["tools"]]


def updates(s: Scene) -> int:
    return s.agent.kinds("client").count("session.update")


@scene(turns=[Turn(tone(1.0)), Turn(tone(1.0), tools=(LATE,))], config={"system_prompt": "You are a pirate."})
async def test_a_tool_that_comes_late_is_called_in_the_next_turn(s: Scene):
    await s.ready()
    s.session.say("talk")
    await s.event(events.ReplyEnded)

    s.session.offer([WEATHER, LIGHTS])
    await settle(0.1)
    s.session.say("lights")
    call = await s.event(events.ToolCalled)
    s.session.send_tool_result(call.call_id, '"done"', False)
    await s.event(events.ReplyEnded, count=2)

    assert held(s) == ["get_weather", "house_lights"]
    assert call.name == "house_lights"
    assert s.agent.session.updates[-1]["system_prompt"] == "You are a pirate."
    assert updates(s) == 2


@scene()
async def test_the_tools_that_are_there_already_are_not_told_again(s: Scene):
    await s.ready()

    s.session.offer([weather_tool()])
    s.session.offer([WEATHER])
    await settle(0.1)

    assert updates(s) == 1


@scene()
async def test_a_tool_that_goes_away_is_taken_from_the_agent(s: Scene):
    await s.ready()

    s.session.offer([])
    await settle(0.1)

    assert held(s) == []


@scene(ready_delay_s=2.0)
async def test_tools_that_come_while_it_gets_ready_are_told_once_it_is(s: Scene):
    s.session.open(1)
    await settle(1.0)

    s.session.offer([WEATHER, LIGHTS])
    await settle(0.5)
    told_before = updates(s)
    await s.event(events.SessionReady)
    await settle(0.1)

    assert (told_before, updates(s)) == (1, 2)
    assert held(s) == ["get_weather", "house_lights"]


@scene()
async def test_later_sessions_are_made_with_the_tools_of_now(s: Scene):
    await s.ready(1)
    s.session.end()
    await settle()

    s.session.offer([LIGHTS])
    await s.ready(2)

    assert held(s) == ["house_lights"]
    assert updates(s) == 2


@scene()
async def test_tools_that_come_while_it_lingers_are_told_when_it_is_resumed(s: Scene):
    await s.ready(1)
    s.session.linger()
    await settle(2.0)

    s.session.offer([WEATHER, LIGHTS])
    await s.ready(2)
    await settle(0.1)

    assert s.agent.session.resumes == 1
    assert held(s) == ["get_weather", "house_lights"]


@scene()
async def test_tools_that_a_broken_link_swallowed_are_told_again(s: Scene):
    await s.ready()
    s.agent.go_silent()
    s.session.offer([WEATHER, LIGHTS])
    await settle(0.05)

    s.agent.drop()
    await s.event(events.SessionReady, count=2)
    await settle(0.1)

    assert held(s) == ["get_weather", "house_lights"]


@scene(config={"agent_id": "agent_1"}, stored_agents=STORED)
async def test_a_stored_agent_keeps_its_own_tools(s: Scene):
    await s.ready()

    s.session.offer([LIGHTS])
    await settle(0.1)

    assert updates(s) == 1
    assert "tools" not in s.agent.session.settings


@scene(violations=True, turns=[Turn(tone(1.0))])
async def test_tools_that_the_server_refuses_leave_the_session_as_it_was(s: Scene):
    await s.ready(1)
    s.session.offer([WEATHER, LIGHTS])
    await settle(0.1)

    s.session.offer([WEATHER, BAD])
    await settle(0.5)
    s.session.offer([WEATHER, BAD])  # they are listed again: no reason to try again
    await settle(0.5)
    s.session.say("talk")
    await s.event(events.ReplyEnded)
    s.session.end()
    await s.ready(2)

    assert [facts["code"] for facts in s.reported("error")] == ["invalid_value"]
    assert s.all(events.SessionLost) == []
    assert [[each["name"] for each in one.settings["tools"]] for one in s.agent.sessions.values()] == [
        ["get_weather", "house_lights"],
        ["get_weather", "house_lights"],
    ]


@scene(violations=True)
async def test_what_a_session_was_made_with_is_what_it_keeps(s: Scene):
    s.session.offer([LIGHTS])
    await s.ready(1)

    s.session.offer([BAD])
    await settle(0.5)
    s.session.end()
    await s.ready(2)

    assert held(s) == ["house_lights"]


@scene(violations=True)
async def test_tools_that_were_refused_do_not_stand_in_the_way_of_others(s: Scene):
    await s.ready()
    s.session.offer([BAD])
    await settle(0.1)

    s.session.offer([LIGHTS])
    await settle(0.1)

    assert held(s) == ["house_lights"]


@scene(violations=True)
async def test_a_session_that_is_refused_for_late_tools_is_had_with_those_before(s: Scene):
    s.session.offer([WEATHER, BAD])

    await s.ready()

    assert held(s) == ["get_weather"]
    assert s.all(events.SessionLost) == []


def test_the_first_tools_have_nothing_to_fall_back_on():
    offer = Offer([BAD])
    offer.tell()

    assert not offer.refused("bad")


@pytest.mark.parametrize("answered", [False, True])
def test_the_server_keeps_what_it_took_last(answered: bool):
    offer = Offer([WEATHER])
    first = offer.tell()
    offer.session_ready()
    offer.change([LIGHTS])
    second = offer.tell_change()
    assert second is not None
    if answered:
        offer.taken(second)
    offer.change([BAD])
    third = offer.tell_change()

    offer.refused("bad", third)

    assert offer.tell_change() is None
    assert offer.tell() == (second if answered else first)
