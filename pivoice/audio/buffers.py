"""What stands between the threads: bounded, counted, and nothing but memory.

PURE apart from locks, which are held only to move references and counters.

`Ring` and the position it counts belong to one thread. `Uplink` goes from the capture
thread to the event loop, `ReplyQueue` from the event loop to the playback thread, `SpokenRing` from the
playback thread to the capture thread (as does `reference.Reference`).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from pivoice.audio.pcm import Samples

WIRE_HZ = 24000
"""What the agent speaks and hears."""
EAR_HZ = 16000
"""What the wake word hears; positions are counted in it."""
SPOKEN_S = 3.0  # a wake word and what the detector needs before it
REPLIES_S = 600.0  # ten minutes of replies sent faster than they can be played: 29 MB


class Taken(NamedTuple):
    """What was taken out of an `Uplink`."""

    samples: Samples
    clearings: int
    """How often the Uplink had been cleared by then: what was taken before the latest is void too."""


class Uplink:
    """What shall go up to the agent: 24 kHz, in order. Capture thread in, event loop out.

    Over `capacity_s` the oldest goes, counted in `dropped_frames`.
    """

    def __init__(self, *, capacity_s: float, on_ready: Callable[[], None] | None = None) -> None:
        self.dropped_frames = 0
        self.on_ready = on_ready
        """Called, in the thread that put, once there is something for the next `take_whole`."""
        self._capacity = round(capacity_s * WIRE_HZ)
        self._lock = threading.Lock()
        self._queue = Pieces()
        self._clearings = 0
        self._wanted = 0  # frames that somebody waits for; 0: told already, or nobody does

    @property
    def queued_s(self) -> float:
        """How much waits, in seconds."""
        return self._queue.frames / WIRE_HZ

    def put(self, samples: Samples) -> None:
        """Add samples; the array is the queue's from now on."""
        with self._lock:
            self._queue.append(samples)
            excess = self._queue.frames - self._capacity
            if excess > 0:
                self._queue.take(excess)
                self.dropped_frames += excess
            is_ready = 0 < self._wanted <= self._queue.frames
            if is_ready:
                self._wanted = 0
        if is_ready and self.on_ready:
            self.on_ready()

    def take_whole(self, frames: int) -> Taken:
        """Return as many whole multiples of `frames` as there are; `on_ready` will tell, once, of more."""
        with self._lock:
            self._wanted = frames
            return Taken(self._queue.take(self._queue.frames // frames * frames), self._clearings)

    def clear(self) -> None:
        """Forget all that waits: a new conversation, or the end of one. Who waits goes on waiting."""
        with self._lock:
            self._queue = Pieces()
            self._clearings += 1


@dataclass
class _Reply:
    serial: int
    first_s: float
    """When its first samples came."""
    queue: Pieces
    is_ended: bool = False


@dataclass(frozen=True)
class Waiting:
    """What is known of the reply at the head of the queue."""

    reply: int
    frames: int
    first_s: float
    is_ended: bool


class ReplyQueue:
    """Replies to be played, 24 kHz, one after the other by serial. Event loop in, playback thread out."""

    def __init__(self, *, capacity_s: float = REPLIES_S) -> None:
        self.dropped = 0
        """Every reply up to this serial was dropped."""
        self.dead = 0
        """Every reply up to this serial was dropped or played out: nothing of it is taken any more."""
        self.ignored_frames = 0
        """What came for dead replies."""
        self.overflow_frames = 0
        """What came when the queue was full."""
        self._capacity = round(capacity_s * WIRE_HZ)
        self._frames = 0
        self._replies: dict[int, _Reply] = {}  # by ascending serial
        self._lock = threading.Lock()

    def put(self, reply: int, samples: Samples, now_s: float) -> None:
        """Add samples to a reply, the queue's own from now on; `now_s` is kept for the first of them."""
        with self._lock:
            if reply <= self.dead or not len(samples):
                self.ignored_frames += len(samples)
                return
            if self._frames + len(samples) > self._capacity:
                self.overflow_frames += len(samples)
                return
            entry = self._replies.setdefault(reply, _Reply(reply, now_s, Pieces()))
            entry.queue.append(samples)
            self._frames += len(samples)

    def end(self, reply: int) -> None:
        """No more of `reply` will come. One that never had a sample is of no interest here."""
        with self._lock:
            if reply in self._replies:
                self._replies[reply].is_ended = True

    def drop(self, reply: int) -> None:
        """Forget every reply up to `reply`, for good."""
        with self._lock:
            self.dropped = max(self.dropped, reply)
            self._bury(reply)

    def head(self) -> Waiting | None:
        """Return what is known of the oldest reply, None when there is none."""
        with self._lock:
            if not self._replies:
                return None
            entry = self._replies[min(self._replies)]
            is_ended = entry.is_ended or len(self._replies) > 1  # a newer one came: this one is over
            return Waiting(entry.serial, entry.queue.frames, entry.first_s, is_ended)

    def pull(self, reply: int, frames: int) -> Samples:
        """Return the next samples of `reply`, at most `frames`; none when it is dropped meanwhile."""
        with self._lock:
            entry = self._replies.get(reply)
            samples = entry.queue.take(frames) if entry else np.zeros(0, np.int16)
            self._frames -= len(samples)
            return samples

    def finish(self, reply: int) -> None:
        """`reply` has been pulled to its end: the next one becomes the head."""
        with self._lock:
            self._bury(reply)

    def newest(self) -> int:
        """Return the highest serial seen so far, 0 when none was."""
        with self._lock:
            return max(self._replies, default=self.dead)

    def _bury(self, reply: int) -> None:
        self.dead = max(self.dead, reply)
        for serial in [serial for serial in self._replies if serial <= reply]:
            self._frames -= self._replies.pop(serial).queue.frames


class SpokenRing:
    """The last 3 s of what was written to the speaker, at its own rate: to know our own words by."""

    def __init__(self) -> None:
        self.rate_hz = WIRE_HZ
        self._lock = threading.Lock()
        self._ring = Ring(round(SPOKEN_S * self.rate_hz))

    def set_rate(self, rate_hz: int) -> None:
        """The speaker was opened: forget all, and go on at its rate. Playback thread."""
        with self._lock:
            self.rate_hz = rate_hz
            self._ring = Ring(round(SPOKEN_S * rate_hz))

    def append(self, samples: Samples) -> None:
        """A period was written. Playback thread."""
        with self._lock:
            self._ring.append(samples)

    def last(self) -> tuple[Samples, int]:
        """Return a copy of what there is, oldest first, and its rate."""
        with self._lock:
            return self._ring.since(self._ring.start), self.rate_hz


@dataclass
class Pieces:
    """Arrays in a row, taken from the front in any size, without copying more than is taken."""

    frames: int = 0
    _pieces: deque[Samples] = field(default_factory=deque)
    _offset: int = 0  # already taken of the first piece

    def append(self, samples: Samples) -> None:
        if len(samples):
            self._pieces.append(samples)
            self.frames += len(samples)

    def take(self, frames: int) -> Samples:
        """Return at most `frames`."""
        wanted = min(frames, self.frames)
        taken = np.empty(wanted, np.int16)
        filled = 0
        while filled < wanted:
            piece = self._pieces[0][self._offset : self._offset + wanted - filled]
            taken[filled : filled + len(piece)] = piece
            filled += len(piece)
            self._offset += len(piece)
            if self._offset == len(self._pieces[0]):
                self._pieces.popleft()
                self._offset = 0
        self.frames -= wanted
        return taken

    def put_back(self, samples: Samples) -> None:
        """Make `samples` the next to be taken."""
        if self._offset:
            self._pieces[0] = self._pieces[0][self._offset :]
            self._offset = 0
        self._pieces.appendleft(samples)
        self.frames += len(samples)


class Ring:
    """The last `capacity` samples, by position. One thread, or under its owner's lock.

    Positions count all samples that ever went by: they go on over gaps.
    """

    def __init__(self, capacity: int) -> None:
        self._samples = np.zeros(capacity, np.int16)
        self._filled = 0
        self.end = 0
        """Position of the next sample."""

    @property
    def start(self) -> int:
        """Position of the oldest sample that is still there."""
        return self.end - self._filled

    def append(self, samples: Samples) -> None:
        capacity = len(self._samples)
        kept = samples[-capacity:]
        first = (self.end + len(samples) - len(kept)) % capacity
        room = min(len(kept), capacity - first)
        self._samples[first : first + room] = kept[:room]
        self._samples[: len(kept) - room] = kept[room:]
        self.end += len(samples)
        self._filled = min(capacity, self._filled + len(samples))

    def since(self, position: int) -> Samples:
        """Return a copy of everything from `position` (or from the oldest there is) to the end."""
        count = max(0, min(self.end - position, self._filled))
        first = (self.end - count) % len(self._samples)
        wrapped = max(0, first + count - len(self._samples))
        return np.concatenate([self._samples[first : first + count], self._samples[:wrapped]])

    def leap(self, frames: int) -> None:
        """So many samples went by unseen; what was before them is forgotten."""
        self.end += frames
        self._filled = 0
