"""What `scripts/bench wake` counts rather than times: words found, words lost to the gate, false accepts.

Every function takes one cell of a row, runs in a process of its own, and returns what it counted.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import wake_sounds as sounds
from numpy.typing import NDArray

from pivoice.wake.gate import EnergyGate
from tests.support.listening import Heard, listen
from tests.support.noises import EAR_HZ, LEAD_S, SPEECH_RMS, recording, room
from tests.support.rooms import to_int16

WORD = "hey_jarvis"
OTHERS = ("hey_mycroft", "hey_rhasspy", "alexa")
CARD_HZ = 48_000


class Gated(NamedTuple):
    """What the gate did to one recording."""

    found: int
    """Without a gate."""
    lost: int
    """Of those, with it."""
    said: int
    difference: float
    """The largest between a score and the ungated one."""
    open_alone_percent: float
    """How much of the time the gate is open in the noise alone."""


class Found(NamedTuple):
    """How many words were found in one noise, and how often one that nobody said."""

    hits: int
    tries: int
    extra: int


def lost_to_the_gate(noise: str, snrs_db: Sequence[float], rate_hz: int, every: int) -> Gated:
    """Hear every `every`th clip with a gate and without one; the SNR is another for each in turn."""
    near, said = recording(noise, sounds.clips()[::every], snrs_db, rate_hz=rate_hz)
    gated, whole = (_listen(near, rate_hz, gated=gated) for gated in (True, False))
    found = [span for span in said if whole.has(WORD, *span)]
    lost = sum(not gated.has(WORD, *span) for span in found)
    return Gated(len(found), lost, len(said), difference(gated, whole), _open_alone(noise, rate_hz))


def found(voice: str, snr_db: float | None, every: int) -> Found:
    """Count the words that are found in pink noise (None: in the hiss alone), as the daemon listens."""
    words = [clip for clip in sounds.clips() if clip.facts["voice"] == voice and clip.facts["own"]][::every]
    if not words:
        return Found(0, 0, 0)
    noise = "quiet" if snr_db is None else "pink"
    near, said = recording(noise, words, (snr_db or 0.0,), seed=round(snr_db or 0))
    heard = _listen(near)
    hits = sum(heard.has(WORD, *span) for span in said)
    inside = sum(any(start_s < at_s < end_s for start_s, end_s in said) for at_s in heard.wakes[WORD])
    return Found(hits, len(said), len(heard.wakes[WORD]) - inside)


def false_accepts(start_s: float, end_s: float) -> dict[str, float]:
    """Count what each model fires at in that part of the corpus; and its highest score, as MODEL_max."""
    corpus = np.load(sounds.corpus(), mmap_mode="r")
    sound = np.array(corpus[round(start_s * EAR_HZ) : round(end_s * EAR_HZ)])
    heard = _listen(sound, models=(WORD, *OTHERS))
    results = {"seconds": heard.seconds, "open_percent": heard.open_percent}
    for model, wakes in heard.wakes.items():
        results[model] = len(wakes)
        results[f"{model}_max"] = max(scores[model] for scores in heard.scores.values())
    return results


def corpus_seconds() -> float:
    return len(np.load(sounds.corpus(), mmap_mode="r")) / EAR_HZ


def difference(gated: Heard, whole: Heard) -> float:
    """Return by how much a score of an open block differs at most from the one without a gate."""
    return max(abs(scores[WORD] - whole.scores[at_s][WORD]) for at_s, scores in gated.scores.items())


def _listen(
    sound: NDArray[np.int16], rate_hz: int = EAR_HZ, *, models: Sequence[str] = (WORD,), gated: bool = True
) -> Heard:
    with tempfile.TemporaryDirectory(prefix="pivoice-bench-") as folder:
        return listen(Path(folder), sound, rate_hz=rate_hz, models=models, gated=gated)


def _open_alone(noise: str, rate_hz: int, seconds: float = 60.0) -> float:
    """Return how much of the time the gate is open where nobody speaks, once it knows the room."""
    gate = EnergyGate(rate_hz)
    frames = gate.block_frames
    sound = to_int16(room(noise, LEAD_S + seconds, rms=SPEECH_RMS / 10, seed=5, rate_hz=rate_hz))
    opened = [gate.hear(sound[at : at + frames]) for at in range(0, len(sound) - frames, frames)]
    known = opened[round(LEAD_S * rate_hz / frames) :]
    return 100 * sum(known) / len(known)
