"""The voices of the tests, the bench and the demo: made at set-up by scripts/speech, never committed."""

from __future__ import annotations

import json
import os
import sys
import wave
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support.bed import resampled


@dataclass(frozen=True)
class Speech:
    """What somebody says, mono."""

    samples: NDArray[np.int16]
    rate_hz: int
    text: str
    facts: dict[str, Any] = field(default_factory=dict)
    """All of the JSON beside the sound; that of `user_wake_time` has `wake_end_s`."""

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.rate_hz

    def at_rate(self, rate_hz: int) -> NDArray[np.int16]:
        return resampled(self.samples, self.rate_hz, rate_hz)


def speech_directory() -> Path:
    return Path(os.environ.get("PIVOICE_SPEECH") or Path(sys.prefix) / "share" / "pivoice" / "speech")


def load_speech(name: str) -> Speech:
    """Return the speech of that name, such as "user_wake".

    Raises:
        FileNotFoundError: it was not made yet; the message tells how.
    """
    path = speech_directory() / f"{name}.wav"
    if not path.exists():
        raise FileNotFoundError(f"no speech {path}; make it with ./scripts/setup test")
    facts = json.loads(path.with_suffix(".json").read_text())
    with wave.open(str(path), "rb") as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.int16)
        return Speech(samples, file.getframerate(), facts["text"], facts)
