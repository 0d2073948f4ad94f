"""Real TLS on loopback: what is wrong with a certificate, or with this device's clock, is told apart."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path

import pytest
import trustme
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from pivoice.agent import obstacles, rest, wire
from pivoice.agent.connection import Faults, open_connection
from pivoice.errors import AgentError, LinkError
from pivoice.simulation import JumpLoop, run_jumping

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def trusted() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(autouse=True)
def trust(trusted: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have this device trust one authority, and no other."""
    bundle = tmp_path / "authorities.pem"
    trusted.cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    rest._tls.cache_clear()
    yield
    rest._tls.cache_clear()


def secured(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def refusals(tls: ssl.SSLContext | None) -> list[str]:
    """Return why neither a WebSocket nor a request gets through to a server at localhost."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.close()

    async def main(_: JumpLoop) -> list[str]:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
        host = f"localhost:{server.sockets[0].getsockname()[1]}"
        told = []
        for ask in (
            open_connection(f"wss://{host}/v1/ws", key="k", token_url="", faults=Faults()),
            rest.request("GET", f"https://{host}/"),
        ):
            with pytest.raises(AgentError) as caught:
                await ask
            assert type(caught.value) is LinkError
            told.append(str(caught.value).replace(host, "HOST"))
        server.close()
        return told

    return run_jumping(main)


def test_a_certificate_of_a_known_authority_is_accepted(trusted: trustme.CA):
    async def greet(socket: ServerConnection) -> None:
        await socket.send('{"type": "input.speech.started"}')
        await socket.wait_closed()

    async def main(_: JumpLoop) -> object:
        context = secured(trusted.issue_cert("localhost"))
        async with serve(greet, "127.0.0.1", 0, ssl=context) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            url = f"wss://localhost:{port}/"
            connection = await open_connection(url, key="k", token_url="", faults=Faults())
            event = await connection.receive()
            await connection.close()
            return event

    assert run_jumping(main) == wire.SpeechStarted()


def test_a_certificate_that_is_not_valid_yet_tells_to_set_the_clock(trusted: trustme.CA):
    now = datetime.now(UTC)
    early = trusted.issue_cert("localhost", not_before=now + DAY, not_after=now + 2 * DAY)

    for told in refusals(secured(early)):
        assert told.startswith("the certificate of HOST is not valid yet; if this device's clock (")
        assert f"({now:%Y-%m-%d}" in told
        assert "sudo timedatectl set-ntp true" in told


def test_a_certificate_that_has_expired_tells_to_look_at_the_clock(trusted: trustme.CA):
    now = datetime.now(UTC)
    late = trusted.issue_cert("localhost", not_before=now - 2 * DAY, not_after=now - DAY)

    for told in refusals(secured(late)):
        assert told.startswith("the certificate of HOST has expired; if this device's clock (")
        assert "sudo timedatectl set-ntp true" in told


def test_a_clock_before_this_program_was_installed_is_called_wrong(
    trusted: trustme.CA, monkeypatch: pytest.MonkeyPatch
):
    now = datetime.now(UTC)
    early = trusted.issue_cert("localhost", not_before=now + DAY, not_after=now + 2 * DAY)
    monkeypatch.setattr(obstacles.time, "time", lambda: 86400.0)  # 1970, as a Pi starts without a network

    for told in refusals(secured(early)):
        assert told.startswith("this device's clock is wrong: it says 1970-01-02")
        assert "run: sudo timedatectl set-ntp true" in told


def test_a_certificate_for_another_name_is_a_stranger_in_between(trusted: trustme.CA):
    for told in refusals(secured(trusted.issue_cert("hotel.example"))):
        assert told.startswith("what answers is not HOST: its certificate is for another name")
        assert "log-in page of the network" in told


def test_a_certificate_of_an_unknown_authority_is_a_stranger_in_between():
    for told in refusals(secured(trustme.CA().issue_cert("localhost"))):
        assert told.startswith("nobody we trust vouches for the certificate of HOST")
        assert "$SSL_CERT_FILE" in told


class Tunnel:
    """A proxy that connects everybody to one port, whatever they asked for."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.asked: list[str] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[0])
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(self._carry(reader, back), self._carry(there, writer))

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while piece := await source.read(65536):
                target.write(piece)
        target.close()


def by_proxy(
    certificate: trustme.LeafCert, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[object], list[str]]:
    """Return what a request and a WebSocket to agents.invalid come to through a tunnel, and its log."""

    async def greet(socket: ServerConnection) -> None:
        await socket.send('{"type": "input.speech.started"}')
        await socket.wait_closed()

    def answer(socket: ServerConnection, request: Request) -> Response | None:
        return socket.respond(HTTPStatus.OK, "hello") if request.path == "/page" else None

    async def word() -> object:
        url = "wss://agents.invalid/v1/ws"
        connection = await open_connection(url, key="k", token_url="", faults=Faults())
        event = await connection.receive()
        await connection.close()
        return event

    async def main(_: JumpLoop) -> tuple[list[object], list[str]]:
        async with serve(greet, "127.0.0.1", 0, ssl=secured(certificate), process_request=answer) as server:
            tunnel = Tunnel(next(iter(server.sockets)).getsockname()[1])
            listening = await asyncio.start_server(tunnel, "127.0.0.1", 0)
            port = listening.sockets[0].getsockname()[1]
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
            outcomes: list[object] = []
            for ask in (rest.request("GET", "https://agents.invalid/page"), word()):
                try:
                    outcomes.append(await ask)
                except AgentError as error:
                    outcomes.append(error)
            listening.close()
            await asyncio.sleep(0.1)
            return outcomes, tunnel.asked

    return run_jumping(main)


def test_tls_goes_through_a_proxy_to_the_end(trusted: trustme.CA, monkeypatch: pytest.MonkeyPatch):
    outcomes, asked = by_proxy(trusted.issue_cert("agents.invalid"), monkeypatch)

    assert outcomes == [rest.Answer(200, b"hello"), wire.SpeechStarted()]
    assert asked == ["CONNECT agents.invalid:443 HTTP/1.1"] * 2


def test_a_proxy_that_puts_itself_in_the_servers_place_is_told(monkeypatch: pytest.MonkeyPatch):
    outcomes, _ = by_proxy(trustme.CA().issue_cert("agents.invalid"), monkeypatch)

    for error in outcomes:
        assert isinstance(error, LinkError)
        assert str(error).startswith("nobody we trust vouches for the certificate of agents.invalid")


def test_a_web_page_where_tls_was_hoped_for_is_told():
    for told in refusals(None):
        assert told.startswith("HOST does not speak TLS (")
        assert "log-in page of the network" in told
