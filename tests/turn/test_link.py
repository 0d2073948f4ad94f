"""Sessions, drops and serials."""

from __future__ import annotations

import pytest

from pivoice.turn import events as ev
from pivoice.turn.actions import AskAgain, CancelTools, Chime, Connect, Drop, End
from pivoice.turn.machine import Link, State
from tests.turn.situations import (
    ANSWERED,
    ASKED,
    DRAINED,
    DROPPED,
    FOLLOW_UP,
    LOST,
    NEW,
    OPEN,
    RELEASE,
    RESUMED,
    SPEECH,
    TALK,
    TOOL,
    WAKE,
    after,
)


def test_a_reply_plays_out_when_the_link_drops() -> None:
    turn = after(*ANSWERED)

    actions = turn.step(DROPPED)

    assert (turn.state, turn.link, actions) == (State.SPEAKING, Link.CONNECTING, [])


def test_the_user_may_speak_while_the_link_comes_back() -> None:
    turn = after(*ANSWERED, DROPPED, DRAINED)

    assert (turn.state, turn.uplink) == (State.LISTENING, ev.Valve.LIVE)


def test_a_session_that_forgot_is_asked_again() -> None:
    turn = after(*ASKED, DROPPED)

    actions = turn.step(NEW)

    assert actions == [AskAgain()]


def test_a_session_that_remembers_is_not_asked_again() -> None:
    turn = after(*ASKED, DROPPED)

    actions = turn.step(RESUMED)

    assert actions == []


def test_a_question_asked_before_the_first_connection_is_not_asked_again() -> None:
    turn = after(TALK, RELEASE)

    actions = turn.step(NEW)

    assert (turn.state, actions) == (State.THINKING, [])


def test_a_question_behind_a_lost_tool_call_is_asked_again_while_a_reply_plays() -> None:
    turn = after(*ANSWERED, TOOL, DROPPED)

    actions = turn.step(NEW)

    assert actions == [CancelTools(), AskAgain()]
    turn.step(DRAINED)
    assert turn.state is State.THINKING


def test_after_the_session_is_lost_the_reply_plays_out_and_that_is_all() -> None:
    turn = after(*ANSWERED, LOST)
    assert (turn.state, turn.link) == (State.SPEAKING, Link.DOWN)

    actions = turn.step(DRAINED)

    assert (turn.state, actions) == (State.IDLE, [Drop(1), CancelTools()])


def test_a_refused_key_is_shown_until_a_session_is_ready() -> None:
    turn = after(WAKE, ev.SessionLost(1, "unauthorized", "bad_key"))
    assert turn.conditions == {"bad_key"}

    turn.step(WAKE)
    assert turn.conditions == {"bad_key"}
    turn.step(ev.SessionReady(2, resumed=False))

    assert turn.conditions == frozenset()


def test_no_network_is_shown_until_the_next_try() -> None:
    turn = after(WAKE, LOST)
    assert turn.conditions == {"no_network"}

    turn.step(WAKE)

    assert turn.conditions == frozenset()


def test_every_conversation_has_a_serial_of_its_own() -> None:
    turn = after(*OPEN, ev.StopAsked())

    actions = turn.step(WAKE)

    assert Connect(2) in actions


def test_a_stale_session_is_not_heard() -> None:
    turn = after(*OPEN, ev.StopAsked(), WAKE, ev.SessionReady(2, resumed=False))

    turn.step(LOST)

    assert (turn.state, turn.link) == (State.LISTENING, Link.UP)


def test_a_session_that_opens_after_all_is_closed_at_once() -> None:
    turn = after(WAKE, ev.StopAsked())

    actions = turn.step(ev.SessionReady(1, resumed=False))

    assert actions == [End()]


def test_a_wake_word_never_opens_two_sessions() -> None:
    turn = after(*ANSWERED, DROPPED)

    actions = turn.step(WAKE)

    assert not [action for action in actions if isinstance(action, Connect)]


def test_what_is_ignored_is_counted_by_name() -> None:
    turn = after(SPEECH, SPEECH, DRAINED)

    assert turn.ignored == {"SpeechStarted": 2, "PlaybackDrained": 1}


def test_status_names_what_is_going_on() -> None:
    status = after(*FOLLOW_UP).status()

    assert (status["state"], status["link"], status["deadline"]) == ("listening", "up", "follow_up")


@pytest.mark.parametrize(
    ("fault", "chime"),
    [("no_network", "no_network"), ("bad_key", "bad_key"), ("refused", "error"), ("cap", "cap"), ("", "end")],
)
def test_a_lost_session_says_what_the_owner_must_mend(fault: str, chime: str) -> None:
    turn = after(*OPEN)

    actions = turn.step(ev.SessionLost(1, "over", fault))

    assert (turn.state, actions[-1]) == (State.IDLE, Chime(chime))
    assert turn.conditions == ({fault} if fault else set())


def test_a_cap_reached_in_mid_reply_is_told_once_that_is_heard() -> None:
    turn = after(*ANSWERED)

    assert turn.step(ev.SessionLost(1, "used up", "cap")) == [CancelTools()]
    actions = turn.step(DRAINED)

    assert (turn.state, actions[-1]) == (State.IDLE, Chime("cap"))


def test_what_was_mended_is_forgotten_at_the_next_session() -> None:
    turn = after(*OPEN, ev.SessionLost(1, "said no", "refused"))

    turn.step(WAKE)

    assert not turn.conditions
