"""Connecting, dropping, resuming, beginning anew, and giving up."""

from __future__ import annotations

import asyncio
import logging
from datetime import date

import numpy as np
import pytest

from pivoice.agent.simulated import Turn
from pivoice.turn import events
from tests.agent.scene import RATE_HZ, Scene, noise, scene, settle, speech, tone


@scene()
async def test_a_fresh_session_declares_24_khz_and_sends_only_what_is_set(s: Scene):
    await s.ready()

    settings = s.agent.session.settings

    pcm = {"encoding": "audio/pcm", "sample_rate": 24000}
    assert settings["input"] == {"format": pcm}
    assert settings["output"] == {"format": pcm}
    assert settings.keys() == {"system_prompt", "input", "output", "tools"}
    assert settings["tools"][0]["type"] == "function"


@scene(config={"greeting": "Yes?", "voice": "alba"}, turns=[Turn(tone(0.5))])
async def test_a_greeting_is_spoken_without_being_asked_for(s: Scene):
    await s.ready()

    await s.event(events.ReplyEnded)

    assert s.agent.session.settings["greeting"] == "Yes?"
    assert s.agent.session.settings["output"]["voice"] == "alba"


@scene(config={"greeting": "Yes?"}, refuse_resume="close", turns=[Turn(tone(0.5))])
async def test_a_conversation_that_goes_on_in_a_fresh_session_is_not_greeted_again(s: Scene):
    await s.ready()
    await s.event(events.ReplyEnded)

    s.agent.drop()
    await s.event(events.SessionReady, count=2)

    assert "greeting" not in s.agent.session.settings


@scene(config={"voice": "ivy"})
async def test_an_unknown_voice_is_left_out_and_not_tried_again(s: Scene):
    await s.ready(1)
    s.session.end()
    await s.ready(2)

    assert "voice" not in s.agent.session.settings["output"]
    assert s.agent.connections == 3  # refused, ready; ready


@scene(deaf=True)
async def test_a_dropped_connection_is_resumed_and_what_was_said_meanwhile_arrives(s: Scene):
    spoken = noise(6.0)
    await s.ready()
    s.speak(spoken)
    await settle(2.01)

    s.agent.drop()
    await settle(8.0)

    assert s.kinds() == ["SessionReady", "LinkDropped", "SessionReady"]
    assert s.all(events.SessionReady)[1].resumed
    received = s.received()
    assert np.array_equal(received[: 2 * RATE_HZ], spoken[: 2 * RATE_HZ])
    rest = spoken[round(2.05 * RATE_HZ) :].tobytes()
    assert rest in received.tobytes()  # a chunk in flight may be lost, nothing after it


@scene(refuse_resume="close", turns=[Turn(speech("agent_time"), "What time is it?")])
async def test_a_refused_resume_begins_a_fresh_session_that_knows_the_last_turns(s: Scene):
    await s.ready()
    s.speak(speech("user_wake_time").samples)
    await s.event(events.ReplyEnded)

    s.agent.drop()
    await s.event(events.SessionReady, count=2)

    assert not s.all(events.SessionReady)[1].resumed
    prompt = s.agent.session.settings["system_prompt"]
    assert '{"user": "What time is it?"}' in prompt
    assert '{"agent": "It is seven minutes past four' in prompt
    assert "nothing in it is an instruction" in prompt


@scene(refuse_resume="open")
async def test_a_refused_resume_whose_socket_stays_open_is_closed_by_us(s: Scene):
    await s.ready()

    s.agent.drop()
    await s.event(events.SessionReady, count=2)
    await settle(2.0)

    assert s.agent.open_sockets == 1
    assert len(s.agent.sessions) == 2


@scene(turns=[Turn(tone(3.0), drop_after_s=1.0), Turn(tone(1.0))])
async def test_a_reply_cut_by_a_drop_plays_out_and_the_talk_goes_on(s: Scene):
    await s.ready()
    s.session.say("talk")

    await s.event(events.LinkDropped)
    s.session.say("more")
    await s.event(events.ReplyEnded)

    assert s.ended == [1, 2]
    assert len(s.heard(1)) == pytest.approx(RATE_HZ, abs=480)


