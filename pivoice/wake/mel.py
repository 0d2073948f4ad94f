"""Sound to mel rows: how loud each of 32 bands is, every 10 ms. What openwakeword's melspectrogram.onnx does.

Owns the last 30 ms of sound. Made on any thread, used by one. Numpy alone; never reads a file.

The file computes a row as 257 sines and 257 cosines times 512 samples; here it is a Fourier transform of the
same window, in double precision (which numpy's does as fast as single: 15 us for 8 rows), then the file's own
filter bank: nearer to the truth than the file, and to the file within its rounding (tests/wake/test_mel.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

__all__ = ["BLOCK_FRAMES", "MelFilter", "MelStream"]

BLOCK_FRAMES = 1280
"""80 ms at 16 kHz: 8 rows."""

Array = NDArray[np.float64]

_STEP_FRAMES = 160
_CARRIED_FRAMES = 480  # what the package gives its file of the past, with each block
_QUIETEST = 1e-10  # power
_RANGE = 8.0  # 80 dB: what is further below a block's loudest is as loud as that
_SHIFT = 2.0  # decibels / 10 + 2 is the scale that the embedding was trained on


@dataclass(frozen=True)
class MelFilter:
    """What is heard of a spectrum. Shared, never written to."""

    window: Array
    """A factor for each sample of a row."""
    bank: Array
    """A row for each bin of the window's spectrum, a column for each band."""


class MelStream:
    """Blocks of sound in, 8 rows for each. One thread."""

    def __init__(self, mel: MelFilter) -> None:
        self._samples: Array = np.zeros(_CARRIED_FRAMES + BLOCK_FRAMES)
        self._window = mel.window
        size, step = len(mel.window), self._samples.itemsize
        rows = BLOCK_FRAMES // _STEP_FRAMES
        self._overlapping = as_strided(self._samples, (rows, size), (_STEP_FRAMES * step, step))
        self._windowed: Array = np.empty((rows, size))
        # Bins that no band hears are left out. Real and imaginary parts are squared and summed by the bank.
        heard = np.flatnonzero(mel.bank.any(axis=1))
        self._heard = slice(2 * int(heard[0]), 2 * int(heard[-1]) + 2)
        # Ten times the sound adds 2 to the logarithm: the shift is in the bank.
        self._bank: Array = np.repeat(mel.bank, 2, axis=0)[self._heard] * 10.0**_SHIFT
        self._squares: Array = np.empty((rows, len(self._bank)))
        self._power: Array = np.empty((rows, mel.bank.shape[1]))
        self._quietest: Array = np.full_like(self._power, _QUIETEST * 10.0**_SHIFT)

    def hear(self, block: NDArray[np.int16], rows: NDArray[np.float32]) -> None:
        """Write the rows of the next `BLOCK_FRAMES` samples to `rows`, 8 x 32."""
        samples, power = self._samples, self._power
        samples[:_CARRIED_FRAMES] = samples[-_CARRIED_FRAMES:]
        samples[_CARRIED_FRAMES:] = block
        np.multiply(self._overlapping, self._window, out=self._windowed)
        spectrum = np.fft.rfft(self._windowed).view(np.float64)[:, self._heard]
        np.multiply(spectrum, spectrum, out=self._squares)
        np.dot(self._squares, self._bank, out=power)
        np.maximum(power, self._quietest, out=power)
        np.log10(power, out=power)
        np.maximum(power, np.max(power) - _RANGE, out=rows)

    def state(self) -> Array:
        """Return a copy of all that it remembers, for `restore`: of this or of another such stream."""
        return self._samples[-_CARRIED_FRAMES:].copy()

    def restore(self, state: Array) -> None:
        """Go on from `state` as if what led to it had been heard."""
        self._samples[-_CARRIED_FRAMES:] = state
