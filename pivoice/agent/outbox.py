"""What waits to be told to the server: tool results and requests to speak, each at its moment.

PURE: the caller brings the time. A result goes out at once unless the agent is audibly speaking; then
at the reply's end, or at a deadline, for a result may come late but must never be lost. A request to
speak waits until nothing else is in flight: the server mixes them up otherwise.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass

from pivoice.agent import wire

logger = logging.getLogger(__name__)

HOLD_S = 1.5  # a literal "only after reply.done" has deadlocked a live session
FOLLOW_UP_S = 10.0  # how long a reply that must follow may take before we no longer count on it
CALL_S = 30.0  # an unanswered call keeps requests to speak waiting this long
MAX_CALLS = 32
MAX_SAYS = 8

_NEVER = float("-inf")


@dataclass(frozen=True)
class _Call:
    reply: int
    asked_s: float


class Outbox:
    """The words that wait, and what they wait for."""

    def __init__(self) -> None:
        self._calls: dict[str, _Call] = {}
        self._seen: deque[str] = deque(maxlen=4 * MAX_CALLS)
        self._results: dict[str, tuple[wire.ToolResult, float]] = {}
        self._says: deque[wire.ReplyCreate] = deque()
        self._is_replying = False
        self._is_audible = False
        self._owed_until_s = _NEVER
        self.dropped = 0
        """Calls and requests given up because too many waited."""

    # --- what happened ---

    def call_came(self, call_id: str, reply: int, now_s: float) -> bool:
        """Note a tool call; False when it was told before, or too many are open."""
        if call_id in self._seen:
            return False
        if len(self._calls) >= MAX_CALLS:
            self.dropped += 1
            return False
        self._seen.append(call_id)
        self._calls[call_id] = _Call(reply, now_s)
        return True

    def answer(self, call_id: str, result: str, *, is_error: bool, now_s: float) -> bool:
        """Queue the answer of a call; False when nobody waits for it (any more)."""
        if call_id not in self._calls or call_id in self._results:
            return False
        self._results[call_id] = (wire.ToolResult(call_id, result, is_error), now_s + HOLD_S)
        return True

    def cancel_calls(self, now_s: float) -> None:
        """Answer every open call that it was given up: an unanswered one stalls the agent for minutes."""
        for call_id in self._calls.keys() - self._results.keys():
            self.answer(call_id, "Cancelled: the user went on to something else.", is_error=True, now_s=now_s)

    def say(self, instructions: str) -> bool:
        """Queue a request to speak; False when too many wait already."""
        if len(self._says) >= MAX_SAYS:
            self.dropped += 1
            return False
        self._says.append(wire.ReplyCreate(instructions))
        return True

    def reply_expected(self, now_s: float) -> None:
        """The server will speak unasked: a greeting."""
        self._owed_until_s = now_s + FOLLOW_UP_S

    def reply_started(self) -> None:
        self._is_replying, self._is_audible = True, False
        self._owed_until_s = _NEVER

    def reply_audible(self) -> None:
        self._is_audible = True

    def reply_over(self) -> None:
        self._is_replying = self._is_audible = False

    def reply_interrupted(self, reply: int) -> None:
        """The calls of that reply are dead: the server waits for no answer."""
        for call_id in [each for each, call in self._calls.items() if call.reply == reply]:
            self._forget(call_id)

    def session_forgotten(self) -> None:
        """The server knows nothing of what was asked before."""
        self._calls.clear()
        self._results.clear()
        self.link_dropped()

    def link_dropped(self) -> None:
        """The reply in flight is gone; calls are still pending on the server's side."""
        self.reply_over()
        self._owed_until_s = _NEVER

    # --- what to send ---

    def next(self, now_s: float) -> tuple[wire.ToolResult | wire.ReplyCreate | None, float | None]:
        """Return what to send now, or None and how long to wait (None: until something happens)."""
        for message, deadline_s in self._results.values():
            if not self._is_audible or now_s >= deadline_s:
                return message, None
        waits = [deadline_s - now_s for _, deadline_s in self._results.values()]
        if self._says and not self._results and not self._is_replying:
            free_s = max([self._owed_until_s, *(call.asked_s + CALL_S for call in self._calls.values())])
            if now_s >= free_s:
                return self._says[0], None
            waits.append(free_s - now_s)
        return None, min(waits, default=None)

    def sent(self, message: wire.ToolResult | wire.ReplyCreate, now_s: float) -> None:
        """`message` went out: the server owes a reply."""
        if isinstance(message, wire.ToolResult):
            self._forget(message.call_id)
        elif self._says and self._says[0] is message:
            self._says.popleft()
        self.reply_expected(now_s)

    def _forget(self, call_id: str) -> None:
        self._calls.pop(call_id, None)
        self._results.pop(call_id, None)