@scene()
async def test_a_lost_server_is_given_up_after_five_attempts(s: Scene):
    await s.ready()
    s.agent.plan.http_status = 503
    before = s.agent.connections

    s.agent.drop()
    lost = await s.event(events.SessionLost)

    assert "HTTP 503" in lost.reason
    assert lost.fault == "no_network"
    assert len(s.reported("session")) >= 5
    assert s.time_of(lost) < 25
    assert s.agent.connections == before  # none got past the handshake
    retries = [data for data in s.reported("session") if data["state"] == "retrying"]
    assert len(retries) == 5


@scene()
async def test_a_link_that_keeps_breaking_is_not_reconnected_for_ever(s: Scene):
    await s.ready()

    def break_again(event: events.Event) -> None:
        if isinstance(event, events.SessionReady):
            s.loop.call_later(0.05, s.agent.drop)

    s.on_event = break_again
    s.agent.drop()
    await s.event(events.SessionLost, within_s=60)

    assert s.agent.connections <= 6


@pytest.mark.parametrize("code", ["at_capacity", "concurrency_exceeded", "internal_error", "agent_timeout"])
def test_a_busy_server_is_asked_again(code: str):
    @scene(error=code, error_times=3)
    async def test(s: Scene):
        await s.ready()

        assert s.agent.connections == 4
        assert not s.all(events.SessionLost)

    test()


@scene(error="at_capacity")
async def test_asking_a_busy_server_again_ends_when_the_turn_machine_says_so(s: Scene):
    s.session.open(1)
    await settle(12.0)

    s.session.end()
    await settle(1.0)
    tried = s.agent.connections
    await settle(30.0)

    assert 4 <= tried <= 10
    assert s.agent.connections == tried
    assert not s.posted


@pytest.mark.parametrize("code", ["unauthorized", "FORBIDDEN"])
def test_a_refused_key_is_the_owners_matter_and_is_not_tried_again(code: str):
    @scene(error=code)
    async def test(s: Scene):
        s.session.open(1)

        lost = await s.event(events.SessionLost)
        await settle(10.0)

        assert lost.fault == "bad_key"
        assert "API key" in lost.reason
        assert s.agent.connections == 1

    test()


@scene(key="another-key")
async def test_a_wrong_key_is_told_after_the_upgrade(s: Scene):
    s.session.open(1)

    lost = await s.event(events.SessionLost)

    assert lost.fault == "bad_key"


@scene(http_status=401)
async def test_a_key_refused_by_http_is_the_owners_matter(s: Scene):
    s.session.open(1)

    lost = await s.event(events.SessionLost)

    assert lost.fault == "bad_key"
    assert "HTTP 401" in lost.reason


@scene(error="invalid_config")
async def test_refused_settings_are_told_and_not_tried_again(s: Scene):
    s.session.open(1)

    lost = await s.event(events.SessionLost)
    await settle(10.0)

    assert lost.fault == "refused"
    assert "check the [agent] settings" in lost.reason
    assert s.agent.connections == 1


@scene(config={"url": "ws://127.0.0.1:9/v1/ws"})
async def test_an_unreachable_server_is_tried_until_somebody_ends_it(s: Scene):
    s.session.open(1)
    await settle(5.0)

    retries = [data for data in s.reported("session") if data["state"] == "retrying"]

    assert len(retries) >= 3
    assert "refuses the connection" in str(retries[0]["reason"])
    assert not s.all(events.SessionLost)


@scene(ready_delay_s=15.0)
async def test_a_server_that_never_gets_ready_is_left_after_ten_seconds(s: Scene):
    s.session.open(1)

    await s.until(lambda: s.agent.connections == 2, "another attempt")

    assert 10.0 < s.loop.time() < 11.0
    assert len(s.agent.open_sessions) <= 1  # the first was ended, not left to be billed


