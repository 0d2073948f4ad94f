"""What I2S microphones need: the offset out, the gain in, and no bit lost on the way."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pivoice.audio.conditioning import PATIENCE_S, Conditioning, HighPass
from pivoice.audio.pcm import Samples
from tests.audio.fakes import noise, tone

RATE_HZ = 48000
PERIOD = 960
Sound = NDArray[np.float32]


def sine(seconds: float, hz: float, peak: float, rate_hz: int = RATE_HZ) -> Sound:
    return (peak * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)).astype(np.float32)


def conditioned(sound: Sound | Samples, *, gain_db: float = 0.0, period: int = PERIOD) -> Samples:
    """Return what comes of a sound that is read a period at a time."""
    stage = Conditioning(RATE_HZ, gain_db=gain_db)
    return np.concatenate([stage.apply(sound[at : at + period]) for at in range(0, len(sound), period)])


def amplitude(sound: NDArray[np.generic], hz: float, rate_hz: int = RATE_HZ) -> float:
    """Return the peak of the one tone in a sound of whole periods of it."""
    wave = np.exp(-2j * np.pi * hz * np.arange(len(sound)) / rate_hz)
    return float(2 * abs(np.mean(sound * wave)))


def test_the_offset_of_an_i2s_microphone_is_gone_from_the_first_period_and_its_sound_is_not():
    quiet = sine(1.0, 500, peak=20.0)

    heard = conditioned(quiet - np.float32(900.0), gain_db=30)

    assert abs(heard[:PERIOD].mean()) < 32
    assert abs(heard.mean()) < 1
    assert amplitude(heard[PERIOD:], 500) == pytest.approx(20 * 10**1.5, rel=0.01)


def test_a_tone_below_one_step_of_16_bits_is_heard_after_the_gain():
    faint = sine(1.0, 500, peak=0.4)

    heard = conditioned(faint + np.float32(300.25), gain_db=40)

    rest = heard[4800:] - amplitude(heard[4800:], 500) * np.sin(2 * np.pi * 500 * np.arange(43200) / RATE_HZ)
    assert amplitude(heard[4800:], 500) == pytest.approx(40, rel=0.01)
    assert np.std(rest) < 2, "it is a staircase, not a tone"


def test_what_rests_at_zero_is_left_to_the_sample():
    for sound in (noise(3.0, RATE_HZ), tone(3.0, RATE_HZ)):
        assert np.array_equal(conditioned(sound), sound)
        assert np.array_equal(conditioned(sound.astype(np.float32)), sound)


def test_a_16_bit_card_that_leans_to_one_side_for_seconds_is_set_upright():
    room = np.random.default_rng(2).normal(0, 8, 4 * RATE_HZ)
    sound = np.rint(room - 200).astype(np.int16)

    heard = conditioned(sound)

    patience = round(PATIENCE_S * RATE_HZ)
    assert np.array_equal(heard[: patience - PERIOD], sound[: patience - PERIOD])
    assert abs(heard[patience + PERIOD :].mean()) < 1
    assert np.std(heard[patience + PERIOD :]) == pytest.approx(8, rel=0.05)


def test_a_16_bit_card_that_is_loud_is_left_alone_however_long():
    speech = noise(5.0, RATE_HZ, peak=8000).astype(np.int32) + 60

    heard = conditioned(speech.astype(np.int16))

    assert np.array_equal(heard, speech)


def test_a_slow_swing_to_both_sides_is_no_offset():
    swing = np.rint(sine(6.0, 0.3, peak=2000.0)).astype(np.int16)

    assert np.array_equal(conditioned(swing), swing)


def test_digital_silence_stays_digital_silence():
    assert not conditioned(np.zeros(RATE_HZ, np.float32), gain_db=40).any()


def test_a_microphone_that_gives_nothing_but_its_offset_is_silent():
    assert not conditioned(np.full(RATE_HZ, -1234.5, np.float32), gain_db=20).any()


@pytest.mark.parametrize("rate_hz", [16000, 44100, 48000, 96000])
def test_a_voice_passes_the_high_pass_and_what_is_below_does_not(rate_hz: int):
    passed = {}
    for hz in (2, 100, 300, 3000):
        heard = HighPass(rate_hz).process(sine(2.0, hz, 10000.0, rate_hz))[rate_hz:]
        passed[hz] = 20 * np.log10(amplitude(heard, hz, rate_hz) / 10000)

    assert passed[2] < -19
    assert -0.25 < passed[100] < 0.02
    assert abs(passed[300]) < 0.06
    assert abs(passed[3000]) < 0.05


def test_an_offset_that_comes_later_is_gone_in_a_tenth_of_a_second():
    high_pass = HighPass(RATE_HZ)
    high_pass.process(np.zeros(RATE_HZ, np.float32))

    heard = high_pass.process(np.full(RATE_HZ, 1000.0, np.float32))

    assert abs(heard[4800:]).max() < 0.01


def test_it_does_not_matter_how_many_samples_come_at_once():
    sound = (noise(1.0, RATE_HZ) // 4 + 3000).astype(np.float32)
    whole = HighPass(RATE_HZ, rests_at=3000.0).process(sound)
    pieces = HighPass(RATE_HZ, rests_at=3000.0)

    parts = [pieces.process(part) for part in np.split(sound, [1, 2, 961, 4000, 4001, 30000])]

    assert np.allclose(np.concatenate(parts), whole, atol=1e-6)


def test_what_is_too_loud_after_the_gain_is_clipped_and_not_wrapped():
    heard = conditioned(sine(0.1, 500, peak=20000.0), gain_db=12)

    assert (heard.min(), heard.max()) == (-32768, 32767)


def test_an_offset_that_only_the_gain_makes_heard_is_taken_out():
    leaning = sine(1.0, 500, peak=0.1) + np.float32(0.5)

    heard = conditioned(leaning, gain_db=40)

    assert abs(heard[PERIOD:].mean()) < 1
