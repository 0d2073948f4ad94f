"""Ending and lingering: nothing stays open, nothing is said after it, and a wake in time goes on."""

from __future__ import annotations

import asyncio

import pytest

from pivoice.agent.simulated import Turn
from pivoice.turn import events
from tests.agent.scene import Scene, noise, scene, settle, speech, tone


@scene()
async def test_ending_says_so_before_the_socket_closes(s: Scene):
    await s.ready()

    s.session.end()
    await s.session.drained()

    assert s.agent.kinds("client") == ["session.update", "session.end"]
    assert s.agent.kinds()[-1] == "session.ended"
    await settle(0.1)
    assert s.agent.open_sockets == 0
    assert not s.agent.open_sessions


@scene(turns=[Turn(tone(5.0))])
async def test_nothing_is_posted_after_the_end(s: Scene):
    await s.ready()
    s.speak(speech("user_wake_time").samples, pause_s=0.2)
    s.session.say("talk")
    await s.event(events.ReplyStarted)
    await settle(0.3)

    s.session.end()
    seen, played = len(s.posted), len(s.heard(1))
    await settle(5.0)

    assert len(s.posted) == seen
    assert len(s.heard(1)) == played


@scene(turns=[Turn(tone(5.0))])
async def test_ending_from_within_an_event_is_safe(s: Scene):
    await s.ready()
    s.on_event = lambda event: s.session.end() if isinstance(event, events.ReplyStarted) else None

    s.session.say("talk")
    await s.event(events.ReplyStarted)
    await settle(4.0)

    assert s.kinds() == ["SessionReady", "ReplyStarted"]
    assert not s.agent.open_sessions


@pytest.mark.parametrize("at_s", [0.0, 0.001, 0.2, 0.39])
def test_ending_while_it_connects_leaves_no_session_open(at_s: float):
    @scene()
    async def test(s: Scene):
        s.session.open(1)
        await settle(at_s)

        s.session.end()
        await settle(3.0)

        assert not s.agent.open_sessions
        assert not s.posted

    test()


@scene()
async def test_ending_while_it_reconnects_stops_trying(s: Scene):
    await s.ready()
    s.agent.drop()
    await s.event(events.LinkDropped)

    s.session.end()
    await settle(20.0)

    assert s.agent.connections == 1


@scene()
async def test_a_lingering_session_has_no_socket_and_is_resumed_by_the_next_wake(s: Scene):
    await s.ready(1)
    s.session.linger()
    await settle(10.0)
    sockets, state = s.agent.open_sockets, s.session.status()["state"]

    await s.ready(2)

    assert sockets == 0
    assert state == "lingering"
    assert s.all(events.SessionReady)[-1] == events.SessionReady(2, resumed=True)
    assert len(s.agent.sessions) == 1
    assert s.agent.kinds("client") == ["session.update", "session.resume"]


@scene()
async def test_a_wake_right_after_lingering_resumes_too(s: Scene):
    await s.ready(1)

    s.session.linger()
    await s.ready(2)

    assert s.all(events.SessionReady)[-1] == events.SessionReady(2, resumed=True)


@scene()
async def test_after_the_window_a_wake_opens_a_fresh_session(s: Scene):
    await s.ready(1)
    s.session.linger()
    await settle(26.0)

    await s.ready(2)

    assert s.all(events.SessionReady)[-1] == events.SessionReady(2, resumed=False)
    assert s.agent.kinds("client") == ["session.update", "session.update"]


@scene(config={"linger": False})
async def test_with_linger_off_lingering_is_ending(s: Scene):
    await s.ready()

    s.session.linger()
    await settle(1.0)

    assert not s.agent.open_sessions
    assert s.agent.kinds("client")[-1] == "session.end"


@scene()
async def test_a_resumed_lingering_session_that_is_refused_begins_anew(s: Scene):
    await s.ready(1)
    s.session.linger()
    await settle(1.0)
    s.agent.plan.refuse_resume = "close"

    await s.ready(2)

    assert s.all(events.SessionReady)[-1] == events.SessionReady(2, resumed=False)


@scene(deaf=True)
async def test_audio_of_a_resumed_conversation_arrives_from_its_first_sample(s: Scene):
    await s.ready(1)
    s.session.linger()
    await settle(3.0)
    spoken = noise(2.0)

    s.speak(spoken)
    await s.ready(2)
    await settle(4.0)

    assert spoken.tobytes() in s.received().tobytes()


@scene()
async def test_a_server_that_never_says_ended_is_left_after_two_seconds_without_another_word(s: Scene):
    await s.ready()
    s.speak(noise(5.0))
    await settle(1.0)

    async def swallow(*_: object, **__: object) -> None:
        return None

    s.agent.session.send = swallow  # type: ignore[method-assign]
    began_s = s.loop.time()
    s.session.end()
    await s.session.drained()

    assert s.loop.time() - began_s <= 2.6


@scene()
async def test_closing_leaves_no_task_and_no_socket(s: Scene):
    await s.ready()
    s.speak(noise(1.0))

    await s.session.close()

    names = {task.get_name() for task in asyncio.all_tasks()}
    assert not {name for name in names if name.startswith("agent")}


@scene(config={"daily_minutes": 2.0})
async def test_lingering_is_metered_and_given_back_when_resumed(s: Scene):
    await s.ready(1)
    s.session.linger()
    await settle(0.5)
    charged = float(str(s.session.status()["minutes_today"]))

    await settle(9.5)
    await s.ready(2)
    resumed = float(str(s.session.status()["minutes_today"]))

    assert charged == pytest.approx(0.5, abs=0.02)
    assert resumed == pytest.approx(10 / 60, abs=0.03)


@scene()
async def test_lingering_while_it_reconnects_keeps_the_session_for_the_next_wake(s: Scene):
    await s.ready(1)
    s.agent.drop()
    await s.event(events.LinkDropped)

    s.session.linger()
    await settle(5.0)
    await s.ready(2)

    assert s.all(events.SessionReady)[-1] == events.SessionReady(2, resumed=True)
