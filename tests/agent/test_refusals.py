"""HTTP answers where a WebSocket or a token was hoped for: the key is told apart from the network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from pivoice.agent.connection import Faults, open_connection
from pivoice.agent.rest import Answer, request
from pivoice.agent.tokens import fetch_token
from pivoice.errors import AgentError, AuthError, LinkError
from pivoice.simulation import JumpLoop, run_jumping

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HTML = "<html>Welcome to the hotel. Your API key to the world!</html>"
BAD_KEY = json.dumps({"detail": "Invalid API key"})


class WebServer:
    """Says `answer` to everything, and keeps what it was asked."""

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.asked: list[str] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(self.answer.encode())
        writer.close()


def http(status: int, body: str = "", *headers: str) -> str:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", body])


def run(server: Script, ask: Callable[[str], Awaitable[object]]) -> object:
    """Run `ask(host:port)` against a server; return what it returned, or the error it raised."""

    async def main(_: JumpLoop) -> object:
        listening = await asyncio.start_server(server, "127.0.0.1", 0)
        try:
            return await ask(f"127.0.0.1:{listening.sockets[0].getsockname()[1]}")
        except AgentError as error:
            return error
        finally:
            listening.close()

    return run_jumping(main)


def refusal(answer: str) -> AgentError:
    """Return what opening a connection says to an HTTP answer."""

    async def ask(host: str) -> object:
        return await open_connection(f"ws://{host}/v1/ws", key="k", token_url="", faults=Faults())

    error = run(WebServer(answer), ask)
    assert isinstance(error, AgentError), error
    return error


def token_or_error(answer: str) -> object:
    return run(WebServer(answer), lambda host: fetch_token(f"http://{host}/token"))


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (http(200, HTML), LinkError, "log-in page of the network may be in between"),
        (
            http(302, "", "Location: https://hotel.example/?back=1"),
            LinkError,
            "elsewhere to hotel.example; a log",
        ),
        (http(307), LinkError, "log-in page of the network"),
        (http(511, HTML), LinkError, "log-in page of the network"),
        (http(401, HTML), AuthError, "refused the API key (HTTP 401); check the key"),
        (http(403), AuthError, "refused the API key (HTTP 403); check the key"),
        (http(404, BAD_KEY), AuthError, "refused the API key (HTTP 404); check the key"),
        (http(404, HTML), LinkError, "nothing is there; check agent.url"),
        (http(407), LinkError, "wants a name and a password (HTTP 407)"),
        (http(429), LinkError, "too many requests or sessions; try again later"),
        (http(500), LinkError, "it is in trouble; try again later"),
        (http(502), LinkError, "it is in trouble; try again later"),
        (http(400), LinkError, "HTTP 400; try again later, or check agent.url"),
        ("", LinkError, "hung up during the handshake"),
        ("220 mail.example.org ESMTP\r\n", LinkError, "does not answer as a web server"),
    ],
)
def test_each_answer_at_the_door_has_its_sentence(answer: str, kind: type[AgentError], said: str):
    error = refusal(answer)

    assert type(error) is kind
    assert said in str(error)


def test_nobody_is_followed_elsewhere():
    strangers: list[int] = []

    async def ask(host: str) -> object:
        async def stranger(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            strangers.append(1)
            writer.close()

        elsewhere = await asyncio.start_server(stranger, "127.0.0.1", 0)
        server.answer = http(302, "", f"Location: ws://127.0.0.1:{elsewhere.sockets[0].getsockname()[1]}/")
        try:
            return await open_connection(f"ws://{host}/", key="k", token_url="", faults=Faults())
        finally:
            elsewhere.close()

    server = WebServer("")
    error = run(server, ask)

    assert isinstance(error, LinkError)
    assert not strangers


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (http(401), AuthError, "refused to give a token (HTTP 401); check agent.token_url"),
        (http(404, BAD_KEY), AuthError, "has no valid API key to make tokens with"),
        (http(404, HTML), LinkError, "nothing is there; check agent.token_url"),
        (http(422), LinkError, "HTTP 422; try again later, or check agent.token_url"),
        (http(429), LinkError, "too many requests"),
        (http(503), LinkError, "it is in trouble"),
        (http(302, "", "Location: http://hotel.example/"), LinkError, "log-in page of the network"),
        (http(200, HTML), LinkError, 'did not answer with {"token": "..."}'),
        (http(200, '{"token": "two\\nlines"}'), LinkError, 'did not answer with {"token": "..."}'),
        (http(200, "[" * 5000), LinkError, 'did not answer with {"token": "..."}'),
        ("", LinkError, "hung up"),
        ("nonsense\r\n\r\n", LinkError, "does not answer as a web server"),
    ],
)
def test_each_answer_of_a_token_server_has_its_sentence(answer: str, kind: type[AgentError], said: str):
    error = token_or_error(answer)

    assert type(error) is kind
    assert said in str(error)


def test_a_name_that_is_not_known_has_no_token():
    async def main(_: JumpLoop) -> None:
        await fetch_token("http://tokens.invalid/")

    with pytest.raises(LinkError, match=r"tokens\.invalid cannot be looked up.*agent\.token_url"):
        run_jumping(main)


def test_a_token_is_fetched_anew_for_each_connect():
    server = WebServer(http(200, '{"token": "abcdefgh"}'))

    async def ask(host: str) -> None:
        for _ in range(2):
            with pytest.raises(LinkError):  # the same server, asked for a WebSocket, says 200
                await open_connection(
                    f"ws://{host}/v1/ws", key="", token_url=f"http://{host}/token", faults=Faults()
                )

    run(server, ask)

    paths = [asked.split()[1] for asked in server.asked]
    assert paths == ["/token", "/v1/ws?token=abcdefgh"] * 2


# --- a request by hand ---


def test_a_request_says_who_it_is_and_is_answered():
    server = WebServer(http(204))

    answer = run(server, lambda host: request("DELETE", f"http://{host}/v1/sessions/s?a=b", bearer="key"))

    assert answer == Answer(204, b"")
    head = server.asked[0].split("\r\n")
    assert head[0] == "DELETE /v1/sessions/s?a=b HTTP/1.1"
    assert "Authorization: Bearer key" in head


def test_an_answer_whose_length_is_told_is_not_waited_for():
    async def keep_open(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in ("HTTP/1.1 200 OK\r\nContent-", "Length: 4\r\n\r\nbo", "dy"):
            writer.write(piece.encode())
            await asyncio.sleep(0.1)
        await reader.read()
        writer.close()

    assert run(keep_open, lambda host: request("GET", f"http://{host}/")) == Answer(200, b"body")


def test_an_answer_without_end_is_cut():
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 500 X\r\nContent-Length: 10000000\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 8192)
                await writer.drain()
        except ConnectionError:
            writer.close()

    answer = run(endless, lambda host: request("GET", f"http://{host}/"))

    assert isinstance(answer, Answer)
    assert answer.status == 500
    assert 60_000 < len(answer.body) < 80_000


@pytest.mark.parametrize("url", ["ftp://example.org/", "http:///path", "http://x:99999/", "nonsense"])
def test_an_address_that_is_none_is_the_owners_matter(url: str):
    error = run(WebServer(""), lambda host: request("GET", url, setting="agent.rest_url"))

    assert type(error) is AgentError
    assert "set agent.rest_url" in str(error)


# --- through a proxy ---


class Proxy:
    """Lets through to anywhere, or answers `status`; keeps what it was asked."""

    def __init__(self, target: str, *, status: int = 200) -> None:
        self.target = target
        self.status = status
        self.asked: list[str] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(f"HTTP/1.1 {self.status} X\r\n\r\n".encode())
        if self.status == 200:
            host, _, port = self.target.partition(":")
            there, back = await asyncio.open_connection(host, int(port))
            back.write(await reader.readuntil(b"\r\n\r\n"))
            writer.write(await there.read())
            back.close()
        writer.close()


def through(monkeypatch: pytest.MonkeyPatch, *, status: int, login: str = "") -> tuple[object, Proxy]:
    """Ask a server that has no address of its own, by a proxy that knows the way."""
    proxy = Proxy("", status=status)

    async def ask(host: str) -> object:
        proxy.target = host
        listening = await asyncio.start_server(proxy, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        monkeypatch.setenv("http_proxy", f"http://{login}127.0.0.1:{port}")
        try:
            return await request("GET", "http://agents.invalid/x")
        finally:
            listening.close()

    return run(WebServer(http(200, "hello")), ask), proxy


def test_a_request_takes_the_way_through_the_environments_proxy(monkeypatch: pytest.MonkeyPatch):
    answer, proxy = through(monkeypatch, status=200, login="me:pa%20ss@")

    assert answer == Answer(200, b"hello")
    assert proxy.asked[0].startswith("CONNECT agents.invalid:80 HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic bWU6cGEgc3M=" in proxy.asked[0]


@pytest.mark.parametrize(
    ("status", "said"), [(407, "wants a name and a password"), (502, "does not let us through (HTTP 502)")]
)
def test_a_proxy_that_refuses_is_named(monkeypatch: pytest.MonkeyPatch, status: int, said: str):
    error, _ = through(monkeypatch, status=status, login="me:secret@")

    assert type(error) is LinkError
    assert said in str(error)
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    ("proxy", "kind", "said"),
    [
        ("http://me:secret@127.0.0.1:1", LinkError, "127.0.0.1:1 refuses the connection; check https_proxy"),
        ("http://me:secret@proxy.invalid:3128", LinkError, "proxy.invalid:3128 cannot be looked up"),
        ("socks5://me:secret@127.0.0.1:1", AgentError, "it must be http://HOST:PORT"),
    ],
)
def test_a_proxy_that_is_not_there_is_named_and_not_the_server(
    monkeypatch: pytest.MonkeyPatch, proxy: str, kind: type[AgentError], said: str
):
    monkeypatch.setenv("https_proxy", proxy)

    async def connect(_: str) -> object:
        return await open_connection("wss://agents.invalid/", key="k", token_url="", faults=Faults())

    errors = [
        run(WebServer(""), connect),
        run(WebServer(""), lambda _: request("GET", "https://agents.invalid/")),
    ]

    for error in errors:
        assert type(error) is kind
        assert said in str(error)
        assert "secret" not in str(error)


def test_this_device_is_reached_without_a_proxy(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    assert run(WebServer(http(204)), lambda host: request("GET", f"http://{host}/")) == Answer(204, b"")
