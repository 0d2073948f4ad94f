"""From what a microphone gives to what the house hears: the offset out, the gain in, then to int16.

I2S microphones are quiet (24 bits in 32, speech in the lower 16 of them) and rest at anything but zero; gain
would make of that nothing but clipping. So what leans to one side is high-passed, with all its bits, before
it is made louder and rounded. What rests at zero is left as it is, to the sample. One thread; never waits.
"""

from __future__ import annotations

import math
from typing import cast

import numpy as np
from numpy.typing import NDArray

from pivoice.audio.encodings import Wide
from pivoice.audio.fader import Fader
from pivoice.audio.pcm import Samples, amplified, from_db, to_int16

CORNER_HZ = 20.0
"""An offset is gone by 60 dB in 55 ms; at 100 Hz, below any voice, 0.2 dB are missing."""
LEANS = 0.25
"""Of the sound's own amplitude: an offset. Noise has 0.03 of it in a period of 20 ms, a deep voice 0.1."""
FLOOR = 2.0  # samples, after the gain: less is nobody's business
PATIENCE_S = 2.0
"""A 16 bit card must lean to one side for so long: few do, and a bang or a long vowel is not an offset."""
_BLOCK_S = 0.1  # in which powers of the filter's coefficient grow to no more than e^13
_NOTHING = 1e-6  # a filter that has run out: below it floats get slow


class Conditioning:
    """One microphone, from its opening on."""

    def __init__(self, rate_hz: int, *, gain_db: float) -> None:
        self._rate_hz = rate_hz
        self._plain_gain = from_db(gain_db)
        self._gain = Fader(rate_hz, self._plain_gain)
        self._is_begun = False
        self._high_pass: HighPass | None = None
        self._leaning_s = 0.0
        self._side = 0.0

    def apply(self, sound: Samples | Wide) -> Samples:
        """Return the sound as the house hears it; floats are of a card of more than 16 bits."""
        self._is_begun = True
        is_wide = sound.dtype != np.int16
        if self._high_pass is None and self._is_offset(sound, 0.0 if is_wide else PATIENCE_S):
            self._high_pass = HighPass(self._rate_hz, rests_at=float(sound.mean()))
        if self._high_pass is None and not is_wide and self._gain.is_still:
            return amplified(cast(Samples, sound), self._gain.level)
        gain = self._gain.next(len(sound))
        if self._high_pass is not None:
            return to_int16((self._high_pass.process(sound) * gain).astype(np.float32))
        return to_int16(sound * gain)

    def amplify(self, factor: float) -> None:
        """Let the gain be so much more than it was at first: from the first sample on, or soon."""
        self._gain.turn(self._plain_gain * factor, at_once=not self._is_begun)

    def _is_offset(self, sound: Samples | Wide, patience_s: float) -> bool:
        """Return whether the sound has leaned to one side for longer than `patience_s`."""
        mean = float(sound.mean())
        if abs(mean) * self._gain.level < FLOOR or abs(mean) < LEANS * _amplitude(sound, mean):
            self._leaning_s = 0.0
            return False
        side = math.copysign(1.0, mean)
        self._leaning_s = (self._leaning_s if side == self._side else 0.0) + len(sound) / self._rate_hz
        self._side = side
        return self._leaning_s > patience_s


class HighPass:
    """What is left of a sound without what changes more slowly than `CORNER_HZ` (6 dB per octave)."""

    def __init__(self, rate_hz: int, *, rests_at: float = 0.0) -> None:
        """`rests_at`: where the sound is taken to have been for ever, so that it begins without a thump."""
        keep = math.exp(-2 * math.pi * CORNER_HZ / rate_hz)
        powers = keep ** np.arange(1, max(1, round(_BLOCK_S * rate_hz)) + 1)
        self._fade = powers
        self._grow = (1 - keep) / powers
        self._low = rests_at

    def process(self, sound: NDArray[np.int16] | Wide) -> NDArray[np.float64]:
        """Return the next samples of it.

        The low-pass `low[n] = keep * low[n - 1] + (1 - keep) * x[n]`, solved for a block at a time:
        `low[n] = keep^n * (low[0] + (1 - keep) * sum(x[k] / keep^k))`.
        """
        high = np.empty(len(sound))
        for start in range(0, len(sound), len(self._fade)):
            block = sound[start : start + len(self._fade)]
            size = len(block)
            low = self._fade[:size] * (self._low + np.cumsum(self._grow[:size] * block))
            np.subtract(block, low, out=high[start : start + size])
            self._low = float(low[-1]) if abs(low[-1]) > _NOTHING else 0.0
        return high


def _amplitude(sound: Samples | Wide, mean: float) -> float:
    """Return the root mean square around `mean`; ten times cheaper than std() for int16."""
    floats = sound.astype(np.float32)
    return math.sqrt(max(0.0, float(np.dot(floats, floats)) / len(floats) - mean * mean))
