"""What a chunk of microphone audio holds: silence, something, or clearly a voice.

PURE. Judged by loudness against the room's own noise, which is tracked: no room is as quiet as a digital
zero (-50 to -40 dBFS is usual), and no fixed bound fits two of them. It is a guess about energy, no
speech recognition; whoever leaves audio out by it keeps what lies around a voice as well.
"""

from __future__ import annotations

import enum
from collections import deque

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]

SILENT_DB = 6.0  # above the noise floor; noise itself keeps within 1 dB (white) to 4 dB (a street)
VOICED_DB = 12.0
MAX_SILENT_DBFS = -35.0  # louder is never called silence, however steady: it may be a crowd
MIN_VOICED_DBFS = -50.0
NOTHING_DBFS = -60.0  # below anything a microphone hears: always silence, and no noise to go by
NOTHING_HIGH_DBFS = -70.0  # the same of the high band
FLOOR_S = 5.0  # nobody speaks this long without a gap
UNTAUGHT_S = 0.5  # a voice may come first: until then a room's noise is not known
_SLICE_FRAMES = 240  # 10 ms: a plosive must not be averaged away
_FULL_SCALE = 32768.0


class Sound(enum.Enum):
    """What a chunk holds."""

    SILENT = "silent"
    UNSURE = "unsure"
    """Neither: to be treated as speech where it could be lost, as silence where it could be counted."""
    VOICED = "voiced"


class Voicing:
    """Judges chunks of one microphone, each once and in order."""

    def __init__(self, *, chunk_s: float) -> None:
        self._untaught = round(UNTAUGHT_S / chunk_s)
        self._levels: deque[tuple[float, float]] = deque(maxlen=round(FLOOR_S / chunk_s))

    def judge(self, samples: Samples) -> Sound:
        """Return what `samples`, a whole number of 10 ms at 24 kHz, hold."""
        level, high = _levels_dbfs(samples)
        if level < NOTHING_DBFS and high < NOTHING_HIGH_DBFS:
            return Sound.SILENT  # zeros in place of sound say nothing of the room
        self._levels.append((level, high))
        floor = max(NOTHING_DBFS, min(each for each, _ in self._levels))
        floor_high = max(NOTHING_HIGH_DBFS, min(each for _, each in self._levels))
        if level > floor + VOICED_DB and level > MIN_VOICED_DBFS:
            return Sound.VOICED
        is_like_noise = level < floor + SILENT_DB and high < floor_high + SILENT_DB
        is_taught = len(self._levels) >= self._untaught
        return Sound.SILENT if is_like_noise and is_taught and level < MAX_SILENT_DBFS else Sound.UNSURE


def _levels_dbfs(samples: Samples) -> tuple[float, float]:
    """Return the loudest 10 ms: of the whole band, and of its upper part, where an "s" is and no hum."""
    slices = samples.astype(np.float32).reshape(-1, _SLICE_FRAMES)
    slices = slices - slices.mean()  # cheap converters have an offset
    power = float(np.mean(slices * slices, axis=1).max())
    steps = np.diff(slices, axis=1)
    return _dbfs(power), _dbfs(float(np.mean(steps * steps, axis=1).max()))


def _dbfs(power: float) -> float:
    return 10.0 * float(np.log10(max(power, 1e-9) / _FULL_SCALE**2))
