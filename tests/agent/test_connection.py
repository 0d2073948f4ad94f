"""Opening a connection: each way of failing has its own sentence."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Awaitable, Callable

import pytest
from websockets.exceptions import InvalidProxy, InvalidUpgrade, InvalidURI

from pivoice.agent.connection import Connection, Faults, explain, open_connection
from pivoice.agent.simulated import Plan, SimulatedAgent, Turn
from pivoice.agent.tokens import fetch_token
from pivoice.errors import AgentError, AuthError, LinkError
from pivoice.simulation import JumpLoop, run_jumping
from tests.agent.scene import Scene, scene, settle, tone

URL = "wss://agents.example.org/v1/ws"

Answering = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def attempt(answer: Answering) -> AgentError:
    """Open a connection to a server of our own making and return the error."""

    async def main(_: JumpLoop) -> AgentError:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            await open_connection(f"ws://127.0.0.1:{port}/", key="k", token_url="", faults=Faults())
        except AgentError as error:
            return error
        finally:
            server.close()
        raise AssertionError("it opened")

    return run_jumping(main)


def test_a_log_in_page_in_between_is_not_a_server():
    async def portal(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        writer.close()

    error = attempt(portal)

    assert isinstance(error, LinkError)
    assert "HTTP 200, as a web page does; a log-in page of the network may be in between" in str(error)


def test_a_server_of_another_kind_is_told_apart():
    async def mail(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.org ESMTP\r\n")
        writer.close()

    error = attempt(mail)

    assert isinstance(error, LinkError)
    assert "does not answer as a web server" in str(error)


def test_a_server_that_says_nothing_is_left_after_ten_seconds():
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    error = attempt(silent)

    assert "did not answer within 10 s" in str(error)


@pytest.mark.parametrize(
    ("raised", "kind", "said"),
    [
        (socket.gaierror(-2, "Name or service not known"), LinkError, "is the Wi-Fi connected?"),
        (ConnectionRefusedError(111, "refused"), LinkError, "refuses the connection"),
        (socket.gaierror(-3, "Temporary failure"), LinkError, "no name server answers"),
        (OSError("Multiple exceptions: [Errno 111] refused, [Errno 111] refused"), LinkError, "refuses"),
        (ConnectionResetError(104, "reset"), LinkError, "hung up during the handshake"),
        (OSError(101, "Network is unreachable"), LinkError, "there is no way to agents.example.org"),
        (OSError(24, "Too many open files"), LinkError, "cannot reach agents.example.org: Too many open"),
        (InvalidUpgrade("Upgrade", "h2c"), LinkError, "does not answer as a WebSocket server"),
        (InvalidProxy("ftp://p", "no"), AgentError, "must be http://HOST:PORT"),
        (ImportError("python-socks"), AgentError, "must be http://HOST:PORT"),
        (InvalidURI("wss://", "no host"), AgentError, "set agent.url"),
        (UnicodeError("label too long"), AgentError, "set agent.url"),
    ],
)
def test_each_failure_says_what_to_do(raised: Exception, kind: type[AgentError], said: str):
    error = explain(raised, URL)

    assert type(error) is kind
    assert said in str(error)


def test_a_name_that_does_not_exist_is_a_matter_of_the_network():
    async def main(_: JumpLoop) -> None:
        await open_connection("ws://agents.invalid/", key="k", token_url="", faults=Faults())

    with pytest.raises(LinkError, match=r"agents\.invalid cannot be looked up; check the network"):
        run_jumping(main)


@pytest.mark.parametrize(
    "url", ["ws://example.org:99999/", "ws:///v1", "http://example.org/", "ws://[::1/", "x"]
)
def test_an_address_that_can_never_work_is_the_owners_matter(url: str):
    async def main(_: JumpLoop) -> None:
        await open_connection(url, key="k", token_url="", faults=Faults())

    with pytest.raises(AgentError, match=r"is not an address that works; set agent\.url") as caught:
        run_jumping(main)

    assert type(caught.value) is AgentError


def test_a_key_goes_into_the_header_and_a_token_into_the_address():
    async def main(_: JumpLoop) -> list[str]:
        agent = SimulatedAgent(Plan(turns=[Turn(tone(1.0))], key="secret"))
        await agent.start()
        tokens = await asyncio.start_server(token_server(b'{"token": "secret"}'), "127.0.0.1", 0)
        address = f"http://127.0.0.1:{tokens.sockets[0].getsockname()[1]}/token"
        outcomes = []
        for key, token_url in (("secret", ""), ("", address), ("wrong", "")):
            link = await open_connection(agent.url, key=key, token_url=token_url, faults=Faults())
            outcomes.append(await first_word(link))
        tokens.close()
        await agent.stop()
        return outcomes

    assert run_jumping(main) == ["silence", "silence", "Failure"]


async def first_word(link: Connection) -> str:
    try:
        async with asyncio.timeout(1):
            event = await link.receive()
            return type(event).__name__
    except TimeoutError:
        return "silence"
    finally:
        await link.close()


def token_server(body: bytes, status: str = "200 OK") -> Answering:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        writer.write(f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n")
        writer.close()

    return answer


def fetch(answer: Answering) -> str:
    async def main(_: JumpLoop) -> str:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            return await fetch_token(f"http://127.0.0.1:{port}/token?a=b")
        finally:
            server.close()

    return run_jumping(main)


def test_a_token_is_fetched():
    assert fetch(token_server(b'{"token": "abc", "expires_in_seconds": 60}')) == "abc"


@pytest.mark.parametrize("body", [b"", b"hello", b"{}", b'{"token": 5}', b'{"token": ""}'])
def test_an_answer_without_a_token_is_explained(body: bytes):
    with pytest.raises(LinkError, match=r"did not answer with.*agent\.token_url"):
        fetch(token_server(body))


def test_a_token_that_is_refused_is_the_owners_matter():
    with pytest.raises(AuthError, match="HTTP 403"):
        fetch(token_server(b"no", "403 Forbidden"))


def test_a_token_server_that_hangs_is_left():
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    with pytest.raises(LinkError, match="did not answer within 8 s"):
        fetch(silent)


def test_kinds_of_unusable_messages_are_bounded():
    faults = Faults()

    for number in range(1000):
        faults.count(f"unknown type '{number}'", "")

    assert len(faults.counts) <= 65
    assert sum(faults.counts.values()) == 1000


def test_each_kind_of_unusable_message_is_logged_once_and_counted_each_time(caplog: pytest.LogCaptureFixture):
    faults = Faults()

    for _ in range(100):
        faults.count("binary frame", "2 bytes")
        faults.count("not JSON", "{")

    assert faults.counts == {"binary frame": 100, "not JSON": 100}
    assert len(caplog.records) == 2


def test_what_is_strange_about_usable_messages_is_counted_told_once_and_shown(
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.INFO)

    @scene()
    async def test(s: Scene):
        await s.ready()
        for _ in range(3):
            await s.agent.session.send("input.speech.started", brand_new=1)
            await s.agent.session.send("input.speech.stopped")
        await settle(0.5)

        assert s.session.status()["odd_messages"] == {"unknown field input.speech.started.brand_new": 3}
        assert s.session.status()["unusable_messages"] == {}

    test()

    assert len([each for each in caplog.records if "brand_new" in each.getMessage()]) == 1


def test_a_complaint_about_each_message_is_told_once_a_minute(caplog: pytest.LogCaptureFixture):
    @scene()
    async def test(s: Scene):
        await s.ready()
        for _ in range(90 * 25):
            await s.agent.session.send("session.error", code="invalid_audio", message="cannot decode")
            await settle(0.04)

        assert s.session.status()["complaints"] == {"invalid_audio": 90 * 25}

    test()

    told = [each.getMessage() for each in caplog.records if "complains" in each.getMessage()]
    assert len(told) == 2
    assert re.search(r"and 1[45]\d\d times since", told[1])
