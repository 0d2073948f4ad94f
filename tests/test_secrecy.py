"""No server can make us say the key: not by a message, a close, an unusable frame or a web page."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.server import ServerConnection, serve

from pivoice.agent.connection import Connection, Faults, open_connection
from pivoice.errors import AgentError
from pivoice.secrecy import Secrets
from pivoice.simulation import JumpLoop, run_jumping
from tests.agent.test_refusals import http

KEY = "k3y/of+the=house"
FORMS = (KEY, quote(KEY, safe=""), KEY.replace("/", "\\/"), KEY.replace("+", "\\u002b"))

ITS_LOGGER = logging.getLogger("the server, which must not be heard")
ITS_LOGGER.setLevel(logging.CRITICAL)


def is_told(text: str) -> bool:
    return any(form in text for form in FORMS) or "of+the" in text


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "frame",
    [
        '{"type": "session.error", "code": "%s", "message": "bad key %s", "param": "%s"}',
        '{"type": "%s"}',
        '{"type": "transcript.user", "text": "%s"}',
        '{"type": "tool.call", "call_id": "c", "name": "%s", "arguments": {"%s": ["%s"]}}',
        '{"type": "tool.call", "name": "%s"}',
        '{"type": "session.ready", "config": {"output": {"voice": "%s"}}}',
        "no JSON, but %s",
        "x" * 110 + "%s",  # cut in the middle when it is shown
    ],
)
def test_a_key_that_the_server_echoes_is_not_passed_on(
    frame: str, form: str, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    faults = Faults()

    async def echo(socket: ServerConnection) -> None:
        await socket.send(frame.replace("%s", form))
        await socket.close(1008, f"not your key: {KEY}")

    async def main(_: JumpLoop) -> tuple[object, Connection]:
        async with serve(echo, "127.0.0.1", 0, logger=ITS_LOGGER) as server:
            url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/"
            connection = await open_connection(url, key=KEY, token_url="", faults=faults)
            heard = [await connection.receive()]
            while heard[-1] is not None:
                heard.append(await connection.receive())
            await connection.close()
            return heard, connection

    heard, connection = run_jumping(main)

    assert connection.close_code == 1008
    for text in (repr(heard), connection.close_reason, caplog.text, repr(faults.counts)):
        assert not is_told(text), text
    assert "k3y/" not in caplog.text


@pytest.mark.parametrize(
    "answer",
    [
        http(404, json.dumps({"detail": f"Invalid API key {KEY}"})),
        http(302, "", f"Location: http://hotel.example/?token={KEY}"),
        http(500, KEY),
        f"{KEY}\r\n\r\n",
        f"HTTP/1.1 {KEY}\r\n\r\n",
        "",
    ],
)
@pytest.mark.parametrize("by", ["key", "token"])
def test_no_failure_to_connect_tells_the_key_or_the_token(
    answer: str, by: str, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        is_for_token = asked.startswith(b"GET /token")
        writer.write((http(200, json.dumps({"token": KEY})) if is_for_token else answer).encode())
        writer.close()

    async def main(_: JumpLoop) -> AgentError:
        server = await asyncio.start_server(respond, "127.0.0.1", 0)
        host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        token_url = f"http://{host}/token" if by == "token" else ""
        try:
            await open_connection(
                f"ws://{host}/", key="" if token_url else KEY, token_url=token_url, faults=Faults()
            )
        except AgentError as error:
            return error
        finally:
            server.close()
        raise AssertionError("it opened")

    error = run_jumping(main)

    logging.getLogger("test").error("it failed", exc_info=error)
    for text in (str(error), "".join(traceback.format_exception(error)), caplog.text):
        assert not is_told(text), text


@given(before=st.text(), secret=st.text("ab+/=-_", min_size=6), after=st.text())
def test_a_secret_is_taken_out_wherever_it_stands(before: str, secret: str, after: str):
    secrets = Secrets(secret)

    for form in (secret, quote(secret, safe=""), secret.replace("/", "\\/")):
        assert form not in secrets.scrub(before + form + after)


def test_text_without_a_secret_stays_as_it_is():
    assert Secrets("", "k", "a-real-key").scrub("okay, a-real-kex") == "okay, a-real-kex"


def test_what_keeps_secrets_does_not_show_them():
    assert "a-real-key" not in repr(Secrets("a-real-key"))
