"""How loud it is on one side: ten lines a second for whoever watches, and a figure for the light.

One thread takes the sound, any may ask. Free while nobody looks.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

import numpy as np

from pivoice.audio.pcm import Samples

EVERY_S = 0.1
DIGITAL_SILENCE_DB = -120.0
"""What exact zeros are told as: a microphone that works has noise."""
STALE_S = 0.3
"""What is older is no longer how loud it is: a period may take 0.1 s, and come as late."""
_FULL_SCALE = 32768.0
_CLIPPED = 32767  # a sample at the end of the scale; -32768 counts as well


class LevelMeter:
    """Adds up sound, and reports a `level` once there is a tenth of a second of it."""

    def __init__(self, side: str, report: Callable[[str, dict[str, object]], None]) -> None:
        """`side`: "microphone" or "speaker"."""
        self.is_watched = False
        """Somebody wants reports. The event loop writes it."""
        self.is_lit = False
        """Somebody asks for `level_db`. The event loop writes it."""
        self._side = side
        self._report = report
        self._frames = self._peak = self._clipped = 0
        self._power = 0.0
        self._lately: deque[tuple[int, float]] = deque()  # frames and power, a tenth of a second of them
        self._level = DIGITAL_SILENCE_DB, -math.inf  # of the last tenth of a second, and when that ended

    def take(self, sound: Samples, *, rate_hz: int, end_s: float, **facts: object) -> None:
        """Take the next sound, which ends at `end_s` on the clock; `facts` go with the report."""
        if not self.is_lit and self._lately:
            self._lately.clear()
        if not self.is_watched and self._frames:
            self._forget()
        if not self.is_watched and not self.is_lit:
            return
        floats = sound.astype(np.float32)
        power = float(np.dot(floats, floats))
        if self.is_lit:
            self._light(len(sound), power, rate_hz, end_s)
        if not self.is_watched:
            return
        loudness = np.abs(sound.astype(np.int32))
        self._frames += len(sound)
        self._power += power
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

    def level_db(self, now_s: float) -> float:
        """Return how loud the last tenth of a second was (RMS, dBFS), as far as it is known. Any thread."""
        level_db, end_s = self._level
        return level_db if self.is_lit and now_s - end_s < STALE_S else DIGITAL_SILENCE_DB

    def _light(self, frames: int, power: float, rate_hz: int, end_s: float) -> None:
        self._lately.append((frames, power))
        while sum(each for each, _ in self._lately) - self._lately[0][0] >= EVERY_S * rate_hz:
            self._lately.popleft()
        whole = sum(each for each, _ in self._lately)
        amplitude = math.sqrt(sum(each for _, each in self._lately) / max(1, whole))
        self._level = _db(amplitude), end_s

    def _forget(self) -> None:
        self._frames = self._peak = self._clipped = 0
        self._power = 0.0


def _db(amplitude: float) -> float:
    return round(20 * math.log10(amplitude / _FULL_SCALE), 1) if amplitude else DIGITAL_SILENCE_DB
