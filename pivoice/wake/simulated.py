"""A detector that hears what a test tells it to: by position, by loudness, or by call.

Stands in for a real engine where the subject is what happens around it. No model, no cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pivoice.wake.detector import Samples

BLOCK_FRAMES = 1280


@dataclass(frozen=True)
class Word:
    """A wake word that will be heard while the sound is between two sample positions."""

    start: int
    stop: int
    score: float = 0.9
    model: str = ""
    """The empty name is the detector's first model."""


class SimulatedDetector:
    """Scores each block by `words` (positions count from the first sample heard) and by loudness.

    A block whose loudest sample reaches `loud_lsb` scores `loud_score` for the first model. Everything
    else scores `quiet_score`. A reset forgets sound, not position.
    """

    block_frames = BLOCK_FRAMES

    def __init__(
        self,
        models: Sequence[str] = ("hey_jarvis",),
        *,
        words: Sequence[Word] = (),
        loud_lsb: int | None = None,
        loud_score: float = 0.9,
        quiet_score: float = 0.001,
        memory_blocks: int | None = None,
    ) -> None:
        self.models = tuple(models)
        self.memory_blocks = memory_blocks
        """What it claims: nothing it scores depends on more than the block itself and where that is."""
        self.words = list(words)
        """May be added to while running, by the thread that scores."""
        self.position = 0
        """Samples scored or replayed so far."""
        self.replayed = 0
        """Those of them that were replayed."""
        self.resets = 0
        self._loud_lsb = loud_lsb
        self._loud_score = loud_score
        self._quiet_score = quiet_score

    def score(self, block: Samples) -> dict[str, float]:
        assert block.dtype == np.int16 and block.shape == (BLOCK_FRAMES,), (
            f"a block is {BLOCK_FRAMES} int16 samples, not {block.dtype} {block.shape}"
        )
        start, self.position = self.position, self.position + BLOCK_FRAMES
        scores = dict.fromkeys(self.models, self._quiet_score)
        for word in self.words:
            if word.start < self.position and start < word.stop:
                name = word.model or self.models[0]
                scores[name] = max(scores[name], word.score)
        if self._loud_lsb is not None and np.abs(block.astype(np.int32)).max() >= self._loud_lsb:
            scores[self.models[0]] = max(scores[self.models[0]], self._loud_score)
        return scores

    def replay(self, sound: Samples) -> None:
        assert sound.dtype == np.int16 and sound.ndim == 1 and len(sound) % BLOCK_FRAMES == 0, (
            f"a replay is whole blocks of {BLOCK_FRAMES} int16 samples, not {sound.dtype} {sound.shape}"
        )
        self.position += len(sound)
        self.replayed += len(sound)

    def reset(self) -> None:
        self.resets += 1

    def twin(self) -> SimulatedDetector:
        """Return one of the same script, at its beginning."""
        return SimulatedDetector(
            self.models,
            words=self.words,
            loud_lsb=self._loud_lsb,
            loud_score=self._loud_score,
            quiet_score=self._quiet_score,
            memory_blocks=self.memory_blocks,
        )
