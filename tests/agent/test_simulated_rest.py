"""The simulated agent's other interface: tokens, and what is kept of sessions. Asked by hand, over TCP."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.agent.raw import Place, with_agent


async def ask(place: Place, method: str, path: str, *, key: str = "the-key") -> tuple[int, Any]:
    """Send one request as bytes, and return the status and the JSON that came back."""
    port = int(place.agent.rest_url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    bearer = f"Authorization: Bearer {key}\r\n" if key else ""
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{bearer}\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1]), json.loads(body) if body else None


async def token(place: Place) -> str:
    status, body = await ask(place, "GET", "/v1/token?expires_in_seconds=60")
    assert status == 200
    return str(body["token"])


async def first_words(place: Place, token: str) -> str:
    """What a client with this token hears first."""
    client = await place.client(key="", token=token)
    try:
        with suppress(ConnectionClosed):  # refused already; why is still to be read
            await client.update()
        message = await client.next()
    finally:
        client.link.transport.abort()
        await asyncio.sleep(0.01)
    return str(message.get("code", message["type"]))


def test_a_token_opens_a_socket_and_more_than_one():
    async def talk(place: Place) -> list[str]:
        given = await token(place)
        return [await first_words(place, given) for _ in range(2)]

    assert with_agent(talk, key="the-key")[0] == ["session.updated"] * 2


def test_a_token_for_once_opens_one():
    async def talk(place: Place) -> list[str]:
        given = await token(place)
        return [await first_words(place, given) for _ in range(2)]

    assert with_agent(talk, key="the-key", tokens_once=True)[0] == ["session.updated", "unauthorized"]


def test_a_token_expires_and_an_invented_one_opens_nothing():
    async def talk(place: Place) -> list[str]:
        given = await token(place)
        await asyncio.sleep(61)
        return [await first_words(place, each) for each in (given, "invented")]

    assert with_agent(talk, key="the-key")[0] == ["unauthorized"] * 2


@pytest.mark.parametrize(
    "path, key, plan, status",
    [
        ("/v1/token?expires_in_seconds=60", "wrong", {}, 404),
        ("/v1/token?expires_in_seconds=60", "wrong", {"bad_key_status": 401}, 401),
        ("/v1/token?expires_in_seconds=60", "", {}, 404),
        ("/v1/token", "the-key", {}, 422),
        ("/v1/token?expires_in_seconds=601", "the-key", {}, 422),
        ("/v1/token?expires_in_seconds=60", "the-key", {"token_status": 429}, 429),
        ("/v1/weather", "the-key", {}, 404),
        ("/v1/sessions/sess_0001", "wrong", {"bad_key_status": 401}, 401),
    ],
)
def test_a_request_is_refused_with_its_status(path: str, key: str, plan: dict[str, Any], status: int):
    async def talk(place: Place) -> Any:
        return await ask(place, "GET", path, key=key)

    (answered, body), _ = with_agent(talk, key="the-key", **plan)

    assert answered == status
    assert "detail" in body


def test_a_recording_can_be_deleted_once_it_exists_and_then_is_gone():
    async def talk(place: Place) -> list[int]:
        client = await place.client()
        session_id = (await client.get_ready())["session_id"]
        path = f"/v1/sessions/{session_id}"
        statuses = [(await ask(place, "DELETE", path))[0]]
        await client.end()
        statuses.append((await ask(place, "DELETE", path))[0])
        await asyncio.sleep(8)
        statuses += [(await ask(place, method, path))[0] for method in ("GET", "DELETE", "GET")]
        return statuses

    statuses, agent = with_agent(talk, key="the-key")

    assert statuses == [404, 404, 200, 204, 404]
    assert agent.deleted == ["sess_0001"]


def test_a_lingering_session_has_no_recording_until_it_lapsed():
    async def talk(place: Place) -> list[int]:
        client = await place.client()
        await client.get_ready()
        await client.link.close(1001)
        statuses = []
        for wait_s in (29.0, 9.0):
            await asyncio.sleep(wait_s)
            statuses.append((await ask(place, "DELETE", "/v1/sessions/sess_0001"))[0])
        return statuses

    assert with_agent(talk, key="the-key")[0] == [404, 204]


def test_a_deletion_can_be_refused():
    async def talk(place: Place) -> int:
        client = await place.client()
        await client.get_ready()
        await client.end()
        await asyncio.sleep(8)
        return (await ask(place, "DELETE", "/v1/sessions/sess_0001"))[0]

    status, agent = with_agent(talk, key="the-key", delete_status=503)

    assert status == 503
    assert agent.deleted == []
