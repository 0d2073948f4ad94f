"""Which threshold suits a voice and a room: what each would have missed, and where it would have woken. PURE.

Every count is a count of decisions of the daemon's own `WakePolicy`, over scores that were given.

The proposal. A missed word is said again; a device that wakes by itself is switched off: so a false wake
weighs as three missed words. Of the thresholds with the least weight the middle one is proposed, which is
as far from the softest word as from the loudest noise: ten words and a minute are a small sample of either.
What is in force stays, though, where it does as well with 0.1 to spare on both sides.
Thresholds below 0.3 are proposed only where none above does as well: in 1.5 hours of strangers' speech and
music scores came to 0.27 (hey_jarvis, measured 2026-07), and a minute cannot show that.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pivoice.config import WakeConfig
from pivoice.wake.policy import WakePolicy

GRID = tuple(round(0.05 * step, 2) for step in range(2, 19))
"""What is tried: 0.10, 0.15 ... 0.90."""
UNPROVEN = 0.3
_FALSE_WAKE_WEIGHT = 3
_TO_SPARE = 0.1
_FEW = 5

Scored = tuple[float, Mapping[str, float]]
"""When a block ended, in seconds, and its scores."""


@dataclass(frozen=True)
class Take:
    """One stretch of sound that was scored: an utterance, or some minutes of a room."""

    blocks: tuple[Scored, ...]
    """In order; without those that the gate let nobody score."""
    duration_s: float


@dataclass(frozen=True)
class Row:
    """What one threshold would have come to."""

    threshold: float
    missed: int
    false_wakes: int

    @property
    def weight(self) -> int:
        return self.missed + _FALSE_WAKE_WEIGHT * self.false_wakes


@dataclass(frozen=True)
class Proposal:
    """What comes of tuning one model."""

    model: str
    words: int
    """How often it was said."""
    noise_s: float
    peaks: tuple[float, ...]
    """Of each word: the highest threshold at which it would have woken; 0: none."""
    noise_peak: float
    rows: tuple[Row, ...]
    threshold: float | None
    """None: it was not heard at all."""
    in_force: Row
    """What there is now."""
    remarks: tuple[str, ...]


def propose(model: str, words: Sequence[Take], noise: Sequence[Take], wake: WakeConfig) -> Proposal:
    """Return which threshold `model` should have, by takes of its word and takes of anything else."""
    rows = tuple(_row(model, words, noise, wake, threshold) for threshold in GRID)
    in_force = _row(model, words, noise, wake, wake.threshold_of(model))
    best = _best(rows) if words and rows[0].missed < len(words) else None
    if best and in_force.threshold >= UNPROVEN:
        around = (in_force.threshold - _TO_SPARE, in_force.threshold + _TO_SPARE)
        nearby = [in_force, *(_row(model, words, noise, wake, threshold) for threshold in around)]
        if all(row.weight == best.weight for row in nearby):
            best = in_force
    noise_s = sum(take.duration_s for take in noise)
    return Proposal(
        model=model,
        words=len(words),
        noise_s=noise_s,
        peaks=tuple(peak_of(take, model, wake) for take in words),
        noise_peak=max((peak_of(take, model, wake) for take in noise), default=0.0),
        rows=rows,
        threshold=best.threshold if best else None,
        in_force=in_force,
        remarks=tuple(_remarks(best, rows, len(words), noise_s, wake)) if best else (),
    )


def peak_of(take: Take, model: str, wake: WakeConfig) -> float:
    """Return the highest threshold at which `take` would have woken; 0 when there is none.

    That is its highest score, or with consecutive_blocks the highest that so many in a row reach.
    """
    scores = sorted({block[model] for _, block in take.blocks if block.get(model, 0.0) > 0})
    low, high = 0, len(scores)  # scores[:low] wake, scores[high:] do not
    while low < high:
        middle = (low + high) // 2
        if _wakes(take, model, wake, scores[middle]):
            low = middle + 1
        else:
            high = middle
    return scores[low - 1] if low else 0.0


def _row(model: str, words: Sequence[Take], noise: Sequence[Take], wake: WakeConfig, threshold: float) -> Row:
    missed = sum(not _wakes(take, model, wake, threshold) for take in words)
    return Row(threshold, missed, sum(_wakes(take, model, wake, threshold) for take in noise))


def _wakes(take: Take, model: str, wake: WakeConfig, threshold: float) -> int:
    """Return how often the daemon would have woken."""
    policy = WakePolicy(
        threshold=threshold,
        refractory_s=wake.refractory_s,
        consecutive_blocks=wake.consecutive_blocks,
    )
    hits = (policy.decide({model: scores.get(model, 0.0)}, end_s) for end_s, scores in take.blocks)
    return sum(hit is not None for hit in hits)


def _best(rows: Sequence[Row]) -> Row:
    least = min(row.weight for row in rows)
    if any(row.weight == least and row.threshold >= UNPROVEN for row in rows):
        rows = [row for row in rows if row.threshold >= UNPROVEN]
    runs = [
        list(run) for is_least, run in itertools.groupby(rows, lambda row: row.weight == least) if is_least
    ]
    longest = max(reversed(runs), key=len)  # of two as long, the higher: it wakes less by mistake
    return longest[len(longest) // 2]


def _remarks(best: Row, rows: Sequence[Row], words: int, noise_s: float, wake: WakeConfig) -> Iterator[str]:
    if best.weight:
        yield from _trade(best, rows, words)
    if best.false_wakes and wake.consecutive_blocks == 1:
        yield "wake.consecutive_blocks = 2 may keep such noise out, at 80 ms a wake word; tune again with it"
    if best.threshold < UNPROVEN:
        yield (
            f"below {UNPROVEN} other people's speech may wake it now and then; "
            "a louder microphone (audio.gain_db, alsamixer) or a nearer one would be better"
        )
    if words < _FEW:
        yield f"{counted(words, 'time')} is not often: another day may sound different"
    if not noise_s:
        yield "without any noise to compare with, false wakes are unknown"


def _trade(best: Row, rows: Sequence[Row], words: int) -> Iterator[str]:
    """Say what can be had instead, where not everything can."""
    fewest = min(row.missed for row in rows)
    surest = max((row for row in rows if row.missed == fewest), key=lambda row: row.threshold)
    quiet = min((row for row in rows if not row.false_wakes), key=lambda row: row.threshold, default=None)
    if fewest:
        yield f"{fewest} of {words} would have been missed at any threshold"
    if surest.missed < best.missed:
        missing = f"{fewest} of {words}" if fewest else "none"
        false_wakes = counted(surest.false_wakes, "false wake")
        yield f"at {surest.threshold:.2f} it would have missed {missing}, with {false_wakes}"
    if quiet is None:
        yield "no threshold keeps all of that noise out"
    elif best.false_wakes:
        missing = f"{quiet.missed} of {words}"
        yield f"from {quiet.threshold:.2f} on no noise would have woken it, with {missing} missed"


def counted(number: int, what: str) -> str:
    """Return "1 word", "2 words"."""
    return f"{number} {what}{'' if number == 1 else 's'}"
