"""How `pivoice monitor` looks: rows of coloured text, of what a `View` knows. PURE.

Never more rows or wider ones than it was given: what matters least is left out first, and the transcript gets
what is left.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from pivoice.views.meters import SILENCE_DB, bar, decibels, duration, fraction_of
from pivoice.views.monitor_view import LATENCIES, STALE_S, Level, Said, Score, View

_RULER = Console(file=io.StringIO())  # rich measures with one
_LEAST_TRANSCRIPT = 3
_WIDE = 64  # columns from which on there is room for words beside the meters
_RECENT_S = 5.0
_LOUD_DB, _TOO_LOUD_DB = -12.0, -3.0
_COLOURS = {
    "white": (1.0, 1.0, 1.0),
    "red": (1.0, 0.0, 0.0),
    "amber": (1.0, 0.45, 0.0),
    "green": (0.0, 1.0, 0.2),
    "blue": (0.0, 0.3, 1.0),
    "violet": (0.6, 0.1, 1.0),
}
_DOING = {"solid": "", "breathe": "breathing", "pulse": "pulsing", "blink": "blinking"}
_WHO = {"user": ("you", "bold cyan"), "agent": ("agent", "bold green")}


@dataclass
class _Part:
    """Rows that are shown together or not at all."""

    worth: int
    """The most worthy are given room first."""
    rows: list[Text]


def page(view: View, *, width: int, height: int, now_s: float, plain: bool = False) -> list[Text]:
    """Return what to show: at most `height` rows of at most `width` columns. `plain`: in ASCII."""
    draw = _Pen(width, now_s, plain)
    parts = [
        _Part(11, draw.state(view)),
        _Part(10, draw.faults(view)),
        _Part(3, draw.sentence(view)),
        _Part(8, [draw.level("mic", view.levels["microphone"], view)]),
        _Part(7, [draw.level("spk", view.levels["speaker"], view)]),
        _Part(6, [draw.score(model, each) for model, each in view.scores.items()]),
        _Part(5, draw.latencies(view)),
        _Part(4, draw.counters(view)),
        _Part(1, draw.note(view)),
        _Part(0, draw.title(view)),
    ]
    left = height
    shown = []
    for part in sorted(parts, key=lambda each: -each.worth):
        reserve = _LEAST_TRANSCRIPT if part.worth < 6 else 0
        if part.rows and len(part.rows) <= left - reserve:
            left -= len(part.rows)
            shown.append(part)
        elif part.worth >= 6 and part.rows and left > 0:
            part.rows, left = part.rows[:left], 0
            shown.append(part)
    title = [row for part in parts[-1:] if part in shown for row in part.rows]
    rows = [*title, *(row for part in parts[:-1] if part in shown for row in part.rows)]
    rows += draw.transcript(view, left)
    for row in rows:
        row.truncate(width, overflow="crop" if plain else "ellipsis")
        row.no_wrap = True
    return rows


class _Pen:
    """Draws each part in so many columns, as things are at `now_s`."""

    def __init__(self, width: int, now_s: float, plain: bool) -> None:
        self._width = width
        self._now_s = now_s
        self._plain = plain
        self._is_wide = width >= _WIDE
        self._dot = " . " if plain else " · "

    def title(self, view: View) -> list[Text]:
        words = [f"pivoice {view.version}".strip(), view.uptime(), "q quits"]
        return [Text(self._dot.join(filter(None, words)), "dim")]

    def state(self, view: View) -> list[Text]:
        if not view.is_there:
            seen = self._ago(view.lost_s)
            words = f"waiting for pivoice{seen and f' (seen {seen})'}: {view.waiting}"
            return self._wrapped(Text(words, "bold yellow"), 3)
        row = Text()
        row.append("o " if self._plain else "● ", _colour_style(view))
        row.append(view.state or "?", "bold")
        light = [_colour_name(view), _DOING.get(view.style, "")]
        if view.light != view.state:
            light.insert(0, f"light {view.light.replace('_', ' ') or '?'},")
        row.append(f"{self._dot}{' '.join(filter(None, light))}")
        if view.muted:
            row.append(f"{self._dot}muted", "bold red")
        row.append(f"{self._dot}link {view.link or '?'}")
        for condition in view.conditions:
            row.append(f"{self._dot}{condition.replace('_', ' ')}", "yellow")
        return self._wrapped(row, 2)

    def faults(self, view: View) -> list[Text]:
        rows: list[Text] = []
        for part, why in view.faults.items():
            rows += self._wrapped(Text(f"! {part}: {why}", "bold red"), 2)
        if view.echo_fault:
            rows.append(Text(f"! echo: {view.echo_fault}", "yellow"))
        if view.reload:
            rows.append(Text(f"! reload: {view.reload}", "yellow"))
        return rows

    def sentence(self, view: View) -> list[Text]:
        return [Text(view.sentence, "dim")] if view.sentence and view.is_there else []

    def level(self, name: str, level: Level, view: View) -> Text:
        row = Text(f"{name}  ")
        is_fresh = self._now_s - level.time_s <= STALE_S
        rms_db = level.rms_db if is_fresh else SILENCE_DB
        held = fraction_of(level.held_db) if is_fresh and level.held_db > SILENCE_DB else None
        style = "red" if rms_db > _TOO_LOUD_DB else "yellow" if rms_db > _LOUD_DB else "green"
        row.append(bar(fraction_of(rms_db), self._bar_width, mark=held, plain=self._plain), style)
        if not is_fresh:
            row.append(f"  {_stillness(name, view)}", "dim")
            return row
        row.append(f" {decibels(rms_db):>7}")
        if self._is_wide:
            row.append(f"  peak {decibels(level.held_db)}")
        if level.gate_open is not None and name == "mic":
            row.append("  gate open" if level.gate_open else "  gate shut", "" if level.gate_open else "dim")
        if self._now_s - level.clipped_s < _RECENT_S:
            row.append(f"  clipped {level.clipped}", "bold red")
        return row

    def score(self, model: str, score: Score) -> Text:
        label = 12 if self._is_wide else 5
        row = Text(f"{model[:label]:<{label}} ")
        value = score.score if self._now_s - score.time_s <= 2 * STALE_S else 0.0
        is_hit = score.threshold is not None and value >= score.threshold
        width = max(5, self._bar_width - (label - 4))
        row.append(
            bar(value, width, mark=score.threshold, plain=self._plain), "magenta" if is_hit else "blue"
        )
        row.append(f" {value:>7.2f}")
        if score.threshold is not None:
            row.append(f" of {score.threshold:.2f}", "dim")
        if score.woke and (ago := self._ago(score.woke_s)):
            row.append(f"  {score.woke} {ago}", "bold magenta" if score.woke == "woke" else "dim")
        elif score.best and self._is_wide:
            row.append(f"  best {score.best:.2f}", "dim")
        return row

    def latencies(self, view: View) -> list[Text]:
        known = [f"{LATENCIES.get(name, name)} {ms:.0f} ms" for name, ms in view.latencies_ms.items()]
        return self._wrapped(Text("last  " + self._dot.join(known)), 2) if known else []

    def counters(self, view: View) -> list[Text]:
        return self._wrapped(Text(self._dot.join(view.counters()), "dim"), 2)

    def note(self, view: View) -> list[Text]:
        ago = self._ago(view.note_s)
        rows = [Text(f"{ago}: {view.note}", "dim")] if ago and view.note else []
        if view.garbage:
            rows.append(Text(f"{view.garbage} lines that came were not pivoice's", "yellow"))
        return rows

    def transcript(self, view: View, most: int) -> list[Text]:
        """Return the last rows of what was said, a blank one above them."""
        rows: list[Text] = []
        for said in reversed(view.transcript):
            if len(rows) >= most - 1:
                break
            rows = [*self._said(said), *rows]
        if not rows or most < 2:
            return []
        return [Text(""), *rows[-(most - 1) :]]

    def _said(self, said: Said) -> list[Text]:
        who, style = _WHO.get(said.who, (said.who, "bold"))
        row = Text()
        row.append(f"{who:<6}", style)
        row.append(said.text, "" if said.final else "italic dim")
        if said.interrupted:
            row.append(" (interrupted)", "yellow")
        return self._wrapped(row)

    def _wrapped(self, text: Text, most: int | None = None) -> list[Text]:
        rows = list(text.wrap(_RULER, max(1, self._width)))
        for row in rows:
            row.rstrip()
        return rows[:most]

    @property
    def _bar_width(self) -> int:
        return max(5, min(50, self._width - (42 if self._is_wide else 26)))

    def _ago(self, then_s: float) -> str:
        return "" if then_s == -math.inf else f"{duration(self._now_s - then_s)} ago"


def _stillness(name: str, view: View) -> str:
    """Say why a meter does not move."""
    if not view.is_there:
        return ""
    if name == "spk":
        return "silent"
    capture = view.status.get("capture")
    is_open = capture.get("is_open") if isinstance(capture, dict) else None
    return "closed" if view.muted or is_open is False else "not heard"


def _colour_name(view: View) -> str:
    if view.style == "off" or not any(view.colour):
        return "dark"
    return min(_COLOURS, key=lambda name: math.dist(_COLOURS[name], view.colour))


def _colour_style(view: View) -> str:
    if _colour_name(view) == "dark":
        return "dim"
    red, green, blue = (round(255 * part) for part in view.colour)
    return f"rgb({red},{green},{blue})"
