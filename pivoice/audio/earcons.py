"""Short sounds with a meaning, and the few sentences that the device says by itself, at the card's rate.

Any thread. Earcons are soft (at most -15 dBFS) and at most 250 ms, the timer's a second, with rounded edges:
heard, not startling. Rising means "go on", falling means "over", two rough notes mean trouble. A sentence
is a file of this package, made by `scripts/speech --notices`; it is read when it is first needed, for hardly
any device ever says it. The owner's own files are read once, when they can still be refused, and never by
the playback thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pivoice.audio.buffers import EAR_HZ
from pivoice.audio.encodings import Wide
from pivoice.audio.pcm import Samples, from_db, to_int16
from pivoice.audio.resample import resampled
from pivoice.audio.undertones import is_like_ours
from pivoice.audio.wav_file import WavError, decode_wav, read_wav
from pivoice.config import EarconsConfig
from pivoice.errors import ConfigError, Fault

PEAK_DB = -16.0
EDGE_S = 0.008
LOUDEST_S = 0.05
"""How long a sound must last to be as loud as it will seem."""
OWN_PEAK_DB = -6.0
"""Of an owner's file: as high as a reply's. One that may be loud, because it calls or speaks, has no other
bound; any other is no louder in its loudest 50 ms than ours."""
OWN_LOUDEST_DB = -22.0
OWN_S = {"timer": 30.0, "cap": 30.0, "bad_key": 30.0, "no_network": 30.0}
"""How long an owner's file may be; any other 5 s."""
_OWN_S = 5.0
_SILENT = 8.0  # of 32768: nobody hears that


@dataclass(frozen=True)
class _Note:
    hz: float
    for_s: float
    attack_s: float = EDGE_S
    and_hz: float = 0.0
    """A second tone, which makes it rough."""


_BELL = (_Note(784, 0.13), _Note(988, 0.13), _Note(1175, 0.17))
_MELODIES: dict[str, tuple[_Note, ...]] = {
    "wake": (_Note(784, 0.07), _Note(1047, 0.11)),
    "end": (_Note(880, 0.07), _Note(587, 0.13)),
    "error": (_Note(700, 0.09, and_hz=990), _Note(0, 0.04), _Note(660, 0.11, and_hz=933)),
    "mute": (_Note(784, 0.06), _Note(587, 0.11)),
    "unmute": (_Note(587, 0.06, attack_s=0.02), _Note(784, 0.11)),
    "muted": (_Note(587, 0.09, attack_s=0.02), _Note(0, 0.03), _Note(587, 0.09, attack_s=0.02)),
    "timer": (*_BELL, _Note(0, 0.09), *_BELL),
    "volume": (_Note(784, 0.06),),
    "working": (_Note(587, 0.22, attack_s=0.06),),
}
"""None is below 580 Hz: in half duplex their echo goes up beside the user's words, and a speech detector
takes a low note with overtones for somebody who says "mm" (Silero: 247 Hz always, 392 Hz often, these never).
"""
_PEAKS_DB = {"error": -15.0, "working": -24.0}
"""Two tones at once are softer than one; and what comes again and again is to be softer than all."""

NOTICES = ("cap", "bad_key", "no_network")
"""What is said in words: only where a person must act. One that is switched off is an "error" instead."""

NAMES = (*_MELODIES, *NOTICES)


class Earcons:
    """Every sound of the device's own, as the owner wants them. Any thread."""

    def __init__(self, config: EarconsConfig | None = None) -> None:
        """Read the owner's files.

        Raises:
            ConfigError: with every one that cannot be used.
        """
        self._config = config or EarconsConfig()
        self._own: dict[str, tuple[Samples, int]] = {}
        self._own_tonal: set[str] = set()
        faults: list[Fault] = []
        for name in NAMES:
            asked = self._asked(name)
            if asked not in ("on", "off"):
                try:
                    samples, rate_hz = self._own[name] = _read_own(name, asked)
                    if is_like_ours(resampled(samples, rate_hz, EAR_HZ)):
                        self._own_tonal.add(name)
                except WavError as error:
                    faults.append(Fault(f"audio.earcons.{name}", f"{asked!r} {error}"))
        if faults:
            raise ConfigError(faults)

    def sound(self, name: str, rate_hz: int) -> Samples:
        """Return one of `NAMES`, mono at `rate_hz`; nothing at all where it is switched off."""
        samples, from_hz = self.source(name, rate_hz)
        return resampled(samples, from_hz, rate_hz)

    def source(self, name: str, rate_hz: int) -> tuple[Samples, int]:
        """Return one of `NAMES`, mono, and its rate: `rate_hz` where it is made, a file's own else."""
        if name in self._own:
            return self._own[name]
        if self._asked(name) == "off":
            return self.source("error", rate_hz) if name in NOTICES else (np.zeros(0, np.int16), rate_hz)
        return _notice(name) if name in NOTICES else (make_earcon(name, rate_hz), rate_hz)

    def is_tonal(self, name: str) -> bool:
        """Return whether one of `NAMES` is nothing that a speech detector takes for a voice."""
        if name in self._own:
            return name in self._own_tonal
        return name not in NOTICES or self._asked(name) == "off"

    def duration_s(self, name: str) -> float:
        """Return how long one of `NAMES` lasts, for who plays it again and again; 0: it is switched off."""
        samples, own_hz = self.source(name, 16_000)
        return len(samples) / own_hz

    def _asked(self, name: str) -> str:
        asked: str = getattr(self._config, name)
        return asked


