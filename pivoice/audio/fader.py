"""Loudness that changes without a noise of its own: a factor for each sample, smooth in value and in slope.

One thread. A factor that changes in steps, even once a period, is heard as a zip, and one with corners as a
faint click. So it moves as a door with a good closer does (a critically damped spring): it may be sent
elsewhere at any moment, and has arrived, to a hundredth, after 0.1 s.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

SPRING_S = 0.015
_STILL = 1e-4  # nearer than that to where it goes, it is there: -80 dB of the sound itself


class Fader:
    """A factor, where it is and where it goes."""

    def __init__(self, rate_hz: int, level: float) -> None:
        self.level = level
        """The factor of the last sample."""
        self._target = level
        self._slope = 0.0  # per sample
        self._spring = SPRING_S * rate_hz

    @property
    def is_still(self) -> bool:
        """It does not move."""
        return self.level == self._target and not self._slope

    def turn(self, level: float, *, at_once: bool = False) -> None:
        """Go to `level`. `at_once`: nobody hears it."""
        self._target = level
        if at_once:
            self.level, self._slope = level, 0.0

    def next(self, frames: int) -> NDArray[np.float32]:
        """Return the factors of the next samples: one for all of them while it stands still."""
        if self.is_still or not frames:
            return np.full(1, self.level, np.float32)
        away = self.level - self._target
        push = self._slope + away / self._spring
        at = np.arange(1, frames + 1)
        fall = np.exp(-at / self._spring)
        left = away + push * at
        levels = np.maximum(self._target + left * fall, 0.0)
        self._slope = float((push - left[-1] / self._spring) * fall[-1])
        self.level = float(levels[-1])
        nearly = _STILL * max(self._target, _STILL)
        if abs(self.level - self._target) < nearly and abs(self._slope) * self._spring < nearly:
            self.turn(self._target, at_once=True)
        assert math.isfinite(self.level), "a fader is somewhere"
        return np.asarray(levels, np.float32)
