"""What waits to be told: one answer for every call, each message at its moment."""

from __future__ import annotations

import json

import pytest

from pivoice.agent import wire
from pivoice.agent.outbox import (
    ANSWER_S,
    CALL_S,
    CANCELLED,
    FOLLOW_UP_S,
    GIVE_UP_S,
    HOLD_S,
    MAX_ANSWERS,
    MAX_CALLS,
    MAX_SAYS,
    Outbox,
)
from pivoice.turn import events
from tests.agent.talk import LOUD, QUIET, Talk


def test_a_held_result_goes_out_when_the_reply_ends():
    outbox = Outbox()
    outbox.reply_started(1)
    outbox.call_came("a", 1, 0.0)
    outbox.reply_audible()
    outbox.answer("a", "sunny", is_error=False, now_s=0.1)
    held = outbox.next(0.2)

    outbox.reply_over(1)
    message, _ = outbox.next(0.3)

    assert held == (None, pytest.approx(HOLD_S - 0.1))
    assert message == wire.ToolResult("a", "sunny", False)


def test_a_request_to_speak_waits_no_longer_than_a_reply_that_is_owed():
    outbox = Outbox()
    outbox.call_came("a", 1, 0.0)
    outbox.answer("a", "sunny", is_error=False, now_s=0.0)
    result, _ = outbox.next(0.0)
    assert result is not None
    outbox.sent(result, 0.0)
    outbox.say("hello")

    early, late = outbox.next(1.0), outbox.next(FOLLOW_UP_S)

    assert early == (None, pytest.approx(FOLLOW_UP_S - 1.0))
    assert late[0] == wire.ReplyCreate("hello")


def test_a_call_that_is_never_answered_does_not_keep_the_agent_silent_for_ever():
    outbox = Outbox()
    outbox.call_came("a", 1, 0.0)
    outbox.say("hello")

    assert outbox.next(1.0)[0] is None
    assert outbox.next(CALL_S)[0] == wire.ReplyCreate("hello")


def test_what_waits_is_bounded_and_what_is_refused_is_counted():
    outbox = Outbox()

    calls = [outbox.call_came(str(number), 1, 0.0) for number in range(MAX_CALLS + 3)]
    says = [outbox.say(str(number)) for number in range(MAX_SAYS + 2)]

    assert calls.count(False) == 3
    assert says.count(False) == 2
    assert outbox.dropped == 5


def test_a_call_told_twice_is_run_once():
    outbox = Outbox()

    assert outbox.call_came("a", 1, 0.0)
    assert not outbox.call_came("a", 1, 0.1)


# --- one answer for every call ---


def test_a_call_of_a_reply_that_was_hushed_is_answered_at_once_and_not_run():
    talk = Talk()
    talk.hear("reply.started", reply_id="r")
    talk.dialogue.replies.kill(1)

    talk.call("a")
    talk.deliver()

    assert talk.answers["a"].is_error
    assert json.loads(talk.answers["a"].result) == {"error": CANCELLED}
    assert talk.kinds == ["ReplyStarted"]


def test_a_call_that_comes_after_its_reply_was_interrupted_is_answered_and_not_run():
    talk = Talk()
    talk.hear("reply.started", reply_id="r")
    talk.hear("reply.done", reply_id="r", status="interrupted")

    talk.call("late")
    talk.deliver()

    assert talk.answers["late"].is_error
    assert "ToolCalled" not in talk.kinds


def test_a_call_before_any_reply_is_run():
    talk = Talk()

    talk.call("a")

    assert talk.posted == [events.ToolCalled(1, 0, "a", "get_weather", {})]


def test_a_call_after_the_silent_end_of_its_reply_is_run():
    talk = Talk()
    talk.hear("reply.started", reply_id="r")
    talk.hear("reply.audio", reply_id="r", data=QUIET)
    talk.hear("reply.done", reply_id="r")
    talk.dialogue.replies.kill(1)  # as the turn machine does: nobody needs to hear its silence

    talk.call("a")

    assert talk.posted[-1] == events.ToolCalled(1, 0, "a", "get_weather", {})


def test_a_call_that_is_one_too_many_is_refused_in_words():
    talk = Talk()

    for number in range(MAX_CALLS + 1):
        talk.call(str(number))
    talk.deliver()

    assert talk.kinds.count("ToolCalled") == MAX_CALLS
    assert list(talk.answers) == [str(MAX_CALLS)]
    assert "open already" in json.loads(talk.answers[str(MAX_CALLS)].result)["error"]


def test_calls_that_nobody_can_be_told_about_are_bounded():
    outbox = Outbox()

    for number in range(10 * MAX_ANSWERS):
        outbox.call_came(str(number), 1, 0.0)

    assert len(outbox._calls) == MAX_ANSWERS
    assert outbox.dropped == 10 * MAX_ANSWERS - MAX_CALLS


def test_a_call_whose_tool_is_lost_is_answered_before_the_server_gives_up():
    talk = Talk()
    talk.call("a")

    talk.deliver(until_s=GIVE_UP_S)
    talk.dialogue.answer("a", "too late", is_error=False)
    talk.deliver(until_s=300.0)

    assert talk.answers["a"].is_error


def test_a_call_of_an_older_reply_is_given_up_when_a_newer_one_is_interrupted():
    talk = Talk()
    talk.hear("reply.started", reply_id="a")
    talk.call("old")
    talk.hear("reply.done", reply_id="a")
    talk.hear("reply.started", reply_id="b")
    talk.call("dead")

    talk.hear("reply.done", reply_id="b", status="interrupted")
    talk.deliver()

    assert list(talk.answers) == ["old"]


