"""Microphone audio to the server, no faster than it is taken.

Event loop only. Owns what is on its way: what waits to be sent, from the moment the capture thread has
put it into the Uplink (which is the hand-over between the threads and nothing more), and a bounded
history of what was sent and not yet understood. Both outlive the connection.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pivoice.agent import wire
from pivoice.agent.backlog import Backlog, Chunk
from pivoice.agent.connection import Connection
from pivoice.agent.voicing import Sound, Voicing

logger = logging.getLogger(__name__)

Samples = NDArray[np.int16]

CHUNK_FRAMES = 960  # 40 ms: small enough for the 80 ms promise, 25 messages a second
CHUNK_S = CHUNK_FRAMES / wire.RATE_HZ
REWIND_S = 1.0  # the server drops what exceeds about a second per second, and says so within a round trip
REST_S = 1.0  # what the server counts per second runs dry before we start again
LAG_CHUNKS = 8  # 0.32 s: what may wait at real time without anything being left out
PAUSE_CHUNKS = 25  # 1 s of silence always goes up: the server ends a turn by it
GUARD_CHUNKS = 5  # 200 ms beside a voice: word edges are quieter than a room
MAX_REWINDS = 3  # a server that complains even at real time is left to its opinion
BACKLOG_S = 30.0  # all of a reconnect, and all that a stalled network is worth waiting for
HISTORY_S = 30.0
UNANSWERED_S = 5.0  # the slowest transcript comes 4.5 s after the last word (measured by others, 2026-09)
UTTERANCE_GAP_S = 2.0
IN_FLIGHT_BYTES = 131_072  # 2 s, a bad mobile network's round trip; more would be burst at the server later


class Taken(Protocol):
    """As of `audio.buffers`."""

    @property
    def samples(self) -> Samples: ...
    @property
    def clearings(self) -> int: ...


class UplinkFace(Protocol):
    """What the sender needs of `audio.buffers.Uplink`."""

    on_ready: Callable[[], None] | None
    """Called, in any thread, once there is something for the next `take_whole`."""

    def take_whole(self, frames: int) -> Taken:
        """Return as many whole multiples of `frames` as there are; `on_ready` will tell of more."""


@dataclass(frozen=True, slots=True)
class _Sent:
    at_s: float
    chunk: Chunk
    end: int
    """Where in the connection's bytes it ends; 0: on a connection that is gone."""


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

    Twice only what the server asked for again, and what it may never have heard. Less than once only
    silence, at real time, to catch up; and what `BACKLOG_S` cannot hold: counted.
    """

    def __init__(
        self,
        uplink: UplinkFace,
        *,
        catch_up_rate: float,
        now_s: Callable[[], float],
        on_slow: Callable[[], None] | None = None,
    ) -> None:
        """`on_slow` is told once: the server has shown that it takes no more than real time."""
        self._uplink = uplink
        self._now_s = now_s
        self._on_slow = on_slow
        self._pace = Pace(catch_up_rate)
        self._voicing = Voicing(chunk_s=CHUNK_S)
        self._backlog = Backlog(capacity=round(BACKLOG_S / CHUNK_S), pause=PAUSE_CHUNKS, guard=GUARD_CHUNKS)
        self._ready = asyncio.Event()
        self._history: deque[_Sent] = deque()
        self._clearings: int | None = None
        self._sent_bytes = self._acknowledged = 0
        self._unheard_chunks = 0
        self._has_warned = False
        self.rewinds = 0
        """How often audio was sent again because the server said that it had dropped some."""
        self.sent_frames = 0
        self._stage()  # from now on the Uplink tells

    def wake(self) -> None:
        """The Uplink has a chunk again: take it, whether or not it can be sent. Loop only."""
        self._ready.set()  # first: should staging fail, `run` fails by it too, and somebody hears of it
        self._stage()

    async def run(self, connection: Connection) -> None:
        """Send until cancelled.

        Raises:
            LinkError: the connection closed. What was not sent is kept for the next one.
        """
        self._forget_link()
        self.heard()  # nobody has had a chance to
        while True:
            self._ready.clear()
            wait_s = self._pace.wait_s(self._now_s())
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            elif not self._has_room(connection):
                await asyncio.sleep(CHUNK_S)
            elif (chunk := self._next()) is None:
                await self._ready.wait()
            else:
                await self._send(chunk, connection)

    # --- what became of it ---

    def transcribed(self) -> None:
        """The server has understood what was said so far: it need not be sent again."""
        self._forget_before(self._now_s() - REWIND_S)

    def heard(self) -> None:
        """The server has noticed a voice."""
        self._unheard_chunks = 0

    @property
    def unheard_s(self) -> float:
        """Seconds of clearly voiced audio that went up since `heard`. A steady noise is no voice."""
        return self._unheard_chunks * CHUNK_S

    @property
    def acknowledged(self) -> int:
        """How many bytes of the present (or the last) connection are known to have arrived."""
        return self._acknowledged

    def lose_link(self, *, arrived_at_most: float = math.inf) -> None:
        """The connection is gone: what never reached the other end is sent again on the next one.

        A link that dies without a word swallows seconds of speech before anybody notices. `arrived_at_most`:
        of its bytes, where the acknowledged ones cannot be believed.
        """
        arrived = min(self._acknowledged, arrived_at_most)
        self._send_again(lambda sent: sent.end > arrived)
        self._forget_link()

    def lose_session(self) -> None:
        """After `lose_link`: the next session knows nothing, so words not transcribed yet go up again.

        As far back as the user spoke without a long pause, not all that was ever left unanswered.
        """
        first = self._find_words()
        if first < len(self._history):
            first_s = self._history[max(0, first - GUARD_CHUNKS)].at_s
            self._send_again(lambda sent: sent.at_s >= first_s)
        self._history.clear()

    def rewind(self) -> None:
        """Send the last second again, and from now on at real time: the server dropped some of it.

        The last second before what it has not seen yet: the complaint took its time to come here, and what
        was sent meanwhile was dropped as well. What it complains of was acknowledged no sooner.
        """
        now_s = self._now_s()
        if self.rewinds >= MAX_REWINDS or (self.rewinds and self._pace.wait_s(now_s) > CHUNK_S):
            return  # the complaint is about audio that is already to be sent again
        self.rewinds += 1
        self._pace.rate = 1.0
        self._pace.rest(now_s + REST_S)
        under_way = (sent.at_s for sent in self._history if sent.end > self._acknowledged)
        from_s = next(under_way, now_s) - REWIND_S
        self._send_again(lambda sent: sent.end > 0 and sent.at_s >= from_s)
        if self.rewinds == 1 and self._on_slow is not None:
            self._on_slow()

    def status(self) -> dict[str, object]:
        """Return facts for `ctl status`. Seconds are of audio."""
        backlog = self._backlog
        return {
            "sent_s": round(self.sent_frames / wire.RATE_HZ, 2),
            "sent_again": self.rewinds,
            "waiting_s": round(len(backlog) * CHUNK_S, 2),
            "skipped_silence_s": round(backlog.skipped * CHUNK_S, 2),
            "dropped_silence_s": round(backlog.dropped_silence * CHUNK_S, 2),
            "dropped_s": round(backlog.dropped * CHUNK_S, 2),
        }

    @property
    def skipped_frames(self) -> int:
        """Silence left out to catch up."""
        return self._backlog.skipped * CHUNK_FRAMES

    @property
    def dropped_silence_frames(self) -> int:
        """Silence lost because more waited than `BACKLOG_S`."""
        return self._backlog.dropped_silence * CHUNK_FRAMES

    @property
    def dropped_frames(self) -> int:
        """Audio that may be speech, lost because more waited than `BACKLOG_S` and no silence was left."""
        return self._backlog.dropped * CHUNK_FRAMES

    # --- inside ---

    def _stage(self) -> None:
        """Take over what the Uplink holds. What was taken before it was cleared is wanted no more."""
        taken = self._uplink.take_whole(CHUNK_FRAMES)
        if taken.clearings != self._clearings:
            self._clearings = taken.clearings
            self._backlog.clear()
            self._history.clear()
        for start in range(0, len(taken.samples), CHUNK_FRAMES):
            samples = taken.samples[start : start + CHUNK_FRAMES]
            sound = self._voicing.judge(samples)
            self._backlog.add(Chunk(samples.astype("<i2", copy=False).tobytes(), sound))
        self._warn_of_loss()

    def _next(self) -> Chunk | None:
        self._stage()
        if self._pace.rate <= 1.0:
            self._backlog.shorten(LAG_CHUNKS)
        return self._backlog.take()

    def _has_room(self, connection: Connection) -> bool:
        """Whether what is under way is little enough; else the network takes nothing: we keep it here."""
        if self._sent_bytes - self._acknowledged > IN_FLIGHT_BYTES:
            self._sent_bytes, self._acknowledged = connection.progress()
        return self._sent_bytes - self._acknowledged <= IN_FLIGHT_BYTES

    async def _send(self, chunk: Chunk, connection: Connection) -> None:
        try:
            await connection.send(wire.InputAudio(chunk.pcm))
        except BaseException:
            self._backlog.put_back([chunk])
            raise
        now_s = self._now_s()
        self._pace.sent(now_s)
        self._sent_bytes, self._acknowledged = connection.progress()
        self._history.append(_Sent(now_s, chunk, self._sent_bytes))
        self._forget_before(now_s - HISTORY_S)
        self.sent_frames += CHUNK_FRAMES
        self._unheard_chunks += chunk.sound is Sound.VOICED and not chunk.is_again

    def _send_again(self, is_wanted: Callable[[_Sent], bool]) -> None:
        """Take back the end of the history, as far as it is wanted."""
        again: deque[Chunk] = deque()
        while self._history and is_wanted(self._history[-1]):
            again.appendleft(replace(self._history.pop().chunk, is_again=True))
        self._backlog.put_back(again)
        self._warn_of_loss()
        self._ready.set()

    def _find_words(self) -> int:
        """Return where in the history the last words begin; its length when there are none.

        Who speaks at once, before the room is known, is not clearly a voice: what is unsure right before one
        belongs to it, and where there is no voice at all it stands for one.
        """
        sounds = [sent.chunk.sound for sent in self._history]
        most, unsure = round(UNANSWERED_S / CHUNK_S), (Sound.VOICED, Sound.UNSURE)
        recent = range(len(sounds) - 1, max(-1, len(sounds) - 1 - most), -1)
        for kinds in ((Sound.VOICED,), unsure):
            latest = next((index for index in recent if sounds[index] in kinds), None)
            if latest is not None:
                first = _find_begin(sounds, latest, (Sound.VOICED,), round(UTTERANCE_GAP_S / CHUNK_S))
                return max(first - most, _find_begin(sounds, first, unsure, GUARD_CHUNKS))
        return len(sounds)

    def _forget_before(self, time_s: float) -> None:
        while self._history and self._history[0].at_s < time_s:
            self._history.popleft()

    def _forget_link(self) -> None:
        """Nothing of what was sent so far can be missing on the next connection."""
        self._sent_bytes = self._acknowledged = 0
        self._history = deque(replace(sent, end=0) for sent in self._history)

    def _warn_of_loss(self) -> None:
        lost = self._backlog.dropped + self._backlog.dropped_silence
        if lost and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "the agent takes no sound: of what is older than %g s the silence is lost, then all of it",
                BACKLOG_S,
            )


def _find_begin(sounds: Sequence[Sound], latest: int, kinds: Collection[Sound], gap: int) -> int:
    """Return the first index of what ends at `latest` and is of `kinds`, with gaps of up to `gap` others."""
    first = latest
    for index in range(latest - 1, -1, -1):
        if first - index > gap:
            break
        if sounds[index] in kinds:
            first = index
    return first
