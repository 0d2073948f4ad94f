"""What a regular expression of somebody else's may cost. PURE.

Python's matcher has no time limit and lets no other thread run, so one that tries every way to split a text
would silence the whole device. So each is taken apart before its first use, and the ways are counted that it
could try at worst on a text of `MOST_MATCHED_CHARS`; one that may need too many is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from re import _parser as parser  # type: ignore[attr-defined]  # the only reader of them that there is
from typing import Any

MOST_MATCHED_CHARS = 256
_MOST_CHARS = 500
_MOST_WAYS = 2**25  # ^.*a.*b.*c has 2^24: 0.1 s at worst (x86-64, 2026-11), a second on a small Pi
_GROUP = 32  # how much dearer a group's way is than that of single characters: 50 ns


def find_pattern_fault(pattern: object) -> str:
    """Return why `pattern` cannot be used, in words for the owner; "" when it can."""
    if not isinstance(pattern, str) or len(pattern) > _MOST_CHARS:
        return f"must be text of at most {_MOST_CHARS} characters"
    try:
        re.compile(pattern)
        parsed = parser.parse(pattern)
        ways = _ways(parsed)
    except (re.error, OverflowError, RecursionError) as error:
        return f"{pattern[:80]!r} is no regular expression of Python's: {error}"
    first = str(parsed[0]) if len(parsed) else ""
    is_anchored = first.startswith("(AT, AT_BEGINNING") and not parsed.state.flags & re.MULTILINE
    if ways * (1 if is_anchored else MOST_MATCHED_CHARS) > _MOST_WAYS:
        return (
            f"{pattern[:80]!r} may try too many ways to match and stop the device meanwhile; "
            "begin it with ^, and write it without a repeat inside a repeat, "
            "such as ^[a-z_]+$ for ^([a-z]+_?)+$"
        )
    return ""


def _ways(nodes: Iterable[Any]) -> int:
    """Return in how many ways `nodes` could match beginnings of one text at worst, up to a bit too many."""
    ways = 1
    for kind, given in nodes:
        ways = min(ways * _ways_of(str(kind), given), _MOST_WAYS + 1)
    return ways


def _ways_of(kind: str, given: Any) -> int:
    match kind:
        case "BRANCH":
            return sum(_ways(each) for each in given[1])
        case "SUBPATTERN":
            return _ways(given[-1])
        case "ATOMIC_GROUP":
            return _ways(given)
        case "ASSERT" | "ASSERT_NOT":
            return _ways(given[1])
        case "GROUPREF_EXISTS":
            return _ways(given[1]) + _ways(given[2] or [])
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            least, most, body = given
            ways = _ways_of_repeat(int(least), min(int(most), MOST_MATCHED_CHARS), _ways(body))
            return ways if ways == 1 or most <= 2 or _is_character(body) else ways * _GROUP
        case _:
            return 1


def _is_character(body: Any) -> bool:
    return len(body) == 1 and str(body[0][0]) in ("LITERAL", "NOT_LITERAL", "ANY", "IN", "CATEGORY")


def _ways_of_repeat(least: int, most: int, each: int) -> int:
    if each == 1:
        return max(1, most - least + 1)
    total, power = 0, 1
    for times in range(most + 1):
        total += power if times >= least else 0
        power *= each
        if power > _MOST_WAYS:
            return _MOST_WAYS + 1
    return max(1, total)
