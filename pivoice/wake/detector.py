"""What hears the wake word, and the table of what implements it.

A `Detector` belongs to one thread at a time (the capture thread) and holds no opinion: it gives scores.
What decides on them is in policy.py.
"""

from __future__ import annotations

import importlib
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from pivoice.config import WakeConfig
from pivoice.wake.models import find_model

__all__ = ["ENGINES", "RATE_HZ", "Detector", "Samples", "find_model", "open_detector"]

Samples = NDArray[np.int16]

RATE_HZ = 16000
"""Every engine hears mono int16 at this rate."""

ENGINES = {
    "openwakeword": "pivoice.wake.openwakeword:OpenWakeWordDetector",
    "micro": "pivoice.wake.micro:MicroDetector",
    "simulated": "pivoice.wake.simulated:SimulatedDetector",
}
"""Each is called with the model names, as the configuration spells them."""


class Detector(Protocol):
    """Scores what it hears. One thread at a time."""

    block_frames: int
    """How many 16 kHz samples `score` takes, exactly."""
    memory_blocks: int | None
    """A score hears so many blocks, its own the last, and nothing before. None: all it ever heard."""
    models: tuple[str, ...]
    """The names under which scores are given."""

    def score(self, block: Samples) -> dict[str, float]:
        """Return, for each model, how much the sound up to the end of `block` is its word: 0 to 1.

        `block` is `block_frames` int16 samples, and goes on where the last one ended.
        """

    def replay(self, sound: Samples) -> None:
        """Hear `sound`, whole blocks (or none) whose scores nobody wants: cheaper than `score`.

        What is remembered afterwards is, to the last bit, as if each block had been scored.
        """

    def reset(self) -> None:
        """Forget everything heard, as if the room had been quiet: after a gap in the sound.

        Cheap, and the same every time; the blocks that follow score low until a word is spoken.
        """

    def twin(self) -> Detector:
        """Return another ear for the same words, which has heard nothing yet. Weights are shared.

        For another thread, if need be: neither notices what the other hears.
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
