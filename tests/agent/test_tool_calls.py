"""Tool calls: answered once, at their moment, never lost."""

from __future__ import annotations

import pytest

from pivoice.agent.outbox import HOLD_S
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


@scene(turns=[Turn(tone(1.0), tools=(CALL,)), Turn(tone(1.0))])
async def test_an_answer_that_arrived_is_not_told_again_after_a_reconnect_in_a_silent_room(s: Scene):
    await s.ready()
    s.session.say("weather")
    call = await s.event(events.ToolCalled)
    s.session.send_tool_result(call.call_id, "sunny", False)
    await s.event(events.ReplyEnded)
    await settle(2.0)  # no audio goes up, by which it would be known what has arrived

    s.agent.drop()
    await s.event(events.SessionReady, count=2)
    await settle(3.0)

    assert s.agent.kinds("client").count("tool.result") == 1
    assert not s.agent.violations
