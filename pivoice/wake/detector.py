"""What hears the wake word, the table of what implements it, and the policy that decides on scores.

A `Detector` belongs to one thread at a time (the capture thread) and holds no opinion: it gives scores.
`WakePolicy` is PURE: times are given to it, so that the same rule runs live, simulated and over a recording.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from pivoice.config import WakeConfig
from pivoice.wake.models import find_model

__all__ = ["ENGINES", "RATE_HZ", "Detector", "Samples", "WakePolicy", "find_model", "open_detector"]

Samples = NDArray[np.int16]

RATE_HZ = 16000
"""Every engine hears mono int16 at this rate."""

ENGINES = {
    "openwakeword": "pivoice.wake.openwakeword:OpenWakeWordDetector",
    "simulated": "pivoice.wake.simulated:SimulatedDetector",
}
"""Each is called with the model names, as the configuration spells them."""


class Detector(Protocol):
    """Scores what it hears. One thread at a time."""

    block_frames: int
    """How many 16 kHz samples `score` takes, exactly."""
    models: tuple[str, ...]
    """The names under which scores are given."""

    def score(self, block: Samples) -> dict[str, float]:
        """Return, for each model, how much the sound up to the end of `block` is its word: 0 to 1.

        `block` is `block_frames` int16 samples, and goes on where the last one ended.
        """

    def reset(self) -> None:
        """Forget everything heard, as if the room had been quiet: after a gap in the sound.

        Cheap, and the same every time; the blocks that follow score low until a word is spoken.
        """


def open_detector(config: WakeConfig) -> Detector | None:
    """Return the detector that `config` asks for, loaded; None when the engine is "none".

    Raises:
        ConfigError: a model is missing or is not one, or the engine's packages are not installed.
    """
    if config.engine == "none":
        return None
    module, _, name = ENGINES[config.engine].partition(":")
    engine = getattr(importlib.import_module(module), name)
    return cast(Detector, engine(tuple(config.models)))


class WakePolicy:
    """Decides when scores are a wake word. PURE.

    A model fires when its score reaches `threshold`, at least `refractory_s` after the last
    decision of any model, and only if it fell below half the threshold since it last counted:
    one utterance, which stays above the threshold for 0.7 s, is one decision.
    """

    def __init__(self, *, threshold: float, refractory_s: float) -> None:
        self._threshold = threshold
        self._refractory_s = refractory_s
        self._decided_s: float | None = None
        # models that were above the threshold at the last decision, and did not fall below half of it since
        self._spent: set[str] = set()

    def decide(self, scores: Mapping[str, float], now_s: float) -> tuple[str, float] | None:
        """Return the model that was heard and its score, or None. `now_s` never goes backwards."""
        self._spent = {model for model in self._spent if scores.get(model, 0.0) >= self._threshold / 2}
        if self._decided_s is not None and now_s - self._decided_s < self._refractory_s:
            return None
        over = {model: score for model, score in scores.items() if score >= self._threshold}
        fresh = over.keys() - self._spent
        if not fresh:
            return None
        best = max(sorted(fresh), key=lambda model: over[model])
        self._spent |= over.keys()
        self._decided_s = now_s
        return best, over[best]
