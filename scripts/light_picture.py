#!/usr/bin/env python3
"""Draw what the light says, from pivoice/panel/patterns.py: the picture and the table in README.

`scripts/generate.py` writes both; run by itself it prints the picture (SVG).
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from xml.sax.saxutils import escape

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pivoice.panel.patterns import (
    IDLE_BREATH,
    PATTERNS,
    PRIORITY,
    Colour,
    Pattern,
    brightness,
    frame_s,
    picture,
)

_NAMES: dict[str, Colour] = {
    "dark": (0.0, 0.0, 0.0),
    "white": (1.0, 1.0, 1.0),
    "red": (1.0, 0.0, 0.0),
    "amber": (1.0, 0.5, 0.0),
    "green": (0.0, 1.0, 0.0),
    "blue": (0.0, 0.2, 1.0),
    "violet": (0.6, 0.0, 1.0),
}
_STYLES = {"off": "", "solid": "steady", "breathe": "breathing", "pulse": "pulsing"}

_PIXELS = 12
_SHOWN_S = 6.0
_ROW, _TOP, _WIDTH = 46, 56, 1010
_RING_X, _LED_X, _COURSE_X, _COURSE_W, _TEXT_X = 170, 222, 256, 240, 514


def light_table() -> str:
    """Return the table of README: every pattern, in the order of priority."""
    rows = ["| `panel.colours` | looks | means |", "|---|---|---|"]
    rows += [f"| `{each.name}` | {_looks(each)} | {each.means} |" for each in _in_order()]
    return "\n".join(rows)


def light_picture() -> str:
    """Return the picture of README, as SVG: for every pattern a ring, a moving light and its course."""
    breath = f'{IDLE_BREATH.means} (panel.idle = "breath")'
    rows = [*((each, each.means) for each in _in_order()), (IDLE_BREATH, breath)]
    height = _TOP + len(rows) * _ROW + 12
    heads = ((20, "name"), (_RING_X - 14, "ring"), (_LED_X - 10, "LED"), (_COURSE_X, "its 6 seconds"))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" '
        f'height="{height}" font-family="sans-serif" font-size="14" fill="#d8dee6">',
        "<title>What the light says</title>",
        f'<rect width="{_WIDTH}" height="{height}" rx="10" fill="#11151a"/>',
        '<g fill="#7d8894" font-size="12">',
        *(f'<text x="{x}" y="30">{head}</text>' for x, head in heads),
        f'<text x="{_TEXT_X}" y="30">means (what stands higher hides what stands lower)</text>',
        "</g>",
    ]
    for nth, (pattern, means) in enumerate(rows):
        parts += _row(pattern, means, _TOP + nth * _ROW)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _in_order() -> list[Pattern]:
    return [PATTERNS[name] for name in dict.fromkeys(rule.pattern for rule in PRIORITY)]


def _row(pattern: Pattern, means: str, top: int) -> list[str]:
    middle = top + _ROW // 2 - 5
    return [
        f'<g transform="translate(0 {middle})">',
        f'<text x="20" y="5" font-family="monospace">{pattern.name}</text>',
        *_ring(pattern),
        *_led(pattern),
        *_course(pattern),
        f'<text x="{_TEXT_X}" y="5">{escape(means)}</text>',
        "</g>",
    ]


def _ring(pattern: Pattern) -> list[str]:
    """Draw a ring of twelve, its middle pixel at the top, at a moment when much is lit."""
    is_early = pattern.style == "blink" or pattern.shape == "arc"
    shown = picture(pattern, 0.0 if is_early else 0.45 * pattern.period_s, 0.4, _PIXELS)
    dots = []
    for nth, part in enumerate(shown):
        angle = 2 * math.pi * (nth - _PIXELS // 2) / _PIXELS
        x, y = _RING_X + 15 * math.sin(angle), -15 * math.cos(angle)
        dots.append(_dot(pattern, x, y, 3.2, part))
    return dots


def _led(pattern: Pattern) -> list[str]:
    """Draw a single light that moves as it does."""
    loop_s = _SHOWN_S if pattern.follows else pattern.period_s
    if not loop_s:
        return [_dot(pattern, _LED_X, 0, 9, brightness(pattern, 0.0))]
    step_s = 0.05 if pattern.style == "blink" else max(0.05, frame_s(pattern, 0.0))
    count = round(loop_s / step_s)
    values = ";".join(_short(_seen(pattern, nth * loop_s / count)) for nth in range(count + 1))
    mode = "discrete" if pattern.style == "blink" else "linear"
    moves = (
        f'<animate attributeName="fill-opacity" dur="{_short(loop_s)}s" repeatCount="indefinite" '
        f'calcMode="{mode}" values="{values}"/>'
    )
    return [_dot(pattern, _LED_X, 0, 9, _seen(pattern, 0.0), moves)]


def _course(pattern: Pattern) -> list[str]:
    """Draw its brightness over time."""
    count = round(_SHOWN_S / 0.05)
    points = [(_COURSE_X + 0.0, 16.0)]
    for nth in range(count):
        left, height = _COURSE_X + _COURSE_W * nth / count, 16 - 32 * _seen(pattern, nth * 0.05)
        if pattern.style == "blink" and height == points[-1][1]:
            continue
        # one that blinks is on or off, nothing between
        points += [(left, points[-1][1]), (left, height)] if pattern.style == "blink" else [(left, height)]
    points += [(_COURSE_X + _COURSE_W, points[-1][1]), (_COURSE_X + _COURSE_W, 16.0)]
    path = " ".join(f"{_short(x)},{_short(y)}" for x, y in points)
    frame = f'<rect x="{_COURSE_X}" y="-16" width="{_COURSE_W}" height="32" fill="#1c222a"/>'
    return [frame, f'<polygon points="{path}" fill="{_hex(pattern.colour)}"/>']


def _seen(pattern: Pattern, elapsed_s: float) -> float:
    """Return how bright a single light is while somebody talks, in words that repeat every six seconds."""
    words = abs(math.sin(math.pi * elapsed_s * 2.5)) * (
        0.3 + 0.7 * math.sin(math.pi * elapsed_s / _SHOWN_S) ** 2
    )
    return brightness(pattern, elapsed_s, words)


def _dot(pattern: Pattern, x: float, y: float, radius: float, part: float, inside: str = "") -> str:
    place = f'cx="{_short(x)}" cy="{_short(y)}" r="{radius}"'
    under = f'<circle {place} fill="#2a323c"/>'
    lit = f'<circle {place} fill="{_hex(pattern.colour)}" fill-opacity="{_short(part)}"'
    return f"{under}{lit}>{inside}</circle>" if inside else f"{under}{lit}/>"


def _looks(pattern: Pattern) -> str:
    colour = min(_NAMES, key=lambda name: math.dist(_NAMES[name], pattern.colour))
    if pattern.style == "blink":
        flashes = "a flash" if pattern.flashes == 1 else f"{pattern.flashes} flashes"
        return f"{colour}, {flashes} every {_short(pattern.period_s)} s"
    pace = f" ({_short(pattern.period_s)} s)" if pattern.period_s else ""
    shape = {"arc": ", a ring: an arc", "comet": ", a ring: going round"}.get(pattern.shape, "")
    style = _STYLES[pattern.style]
    return f"{colour}{', ' if style else ''}{style}{pace}{shape}"


def _hex(colour: Colour) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in colour)


def _short(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")


if __name__ == "__main__":
    print(light_picture(), end="")
