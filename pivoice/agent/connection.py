"""One WebSocket, one life: opened once, read until it closes, never reopened.

Event loop only. Owns the socket and the task that feels its pulse, and finds a dead link in any state
within `PING_S + PONG_S`; what a session is, and whether to try again, is known elsewhere. The key goes
into the handshake and nowhere else: the library's own logger, which shows headers at DEBUG, is kept at
WARNING, and what the server says is freed of the key before anybody reads it.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import math
import socket
import ssl
import sys
import termios
from collections import Counter
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidProxy,
    InvalidProxyStatus,
    InvalidStatus,
    InvalidURI,
    ProxyError,
    WebSocketException,
)
from websockets.protocol import State

from pivoice.agent import wire
from pivoice.agent.obstacles import (
    explain_failure,
    explain_proxy_fault,
    explain_proxy_status,
    explain_status,
    explain_stranger,
    host_of,
)
from pivoice.agent.reading import decode
from pivoice.agent.rest import proxy_for, tls_for
from pivoice.agent.tokens import fetch_token
from pivoice.errors import AgentError, LinkError
from pivoice.secrecy import Secrets

logger = logging.getLogger(__name__)
_library_logger = logging.getLogger(__name__ + ".websockets")
_library_logger.setLevel(logging.WARNING)  # its DEBUG shows the Authorization header

OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 0.5  # one round trip; a shutdown has little more
# A link that says nothing for PING_S is pinged, and given up when PONG_S later there is still not one byte:
# 6 s at most after the last one, wherever in between it died, and the socket is let go at once, without the
# close handshake that nobody would answer. A live link has 5 s for a round trip; what waits to be sent before
# the ping is bounded by the sender. A pong is also the proof that what was sent before it arrived: of a link
# that died, at most PING_S and a round trip of sound go up twice.
PING_S = 1.0
PONG_S = 5.0
UNACKED_MS = 8_000  # the kernel gives the link up when sent audio stays unacknowledged this long
MAX_MESSAGE_CHARS = 2**24  # a whole reply may come in one message: 60 s are 4 MB in base64
MAX_FRAME_BYTES = 2 * MAX_MESSAGE_CHARS  # beyond this the library closes (1009): memory is bounded
REPEAT_S = 60.0  # the log hears of each kind of complaint no oftener than this
_YIELD_EVERY = 64  # messages of a burst handled before other tasks get a turn
_MAX_FAULT_KINDS = 64
_HEADER_BYTES = 8  # of a masked frame of 126 to 65535 bytes
_NO_STATUS = 1006  # what a close without a close frame is called
_BROKEN = {1002: "broken frame", 1007: "text that is not UTF-8", 1009: "oversized frame"}  # we closed for it


class Faults:
    """What goes wrong in the talk with the server, counted per kind; never told as often as it happens."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        """What the server sent that could not be used; each kind is told once."""
        self.oddities: Counter[str] = Counter()
        """What was strange about messages that could be used; each kind is told once."""
        self.complaints: Counter[str] = Counter()
        """What the server said was wrong with us, by code; each is told once in `REPEAT_S`."""
        self._told: dict[str, tuple[float, int]] = {}  # by code: when, and how many there were by then

    def count(self, kind: str, detail: str) -> None:
        kind = _bounded(self.counts, kind)
        if kind not in self.counts:
            logger.warning("the agent's server sent something unusable, ignored: %s", kind)
            logger.debug("! %s: %s", kind, detail)
        self.counts[kind] += 1

    def odd(self, kind: str) -> None:
        """Note something strange that did no harm."""
        kind = _bounded(self.oddities, kind)
        if kind not in self.oddities:
            logger.info("the agent's server speaks unlike its documents: %s", kind)
        self.oddities[kind] += 1

    def complained(self, failure: wire.Failure, now_s: float) -> None:
        """Note a complaint that ends nothing: there may be one for each chunk of audio."""
        code = _bounded(self.complaints, failure.code)
        self.complaints[code] += 1
        told_s, told = self._told.get(code, (-math.inf, 0))
        if now_s - told_s < REPEAT_S:
            logger.debug("! complaint: %s %s", failure.code, failure.message)
            return
        times = self.complaints[code] - told
        self._told[code] = now_s, self.complaints[code]
        often = f" (and {times - 1} times since it was last told)" if times > 1 else ""
        logger.warning("the agent's server complains: %s %s%s", failure.code, failure.message, often)


def _bounded(counts: Counter[str], kind: str) -> str:
    """Return what to count `kind` as: a server may invent kinds for years."""
    return kind if kind in counts or len(counts) < _MAX_FAULT_KINDS else "others"


class Connection:
    """An open WebSocket. `close_code` and `close_reason` are set once `receive` returned None."""

    def __init__(self, socket_: _Socket, *, faults: Faults, secrets: Secrets) -> None:
        self._socket = socket_
        self._faults = faults
        self._secrets = secrets
        self._is_dead = False
        self._pulse = asyncio.create_task(self._feel_pulse(), name="agent pulse")
        self._received = 0
        self.close_code = 0
        self.close_reason = ""
        self.arrived_at_most: float = math.inf
        """Of the bytes sent; known of a link that died without a word. What the kernel was told is no proof
        then: whoever stands in between acknowledges what never got to the server."""

    async def send(self, message: wire.ClientMessage) -> None:
        """Send one message; waits while the socket's buffer is full.

        Raises:
            LinkError: the socket is closed.
        """
        if logger.isEnabledFor(logging.DEBUG) and not isinstance(message, wire.InputAudio):
            logger.debug("> %s", type(message).__name__)
        try:
            frame = wire.encode(message)
            self._socket.sent_bytes += len(frame) + _HEADER_BYTES
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
                self._note_close(error)
                return None
            if len(frame) > MAX_MESSAGE_CHARS:
                self._faults.count("oversized frame", f"{len(frame)} characters")
                continue
            scrubbed = self._secrets.scrub(frame) if isinstance(frame, str) else frame
            event = decode(scrubbed, note=self._faults.odd)
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
        return self._socket.sent_bytes, self._socket.sent_bytes - waiting

    async def close(self, code: int = 1000) -> None:
        """Close, waiting at most `2 * CLOSE_TIMEOUT_S` for the server to agree. Never raises."""
        try:
            async with asyncio.timeout(2 * CLOSE_TIMEOUT_S):  # the library's own does not cover a full buffer
                await self._socket.close(code)
        except (TimeoutError, OSError, WebSocketException) as error:
            logger.debug("! closing: %s", type(error).__name__)
        finally:
            self.abort()
            await self._pulse  # a moment: the socket is gone

    def abort(self) -> None:
        """Let go of the socket without a word."""
        self._socket.transport.abort()

    def _note_close(self, closed: ConnectionClosed) -> None:
        theirs, ours = closed.rcvd, closed.sent
        if ours is not None and ours.code in _BROKEN and not closed.rcvd_then_sent:
            self._faults.count(_BROKEN[ours.code], ours.reason)
            self.close_code, self.close_reason = ours.code, _BROKEN[ours.code]
        elif self._is_dead:
            self.close_code = _NO_STATUS
            self.close_reason = f"no sign of life for {PING_S + PONG_S:g} s"
        else:
            self.close_code = theirs.code if theirs is not None else _NO_STATUS
            self.close_reason = self._secrets.scrub(theirs.reason) if theirs is not None else ""

    async def _feel_pulse(self) -> None:
        """Until the socket is closed: ping when nothing comes, abort when still nothing does."""
        try:
            while not await self._closes_by((heard_s := self._socket.heard_s) + PING_S):
                if self._socket.heard_s > heard_s:
                    continue
                if not await self._socket.answers(PONG_S):
                    self._is_dead = True
                    self.arrived_at_most = self._socket.sent_when_heard
                    self.abort()
                    return
        except Exception:  # a link without a pulse must not live on
            logger.exception("watching the connection failed; it is dropped")
            self.abort()

    async def _closes_by(self, moment_s: float) -> bool:
        try:
            async with asyncio.timeout_at(moment_s):
                await self._socket.wait_closed()
        except TimeoutError:
            return False
        return True


class _Socket(ClientConnection):
    """The library's connection, which also knows when the last byte came, and what was sent by then."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.heard_s = asyncio.get_running_loop().time()
        self.sent_bytes = self.sent_when_heard = 0
        self._has_moved = asyncio.Event()

    async def answers(self, within_s: float) -> bool:
        """Ping; return whether any byte, or the end, comes in time. Waits for no full buffer."""
        self._has_moved.clear()
        if self.protocol.state is State.OPEN:
            self.protocol.send_ping(b"")
            self.send_data()
        try:
            async with asyncio.timeout(within_s):
                return await self._has_moved.wait()
        except TimeoutError:
            return False

    def data_received(self, data: bytes) -> None:
        self.heard_s = asyncio.get_running_loop().time()
        self.sent_when_heard = self.sent_bytes
        self._has_moved.set()
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._has_moved.set()
        super().connection_lost(exc)


