"""What the light shows. PURE: from the machine's joint state to a pattern, and from a pattern to brightness.

One order of priority, highest first:

1. muted: steady red. Nothing hides it, and nothing else is steady: a light that stands still means
   "the microphone is closed", on a single-colour LED too.
2. ringing: somebody must answer now.
3. starting.
4. in a conversation: no_microphone while the user has the floor (the device waits for words it cannot
   hear), then reconnecting, then connecting, then the turn itself.
5. idle: no_microphone, no_speaker, bad_key, refused, no_network, cap: the one nearest to the user first.
   Else dark.

While the user's voice may leave the device the light is never dark for longer than a pulse takes. Every
pattern differs from every other without its colour: by style, pace or number of flashes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Style = Literal["off", "solid", "breathe", "pulse", "blink"]
Colour = tuple[float, float, float]

_DARK: Colour = (0.0, 0.0, 0.0)
_WHITE: Colour = (1.0, 1.0, 1.0)
_RED: Colour = (1.0, 0.0, 0.0)
_AMBER: Colour = (1.0, 0.45, 0.0)
_GREEN: Colour = (0.0, 1.0, 0.2)
_BLUE: Colour = (0.0, 0.3, 1.0)
_VIOLET: Colour = (0.6, 0.1, 1.0)

_BREATH_FLOOR = 0.25  # breathing never goes dark, pulsing does
_FLASH_S = 0.15
_GAP_S = 0.2


@dataclass(frozen=True)
class Pattern:
    """One thing the light can say."""

    name: str
    colour: Colour
    """Red, green, blue, each 0 to 1. An LED of one colour ignores it."""
    style: Style
    """off, solid, breathe (swells, never dark), pulse (swells from dark), blink (`flashes`, then dark)."""
    period_s: float = 0.0
    """Seconds until it repeats; 0 for off and solid."""
    flashes: int = 1
    """For blink: how many at the start of each period. Faults are told apart by counting."""


PATTERNS: dict[str, Pattern] = {
    each.name: each
    for each in (
        Pattern("idle", _DARK, "off"),
        Pattern("muted", _RED, "solid"),
        Pattern("starting", _WHITE, "pulse", 2.4),
        Pattern("listening", _BLUE, "breathe", 3.0),
        Pattern("connecting", _BLUE, "pulse", 0.4),
        Pattern("thinking", _VIOLET, "pulse", 0.8),
        Pattern("speaking", _GREEN, "breathe", 1.2),
        Pattern("yielding", _GREEN, "breathe", 0.5),
        Pattern("reconnecting", _AMBER, "pulse", 1.6),
        Pattern("ringing", _WHITE, "blink", 0.5),
        Pattern("no_network", _AMBER, "blink", 4.0, 1),
        Pattern("no_microphone", _RED, "blink", 4.0, 2),
        Pattern("no_speaker", _RED, "blink", 4.0, 3),
        Pattern("bad_key", _AMBER, "blink", 4.0, 4),
        Pattern("cap", _AMBER, "blink", 4.0, 5),
        Pattern("refused", _AMBER, "blink", 4.5, 6),
    )
}
"""Every pattern by name."""

IDLE_FAULTS = ("no_microphone", "no_speaker", "bad_key", "refused", "no_network", "cap")
"""Conditions that light up an idle device, by priority."""


def pattern_for(state: str, link: str, muted: bool, conditions: frozenset[str]) -> Pattern:
    """Return what the light shows now. Conditions it does not know are not shown.

    `state` is the turn ("idle", "listening" ...) or "starting"; `link` is "down", "connecting" or
    "up"; "reconnecting" among the conditions tells a link that is coming back from a new one.
    """
    return PATTERNS[_name_for(state, link, muted, conditions)]


def _name_for(state: str, link: str, muted: bool, conditions: frozenset[str]) -> str:
    if muted:
        return "muted"
    if "ringing" in conditions:
        return "ringing"
    if state == "starting" or "starting" in conditions:
        return "starting"
    if state == "idle":
        return next((fault for fault in IDLE_FAULTS if fault in conditions), "idle")
    assert state in ("listening", "thinking", "speaking", "yielding"), f"no light for the state {state!r}"
    if state == "listening" and "no_microphone" in conditions:
        return "no_microphone"
    if state in ("listening", "thinking") and link == "connecting":
        return "reconnecting" if "reconnecting" in conditions else "connecting"
    return state


def brightness(pattern: Pattern, elapsed_s: float) -> float:
    """Return how bright the light is, 0 to 1, that long after the pattern began."""
    if pattern.style == "off":
        return 0.0
    if pattern.style == "solid":
        return 1.0
    into_s = elapsed_s % pattern.period_s
    if pattern.style == "blink":
        # a hair's tolerance, so that 0.15 computed as 0.15000000000000002 is still past the flash
        nth, within_s = divmod(into_s + 1e-9, _FLASH_S + _GAP_S)
        return 1.0 if nth < pattern.flashes and within_s < _FLASH_S else 0.0
    swell = (1 - math.cos(2 * math.pi * into_s / pattern.period_s)) / 2
    return swell if pattern.style == "pulse" else _BREATH_FLOOR + (1 - _BREATH_FLOOR) * swell
