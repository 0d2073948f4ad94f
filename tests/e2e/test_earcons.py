"""The owner's own sounds, in real processes."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from tests.audio.fakes import tone, write_wav
from tests.support.bed import Bed
from tests.support.speech import load_speech
from tests.support.stage import Stage


def likeness(part: np.ndarray, whole: np.ndarray) -> float:
    """Return the correlation of `part` with the place in `whole` that is most like it."""
    size = 1 << (len(whole) + len(part)).bit_length()
    match = np.fft.irfft(np.fft.rfft(whole, size) * np.conj(np.fft.rfft(part, size)))
    at = int(np.argmax(match[: max(1, len(whole) - len(part))]))
    found = whole[at : at + len(part)]
    return float(np.corrcoef(part[: len(found)], found)[0, 1])


def test_an_owners_wake_sound_is_played_while_the_first_word_goes_up(tmp_path: Path, bed: Bed):
    frames = np.stack([tone(0.4, 22050, hz=1000, peak=20000)] * 2, axis=1)
    chime = write_wav(tmp_path / "ding.wav", frames, 22050, channels=2)
    settings: dict[str, dict[str, object]] = {
        "audio": {"echo": "half_duplex"},
        "audio.earcons": {"wake": str(chime), "end": "off"},
        "wake": {"engine": "none"},
    }
    with Stage(tmp_path, bed=bed, settings=settings) as stage:
        stage.start()
        asked_s = time.monotonic()
        stage.ctl("wake")
        stage.say("user_weather")
        stage.wait_for("transcript", who="user", final=True)
        sent = np.concatenate(stage.agent_heard()).astype(float)
        heard_s = bed.wait_audible(asked_s, 5)
        played = bed.heard(asked_s, heard_s + 1.0).astype(float)

    spectrum = np.abs(np.fft.rfft(played))
    assert abs(int(spectrum.argmax()) * 48_000 / len(played) - 1000) < 5
    assert 1500 < np.abs(played).max() < 6000  # made as soft as ours
    words = load_speech("user_weather").at_rate(24_000).astype(float)
    assert likeness(words[: len(words) // 3], sent) > 0.95