class _Door(connect):
    """The library's way in, which goes where it was told and nowhere else."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc  # a log-in page answers 302; the key and our audio are not for whom it names


async def open_connection(url: str, *, key: str, token_url: str, faults: Faults) -> Connection:
    """Return an open connection. One attempt.

    Raises:
        AuthError: the key was refused; another attempt cannot help.
        LinkError: not reachable now.
        AgentError: the address can never work.
    """
    token = await fetch_token(token_url) if token_url else ""
    address = url + ("&" if "?" in url else "?") + "token=" + quote(token, safe="") if token else url
    proxy = ""
    try:
        proxy = proxy_for(url)
        socket_ = await _Door(
            address,
            additional_headers={"Authorization": f"Bearer {key}"} if key else {},
            create_connection=_Socket,
            compression=None,  # gains nothing on PCM, costs much CPU and memory
            ssl=tls_for(url),
            proxy=proxy or None,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=None,  # ours counts audio as a sign of life too, and waits for no full buffer
            max_size=MAX_FRAME_BYTES,
            max_queue=256,
            logger=_library_logger,
        )
    except (OSError, ValueError, ImportError, InvalidHandshake, InvalidProxy, InvalidURI) as error:
        raise explain(error, url, proxy=proxy) from None  # the library's error may carry the address's token
    assert isinstance(socket_, _Socket)
    _set_options(socket_)
    return Connection(socket_, faults=faults, secrets=Secrets(key, token))


def explain(error: Exception, url: str, *, proxy: str = "") -> AgentError:
    """Return our error, with its sentence, for one that opening a connection to `url` raised."""
    setting, host = "agent.url", host_of(url)
    match error:
        case InvalidStatus(response=answer):
            location = answer.headers.get("Location", "")
            body = bytes(answer.body or b"")
            return explain_status(answer.status_code, url, body=body, location=location, setting=setting)
        case InvalidProxyStatus(response=answer):
            return explain_proxy_status(answer.status_code, proxy)
        case InvalidProxy() | ImportError():  # a SOCKS proxy needs a library more
            return explain_proxy_fault()
        case ProxyError():
            return explain_stranger(proxy, setting="https_proxy")
        case InvalidMessage(__cause__=EOFError()):
            return explain_failure(ConnectionResetError(), url, setting=setting, timeout_s=OPEN_TIMEOUT_S)
        case InvalidMessage():
            return explain_stranger(url, setting=setting)
        case InvalidHandshake() if not isinstance(error, OSError):
            return LinkError(
                f"{host} does not answer as a WebSocket server ({type(error).__name__})",
                advice=f"a proxy may be in between; check {setting}",
            )
        case OSError() if proxy and not isinstance(error, ssl.SSLError | TimeoutError):
            return explain_failure(error, proxy, setting="https_proxy", timeout_s=OPEN_TIMEOUT_S)
    return explain_failure(error, url, setting=setting, timeout_s=OPEN_TIMEOUT_S)


def _set_options(socket_: ClientConnection) -> None:
    raw = socket_.transport.get_extra_info("socket")
    if raw is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
        with suppress(OSError):
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKED_MS)
