"""From how bright a light should look to what its hardware takes, by day and by night. PURE.

An eye sees a tenth of the power as a third of the brightness, so every driver goes through `steps`: without
it a breath is all top and no bottom, and "20 %" looks like half. Nothing that is lit is dimmed away.
"""

from __future__ import annotations

import math
from datetime import datetime, time

from pivoice.config import PanelConfig

_FAINTEST = 0.01

GAMMA = 2.2
"""What "#rrggbb" means by a half: 0.5 ** 2.2 of the power (sRGB's curve, near enough)."""


def steps(part: float, brightness: float, most: int) -> int:
    """Return how many of `most` steps a light takes that should look `part` (0 to 1) bright.

    `brightness` (0 to 1) dims it, and never to nothing what is lit without, unless it is 0.
    """
    if not brightness or not round(most * math.pow(part, GAMMA)):
        return 0
    return max(1, round(most * math.pow(part * brightness, GAMMA)))


class Dimming:
    """How bright all lights are at a time of day."""

    def __init__(self, config: PanelConfig) -> None:
        self._day = config.brightness / 100
        # never to nothing: by night, too, people must see that it listens, or that it is muted
        self._night = min(self._day, max(_FAINTEST, config.night_brightness / 100))
        self._span: tuple[time, time] | None = None
        if config.night_from and config.night_until:
            self._span = time.fromisoformat(config.night_from), time.fromisoformat(config.night_until)

    @property
    def is_changing(self) -> bool:
        """Whether it is another by night than by day."""
        return self._span is not None and self._night < self._day

    def at(self, now: datetime) -> float:
        """Return the brightness, 0 to 1. `now` is what a clock on the wall shows, so that night begins at
        night_from also on a day of 23 or 25 hours."""
        if self._span is None:
            return self._day
        begin, end = self._span
        wall = now.time()
        is_night = begin <= wall < end if begin <= end else wall >= begin or wall < end
        return self._night if is_night else self._day
