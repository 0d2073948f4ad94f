"""What sounds of the device's own: earcons and sentences, beside each other, each through its own resampler.

Playback thread only; never waits. A long file is brought to the card's rate as it is played: all of it at
once would take a slow board longer than the card holds sound.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pivoice.audio.earcons import NOTICES, Earcons
from pivoice.audio.pcm import Samples
from pivoice.audio.resample import Resampler

_NOTHING: Samples = np.zeros(0, np.int16)


@dataclass(frozen=True)
class Hush:
    """In the place of an earcon's name: this one, if it still sounds, is to end."""

    name: str


class Chimes:
    """All that sounds, for one opened card."""

    def __init__(self, earcons: Earcons, rate_hz: int, *, ramp: NDArray[np.float32]) -> None:
        """`ramp`: the last that is heard of what is hushed, from 1 to 0."""
        self._earcons = earcons
        self._rate_hz = rate_hz
        self._ramp = ramp
        self._sources: dict[str, tuple[Samples, int]] = {}  # made when first needed: most are never
        self._sounding: list[_Sounding] = []

    def __bool__(self) -> bool:
        """Whether anything sounds."""
        return bool(self._sounding)

    @property
    def is_tonal(self) -> bool:
        """Nothing sounds but tones: what an owner put in the place of ours may be somebody's voice."""
        return all(self._earcons.is_tonal(each.name) for each in self._sounding)

    def obey(self, asked: str | Hush) -> None:
        """Begin an earcon, or end one.

        One that still sounds is not begun once more on top of itself. With "wake" the user has the floor:
        whatever else sounds ends, so that it is not heard as theirs.
        """
        if isinstance(asked, Hush):
            self._hush([each for each in self._sounding if each.name == asked.name])
            return
        if asked == "wake":
            self._hush([each for each in self._sounding if each.name != asked])
        if all(each.name != asked or each.is_hushed for each in self._sounding):
            if asked not in self._sources:
                self._sources[asked] = self._earcons.source(asked, self._rate_hz)
            samples, from_hz = self._sources[asked]
            if len(samples):
                self._sounding.append(_Sounding(asked, samples, Resampler(from_hz, self._rate_hz)))

    def add_to(self, sound: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Add the next stretch to `sound`, whose length it has; return the words in it, None without any."""
        words: NDArray[np.float32] | None = None
        for each in self._sounding:
            part = each.take(len(sound))
            sound[: len(part)] += part
            if each.name in NOTICES and not each.is_hushed:
                words = np.zeros(len(sound), np.float32) if words is None else words
                words[: len(part)] += part
        self._sounding = [each for each in self._sounding if not each.is_over]
        return words

    def _hush(self, those: list[_Sounding]) -> None:
        for each in those:
            each.hush(self._ramp)


@dataclass
class _Sounding:
    """One earcon that is being played."""

    name: str
    source: Samples
    """At its own rate, all of it."""
    stream: Resampler
    ahead: Samples = field(default_factory=lambda: _NOTHING)
    """What comes next, at the card's rate."""
    taken: int = 0
    """How much of `source` has gone through the stream."""
    is_hushed: bool = False

    @property
    def is_over(self) -> bool:
        return self.taken == len(self.source) and not len(self.ahead)

    def take(self, frames: int) -> Samples:
        """Return the next `frames`, fewer at its end."""
        self._have(frames)
        part, self.ahead = self.ahead[:frames], self.ahead[frames:]
        return part

    def hush(self, ramp: NDArray[np.float32]) -> None:
        """Let nothing be left but `ramp` of what comes next."""
        if not self.is_hushed:
            self._have(len(ramp))
            end = self.ahead[: len(ramp)]
            self.ahead = np.rint(end * ramp[: len(end)]).astype(np.int16)
            self.taken, self.is_hushed = len(self.source), True

    def _have(self, frames: int) -> None:
        while len(self.ahead) < frames and self.taken < len(self.source):
            missing = frames - len(self.ahead)
            stop = self.taken + -(-missing * self.stream.from_hz // self.stream.to_hz)
            pieces = [self.ahead, self.stream.process(self.source[self.taken : stop])]
            self.taken = min(stop, len(self.source))
            if self.taken == len(self.source):
                pieces.append(self.stream.flush())
            self.ahead = np.concatenate(pieces)
