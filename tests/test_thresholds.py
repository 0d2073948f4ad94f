"""What threshold is proposed for which scores, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pivoice.config import WakeConfig
from pivoice.thresholds import GRID, Proposal, Take, peak_of, propose
from pivoice.wake.policy import policy_of

BLOCK_S = 0.08


def take(*scores: float) -> Take:
    """Return a take whose blocks scored so, one after the other."""
    blocks = tuple((n * BLOCK_S, {"word": score}) for n, score in enumerate(scores, 1))
    return Take(blocks, len(scores) * BLOCK_S)


def word(peak: float) -> Take:
    return take(0.01, peak / 2, peak, peak, peak / 3, 0.01)


def proposed(
    peaks: Sequence[float], noise: Sequence[float] = (0.01,), wake: WakeConfig | None = None
) -> Proposal:
    apart = [score for peak in noise for score in (peak, *[0.0] * 40)]
    return propose("word", [word(peak) for peak in peaks], [take(*apart)], wake or WakeConfig())


@pytest.mark.parametrize(
    ("peaks", "noise", "threshold"),
    [
        ([0.99] * 10, [0.02], 0.50),  # what is in force does as well
        ([0.62] * 10, [0.02], 0.50),
        ([0.99] * 10, [0.52], 0.75),  # a loud room: the middle of 0.55 ... 0.90
        ([0.57] * 10, [0.02], 0.45),  # a soft voice; a minute shows nothing of what is below 0.30
        ([0.42] * 10, [0.02], 0.35),
        ([0.22] * 10, [0.02], 0.15),  # nothing above 0.3 would do
        ([0.99] * 9 + [0.04], [0.02], 0.50),  # one that was mumbled does not pull the others down
    ],
)
def test_the_threshold_lies_midway_between_the_softest_word_and_the_loudest_noise(
    peaks: list[float], noise: list[float], threshold: float
):
    assert proposed(peaks, noise).threshold == threshold


def test_what_is_in_force_stays_only_with_something_to_spare():
    def with_threshold(threshold: float) -> float | None:
        return proposed([0.99] * 10, [0.32], WakeConfig(threshold=threshold)).threshold

    assert [with_threshold(each) for each in (0.1, 0.4, 0.52, 0.85, 0.95)] == [0.65, 0.65, 0.52, 0.85, 0.65]


def test_what_is_in_force_below_what_is_proven_does_not_stay():
    given = proposed([0.99] * 10, wake=WakeConfig(threshold=0.2))

    assert given.threshold is not None and given.threshold >= 0.3


def test_of_two_stretches_that_do_as_well_the_higher_is_proposed():
    peaks = [0.42, 0.47, 0.47, *[0.68] * 7]  # 0.30 ... 0.40: one false wake; 0.55 ... 0.65: three missed

    assert proposed(peaks, [0.52]).threshold == 0.60


def test_noise_that_comes_again_within_the_refractory_time_wakes_once_as_in_the_daemon():
    noise = take(0.9, *[0.0] * 10, 0.9, *[0.0] * 10)

    def false_wakes(refractory_s: float) -> int:
        return propose("word", [], [noise], WakeConfig(refractory_s=refractory_s)).in_force.false_wakes

    assert [false_wakes(each) for each in (2.0, 0.5)] == [1, 2]


def test_where_both_cannot_be_had_a_false_wake_weighs_as_three_missed_words():
    two_lost = proposed([0.4, 0.4, *[0.95] * 8], [0.6])
    five_lost = proposed([*[0.4] * 5, *[0.95] * 5], [0.6])

    assert two_lost.threshold == 0.8 and five_lost.threshold == 0.35
    assert "at 0.40 it would have missed none, with 1 false wake" in two_lost.remarks
    assert "from 0.65 on no noise would have woken it, with 5 of 10 missed" in five_lost.remarks
    assert any("consecutive_blocks = 2" in remark for remark in five_lost.remarks)


def test_noise_that_no_threshold_keeps_out_is_told():
    assert "no threshold keeps all of that noise out" in proposed([0.95] * 10, [0.97, 0.97]).remarks


def test_words_missed_at_any_threshold_are_told():
    assert "2 of 10 would have been missed at any threshold" in proposed([0.9] * 8 + [0.03] * 2).remarks


def test_a_word_never_heard_gives_no_proposal():
    nothing = proposed([0.05] * 10)

    assert nothing.threshold is None and nothing.rows[0].missed == 10


def test_the_table_counts_what_the_policy_decides():
    given = proposed([0.35, 0.55, 0.95], [0.62, 0.42, 0.31])

    counts = {row.threshold: (row.missed, row.false_wakes) for row in given.rows}
    assert [counts[each] for each in (0.3, 0.4, 0.5, 0.6, 0.7)] == [(0, 3), (1, 2), (1, 1), (2, 1), (2, 0)]
    assert (given.in_force.threshold, given.in_force.missed, given.in_force.false_wakes) == (0.5, 1, 1)


def test_blocks_in_a_row_count_as_in_the_daemon():
    wake = WakeConfig(consecutive_blocks=2)
    spike = take(0.0, 0.9, 0.3, 0.0)

    assert peak_of(spike, "word", WakeConfig()) == 0.9
    assert peak_of(spike, "word", wake) == 0.3
    assert propose("word", [word(0.9)], [spike], wake).rows[GRID.index(0.5)].false_wakes == 0


def test_recordings_without_noise_to_compare_say_so():
    remarks = propose("word", [word(0.9)] * 3, [], WakeConfig()).remarks

    assert any("3 times is not often" in remark for remark in remarks)
    assert any("false wakes are unknown" in remark for remark in remarks)


def test_a_clean_result_needs_no_remark():
    assert proposed([0.99] * 10).remarks == ()


SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=40)


@settings(max_examples=50)
@given(scores=SCORES, blocks=st.integers(1, 4))
def test_the_peak_is_the_highest_threshold_that_wakes(scores: list[float], blocks: int):
    wake = WakeConfig(consecutive_blocks=blocks)
    heard = take(*scores)

    peak = peak_of(heard, "word", wake)

    def wakes(threshold: float) -> bool:
        policy = policy_of(WakeConfig(threshold=threshold, consecutive_blocks=blocks))
        return any(policy.decide(each, at_s) for at_s, each in heard.blocks)

    assert peak == 0.0 or wakes(peak)
    assert not any(wakes(score) for score in scores if score > peak)


@settings(max_examples=50)
@given(words=st.lists(SCORES, min_size=1, max_size=6), noise=st.lists(SCORES, max_size=3))
def test_no_other_threshold_of_the_table_weighs_less_than_the_proposed(
    words: list[list[float]], noise: list[list[float]]
):
    given = propose("word", [take(*each) for each in words], [take(*each) for each in noise], WakeConfig())

    assert [row.missed for row in given.rows] == sorted(row.missed for row in given.rows)
    if given.threshold is None:
        assert given.rows[0].missed == len(words)
    else:
        (chosen,) = [row for row in given.rows if row.threshold == given.threshold]
        assert chosen.weight == min(row.weight for row in given.rows)
