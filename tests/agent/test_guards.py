"""Leaving a session by our own decision: before it expires, or because nobody hears us."""

from __future__ import annotations

import math
from typing import Any

import pytest

from pivoice.agent.guards import CapError, Guards, OverError, Stay
from pivoice.agent.simulated import Turn
from pivoice.errors import LinkError
from pivoice.turn import events
from tests.agent.scene import Scene, scene, settle, speech, tone


def guards(stay: Stay, *, session_minutes: float = 0.0, half_dead_s: float = 0.0) -> Guards:
    return Guards(stay, session_minutes=session_minutes, half_dead_s=half_dead_s)


def judge(these: Guards, now_s: float, **facts: Any) -> Any:
    return these.judge(now_s, **{"unheard_s": 0.0, "is_quiet": True, "is_spent": False, **facts})


def ready(expires_in_s: float | None, *, now_s: float = 0.0) -> Stay:
    stay = Stay()
    stay.ready("sess", now_s, expires_in_s=expires_in_s, is_fresh=True)
    return stay


# --- what is believed of an expiry ---


@pytest.mark.parametrize("nonsense", [None, -1e9, 0.0, 5.0, math.inf, math.nan])
def test_an_expiry_that_cannot_be_true_ends_nothing(nonsense: float | None):
    assert judge(guards(ready(nonsense)), 1e6) is None


def test_a_session_is_renewed_in_a_quiet_moment_shortly_before_it_expires():
    these = guards(ready(3600.0))

    assert judge(these, 3479.0) is None
    assert judge(these, 3481.0, is_quiet=False) is None
    assert judge(these, 3481.0).error is None


def test_a_session_about_to_expire_does_not_wait_for_quiet():
    assert judge(guards(ready(3600.0)), 3591.0, is_quiet=False) is not None


def test_a_short_life_is_not_renewed_at_once():
    these = guards(ready(100.0))

    assert judge(these, 70.0) is None
    assert judge(these, 76.0) is not None


def test_a_resume_that_does_not_tell_the_expiry_keeps_the_old_one():
    stay = ready(3600.0)

    stay.ready("sess", 1000.0, expires_in_s=None, is_fresh=False)

    assert judge(guards(stay), 3592.0) is not None


def test_a_fresh_session_that_does_not_tell_has_none():
    stay = ready(3600.0)

    stay.ready("other", 1000.0, expires_in_s=None, is_fresh=True)

    assert judge(guards(stay), 1e6) is None


# --- which guard says what ---


def test_money_goes_before_everything():
    these = guards(ready(3600.0), session_minutes=1, half_dead_s=20)

    assert isinstance(judge(these, 1e6, unheard_s=30.0, is_spent=True).error, CapError)
    assert isinstance(judge(these, 1e6, unheard_s=30.0).error, OverError)


def test_a_deaf_server_is_replaced_once_and_then_given_up():
    these = guards(ready(None), half_dead_s=20)

    first, second = judge(these, 1.0, unheard_s=20.0), judge(these, 2.0, unheard_s=20.0)

    assert first.error is None
    assert isinstance(second.error, LinkError)


def test_nought_switches_a_guard_off():
    assert judge(guards(ready(None)), 1e6, unheard_s=1e6) is None


# --- in a conversation ---


@scene(expires_in_s=200.0)
async def test_before_the_server_ends_it_a_session_is_replaced_by_a_fresh_one(s: Scene):
    await s.ready()

    fresh = await s.event(events.SessionReady, count=2, within_s=220)
    await settle(1.0)

    assert s.kinds() == ["SessionReady", "LinkDropped", "SessionReady"]
    assert not fresh.resumed
    assert s.time_of(fresh) == pytest.approx(152, abs=3)
    assert s.agent.kinds("client") == ["session.update", "session.end", "session.update"]
    assert s.agent.most_open == 1
    assert not s.reported("error")


