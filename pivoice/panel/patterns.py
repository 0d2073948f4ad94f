"""What the light shows. PURE: from the machine's joint state to a pattern, and from a pattern to a picture.

`PRIORITY` is the one order: of the patterns that hold, the first is shown. Muted is before everything, and
nothing else is steady: a light that stands still means "the microphone is closed", on an LED of one colour
too. While the user's voice may leave the device the light is never dark for longer than a pulse takes.
Every pattern differs from every other without its colour: by style, pace or number of flashes.

A picture is how bright each light is, 0 to 1 as an eye sees it: dimming.py makes of it what hardware takes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Style = Literal["off", "solid", "breathe", "pulse", "blink"]
Shape = Literal["whole", "arc", "comet"]
Source = Literal["", "microphone", "speaker"]
Colour = tuple[float, float, float]

_DARK: Colour = (0.0, 0.0, 0.0)
_WHITE: Colour = (1.0, 1.0, 1.0)
_RED: Colour = (1.0, 0.0, 0.0)
_AMBER: Colour = (1.0, 0.45, 0.0)
_GREEN: Colour = (0.0, 1.0, 0.2)
_BLUE: Colour = (0.0, 0.3, 1.0)
_VIOLET: Colour = (0.6, 0.1, 1.0)

_BREATH = (0.2, 0.75)  # breathing never goes dark, pulsing does; above is room for loudness
_LIFT = 0.7  # of that room: even with the loudest voice the light still breathes, so it is never steady
_LIT = {"breathe": 0.1, "pulse": 0.5}  # how far into a swell a lamp that only knows on and off is on
_ARC_REST = 0.6  # how much of its breath shows where loudness does not reach
_FLASH_S = 0.15
_GAP_S = 0.2
_HAIR_S = 1e-6  # so that a wake-up for 0.15 that comes at 0.1499999 is past the flash
_FRAME_S = 0.04  # 25 pictures a second look smooth
_SLOWEST_FRAME_S = 0.1

_QUIETEST_DB, _LOUDEST_DB = -50.0, -15.0  # rms of a quiet room, and of somebody who speaks up
_RISE_S, _FALL_S = 0.04, 0.25  # loudness is followed quickly, and let go slowly enough for an eye


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
    shape: Shape = "whole"
    """What a ring or a strip makes of it: all alike, loudness as an arc from the middle, a comet."""
    follows: Source = ""
    """Whose loudness makes it brighter."""
    peak: float = 1.0
    """The brightest that a pulse becomes."""
    means: str = ""
    """What it tells people, for README."""


PATTERNS: dict[str, Pattern] = {
    each.name: each
    for each in (
        Pattern(
            "muted", _RED, "solid", means="muted: the microphone is closed, and nothing but this stands still"
        ),
        Pattern("ringing", _WHITE, "blink", 0.5, means="a timer or an alarm rings: any press silences it"),
        Pattern("starting", _WHITE, "pulse", 2.4, shape="comet", means="it is starting"),
        Pattern("no_microphone", _RED, "blink", 4.0, 2, means="2 flashes: no microphone"),
        Pattern(
            "reconnecting",
            _AMBER,
            "pulse",
            1.6,
            means="the link broke and is coming back; what you say is kept",
        ),
        Pattern("connecting", _BLUE, "pulse", 0.4, means="the link is being made; what you say is kept"),
        Pattern(
            "listening",
            _BLUE,
            "breathe",
            3.0,
            shape="arc",
            follows="microphone",
            means="your turn: what you say goes to the agent; the louder, the brighter",
        ),
        Pattern("thinking", _VIOLET, "pulse", 0.8, shape="comet", means="the agent is thinking"),
        Pattern(
            "speaking",
            _GREEN,
            "breathe",
            1.2,
            follows="speaker",
            means="the agent is speaking; the louder, the brighter",
        ),
        Pattern(
            "yielding",
            _GREEN,
            "breathe",
            0.5,
            means="you may be interrupting: the reply is turned down until that is certain",
        ),
        Pattern("no_speaker", _RED, "blink", 4.0, 3, means="3 flashes: no speaker"),
        Pattern("bad_key", _AMBER, "blink", 4.0, 4, means="4 flashes: the key was refused"),
        Pattern(
            "refused", _AMBER, "blink", 4.5, 6, means="6 flashes: the agent's server refused the settings"
        ),
        Pattern("no_network", _AMBER, "blink", 4.0, 1, means="1 flash: no network"),
        Pattern("cap", _AMBER, "blink", 4.0, 5, means="5 flashes: the day's minutes are used up"),
        Pattern("idle", _DARK, "off", means="waiting for the wake word, on the device only"),
    )
}
"""Every pattern by name."""

IDLE_BREATH = Pattern("idle", _WHITE, "pulse", 8.0, peak=0.15, means=PATTERNS["idle"].means)
"""What waiting looks like where panel.idle is "breath"."""

IDLE_FAULTS = ("no_microphone", "no_speaker", "bad_key", "refused", "no_network", "cap")
"""Conditions that light up an idle device, by priority: the one nearest to the user first."""


@dataclass(frozen=True)
class Rule:
    """When a pattern is to be shown; what is empty does not matter."""

    pattern: str
    states: tuple[str, ...] = ()
    condition: str = ""
    link: str = ""

    def holds(self, state: str, link: str, conditions: frozenset[str]) -> bool:
        return (
            (not self.states or state in self.states)
            and (not self.condition or self.condition in conditions)
            and (not self.link or self.link == link)
        )


_FLOOR = (
    "listening",
    "thinking",
)  # the link matters while somebody waits for it, not to a reply that plays on

PRIORITY = (
    Rule("muted", condition="muted"),
    Rule("ringing", condition="ringing"),
    Rule("starting", condition="starting"),
    # the device waits for words that it cannot hear
    Rule("no_microphone", ("listening",), "no_microphone"),
    Rule("reconnecting", _FLOOR, "reconnecting", "connecting"),
    Rule("connecting", _FLOOR, link="connecting"),
    *(Rule(state, (state,)) for state in ("listening", "thinking", "speaking", "yielding")),
    # in a conversation faults can wait
    *(Rule(fault, ("idle",), fault) for fault in IDLE_FAULTS),
    Rule("idle", ("idle",)),
)
"""The order of priority, highest first."""


def pattern_for(state: str, link: str, muted: bool, conditions: frozenset[str]) -> Pattern:
    """Return what the light shows now. Conditions it does not know are not shown.

    `state` is the turn ("idle", "listening" ...) or "starting"; `link` is "down", "connecting" or
    "up"; "reconnecting" among the conditions tells a link that is coming back from a new one.
    """
    also = {"muted"} if muted else set()
    if state == "starting":
        also.add("starting")
    name = next((rule.pattern for rule in PRIORITY if rule.holds(state, link, conditions | also)), "")
    assert name, f"no light for the state {state!r}"
    return PATTERNS[name]


def as_configured(colours: Mapping[str, str], idle: str) -> dict[str, Pattern]:
    """Return every pattern by name, with the owner's `colours` ("#rrggbb" by name) and `idle`.

    Colours of patterns that there are not are passed over, as is one for muted: its red is a promise.
    """
    table = PATTERNS | ({"idle": IDLE_BREATH} if idle == "breath" else {})
    own = {name: _colour(text) for name, text in colours.items() if name in table and name != "muted"}
    return {
        name: dataclasses.replace(each, colour=own.get(name, each.colour)) for name, each in table.items()
    }


def _colour(text: str) -> Colour:
    red, green, blue = bytes.fromhex(text.removeprefix("#"))
    return (red / 255, green / 255, blue / 255)


def brightness(pattern: Pattern, elapsed_s: float, level: float = 0.0) -> float:
    """Return how bright a single light is, 0 to 1, that long after the pattern began.

    `level`, 0 to 1: how loud it is where the pattern follows.
    """
    if pattern.style == "off":
        return 0.0
    if pattern.style == "solid":
        return 1.0
    if pattern.style == "blink":
        return 1.0 if _is_flashing(pattern, elapsed_s) else 0.0
    swell = _swell(pattern, elapsed_s)
    if pattern.style == "pulse":
        return swell * pattern.peak
    low, high = _BREATH
    return _lifted(low + (high - low) * swell, level if pattern.follows else 0.0)


def is_lit(pattern: Pattern, elapsed_s: float) -> bool:
    """Return whether a lamp that only knows on and off is on: the same rhythm, and no loudness."""
    if pattern.style in ("breathe", "pulse"):
        # a faint pulse is a short one
        return _swell(pattern, elapsed_s) >= 1 - (1 - _LIT[pattern.style]) * pattern.peak
    return brightness(pattern, elapsed_s) > 0


def picture(pattern: Pattern, elapsed_s: float, level: float, pixels: int) -> tuple[float, ...]:
    """Return how bright each of `pixels` lights in a ring or a row is, 0 to 1."""
    if pixels < 3 or pattern.shape == "whole" or pattern.style in ("off", "solid", "blink"):
        return (brightness(pattern, elapsed_s, level),) * pixels
    if pattern.shape == "comet":
        head = elapsed_s % pattern.period_s / pattern.period_s * pixels
        return tuple(max(0.0, 1 - 2 * ((head - nth) % pixels) / pixels) for nth in range(pixels))
    rest = _ARC_REST * brightness(pattern, elapsed_s)
    reach, middle = level * (pixels / 2 + 1), pixels // 2
    return tuple(_lifted(rest, min(1.0, max(0.0, reach - abs(nth - middle)))) for nth in range(pixels))


def frame_s(pattern: Pattern, elapsed_s: float) -> float:
    """Return for how many seconds the picture stays as it is: infinite while nothing moves."""
    if pattern.style in ("off", "solid"):
        return math.inf
    if pattern.style == "blink":
        into_s = (elapsed_s + _HAIR_S) % pattern.period_s
        begins = [nth * (_FLASH_S + _GAP_S) for nth in range(pattern.flashes)]
        edges = [*(edge for begin in begins for edge in (begin, begin + _FLASH_S)), pattern.period_s]
        return next(edge - into_s for edge in edges if edge > into_s) + _HAIR_S
    if pattern.follows or pattern.shape == "comet":
        return _FRAME_S
    return min(_SLOWEST_FRAME_S, max(_FRAME_S, pattern.period_s / 48))


def followed(before: float, level_db: float, passed_s: float) -> float:
    """Return the loudness to show, 0 to 1: `level_db` (rms dBFS) now, `before` shown `passed_s` ago."""
    heard = min(1.0, max(0.0, (level_db - _QUIETEST_DB) / (_LOUDEST_DB - _QUIETEST_DB)))
    slowness_s = _RISE_S if heard > before else _FALL_S
    return before + (heard - before) * (1 - math.exp(-passed_s / slowness_s))


def _swell(pattern: Pattern, elapsed_s: float) -> float:
    return (1 - math.cos(2 * math.pi * elapsed_s / pattern.period_s)) / 2


def _lifted(value: float, level: float) -> float:
    return value + _LIFT * (1 - value) * level


def _is_flashing(pattern: Pattern, elapsed_s: float) -> bool:
    nth, within_s = divmod((elapsed_s + _HAIR_S) % pattern.period_s, _FLASH_S + _GAP_S)
    return nth < pattern.flashes and within_s < _FLASH_S
