"""The noises of rooms, and people who say wake words in them. All synthetic, the seeds are fixed.

A noise is so many frames at an RMS of 1. In a `Room` it stays as it is, and the talker is louder or softer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import samplerate
from numpy.typing import NDArray

from tests.support.rooms import speech_level, to_int16
from tests.support.speech import Speech, load_speech

Samples = NDArray[np.int16]
Sound = NDArray[np.float64]

EAR_HZ = 16_000
SPEECH_RMS = 0.05  # -26 dBFS: a talker at arm's length
QUIET_RMS = 10 / 32768  # the hiss of a cheap microphone
LEAD_S = 5.0
"""Of noise alone before the first word, in which a gate learns the room."""
FOUND_AFTER_S = 0.6
"""A wake word counts as found from its first sound to so long after its last."""


class Recording(NamedTuple):
    """What a microphone hears where somebody says wake words."""

    sound: Samples
    """At the microphone's rate."""
    said: list[tuple[float, float]]
    """From when to when each word may be found, in seconds."""


def white(frames: int, seed: int, rate_hz: int = EAR_HZ) -> Sound:
    return _shaped(frames, seed, rate_hz, lambda hz: np.ones_like(hz))


def pink(frames: int, seed: int, rate_hz: int = EAR_HZ) -> Sound:
    return _shaped(frames, seed, rate_hz, lambda hz: 1 / np.sqrt(np.maximum(hz, 20)))


def fan(frames: int, seed: int, rate_hz: int = EAR_HZ) -> Sound:
    """Air, mostly below 500 Hz, and the hum of a motor: 50 Hz and its multiples."""
    air = _shaped(frames, seed, rate_hz, lambda hz: 1 / (1 + (hz / 300) ** 2) + 0.02)
    at_s = np.arange(frames) / rate_hz
    hum = sum(np.sin(2 * np.pi * 50 * n * at_s + n) / n for n in (1, 2, 3, 4, 6, 8))
    return _unit(air + 0.5 * hum)


def television(frames: int, seed: int, rate_hz: int = EAR_HZ) -> Sound:
    """Somebody who talks on and on, and chords that come and go behind."""
    words = load_speech("agent_long").at_rate(rate_hz) / 32768
    speech = np.tile(words / speech_level(words), frames // len(words) + 1)[:frames]
    random, at_s = np.random.default_rng(seed), np.arange(frames) / rate_hz
    music = np.zeros(frames)
    for start in range(0, frames, rate_hz // 2):
        here = slice(start, start + rate_hz // 2)
        since_s = at_s[here] - at_s[start]
        for hz in random.choice((196, 220, 262, 294, 330, 392, 440, 523), 3, replace=False):
            for n in (1, 2, 3):
                music[here] += np.exp(-5 * since_s) * np.sin(2 * np.pi * hz * n * since_s) / n
    return _unit(speech + 0.5 * _unit(music))


NOISES: dict[str, Callable[..., Sound]] = {
    "quiet": white,
    "white": white,
    "pink": pink,
    "fan": fan,
    "television": television,
}
"""The rooms of the wake word's bench and floors; "quiet" has no SNR to speak of."""


def room(noise: str, seconds: float, *, rms: float = 0.0, seed: int = 0, rate_hz: int = EAR_HZ) -> Sound:
    """Return `noise` alone, at `rms` of full scale; the quiet room has its own."""
    loudness = QUIET_RMS if noise == "quiet" else rms
    return loudness * NOISES[noise](round(seconds * rate_hz), seed, rate_hz)


def recording(
    noise: str, words: Sequence[Speech], snrs_db: Sequence[float], *, rate_hz: int = EAR_HZ, seed: int = 0
) -> Recording:
    """Say every word, one after the other, at any phase of a block; the SNR is the next for each in turn.

    In the quiet room the loudest talker has the usual level, and the others are as much softer.
    """
    random, loudest = np.random.default_rng([seed, len(words)]), max(snrs_db)
    placed, said, at_s = [], [], LEAD_S
    for number, word in enumerate(words):
        spoken = (
            SPEECH_RMS * 10 ** ((snrs_db[number % len(snrs_db)] - loudest) / 20) * _at_rate(word, rate_hz)
        )
        placed.append((round(at_s * rate_hz), spoken))
        end_s = at_s + len(spoken) / rate_hz
        said.append((at_s, end_s + FOUND_AFTER_S))
        at_s = end_s + random.uniform(2.6, 3.6)  # past the refractory time
    sound = room(noise, at_s, rms=SPEECH_RMS * 10 ** (-loudest / 20), seed=seed + 1, rate_hz=rate_hz)
    for first, spoken in placed:
        sound[first : first + len(spoken)] += spoken
    return Recording(to_int16(sound), said)


def _at_rate(word: Speech, rate_hz: int) -> Sound:
    """Return it spoken at an RMS of 1."""
    sound = word.samples / 32768
    if rate_hz != word.rate_hz:
        sound = samplerate.resample(sound, rate_hz / word.rate_hz, "sinc_medium").astype(np.float64)
    return np.asarray(sound / speech_level(sound))


def _shaped(frames: int, seed: int, rate_hz: int, amplitude: Callable[[Sound], Sound]) -> Sound:
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(0, 1, frames))
    spectrum *= amplitude(np.fft.rfftfreq(frames, 1 / rate_hz))
    spectrum[0] = 0
    return _unit(np.fft.irfft(spectrum, frames))


def _unit(sound: Sound) -> Sound:
    return np.asarray(sound / np.sqrt(np.mean(sound**2)))
