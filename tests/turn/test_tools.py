"""Tools, goodbyes, and what the owner wants said."""

from __future__ import annotations

from pivoice.turn import events as ev
from pivoice.turn.actions import (
    AskAgain,
    CancelTools,
    Chime,
    Drop,
    End,
    OpenUplink,
    RunTool,
    Say,
    SendToolResult,
)
from pivoice.turn.floor import SAYS
from pivoice.turn.machine import Deadline, State
from tests.turn.situations import (
    ANSWER,
    ANSWERED,
    ASKED,
    DRAINED,
    DROPPED,
    FOLLOW_UP,
    NEW,
    OPEN,
    PAUSE,
    RESUMED,
    SENT,
    SPEECH,
    STARTED,
    TOOL,
    WAKE,
    WORDS,
    after,
)


def test_a_drain_waits_for_the_tool() -> None:
    turn = after(*ANSWERED, TOOL, ev.ReplyEnded(1, 1), DRAINED)

    assert (turn.state, turn.deadline) == (State.THINKING, Deadline.TOOL)


def test_a_drain_waits_for_the_reply_to_an_answer_that_was_sent() -> None:
    turn = after(*ANSWERED, TOOL, ANSWER, ev.ReplyEnded(1, 1), DRAINED)

    assert (turn.state, turn.deadline) == (State.THINKING, Deadline.NO_REPLY)


def test_the_silent_reply_that_carried_a_call_is_not_an_error() -> None:
    turn = after(*ASKED, STARTED, TOOL, ANSWER)

    actions = turn.step(ev.ReplySilent(1, 1))

    assert (turn.state, actions) == (State.THINKING, [Drop(1)])


def test_an_answer_is_kept_while_the_link_is_away() -> None:
    turn = after(*ASKED, TOOL, DROPPED)
    assert turn.step(ANSWER) == []

    actions = turn.step(RESUMED)

    assert actions == [SendToolResult("call", "noon", False)]


def test_an_answer_to_a_session_that_forgot_is_not_sent() -> None:
    turn = after(*ASKED, TOOL, DROPPED, ANSWER)

    actions = turn.step(NEW)

    assert actions == [CancelTools(), AskAgain()]


def test_an_interrupted_reply_takes_its_tools_with_it() -> None:
    turn = after(*ANSWERED, TOOL, ev.ReplyInterrupted(1, 1))

    actions = turn.step(ANSWER)

    assert actions == []


def test_who_speaks_over_a_tool_voids_its_call_though_the_reply_that_called_it_was_silent() -> None:
    turn = after(*ASKED, STARTED, TOOL, ev.ReplySilent(1, 1), SPEECH)

    actions = turn.step(ev.ReplyInterrupted(1, 1))

    assert CancelTools() in actions
    assert turn.step(ANSWER) == []
    assert not turn.memory.awaits_tool, "the next answer would be waited for in vain"


def test_a_tool_of_a_newer_reply_survives_the_interruption() -> None:
    turn = after(*SENT, ev.ReplyStarted(1, 2), ev.ToolCalled(1, 2, "newer", "get_time", {}))

    assert CancelTools() not in turn.step(ev.ReplyInterrupted(1, 1))

    assert turn.step(ev.ToolFinished(1, "newer", "noon")) == [SendToolResult("newer", "noon", False)]


def test_a_tool_called_outside_a_reply_is_run() -> None:
    turn = after(*ASKED)

    actions = turn.step(ev.ToolCalled(1, 0, "call", "get_time", {}))

    assert actions == [RunTool(1, "call", "get_time", {})]


def test_a_goodbye_is_heard_to_its_end() -> None:
    turn = after(*ANSWERED, ev.GoodbyeAsked(1))
    assert turn.state is State.SPEAKING

    turn.step(DRAINED)

    assert turn.state is State.IDLE


def test_a_goodbye_in_the_reply_that_follows_the_tool_is_heard_too() -> None:
    turn = after(*SENT, TOOL, ANSWER, ev.GoodbyeAsked(1), ev.ReplyStarted(1, 2), DRAINED)
    assert turn.state is State.THINKING

    turn.step(ev.ReplyAudible(2))
    turn.step(ev.PlaybackDrained(2))

    assert turn.state is State.IDLE


