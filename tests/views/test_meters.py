"""Bars, figures, and text that a terminal may be given."""

from __future__ import annotations

import math

import pytest

from pivoice.views.meters import bar, decibels, duration, fraction_of, safe


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("plain words, Zürich, 日本語, 👩\u200d🚀", "plain words, Zürich, 日本語, 👩\u200d🚀"),
        ("\x1b[2J\x1b]0;mine\x07", "\ufffd[2J\ufffd]0;mine\ufffd"),
        ("one\r\ntwo\tthree\u2028four", "one  two three four"),
        ("\x9b31m", "\ufffd31m"),  # the escape of eight bits
        ("abc\u202edcba\u2066", "abcdcba"),  # what turns text round
        ("half \ud800", "half \ufffd"),
        ("no\u00a0break", "no break"),
        (5, "5"),
    ],
)
def test_a_terminal_is_given_nothing_that_it_would_obey(given: object, shown: str):
    assert safe(given) == shown
    assert safe(given).encode("utf-8")


def test_every_character_there_is_becomes_one_that_can_be_shown():
    everything = "".join(map(chr, range(0x2FFFF)))

    shown = safe(everything, longest=len(everything))

    assert all(letter.isprintable() or letter in "\u200c\u200d" for letter in shown)


def test_long_text_is_cut_and_says_so():
    assert safe("a" * 30, longest=10) == "a" * 10 + "…"
    assert safe("a" * 10, longest=10) == "a" * 10


@pytest.mark.parametrize(
    ("fraction", "width", "mark", "drawn"),
    [
        (0.0, 4, None, "    "),
        (0.5, 4, None, "██  "),
        (0.53, 4, None, "██▏ "),
        (1.0, 4, None, "████"),
        (7.0, 4, None, "████"),
        (-1.0, 4, None, "    "),
        (math.nan, 4, None, "    "),
        (0.25, 4, 0.5, "█ │ "),
        (0.25, 4, 1.0, "█  │"),
        (0.25, 4, math.nan, "█   "),
        (0.5, 0, 0.5, ""),
        (0.5, -3, None, ""),
    ],
)
def test_a_bar_is_exactly_as_wide_as_asked(fraction: float, width: int, mark: float | None, drawn: str):
    assert bar(fraction, width, mark=mark) == drawn


def test_a_bar_can_be_drawn_without_any_letter_but_ascii():
    assert bar(0.6, 5, mark=0.9, plain=True) == "###.|"


def test_a_meter_ends_where_sound_does():
    assert fraction_of(0.0) == 1.0
    assert fraction_of(6.0) == 1.0
    assert fraction_of(-36.0) == 0.5
    assert fraction_of(-120.0) == 0.0
    assert fraction_of(math.nan) == 0.0


def test_digital_silence_is_told_from_a_quiet_room():
    assert decibels(-120.0) == "zeros"
    assert decibels(-71.4) == "-71 dB"
    assert decibels(math.nan) == "? dB"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (90_061, "1 d 1 h"),
        (-5, "0 s"),
        (math.inf, "0 s"),
    ],
)
def test_a_duration_is_told_in_two_units(seconds: float, shown: str):
    assert duration(seconds) == shown
