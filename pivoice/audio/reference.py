"""What the speaker plays, for the canceller: one FIFO from the playback thread to the capture thread.

Pushed with exactly what the card took, popped one for one with what the microphone heard: it shadows the
card's own queue. A reference that comes late is fatal to a canceller, even by 10 ms; an early one is harmless
(measured 2026-07). So it is laid a little early when the speaker starts. Where the two clocks drift apart it
follows, a sample at a time and rarely: AEC3 does not notice that, but leaks for seconds after a slip of 10 ms
(43.8 dB of return loss against 32.4 at 100 ppm, `scripts/bench echo --row loss`, 2026-11).
PURE but for its lock.
"""

from __future__ import annotations

import threading
from statistics import median

import numpy as np

from pivoice.audio.buffers import EAR_HZ, Pieces
from pivoice.audio.pcm import Samples
from pivoice.audio.resample import Resampler

STEP = EAR_HZ // 100
"""10 ms: what the canceller works in, and what a slip is."""
EARLY_S = 0.006  # so much before its echo a sample is handed out: what a late playback thread eats into
CAP_S = 2.0  # a late capture thread finds all of it here: its card keeps half a second, or some periods
_LEAST_LEFT_S = 0.003  # of a speaker's period, to push the next in: a short one leaves less to be early by
_LATER_S = 0.003  # further than this from where it was laid, later or earlier, it is slipped by a whole step
_EARLIER_S = 0.010
_AWAY_S = 0.0005  # further than this, by a sample, and twice as far, by two
_JUDGED_S = 0.5  # so long a median is judged: a sample each time is 125 ppm, more than good clocks differ by


class Reference:
    """16 kHz of what left for the speaker. Playback thread in, capture thread out."""

    def __init__(self) -> None:
        self.slips = 0
        """Whole steps left out or put in: the two clocks had drifted apart faster than can be followed."""
        self.underruns = 0
        """How often more was wanted than the card had taken: the playback thread was late."""
        self.breaks = 0
        """How often near and far lost each other: an xrun, or a card that was opened anew."""
        self.is_running = False
        """Whether the speaker runs; while it does not, there is nothing to cancel."""
        self.lead_s = 0.0
        """How early, but for the cards' own delays, a sample was handed out lately."""
        self._lock = threading.Lock()
        self._to_ear = Resampler(EAR_HZ, EAR_HZ)
        self._queue = Pieces()
        self._ends_s = 0.0  # when the last sample that was pushed has sounded
        self._is_aligned = False
        self._early_s = EARLY_S
        self._owed = 0  # silence handed out for samples that came too late: nobody wants those any more
        self._leads_s: list[float] = []

    @property
    def depth_s(self) -> float:
        """How much waits, in seconds."""
        return self._queue.frames / EAR_HZ

    # --- playback thread ---

    def open(self, rate_hz: int) -> None:
        """The speaker was opened, at `rate_hz`."""
        with self._lock:
            self._to_ear = Resampler(rate_hz, EAR_HZ)
            self._restart()
            self.breaks += 1

    def push(self, samples: Samples, begins_s: float, *, has_broken: bool = False) -> None:
        """The card took `samples`, at its own rate; the first of them sounds at `begins_s`.

        `has_broken`: the card had run dry before it took them.
        """
        ends_s = begins_s + len(samples) / self._to_ear.from_hz
        if has_broken:
            samples = np.concatenate([self._gap(begins_s - self._ends_s), samples])
        pushed = self._to_ear.process(samples)  # the capture thread need not wait for that
        with self._lock:
            self.breaks += has_broken
            self.is_running = True
            self._early_s = min(EARLY_S, max(0.0, ends_s - begins_s - _LEAST_LEFT_S))
            self._ends_s = ends_s
            unwanted = min(self._owed, len(pushed))
            self._owed -= unwanted
            self._queue.append(pushed[unwanted:])
            if self._queue.frames > CAP_S * EAR_HZ:  # nobody takes it: the microphone is muted, or stuck
                self._queue = Pieces()
                self.breaks += self._is_aligned
                self._is_aligned = False

    def _gap(self, for_s: float) -> Samples:
        """Return the silence in which the card stood still: what it had played is still to be handed out."""
        if not 0 <= for_s < CAP_S:
            with self._lock:
                self._restart()
            for_s = 0.0
        return np.zeros(round(for_s * self._to_ear.from_hz), np.int16)

    def stop(self) -> None:
        """The card was stopped, and what it held is lost."""
        with self._lock:
            self._restart()
            self.is_running = False

    def _restart(self) -> None:
        self._to_ear.reset()
        self._queue = Pieces()
        self._owed = 0
        self._is_aligned = False

    # --- capture thread ---

    def lose(self) -> None:
        """The microphone lost samples, or was opened anew."""
        with self._lock:
            self._is_aligned = False
            self.breaks += 1

    def pop(self, frames: int, start_s: float) -> Samples:
        """Return what left for the speaker so as to sound with the next `frames` of the microphone.

        `start_s` is when the first of those was captured. Zeros where nothing sounded. Never waits.
        """
        with self._lock:
            lead_s = self._ends_s - self._queue.frames / EAR_HZ - start_s
            if self._is_aligned:
                return self._filled(self._slipped(frames, self._judge(lead_s, frames)), frames)
            if not self._queue.frames:
                return np.zeros(frames, np.int16)
            self._owed = 0
            self._leads_s.clear()
            # Where it was before, if that is near enough: the tap has learned that place, to the sample.
            is_known = abs(self.lead_s - self._early_s) < _LATER_S
            to_come = round((lead_s - (self.lead_s if is_known else self._early_s)) * EAR_HZ)
            if to_come >= frames:
                return np.zeros(frames, np.int16)
            self._is_aligned = True
            self._queue.take(max(0, -to_come))
            if to_come > 0:
                self._queue.put_back(np.zeros(to_come, np.int16))
            return self._filled(self._queue.take(frames), frames)

    def _filled(self, taken: Samples, frames: int) -> Samples:
        short = frames - len(taken)
        if not short:
            return taken
        if self.is_running:
            self._owed += short
            self.underruns += 1
        return np.concatenate([taken, np.zeros(short, np.int16)])

    def _judge(self, lead_s: float, frames: int) -> int:
        """Once in a while see whether the clocks have drifted apart by a sample, or by a step.

        Return how many samples are to be put in; below 0: to be left out.
        """
        self._leads_s.append(lead_s)
        if len(self._leads_s) * frames < _JUDGED_S * EAR_HZ:
            return 0
        self.lead_s = median(self._leads_s)
        self._leads_s.clear()
        away_s = self.lead_s - self._early_s
        samples = min(2, int(abs(away_s) / _AWAY_S))
        size = STEP if away_s > _EARLIER_S or away_s < -_LATER_S else samples
        return size if away_s > 0 else -size

    def _slipped(self, frames: int, slip: int) -> Samples:
        """Return the next `frames` there are, of which `slip` are put in."""
        slip = min(slip, frames)
        taken = self._queue.take(frames - slip)
        if not slip or len(taken) < frames - slip:
            return taken
        self.slips += abs(slip) > 2
        middle = min(frames, len(taken)) // 2
        if slip < 0:
            return np.delete(taken, np.s_[middle : middle - slip])
        return np.insert(taken, middle, np.full(slip, taken[middle] if len(taken) else 0))
