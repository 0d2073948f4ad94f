"""The one scale of loudness, 0 to 100, and what it means in dB: on a card's control, or in our samples. PURE.

Level n is 60 * log10(n / 100) dB: 100 is as loud as the sound was made, 50 is 18 dB less, 20 is 42 dB less,
and 0 is silence; what alsamixer's bar does, too. A card that moves in coarse steps, or not far enough down,
stays at the next step above, and the samples are made softer by the rest: one scale on every card.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pivoice.audio.pcm import from_db
from pivoice.audio.ports import Side

FULL = 100
GAIN_PLAIN = 50
"""Microphone gain, where no card does it, that leaves the sound as it is."""
SILENT_DB = 120.0
_GAIN_DB = 0.6  # of a step of it: 30 dB over the half of the scale, for a bare I2S microphone
_ENOUGH_DB = 10.0  # a control that says it goes from 0 dB upwards, or nearly so, counts from somewhere else


def level_db(level: int) -> float:
    """Return what `level` is below the full one, in dB; minus infinity for 0."""
    return 60 * math.log10(level / FULL) if level > 0 else -math.inf


def softness(level: int) -> float:
    """Return the factor of the samples that `level` stands for."""
    return float((max(0, level) / FULL) ** 3)


def gain_factor(gain: int) -> float:
    """Return the factor of a microphone's samples, where no card changes its gain: 50 is 1."""
    return from_db(_GAIN_DB * (gain - GAIN_PLAIN))


@dataclass(frozen=True)
class Scale:
    """How far one control goes, in dB; without `has_db` it tells none, and its range is 0.0 to 1.0."""

    side: Side
    lowest: float
    """The softest that is not off."""
    highest: float
    has_db: bool = True

    @property
    def top(self) -> float:
        """Where level 100 is: a speaker's 0 dB, for what is above it makes full scale clip; else the end."""
        is_speaker = self.side == "playback" and self.has_db
        return 0.0 if is_speaker and self.lowest + _ENOUGH_DB <= 0 < self.highest else self.highest

    def value_of(self, level: int) -> float:
        """Return where the control shall be for `level`."""
        if self.has_db:
            return max(self.lowest, self.top + level_db(level))
        return self.lowest + (self.highest - self.lowest) * level / FULL

    def level_of(self, value: float | None) -> int:
        """Return the level of a control that is at `value` (None: switched off)."""
        if value is None:
            return 0
        if self.has_db:
            part = from_db((value - self.top) / 3)
        else:
            part = (value - self.lowest) / ((self.highest - self.lowest) or 1.0)
        return max(0, min(FULL, round(FULL * part)))

    def loudness_db(self, value: float | None) -> float:
        """Return how loud a control at `value` makes it; a guess, if it tells no dB."""
        if value is None:
            return -SILENT_DB
        return value if self.has_db else max(-SILENT_DB, level_db(self.level_of(value)))

    def rest(self, level: int, value: float | None) -> float:
        """Return the factor by which a speaker's samples must be softer, with the control at `value`."""
        if self.side == "capture":
            return 1.0
        if not level:
            return 0.0
        if value is None:
            return 1.0
        if not self.has_db:  # as good a guess as there is, and never louder than was asked for
            part = FULL * (value - self.lowest) / ((self.highest - self.lowest) or 1.0)
            return min(1.0, (level / part) ** 3) if part > 0 else 1.0
        return from_db(min(0.0, self.top + level_db(level) - value))
