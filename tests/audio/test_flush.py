"""Three hundred cuts in vowels, where nothing hides a click: how a reply ends that is taken back."""

from __future__ import annotations

import pytest

from tests.support.cuts import Cut, cut_replies, summary


@pytest.fixture(scope="module")
def cuts(tmp_path_factory: pytest.TempPathFactory) -> list[Cut]:
    return cut_replies(tmp_path_factory.mktemp("loud"), count=300)


@pytest.fixture(scope="module")
def ducked(tmp_path_factory: pytest.TempPathFactory) -> list[Cut]:
    return cut_replies(tmp_path_factory.mktemp("ducked"), count=60, seed=5, ducked=True)


def test_no_cut_is_heard_as_a_click(cuts: list[Cut]):
    figures = summary(cuts)

    assert figures["cuts"] == 300
    assert max(cut.rise_db for cut in cuts) <= 0.0, figures


def test_a_cut_lasts_no_longer_than_what_the_card_holds_and_10_ms(cuts: list[Cut]):
    assert all(0.02 <= cut.held_s <= 0.04 for cut in cuts)
    assert max(cut.excess_s for cut in cuts) <= 0.010, summary(cuts)


def test_a_ducked_reply_is_cut_as_well_as_a_loud_one(ducked: list[Cut]):
    assert max(cut.rise_db for cut in ducked) <= 0.0, summary(ducked)
    assert max(cut.excess_s for cut in ducked) <= 0.010, summary(ducked)
