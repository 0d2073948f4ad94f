"""Short sounds with a meaning, and the few sentences that the device says by itself, at the card's rate.

Earcons are soft (at most -15 dBFS), at most 250 ms, with rounded edges: heard, not startling. Rising means
"go on", falling means "over", two low notes mean trouble. A sentence is a file of this package, made
by `scripts/speech --notices`; it is read when it is first needed, for hardly any device ever says it.
"""

from __future__ import annotations

import wave
from dataclasses import dataclass
from importlib import resources

import numpy as np

from pivoice.audio.pcm import Samples, from_db, to_int16
from pivoice.audio.resample import resampled
from pivoice.config import EarconsConfig

PEAK_DB = -16.0
EDGE_S = 0.008


@dataclass(frozen=True)
class _Note:
    hz: float
    for_s: float


_MELODIES: dict[str, tuple[_Note, ...]] = {
    "wake": (_Note(660, 0.07), _Note(880, 0.11)),
    "end": (_Note(880, 0.07), _Note(587, 0.13)),
    "error": (_Note(247, 0.11), _Note(0, 0.02), _Note(220, 0.12)),
    "mute": (_Note(523, 0.06), _Note(392, 0.11)),
    "unmute": (_Note(392, 0.06), _Note(523, 0.11)),
    "muted": (_Note(392, 0.09), _Note(0, 0.03), _Note(392, 0.09)),
    "timer": (_Note(988, 0.06), _Note(0, 0.03), _Note(988, 0.06), _Note(0, 0.03), _Note(988, 0.06)),
}

NOTICES = ("cap",)
"""What is said in words: only where nothing else could tell the user why."""

NAMES = (*_MELODIES, *NOTICES)


class Earcons:
    """Every sound of the device's own, as the owner wants them. Any thread."""

    def __init__(self, config: EarconsConfig | None = None) -> None:
        self._config = config or EarconsConfig()

    def sound(self, name: str, rate_hz: int) -> Samples:
        """Return one of `NAMES`, mono at `rate_hz`; nothing at all where it is switched off."""
        return load_notice(name, rate_hz) if name in NOTICES else _melody(_MELODIES[name], rate_hz)


def make_earcons(rate_hz: int) -> dict[str, Samples]:
    """Return every earcon by name, mono at `rate_hz`."""
    return {name: _melody(notes, rate_hz) for name, notes in _MELODIES.items()}


def load_notice(name: str, rate_hz: int) -> Samples:
    """Return one of `NOTICES`, or the echo check's "echo", mono at `rate_hz`. Takes 10 ms on a laptop."""
    with (
        resources.files(__package__).joinpath(f"notices/{name}.wav").open("rb") as file,
        wave.open(file) as wav,
    ):
        samples = np.frombuffer(wav.readframes(wav.getnframes()), "<i2").astype(np.int16)
        return resampled(samples, wav.getframerate(), rate_hz)


def _melody(notes: tuple[_Note, ...], rate_hz: int) -> Samples:
    sound = np.concatenate([_note(note, rate_hz) for note in notes])
    return to_int16((sound * 32768 * from_db(PEAK_DB) / np.abs(sound).max()).astype(np.float32))


def _note(note: _Note, rate_hz: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return one tone with a little of its octave, a soft start and a dying end; 0 Hz is a rest."""
    time_s = np.arange(round(note.for_s * rate_hz)) / rate_hz
    tone = np.sin(2 * np.pi * note.hz * time_s) + 0.2 * np.sin(4 * np.pi * note.hz * time_s)
    attack = np.minimum(1.0, time_s / EDGE_S)
    release = np.minimum(1.0, (note.for_s - time_s) / EDGE_S)
    smooth = np.sin(np.pi / 2 * np.clip(np.minimum(attack, release), 0, 1)) ** 2
    return np.asarray(tone * smooth * np.exp(-3.0 * time_s / note.for_s), np.float64)
