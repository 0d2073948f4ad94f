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


def speech_names(beginning: str) -> tuple[str, ...]:
    """Return the names that begin so, sorted. There are:

    - wake_jarvis_00 to _09, and wake_alexa_, wake_mycroft_ and wake_rhasspy_ likewise: wake words by ten
      speakers; `facts["word"]` is the model's name;
    - near_charles_00, near_jared_03, ...: sentences that come near a wake word, by four of them;
    - user_... and agent_...: what is said in the tests' conversations.

    Raises:
        FileNotFoundError: nothing was made yet, or nothing begins so; the message tells how.
    """
    path = speech_directory() / "names"
    known = path.read_text().split() if path.exists() else []
    names = tuple(name for name in known if name.startswith(beginning))
    if not names:
        raise FileNotFoundError(f"no speech {beginning}* in {path}; make it with ./scripts/setup test")
    return names


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
