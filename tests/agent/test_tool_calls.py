"""Tool calls: answered once, at their moment, never lost."""

from __future__ import annotations

import pytest

from pivoice.agent import wire
from pivoice.agent.outbox import CALL_S, FOLLOW_UP_S, HOLD_S, MAX_CALLS, MAX_SAYS, Outbox
from pivoice.agent.simulated import Turn
from pivoice.agent.simulated_plan import ScriptedCall
from pivoice.turn import events
from tests.agent.scene import Scene, scene, settle, speech, tone

CALL = ScriptedCall("get_weather", {"city": "Paris"})


@scene(turns=[Turn(tone(1.0), tools=(CALL,))])
async def test_a_tool_is_called_answered_and_talked_about(s: Scene):
    await s.ready()
    s.session.say("weather")
    call = await s.event(events.ToolCalled)

    s.session.send_tool_result(call.call_id, '{"weather": "sunny"}', False)
    await s.event(events.ReplyEnded)

    assert (call.name, call.arguments) == ("get_weather", {"city": "Paris"})
    result = s.agent.session.results[call.call_id]
    assert result == {
        "type": "tool.result",
        "call_id": call.call_id,
        "result": '{"weather": "sunny"}',
        "is_error": False,
    }
    assert s.kinds() == [
        "SessionReady",
        "ReplyStarted",
        "ToolCalled",
        "ReplySilent",
        "ReplyStarted",
        "ReplyEnded",
    ]


@scene(turns=[Turn(tone(1.0), tools=(CALL,))])
async def test_a_quick_result_is_sent_while_the_silent_carrier_is_still_open(s: Scene):
    await s.ready()
    s.session.say("weather")
    call = await s.event(events.ToolCalled)

    s.session.send_tool_result(call.call_id, "sunny", False)
    await s.event(events.ReplyStarted, count=2)

    assert s.time_of(s.all(events.ReplyStarted)[1]) - s.time_of(call) < 0.1


@scene(turns=[Turn(tone(1.0), tools=(CALL,))])
async def test_a_second_answer_of_one_call_is_not_sent(s: Scene):
    await s.ready()
    s.session.say("weather")
    call = await s.event(events.ToolCalled)

    s.session.send_tool_result(call.call_id, "sunny", False)
    s.session.send_tool_result(call.call_id, "rainy", False)
    await settle()
    s.session.send_tool_result(call.call_id, "foggy", False)
    await s.event(events.ReplyEnded)

    assert s.agent.kinds("client").count("tool.result") == 1


@scene(turns=[Turn(tone(1.0), tools=(CALL,))])
async def test_a_result_that_comes_while_the_link_is_down_is_sent_after_the_resume(s: Scene):
    await s.ready()
    s.session.say("weather")
    call = await s.event(events.ToolCalled)
    s.agent.drop()
    await s.event(events.LinkDropped)

    s.session.send_tool_result(call.call_id, "sunny", False)
    await s.event(events.SessionReady, count=2)
    await settle()

    assert s.agent.session.results[call.call_id]["result"] == "sunny"


@scene(turns=[Turn(tone(1.0), tools=(CALL,)), Turn(tone(1.0))], refuse_resume="close")
async def test_a_fresh_session_is_not_told_the_results_of_the_lost_one(s: Scene):
    await s.ready()
    s.session.say("weather")
    call = await s.event(events.ToolCalled)
    s.agent.drop()
    await s.event(events.SessionReady, count=2)

    s.session.send_tool_result(call.call_id, "sunny", False)
    await settle()

    assert "tool.result" not in s.agent.kinds("client")


@scene(turns=[Turn(tone(1.0), tools=(CALL,)), Turn(tone(1.0))])
async def test_a_request_to_speak_waits_for_the_tools_answer(s: Scene):
    await s.ready()
    s.session.say("weather")
    call = await s.event(events.ToolCalled)
    s.session.say("and another thing")
    await settle(3.0)
    waited = list(s.agent.session.instructions)

    s.session.send_tool_result(call.call_id, "sunny", False)
    await s.event(events.ReplyEnded, count=2)

    assert waited == ["weather"]
    assert s.agent.session.instructions == ["weather", "and another thing"]


@scene(turns=[Turn(tone(3.0))])
async def test_an_interruption_kills_the_calls_of_its_reply(s: Scene):
    await s.ready()
    s.session.say("talk")
    await s.event(events.ReplyStarted)
    await settle(0.5)
    await s.agent.session.send("tool.call", call_id="late", name="get_weather", args={"city": "Rome"})
    s.speak(speech("user_wake_time").samples)
    call = await s.event(events.ToolCalled)
    await s.event(events.ReplyInterrupted)

    s.session.send_tool_result("late", "sunny", False)
    await settle()

    assert call.arguments == {"city": "Rome"}  # the old spelling is understood
    assert "tool.result" not in s.agent.kinds("client")


@scene(turns=[Turn(tone(4.0))], violations=True)
async def test_a_result_during_an_audible_reply_waits_but_not_for_ever(s: Scene):
    await s.ready()
    s.session.say("talk")
    await s.event(events.ReplyStarted)
    await settle(1.0)
    await s.agent.session.send("tool.call", call_id="now", name="get_weather")
    call = await s.event(events.ToolCalled)

    s.session.send_tool_result("now", "sunny", False)
    await s.until(lambda: s.agent.session.results, "the result")

    assert s.loop.time() - s.time_of(call) == pytest.approx(HOLD_S, abs=0.05)


def test_a_held_result_goes_out_when_the_reply_ends():
    outbox = Outbox()
    outbox.reply_started()
    outbox.call_came("a", 1, 0.0)
    outbox.reply_audible()
    outbox.answer("a", "sunny", is_error=False, now_s=0.1)
    held = outbox.next(0.2)

    outbox.reply_over()
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
