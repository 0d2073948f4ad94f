"""One WebSocket, one life: opened once, read until it closes, never reopened.

Event loop only. Owns the socket and says in one sentence why it could not be opened; what a session
is, and whether to try again, is known elsewhere. The key goes into the handshake and nowhere else:
the library's own logger, which shows headers at DEBUG, is kept at INFO.
"""

from __future__ import annotations

import asyncio
import fcntl
import functools
import ipaddress
import logging
import socket
import ssl
import sys
import termios
from collections import Counter
from contextlib import suppress
from urllib.parse import quote, urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidProxy,
    InvalidStatus,
    InvalidURI,
)

from pivoice.agent import wire
from pivoice.agent.reading import decode
from pivoice.agent.tokens import fetch_token
from pivoice.errors import AgentError, AuthError, LinkError

logger = logging.getLogger(__name__)
_library_logger = logging.getLogger(__name__ + ".websockets")
_library_logger.setLevel(logging.WARNING)  # its DEBUG shows the Authorization header

OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 0.5  # one round trip; a shutdown has little more
PING_S = 20.0  # finds a dead link while we are silent; the server asks for none
UNACKED_MS = 8_000  # the kernel gives the link up when sent audio stays unacknowledged this long
MAX_MESSAGE_BYTES = 2**24  # a whole reply may come in one message: 60 s are 4 MB in base64
_YIELD_EVERY = 64  # messages of a burst handled before other tasks get a turn
_MAX_FAULT_KINDS = 64
_HEADER_BYTES = 8  # of a masked frame of 126 to 65535 bytes


