"""The light: one order of priority, and every pattern tellable from every other."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pivoice.panel.patterns import IDLE_FAULTS, PATTERNS, Pattern, brightness, pattern_for

STATES = ("idle", "listening", "thinking", "speaking", "yielding")
LINKS = ("down", "connecting", "up")
CONDITIONS = (*IDLE_FAULTS, "ringing", "reconnecting", "starting", "something_new")

states = st.sampled_from(STATES)
links = st.sampled_from(LINKS)
conditions = st.frozensets(st.sampled_from(CONDITIONS))
patterns = st.sampled_from(sorted(PATTERNS.values(), key=lambda each: each.name))


def name(state: str, link: str = "up", *, muted: bool = False, having: tuple[str, ...] = ()) -> str:
    return pattern_for(state, link, muted, frozenset(having)).name


@pytest.mark.parametrize(
    ("state", "link", "shown"),
    [
        ("starting", "down", "starting"),
        ("idle", "down", "idle"),
        ("listening", "connecting", "connecting"),
        ("listening", "up", "listening"),
        ("thinking", "up", "thinking"),
        ("thinking", "connecting", "connecting"),
        ("speaking", "up", "speaking"),
        ("speaking", "down", "speaking"),
        ("yielding", "up", "yielding"),
    ],
)
def test_without_faults_the_light_shows_the_turn(state: str, link: str, shown: str) -> None:
    assert name(state, link) == shown


@given(states, links, conditions)
def test_muted_is_shown_whatever_else_is_the_case(state: str, link: str, having: frozenset[str]) -> None:
    assert pattern_for(state, link, True, having).name == "muted"


@given(states, links, conditions)
def test_only_a_muted_light_is_steady(state: str, link: str, having: frozenset[str]) -> None:
    assert pattern_for(state, link, False, having).style != "solid"


def test_muted_is_steady_red() -> None:
    muted = PATTERNS["muted"]

    assert (muted.colour, muted.style) == ((1.0, 0.0, 0.0), "solid")


@given(states, links, conditions)
def test_the_light_is_off_only_when_idle_without_faults(
    state: str, link: str, having: frozenset[str]
) -> None:
    if pattern_for(state, link, False, having).style == "off":
        assert state == "idle"
        assert not having & {*IDLE_FAULTS, "ringing", "starting"}


def test_ringing_is_shown_over_everything_but_mute() -> None:
    assert name("idle", having=("ringing", "no_network")) == "ringing"
    assert name("speaking", having=("ringing",)) == "ringing"


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(IDLE_FAULTS, 2)))
def test_of_two_faults_the_one_nearer_to_the_user_is_shown(first: str, second: str) -> None:
    assert name("idle", "down", having=(first, second)) == first


def test_a_conversation_hides_faults_but_a_lost_microphone_while_the_user_should_speak() -> None:
    assert name("speaking", having=("no_microphone", "no_network", "cap")) == "speaking"
    assert name("listening", having=("cap",)) == "listening"
    assert name("listening", having=("no_microphone",)) == "no_microphone"


def test_a_link_that_comes_back_is_told_from_a_new_one() -> None:
    assert name("listening", "connecting", having=("reconnecting",)) == "reconnecting"
    assert name("thinking", "connecting", having=("reconnecting",)) == "reconnecting"


def test_a_state_without_a_light_is_a_mistake_of_ours() -> None:
    with pytest.raises(AssertionError, match="no light for the state 'dreaming'"):
        name("dreaming")


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(sorted(PATTERNS), 2)))
def test_two_patterns_differ_on_an_led_of_one_colour(one: str, other: str) -> None:
    def course(pattern: str) -> list[float]:
        return [brightness(PATTERNS[pattern], nth * 0.05) for nth in range(80)]

    assert max(abs(a - b) for a, b in zip(course(one), course(other), strict=True)) > 0.5


@given(patterns, st.floats(0, 1e6))
def test_brightness_is_a_fraction_at_every_moment(pattern: Pattern, elapsed_s: float) -> None:
    assert 0.0 <= brightness(pattern, elapsed_s) <= 1.0


@pytest.mark.parametrize("shown", ["listening", "speaking", "yielding"])
def test_breathing_is_never_dark(shown: str) -> None:
    assert min(brightness(PATTERNS[shown], nth * 0.02) for nth in range(200)) >= 0.25


@pytest.mark.parametrize(
    ("shown", "flashes"),
    [("no_network", 1), ("no_microphone", 2), ("no_speaker", 3), ("bad_key", 4), ("cap", 5)],
)
def test_faults_are_told_apart_by_counting_flashes(shown: str, flashes: int) -> None:
    course = [brightness(PATTERNS[shown], nth * 0.04) for nth in range(100)]

    assert sum(now > before for before, now in zip([0.0, *course], course, strict=False)) == flashes
