"""What waits to go up: chunks in order, bounded, and shortened where nobody speaks.

PURE. Whatever is left out is silence first, by rules that spare speech: the beginning of each pause
stays, for the server ends a turn by it, and so does what lies just before a voice, where a quiet "s" is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from pivoice.agent.voicing import Sound


@dataclass(frozen=True, slots=True)
class Chunk:
    """One message's audio."""

    pcm: bytes
    sound: Sound
    is_again: bool = False
    """It was sent before."""

    @property
    def is_silent(self) -> bool:
        return self.sound is Sound.SILENT


class Backlog:
    """A queue of chunks. All sizes are numbers of chunks."""

    def __init__(self, *, capacity: int, pause: int, guard: int) -> None:
        """`pause`: how much of each pause always stays; `guard`: how much silence beside a voice."""
        self._capacity = capacity
        self._pause = pause
        self._guard = guard
        self._chunks: deque[Chunk] = deque()
        self._silent_run = 0  # silent chunks taken in a row, up to now
        self.skipped = 0
        """Silence left out to catch up."""
        self.dropped_silence = 0
        """Silence lost because too much waited."""
        self.dropped = 0
        """Audio that may be speech, lost because too much waited."""

    def __len__(self) -> int:
        return len(self._chunks)

    def add(self, chunk: Chunk) -> None:
        """Put `chunk` at the end; over the capacity the oldest silence goes, then the oldest audio."""
        self._chunks.append(chunk)
        self._make_room()

    def put_back(self, chunks: Iterable[Chunk]) -> None:
        """Put `chunks`, in their order, before everything that waits."""
        self._chunks.extendleft(reversed(list(chunks)))
        self._silent_run = 0  # who knows what of it the other end has
        self._make_room()

    def take(self) -> Chunk | None:
        """Return the next chunk, None when nothing waits."""
        if not self._chunks:
            return None
        chunk = self._chunks.popleft()
        self._silent_run = self._silent_run + 1 if chunk.is_silent else 0
        return chunk

    def clear(self) -> None:
        """Forget what waits, uncounted: it is wanted no more."""
        self._chunks.clear()

    def shorten(self, wanted: int) -> None:
        """Leave out silence at the head while more than `wanted` waits; never all of a pause."""
        while (
            len(self._chunks) > max(wanted, self._guard)
            and self._silent_run >= self._pause
            and all(self._chunks[index].is_silent for index in range(self._guard + 1))
        ):
            self._chunks.popleft()
            self.skipped += 1

    def _make_room(self) -> None:
        for spared in (self._pause, self._guard):
            if len(self._chunks) > self._capacity:
                self._drop_silence(spared)
        while len(self._chunks) > self._capacity:
            self._chunks.popleft()
            self.dropped += 1

    def _drop_silence(self, spared: int) -> None:
        """Drop what is too much, oldest first: silence after `spared` others and before a voice's guard.

        In one pass: after a reconnect half a minute may be put back at once.
        """
        excess, run = len(self._chunks) - self._capacity, self._silent_run
        kept: deque[Chunk] = deque()
        for chunk in self._chunks:
            run = run + 1 if chunk.is_silent else 0
            if excess and run > spared + self._guard and len(kept) >= self._guard:
                del kept[len(kept) - self._guard]
                run -= 1
                excess -= 1
                self.dropped_silence += 1
            kept.append(chunk)
        self._chunks = kept
