"""The gate in front of the wake-word engine: while a room is quiet there is nothing to score. PURE.

One thread. Looks at energy alone, in the microphone's own samples, before anything is resampled: a block
costs 0.03 ms, the engine ten to twenty times that. It only has to be right about silence: open means
"somebody may be speaking", and a television keeps it open, which costs what an engine without a gate costs.

Closed, the engine hears nothing; what it missed is replayed to it from the ring when the gate opens
(`Detector.memory_blocks`), so that its scores are those of an engine that heard all.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLOCK_S", "EnergyGate"]

BLOCK_S = 0.08
HOLD_S = 1.0
"""Open for so long after the last block that was loud: longer than the gaps within a wake word."""
OVER_FLOOR = 2.0  # 3 dB: at 6 dB words are lost at 5 dB SNR, 10 of 19 (measured 2026-07)
FLOOR_S = 4.0  # the floor is what a room falls back to, now and then, within so long
FLOOR_SHARE = 0.2  # a fifth of a sentence is pauses
_EAR_HZ = 16000
_LOW_HZ = 2000

Array = NDArray[np.float32]


class EnergyGate:
    """Open while a block is 3 dB over the room's floor, or under it, and for a second after. One thread.

    It looks at two bands, each with a floor of its own: all of it, by 20 ms, for unvoiced onsets and for a
    voice over rumble; and 0.3 to 1 kHz, by 80 ms, for a voice in hiss (with white noise 5 dB below it a word
    lifts the whole by 1.5 to 3 dB, that band by 10). Ten minutes of white and pink noise never open it, words
    5 dB *below* noise of any colour do by their second block (measured 2026-11; tests/wake/test_gate.py).

    Under it: a noise has stopped, and it takes 0.8 s until the floor is that of the room it leaves. A word
    that follows sooner may be softer than the noise was (by 10 dB: 47 of 54 were lost, measured 2026-11).

    A gate that has heard nothing yet is open for its first second: it does not know the room.
    """

    def __init__(self, rate_hz: int = _EAR_HZ) -> None:
        """`rate_hz`: the microphone's own. A block is 80 ms of it."""
        self.block_frames = round(BLOCK_S * rate_hz)
        self.is_open = True
        self._fold = max(1, rate_hz // _EAR_HZ)  # samples summed into one: nothing above 8 kHz shall count
        folded_hz = rate_hz / self._fold
        self._whole = _Band(parts=4)
        self._low_fold = round(folded_hz / _LOW_HZ)
        self._low = _Band(parts=1)  # in shorter ones this band is 3 dB louder once a minute, by chance
        self._hold = self._held = round(HOLD_S / BLOCK_S)

    @property
    def level_dbfs(self) -> float:
        """How loud the last block was, highs emphasised; full scale is 0, silence -100."""
        return _in_dbfs(self._whole.power)

    @property
    def floor_dbfs(self) -> float:
        """How loud the room is when nobody speaks, on the same scale."""
        return _in_dbfs(self._whole.floor())

    def hear(self, block: NDArray[np.int16]) -> bool:
        """Take the next `block_frames` samples; return whether the gate is open, from this block on."""
        assert len(block) == self.block_frames, f"a block is {self.block_frames} samples, not {len(block)}"
        sound = _folded(block.astype(np.float32), self._fold)
        stands_out = self._whole.stands_out(sound) | self._low.stands_out(_folded(sound, self._low_fold))
        self._held = self._hold if stands_out else max(0, self._held - 1)
        self.is_open = self._held > 0
        return self.is_open


class _Band:
    """The power of one band, and its floor."""

    _MOST = round(FLOOR_S / BLOCK_S)

    def __init__(self, *, parts: int) -> None:
        """`parts`: of a block, each judged by itself; an onset must not drown in the quiet before it."""
        self.power = 0.0
        """Mean square of the last block."""
        self._parts = parts
        self._last: np.float32 | None = None  # before the first there is no edge, whatever the DC offset
        self._recent: deque[float] = deque()
        self._sorted: list[float] = []

    def stands_out(self, sound: Array) -> bool:
        """Take the next block; return whether any part is over the floor of those before, or all under."""
        # Differences: speech stands out above 300 Hz; below, rooms and cheap microphones rumble unsteadily
        edges = np.empty_like(sound)
        edges[0] = 0 if self._last is None else sound[0] - self._last
        np.subtract(sound[1:], sound[:-1], out=edges[1:])
        self._last = sound[-1]
        frames = len(edges) // self._parts
        parts = edges[: self._parts * frames].reshape(self._parts, frames)
        powers = [power / frames for power in np.einsum("ij,ij->i", parts, parts).tolist()]
        mean, floor = sum(powers) / self._parts, self.floor()
        stands_out = not self._sorted or max(powers) > OVER_FLOOR * floor or OVER_FLOOR * mean < floor
        self._remember(mean)
        return stands_out

    def floor(self) -> float:
        """Return the power that a fifth of the last blocks stayed below."""
        return self._sorted[int(FLOOR_SHARE * len(self._sorted))] if self._sorted else 0.0

    def _remember(self, power: float) -> None:
        self.power = power
        self._recent.append(power)
        insort(self._sorted, power)  # np.percentile costs more than all the rest
        if len(self._recent) > self._MOST:
            del self._sorted[bisect_left(self._sorted, self._recent.popleft())]


def _folded(sound: Array, fold: int) -> Array:
    """Return the means of every `fold` samples: a low-pass and a lower rate for one product."""
    if fold == 1:
        return sound
    whole = len(sound) // fold
    return np.asarray(sound[: whole * fold].reshape(whole, fold) @ np.full(fold, 1 / fold, np.float32))


def _in_dbfs(power: float) -> float:
    return max(-100.0, 10 * math.log10(power / 2**30)) if power > 0 else -100.0
