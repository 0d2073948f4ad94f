"""Loudness that changes without a noise of its own: looked for in the samples, and in the spectrum."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from pivoice.audio.buffers import WIRE_HZ, ReplyQueue
from pivoice.audio.earcons import Earcons
from pivoice.audio.fader import SPRING_S, Fader
from pivoice.audio.loudness_scale import softness
from pivoice.audio.mixer import Mixer
from pivoice.audio.pcm import Format, Samples
from pivoice.config import EarconsConfig

RATE_HZ, PERIOD = 48000, 960
TONE_HZ = 1000
SWEEP = [*range(20, 101, 10), *range(90, 19, -10)]
"""A button held: 20 to 100 and back."""


def levels(fader: Fader, frames: int, period: int = PERIOD) -> NDArray[np.float32]:
    return np.concatenate([np.broadcast_to(fader.next(period), period) for _ in range(frames // period)])


def played(volumes: Callable[[int], int], seconds: float) -> Samples:
    """Return what a speaker plays of a tone while the volume is `volumes(period)`."""
    queue, time_s = ReplyQueue(), np.arange(round(seconds * WIRE_HZ)) / WIRE_HZ
    queue.put(1, (20000 * np.sin(2 * np.pi * TONE_HZ * time_s)).astype(np.int16), 0.0)
    queue.end(1)
    opened = Format(RATE_HZ, PERIOD, 2 * PERIOD, 1, "S16_LE")
    mixer = Mixer(queue, opened, jitter_ms=0, softness=softness(volumes(0)), earcons=Earcons(EarconsConfig()))
    periods = [
        mixer.mix(deque(), ducked=False, softness=softness(volumes(at)), now_s=at * PERIOD / RATE_HZ).samples
        for at in range(round(seconds * RATE_HZ / PERIOD))
    ]
    return np.concatenate(periods)


def away_from_the_tone_db(sound: Samples) -> float:
    """Return the energy more than 400 Hz away from the tone, against the tone's."""
    power = np.abs(np.fft.rfft(sound * np.blackman(len(sound)))) ** 2
    hz = np.fft.rfftfreq(len(sound), 1 / RATE_HZ)
    near = np.abs(hz - TONE_HZ) <= 400
    return float(10 * np.log10(power[~near].sum() / power[near].sum()))


def test_a_volume_swept_up_and_down_makes_no_noise_of_its_own():
    every = 6  # periods: 0.12 s, as fast as a held button repeats

    swept = played(lambda at: SWEEP[min(at // every, len(SWEEP) - 1)], 2.2)
    still = played(lambda at: 60, 2.2)

    middle = slice(RATE_HZ // 10, -RATE_HZ // 5)
    assert away_from_the_tone_db(swept[middle]) < -80
    assert away_from_the_tone_db(still[middle]) < -80


def test_steps_once_a_period_would_be_heard():
    """The yardstick itself: what this test is there to prevent, 30 dB above what is allowed."""
    still = played(lambda at: 100, 2.2).astype(np.float64)
    period = np.arange(len(still)) // PERIOD
    volume = np.interp(period, np.arange(len(SWEEP)) * 6, [softness(each) for each in SWEEP])

    assert away_from_the_tone_db((still * volume)[RATE_HZ // 10 : -RATE_HZ // 5]) > -60


@pytest.mark.parametrize("period", [240, 960, 4800])
def test_no_sample_leaps_and_no_corner_is_sharp(period: int):
    fader = Fader(RATE_HZ, 0.008)

    path = [np.full(1, np.float32(0.008))]
    for target in (1.0, 0.2, 0.9, 0.0, 1.0):
        fader.turn(target)
        path += [
            np.broadcast_to(fader.next(period), period) for _ in range(max(1, round(0.04 * RATE_HZ / period)))
        ]
    whole = np.concatenate(path).astype(np.float64)

    spring = SPRING_S * RATE_HZ
    assert np.abs(np.diff(whole)).max() < 0.5 / spring
    assert np.abs(np.diff(whole, 2)).max() < 3.0 / spring**2


@pytest.mark.parametrize(("begin", "end"), [(0.0, 1.0), (1.0, 0.0), (0.3, 0.31)])
def test_it_arrives_within_a_tenth_of_a_second_and_stays(begin: float, end: float):
    fader = Fader(RATE_HZ, begin)
    fader.turn(end)

    levels(fader, RATE_HZ // 10)
    arrived = fader.level
    levels(fader, RATE_HZ // 2)

    assert arrived == pytest.approx(end, abs=0.011)
    assert fader.is_still
    assert fader.level == end


def test_it_never_goes_beyond_where_it_was_sent():
    fader, heard = Fader(RATE_HZ, 0.1), [0.0]
    random = np.random.default_rng(1)

    for _ in range(500):
        fader.turn(float(random.uniform(0.0, 0.5)))
        heard.append(float(fader.next(PERIOD).max()))

    assert max(heard) <= 0.5
    assert fader.next(PERIOD).min() >= 0


def test_periods_of_any_length_make_the_same_way():
    one, other = Fader(RATE_HZ, 0.0), Fader(RATE_HZ, 0.0)
    one.turn(1.0)
    other.turn(1.0)

    assert levels(one, 4800, 240) == pytest.approx(levels(other, 4800, 4800), abs=1e-5)


def test_at_once_is_at_once():
    fader = Fader(RATE_HZ, 0.0)
    fader.turn(0.7, at_once=True)

    assert fader.next(PERIOD).tolist() == pytest.approx([0.7])
