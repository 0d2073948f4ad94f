"""What `pivoice monitor` and `pivoice devices` write in a terminal: bars, figures, text made safe. PURE.

Terminals obey what is printed in them: nothing that came over a socket, from a USB plug or out of an agent's
mouth is shown before `safe` has seen it.
"""

from __future__ import annotations

import math
import unicodedata

SILENCE_DB = -120.0
"""What digital silence, exact zeros, is told as: nothing that a converter gives is that quiet."""
_QUIETEST_DB = -72.0  # left end of a meter: below the noise of a good room on a good microphone
_LONGEST = 2000
_JOINERS = "\u200c\u200d"  # invisible, and needed: Persian and Hindi words, emoji of several people
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def safe(text: object, *, longest: int = _LONGEST) -> str:
    """Return `text` on one line, without anything that a terminal would obey instead of showing it."""
    shown = text if isinstance(text, str) else str(text)
    letters = [_shown(letter) for letter in shown[: longest + 1]]
    return "".join(letters[:longest]) + ("…" if len(letters) > longest else "")


def _shown(letter: str) -> str:
    if letter.isprintable() or letter in _JOINERS:
        return letter
    kind = unicodedata.category(letter)
    if letter in "\n\r\t" or kind in ("Zs", "Zl", "Zp"):
        return " "
    return "" if kind == "Cf" else "\ufffd"  # marks that turn text round are dropped, the rest is noticed


def fraction_of(level_db: float) -> float:
    """Return where on a meter `level_db` is, 0 to 1."""
    if math.isnan(level_db):
        return 0.0
    return min(1.0, max(0.0, 1.0 - level_db / _QUIETEST_DB))


def bar(fraction: float, width: int, *, mark: float | None = None, plain: bool = False) -> str:
    """Return a bar of exactly `width` columns; `mark` puts a line where something begins, or was.

    `plain`: in ASCII, for a terminal that knows nothing else.
    """
    width = max(0, width)
    eighths = 0 if math.isnan(fraction) else round(8 * width * min(1.0, max(0.0, fraction)))
    whole, rest = divmod(eighths, 8)
    if plain:
        cells = list(("#" * whole + ("+" if rest >= 4 else "")).ljust(width, "."))
    else:
        cells = list(("█" * whole + (_EIGHTHS[rest] if rest else "")).ljust(width))
    if mark is not None and width and not math.isnan(mark):
        cells[min(width - 1, max(0, int(mark * width)))] = "|" if plain else "│"
    return "".join(cells)


def decibels(level_db: float) -> str:
    """Return a level for people, six columns or fewer."""
    if math.isnan(level_db):
        return "? dB"
    return "zeros" if level_db <= SILENCE_DB else f"{level_db:.0f} dB"


def duration(seconds: float) -> str:
    """Return how long that is in the two largest units that are not empty."""
    left = max(0, int(seconds)) if math.isfinite(seconds) else 0
    parts: list[str] = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])
