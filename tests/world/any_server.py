"""A server that says anything, in any order, and a room in which every sample tells when it was heard.

The microphone hears a level that rises by one step every 100 ms: whatever arrives at the server can be
dated, so that a test can say of each sample whether it may have left the device at all.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

LEVEL, STEP, STEP_S = 2000, 25, 0.1
MOST_S = 1000.0


@functools.cache
def rising_room(rate_hz: int) -> np.ndarray:
    """Return what the microphone hears, from power-on: 16 bits last for `MOST_S`."""
    steps = np.arange(round(MOST_S / STEP_S))
    levels = (LEVEL + STEP * (steps % 1000)).astype(np.int16)
    return np.repeat(levels, round(STEP_S * rate_hz))


def dates(samples: np.ndarray) -> list[float]:
    """Return when each whole 10 ms of `samples` (24 kHz) that is not silent was heard, modulo 100 s."""
    blocks = samples[: len(samples) // 240 * 240].reshape(-1, 240)
    levels = np.median(blocks, axis=1)
    return [float(round((level - LEVEL) / STEP) * STEP_S) for level in levels if level > LEVEL - STEP]


@dataclass
class Socket:
    """One connection, as the server saw it."""

    opened_s: float
    connection: ServerConnection
    ended_s: float | None = None
    """When the client said `session.end`."""
    closed_s: float | None = None
    audio: list[tuple[float, np.ndarray]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_live(self) -> bool:
        return self.ended_s is None and self.closed_s is None


class AnyServer:
    """Answers the first message as it was told to for that connection; says the rest on command."""

    def __init__(self, greetings: list[str]) -> None:
        self.sockets: list[Socket] = []
        self.most_live = 0
        self.url = ""
        self._greetings = greetings

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._server: Server = await serve(self._serve, "127.0.0.1", 0, compression=None, close_timeout=1)
        port = next(iter(self._server.sockets)).getsockname()[1]
        self.url = f"ws://127.0.0.1:{port}/v1/ws"

    async def stop(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    @property
    def live(self) -> list[Socket]:
        return [each for each in self.sockets if each.is_live]

    async def send(self, message: dict[str, Any] | str | bytes) -> None:
        """Say one thing on the newest connection that is open; nothing when there is none."""
        for each in reversed(self.sockets):
            if each.closed_s is None:
                with suppress(ConnectionClosed):
                    await each.connection.send(json.dumps(message) if isinstance(message, dict) else message)
                return

    def drop(self) -> None:
        for each in self.live:
            each.connection.transport.abort()

    async def close(self, code: int) -> None:
        for each in self.live:
            await each.connection.close(code, "as the test wants it")

    async def _serve(self, connection: ServerConnection) -> None:
        socket = Socket(self._loop.time(), connection)
        self.sockets.append(socket)
        self.most_live = max(self.most_live, len(self.live))
        greeting = self._greetings[(len(self.sockets) - 1) % len(self._greetings)]
        try:
            async for frame in connection:
                message = json.loads(frame)
                if message["type"] == "input.audio":
                    samples = np.frombuffer(base64.b64decode(message["audio"]), "<i2")
                    socket.audio.append((self._loop.time(), samples))
                    continue
                socket.messages.append(message)
                if message["type"] == "session.end":
                    socket.ended_s = self._loop.time()
                    await self.send({"type": "session.ended"})
                elif message["type"] in ("session.update", "session.resume") and len(socket.messages) == 1:
                    await self._greet(connection, greeting, len(self.sockets))
        except ConnectionClosed:
            pass
        finally:
            socket.closed_s = self._loop.time()

    async def _greet(self, connection: ServerConnection, greeting: str, number: int) -> None:
        if greeting == "ready":
            await connection.send(json.dumps({"type": "session.ready", "session_id": f"sess_{number}"}))
        elif greeting.startswith("close "):
            await connection.close(int(greeting.removeprefix("close ")))
        elif greeting != "silence":  # an error code: told, and the socket left open
            await connection.send(json.dumps({"type": "session.error", "code": greeting, "message": "no"}))
