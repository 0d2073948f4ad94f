"""Who has the floor when two speak, and which reply may sound."""

from __future__ import annotations

from pivoice.turn import events as ev
from pivoice.turn.actions import Drop
from pivoice.turn.machine import Deadline, State
from tests.turn.situations import (
    ANSWERED,
    ASKED,
    DRAINED,
    OPEN,
    PAUSE,
    SENT,
    SPEECH,
    STARTED,
    WORDS,
    after,
    pass_deadline,
)


def test_a_false_alarm_comes_back_to_full_level() -> None:
    turn = after(*ANSWERED, SPEECH)
    assert turn.is_ducked

    pass_deadline(turn)

    assert turn.state is State.SPEAKING
    assert not turn.is_ducked


def test_half_duplex_does_not_duck_for_what_can_only_be_an_echo() -> None:
    turn = after(*ANSWERED, half_duplex=True)

    turn.step(SPEECH)

    assert turn.state is State.SPEAKING


def test_an_interruption_after_the_words_waits_for_their_answer() -> None:
    turn = after(*ANSWERED, SPEECH, PAUSE, WORDS)

    turn.step(ev.ReplyInterrupted(1, 1))

    assert turn.state is State.THINKING


def test_words_over_a_reply_that_was_sent_whole_cut_it() -> None:
    turn = after(*SENT, SPEECH, PAUSE)

    actions = turn.step(WORDS)

    assert (turn.state, actions) == (State.THINKING, [Drop(1)])


def test_words_over_a_reply_that_is_still_being_sent_are_the_servers_to_judge() -> None:
    turn = after(*ANSWERED, SPEECH, PAUSE)

    actions = turn.step(WORDS)

    assert (turn.state, actions) == (State.YIELDING, [])


def test_a_late_transcript_does_not_cut_its_own_answer() -> None:
    turn = after(*OPEN, SPEECH, PAUSE, STARTED, ev.ReplyAudible(1), ev.ReplyEnded(1, 1))

    actions = turn.step(WORDS)

    assert (turn.state, actions) == (State.SPEAKING, [])


def test_words_that_were_never_announced_cut_a_reply_that_was_sent_whole() -> None:
    turn = after(*OPEN, WORDS, STARTED, ev.ReplyAudible(1), ev.ReplyEnded(1, 1))

    actions = turn.step(WORDS)

    assert (turn.state, actions) == (State.THINKING, [Drop(1)])


def test_the_second_half_of_the_question_does_not_cut_its_answer() -> None:
    question = (SPEECH, PAUSE, SPEECH, WORDS, PAUSE)
    turn = after(*OPEN, *question, STARTED, ev.ReplyAudible(1), ev.ReplyEnded(1, 1))

    turn.step(WORDS)

    assert turn.state is State.SPEAKING


def test_the_answer_to_words_over_a_reply_replaces_it() -> None:
    turn = after(*ANSWERED, SPEECH, PAUSE, WORDS, ev.ReplyEnded(1, 1))

    actions = turn.step(ev.ReplyStarted(1, 2))

    assert (turn.state, actions) == (State.THINKING, [Drop(1)])


def test_a_second_reply_without_words_queues_behind_the_first() -> None:
    turn = after(*SENT, ev.ReplyStarted(1, 2))
    assert turn.state is State.SPEAKING

    turn.step(DRAINED)

    assert turn.state is State.THINKING


def test_three_replies_in_a_row_are_heard_one_after_the_other() -> None:
    turn = after(
        *SENT, ev.ReplyStarted(1, 2), ev.ReplyEnded(1, 2), ev.ReplyStarted(1, 3), ev.ReplyEnded(1, 3)
    )

    for reply in (2, 3):
        assert turn.step(ev.ReplyAudible(reply)) == []
        assert turn.state is State.SPEAKING
    turn.step(ev.PlaybackDrained(3))

    assert turn.state is State.LISTENING


def test_an_uh_huh_that_is_not_answered_is_not_an_error() -> None:
    turn = after(*ANSWERED, SPEECH, PAUSE, WORDS, ev.ReplyEnded(1, 1), DRAINED)
    assert (turn.state, turn.deadline) == (State.THINKING, Deadline.YIELD)

    pass_deadline(turn)

    assert (turn.state, turn.deadline) == (State.LISTENING, Deadline.FOLLOW_UP)


def test_whoever_speaks_when_the_reply_ends_has_the_floor() -> None:
    turn = after(*SENT, SPEECH, DRAINED)

    assert (turn.state, turn.deadline) == (State.LISTENING, Deadline.LONG_SPEECH)


def test_a_dead_reply_never_becomes_audible() -> None:
    turn = after(*ASKED, STARTED, ev.ReplyInterrupted(1, 1))

    turn.step(ev.ReplyAudible(1))

    assert turn.state is State.THINKING


def test_a_reply_that_had_no_serial_yet_is_dropped_when_it_starts() -> None:
    turn = after(*ASKED, ev.HushAsked())

    actions = turn.step(STARTED)

    assert (turn.state, actions) == (State.LISTENING, [Drop(1)])


def test_a_reply_to_what_the_user_said_since_the_drop_is_not_dropped() -> None:
    turn = after(*ASKED, ev.HushAsked(), SPEECH, PAUSE)

    actions = turn.step(STARTED)

    assert (turn.state, actions) == (State.THINKING, [])


def test_sound_of_a_session_that_is_over_is_silenced() -> None:
    turn = after(*ANSWERED, ev.StopAsked())

    actions = turn.step(ev.ReplyAudible(2))

    assert (turn.state, actions) == (State.IDLE, [Drop(2)])


def test_unknown_sound_over_a_reply_hands_the_floor_on() -> None:
    turn = after(*SENT)

    actions = turn.step(ev.ReplyAudible(2))

    assert (turn.state, actions) == (State.LISTENING, [Drop(2)])


def test_a_reply_too_quiet_to_hear_ends_without_an_error() -> None:
    turn = after(*ASKED, STARTED, ev.ReplyEnded(1, 1))

    actions = turn.step(DRAINED)

    assert (turn.state, actions) == (State.LISTENING, [])
