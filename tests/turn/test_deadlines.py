"""What is waited for, how long, and what happens when it does not come. Timers too."""

from __future__ import annotations

import pytest

from pivoice.turn import events as ev
from pivoice.turn.actions import CancelTools, Chime, Drop, End, Linger
from pivoice.turn.machine import Deadline, Deadlines, State, Turn
from tests.turn.situations import (
    ANSWER,
    ANSWERED,
    ASKED,
    DRAINED,
    DROPPED,
    FOLLOW_UP,
    OPEN,
    PAUSE,
    RESUMED,
    SPEECH,
    STARTED,
    TALK,
    TOOL,
    WAKE,
    after,
)


@pytest.mark.parametrize(
    ("history", "deadline"),
    [
        ((), None),
        ((WAKE,), Deadline.CONNECT),
        (OPEN, Deadline.NO_SPEECH),
        ((*OPEN, SPEECH), Deadline.LONG_SPEECH),
        ((*OPEN, SPEECH, PAUSE), Deadline.NO_REPLY),
        ((*ASKED, TOOL), Deadline.TOOL),
        ((*ASKED, TOOL, ANSWER), Deadline.NO_REPLY),
        (ANSWERED, Deadline.LONG_REPLY),
        ((*ANSWERED, SPEECH), Deadline.YIELD),
        ((*ANSWERED, SPEECH, PAUSE), Deadline.YIELD_SHORT),
        (FOLLOW_UP, Deadline.FOLLOW_UP),
        ((*FOLLOW_UP, DROPPED), Deadline.RECONNECT),
        ((*FOLLOW_UP, DROPPED, RESUMED), Deadline.FOLLOW_UP),
        ((*OPEN, SPEECH, DROPPED), Deadline.RECONNECT),
        ((*OPEN, SPEECH, DROPPED, RESUMED), Deadline.LONG_SPEECH),
        ((*ASKED, DROPPED), Deadline.RECONNECT),
        ((*ASKED, DROPPED, RESUMED), Deadline.NO_REPLY),
        ((*ASKED, TOOL, DROPPED, RESUMED), Deadline.TOOL),
        ((*ANSWERED, DROPPED, DRAINED), Deadline.RECONNECT),
        ((*ANSWERED, ev.ReplyInterrupted(1, 1)), Deadline.LONG_SPEECH),
    ],
)
def test_what_is_waited_for(history: tuple[ev.Event, ...], deadline: Deadline | None) -> None:
    turn = after(*history)

    assert turn.deadline is deadline


def test_a_deadline_is_as_long_as_configured() -> None:
    turn = Turn(Deadlines(connect_s=3.0))

    turn.step(WAKE)

    assert turn.deadline_s == 3.0


@pytest.mark.parametrize(
    ("history", "wanted"),
    [(OPEN, {"no_speech_s": 3.5}), ((*OPEN, SPEECH), {"long_speech_s": 3.5})],
)
def test_the_guards_of_the_users_turn_are_as_long_as_configured(
    history: tuple[ev.Event, ...], wanted: dict[str, float]
) -> None:
    turn = Turn(Deadlines(**wanted))

    for event in history:
        turn.step(event)

    assert turn.deadline_s == 3.5


def test_words_without_end_are_taken_for_a_turn_and_an_answer_is_waited_for() -> None:
    turn = after(*OPEN, SPEECH)

    turn.step(ev.DeadlinePassed(turn.deadline_serial))

    assert (turn.state, turn.deadline) == (State.THINKING, Deadline.NO_REPLY)


def test_a_tools_deadline_leaves_time_for_the_answer() -> None:
    assert Deadlines(tool_s=20.0, no_reply_s=15.0).seconds(Deadline.TOOL) == 35.0


def test_the_session_stays_resumable_when_the_follow_up_runs_out() -> None:
    turn = after(*FOLLOW_UP)

    actions = turn.step(ev.DeadlinePassed(turn.deadline_serial))

    assert actions == [Drop(1), CancelTools(), Linger(), Chime("end")]


def test_a_false_wake_ends_the_session_for_good() -> None:
    turn = after(*OPEN)

    actions = turn.step(ev.DeadlinePassed(turn.deadline_serial))

    assert actions == [Drop(0), CancelTools(), End(), Chime("end")]


def test_a_link_that_is_not_made_in_time_is_an_error() -> None:
    turn = after(WAKE)

    actions = turn.step(ev.DeadlinePassed(turn.deadline_serial))

    assert actions[-2:] == [End(), Chime("no_network")]
    assert turn.conditions == {"no_network"}


def test_an_answer_that_never_comes_is_an_error() -> None:
    turn = after(*ASKED)

    actions = turn.step(ev.DeadlinePassed(turn.deadline_serial))

    assert (turn.state, actions[-1]) == (State.IDLE, Chime("error"))


