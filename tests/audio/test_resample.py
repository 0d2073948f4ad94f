"""Resampling in a stream: exact over any chunking, aligned in time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pivoice.audio.pcm import Samples
from pivoice.audio.resample import Resampler, resampled
from tests.audio.fakes import noise, tone

RATES = [(48000, 16000), (44100, 16000), (16000, 24000), (24000, 48000), (24000, 44100), (24000, 16000)]


def streamed(samples: Samples, sizes: list[int], stream: Resampler) -> Samples:
    """Feed `samples` in pieces of `sizes`, over and over."""
    pieces, start, turn = [], 0, 0
    while start < len(samples):
        size = sizes[turn % len(sizes)]
        pieces.append(stream.process(samples[start : start + size]))
        start, turn = start + size, turn + 1
    return np.concatenate(pieces)


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(RATES), st.lists(st.integers(1, 2000), min_size=1, max_size=6))
def test_any_chunking_gives_the_same_samples(rates: tuple[int, int], sizes: list[int]):
    sound = noise(0.25, rates[0])

    in_pieces = streamed(sound, sizes, Resampler(*rates))
    at_once = Resampler(*rates).process(sound)

    shared = min(len(in_pieces), len(at_once))
    assert abs(len(in_pieces) - len(at_once)) <= 1
    assert np.abs(in_pieces[:shared].astype(int) - at_once[:shared]).max() <= 1


@pytest.mark.parametrize("rates", RATES)
def test_every_period_after_the_first_gives_one_period(rates: tuple[int, int]):
    stream = Resampler(*rates)
    sound = noise(1.0, rates[0])
    period = rates[0] // 50

    counts = [len(stream.process(sound[start : start + period])) for start in range(0, len(sound), period)]

    assert set(counts[1:]) == {rates[1] // 50}
    assert 0 < rates[1] // 50 - counts[0] <= rates[1] * 0.0013  # held back: about 1 ms


@pytest.mark.parametrize("rates", RATES)
def test_content_is_not_shifted(rates: tuple[int, int]):
    out = streamed(tone(0.5, rates[0]), [rates[0] // 50], Resampler(*rates))

    expected = tone(0.5, rates[1])[: len(out)]

    inner = slice(100, -100)
    assert np.abs(out[inner].astype(int) - expected[inner]).max() <= 2


def test_equal_rates_give_the_same_samples_at_once():
    sound = noise(0.1, 24000)

    assert np.array_equal(Resampler(24000, 24000).process(sound), sound)


def test_a_flush_gives_what_was_held_back_and_begins_anew():
    stream = Resampler(24000, 48000)
    sound = tone(0.1, 24000)

    first = np.concatenate([stream.process(sound), stream.flush()])
    second = np.concatenate([stream.process(sound), stream.flush()])

    assert len(first) == 2 * len(sound)
    assert np.array_equal(first, second)


def test_loud_sound_is_clipped_and_does_not_wrap():
    square = np.where(np.arange(4800) // 24 % 2, 32767, -32768).astype(np.int16)

    out = resampled(square, 24000, 48000)

    steps = np.abs(np.diff(out.astype(int)))
    assert steps.max() < 60000
    assert out.max() == 32767
    assert out.min() == -32768