class Faults:
    """What the server sent that could not be used, counted per kind and logged once per kind."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def count(self, kind: str, detail: str) -> None:
        if kind not in self.counts:
            if len(self.counts) >= _MAX_FAULT_KINDS:
                kind = "others"
            if kind not in self.counts:
                logger.warning("the agent's server sent something unusable, ignored: %s", kind)
                logger.debug("! %s: %s", kind, detail)
        self.counts[kind] += 1


class Connection:
    """An open WebSocket. `close_code` and `close_reason` are set once `receive` returned None."""

    def __init__(self, socket_: ClientConnection, *, faults: Faults) -> None:
        self._socket = socket_
        self._faults = faults
        self._received = 0
        self._sent_bytes = 0
        self.close_code = 0
        self.close_reason = ""

    async def send(self, message: wire.ClientMessage) -> None:
        """Send one message; waits while the socket's buffer is full.

        Raises:
            LinkError: the socket is closed.
        """
        if logger.isEnabledFor(logging.DEBUG) and not isinstance(message, wire.InputAudio):
            logger.debug("> %s", type(message).__name__)
        try:
            frame = wire.encode(message)
            self._sent_bytes += len(frame) + _HEADER_BYTES
            await self._socket.send(frame, text=True)
        except ConnectionClosed as error:
            raise LinkError("the connection to the agent is closed") from error

    async def receive(self) -> wire.ServerEvent | None:
        """Return what the server says next, None once the socket is closed.

        Unusable frames are counted and skipped.
        """
        while True:
            self._received += 1
            if self._received % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
            try:
                frame = await self._socket.recv()
            except ConnectionClosed as error:
                closing = error.rcvd
                self.close_code = closing.code if closing else 1006
                self.close_reason = closing.reason if closing else ""
                return None
            event = decode(frame)
            if isinstance(event, wire.Garbled):
                self._faults.count(event.kind, event.detail)
                continue
            if logger.isEnabledFor(logging.DEBUG) and not isinstance(event, wire.ReplyAudio):
                logger.debug("< %s", type(event).__name__)
            return event

    def progress(self) -> tuple[int, int]:
        """Return (bytes sent, bytes the other end's kernel has acknowledged).

        TLS makes the second a little too small, never too large.
        """
        transport = self._socket.transport
        waiting = transport.get_write_buffer_size()
        raw = transport.get_extra_info("socket")
        if raw is not None and raw.fileno() >= 0:
            with suppress(OSError):
                answer = fcntl.ioctl(raw.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
                waiting += int.from_bytes(answer, sys.byteorder)
        return self._sent_bytes, self._sent_bytes - waiting

    async def close(self, code: int = 1000) -> None:
        """Close, waiting at most `CLOSE_TIMEOUT_S` for the server to agree. Never raises."""
        with suppress(Exception):
            await self._socket.close(code)

    def abort(self) -> None:
        """Let go of the socket without a word."""
        self._socket.transport.abort()


async def open_connection(url: str, *, key: str, token_url: str, faults: Faults) -> Connection:
    """Return an open connection. One attempt.

    Raises:
        AuthError: the key was refused; another attempt cannot help.
        LinkError: not reachable now.
        AgentError: the address can never work.
    """
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    address = url
    if token_url:
        token = await fetch_token(token_url)
        address += ("&" if urlsplit(url).query else "?") + "token=" + quote(token, safe="")
    try:
        socket_ = await connect(
            address,
            additional_headers=headers,
            compression=None,  # gains nothing on PCM, costs much CPU and memory
            ssl=_tls_for(url),
            proxy=None if _is_loopback(url) else True,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=PING_S,
            ping_timeout=PING_S,
            max_size=MAX_MESSAGE_BYTES,
            max_queue=256,
            logger=_library_logger,
        )
    except (OSError, ValueError, InvalidHandshake, InvalidProxy, InvalidURI) as error:
        raise explain(error, url) from None  # the library's error may carry the address with its token
    _set_options(socket_)
    return Connection(socket_, faults=faults)


def explain(error: Exception, url: str) -> AgentError:
    """Return our error, with its sentence, for one that opening a connection to `url` raised."""
    host = urlsplit(url).netloc.rpartition("@")[2] or url
    if isinstance(error, InvalidStatus):
        return _explain_status(error.response.status_code, host)
    if isinstance(error, InvalidURI | ValueError) and not isinstance(error, OSError):
        return AgentError(f"{url!r} is not a WebSocket address", advice="set agent.url")
    if isinstance(error, InvalidProxy | InvalidHandshake):
        return LinkError(
            f"{host} does not answer as a WebSocket server ({type(error).__name__})",
            advice="a proxy or a log-in page of the network may be in between; check agent.url",
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return LinkError(
            f"the certificate of {host} is not accepted: {getattr(error, 'verify_message', error)}",
            advice="check the device's clock (timedatectl); without a set clock no certificate is valid",
        )
    if isinstance(error, ssl.SSLError):
        return LinkError(f"no TLS with {host}: {error}", advice="check agent.url")
    if isinstance(error, socket.gaierror):
        return LinkError(
            f"the name {host} cannot be looked up", advice="check the network: is the Wi-Fi connected?"
        )
    if isinstance(error, ConnectionRefusedError):
        return LinkError(f"{host} refuses the connection", advice="check agent.url, or try again later")
    if isinstance(error, TimeoutError):
        return LinkError(f"{host} did not answer within {OPEN_TIMEOUT_S:g} s", advice="check the network")
    return LinkError(f"cannot reach {host}: {error}", advice="check the network")


def _explain_status(status: int, host: str) -> AgentError:
    if status in (401, 403):
        return AuthError(f"{host} refused the API key (HTTP {status})", advice="check the key")
    reason = f"{host} answered HTTP {status} instead of opening a WebSocket"
    return LinkError(reason, advice="try again later")


def _tls_for(url: str) -> ssl.SSLContext | None:
    return _tls() if urlsplit(url).scheme in ("wss", "https") else None


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()  # reads every root certificate: once is enough


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _set_options(socket_: ClientConnection) -> None:
    raw = socket_.transport.get_extra_info("socket")
    if raw is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
        with suppress(OSError):
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKED_MS)
