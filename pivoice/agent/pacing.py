"""Microphone audio to the server, no faster than it is taken.

Event loop only. Owns what is on its way: audio to be sent again, and a bounded history of what was
sent. The backlog waits in the Uplink, whose capture thread is the only other party.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pivoice.agent import wire
from pivoice.agent.connection import Connection

Samples = NDArray[np.int16]

CHUNK_FRAMES = 960  # 40 ms: small enough for the 80 ms promise, 25 messages a second
CHUNK_S = CHUNK_FRAMES / wire.RATE_HZ
REWIND_CHUNKS = (
    25  # 1 s: the server drops what exceeds about a second per second, and says so within a round trip
)
REST_S = 1.0  # what the server counts per second runs dry before we start again
LAG_CHUNKS = 8  # 0.32 s: what may wait at real time without anything being left out
PAUSE_CHUNKS = 25  # 1 s of silence always goes up: the server ends a turn by it
SILENCE_RMS = 58  # of 32767: -55 dBFS, below anybody's speech
MAX_REWINDS = 3  # a server that complains even at real time is left to its opinion
_HISTORY_S = 12.0  # longer than a dead link goes unnoticed
_HISTORY_CHUNKS = 500
_STAGED_CHUNKS = 400  # 16 s


class UplinkFace(Protocol):
    """What the sender needs of `audio.buffers.Uplink`."""

    on_ready: Callable[[], None] | None
    """Called, in any thread, once there is what a `take` returned None for."""

    def take(self, frames: int) -> Samples | None:
        """Return the next `frames` samples, or None and tell when there are enough."""


@dataclass(frozen=True)
class _Sent:
    at_s: float
    chunk: bytes
    end: int
    """Where in the connection's bytes it ends."""


class Pace:
    """When the next chunk may go. PURE: the caller brings the time.

    Nothing is owed after a stall: the schedule starts anew at the present, so a backlog never turns
    into a burst.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._next_s = float("-inf")

    def wait_s(self, now_s: float) -> float:
        """Return how long to wait before sending; 0 or less: send now."""
        return self._next_s - now_s

    def sent(self, now_s: float) -> None:
        """One chunk went out."""
        step_s = CHUNK_S / self.rate
        self._next_s = max(self._next_s, now_s - step_s) + step_s  # a late timer may make up for one chunk

    def rest(self, until_s: float) -> None:
        """Send nothing before `until_s`."""
        self._next_s = max(self._next_s, until_s)


class Sender:
    """Sends the Uplink through one connection after another, in order, each chunk at least once.

    Twice only what the server asked for again, and what a broken link had not acknowledged.
    """

    def __init__(self, uplink: UplinkFace, *, catch_up_rate: float, now_s: Callable[[], float]) -> None:
        self._uplink = uplink
        self._now_s = now_s
        self._pace = Pace(catch_up_rate)
        self._ready = asyncio.Event()
        self._history: deque[_Sent] = deque(maxlen=_HISTORY_CHUNKS)
        self._acknowledged = 0
        self._staged: deque[bytes] = deque()
        self.rewinds = 0
        self.sent_frames = 0
        self._silent_chunks = 0
        self.skipped_frames = 0
        """Silence left out to catch up."""
        self.dropped_frames = 0
        """Lost because too much waited to be sent again."""

    def wake(self) -> None:
        """The Uplink has a chunk again. Loop only."""
        self._ready.set()

    async def run(self, connection: Connection) -> None:
        """Send until cancelled.

        Raises:
            LinkError: the connection closed. What was not sent is kept for the next one.
        """
        self._history.clear()
        while True:
            wait_s = self._pace.wait_s(self._now_s())
            if wait_s > 0:
                await asyncio.sleep(wait_s)
                continue
            self._ready.clear()  # before taking: what arrives in between sets it again
            chunk = self._next()
            if chunk is None:
                await self._ready.wait()
                continue
            try:
                await connection.send(wire.InputAudio(chunk))
            except BaseException:
                self._staged.appendleft(chunk)
                raise
            self._note(chunk, connection)

    def lose_link(self) -> None:
        """The connection is gone: what never reached the other end is sent again on the next one.

        A link that dies without a word swallows seconds of speech before anybody notices.
        """
        while self._history and self._history[-1].end > self._acknowledged:
            self._staged.appendleft(self._history.pop().chunk)

    def rewind(self) -> None:
        """Send the last second again, and from now on at real time: the server dropped some of it."""
        now_s = self._now_s()
        if self.rewinds >= MAX_REWINDS or (self.rewinds and self._pace.wait_s(now_s) > CHUNK_S):
            return  # the complaint is about audio that is already to be sent again
        self.rewinds += 1
        self._pace.rate = 1.0
        self._pace.rest(now_s + REST_S)
        for _ in range(min(len(self._history), REWIND_CHUNKS)):
            self._staged.appendleft(self._history.pop().chunk)
        self._stage()

    def _next(self) -> bytes | None:
        if self.rewinds:
            self._stage()  # a lag must not wait in the Uplink, which is shorter
            self._leave_out_silence()
        if self._staged:
            return self._staged.popleft()
        samples = self._uplink.take(CHUNK_FRAMES)
        return None if samples is None else samples.astype("<i2", copy=False).tobytes()

    def _leave_out_silence(self) -> None:
        """Work off the lag that real time leaves: skip silence, never speech, never all of a pause."""
        while len(self._staged) > LAG_CHUNKS and _is_silent(self._staged[0]):
            if self._silent_chunks < PAUSE_CHUNKS:
                break
            self._staged.popleft()
            self.skipped_frames += CHUNK_FRAMES

    def _stage(self) -> None:
        while (samples := self._uplink.take(CHUNK_FRAMES)) is not None:
            self._staged.append(samples.astype("<i2", copy=False).tobytes())
        while len(self._staged) > _STAGED_CHUNKS:
            self._staged.popleft()
            self.dropped_frames += CHUNK_FRAMES

    def _note(self, chunk: bytes, connection: Connection) -> None:
        now_s = self._now_s()
        self._pace.sent(now_s)
        sent, self._acknowledged = connection.progress()
        self._history.append(_Sent(now_s, chunk, sent))
        while self._history[0].at_s < now_s - _HISTORY_S:
            self._history.popleft()
        self.sent_frames += CHUNK_FRAMES
        self._silent_chunks = self._silent_chunks + 1 if _is_silent(chunk) else 0


def _is_silent(chunk: bytes) -> bool:
    samples = np.frombuffer(chunk, "<i2").astype(np.float32)
    return bool(np.dot(samples, samples) < SILENCE_RMS**2 * len(samples))
