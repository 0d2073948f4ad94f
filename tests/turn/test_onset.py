"""A reply that ducks on the device's own suspicion: for how long, where, and how it is counted."""

from __future__ import annotations

import dataclasses

import pytest

from pivoice.turn import events as ev
from pivoice.turn.floor import SUSPICIONS
from pivoice.turn.machine import Deadline, Deadlines, State, Turn
from tests.turn.situations import (
    ANSWERED,
    ASKED,
    DRAINED,
    DROPPED,
    LOST,
    MUTE,
    NEW,
    OPEN,
    PAUSE,
    SENT,
    SPEECH,
    STARTED,
    TALK,
    WAKE,
    after,
    pass_deadline,
)

ONSET = ev.OnsetHeard()


def counts(turn: Turn) -> dict[str, int]:
    """Return what is not zero of the machine's ducks."""
    return {name: count for name, count in dataclasses.asdict(turn.ducks).items() if count}


def test_an_onset_ducks_the_reply_for_a_moment_of_its_own() -> None:
    turn = after(*ANSWERED)

    actions = turn.step(ONSET)

    assert (turn.state, turn.deadline, actions) == (State.YIELDING, Deadline.ONSET, [])
    assert turn.is_ducked
    assert turn.deadline_s == Deadlines().onset_s == 0.7


def test_an_onset_that_nobody_confirms_costs_a_dip() -> None:
    turn = after(*ANSWERED, ONSET)

    pass_deadline(turn)

    assert (turn.state, turn.is_ducked, turn.memory.audible) == (State.SPEAKING, False, 1)


@pytest.mark.parametrize(
    ("told", "deadline"), [((SPEECH,), Deadline.YIELD), ((SPEECH, PAUSE), Deadline.YIELD_SHORT)]
)
def test_the_servers_word_takes_over_from_an_onset(told: tuple[ev.Event, ...], deadline: Deadline) -> None:
    turn = after(*ANSWERED, ONSET, *told)

    assert (turn.state, turn.deadline) == (State.YIELDING, deadline)


@pytest.mark.parametrize("history", [(ONSET,), (SPEECH,), (ONSET, SPEECH), (SPEECH, PAUSE)])
def test_a_further_onset_does_not_prolong_what_is_ducked(history: tuple[ev.Event, ...]) -> None:
    turn = after(*ANSWERED, *history)
    serial = turn.deadline_serial

    turn.step(ONSET)

    assert (turn.state, turn.deadline_serial) == (State.YIELDING, serial)
    assert turn.ignored["OnsetHeard"] == 1


def test_who_goes_on_talking_is_ducked_for_again() -> None:
    turn = after(*ANSWERED, ONSET)
    pass_deadline(turn)

    turn.step(ONSET)

    assert turn.is_ducked


def test_an_endless_false_onset_is_believed_three_times() -> None:
    turn = after(*ANSWERED)

    for _ in range(20):
        turn.step(ONSET)
        if turn.is_ducked:
            pass_deadline(turn)

    assert turn.ducks.on_suspicion == SUSPICIONS == 3


@pytest.mark.parametrize(
    "between", [(SPEECH, PAUSE), (ev.ReplyStarted(1, 2), ev.ReplyAudible(2))], ids=["a word", "a reply"]
)
def test_the_servers_word_and_the_next_reply_make_an_onset_credible_again(
    between: tuple[ev.Event, ...],
) -> None:
    turn = after(*SENT)
    for _ in range(SUSPICIONS):
        turn.step(ONSET)
        pass_deadline(turn)
    turn.step(ONSET)
    assert not turn.is_ducked

    for event in between:
        turn.step(event)
    if turn.is_ducked:
        pass_deadline(turn)
    turn.step(ONSET)

    assert turn.is_ducked


@pytest.mark.parametrize(
    "history",
    [
        (),
        OPEN,
        ASKED,
        (*ANSWERED, MUTE),
        (*ANSWERED, ev.CaptureLost("unplugged")),
        (*ANSWERED, DROPPED),
        (*ANSWERED, LOST),
        (ev.SayAsked("dinner"), NEW, STARTED, ev.ReplyAudible(1)),
        (TALK, NEW, ev.TalkReleased(), STARTED, ev.ReplyAudible(1)),
    ],
    ids=["idle", "listening", "thinking", "muted", "deaf", "resuming", "link lost", "say alone", "not held"],
)
def test_an_onset_that_nobody_could_confirm_does_nothing(history: tuple[ev.Event, ...]) -> None:
    turn = after(*history)
    before = turn.snapshot()

    actions = turn.step(ONSET)

    assert (actions, turn.snapshot()) == ([], before)


def test_half_duplex_has_no_ear_for_an_onset() -> None:
    turn = after(*ANSWERED, half_duplex=True)

    turn.step(ONSET)

    assert turn.state is State.SPEAKING


@pytest.mark.parametrize("event", [DROPPED, LOST, MUTE, ev.CaptureLost("unplugged")])
def test_a_reply_comes_back_up_when_nobody_is_left_to_confirm(event: ev.Event) -> None:
    turn = after(*ANSWERED, ONSET)

    turn.step(event)

    assert (turn.state, turn.is_ducked) == (State.SPEAKING, False)


@pytest.mark.parametrize(
    ("event", "state"),
    [
        (ev.ReplyInterrupted(1, 1), State.LISTENING),
        (WAKE, State.LISTENING),
        (ev.ButtonPressed(), State.LISTENING),
    ],
)
def test_the_server_the_wake_word_and_the_button_cut_what_an_onset_ducked(
    event: ev.Event, state: State
) -> None:
    turn = after(*ANSWERED, ONSET)

    turn.step(event)

    assert (turn.state, turn.dead) == (state, 1)
    assert counts(turn) == {"on_suspicion": 1, "cut": 1}


def test_a_reply_that_ends_ducked_hands_the_floor_on_as_any_other() -> None:
    turn = after(*SENT, ONSET, DRAINED)

    assert (turn.state, turn.deadline) == (State.LISTENING, Deadline.FOLLOW_UP)
    assert counts(turn) == {"on_suspicion": 1, "played_out": 1}


def test_ducks_are_counted_by_who_was_heard_and_what_became_of_them() -> None:
    turn = after(*ANSWERED, ONSET)
    pass_deadline(turn)
    turn.step(SPEECH)
    pass_deadline(turn)
    turn.step(ONSET)
    turn.step(SPEECH)

    turn.step(ev.ReplyInterrupted(1, 1))

    assert counts(turn) == {"on_suspicion": 2, "on_word": 1, "confirmed": 1, "came_back": 2, "cut": 1}
