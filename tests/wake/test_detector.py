"""The policy that turns scores into one decision, and the table of engines."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pivoice.config import WakeConfig
from pivoice.errors import ConfigError
from pivoice.wake.detector import WakePolicy, open_detector

BLOCK_S = 0.08


def decisions(scores: list[float], *, threshold: float = 0.5, refractory_s: float = 2.0) -> list[int]:
    """Return at which blocks one model's scores were decided upon."""
    policy = WakePolicy(threshold=threshold, refractory_s=refractory_s)
    return [n for n, score in enumerate(scores) if policy.decide({"word": score}, n * BLOCK_S)]


def test_one_block_at_the_threshold_is_the_wake_word() -> None:
    policy = WakePolicy(threshold=0.5, refractory_s=2.0)

    assert policy.decide({"word": 0.49}, 0.0) is None
    assert policy.decide({"word": 0.5}, 0.08) == ("word", 0.5)


def test_one_utterance_is_one_decision_however_long_it_stays_above() -> None:
    assert decisions([0.0] + [0.9] * 100) == [1]


def test_wavering_around_the_threshold_does_not_decide_again() -> None:
    assert decisions([0.6, 0.4] * 50) == [0]


def test_having_fallen_below_half_the_threshold_the_word_is_taken_again_after_the_refractory_time() -> None:
    first, gap, second = [0.9] * 8, [0.1] * 22, [0.9] * 8

    assert decisions(first + gap + second) == [0, 30]


def test_no_second_word_is_taken_within_the_refractory_time() -> None:
    assert decisions([0.9, 0.1, 0.9, 0.1]) == [0]


def test_the_refractory_time_counts_for_every_model() -> None:
    policy = WakePolicy(threshold=0.5, refractory_s=2.0)
    policy.decide({"a": 0.9, "b": 0.0}, 0.0)

    assert policy.decide({"a": 0.0, "b": 0.9}, 1.0) is None
    assert policy.decide({"a": 0.0, "b": 0.9}, 2.0) == ("b", 0.9)


def test_of_two_models_the_surer_one_is_named_and_the_other_is_spent_too() -> None:
    policy = WakePolicy(threshold=0.5, refractory_s=0.0)

    assert policy.decide({"a": 0.6, "b": 0.8}, 0.0) == ("b", 0.8)
    assert policy.decide({"a": 0.9, "b": 0.8}, 0.08) is None


@given(
    scores=st.lists(st.floats(0, 1), max_size=120),
    threshold=st.floats(0.05, 0.95),
    refractory_s=st.floats(0, 4),
)
def test_two_decisions_are_never_closer_than_the_refractory_time_nor_without_a_quiet_block_between(
    scores: list[float], threshold: float, refractory_s: float
) -> None:
    taken = decisions(scores, threshold=threshold, refractory_s=refractory_s)

    assert all(scores[n] >= threshold for n in taken)
    for before, after in itertools.pairwise(taken):
        assert after * BLOCK_S - before * BLOCK_S >= refractory_s
        assert min(scores[before:after]) < threshold / 2


def test_engine_none_needs_no_model() -> None:
    assert open_detector(WakeConfig(engine="none", models=[])) is None


def test_the_configured_engine_is_opened_with_its_models() -> None:
    detector = open_detector(WakeConfig(models=["hey_jarvis", "alexa"]))

    assert detector is not None
    assert detector.models == ("hey_jarvis", "alexa")


def test_a_model_that_is_missing_stops_the_opening() -> None:
    with pytest.raises(ConfigError, match="no wake word 'computer'"):
        open_detector(WakeConfig(models=["computer"]))
