"""Changing a session while it lives, and telling a stored agent what differs from it."""

from __future__ import annotations

import dataclasses
from typing import Any

from pivoice.agent.simulated import Turn
from pivoice.turn import events
from tests.agent.scene import Scene, scene, settle, speech, tone

STORED = {"agent_1": {"system_prompt": "You are a lighthouse keeper.", "greeting": "Ahoy."}}


def change(s: Scene, **changes: Any) -> None:
    s.session.change(dataclasses.replace(s.config, **changes), list(changes))


def updates(s: Scene) -> int:
    return s.agent.kinds("client").count("session.update")


@scene()
async def test_a_live_session_takes_a_change_at_once(s: Scene):
    await s.ready()

    change(s, volume=40, keyterms=["Pivoice"])
    await settle(0.1)

    assert s.agent.session.settings["output"]["volume"] == 40
    assert s.agent.session.settings["input"]["keyterms"] == ["Pivoice"]
    assert updates(s) == 2


@scene()
async def test_later_sessions_are_made_with_the_change(s: Scene):
    change(s, volume=40)
    await s.ready(1)
    s.session.end()
    await s.ready(2)

    assert [each.settings["output"]["volume"] for each in s.agent.sessions.values()] == [40, 40]
    assert updates(s) == 2  # no second one: the first said it


@scene(ready_delay_s=2.0)
async def test_a_change_while_it_gets_ready_is_told_once_it_is(s: Scene):
    s.session.open(1)
    await settle(1.0)

    change(s, volume=40)
    await s.event(events.SessionReady)
    await settle(0.1)

    assert s.agent.session.settings["output"]["volume"] == 40


@scene()
async def test_a_change_while_it_lingers_is_told_when_it_is_resumed(s: Scene):
    await s.ready(1)
    s.session.linger()
    await settle(2.0)

    change(s, volume=40)
    await s.ready(2)
    await settle(0.1)

    assert s.agent.session.resumes == 1
    assert s.agent.session.settings["output"]["volume"] == 40


@scene()
async def test_a_change_that_a_broken_link_swallowed_is_told_again(s: Scene):
    await s.ready()
    s.agent.go_silent()
    change(s, volume=40)
    await settle(0.05)

    s.agent.drop()
    await s.event(events.SessionReady, count=2)
    await settle(0.1)

    assert s.agent.session.settings["output"]["volume"] == 40


@scene(refuse_resume="close")
async def test_a_change_that_the_fresh_session_was_made_with_is_not_told_twice(s: Scene):
    await s.ready()
    s.agent.go_silent()
    change(s, volume=40)
    await settle(0.05)

    s.agent.drop()
    await s.event(events.SessionReady, count=2)
    await settle(0.5)

    assert s.agent.session.settings["output"]["volume"] == 40
    assert len(s.agent.session.updates) <= 1


@scene(turns=[Turn(speech("agent_time"), "What time is it?")])
async def test_a_new_prompt_keeps_what_the_session_was_told_of_the_past(s: Scene):
    await s.ready(1)
    s.speak(speech("user_wake_time").samples)
    await s.event(events.ReplyEnded)
    s.session.end()
    await s.ready(2)

    change(s, system_prompt="You are a pirate.")
    await settle(0.1)

    prompt = s.agent.session.settings["system_prompt"]
    assert prompt.startswith("You are a pirate.")
    assert '{"user": "What time is it?"}' in prompt


@scene(violations=True)
async def test_a_change_that_the_server_refuses_is_told_and_the_session_goes_on(s: Scene):
    await s.ready()

    change(s, transcription_prompt="x" * 2000)
    await settle(0.5)

    assert s.reported("error")[0]["code"] == "invalid_value"
    assert s.kinds() == ["SessionReady"]


# --- a stored agent ---


@scene(config={"agent_id": "agent_1"}, stored_agents=STORED, turns=[Turn(tone(0.5))])
async def test_a_stored_agent_is_named_alone_and_left_as_it_is(s: Scene):
    await s.ready()
    await s.event(events.ReplyEnded)

    assert updates(s) == 1
    assert s.agent.session.settings["system_prompt"] == "You are a lighthouse keeper."


@scene(config={"agent_id": "agent_1", "volume": 40}, stored_agents=STORED, turns=[Turn(tone(0.5))])
async def test_what_is_configured_beside_a_stored_agent_is_told_once_it_is_ready(s: Scene):
    await s.ready()
    await s.event(events.ReplyEnded)

    assert s.agent.kinds("client")[:2] == ["session.update", "session.update"]
    assert s.agent.session.settings["output"]["volume"] == 40
    assert s.agent.session.settings["system_prompt"] == "You are a lighthouse keeper."


@scene(
    config={"agent_id": "agent_1"},
    stored_agents=STORED,
    turns=[Turn(speech("agent_time"), "What time is it?")],
)
async def test_a_stored_agent_learns_what_was_said_before(s: Scene):
    await s.ready(1)
    await s.event(events.ReplyEnded)
    s.speak(speech("user_wake_time").samples)
    await s.event(events.ReplyEnded, count=2)
    s.session.end()

    await s.ready(2)
    await settle(0.2)

    prompt = s.agent.session.settings["system_prompt"]
    assert prompt.startswith("You are a lighthouse keeper.")
    assert '{"user": "What time is it?"}' in prompt


@scene(config={"agent_id": "agent_2"}, stored_agents=STORED)
async def test_an_unknown_agent_is_the_owners_matter(s: Scene):
    s.session.open(1)

    lost = await s.event(events.SessionLost)

    assert lost.fault == "refused"
    assert s.agent.connections == 1