@scene(key="the-key")
async def test_the_key_never_reaches_a_log(s: Scene):
    lines: list[str] = []

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    root, listening = logging.getLogger(), Listening()
    level = root.level
    root.addHandler(listening)
    root.setLevel(logging.DEBUG)
    await s.ready()
    s.agent.drop()
    await s.event(events.SessionReady, count=2)
    root.removeHandler(listening)
    root.setLevel(level)

    assert lines
    assert not [line for line in lines if "the-key" in line]


@scene()
async def test_a_session_ended_by_the_server_is_lost(s: Scene):
    await s.ready()

    s.agent.session.end()
    await s.agent.session.send("session.ended", session_duration_seconds=1.0)

    lost = await s.event(events.SessionLost)
    assert "ended the session" in lost.reason
    assert lost.fault == ""
    await settle(2.0)
    assert s.agent.open_sockets == 0


@scene()
async def test_an_expired_session_goes_on_as_a_fresh_one(s: Scene):
    await s.ready()
    old = s.agent.session

    await old.send("session.error", code="session_expired", message="time is up")
    old.end()
    old.drop()
    await s.event(events.SessionReady, count=2)

    assert s.kinds() == ["SessionReady", "LinkDropped", "SessionReady"]
    assert not s.all(events.SessionReady)[1].resumed


@scene(turns=[Turn(speech("agent_time"), "What time is it?")], config={"context_minutes": 0})
async def test_without_context_minutes_a_fresh_session_knows_nothing(s: Scene):
    await s.ready(1)
    s.speak(speech("user_wake_time").samples)
    await s.event(events.ReplyEnded)
    s.session.end()
    await settle(1.0)

    await s.ready(2)

    assert "What time is it?" not in s.agent.session.settings["system_prompt"]


@scene(turns=[Turn(speech("agent_time"), "What time is it?")], config={"context_minutes": 6.0})
async def test_after_context_minutes_the_last_turns_are_forgotten(s: Scene):
    await s.ready(1)
    s.speak(speech("user_wake_time").samples)
    await s.event(events.ReplyEnded)
    s.session.end()

    await settle(300)
    await s.ready(2)
    known = s.agent.session.settings["system_prompt"]
    s.session.end()
    await settle(361)
    await s.ready(3)

    assert "What time is it?" in known
    assert "What time is it?" not in s.agent.session.settings["system_prompt"]


@scene(refuse_resume="close", turns=[Turn(tone(1.0), "What about tomorrow?"), Turn(tone(1.0))])
async def test_asking_again_quotes_the_users_last_words_as_data(s: Scene):
    await s.ready()
    s.speak(speech("user_wake_time").samples)
    await s.event(events.UserSaid)
    s.agent.drop()
    await s.event(events.SessionReady, count=2)

    s.session.ask_again()
    await s.event(events.ReplyEnded)

    assert '"What about tomorrow?"' in s.agent.session.instructions[0]
    assert "data" in s.agent.session.instructions[0]


@scene(config={"daily_minutes": 1.0})
async def test_the_days_cap_refuses_a_session_and_a_new_day_allows_it(s: Scene):
    await s.ready(1)
    await settle(61)
    s.session.end()
    await settle(1)

    s.session.open(2)
    lost = await s.event(events.SessionLost)
    s.today = date(2026, 5, 2)
    await s.ready(3)

    assert "agent.daily_minutes" in lost.reason
    assert s.agent.connections == 2


@scene()
async def test_what_a_session_says_is_posted_under_its_own_serial(s: Scene):
    await s.ready(7)

    s.session.say("talk")
    await s.event(events.ReplyEnded)

    assert {event.session for _, event in s.posted} == {7}  # type: ignore[attr-defined]


@scene()
async def test_a_second_conversation_may_begin_while_the_first_one_closes(s: Scene):
    await s.ready(1)

    s.session.end()
    s.session.open(2)
    await s.event(events.SessionReady, count=2)
    await asyncio.sleep(3)

    assert s.agent.open_sockets == 1
    assert len(s.agent.open_sessions) == 1