def test_a_cough_is_not_an_error() -> None:
    turn = after(*OPEN, SPEECH, PAUSE)

    actions = turn.step(ev.DeadlinePassed(turn.deadline_serial))

    assert (turn.state, actions[-1]) == (State.IDLE, Chime("end"))


def test_a_greeting_does_not_hang_up_on_the_user() -> None:
    turn = after(*OPEN, STARTED, ev.ReplyAudible(1), ev.ReplyEnded(1, 1), DRAINED)

    assert (turn.state, turn.deadline) == (State.LISTENING, Deadline.NO_SPEECH)


def test_a_repeated_speech_started_does_not_prolong_the_utterance() -> None:
    turn = after(*OPEN, SPEECH)
    serial = turn.deadline_serial

    turn.step(SPEECH)

    assert turn.deadline_serial == serial


def test_a_repeated_speech_stopped_leaves_the_follow_up_alone() -> None:
    turn = after(*FOLLOW_UP, PAUSE)

    assert (turn.state, turn.deadline) == (State.LISTENING, Deadline.FOLLOW_UP)


@pytest.mark.parametrize(
    "event",
    [ev.ButtonPressed(), TALK, WAKE, ev.WakeAsked(), ev.RingSilenced(), ev.StopAsked(), ev.HushAsked()],
)
def test_the_first_hand_or_wake_word_silences_a_ring_and_does_nothing_else(event: ev.Event) -> None:
    turn = after(ev.TimerRang("eggs"))
    assert turn.conditions == {"ringing"}

    actions = turn.step(event)

    assert (turn.state, actions, turn.conditions) == (State.IDLE, [], frozenset())


@pytest.mark.parametrize("event", [ev.ButtonPressed(), TALK, WAKE, ev.WakeAsked()])
def test_the_second_hand_or_wake_word_is_heard(event: ev.Event) -> None:
    turn = after(ev.TimerRang("eggs"), event)

    turn.step(event)

    assert turn.state is State.LISTENING


@pytest.mark.parametrize("event", [ev.ButtonPressed(), TALK, WAKE])
def test_a_ring_is_silenced_over_a_reply_which_plays_on(event: ev.Event) -> None:
    turn = after(*ANSWERED, ev.TimerRang("eggs"))

    actions = turn.step(event)

    assert (turn.state, actions, turn.conditions) == (State.SPEAKING, [], frozenset())


def test_a_ring_goes_on_until_it_is_stopped() -> None:
    turn = after(ev.TimerRang("eggs"))

    rings = [turn.step(ev.RingDue()) for _ in range(3)]

    assert rings == [[Chime("timer")]] * 3
    assert turn.deadline_s is None
    assert after(ev.TimerRang("eggs"), ev.RingSilenced()).step(ev.RingDue()) == []


@pytest.mark.parametrize("words", ["Stop!", "okay, stop.", "Halt", "¡para!", "रुको", "止めて", "Tais-toi !"])
def test_a_spoken_stop_silences_a_ring_and_its_answer_is_for_nobody(words: str) -> None:
    turn = after(*OPEN, ev.TimerRang("eggs"), SPEECH, PAUSE)

    turn.step(ev.UserSaid(1, words))
    answer = turn.step(STARTED)

    assert (turn.state, turn.conditions) == (State.LISTENING, frozenset())
    assert answer == [Drop(1)]


def test_a_spoken_stop_that_is_answered_already_drops_that_answer_and_no_other() -> None:
    turn = after(*OPEN, ev.TimerRang("eggs"), SPEECH, PAUSE, STARTED)

    actions = turn.step(ev.UserSaid(1, "stop"))

    assert actions == [Drop(1)]
    assert turn.step(ev.ReplyStarted(1, 2)) == []


def test_a_spoken_stop_over_a_reply_leaves_it_alone() -> None:
    turn = after(*ANSWERED, ev.TimerRang("eggs"))

    actions = turn.step(ev.UserSaid(1, "stop"))

    assert (turn.state, actions, turn.conditions) == (State.SPEAKING, [], frozenset())


@pytest.mark.parametrize("words", ["what about the bus stop over there", "five more minutes", "nonstop", ""])
def test_other_words_leave_a_ring_to_the_agents_tool(words: str) -> None:
    turn = after(*OPEN, ev.TimerRang("eggs"), SPEECH, PAUSE)

    turn.step(ev.UserSaid(1, words))

    assert (turn.state, turn.conditions) == (State.THINKING, {"ringing"})


def test_a_spoken_stop_is_a_word_like_any_other_where_nothing_rings() -> None:
    turn = after(*OPEN, SPEECH, PAUSE, ev.UserSaid(1, "stop"))

    assert turn.step(STARTED) == []
    assert turn.state is State.THINKING


def test_a_ring_waits_while_somebody_has_the_floor() -> None:
    turn = after(*OPEN, ev.TimerRang("eggs"))

    actions = turn.step(ev.RingDue())

    assert (turn.state, actions, turn.conditions) == (State.LISTENING, [], {"ringing"})
