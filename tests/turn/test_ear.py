"""The user's ear: mute, microphone, uplink, push-to-talk."""

from __future__ import annotations

import pytest

from pivoice.turn import events as ev
from pivoice.turn.actions import Chime, OpenUplink
from pivoice.turn.machine import Deadline, Link, State
from tests.turn.situations import (
    ASKED,
    DRAINED,
    MUTE,
    NEW,
    OPEN,
    PAUSE,
    RELEASE,
    SENT,
    SPEECH,
    STARTED,
    TALK,
    UNMUTE,
    WAKE,
    WORDS,
    after,
    pass_deadline,
)


def test_muting_while_listening_ends_the_conversation() -> None:
    turn = after(*OPEN, MUTE)

    assert turn.state is State.IDLE
    assert not turn.wants_microphone


@pytest.mark.parametrize("event", [ev.ReplyInterrupted(1, 1), DRAINED, ev.HushAsked()])
def test_a_late_event_cannot_reopen_a_muted_microphone(event: ev.Event) -> None:
    turn = after(*SENT, MUTE)

    turn.step(event)

    assert turn.state is State.IDLE
    assert turn.uplink is ev.Valve.CLOSED


def test_a_muted_user_still_hears_the_answer() -> None:
    turn = after(*ASKED, STARTED, MUTE, ev.ReplyAudible(1))

    assert turn.state is State.SPEAKING
    assert turn.uplink is ev.Valve.SILENT


def test_unmuting_during_the_answer_gives_the_user_the_follow_up() -> None:
    turn = after(*SENT, MUTE, UNMUTE, DRAINED)

    assert (turn.state, turn.deadline) == (State.LISTENING, Deadline.FOLLOW_UP)


def test_an_answer_to_words_said_before_the_mute_is_waited_for() -> None:
    turn = after(*SENT, SPEECH, MUTE)

    turn.step(WORDS)

    assert turn.state is State.THINKING


def test_a_microphone_lost_while_the_agent_speaks_counts_as_muted() -> None:
    turn = after(*SENT, ev.CaptureLost("unplugged"), DRAINED)

    assert turn.state is State.IDLE


def test_a_microphone_lost_while_listening_keeps_the_deadline() -> None:
    turn = after(*OPEN)
    serial = turn.deadline_serial

    turn.step(ev.CaptureLost("unplugged"))

    assert (turn.state, turn.deadline_serial) == (State.LISTENING, serial)
    assert turn.conditions == {"no_microphone"}


def test_a_microphone_found_again_gives_the_user_the_floor_after_the_reply() -> None:
    turn = after(*SENT, ev.CaptureLost("unplugged"), ev.CaptureFound(), DRAINED)

    assert turn.state is State.LISTENING
    assert turn.conditions == frozenset()


def test_the_uplink_is_live_while_the_link_is_made() -> None:
    turn = after(WAKE)

    assert turn.link is Link.CONNECTING
    assert turn.uplink is ev.Valve.LIVE


def test_no_speaker_no_conversation() -> None:
    turn = after(ev.PlaybackLost("unplugged"))

    actions = turn.step(WAKE)

    assert (turn.state, actions) == (State.IDLE, [Chime("error")])


def test_the_voice_goes_up_while_the_button_is_held() -> None:
    turn = after(TALK, NEW)
    assert (turn.uplink, turn.deadline) == (ev.Valve.LIVE, Deadline.LONG_SPEECH)

    turn.step(RELEASE)

    assert (turn.state, turn.uplink) == (State.THINKING, ev.Valve.SILENT)


def test_the_follow_up_of_push_to_talk_is_silent_until_the_button_is_held() -> None:
    turn = after(TALK, NEW, RELEASE, WORDS, STARTED, ev.ReplyAudible(1), DRAINED)
    assert (turn.state, turn.uplink) == (State.LISTENING, ev.Valve.SILENT)

    actions = turn.step(TALK)

    assert turn.uplink is ev.Valve.LIVE
    assert actions == [OpenUplink(None, False)]


def test_a_stuck_button_is_taken_for_released() -> None:
    turn = after(TALK, NEW)

    pass_deadline(turn)

    assert (turn.state, turn.uplink) == (State.THINKING, ev.Valve.SILENT)


def test_a_button_pressed_for_nothing_is_not_an_error() -> None:
    turn = after(TALK, NEW, RELEASE)

    actions = turn.step(ev.DeadlinePassed(turn.deadline_serial))

    assert (turn.state, actions[-1]) == (State.IDLE, Chime("end"))


def test_speech_that_the_server_hears_after_the_release_ends_by_itself() -> None:
    turn = after(TALK, NEW, RELEASE, SPEECH)
    assert turn.uplink is ev.Valve.SILENT

    turn.step(PAUSE)

    assert turn.state is State.THINKING


def test_muting_while_the_button_is_held_lets_go_of_it() -> None:
    turn = after(TALK, NEW, STARTED, ev.ReplyAudible(1), MUTE, UNMUTE)

    assert turn.state is State.SPEAKING
    assert turn.uplink is ev.Valve.SILENT


def test_the_wake_word_turns_push_to_talk_into_hands_free() -> None:
    turn = after(TALK, NEW, RELEASE, WORDS, STARTED, ev.ReplyAudible(1), DRAINED)

    actions = turn.step(WAKE)

    assert turn.uplink is ev.Valve.LIVE
    assert actions == [OpenUplink(16000, True)]


def test_a_switch_mutes_as_a_button_does() -> None:
    turn = after(*OPEN)

    actions = turn.step(ev.MuteSwitched(on=True))

    assert (turn.state, turn.muted, actions[-1]) == (State.IDLE, True, Chime("mute"))


def test_nothing_unmutes_against_the_switch_now_or_later() -> None:
    turn = after(ev.MuteSwitched(on=True))

    refused = turn.step(UNMUTE)

    assert refused == [Chime("muted")]
    assert turn.muted and not turn.wants_microphone
    assert turn.step(ev.MuteSwitched(on=False)) == [Chime("unmute")]
    assert not turn.muted


def test_a_switch_set_free_leaves_what_was_asked_for_besides() -> None:
    turn = after(MUTE, ev.MuteSwitched(on=True))

    assert turn.step(ev.MuteSwitched(on=False)) == []
    assert turn.muted
    assert turn.step(UNMUTE) == [Chime("unmute")]


def test_an_unmute_that_the_switch_refused_takes_back_the_mute_of_before_neither() -> None:
    turn = after(MUTE, ev.MuteSwitched(on=True), UNMUTE)

    turn.step(ev.MuteSwitched(on=False))

    assert turn.muted
