"""The server's replies, numbered: which one sounds, which are dead, what their bytes mean.

PURE: no time, no I/O. Numbers go up over the whole life of the process, so "older" is "smaller".
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]

AUDIBLE_PEAK = 104  # -50 dBFS: every reply begins with silent PCM, tool pre-ambles have nothing else
_REMEMBERED = 16  # an `interrupted` flag may come after `reply.done`
_MAX_WORDS_CHARS = 8000


@dataclass(eq=False)
class Reply:
    """One turn of the agent. `serial` is ours, `reply_id` the server's ("" until it names one)."""

    serial: int
    reply_id: str
    is_done: bool = False
    is_dead: bool = False
    """Its audio is wanted no more."""
    is_interrupted: bool = False
    is_lost: bool = False
    """The link broke since: the server may tell of it anew, or give its name to another."""
    ended_silent: bool = False
    has_audio: bool = False
    is_audible: bool = False
    has_text: bool = False
    told: tuple[str, bool] | None = None
    """The transcript that was reported last, and whether it said that the reply was cut."""
    words: str = ""
    _carry: bytes = field(default=b"", repr=False)

    def add_words(self, words: str) -> None:
        if len(self.words) < _MAX_WORDS_CHARS:
            self.words = f"{self.words} {words.strip()}".strip()

    def samples(self, pcm: bytes) -> Samples:
        """Return the whole samples of `pcm`; half a sample waits for the next bytes."""
        pcm = self._carry + pcm
        whole = len(pcm) & ~1
        self._carry = pcm[whole:]
        samples = np.frombuffer(pcm[:whole], dtype="<i2")
        if not self.is_audible and whole:
            # -32768 has no positive twin in 16 bits
            self.is_audible = max(int(samples.max()), -int(samples.min())) > AUDIBLE_PEAK
        return samples


class Replies:
    """The replies of one session, the newest last."""

    def __init__(self, serials: Iterator[int] | None = None) -> None:
        self._serials = serials or itertools.count(1)
        self._known: deque[Reply] = deque(maxlen=_REMEMBERED)
        self._dead_up_to = 0
        self.discarded = 0
        """Pieces of audio of dead or unknown replies."""

    @property
    def latest(self) -> Reply | None:
        return self._known[-1] if self._known else None

    @property
    def in_flight(self) -> Reply | None:
        """The reply that the server still works on."""
        return self._known[-1] if self._known and not self._known[-1].is_done else None

    def start(self, reply_id: str) -> Reply | None:
        """Number a new reply; None when it is one that we know, told twice."""
        if reply_id:
            if any(each.reply_id == reply_id and not each.is_lost for each in self._known):
                return None
        elif (current := self.in_flight) and not (current.reply_id or current.has_audio or current.words):
            return None
        reply = Reply(next(self._serials), reply_id)
        self._known.append(reply)
        return reply

    def find(self, reply_id: str) -> Reply | None:
        """Return the reply meant by `reply_id`; "" means the latest."""
        latest = self.latest
        if latest is None or not reply_id:
            return latest
        known = next((each for each in reversed(self._known) if each.reply_id == reply_id), None)
        if known is None and not latest.reply_id and not latest.is_done:
            latest.reply_id = reply_id  # it was announced without a name
            return latest
        return known

    def take_audio(self, reply_id: str, pcm: bytes) -> tuple[Reply, Samples] | None:
        """Return the reply and samples to play; None when they are to be discarded."""
        reply = self.find(reply_id)
        if reply is None or reply.is_dead or reply.is_done or reply.serial <= self._dead_up_to:
            self.discarded += 1
            return None
        return reply, reply.samples(pcm)

    def kill(self, serial: int) -> None:
        """Discard the later audio of every reply up to and including `serial`."""
        self._dead_up_to = max(self._dead_up_to, serial)

    def lose_link(self) -> Reply | None:
        """Return the reply in flight, of which nothing more can come; None when there was none."""
        reply = self.in_flight
        if reply is not None:
            reply.is_done = reply.is_dead = True
        for each in self._known:
            each.is_lost = True
        return reply

    def is_dropped(self, reply: Reply) -> bool:
        return reply.serial <= self._dead_up_to
