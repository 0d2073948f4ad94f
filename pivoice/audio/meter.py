"""How loud it is on one side, for whoever looks: ten lines a second. One thread; free while nobody looks."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from pivoice.audio.pcm import Samples

EVERY_S = 0.1
DIGITAL_SILENCE_DB = -120.0
"""What exact zeros are told as: a microphone that works has noise."""
_FULL_SCALE = 32768.0
_CLIPPED = 32767  # a sample at the end of the scale; -32768 counts as well


class LevelMeter:
    """Adds up sound, and reports a `level` once there is a tenth of a second of it."""

    def __init__(self, side: str, report: Callable[[str, dict[str, object]], None]) -> None:
        """`side`: "microphone" or "speaker"."""
        self.is_watched = False
        """Somebody looks. The event loop writes it."""
        self._side = side
        self._report = report
        self._frames = self._peak = self._clipped = 0
        self._power = 0.0

    def take(self, sound: Samples, *, rate_hz: int, end_s: float, **facts: object) -> None:
        """Take the next sound, which ends at `end_s` on the clock; `facts` go with the report."""
        if not self.is_watched:
            if self._frames:
                self._forget()
            return
        loudness = np.abs(sound.astype(np.int32))
        self._frames += len(sound)
        self._power += float(np.square(loudness, dtype=np.float64).sum())
        self._peak = max(self._peak, int(loudness.max(initial=0)))
        self._clipped += int(np.count_nonzero(loudness >= _CLIPPED))
        if self._frames >= EVERY_S * rate_hz:
            self._report(
                "level",
                {
                    "side": self._side,
                    "rms_db": _db(math.sqrt(self._power / self._frames)),
                    "peak_db": _db(self._peak),
                    "clipped": self._clipped,
                    "time_s": end_s,
                    **facts,
                },
            )
            self._forget()

    def _forget(self) -> None:
        self._frames = self._peak = self._clipped = 0
        self._power = 0.0


def _db(amplitude: float) -> float:
    return round(20 * math.log10(amplitude / _FULL_SCALE), 1) if amplitude else DIGITAL_SILENCE_DB
