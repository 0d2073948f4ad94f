"""The simulated agent's voice: WAV files of real speech, at the wire's rate, with their words."""

from __future__ import annotations

import json
import os
import sys
import wave
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pivoice.errors import ConfigError, Fault

RATE_HZ = 24_000
Samples = NDArray[np.int16]

_FIRST = ("agent_time", "agent_long", "agent_tomorrow", "agent_weather")


@dataclass(frozen=True)
class Voice:
    """Something the agent can say."""

    text: str
    samples: Samples
    name: str = ""

    @property
    def seconds(self) -> float:
        return len(self.samples) / RATE_HZ


def speech_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where the speech made at set-up lies."""
    return Path(environ.get("PIVOICE_SPEECH") or Path(sys.prefix) / "share" / "pivoice" / "speech")


def find_voices(directory: Path) -> list[Voice]:
    """Return every `agent_*.wav` of `directory`.

    Raises:
        ConfigError: there is none.
    """
    paths = {path.stem: path for path in sorted(directory.glob("agent_*.wav"))}
    if not paths:
        raise ConfigError(
            [Fault("", f"no speech in {directory}; run scripts/speech, or give --reply FILE.wav")]
        )
    names = [name for name in _FIRST if name in paths] + [name for name in paths if name not in _FIRST]
    return [load_voice(paths[name]) for name in names]


def load_voices(paths: Sequence[str]) -> list[Voice]:
    return [load_voice(Path(path)) for path in paths]


def load_voice(path: Path) -> Voice:
    """Return the speech in a WAV file, mono at the wire's rate; its words from the JSON file beside it.

    Raises:
        ConfigError: it cannot be read, or is not 16-bit PCM.
    """
    try:
        with wave.open(str(path), "rb") as file:
            rate, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
            raw = file.readframes(file.getnframes())
    except (OSError, EOFError, wave.Error) as error:
        raise ConfigError([Fault("", f"cannot use {path} as a voice: {error}")]) from error
    if width != 2:
        raise ConfigError(
            [Fault("", f"cannot use {path} as a voice: it must be 16-bit PCM, not {8 * width}")]
        )
    samples = np.frombuffer(raw, "<i2").reshape(-1, channels).mean(axis=1)
    if rate != RATE_HZ:
        samples = _resampled(samples, RATE_HZ / rate)
    clipped = np.clip(np.round(samples), -32768, 32767).astype(np.int16)
    return Voice(_words(path), clipped, path.stem)


def _resampled(samples: NDArray[np.float64], ratio: float) -> NDArray[np.float64]:
    import samplerate

    return np.asarray(samplerate.resample(samples, ratio, "sinc_best"), np.float64)


def _words(path: Path) -> str:
    try:
        text = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["text"]
        return str(text)
    except (OSError, ValueError, KeyError, TypeError):
        return path.stem.replace("_", " ")
