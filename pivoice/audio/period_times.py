"""When sound was captured, which no card says: from when it could be read. PURE."""

from __future__ import annotations

import math

from pivoice.audio.pcm import Format

_SLACK_S = 1e-6


class PeriodTimes:
    """When periods were captured, from when they could be read: reads come late, never early. One thread."""

    _CREEP_S = 20e-6  # per period: follows a card's clock that is slow by up to 1000 ppm at 20 ms
    _SURE_S = 4.0  # for so long a clock that is 200 ppm off is less than a millisecond off

    def __init__(self, opened: Format) -> None:
        self.period_s = opened.period_frames / opened.rate_hz
        self.end_s = 0.0
        """Of the last one."""
        self._count = 0
        self._unseen = 0  # periods since the last one that was waited for
        self._epoch_s = float("inf")

    @property
    def is_vague(self) -> bool:
        """For long nothing was waited for: a card that is fast may have more by now than it should."""
        return self._unseen * self.period_s >= self._SURE_S

    def place(self, now_s: float, count: int = 1, *, is_awaited: bool = True) -> tuple[float, float]:
        """Return start and end of the next `count` periods, the last of which was read at `now_s`.

        What was not awaited came late by as much as nobody asked: it never moves them to later.
        """
        self._count += count
        self._unseen += count
        since_s = self._count * self.period_s
        creep_s = self._unseen * self._CREEP_S if is_awaited else 0.0
        self._epoch_s = min(now_s - since_s, self._epoch_s + creep_s)
        if is_awaited:
            self._unseen = 0
        self.end_s = self._epoch_s + since_s
        return self.end_s - count * self.period_s, self.end_s

    def periods_in(self, seconds: float) -> int:
        """Return in how many periods so much time has gone by."""
        return max(1, math.ceil(seconds / self.period_s - _SLACK_S))

    def due(self, now_s: float) -> int:
        """Return how many periods after the last one are over at `now_s`."""
        return max(0, int((now_s - self.end_s) / self.period_s + _SLACK_S))
