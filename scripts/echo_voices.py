"""The voices of `scripts/bench echo` that nothing else needs: a dozen wake words, and a second agent.

Made once by scripts/speech's own voice at other sizes and pitches, and kept beside its files. Of the wake
words those are taken that are heard in quiet: a clip that nobody hears alone says nothing about cancelling.
"""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import sys
import wave
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import numpy as np
import samplerate
from numpy.typing import NDArray

from pivoice.config import WakeConfig
from pivoice.wake.detector import Detector, open_detector
from tests.support.speech import speech_directory

Samples = NDArray[np.int16]

RATE_HZ = 24_000
CLIPS = 12
_TEXTS = ("Hey Jarvis.", "Hey Jarvis!", "Hey, Jarvis?")
_SIZES = (1.0, 0.94, 1.06, 1.12)
_PITCHES = (1.0, 0.88, 1.12)
_PACES = (1.0, 1.1, 0.9)
_HEARD = 0.5
_AGENT_SIZE, _AGENT_PITCH = 0.93, 1.1
_AGENT_LEVEL = 0.58  # brings its echo to where the other agent's is: a small speaker makes more of this voice


def wake_clips(rate_hz: int = 16_000) -> list[Samples]:
    """Return twelve ways to say the wake word, each of which is heard in quiet."""
    return [_read(path, rate_hz) for path in sorted(_made().glob("wake_*.wav"))]


def second_agent(rate_hz: int = 24_000) -> Samples:
    """Return the long reply, said by a smaller, higher voice."""
    return _read(_made() / "agent_second.wav", rate_hz)


def make() -> None:
    """Make what is not there yet; takes half a minute, once."""
    _made()


def _made() -> Path:
    directory = speech_directory() / "bench"
    stamp = directory / "stamp"
    fingerprint = hashlib.sha256(
        Path(__file__).read_bytes() + (speech_directory() / "stamp").read_bytes()
    ).hexdigest()
    if stamp.exists() and stamp.read_text() == fingerprint:
        return directory
    directory.mkdir(parents=True, exist_ok=True)
    speech = _speech_script()
    model = speech.Hibari()
    agent = speech.Voice("hibari heart, smaller", _AGENT_SIZE, _AGENT_PITCH)
    words = speech.trimmed(agent.say(model, speech.AGENT["agent_long"]))
    speech.write_wav(directory / "agent_second.wav", words * _AGENT_LEVEL)
    detector, count = open_detector(WakeConfig()), 0
    assert detector is not None, "there is a wake word by default"
    for text, size, pitch, pace in itertools.product(_TEXTS, _SIZES, _PITCHES, _PACES):
        # neighbours sound alike: every seventh of the grid, all of it in the end
        if (order := _order(text, size, pitch, pace)) % 7:
            continue
        voice = speech.Voice(f"user {order}", size, pitch)
        clip = speech.trimmed(samplerate.resample(voice.say(model, text), pace, "sinc_best"))
        if count < CLIPS and _is_heard(detector, clip):
            count += 1
            speech.write_wav(directory / f"wake_{count:02}.wav", clip)
    assert count == CLIPS, f"only {count} wake words are heard in quiet"
    stamp.write_text(fingerprint)
    return directory


def _order(text: str, size: float, pitch: float, pace: float) -> int:
    place = _TEXTS.index(text)
    for value, values in ((size, _SIZES), (pitch, _PITCHES), (pace, _PACES)):
        place = place * len(values) + values.index(value)
    return place


def _is_heard(detector: Detector, clip: NDArray[np.float32]) -> bool:
    sound = samplerate.resample(clip, 16_000 / RATE_HZ, "sinc_best") * 0.3 * 32768
    noise = np.random.default_rng(1).normal(0, 10, len(sound) + 48_000)
    noise[24_000 : 24_000 + len(sound)] += sound
    blocks = noise[: len(noise) // 1280 * 1280].astype(np.int16).reshape(-1, 1280)
    detector.reset()
    return max(max(detector.score(block).values()) for block in blocks) >= _HEARD


def _read(path: Path, rate_hz: int) -> Samples:
    with wave.open(str(path), "rb") as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32)
    sound = samples if rate_hz == RATE_HZ else samplerate.resample(samples, rate_hz / RATE_HZ, "sinc_best")
    return np.clip(np.rint(sound), -32768, 32767).astype(np.int16)


def _speech_script() -> ModuleType:
    path = Path(__file__).with_name("speech")
    loader = SourceFileLoader("speech_script", str(path))
    spec = importlib.util.spec_from_loader("speech_script", loader)
    assert spec is not None, "a path has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules["speech_script"] = module
    loader.exec_module(module)
    return module
