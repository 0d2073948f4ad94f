"""What the speaker plays, for the canceller: one FIFO from the playback thread to the capture thread.

Pushed with exactly what the card took, popped one for one with what the microphone heard: it shadows the
card's own queue. A reference that comes late is fatal to a canceller, even by 10 ms; an early one is harmless
(measured 2026-07). So it is laid a little early when the speaker starts, and when the two clocks have drifted
apart it is slipped by a whole step: bending it sample by sample costs more than it mends.
PURE but for its lock.
"""

from __future__ import annotations

import threading
from statistics import median

import numpy as np

from pivoice.audio.buffers import EAR_HZ, Pieces
from pivoice.audio.pcm import Samples, from_db
from pivoice.audio.resample import Resampler

STEP = EAR_HZ // 100
"""10 ms: what the canceller works in, and what a slip is."""
EARLY_S = 0.006  # so much before its echo a sample is handed out: what a late playback thread eats into
CAP_S = 0.4  # the canceller looks back half a second
_LATER_S = 0.003  # so much later than it was laid is the time to slip
_EARLIER_S = 0.010
_URGENT_S = 0.002  # so much beyond that a slip waits for silence no longer
_JUDGED = 50  # periods whose median is judged: a second of the usual ones
_QUIET = round(32768 * from_db(-60))


class Reference:
    """16 kHz of what left for the speaker. Playback thread in, capture thread out."""

    def __init__(self) -> None:
        self.slips = 0
        """Steps left out or put in, because the two clocks had drifted apart."""
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
        self._owed = 0  # silence handed out for samples that came too late: nobody wants those any more
        self._leads_s: list[float] = []
        self._slip = 0  # what the last judgement wants: -1 a step left out, 1 one put in
        self._is_urgent = False

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
        with self._lock:
            ends_s = begins_s + len(samples) / self._to_ear.from_hz
            if has_broken:
                samples = np.concatenate([self._gap(begins_s - self._ends_s), samples])
                self.breaks += 1
            self.is_running = True
            self._ends_s = ends_s
            pushed = self._to_ear.process(samples)
            unwanted = min(self._owed, len(pushed))
            self._owed -= unwanted
            self._queue.append(pushed[unwanted:])
            if self._queue.frames > CAP_S * EAR_HZ:  # nobody takes it: the microphone is muted, or stuck
                self._queue = Pieces()
                self._is_aligned = False

    def _gap(self, for_s: float) -> Samples:
        """Return the silence in which the card stood still: what it had played is still to be handed out."""
        if not 0 <= for_s < CAP_S:
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
                self._judge(lead_s)
                return self._filled(self._slipped(frames), frames)
            if not self._queue.frames:
                return np.zeros(frames, np.int16)
            self._owed = self._slip = 0
            self._leads_s.clear()
            to_come = round((lead_s - EARLY_S) * EAR_HZ)
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

    def _judge(self, lead_s: float) -> None:
        """Once in a while see whether the clocks have drifted apart by a step."""
        self._leads_s.append(lead_s)
        if len(self._leads_s) < _JUDGED:
            return
        self.lead_s = median(self._leads_s)
        self._leads_s.clear()
        away_s = self.lead_s - EARLY_S
        self._slip = 1 if away_s > _EARLIER_S else -1 if away_s < -_LATER_S else 0
        self._is_urgent = away_s > _EARLIER_S + _URGENT_S or away_s < -_LATER_S - _URGENT_S

    def _slipped(self, frames: int) -> Samples:
        """Return the next `frames` there are, slipped by a step where one is due and is not heard."""
        if not self._slip:
            return self._queue.take(frames)
        wanted = frames + STEP if self._slip < 0 else frames
        taken = self._queue.take(wanted)
        is_quiet = not np.any(np.abs(taken.astype(np.int32)) > _QUIET)
        if len(taken) == wanted and (is_quiet or self._is_urgent):
            slip, self._slip = self._slip, 0
            self.slips += 1
            if slip < 0:
                return taken[STEP:]
            taken = np.concatenate([np.zeros(STEP, np.int16), taken])
        if len(taken) > frames:
            self._queue.put_back(taken[frames:])
        return taken[:frames]
