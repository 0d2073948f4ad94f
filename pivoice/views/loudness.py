"""How well a microphone hears somebody who speaks: levels over time, and which of several is best. PURE.

A level is that of the sound without its offset. Speech comes and goes, noise and hum stay: what lies between
the loud and the quiet tenths of a second is the voice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pivoice.views.meters import SILENCE_DB

BLOCK_S = 0.05
FULL_SCALE = 32768.0
HEARD_DB = 6.0
"""Over its own noise: what is nearer to it may as well be noise."""
_CLEAR_DB = 30.0  # more of that does not make a microphone any better
_LOUD, _QUIET = 90.0, 10.0  # percentiles: half a second of five spoken is enough
_CLIPPED = 32760.0  # some converters stop a little short of 32767
_USUAL_DB = -26.0  # where speech is, on a microphone that is set well
_HEADROOM_DB = -3.0
_LEAST_GAIN_DB = 6.0
_MOST_GAIN_DB = 40.0  # audio.gain_db's own limit

Frames = NDArray[np.float32]
"""n x channels; full scale is 32768."""


@dataclass
class Channel:
    """What one channel gave so far. One thread writes it, any may look."""

    blocks_db: list[float] = field(default_factory=list)
    """Level of each block."""
    peak: float = 0.0
    clipped: int = 0
    offset: float = 0.0

    @property
    def now_db(self) -> float:
        """The newest level."""
        return self.blocks_db[-1] if self.blocks_db else SILENCE_DB

    def add(self, level_db: float, peak: float, clipped: int) -> None:
        """Take a block that somebody else measured."""
        self.blocks_db.append(level_db)
        self.peak = max(self.peak, peak)
        self.clipped += clipped


class Ear:
    """Measures the channels of one microphone."""

    def __init__(self, rate_hz: int, channels: int, *, skip_s: float = 0.0) -> None:
        """`skip_s`: not looked at: cards settle after they were opened."""
        self.channels = [Channel() for _ in range(channels)]
        self._size = max(1, round(rate_hz * BLOCK_S))
        self._left = round(rate_hz * skip_s)
        self._rest: Frames = np.zeros((0, channels), np.float32)

    def hear(self, frames: Frames) -> None:
        """Take the next sound."""
        skipped = min(self._left, len(frames))
        self._left -= skipped
        self._rest = np.concatenate([self._rest, frames[skipped:]])
        used = len(self._rest) - len(self._rest) % self._size
        for start in range(0, used, self._size):
            self._measure(self._rest[start : start + self._size])
        self._rest = self._rest[used:]

    def _measure(self, block: Frames) -> None:
        offsets = block.mean(axis=0, dtype=np.float64)
        levels = np.sqrt(np.square(block - offsets).mean(axis=0, dtype=np.float64))
        sizes = np.abs(block)
        for number, channel in enumerate(self.channels):
            clipped = int(np.count_nonzero(sizes[:, number] >= _CLIPPED))
            channel.add(as_db(float(levels[number])), float(sizes[:, number].max()), clipped)
            channel.offset = float(offsets[number])


@dataclass(frozen=True)
class Hearing:
    """What one channel of one microphone made of somebody speaking."""

    voice_db: float
    """The voice alone, noise taken off; SILENCE_DB where there was none."""
    noise_db: float
    peak_db: float
    clipped: int
    offset_db: float
    seconds: float

    @property
    def contrast_db(self) -> float:
        """How far the voice is over the noise."""
        return self.voice_db - self.noise_db

    @property
    def has_heard(self) -> bool:
        """Whether somebody spoke, as far as this microphone can tell."""
        return self.voice_db > SILENCE_DB and self.contrast_db >= HEARD_DB

    @property
    def is_dead(self) -> bool:
        """Whether it gave one and the same number throughout."""
        return self.noise_db <= SILENCE_DB and self.voice_db <= SILENCE_DB

    @property
    def worth(self) -> tuple[bool, float]:
        """What is greater is better: how loud the voice is, and how clear."""
        return self.has_heard, self.voice_db + min(self.contrast_db, _CLEAR_DB)

    @property
    def gain_db(self) -> int:
        """What audio.gain_db would bring the voice to where it is wanted; 0 where nothing needs doing."""
        wanted = min(_USUAL_DB - self.voice_db, _HEADROOM_DB - self.peak_db, _MOST_GAIN_DB)
        return math.floor(wanted) if self.has_heard and wanted >= _LEAST_GAIN_DB else 0

    @property
    def remark(self) -> str:
        """What is wrong with it; empty where nothing is."""
        if self.is_dead and self.offset_db > SILENCE_DB:
            return "one and the same number all the time: it does not record"
        if self.is_dead:
            return (
                "digital silence: nothing but zeros; is it muted (alsamixer), or this channel not connected?"
            )
        if self.clipped:
            return f"too loud: {self.clipped} samples were clipped; lower its gain (alsamixer)"
        return "" if self.has_heard else "no voice over its noise"


def judged(channel: Channel, *, block_s: float = BLOCK_S) -> Hearing | None:
    """Return what to make of `channel`; None where it gave nothing to judge by."""
    if not channel.blocks_db:
        return None
    levels_db = np.asarray(channel.blocks_db)
    loud_db, noise_db = np.percentile(levels_db, [_LOUD, _QUIET])
    voice = math.sqrt(max(0.0, 10 ** (loud_db / 10) - 10 ** (noise_db / 10)))
    return Hearing(
        voice_db=max(SILENCE_DB, 20 * math.log10(voice)) if loud_db > SILENCE_DB and voice else SILENCE_DB,
        noise_db=float(noise_db),
        peak_db=as_db(channel.peak),
        clipped=channel.clipped,
        offset_db=as_db(abs(channel.offset)),
        seconds=len(levels_db) * block_s,
    )


def best_of(hearings: Iterable[Hearing | None]) -> int | None:
    """Return the index of the one that heard best; None where none heard anybody."""
    heard = [(each.worth, -index) for index, each in enumerate(hearings) if each and each.has_heard]
    return -max(heard)[1] if heard else None


def as_db(amplitude: float) -> float:
    """Return an amplitude (full scale 32768) in dB; exact zeros are SILENCE_DB."""
    return max(SILENCE_DB, 20 * math.log10(amplitude / FULL_SCALE)) if amplitude > 0 else SILENCE_DB