def test_a_fresh_session_may_use_a_calls_name_again():
    talk = Talk()
    talk.dialogue.session_ready(wire.Ready("s"))
    talk.call("a")

    talk.dialogue.lose_link()
    talk.dialogue.forget_session(is_greeting=False)
    talk.call("a")
    talk.dialogue.answer("a", "{}", is_error=False)
    talk.deliver()

    assert talk.kinds.count("ToolCalled") == 2
    assert list(talk.answers) == ["a"]


def test_what_the_broken_link_swallowed_is_told_again_and_what_arrived_is_not():
    outbox = Outbox()
    for call_id in ("arrived", "swallowed"):
        outbox.call_came(call_id, 1, 0.0)
        outbox.answer(call_id, "{}", is_error=False, now_s=0.0)
    outbox.say("hello")
    for end in (100, 200):
        message, _ = outbox.next(0.0)
        assert message is not None
        outbox.sent(message, 0.0, end=end)

    outbox.link_dropped(150)
    again, _ = outbox.next(0.1)

    assert again == wire.ToolResult("swallowed", "{}", False)
    outbox.sent(again, 0.1)
    assert outbox.next(0.1 + FOLLOW_UP_S)[0] == wire.ReplyCreate("hello")


def test_a_request_to_speak_that_the_broken_link_swallowed_is_made_again():
    outbox = Outbox()
    outbox.say("hello")
    message, _ = outbox.next(0.0)
    assert message is not None
    outbox.sent(message, 0.0, end=100)

    outbox.link_dropped(0)

    assert outbox.next(0.1)[0] == wire.ReplyCreate("hello")


def test_the_result_of_an_interrupted_reply_is_not_told_again_either():
    outbox = Outbox()
    outbox.reply_started(1)
    outbox.call_came("a", 1, 0.0)
    outbox.answer("a", "{}", is_error=False, now_s=0.0)
    message, _ = outbox.next(0.0)
    assert message is not None
    outbox.sent(message, 0.0, end=100)

    outbox.reply_interrupted(1, 0.1)
    outbox.link_dropped(0)

    assert outbox.next(0.2)[0] is None


# --- its moment ---


def test_a_result_does_not_fall_into_another_reply_but_waits_no_longer_than_its_deadline():
    talk = Talk()
    talk.hear("reply.started", reply_id="a")
    talk.call("slow")
    talk.hear("reply.done", reply_id="a")
    talk.hear("reply.started", reply_id="b")  # about something else, and silent still

    talk.dialogue.answer("slow", "{}", is_error=False)
    talk.deliver(until_s=HOLD_S - 0.1)
    early = dict(talk.answers)
    talk.deliver(until_s=HOLD_S)

    assert not early
    assert "slow" in talk.answers


def test_a_result_does_not_fall_into_the_users_words_but_waits_no_longer_than_its_deadline():
    talk = Talk()
    talk.call("a")
    talk.hear("input.speech.started")

    talk.dialogue.answer("a", "{}", is_error=False)
    talk.deliver(until_s=HOLD_S - 0.1)
    early = dict(talk.answers)
    talk.deliver(until_s=HOLD_S)

    assert not early
    assert "a" in talk.answers


def test_the_silent_reply_that_asked_gets_its_result_at_once_whatever_else_is_told():
    talk = Talk()
    talk.hear("input.speech.started")
    talk.hear("reply.started", reply_id="a")  # before the server says that the user has stopped
    talk.hear("reply.audio", reply_id="a", data=QUIET)
    talk.call("a")

    talk.dialogue.answer("a", "{}", is_error=False)
    talk.deliver()

    assert "a" in talk.answers


def test_a_request_to_speak_waits_until_the_user_was_answered():
    talk = Talk()
    talk.hear("input.speech.started")
    talk.dialogue.say("dinner is ready")
    talk.deliver(until_s=5.0)
    talk.hear("input.speech.stopped")
    talk.hear("transcript.user", text="What time is it?")
    talk.deliver(until_s=6.0)
    talk.hear("reply.started", reply_id="r")
    talk.hear("reply.audio", reply_id="r", data=LOUD)
    talk.deliver(until_s=30.0)
    before = list(talk.says)

    talk.hear("reply.done", reply_id="r")
    talk.deliver()

    assert not before
    assert talk.says == ["dinner is ready"]


def test_a_request_to_speak_does_not_wait_for_an_answer_that_does_not_come():
    talk = Talk()
    talk.hear("input.speech.started")
    talk.hear("input.speech.stopped")
    talk.dialogue.say("dinner is ready")

    talk.deliver(until_s=ANSWER_S)

    assert talk.says == ["dinner is ready"]


def test_a_fresh_session_is_not_asked_for_what_was_to_be_said_in_the_lost_one():
    talk = Talk()
    talk.dialogue.forget_session(is_greeting=False)
    talk.dialogue.session_ready(wire.Ready("s"))
    talk.hear("reply.started", reply_id="r")
    talk.dialogue.say("dinner is ready")

    talk.dialogue.lose_link()
    talk.dialogue.forget_session(is_greeting=False)  # the turn machine asks again
    talk.deliver(until_s=60.0)

    assert not talk.says


def test_half_a_character_does_not_stop_the_mail():
    talk = Talk()
    talk.call("a")
    talk.dialogue.answer("a", '"\ud83d"', is_error=False)
    talk.dialogue.say("say \udc00")

    talk.deliver(until_s=30.0)

    assert talk.answers["a"].result == '"?"'
    assert talk.says == ["say ?"]
