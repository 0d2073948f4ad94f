"""The simulated agent's ear: who speaks, judged by energy. PURE; its time is the audio's own."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator

import numpy as np

RATE_HZ = 24_000
FRAME = 240  # 10 ms
FRAME_S = FRAME / RATE_HZ


class Heard(enum.Enum):
    """What the ear noticed."""

    STARTED = "started"
    INSISTED = "insisted"
    """The speaker went on for long enough to interrupt."""
    WENT_ON = "went on"
    """Another stretch of speech, worth a partial transcript."""
    STOPPED = "stopped"


class Hearing:
    """Turns samples into turns."""

    def __init__(
        self,
        *,
        silence_s: float,
        insist_s: float,
        onset_s: float = 0.12,
        threshold_db: float = -42.0,
    ) -> None:
        self.silence_s = silence_s
        self.insist_s = insist_s
        self._onset_s = onset_s
        self._threshold = 32768 * math.pow(10, threshold_db / 20)
        self._rest = np.zeros(0, np.int16)
        self._onset = 0.0
        self._quiet_s = 0.0
        self._has_insisted = False
        self.is_speaking = False
        self.voiced_s = 0.0
        """Voice in the current (or last) utterance, pauses not counted."""
        self.heard_s = 0.0
        """All audio so far."""

    def feed(self, samples: np.ndarray) -> Iterator[Heard]:
        """Yield what is noticed in `samples`, in order."""
        joined = np.concatenate([self._rest, samples])
        whole = len(joined) // FRAME * FRAME
        self._rest = joined[whole:]
        frames = joined[:whole].reshape(-1, FRAME).astype(np.float64)
        for level in np.sqrt((frames**2).mean(axis=1)):
            self.heard_s += FRAME_S
            yield from self._frame(bool(level > self._threshold))

    def _frame(self, is_voice: bool) -> Iterator[Heard]:
        if not self.is_speaking:
            self._onset = self._onset + FRAME_S if is_voice else max(0.0, self._onset - FRAME_S / 2)
            if self._onset >= self._onset_s - FRAME_S / 2:
                self.is_speaking, self._has_insisted = True, False
                self.voiced_s, self._quiet_s, self._onset = self._onset, 0.0, 0.0
                yield Heard.STARTED
            return
        if is_voice:
            before_s = self.voiced_s
            self.voiced_s += FRAME_S
            self._quiet_s = 0.0
            if int(self.voiced_s / 0.4) > int(before_s / 0.4):
                yield Heard.WENT_ON
            if self.voiced_s >= self.insist_s and not self._has_insisted:
                self._has_insisted = True
                yield Heard.INSISTED
            return
        self._quiet_s += FRAME_S
        if self._quiet_s >= self.silence_s - FRAME_S / 2:
            self.is_speaking = False
            yield Heard.STOPPED
