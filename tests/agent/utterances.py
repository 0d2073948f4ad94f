"""What the tests of the way up say: speech and noise, in samples of 24 kHz."""

from __future__ import annotations

import numpy as np

from pivoice.agent.pacing import CHUNK_FRAMES
from tests.support.speech import load_speech

RATE_HZ = 24_000


def noise(seconds: float, seed: int = 1) -> np.ndarray:
    """Samples of which no two stretches are alike, in whole chunks."""
    frames = round(seconds * RATE_HZ) // CHUNK_FRAMES * CHUNK_FRAMES
    return np.random.default_rng(seed).integers(-9000, 9000, frames).astype(np.int16)


def words(name: str) -> np.ndarray:
    """One of the voices made at set-up, in whole chunks."""
    speech = load_speech(name)
    assert speech.rate_hz == RATE_HZ, f"{name} is at {speech.rate_hz} Hz"
    return speech.samples[: len(speech.samples) // CHUNK_FRAMES * CHUNK_FRAMES]
