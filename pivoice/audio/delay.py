"""How long after its reference the echo arrives: for the second tap, which cannot look far, and the doctor.

Whitened cross-correlation (GCC-PHAT) of a second in which the far end was active, once in a while. Whitening
makes a peak a sample wide of whatever a room and a bad loudspeaker smear; a user who talks, or noise, only
lowers it, and then that second says nothing. Capture thread; never waits. PURE.

One look costs 1.7 ms here (x86-64, 2026-11), so some 8 ms on a Pi 4, of a period of 20: 0.25 s apart until
two agree, which is 0.5 to 1 s after the first word in simulated rooms; then 2 s.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from pivoice.audio.buffers import EAR_HZ, Ring
from pivoice.audio.pcm import Samples

MAX_S = 0.45  # the reference is never kept for longer
_STEP = EAR_HZ // 100
_SPAN = 24000  # samples one look sees of the far end; 2^6 * 3 * 5^3 is quick to transform
_LAGS = round(MAX_S * EAR_HZ)
_BLOCK = _SPAN - _LAGS  # of the near end: 1.05 s, each with all of the far end it may be the echo of
_UNSURE_WAIT = EAR_HZ // 4  # samples between looks
_SURE_WAIT = 2 * EAR_HZ
_ACTIVE_STEPS = 30  # of the 105 in a block: three tenths of a second are enough in a quiet room
_QUIET_POWER = (32768 * 10 ** (-60 / 20)) ** 2
_BAND_HZ = (200, 7000)  # where loudspeakers speak
_CLEAR = 7.0  # standard deviations: the highest of 7200 lags of noise has 4
_ALONE = 0.7  # a second peak that is higher than this part of the first: a chime, or two echoes
_NEAR_PEAK = EAR_HZ * 3 // 1000  # the first reflections belong to the same echo
_EDGE = EAR_HZ // 40  # 25 ms; a tone that is cut short would be a click, at the same time in both
_RISE = np.hanning(2 * _EDGE)[:_EDGE].astype(np.float32)
SAME = EAR_HZ // 2000
"""0.5 ms, in samples: what two looks may differ by, and clocks 250 ppm apart drift between two."""


class EchoDelay:
    """The delay of the echo against its reference, 0 to `MAX_S`. Capture thread."""

    def __init__(self) -> None:
        self.lag: int | None = None
        """The delay in samples. None until two looks agreed; then what the last two that agreed said."""
        self._near = Ring(_SPAN)
        self._far = Ring(_SPAN)
        self._active: deque[bool] = deque(maxlen=_BLOCK // _STEP)
        self._looked = 0  # position of the last look
        self._last: int | None = None  # lag of the last clear peak
        self._is_sure = False

    @property
    def delay_s(self) -> float | None:
        """`lag` in seconds."""
        return None if self.lag is None else self.lag / EAR_HZ

    def hear(self, near: Samples, far: Samples) -> None:
        """Take what the microphone heard and what the speaker was given, 16 kHz, a multiple of 10 ms each."""
        self._near.append(near)
        self._far.append(far)
        power = np.square(far.reshape(-1, _STEP), dtype=np.float32).mean(axis=1)
        self._active.extend((power > _QUIET_POWER).tolist())
        active_steps = sum(self._active)
        if not active_steps:
            self._is_sure = False  # a pause: the speaker may have been stopped, and laid anew
        wait = _SURE_WAIT if self._is_sure else _UNSURE_WAIT
        if self._far.end >= self._looked + wait and active_steps >= _ACTIVE_STEPS:
            self._looked = self._far.end
            self._judge(self._look())

    def doubt(self) -> None:
        """Near and far lost each other: forget both, and look often until that is mended."""
        self._near.leap(0)
        self._far.leap(0)
        self._active.clear()
        self._is_sure = False

    def _judge(self, lag: int | None) -> None:
        """Believe a peak that the one before it repeats."""
        if lag is None:
            return
        self._is_sure = self._last is not None and abs(lag - self._last) <= SAME
        self._last = lag
        if self._is_sure:
            self.lag = lag

    def _look(self) -> int | None:
        """Return the lag of the one clear peak, None when there is none."""
        far = _last(self._far, _SPAN)
        near = _last(self._near, _BLOCK)
        cross = np.fft.rfft(near, _SPAN) * np.conj(np.fft.rfft(far))
        low, high = (round(hz * _SPAN / EAR_HZ) for hz in _BAND_HZ)
        cross[:low] = cross[high:] = 0
        likeness = np.fft.irfft(cross / (np.abs(cross) + np.float32(1e-3)))
        likeness = np.roll(likeness, _LAGS)[: _LAGS + 1]  # near begins _LAGS later than far: so index is lag
        lag = int(np.argmax(likeness))
        peak = likeness[lag]
        rest = np.concatenate([likeness[: max(0, lag - _NEAR_PEAK)], likeness[lag + _NEAR_PEAK :]])
        is_clear = peak > _CLEAR * rest.std() and rest.max() < _ALONE * peak
        return lag if is_clear else None


def _last(kept: Ring, samples: int) -> NDArray[np.float32]:
    """Return the last `samples`, silence before the first there was."""
    found = kept.since(kept.end - samples)
    padded = np.zeros(samples, np.float32)
    padded[samples - len(found) :] = found
    padded[:_EDGE] *= _RISE
    padded[-_EDGE:] *= _RISE[::-1]
    return padded
