"""When scores are a wake word: the rule around every engine. PURE.

Times are given to it, so that the same rule runs live, simulated and over a recording. One thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pivoice.config import WakeConfig

__all__ = ["BLOCK_S", "REARM_SHARE", "WakePolicy", "policy_of"]

BLOCK_S = 0.08
"""What one score is about. Scores further apart than that have a hole between them: nothing was scored."""
REARM_SHARE = 0.5
"""Of a threshold: an utterance is over for a model once its score is below so much."""
_SLACK_S = 0.001  # what counting seconds in floats may lose


@dataclass
class _Word:
    """What is known of one model."""

    in_a_row: int = 0
    """How many blocks, up to the latest, were at the threshold."""
    is_spent: bool = False
    """It was at the threshold at a decision, and not below half of it since."""


class WakePolicy:
    """Decides when scores are a wake word.

    A model fires when its score was at its threshold for `consecutive_blocks` blocks in a row, at least
    `refractory_s` after the last decision of any model, and only if it fell below half its threshold
    since it last counted: one utterance, which stays above the threshold for 0.7 s, is one decision.
    A hole in the times is a quiet room, which nobody scored: it ends every row, and re-arms.
    """

    def __init__(
        self,
        *,
        threshold: float,
        refractory_s: float,
        thresholds: Mapping[str, float] | None = None,
        consecutive_blocks: int = 1,
    ) -> None:
        """`thresholds`: those of single models; the others have `threshold`."""
        self._threshold = threshold
        self._thresholds = dict(thresholds or {})
        self._refractory_s = refractory_s
        self._consecutive_blocks = consecutive_blocks
        self._words: dict[str, _Word] = {}
        self._decided_s = float("-inf")
        self._heard_s = float("-inf")

    def threshold_of(self, model: str) -> float:
        """Return the score that counts as the wake word of `model`."""
        return self._thresholds.get(model, self._threshold)

    def twin(self) -> WakePolicy:
        """Return one that decides alike, and has heard nothing: for another ear, whose time begins anew."""
        return WakePolicy(
            threshold=self._threshold,
            refractory_s=self._refractory_s,
            thresholds=self._thresholds,
            consecutive_blocks=self._consecutive_blocks,
        )

    def decide(self, scores: Mapping[str, float], now_s: float) -> tuple[str, float] | None:
        """Return the model that was heard and its score, or None. `now_s` never goes backwards."""
        if now_s - self._heard_s > BLOCK_S + _SLACK_S:
            self._words.clear()
        self._heard_s = now_s
        for model in scores.keys() | self._words.keys():
            self._count(model, scores.get(model, 0.0))
        if now_s - self._decided_s < self._refractory_s:
            return None
        over = {model: scores[model] for model, word in self._words.items() if word.in_a_row}
        fresh = [
            model
            for model in over
            if not self._words[model].is_spent and self._words[model].in_a_row >= self._consecutive_blocks
        ]
        if not fresh:
            return None
        best = max(sorted(fresh), key=lambda model: over[model])
        for model in over:
            self._words[model].is_spent = True
        self._decided_s = now_s
        return best, over[best]

    def _count(self, model: str, score: float) -> None:
        threshold = self.threshold_of(model)
        word = self._words.setdefault(model, _Word())
        word.in_a_row = word.in_a_row + 1 if score >= threshold else 0
        word.is_spent = word.is_spent and score >= threshold * REARM_SHARE


def policy_of(config: WakeConfig) -> WakePolicy:
    """Return the policy that `config` describes, with nothing heard yet."""
    return WakePolicy(
        threshold=config.threshold,
        thresholds=config.thresholds,
        refractory_s=config.refractory_s,
        consecutive_blocks=config.consecutive_blocks,
    )
