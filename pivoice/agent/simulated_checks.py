"""What a client must not do, judged message by message. PURE: the caller brings the time.

A client is not blamed for what crossed our own words on the wire: both ends are right for a round trip.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

Message = dict[str, Any]

CROSSING_S = 0.5  # a slow round trip (India to the US: 0.17 s, measured 2026-09)
PACE_WINDOW_S = 10.0

_FIELDS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "session.update": (frozenset(("session",)), frozenset()),
    "session.resume": (frozenset(("session_id",)), frozenset()),
    "session.end": (frozenset(), frozenset()),
    "input.audio": (frozenset(("audio",)), frozenset()),
    "tool.result": (frozenset(("call_id", "result")), frozenset(("is_error",))),
    "reply.create": (frozenset(), frozenset(("instructions",))),
    "conversation.message": (frozenset(("role", "content")), frozenset()),
    "reply.cancel": (frozenset(("reply_id",)), frozenset()),
}


def shape_faults(message: Message) -> Iterator[str]:
    """Yield the fields that a message of a known type lacks, or should not have."""
    kind = message["type"]
    required, optional = _FIELDS.get(kind, (frozenset[str](), message.keys()))
    for name in sorted(required - message.keys()):
        yield f"{kind} lacks {name!r}"
    for name in sorted(message.keys() - required - optional - {"type"}):
        yield f"unknown field {name!r} in {kind}"


def is_known(kind: object) -> bool:
    return kind in _FIELDS


class PaceCheck:
    """Whether audio comes faster than somebody can speak, over `PACE_WINDOW_S`."""

    def __init__(self) -> None:
        self._arrivals: deque[tuple[float, float]] = deque()
        self._sum_s = 0.0
        self._blamed_s = float("-inf")

    def take(self, seconds: float, now_s: float, *, limit: float) -> str:
        """Note audio; return what is wrong with it, "" when nothing or when it was said just now."""
        self._arrivals.append((now_s, seconds))
        self._sum_s += seconds
        while self._arrivals[0][0] <= now_s - PACE_WINDOW_S:
            self._sum_s -= self._arrivals.popleft()[1]
        if not limit or self._sum_s <= limit * PACE_WINDOW_S or now_s < self._blamed_s + PACE_WINDOW_S:
            return ""
        self._blamed_s = now_s
        return f"{self._sum_s:.0f} s of audio within {PACE_WINDOW_S:g} s, more than {limit:g} times real time"


class Calls:
    """The tool calls of one session, and their answers."""

    def __init__(self) -> None:
        self.results: dict[str, Message] = {}
        """The first answer to each call, the unwanted ones too."""
        self._asked: dict[str, float] = {}
        self._dead: dict[str, float] = {}
        self._not_theirs: set[str] = set()

    def ask(self, call_id: str, now_s: float) -> None:
        """The client is asked."""
        self._asked[call_id] = now_s

    def tell(self, call_id: str) -> None:
        """The client is told of a call that the server runs by itself."""
        self._not_theirs.add(call_id)

    def forget(self, call_ids: Iterable[str], now_s: float) -> None:
        """Their reply is dead: nobody waits for an answer."""
        for call_id in call_ids:
            if self._asked.pop(call_id, None) is not None:
                self._dead[call_id] = now_s

    def answer(self, message: Message, now_s: float, *, must_be_json: bool) -> Iterator[str]:
        """Take a `tool.result`; yield what is wrong with it."""
        call_id, result = str(message.get("call_id")), message.get("result")
        if call_id in self._not_theirs:
            yield f"an answer for {call_id!r}, which the server runs by itself"
        elif call_id in self.results:
            yield f"two answers for {call_id}"
        elif call_id not in self._asked and now_s >= self._dead.get(call_id, float("-inf")) + CROSSING_S:
            yield f"an answer for {call_id!r}, which nobody asked (any more)"
        elif not isinstance(result, str):
            yield "a tool result that is not text"
        elif must_be_json and not _is_json(result):
            yield f"a tool result that is not JSON text: {result[:40]!r}"
        self.results.setdefault(call_id, message)

    def has_answer(self, call_id: str) -> bool:
        return call_id in self.results

    def unanswered(self, now_s: float, *, for_s: float = 0.0) -> list[str]:
        """Return the calls that have waited for an answer at least so long."""
        return [
            call_id
            for call_id, asked_s in self._asked.items()
            if call_id not in self.results and now_s >= asked_s + for_s
        ]


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
