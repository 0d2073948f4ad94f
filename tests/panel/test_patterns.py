"""The light: one order of priority, and every pattern tellable from every other."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pivoice.panel.patterns import (
    IDLE_BREATH,
    IDLE_FAULTS,
    PATTERNS,
    PRIORITY,
    Pattern,
    as_configured,
    brightness,
    followed,
    frame_s,
    is_lit,
    pattern_for,
    picture,
)

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
    assert name("idle", having=("ringing", "starting")) == "ringing"


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


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(sorted(PATTERNS), 2)))
def test_two_patterns_differ_on_a_lamp_that_is_on_or_off(one: str, other: str) -> None:
    def course(pattern: str) -> list[bool]:
        return [is_lit(PATTERNS[pattern], nth * 0.01) for nth in range(900)]

    assert sum(a != b for a, b in zip(course(one), course(other), strict=True)) > 20


@given(patterns, st.floats(0, 1e6))
def test_brightness_is_a_fraction_at_every_moment(pattern: Pattern, elapsed_s: float) -> None:
    assert 0.0 <= brightness(pattern, elapsed_s) <= 1.0


@pytest.mark.parametrize("shown", ["listening", "speaking", "yielding"])
def test_breathing_is_never_dark(shown: str) -> None:
    assert min(brightness(PATTERNS[shown], nth * 0.02) for nth in range(200)) >= 0.2


@pytest.mark.parametrize(
    ("shown", "flashes"),
    [("no_network", 1), ("no_microphone", 2), ("no_speaker", 3), ("bad_key", 4), ("cap", 5)],
)
def test_faults_are_told_apart_by_counting_flashes(shown: str, flashes: int) -> None:
    course = [brightness(PATTERNS[shown], nth * 0.04) for nth in range(100)]

    assert sum(now > before for before, now in zip([0.0, *course], course, strict=False)) == flashes


AUDIBLE = ("listening", "connecting", "reconnecting", "thinking", "speaking", "yielding")
PULSE_S = 0.8  # the longest dark half of a pulse


@pytest.mark.parametrize("shown", AUDIBLE)
@pytest.mark.parametrize("kind", ["led", "ring", "lamp"])
def test_while_audio_may_leave_no_light_is_dark_for_longer_than_a_pulse(shown: str, kind: str) -> None:
    def is_dark(elapsed_s: float) -> bool:
        if kind == "lamp":
            return not is_lit(PATTERNS[shown], elapsed_s)
        return max(picture(PATTERNS[shown], elapsed_s, 0.0, 1 if kind == "led" else 12)) < 0.1

    dark = "".join("x" if is_dark(nth * 0.01) else " " for nth in range(1000))

    assert max(len(part) for part in dark.split(" ")) * 0.01 <= PULSE_S + 0.01


@given(patterns, st.floats(0, 1), st.integers(1, 12))
def test_whatever_is_heard_nothing_but_mute_and_dark_stands_still(
    pattern: Pattern, level: float, pixels: int
) -> None:
    course = [picture(pattern, nth * 0.02, level, pixels) for nth in range(230)]

    swing = max(max(each) - min(each) for each in zip(*course, strict=True))
    assert swing == 0 if pattern.name in ("muted", "idle") else swing > 0.08


@given(patterns, st.floats(0, 1e6), st.floats(0, 1), st.integers(1, 300))
def test_a_picture_has_a_fraction_for_every_pixel(
    pattern: Pattern, elapsed_s: float, level: float, pixels: int
) -> None:
    shown = picture(pattern, elapsed_s, level, pixels)

    assert len(shown) == pixels
    assert all(0.0 <= part <= 1.0 for part in shown)


def test_how_loud_it_hears_shows_as_an_arc_that_grows_from_the_middle() -> None:
    def arc(level: float) -> int:
        return sum(part > 0.5 for part in picture(PATTERNS["listening"], 0.0, level, 12))

    assert [arc(level) for level in (0.0, 0.2, 0.5, 1.0)] == [0, 1, 5, 12]
    assert picture(PATTERNS["listening"], 0.0, 0.2, 12)[6] > 0.5


def test_a_single_light_grows_brighter_with_what_it_follows_and_no_other_does() -> None:
    def gain(shown: str) -> float:
        return brightness(PATTERNS[shown], 0.3, 1.0) - brightness(PATTERNS[shown], 0.3, 0.0)

    assert gain("listening") > 0.3
    assert gain("speaking") > 0.2
    assert all(gain(name) == 0 for name, each in PATTERNS.items() if not each.follows)
    assert (PATTERNS["listening"].follows, PATTERNS["speaking"].follows) == ("microphone", "speaker")


def test_a_comet_goes_round_once_a_period() -> None:
    heads = []
    for nth in range(12):
        shown = picture(PATTERNS["thinking"], (nth + 0.01) * 0.8 / 12, 0.0, 12)
        heads.append(shown.index(max(shown)))

    assert heads == list(range(12))


@given(patterns, st.floats(0, 100))
def test_until_a_frame_is_over_a_blinking_or_steady_picture_stays_as_it_is(
    pattern: Pattern, elapsed_s: float
) -> None:
    if pattern.style in ("breathe", "pulse"):
        return
    lasts_s = min(frame_s(pattern, elapsed_s), 10.0)
    shown = picture(pattern, elapsed_s, 0.0, 3)

    assert lasts_s > 0
    for share in (0.1, 0.5, 0.9):
        if lasts_s > 1e-4:
            assert picture(pattern, elapsed_s + share * (lasts_s - 1e-5), 0.0, 3) == shown


def test_moving_pictures_change_25_times_a_second_at_most_and_a_slow_breath_10() -> None:
    moving = {
        name: frame_s(each, 0.2) for name, each in PATTERNS.items() if each.style in ("breathe", "pulse")
    }

    assert min(moving.values()) == 0.04
    assert frame_s(IDLE_BREATH, 0.2) == 0.1


def test_loudness_rises_quickly_falls_slowly_and_stays_within_bounds() -> None:
    loud = followed(0.0, 0.0, 0.04)

    assert loud > 0.6
    assert followed(1.0, -120.0, 0.04) > 0.8
    assert followed(1.0, 40.0, 60.0) == 1.0
    assert followed(0.0, -120.0, 60.0) == 0.0
    assert followed(0.0, -32.5, 60.0) == pytest.approx(0.5)


def test_the_owner_chooses_colours_but_not_that_of_mute() -> None:
    table = as_configured({"listening": "#00ffff", "muted": "#00ff00", "nothing": "#ffffff"}, "dark")

    assert table["listening"].colour == (0.0, 1.0, 1.0)
    assert table["muted"] == PATTERNS["muted"]
    assert table.keys() == PATTERNS.keys()


def test_waiting_is_dark_or_a_faint_breath() -> None:
    dark, breath = (as_configured({}, idle)["idle"] for idle in ("dark", "breath"))
    course = [brightness(breath, nth * 0.1) for nth in range(80)]

    assert dark.style == "off"
    assert 0.1 < max(course) <= 0.2
    assert min(course) == 0


def test_every_pattern_has_its_place_in_the_order_and_its_meaning() -> None:
    assert {rule.pattern for rule in PRIORITY} == PATTERNS.keys()
    assert all(each.means for each in PATTERNS.values())