def test_a_goodbye_that_is_never_spoken_does_not_keep_the_session_open_for_long() -> None:
    turn = after(*ASKED, STARTED, TOOL, ev.GoodbyeAsked(1), ANSWER, ev.ReplySilent(1, 1))
    assert turn.deadline is Deadline.GOODBYE

    actions = turn.step(ev.DeadlinePassed(turn.deadline_serial))

    assert turn.state is State.IDLE
    assert (End() in actions, actions[-1]) == (True, Chime("end"))


def test_a_goodbye_that_has_begun_is_waited_for_like_any_answer() -> None:
    turn = after(*ASKED, STARTED, TOOL, ev.GoodbyeAsked(1), ANSWER, ev.ReplySilent(1, 1))

    turn.step(ev.ReplyStarted(1, 2))

    assert turn.deadline is Deadline.NO_REPLY


def test_words_over_a_goodbye_take_it_back() -> None:
    turn = after(*SENT, ev.GoodbyeAsked(1), SPEECH, PAUSE, WORDS, ev.ReplyStarted(1, 2))

    turn.step(ev.ReplyAudible(2))
    turn.step(ev.PlaybackDrained(2))

    assert turn.state is State.LISTENING


def test_a_goodbye_does_not_hang_up_on_a_speaking_user() -> None:
    turn = after(*FOLLOW_UP, SPEECH)

    turn.step(ev.GoodbyeAsked(1))

    assert turn.state is State.LISTENING


def test_a_goodbye_with_nothing_left_to_say_is_not_an_error() -> None:
    turn = after(*ASKED, STARTED, ev.GoodbyeAsked(1))

    actions = turn.step(ev.ReplySilent(1, 1))

    assert (turn.state, actions[-1]) == (State.IDLE, Chime("end"))


def test_a_say_opens_a_session_and_speaks_once_it_is_ready() -> None:
    turn = after(ev.SayAsked("tea"))

    actions = turn.step(NEW)

    assert actions == [Say("tea")]
    assert turn.state is State.THINKING


def test_a_say_sends_nobodys_voice() -> None:
    turn = after(ev.SayAsked("tea"), NEW, STARTED, ev.ReplyAudible(1))
    assert turn.uplink is ev.Valve.SILENT

    turn.step(DRAINED)

    assert turn.state is State.IDLE


def test_a_wake_word_during_a_say_opens_the_uplink() -> None:
    turn = after(ev.SayAsked("tea"), NEW, STARTED, ev.ReplyAudible(1))

    actions = turn.step(WAKE)

    assert actions == [Drop(1), CancelTools(), OpenUplink(16000, True)]
    assert turn.uplink is ev.Valve.LIVE


def test_a_say_waits_until_the_answer_was_heard() -> None:
    turn = after(*ASKED, ev.SayAsked("tea"), STARTED, ev.ReplyAudible(1), ev.ReplyEnded(1, 1))

    actions = turn.step(DRAINED)

    assert (turn.state, actions) == (State.THINKING, [Say("tea")])


def test_a_say_does_not_talk_over_the_user() -> None:
    turn = after(*OPEN, SPEECH)

    actions = turn.step(ev.SayAsked("tea"))

    assert (turn.state, actions) == (State.LISTENING, [])


def test_a_cough_does_not_cost_a_say() -> None:
    turn = after(*OPEN, SPEECH, ev.SayAsked("tea"), PAUSE)

    actions = turn.step(ev.DeadlinePassed(turn.deadline_serial))

    assert (turn.state, actions) == (State.THINKING, [Say("tea")])


def test_a_say_is_said_again_to_a_session_that_forgot() -> None:
    turn = after(*FOLLOW_UP, ev.SayAsked("tea"), DROPPED)

    actions = turn.step(NEW)

    assert actions == [Say("tea")]


def test_too_many_says_are_refused_and_counted() -> None:
    turn = after(*ANSWERED, *(ev.SayAsked("tea") for _ in range(SAYS + 2)))

    assert len(turn.memory.says) == SAYS
    assert turn.says_lost == 2
