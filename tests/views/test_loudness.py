"""Which microphone hears somebody best, by what they gave."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pivoice.views.loudness import Channel, Ear, Frames, Hearing, best_of, judged

RATE_HZ = 16_000
SECONDS = 4


def noise(level_db: float, seed: int = 1) -> NDArray[np.float64]:
    """Return steady noise."""
    return np.random.RandomState(seed).normal(0, 32768 * 10 ** (level_db / 20), SECONDS * RATE_HZ)


def voice(level_db: float) -> NDArray[np.float64]:
    """Return something that comes and goes as words do: 0.3 s of it, 0.3 s of nothing."""
    time_s = np.arange(SECONDS * RATE_HZ) / RATE_HZ
    is_on = (time_s % 0.6) < 0.3
    return is_on * np.sqrt(2) * 32768 * 10 ** (level_db / 20) * np.sin(2 * np.pi * 310 * time_s)


def hear(*channels: NDArray[np.float64], period: int = 320) -> list[Hearing]:
    """Return what is made of the channels of one microphone."""
    frames: Frames = np.stack(channels, axis=1).clip(-32768, 32767).astype(np.float32)
    ear = Ear(RATE_HZ, len(channels))
    for start in range(0, len(frames), period):
        ear.hear(frames[start : start + period])
    found = [judged(each) for each in ear.channels]
    assert all(found)
    return [each for each in found if each]


def test_a_voice_is_measured_without_the_noise_around_it():
    (found,) = hear(voice(-30) + noise(-50))

    assert found.voice_db == pytest.approx(-30, abs=0.5)
    assert found.noise_db == pytest.approx(-50, abs=0.5)
    assert found.has_heard
    assert not found.remark
    assert found.seconds == pytest.approx(SECONDS)


def test_noise_that_is_nearly_as_loud_is_taken_off_the_voice():
    (found,) = hear(voice(-30) + noise(-36))

    assert found.voice_db == pytest.approx(-30, abs=0.7)


def test_of_two_that_hear_alike_the_clearer_one_wins_and_then_the_louder():
    def heard(voice_db: float, noise_db: float) -> Hearing:
        return Hearing(voice_db, noise_db, 0.0, 0, -120.0, 5.0)

    assert best_of([heard(-30, -40), heard(-30, -50)]) == 1, "clearer"
    assert best_of([heard(-30, -80), heard(-29, -62)]) == 1, "both are clear enough: louder"
    assert best_of([heard(-30, -38), heard(-31, -50)]) == 1, "clearer by more than it is softer"


@pytest.mark.parametrize(
    "worse",
    [
        voice(-36) + noise(-70),  # farther away
        noise(-10),  # louder than any voice, and nothing but noise
        20_000 + noise(-60),  # an offset
        8000 * np.sin(2 * np.pi * 50 * np.arange(SECONDS * RATE_HZ) / RATE_HZ) + voice(-40),  # hum
        np.zeros(SECONDS * RATE_HZ),
        np.full(SECONDS * RATE_HZ, -32768.0),
        voice(-30) + noise(-32),  # as loud, in noise
    ],
    ids=["farther", "noise", "offset", "hum", "zeros", "stuck", "noisy"],
)
def test_the_clear_voice_wins_wherever_it_stands(worse: NDArray[np.float64]):
    good = voice(-30) + noise(-60)

    assert best_of(hear(worse, good)) == 1
    assert best_of(hear(good, worse)) == 0


def test_where_nobody_spoke_none_is_best():
    assert best_of(hear(noise(-40), noise(-20), np.zeros(SECONDS * RATE_HZ))) is None
    assert best_of([None]) is None


def test_an_offset_counts_for_nothing():
    (plain,), (leaning,) = hear(voice(-30) + noise(-60)), hear(voice(-30) + noise(-60) + 9000)

    assert leaning.voice_db == pytest.approx(plain.voice_db, abs=0.1)
    assert leaning.offset_db == pytest.approx(-11.2, abs=0.5)


@pytest.mark.parametrize(
    ("sound", "remark"),
    [
        (np.zeros(SECONDS * RATE_HZ), "digital silence"),
        (np.full(SECONDS * RATE_HZ, 77.0), "one and the same number"),
        (voice(10), "too loud: "),
        (noise(-60), "no voice over its noise"),
    ],
)
def test_what_is_wrong_is_said(sound: NDArray[np.float64], remark: str):
    (found,) = hear(sound)

    assert found.remark.startswith(remark)


@pytest.mark.parametrize(("level_db", "gain_db"), [(-26, 0), (-31, 0), (-46, 19), (-90, 40)])
def test_a_quiet_voice_gets_the_gain_it_needs(level_db: float, gain_db: int):
    (found,) = hear(voice(level_db) + noise(level_db - 40))

    assert found.gain_db == pytest.approx(gain_db, abs=1)


def test_gain_never_makes_a_peak_clip():
    click = np.zeros(SECONDS * RATE_HZ)
    click[5000] = 8000.0

    (found,) = hear(voice(-50) + noise(-80) + click)

    assert found.gain_db == 9  # the click has 12 dB left


def test_what_comes_first_can_be_left_out():
    ear = Ear(RATE_HZ, 1, skip_s=0.5)
    pop = np.full((RATE_HZ // 2, 1), 30_000, np.float32)

    ear.hear(pop)
    ear.hear(np.zeros((RATE_HZ, 1), np.float32))

    assert ear.channels[0].peak == 0
    assert len(ear.channels[0].blocks_db) == 20


def test_a_channel_that_gave_nothing_is_not_judged():
    assert judged(Channel()) is None
