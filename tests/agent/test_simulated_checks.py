"""The simulated agent checks its client: each mistake is blamed once, in words, and what is right is not."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from pivoice.agent.simulated import Turn
from pivoice.agent.simulated_plan import ScriptedCall
from tests.agent.raw import TOOL, Client, Place, with_agent
from tests.agent.scene import noise, tone

Talk = Callable[[Client], Coroutine[Any, Any, None]]

ASKS = Turn(tone(1.0), tools=(ScriptedCall("look"),))


def violations_of(talk: Talk, *, turns: list[Turn] | None = None, **plan: Any) -> list[str]:
    """What a client that is ready does wrong by `talk`."""

    async def main(place: Place) -> None:
        client = await place.client()
        await client.get_ready()
        await talk(client)
        await asyncio.sleep(0.1)

    return with_agent(main, turns=turns, **plan)[1].violations


# --- messages ---


@pytest.mark.parametrize(
    "message, blame",
    [
        ({"type": "input.audio", "audio": ""}, "audio without a sample"),
        ({"type": "input.audio", "audio": "AAAA", "rate": 24000}, "unknown field 'rate' in input.audio"),
        ({"type": "input.audio", "audio": "%"}, "audio that is not base64"),
        ({"type": "reply.create", "text": "hello"}, "unknown field 'text' in reply.create"),
        ({"type": "session.resume", "session_id": "sess_0001"}, "session.resume makes no sense here"),
        (
            {"type": "conversation.message", "role": "user", "content": ""},
            "conversation.message makes no sense here",
        ),
        ({"type": "session.update", "config": {}}, "unknown field 'config' in session.update"),
    ],
)
def test_a_wrong_message_is_blamed(message: dict[str, Any], blame: str):
    async def talk(client: Client) -> None:
        await client.link.send(json.dumps(message))

    assert blame in violations_of(talk)


def test_a_binary_frame_and_one_without_json_are_blamed_once_each_and_answered():
    async def talk(client: Client) -> None:
        await client.link.send(b"\x00\x01")
        await client.link.send("hello?")
        assert (await client.until("session.error"))["code"] == "invalid_format"
        await client.end()

    assert violations_of(talk) == ["a binary frame", "a frame that is not a JSON object"]


def test_only_what_is_much_faster_than_real_time_is_blamed():
    async def steady(client: Client) -> None:
        await client.speak(noise(40.0), rate=1.0)

    async def catching_up(client: Client) -> None:
        await client.speak(noise(16.0), rate=8.0)
        await client.speak(noise(16.0), rate=1.0)

    async def bursting(client: Client) -> None:
        await client.speak(noise(100.0), rate=8.0)

    assert violations_of(steady, deaf=True) == []
    assert violations_of(catching_up, deaf=True) == []
    (blame,) = violations_of(bursting, deaf=True)
    assert "more than 4 times real time" in blame


def test_two_sessions_of_one_key_are_blamed_and_of_two_keys_are_not():
    async def talk(place: Place, keys: tuple[str, str]) -> None:
        for key in keys:
            await (await place.client(key=key)).get_ready()

    _, same = with_agent(lambda place: talk(place, ("a", "a")))
    _, other = with_agent(lambda place: talk(place, ("a", "b")))

    assert same.violations == ["2 sessions of one key are connected at once"]
    assert other.violations == []
    assert same.most_open == other.most_open == 2


def test_a_session_after_an_ended_one_is_not_two_at_once():
    async def talk(place: Place) -> None:
        for _ in range(2):
            client = await place.client()
            await client.get_ready()
            await client.end()  # and the socket stays for a while

    assert with_agent(talk)[1].violations == []


@pytest.mark.parametrize("code, bare", [(1000, 1), (1001, 0)])
def test_a_close_without_an_end_is_counted_unless_it_says_that_it_will_be_back(code: int, bare: int):
    async def talk(place: Place) -> None:
        client = await place.client()
        await client.get_ready()
        await client.link.close(code)

    assert with_agent(talk)[1].bare_closes == bare


def test_audio_after_a_refused_resume_is_blamed():
    async def talk(place: Place) -> None:
        client = await place.client()
        await client.say("session.resume", session_id="sess_9999")
        await client.until("session.error")
        await client.say("input.audio", audio="AAAA")
        await asyncio.sleep(0.1)

    assert with_agent(talk, refuse_resume="open")[1].violations == ["input.audio after a refused resume"]


def test_base64_of_an_odd_length_is_half_a_sample():
    async def talk(client: Client) -> None:
        await client.say("input.audio", audio=base64.b64encode(b"123").decode())

    assert violations_of(talk) == ["half a sample of audio"]


# --- tools ---


async def be_asked(client: Client) -> str:
    await client.take_turn()
    return str((await client.until("tool.call"))["call_id"])


def test_one_answer_is_right_and_brings_the_reply():
    async def talk(client: Client) -> None:
        await client.say("tool.result", call_id=await be_asked(client), result='"fine"')
        await client.until("transcript.agent")

    assert violations_of(talk, turns=[ASKS], json_results=True) == []


def test_a_second_answer_is_blamed():
    async def talk(client: Client) -> None:
        call_id = await be_asked(client)
        for _ in range(2):
            await client.say("tool.result", call_id=call_id, result='"fine"')

    (blame,) = violations_of(talk, turns=[ASKS])
    assert blame.startswith("two answers for call_")


def test_no_answer_is_blamed_the_agent_goes_on_and_a_late_one_is_blamed_too():
    async def talk(client: Client) -> None:
        call_id = await be_asked(client)
        await client.until("transcript.agent")
        await client.say("tool.result", call_id=call_id, result='"fine"')

    missing, late = violations_of(talk, turns=[ASKS], tool_timeout_s=20.0)
    assert missing.endswith("was not answered within 20 s")
    assert "nobody asked" in late


def test_no_answer_is_right_when_the_reply_was_interrupted():
    async def talk(client: Client) -> None:
        await be_asked(client)
        await client.take_turn()
        assert (await client.until("transcript.user"))["text"]
        assert any(done["status"] == "interrupted" for done in client.all("reply.done"))
        await asyncio.sleep(60)

    assert violations_of(talk, turns=[ASKS, Turn(tone(1.0))], tool_timeout_s=20.0) == []


def test_an_answer_that_crossed_the_interruption_is_forgiven_and_a_late_one_is_not():
    async def answer_after(client: Client, delay_s: float) -> None:
        call_id = await be_asked(client)
        speech = asyncio.create_task(client.take_turn())
        while (await client.until("reply.done"))["status"] != "interrupted":
            pass
        await asyncio.sleep(delay_s)
        await client.say("tool.result", call_id=call_id, result='"fine"')
        await speech

    turns = [ASKS, Turn(tone(1.0))]
    assert violations_of(lambda client: answer_after(client, 0.1), turns=turns) == []
    (blame,) = violations_of(lambda client: answer_after(client, 1.0), turns=turns)
    assert "nobody asked" in blame


@pytest.mark.parametrize("result, blamed", [({"a": 1}, True), ("plain words", True), ('{"a": 1}', False)])
def test_a_result_must_be_text_that_holds_json(result: object, blamed: bool):
    async def talk(client: Client) -> None:
        await client.say("tool.result", call_id=await be_asked(client), result=result)

    assert bool(violations_of(talk, turns=[ASKS], json_results=True)) is blamed


def test_a_tool_of_the_servers_own_is_told_and_must_not_be_answered():
    async def talk(client: Client) -> None:
        await client.take_turn()
        call = await client.until("tool.call")
        assert call["name"] == "search"
        await client.say("tool.result", call_id=call["call_id"], result='"mine"')
        await client.until("reply.done")

    (blame,) = violations_of(talk, http_tools=("search",))
    assert blame.endswith("which the server runs by itself")


def test_a_tool_of_the_servers_own_is_in_the_config_with_its_address():
    async def talk(place: Place) -> Any:
        return (await (await place.client()).get_ready(tools=[TOOL]))["config"]["tools"]

    tools, _ = with_agent(talk, http_tools=("search",))

    assert [(tool["name"], tool["http"] is None) for tool in tools] == [("look", True), ("search", False)]


def test_calls_survive_a_lost_link_and_their_answers_bring_the_reply():
    async def talk(place: Place) -> list[str]:
        client = await place.client()
        ready = await client.get_ready()
        call_id = await be_asked(client)
        client.link.transport.abort()
        again = await place.client()
        await again.say("session.resume", session_id=ready["session_id"])
        await again.until("session.ready")
        await again.say("tool.result", call_id=call_id, result='"fine"')
        await again.until("reply.done")
        return again.kinds()

    kinds, agent = with_agent(talk, turns=[ASKS])

    assert "reply.started" in kinds
    assert "tool.call" not in kinds
    assert not agent.violations


def test_every_call_can_be_told_twice():
    async def talk(client: Client) -> None:
        first = await be_asked(client)
        assert (await client.until("tool.call"))["call_id"] == first
        await client.say("tool.result", call_id=first, result='"fine"')

    assert violations_of(talk, turns=[ASKS], call_twice=True) == []


# --- asking the agent to speak ---


async def ask(client: Client) -> None:
    await client.say("reply.create", instructions="Say something.")


def test_asking_while_nothing_is_in_flight_is_right():
    async def talk(client: Client) -> None:
        for _ in range(2):
            await ask(client)
            await client.until("reply.done")

    assert violations_of(talk) == []


def test_asking_while_a_reply_or_a_tool_is_in_flight_is_blamed():
    async def in_reply(client: Client) -> None:
        await client.take_turn()
        await client.until("reply.started")
        await asyncio.sleep(0.6)
        await ask(client)

    async def in_tool(client: Client) -> None:
        await be_asked(client)
        await asyncio.sleep(0.6)
        await ask(client)

    assert violations_of(in_reply) == ["reply.create while a reply is in flight"]
    assert violations_of(in_tool, turns=[ASKS]) == ["reply.create while a tool follow-up is due"]


def test_asking_in_the_greeting_is_blamed():
    async def talk(place: Place) -> None:
        client = await place.client()
        await client.get_ready(greeting="Hello.")
        await asyncio.sleep(0.6)
        await ask(client)
        await client.until("reply.done")

    assert with_agent(talk)[1].violations == ["reply.create in the greeting"]


def test_asking_at_the_very_moment_a_reply_begins_is_forgiven():
    async def talk(client: Client) -> None:
        await client.take_turn()
        await client.until("reply.started")
        await ask(client)

    assert violations_of(talk) == []