@scene(expires_in_s=200.0, turns=[Turn(speech("agent_time"), "What time is it?")])
async def test_the_fresh_session_knows_what_was_said(s: Scene):
    await s.ready()
    s.speak(speech("user_wake_time").samples)
    await s.event(events.ReplyEnded)

    await s.event(events.SessionReady, count=2, within_s=220)

    assert '{"user": "What time is it?"}' in s.agent.session.settings["system_prompt"]


@scene(expires_in_s=200.0, turns=[Turn(tone(20.0))])
async def test_no_reply_is_cut_by_a_renewal_that_can_wait(s: Scene):
    await s.ready()
    await settle(145)
    s.session.say("talk")

    ended = await s.event(events.ReplyEnded, within_s=60)
    renewed = await s.event(events.LinkDropped)

    assert s.time_of(ended) < s.time_of(renewed) < 190
    assert len(s.heard(1)) >= 20 * 24_000


@scene(expires_in_s=200.0, turns=[Turn(tone(80.0))])
async def test_a_renewal_does_not_wait_for_ever(s: Scene):
    await s.ready()
    await settle(145)
    s.session.say("talk")

    renewed = await s.event(events.LinkDropped, within_s=60)
    await s.event(events.SessionReady, count=2)

    assert s.time_of(renewed) == pytest.approx(190, abs=2)
    assert s.ended == [1]


@scene(expires_in_s=200.0)
async def test_what_is_said_during_a_renewal_reaches_the_fresh_session(s: Scene):
    await s.ready()
    await settle(149)

    s.speak(speech("user_wake_time").samples, pause_s=1.5)
    await s.event(events.ReplyEnded, within_s=60)

    assert len(s.all(events.SessionReady)) == 2


@scene(expires_in_s=120.0)
async def test_a_linger_does_not_hide_the_expiry(s: Scene):
    await s.ready(1)
    await settle(80)
    s.session.linger()
    await settle(5)
    await s.ready(2)

    await s.event(events.LinkDropped, within_s=40)

    assert not s.reported("error")


@scene(deaf_sessions=1)
async def test_a_session_that_does_not_hear_is_replaced_and_the_next_one_does(s: Scene):
    await s.ready()
    while not s.all(events.LinkDropped):
        s.speak(speech("user_wake_time").samples)
        await settle(3.0)
    dropped = s.all(events.LinkDropped)[0]

    await s.event(events.SessionReady, count=2)
    await s.event(events.UserSaid)

    assert 20 <= s.time_of(dropped) < 90  # there are pauses between the words
    assert s.agent.kinds("client")[:3] == ["session.update", "session.end", "session.update"]


@scene(deaf=True, config={"half_dead_s": 5.0})
async def test_a_server_that_never_hears_is_given_up_at_the_second_try(s: Scene):
    await s.ready()
    while not s.all(events.SessionLost):
        s.speak(speech("user_wake_time").samples)
        await settle(3.0)

    lost = s.all(events.SessionLost)[0]

    assert lost.fault == "no_network"
    assert "hears nothing" in lost.reason
    assert s.agent.session_count == 2
    assert s.agent.kinds("client").count("session.end") == 2


@scene(deaf=True, config={"half_dead_s": 5.0})
async def test_silence_is_no_sign_of_a_deaf_server(s: Scene):
    await s.ready()

    s.speak(tone(0.0).samples)
    await settle(120)

    assert s.kinds() == ["SessionReady"]


@scene(deaf=True, config={"half_dead_s": 0})
async def test_the_guard_can_be_switched_off(s: Scene):
    await s.ready()
    for _ in range(20):
        s.speak(speech("user_wake_time").samples)
        await settle(3.0)

    assert s.kinds() == ["SessionReady"]


@scene(turns=[Turn(tone(1.0), "Yes.")])
async def test_a_server_that_hears_is_never_taken_for_deaf(s: Scene):
    await s.ready()
    for _ in range(15):
        s.speak(speech("user_wake_time").samples)
        await settle(4.0)

    assert "LinkDropped" not in s.kinds()