def make_earcon(name: str, rate_hz: int) -> Samples:
    """Return one of our own earcons, mono at `rate_hz`."""
    sound = np.concatenate([_note(note, rate_hz) for note in _MELODIES[name]])
    peak = 32768 * from_db(_PEAKS_DB.get(name, PEAK_DB))
    return to_int16((sound * peak / np.abs(sound).max()).astype(np.float32))


def make_earcons(rate_hz: int) -> dict[str, Samples]:
    """Return every one of our own earcons by name, mono at `rate_hz`."""
    return {name: make_earcon(name, rate_hz) for name in _MELODIES}


def load_notice(name: str, rate_hz: int) -> Samples:
    """Return one of `NOTICES`, or the echo check's "echo", mono at `rate_hz`. Takes 10 ms on a laptop."""
    samples, from_hz = _notice(name)
    return resampled(samples, from_hz, rate_hz)


def _notice(name: str) -> tuple[Samples, int]:
    with resources.files(__package__).joinpath(f"notices/{name}.wav").open("rb") as file:
        wav = decode_wav(file)
    return np.ascontiguousarray(wav.as_int16()[:, 0]), wav.rate_hz


def _note(note: _Note, rate_hz: int) -> NDArray[np.float64]:
    """Return one tone with a little of its octave, a soft start and a dying end; 0 Hz is a rest."""
    time_s = np.arange(round(note.for_s * rate_hz)) / rate_hz
    angles = [2 * np.pi * hz * time_s for hz in (note.hz, note.and_hz)]
    tone = sum(np.sin(angle) + 0.2 * np.sin(2 * angle) for angle in angles)
    attack = np.minimum(1.0, time_s / note.attack_s)
    release = np.minimum(1.0, (note.for_s - time_s) / EDGE_S)
    smooth = np.sin(np.pi / 2 * np.clip(np.minimum(attack, release), 0, 1)) ** 2
    return np.asarray(tone * smooth * np.exp(-3.0 * time_s / note.for_s), np.float64)


# --- the owner's files ---


def _read_own(name: str, asked: str) -> tuple[Samples, int]:
    """Return the owner's sound, mono, and its rate: with our loudness, no offset, and no click at its ends.

    Raises:
        WavError: it cannot be used; says why, and what to do.
    """
    path = Path(asked)
    if not path.is_absolute():
        raise WavError('is neither "on" nor "off", nor the path, from /, of a WAV file')
    try:
        wav = read_wav(path, most_s=OWN_S.get(name, _OWN_S))
    except FileNotFoundError:
        raise WavError("is not there" + _home_advice(path)) from None
    except OSError as error:
        raise WavError(f"cannot be read: {error.strerror}{_home_advice(path)}") from error
    except WavError as error:
        raise WavError(f"{error} (sox or ffmpeg make another of it)") from error
    if not len(wav.frames):
        raise WavError('holds no sound; "off" is none')
    mono: Wide = wav.frames.mean(axis=1, dtype=np.float32)
    mono -= mono.mean()
    if np.abs(mono).max() < _SILENT:
        raise WavError('is silent; "off" is no sound')
    return to_int16(
        _with_soft_edges(mono * np.float32(_gain(name, mono, wav.rate_hz)), wav.rate_hz)
    ), wav.rate_hz


def _home_advice(path: Path) -> str:
    """The service is run with ProtectHome: what is to be seen there by its owner is not by it."""
    if path.parts[:2] in (("/", "home"), ("/", "root")):
        return "; the service sees nothing below /home and /root: put it into /etc/pivoice"
    return ""


def _gain(name: str, mono: Wide, rate_hz: int) -> float:
    """Return what makes the sound no louder than it may be; never more than 1."""
    gain = min(1.0, 32768 * from_db(OWN_PEAK_DB) / float(np.abs(mono).max()))
    if name in OWN_S:
        return gain
    size = max(1, round(LOUDEST_S * rate_hz))
    energy = np.concatenate([[0.0], np.cumsum(np.square(mono, dtype=np.float64))])
    energies = energy[size:] - energy[:-size] if len(mono) > size else energy[-1:]
    loudest = float(np.sqrt(energies.max() / size))
    allowed = 32768 * from_db(OWN_LOUDEST_DB + _PEAKS_DB.get(name, PEAK_DB) - PEAK_DB)
    return min(gain, allowed / loudest)


def _with_soft_edges(mono: Wide, rate_hz: int) -> Wide:
    size = min(round(EDGE_S * rate_hz), len(mono) // 2)
    ramp = (np.sin(np.pi / 2 * np.arange(size) / max(1, size)) ** 2).astype(np.float32)
    mono[:size] *= ramp
    mono[len(mono) - size :] *= ramp[::-1]
    return mono
