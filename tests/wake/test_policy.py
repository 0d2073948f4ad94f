"""The policy that turns scores into one decision."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pivoice.config import WakeConfig
from pivoice.wake.policy import WakePolicy, policy_of

BLOCK_S = 0.08


def decisions(
    scores: list[float | None], *, threshold: float = 0.5, refractory_s: float = 2.0, blocks: int = 1
) -> list[int]:
    """Return at which blocks one model's scores were decided upon; None: nobody scored that block."""
    policy = WakePolicy(threshold=threshold, refractory_s=refractory_s, consecutive_blocks=blocks)
    return [
        n
        for n, score in enumerate(scores)
        if score is not None and policy.decide({"word": score}, n * BLOCK_S)
    ]


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


def test_a_hole_in_the_scores_is_a_quiet_room_and_takes_the_word_again() -> None:
    first, hole, second = [0.9] * 8, [None], [0.9] * 40

    assert decisions([*first, *hole, *second], refractory_s=0.0) == [0, 9]


@pytest.mark.parametrize(("blocks", "at"), [(1, [1]), (2, [2]), (3, [3]), (5, [])])
def test_so_many_blocks_in_a_row_make_a_wake_word(blocks: int, at: list[int]) -> None:
    assert decisions([0.0, 0.6, 0.7, 0.8, 0.9, 0.4, 0.9], blocks=blocks) == at


def test_blocks_are_not_in_a_row_with_a_low_one_or_a_hole_between() -> None:
    assert decisions([0.9, 0.4, 0.9, 0.4, 0.9, None, 0.9, None, 0.9], blocks=2) == []


def test_a_row_that_begins_within_the_refractory_time_counts() -> None:
    scores = [0.9, 0.9, 0.1, *[0.0] * 21, 0.9, 0.9, 0.9]

    assert decisions(scores, refractory_s=2.0, blocks=2) == [1, 26]


def test_each_model_has_its_own_threshold_and_half_of_it_to_fall_below() -> None:
    policy = WakePolicy(threshold=0.5, thresholds={"b": 0.8}, refractory_s=0.0)

    heard = [
        policy.decide({"b": score}, n * BLOCK_S) for n, score in enumerate([0.7, 0.8, 0.45, 0.9, 0.39, 0.9])
    ]

    assert [hit is not None for hit in heard] == [False, True, False, False, False, True]


def test_the_policy_is_as_configured() -> None:
    policy = policy_of(WakeConfig(thresholds={"word": 0.7}, refractory_s=1.0, consecutive_blocks=2))

    scores = [0.6, 0.6, 0.0, 0.7, 0.7, 0.0, 0.7, 0.7, *[0.0] * 10, 0.7, 0.7]  # too soft, word, too soon, word
    heard = [policy.decide({"word": score, "other": 0.0}, n * BLOCK_S) for n, score in enumerate(scores)]

    assert [n for n, hit in enumerate(heard) if hit] == [4, 19]


def test_hours_into_the_sound_blocks_are_still_in_a_row() -> None:
    policy = WakePolicy(threshold=0.5, refractory_s=2.0, consecutive_blocks=2)
    first = 30 * 24 * 3600 * 16_000

    heard = [policy.decide({"word": 0.9}, (first + n * 1280) / 16_000) for n in range(2)]

    assert heard == [None, ("word", 0.9)]


SCORES = st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=120)


@settings(deadline=None)
@given(
    scores=SCORES,
    threshold=st.floats(0.05, 0.95),
    refractory_s=st.floats(0, 4),
    blocks=st.integers(1, 5),
)
def test_two_decisions_are_never_closer_than_the_refractory_time_nor_without_quiet_between(
    scores: list[float | None], threshold: float, refractory_s: float, blocks: int
) -> None:
    taken = decisions(scores, threshold=threshold, refractory_s=refractory_s, blocks=blocks)

    for n in taken:
        row = scores[n - blocks + 1 : n + 1]
        assert len(row) == blocks and all(score is not None and score >= threshold for score in row)
    for before, after in itertools.pairwise(taken):
        assert after * BLOCK_S - before * BLOCK_S >= refractory_s
        assert any(score is None or score < threshold / 2 for score in scores[before:after])


@settings(deadline=None)
@given(scores=SCORES, threshold=st.floats(0.05, 0.95))
def test_more_blocks_in_a_row_never_wake_earlier_nor_where_fewer_would_not(
    scores: list[float | None], threshold: float
) -> None:
    first = [
        min(decisions(scores, threshold=threshold, blocks=blocks), default=len(scores))
        for blocks in range(1, 6)
    ]

    assert first == sorted(first)


@settings(deadline=None)
@given(scores=st.lists(st.floats(0, 1), max_size=60))
def test_models_that_share_no_blocks_decide_as_each_would_alone(scores: list[float]) -> None:
    alone = decisions(list(scores), refractory_s=0.0)
    policy = WakePolicy(threshold=0.5, refractory_s=0.0)

    together = [
        n for n, score in enumerate(scores) if policy.decide({"word": score, "other": 0.0}, n * BLOCK_S)
    ]

    assert together == alone
