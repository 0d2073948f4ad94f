"""One socket of the simulated server, and the ways it can fail below the messages. Event loop only.

Owns the socket; knows no session and no JSON.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

_ESTABLISHED = 1  # of the first byte of Linux's tcp_info

_MAX_REASON_BYTES = 123  # RFC 6455, 5.5: a control frame holds 125, the code is two of them


class Link:
    """`credential`: who connected. `is_silent`: the link is dead, though the socket is not."""

    def __init__(self, connection: ServerConnection, *, credential: str) -> None:
        self.credential = credential
        self.is_silent = False
        self.is_closed_by_us = False
        self._connection = connection
        self._may_read = asyncio.Event()
        self._may_read.set()

    async def receive(self) -> str | bytes:
        """Return the next frame.

        Raises:
            ConnectionClosed: there will be none.
        """
        frame = await self._connection.recv()
        if not self._may_read.is_set():
            self._connection.transport.pause_reading()  # the library may just have gone on
            await self._may_read.wait()
        return frame

    async def write(self, frame: str | bytes) -> None:
        """Send a frame; silently not when nobody can get it."""
        if not self.is_silent:
            with suppress(ConnectionClosed):
                await self._connection.send(frame)

    async def close(self, code: int, reason: str) -> None:
        self.is_closed_by_us = True
        if self.is_silent:
            self.abort()
        else:
            short = reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore")
            await self._connection.close(code, short)

    async def wait_closed(self) -> None:
        await self._connection.wait_closed()

    def abort(self) -> None:
        """Break the connection without a word."""
        self.is_closed_by_us = True
        self._may_read.set()
        self._connection.transport.abort()

    def go_silent(self) -> None:
        """Read nothing, write nothing, answer no ping, and keep the socket."""
        self.is_silent = True
        self._stop_reading()

    async def stall(self, seconds: float) -> None:
        """Read nothing for a while: what the client sends piles up on its side."""
        self._stop_reading()
        await asyncio.sleep(seconds)
        if not self.is_silent:
            self._may_read.set()
            self._connection.transport.resume_reading()
            self._connection.start_keepalive()

    @property
    def is_held(self) -> bool:
        """Whether the client still holds its end. Only a dead link has to ask the kernel."""
        if not self.is_silent:
            return True
        raw = self._connection.transport.get_extra_info("socket")
        if raw is None or raw.fileno() < 0 or not hasattr(socket, "TCP_INFO"):
            return False
        return bool(raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _ESTABLISHED)

    @property
    def close_code(self) -> int:
        """What the client closed with; 1006 when it just went away."""
        return self._connection.close_code or 1006

    def _stop_reading(self) -> None:
        self._may_read.clear()
        self._connection.transport.pause_reading()
        if self._connection.keepalive_task is not None:
            self._connection.keepalive_task.cancel()  # its pong could not be read
