"""An engine that hears how loud it is, and sounds for it: for what is about tuning, not about wake words."""

from __future__ import annotations

import wave
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 16_000
Samples = NDArray[np.int16]


@dataclass
class LoudnessDetector:
    """Scores a block by its loudest sample, of full scale: a test says what is heard by how loud it is."""

    models: tuple[str, ...] = ("hey_jarvis",)
    block_frames: int = 1280
    memory_blocks: int | None = 26
    heard: list[Samples] = field(default_factory=list)
    """Every block, scored or replayed."""

    def score(self, block: Samples) -> dict[str, float]:
        self.heard.append(block)
        return dict.fromkeys(self.models, float(np.abs(block.astype(np.int32)).max()) / 32768)

    def replay(self, sound: Samples) -> None:
        self.heard.extend(sound.reshape(-1, self.block_frames))

    def reset(self) -> None:
        self.heard.clear()

    def twin(self) -> LoudnessDetector:
        return LoudnessDetector(self.models)


def noise(seconds: float, peak: int = 20, rate_hz: int = RATE_HZ) -> Samples:
    return np.random.default_rng(5).integers(-peak, peak + 1, round(seconds * rate_hz)).astype(np.int16)


def word(score: float) -> Samples:
    """Return what scores so: 0.6 s, as noisy as speech."""
    loud = noise(0.6, 1000).astype(np.float32)
    return np.rint(loud / np.abs(loud).max() * score * 32768).astype(np.int16)


ROOM = noise(1)


def quiet_room(start: int, stop: int) -> Samples:
    return ROOM[: stop - start]


def save(path: Path, samples: Samples, rate_hz: int = RATE_HZ, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, rate_hz, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())
    return path
