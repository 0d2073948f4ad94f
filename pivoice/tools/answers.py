"""What the agent is told: always JSON, never more than it was to be. PURE."""

from __future__ import annotations

import json
from dataclasses import dataclass

MAX_ANSWER_CHARS = 4000
_MAX_REASON_CHARS = 1500
_MAX_QUOTED_CHARS = 80  # of what the agent said wrong
_SPARE_CHARS = 200  # for what JSON and the words about cutting need


@dataclass(frozen=True)
class Answer:
    """What the agent is told."""

    text: str
    """JSON, of about `MAX_ANSWER_CHARS` at most, or of what the tool may say."""
    is_error: bool = False


def failure(text: str) -> Answer:
    """Return an answer that says what went wrong."""
    return Answer(_written({"error": clipped(_whole(text), _MAX_REASON_CHARS)}), is_error=True)


def as_text(result: object) -> str:
    """Return what a tool returned as text.

    Raises:
        ValueError, TypeError: it is neither text nor JSON.
    """
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, allow_nan=False)


def as_json(text: str, most_chars: int, *, was_cut: bool = False) -> str:
    """Return `text` if it is JSON already, else JSON that holds it.

    More than `most_chars` is cut, and said so; it is still JSON. `was_cut`: some of it is gone already.
    """
    text = _whole(text)
    if len(text) <= most_chars and not was_cut:
        if _is_json(text):
            return text
        told = _written({"result": text})
        if len(told) <= 2 * most_chars + _SPARE_CHARS:
            return told
    kept = text[:most_chars]
    while len(told := _written(_cut(kept))) > 2 * most_chars + _SPARE_CHARS:
        kept = kept[: len(kept) // 2]  # of what needs six characters for each in JSON
    return told


def clipped(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def quoted(value: object) -> str:
    """Return what somebody said wrong, at bounded length."""
    return clipped(repr(value), _MAX_QUOTED_CHARS)


def _cut(kept: str) -> dict[str, str]:
    return {
        "result": kept,
        "cut": f"this is only the beginning, {len(kept)} characters; the rest was left out",
    }


def _whole(text: str) -> str:
    """Return `text` without halves of characters, which cannot travel."""
    return text.encode("utf-8", "replace").decode()


def _written(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _is_json(text: str) -> bool:
    try:
        json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is Python's, not JSON's")
