"""The sounds of `scripts/bench wake`: wake words by many voices, and a corpus without any.

All of it is made or unpacked once and kept beside the bench's environment. The seeds are fixed: a figure
moves only when the product does. Nothing of it is in the repository.
"""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import shutil
import subprocess
import sys
import wave
from collections.abc import Sequence
from dataclasses import replace
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import numpy as np
import samplerate
import wake_environment as environment
from wake_environment import LackingError
from wake_makings import TEXTS

from tests.support.rooms import to_int16
from tests.support.speech import Speech

DEBS = ("asterisk-core-sounds-en-g722", "asterisk-core-sounds-fr-g722", "asterisk-core-sounds-es-g722")
MUSIC = "asterisk-moh-opsound-g722"
_PACES = (1.0, 0.88, 1.12, 1.25)
"""How fast the test voices say it, against each speaker's own pace."""
_SIZES = (1.0, 0.94, 1.07)
"""How large the second speaker is, against himself."""


def clips() -> list[Speech]:
    """Return every wake word there is, made at the first call: 120, and 63 more where piper is installed.

    `facts["voice"]` is "hibari" or "joe"; `facts["own"]`: a speaker as the test set has him, who was not
    hastened, nor made larger or smaller.
    """
    directory = environment.HOME / "voices"
    stamp, wanted = directory / "stamp", _fingerprint()
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        _make_hibari(directory)
        try:
            environment.run("wake_makings.py", "joe", str(directory))
        except LackingError as error:
            print(f"the second speaker is missing: {error}", file=sys.stderr)
        else:
            stamp.write_text(wanted)
    made = [_read(path, "hibari", is_own="_own_" in path.name) for path in sorted(directory.glob("hibari_*"))]
    joe = [_read(path, "joe", is_own=True) for path in sorted(directory.glob("joe_*"))]
    return [*made, *(_of_size(clip, size) for clip in joe for size in _SIZES)]


def corpus() -> Path:
    """Return the speech and music in which nobody says a wake word: one .npy of 1.9 h at 16 kHz.

    Raises:
        LackingError: its packages cannot be had, or not be decoded.
    """
    target = environment.HOME / "corpus.npy"
    if target.exists():
        return target
    unpacked = environment.HOME / "corpus"
    shutil.rmtree(unpacked, ignore_errors=True)
    unpacked.mkdir(parents=True)
    _unpack((*DEBS, MUSIC), unpacked)
    made = unpacked / "corpus.npy"
    environment.run("wake_makings.py", "corpus", str(unpacked), str(made))
    made.replace(target)  # last: an interrupted run is done again
    shutil.rmtree(unpacked)
    return target


# --- making ---


def _make_hibari(directory: Path) -> None:
    """Have every speaker of the test voices say it in every way."""
    speech = _speech_script()
    model = speech.Hibari()
    ways = itertools.product(speech.SPEAKERS, TEXTS, _PACES)
    for number, (speaker, text, pace) in enumerate(ways):
        voice = replace(speaker, pace=pace * speaker.pace)
        name = f"hibari_{'own' if pace == 1 else 'paced'}_{number:03}.wav"
        speech.write_wav(directory / name, speech.trimmed(voice.say(model, text)))


def _of_size(clip: Speech, size: float) -> Speech:
    """Return what a larger or smaller speaker makes of it: lower and slower, or the other way round."""
    if size == 1:
        return clip
    sound = samplerate.resample(clip.samples / 32768, size, "sinc_best").astype(np.float64)
    return Speech(to_int16(sound), clip.rate_hz, clip.text, clip.facts | {"own": False})


def _read(path: Path, voice: str, *, is_own: bool) -> Speech:
    with wave.open(str(path), "rb") as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.int16)
        return Speech(samples, file.getframerate(), "Hey Jarvis.", {"voice": voice, "own": is_own})


def _unpack(packages: Sequence[str], target: Path) -> None:
    """Fetch and unpack Debian packages without installing them; needs no root."""
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise LackingError(f"this system has no {tool}, which fetches the false-accept corpus")
    fetched = subprocess.run(
        ["apt-get", "--quiet", "download", *packages], cwd=target, capture_output=True, text=True, check=False
    )
    if fetched.returncode:
        lines = fetched.stderr.strip().splitlines() or ["it failed"]
        raise LackingError(
            f"apt-get download: {lines[-1]}; if it does not know the package, run: sudo apt-get update"
        )
    for package in sorted(target.glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", str(package), str(target)], check=True)
        package.unlink()


def _speech_script() -> ModuleType:
    path = environment.SCRIPTS / "speech"
    loader = SourceFileLoader("speech_script", str(path))
    spec = importlib.util.spec_from_loader("speech_script", loader)
    assert spec is not None, "a path has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules["speech_script"] = module
    loader.exec_module(module)
    return module


def _fingerprint() -> str:
    """Return what the voices depend on."""
    parts = [Path(__file__), environment.SCRIPTS / "speech", environment.SCRIPTS / "wake_makings.py"]
    return hashlib.sha256(b"".join(part.read_bytes() for part in parts)).hexdigest()
