"""A bare server for the daemon to talk to: it does exactly what it is told, and keeps times.

The simulated agent decides by itself, as a server does; this one has no will. Its loop runs in a
thread of its own; `send` and `wait_for` are called from the test's thread. Times are CLOCK_MONOTONIC seconds.
"""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from concurrent.futures import Future
from types import TracebackType
from typing import Any

import numpy as np
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from pivoice.audio.pcm import Samples

RATE_HZ = 24_000


class Peer:
    """A context manager: the server listens on loopback inside it, on `port`."""

    def __init__(self, *, answers_ready: bool = True) -> None:
        self.received: list[tuple[float, dict[str, Any]]] = []
        """(arrival time, message) of everything but audio."""
        self.audio: list[tuple[float, Samples]] = []
        """(arrival time, samples) of every input.audio."""
        self.port = 0
        self._answers_ready = answers_ready
        self._changed = threading.Condition()
        self._connection: ServerConnection | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="peer", daemon=True)

    def __enter__(self) -> Peer:
        self._thread.start()
        self._server: Server = self._call(self._listen())
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    def send(self, message: dict[str, Any] | str | bytes) -> float:
        """Send one event (or any text, or a binary frame); return when it was handed to the socket."""
        return float(self._call(self._send(message)))

    def send_reply(
        self, samples: Samples, *, reply_id: str, chunk_s: float = 0.01, rate: float = 0.0
    ) -> float:
        """Send `reply.started` and all of `samples` (24 kHz); return when the first chunk went out.

        `rate`: times real time; 0 sends all in one burst. `reply.done` is not sent.
        """
        self.send({"type": "reply.started", "reply_id": reply_id})
        return self.send_reply_audio(samples, reply_id=reply_id, chunk_s=chunk_s, rate=rate)

    def send_reply_audio(
        self, samples: Samples, *, reply_id: str, chunk_s: float = 0.01, rate: float = 0.0
    ) -> float:
        """Send the audio alone, as a server does whose reply is dead already; return when it began."""
        step = round(chunk_s * RATE_HZ)
        chunks = [samples[at : at + step] for at in range(0, len(samples), step)]
        return float(self._call(self._send_chunks(chunks, reply_id, chunk_s / rate if rate else 0.0)))

    def wait_for(self, kind: str, *, count: int = 1, timeout_s: float = 20.0) -> tuple[float, dict[str, Any]]:
        """Return the `count`-th message of type `kind` with its arrival time."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                found = [each for each in self.received if each[1].get("type") == kind]
                if len(found) >= count:
                    return found[count - 1]
                left = deadline - time.monotonic()
                assert left > 0, (
                    f"no {kind} ({count}.) within {timeout_s} s; got {[m for _, m in self.received]}"
                )
                self._changed.wait(left)

    def heard(self) -> Samples:
        """Return all audio received so far."""
        with self._changed:
            return np.concatenate([np.zeros(0, np.int16), *(samples for _, samples in self.audio)])

    def drop(self) -> None:
        """Cut the connection without a word."""
        if self._connection:
            self._loop.call_soon_threadsafe(self._connection.transport.abort)

    def _call(self, work: Any) -> Any:
        future: Future[Any] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(60)

    async def _listen(self) -> Server:
        return await serve(self._serve, "127.0.0.1", self.port or 0, compression=None, max_size=None)

    async def _close(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, connection: ServerConnection) -> None:
        self._connection = connection
        try:
            async for text in connection:
                now = time.monotonic()
                message = json.loads(text)
                with self._changed:
                    if message["type"] == "input.audio":
                        self.audio.append((now, np.frombuffer(base64.b64decode(message["audio"]), np.int16)))
                    else:
                        self.received.append((now, message))
                    self._changed.notify_all()
                if message["type"] in ("session.update", "session.resume") and self._answers_ready:
                    await self._send({"type": "session.updated", "config": {}})
                    await self._send({"type": "session.ready", "session_id": "sess_peer"})
                elif message["type"] == "session.end":
                    await self._send({"type": "session.ended", "session_duration_seconds": 1.0})
        except ConnectionClosed:
            pass
        finally:
            if self._connection is connection:
                self._connection = None

    async def _send(self, message: dict[str, Any] | str | bytes) -> float:
        assert self._connection, "nobody is connected"
        await self._connection.send(json.dumps(message) if isinstance(message, dict) else message)
        return time.monotonic()

    async def _send_chunks(self, chunks: list[Samples], reply_id: str, pause_s: float) -> float:
        first_s = 0.0
        began_s = self._loop.time()
        for index, chunk in enumerate(chunks):
            data = base64.b64encode(chunk.tobytes()).decode()
            sent_s = await self._send({"type": "reply.audio", "data": data, "reply_id": reply_id})
            first_s = first_s or sent_s
            if pause_s:
                await asyncio.sleep(max(0.0, began_s + (index + 1) * pause_s - self._loop.time()))
        return first_s
