"""How the simulated agent tells what it tells: the usual way, and each way that a client must also bear."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pivoice.agent.simulated import Turn
from pivoice.agent.simulated_plan import OLD_VOICES, ScriptedCall
from tests.agent.raw import Client, Place, with_agent
from tests.agent.scene import tone


def heard_in_a_turn(**plan: Any) -> Client:
    """What a client hears from `session.ready` to the end of the answer to its first words."""

    async def talk(place: Place) -> Client:
        client = await place.client()
        await client.get_ready()
        await client.take_turn()
        await client.until("reply.done")
        await asyncio.sleep(0.5)
        await client.end()
        return client

    client, agent = with_agent(talk, **plan)
    assert not agent.violations
    return client


def test_a_turn_is_told_in_the_usual_order():
    client = heard_in_a_turn()

    assert [kind for kind in client.kinds() if "delta" not in kind] == [
        *("session.updated", "session.ready", "input.speech.started", "input.speech.stopped"),
        *("transcript.user", "reply.started", "transcript.agent", "reply.done", "session.ended"),
    ]


def test_an_early_reply_is_announced_before_the_users_turn_is():
    client = heard_in_a_turn(early_reply=True)

    kinds = [kind for kind in client.kinds() if "delta" not in kind]
    assert kinds[3:6] == ["reply.started", "input.speech.stopped", "transcript.user"]
    assert kinds.count("reply.started") == 1


def test_an_early_reply_is_taken_back_when_the_user_goes_on():
    async def talk(place: Place) -> list[str]:
        client = await place.client()
        await client.get_ready()
        await client.take_turn()
        await client.take_turn()
        await client.until("transcript.user")
        return [message["status"] for message in client.all("reply.done")]

    statuses, _ = with_agent(talk, early_reply=True, reply_delay_s=2.0)

    assert statuses == ["interrupted"]


def test_the_old_wire_has_none_of_the_new_words():
    client = heard_in_a_turn(old_wire=True, voices_known=OLD_VOICES)

    (ready,), (done,) = client.all("session.ready"), client.all("reply.done")
    assert ready.keys() == {"type", "session_id", "timestamp"}
    assert "status" not in done
    assert "T" in done["timestamp"]
    assert not client.all("transcript.agent.delta")
    assert all(
        "delta" in message and "text" not in message for message in client.all("transcript.user.delta")
    )
    assert all("reply_id" not in message for message in client.all("reply.audio"))


def test_the_old_wire_knows_the_old_voices_only():
    async def talk(place: Place) -> Any:
        client = await place.client()
        await client.update(output={"voice": "alba"})
        return (await client.until("session.error"))["code"]

    assert with_agent(talk, old_wire=True)[0] == "INVALID_VALUE"


def test_the_old_wire_calls_its_arguments_args():
    async def talk(place: Place) -> Any:
        client = await place.client()
        await client.get_ready()
        await client.take_turn()
        return await client.until("tool.call")

    turn = Turn(tone(1.0), tools=(ScriptedCall("look", {"at": "this"}),))
    call, _ = with_agent(talk, turns=[turn], old_wire=True)

    assert call["args"] == {"at": "this"}
    assert "arguments" not in call


@pytest.mark.parametrize(
    "kind", ["reply.done", "input.speech.started", "input.speech.stopped", "transcript.user"]
)
def test_duplicates_are_told_twice(kind: str):
    assert len(heard_in_a_turn(duplicates=True).all(kind)) == 2


def test_odd_chunks_are_odd_and_lose_nothing():
    voice = tone(1.0)

    client = heard_in_a_turn(odd_chunks=True, turns=[Turn(voice)], lead_s=0.0)

    assert client.audio == voice.samples.astype("<i2").tobytes()
    sizes = [
        len(message["data"]) * 3 // 4 - message["data"].count("=") for message in client.all("reply.audio")
    ]
    assert any(size % 2 for size in sizes[:-1])


def test_no_updated_and_no_agent_text_are_left_out_and_an_unknown_status_is_told():
    client = heard_in_a_turn(no_updated=True, no_agent_text=True, unknown_status="exhausted")

    assert not client.all("session.updated")
    assert not client.all("transcript.agent")
    assert client.all("reply.done")[0]["status"] == "exhausted"


def test_ready_first_comes_before_updated():
    assert heard_in_a_turn(ready_first=True).kinds()[:2] == ["session.ready", "session.updated"]


def test_an_oversized_frame_has_the_size_that_was_ordered():
    async def talk(place: Place) -> int:
        client = await place.client(max_size=None)
        await client.get_ready(greeting="Hello.")
        return len(str(await client.until("reply.blob")))

    length, _ = with_agent(talk, oversized_bytes=2_000_000)

    assert 1_999_900 < length < 2_000_100


def test_the_volume_scales_the_voice():
    async def talk(place: Place) -> Client:
        client = await place.client()
        await client.get_ready(greeting="Hello.", output={"volume": 50})
        await client.until("reply.done")
        return client

    voice = tone(1.0)
    client, _ = with_agent(talk, turns=[Turn(voice)], lead_s=0.0)

    halves = (voice.samples * 0.5).astype("<i2").tobytes()
    assert client.audio == halves
