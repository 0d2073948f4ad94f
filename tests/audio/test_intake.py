"""Sound laid by and asked for later is the sound that would have been there, at the same positions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pivoice.audio.buffers import EAR_HZ
from pivoice.audio.echo import WebrtcStage
from pivoice.audio.gate import HalfDuplexGate
from pivoice.audio.intake import RING_S, Intake
from pivoice.audio.pcm import Samples
from pivoice.audio.reference import Reference
from pivoice.audio.stage import EchoStage
from tests.audio.fakes import noise

RATES = [16000, 22050, 32000, 44100, 48000]


def stage_at_rest() -> EchoStage:
    return WebrtcStage(Reference(), HalfDuplexGate())


def opened(rate_hz: int, echo: EchoStage | None = None) -> Intake:
    intake = Intake(echo)
    intake.open(rate_hz)
    return intake


def periods(seconds: float, rate_hz: int, frames: int) -> Iterator[Samples]:
    sound = noise(seconds, rate_hz)
    for at in range(0, len(sound) - frames + 1, frames):
        yield sound[at : at + frames]


def expect_same(lazy: Intake, eager: Intake, *, tolerance: int) -> None:
    """Assert that what is in the one ring is in the other too, where it should be."""
    assert lazy.ring.end == eager.ring.end
    start = lazy.ring.start
    assert start >= eager.ring.start
    there, expected = lazy.ring.since(start), eager.ring.since(start)
    assert np.abs(there.astype(int) - expected).max(initial=0) <= tolerance
    assert np.array_equal(lazy.ring.ear(start, lazy.ring.end), there)


@pytest.mark.parametrize("with_stage", [False, True])
@pytest.mark.parametrize("rate_hz", RATES)
@settings(deadline=None, max_examples=5)
@given(
    acts=st.lists(st.tuples(st.sampled_from(["take", "lay by"]), st.integers(1, 300)), max_size=6),
    within_s=st.sampled_from([2.5, RING_S]),
    frames_ms=st.sampled_from([20, 10, 21.333, 80]),
)
def test_laid_by_and_caught_up_is_as_good_as_taken(
    rate_hz: int, with_stage: bool, acts: list[tuple[str, int]], within_s: float, frames_ms: float
) -> None:
    lazy, eager = (opened(rate_hz, stage_at_rest() if with_stage else None) for _ in range(2))
    sound = periods(60, rate_hz, round(frames_ms * rate_hz / 1000))

    first = next(sound)  # how a stage fills up its first step depends on how much that is
    lazy.take(first, start_s=0.0)
    eager.take(first, start_s=0.0)

    for act, count in acts:
        for _, period in zip(range(count), sound, strict=False):
            eager.take(period, start_s=0.0)
            if act == "lay by":
                lazy.lay_by(period)
            else:
                if lazy.is_behind:
                    lazy.catch_up(within_s)
                lazy.take(period, start_s=0.0)
    lazy.catch_up(within_s)

    there_s = (lazy.ring.end - lazy.ring.start) / EAR_HZ
    heard_s = eager.ring.end / EAR_HZ
    assert there_s >= min(within_s - 0.04, heard_s)
    # 44.1 kHz: the resampler counts in floats, and may round a sample the other way
    expect_same(lazy, eager, tolerance=0 if EAR_HZ % rate_hz == 0 or rate_hz % EAR_HZ == 0 else 1)


@pytest.mark.parametrize("rate_hz", RATES)
def test_closed_while_much_is_laid_by_the_position_goes_on(rate_hz: int) -> None:
    intake = opened(rate_hz)
    for period in periods(30, rate_hz, rate_hz // 50):
        intake.lay_by(period)
    before = intake.position

    intake.clear()

    assert intake.position == intake.ring.end == intake.ring.start == before


def test_of_a_stretch_that_is_partly_gone_the_ring_gives_what_is_left_and_no_other_sound() -> None:
    intake, sound = opened(EAR_HZ), noise(7, EAR_HZ)
    intake.take(sound, start_s=0.0)
    first = intake.ring.start
    assert first == round((7 - RING_S) * EAR_HZ)

    assert np.array_equal(intake.ring.ear(100, 3 * EAR_HZ), sound[first : 3 * EAR_HZ])
    assert not len(intake.ring.ear(100, first - 100))
