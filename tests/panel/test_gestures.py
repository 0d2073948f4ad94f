"""From edges to gestures, in numbers alone."""

from __future__ import annotations

import pytest

from pivoice.panel.gestures import Contact, Gesture, Gestures

PRESS, PRESS_OVER = Gesture("press"), Gesture("press", is_over=True)
DOUBLE, DOUBLE_OVER = Gesture("double"), Gesture("double", is_over=True)
HOLD, HOLD_OVER = Gesture("hold"), Gesture("hold", is_over=True)


def played(gestures: Gestures, moves: str) -> list[tuple[float, Gesture]]:
    """Return what came of "v0 ^0.2": down at 0, up at 0.2; deadlines are told to the moment."""
    found: list[tuple[float, Gesture]] = []
    for move in [*moves.split(), "-99"]:
        at_s = float(move[1:])
        while gestures.deadline_s is not None and gestures.deadline_s < at_s:
            due_s = gestures.deadline_s
            found += [(due_s, each) for each in gestures.passed(due_s)]
        if move[0] != "-":
            found += [(at_s, each) for each in gestures.moved(move[0] == "v", at_s)]
    return found


def test_a_plain_press_is_told_when_the_button_goes_down():
    found = played(Gestures(hold_s=None, double_s=None), "v0 ^5")

    assert found == [(0, PRESS), (5, PRESS_OVER)]


def test_a_press_that_may_become_a_hold_is_told_on_release():
    found = played(Gestures(hold_s=1.0, double_s=None), "v0 ^0.9")

    assert found == [(0.9, PRESS), (0.9, PRESS_OVER)]


def test_a_hold_is_told_while_the_button_is_still_down_and_is_no_press():
    found = played(Gestures(hold_s=1.0, double_s=None), "v0 ^3 v4 ^4.1")

    assert found == [(1, HOLD), (3, HOLD_OVER), (4.1, PRESS), (4.1, PRESS_OVER)]


def test_two_presses_are_a_double_one_at_the_second_down_and_no_press():
    found = played(Gestures(hold_s=None, double_s=0.4), "v0 ^0.1 v0.4 ^2")

    assert found == [(0.4, DOUBLE), (2, DOUBLE_OVER)]


def test_a_press_that_stays_alone_is_told_once_the_time_for_another_is_over():
    found = played(Gestures(hold_s=None, double_s=0.4), "v0 ^0.1 v0.6 ^0.7")

    assert found == [
        (0.5, PRESS),
        (0.5, PRESS_OVER),
        (pytest.approx(1.1), PRESS),
        (pytest.approx(1.1), PRESS_OVER),
    ]


def test_three_presses_are_a_double_one_and_a_press():
    found = played(Gestures(hold_s=None, double_s=0.4), "v0 ^0.1 v0.2 ^0.3 v0.4 ^0.5")

    assert [gesture.kind for _, gesture in found if not gesture.is_over] == ["double", "press"]


def test_a_double_press_that_is_held_is_no_hold():
    found = played(Gestures(hold_s=1.0, double_s=0.4), "v0 ^0.1 v0.2 ^3")

    assert found == [(0.2, DOUBLE), (3, DOUBLE_OVER)]


def test_a_hold_after_a_press_that_stayed_alone_is_both():
    found = played(Gestures(hold_s=1.0, double_s=0.4), "v0 ^0.1 v1 ^3")

    assert found == [(0.5, PRESS), (0.5, PRESS_OVER), (2, HOLD), (3, HOLD_OVER)]


def test_without_a_hold_a_long_press_is_a_press():
    found = played(Gestures(hold_s=None, double_s=0.4), "v0 ^7")

    assert [at_s for at_s, gesture in found if gesture == PRESS] == [7.4]


@pytest.mark.parametrize("double_s", [None, 0.4])
def test_a_release_of_what_was_down_before_is_nothing(double_s: float | None):
    assert played(Gestures(hold_s=1.0, double_s=double_s), "^0.1") == []


def test_a_caller_who_is_late_gets_what_would_have_been():
    """Down, up, down: all told after a second in which nobody could look."""
    gestures = Gestures(hold_s=0.5, double_s=0.4)

    found = [*gestures.moved(True, 0.0), *gestures.moved(False, 0.2), *gestures.moved(True, 0.9)]

    assert found == [PRESS, PRESS_OVER]
    assert gestures.passed(1.5) == [HOLD]


def test_what_is_forgotten_comes_to_nothing():
    gestures = Gestures(hold_s=1.0, double_s=None)
    gestures.moved(True, 0.0)

    gestures.forget()

    assert gestures.deadline_s is None
    assert gestures.moved(False, 0.2) == []


def test_a_contact_that_bounces_moves_once():
    contact = Contact(0.02)

    changes = [change for at_ms in range(9) for change in contact.moved(at_ms % 2 == 0, at_ms / 1000)]

    assert changes == [(True, 0.0)]
    assert contact.deadline_s == 0.02
    assert contact.passed(0.02) == []
    assert contact.deadline_s is None


def test_a_contact_is_left_at_the_level_it_bounced_to():
    contact = Contact(0.02)
    contact.moved(True, 0.0)

    assert contact.moved(False, 0.005) == []
    assert contact.passed(0.019) == []
    assert contact.passed(0.02) == [(False, 0.02)]


def test_a_bounce_that_nobody_looked_at_in_time_is_settled_by_the_next_move():
    contact = Contact(0.02)
    contact.moved(True, 0.0)
    contact.moved(False, 0.005)

    assert contact.moved(True, 0.5) == [(False, 0.02), (True, 0.5)]


def test_a_contact_without_a_time_tells_every_move():
    contact = Contact(0.0)

    assert [contact.moved(level, 0.0) for level in (True, False, True)] == [
        [(True, 0.0)],
        [(False, 0.0)],
        [(True, 0.0)],
    ]


def test_of_a_contact_whose_level_is_not_known_any_is_news():
    contact = Contact(0.02, is_down=None)

    assert contact.moved(False, 1.0) == [(False, 1.0)]
    assert contact.moved(False, 2.0) == []
