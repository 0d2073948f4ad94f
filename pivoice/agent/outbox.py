"""What waits to be told to the server: tool results and requests to speak, each at its moment.

PURE: the caller brings the time. Every call gets exactly one answer, unless its reply was interrupted:
then the server waits for none. A result goes out at once unless it would fall into somebody's words;
then at the reply's end, or at a deadline, for a result may come late but must never be lost. A request
to speak waits until nothing else is in flight: the server mixes them up otherwise.
"""

from __future__ import annotations

import json
import math
from collections import deque
from dataclasses import dataclass

from pivoice.agent import wire

HOLD_S = 1.5  # a literal "only after reply.done" has deadlocked a live session
FOLLOW_UP_S = 10.0  # how long a reply that must follow may take before we no longer count on it
ANSWER_S = 5.0  # the slowest answer to the user's words starts within this (measured by others, 2026-09)
USER_S = 30.0  # an end of speech that is never told keeps requests to speak waiting this long
CALL_S = 30.0  # and so does a call that is not answered
GIVE_UP_S = 110.0  # the server waits for 120 s: the last moment to answer in the place of a lost tool
MAX_CALLS = 32  # being run; more are refused
MAX_ANSWERS = 128  # waiting to be sent, refusals included
MAX_SAYS = 8
_MAX_SEEN = 1024

CANCELLED = "Cancelled: the user went on to something else."
_TOO_MANY = f"Not run: {MAX_CALLS} calls are open already. Wait for their results before calling more."
_NO_ANSWER = "The tool did not answer. Tell the user that it did not work."

Message = wire.ToolResult | wire.ReplyCreate


@dataclass
class _Call:
    reply: int
    asked_s: float
    answer: wire.ToolResult | None = None
    due_s: float = math.inf


@dataclass(frozen=True)
class _Sent:
    message: Message
    end: int
    """Where in the connection's bytes it ends."""
    reply: int
    """Whose call it answers; 0: nobody's."""


class Outbox:
    """The words that wait, and what they wait for."""

    def __init__(self) -> None:
        self._calls: dict[str, _Call] = {}
        self._seen: deque[str] = deque(maxlen=_MAX_SEEN)
        self._says: deque[wire.ReplyCreate] = deque()
        self._sent: deque[_Sent] = deque(maxlen=MAX_CALLS)
        self._reply: int | None = None  # in flight
        self._is_audible = False
        self._is_user_speaking = False
        self._user_until_s = -math.inf  # when the user's turn is sure to be over, and answered or not
        self._owed_until_s = -math.inf
        self.dropped = 0
        """Calls refused and requests given up because too many waited."""

    # --- what happened ---

    def call_came(self, call_id: str, reply: int, now_s: float) -> bool:
        """Note a call of `reply`, to be run; False when it was told before, or too many are open.

        One too many is refused here, in words.
        """
        if call_id in self._seen:
            return False
        if len(self._calls) >= MAX_ANSWERS:
            self.dropped += 1  # nothing was sent for a hundred calls: nobody listens
            return False
        open_calls = sum(call.answer is None for call in self._calls.values())
        self._seen.append(call_id)
        self._calls[call_id] = _Call(reply, now_s)
        if open_calls < MAX_CALLS:
            return True
        self.dropped += 1
        self._refuse(call_id, _TOO_MANY, now_s)
        return False

    def answer(self, call_id: str, result: str, *, is_error: bool, now_s: float) -> bool:
        """Queue the answer of a call; False when nobody waits for it (any more)."""
        call = self._calls.get(call_id)
        if call is None or call.answer is not None:
            return False
        call.answer = wire.ToolResult(call_id, _sendable(result), is_error)
        call.due_s = now_s + HOLD_S
        return True

    def cancel_call(self, call_id: str, now_s: float) -> None:
        """Answer a call that it was given up: an unanswered one stalls the agent for minutes."""
        self._refuse(call_id, CANCELLED, now_s)

    def cancel_calls(self, now_s: float) -> None:
        """Answer every open call that it was given up."""
        for call_id in self._calls:
            self.cancel_call(call_id, now_s)

    def say(self, instructions: str) -> bool:
        """Queue a request to speak; False when too many wait already."""
        if len(self._says) >= MAX_SAYS:
            self.dropped += 1
            return False
        self._says.append(wire.ReplyCreate(_sendable(instructions)))
        return True

    def user_spoke(self, is_speaking: bool, now_s: float) -> None:
        """The user began to speak, or ended: the agent will answer unasked."""
        self._is_user_speaking = is_speaking
        self._user_until_s = now_s + (USER_S if is_speaking else ANSWER_S)

    def reply_expected(self, now_s: float) -> None:
        """The server will speak unasked: a greeting."""
        self._owed_until_s = now_s + FOLLOW_UP_S

    def reply_started(self, reply: int) -> None:
        self._reply, self._is_audible = reply, False
        self._owed_until_s = -math.inf
        if not self._is_user_speaking:
            self._user_until_s = -math.inf  # this is the answer

    def reply_audible(self) -> None:
        self._is_audible = True

    def reply_over(self, reply: int) -> None:
        if reply == self._reply:
            self._reply, self._is_audible = None, False

    def reply_interrupted(self, reply: int, now_s: float) -> None:
        """The calls of `reply` are dead: the server waits for no answer. Older ones are given up with it."""
        self.reply_over(reply)
        self._calls = {call_id: call for call_id, call in self._calls.items() if call.reply != reply}
        self._sent = deque((sent for sent in self._sent if sent.reply != reply), maxlen=MAX_CALLS)
        for call_id, call in self._calls.items():
            if call.reply < reply:
                self.cancel_call(call_id, now_s)

    def session_forgotten(self) -> None:
        """The server knows nothing of what was asked before, and names its calls anew."""
        self._calls.clear()
        self._seen.clear()
        self._says.clear()
        self.link_dropped(None)

    def link_dropped(self, acknowledged: float | None) -> None:
        """The reply in flight is gone; calls are still pending on the server's side.

        What ends beyond `acknowledged`, of the connection's bytes, never arrived: it is sent again.
        """
        self._reply, self._is_audible, self._is_user_speaking = None, False, False
        self._owed_until_s = self._user_until_s = -math.inf
        while self._sent:
            sent = self._sent.pop()
            if acknowledged is None or sent.end <= acknowledged:
                continue
            if isinstance(sent.message, wire.ToolResult):
                self._calls[sent.message.call_id] = _Call(0, -math.inf, sent.message, -math.inf)
            else:
                self._says.appendleft(sent.message)

    # --- what to send ---

    def is_idle(self, now_s: float) -> bool:
        """Whether nothing is in flight, waits, or is due: a moment to change sessions unnoticed."""
        is_quiet = self._reply is None and not self._is_user_speaking
        return is_quiet and not self._calls and not self._says and now_s >= self._free_s()

    def next(self, now_s: float) -> tuple[Message | None, float | None]:
        """Return what to send now, or None and how long to wait (None: until something happens)."""
        waits = []
        for call_id, call in self._calls.items():
            if call.answer is None and now_s >= call.asked_s + GIVE_UP_S:
                self._refuse(call_id, _NO_ANSWER, now_s)
            if call.answer is None:
                waits.append(call.asked_s + GIVE_UP_S - now_s)
            elif now_s >= call.due_s or self._is_moment_for(call):
                return call.answer, None
            else:
                waits.append(call.due_s - now_s)
        if self._says and self._reply is None and all(call.answer is None for call in self._calls.values()):
            if now_s >= (free_s := self._free_s()):
                return self._says[0], None
            waits.append(free_s - now_s)
        return None, min(waits, default=None)

    def sent(self, message: Message, now_s: float, *, end: int | None = None) -> None:
        """`message` went out: the server owes a reply. `end`: where in the connection's bytes it ends."""
        call = self._calls.pop(message.call_id, None) if isinstance(message, wire.ToolResult) else None
        if self._says and self._says[0] is message:
            self._says.popleft()
        if end is not None:
            self._sent.append(_Sent(message, end, call.reply if call else 0))
        self.reply_expected(now_s)

    # --- inside ---

    def _is_moment_for(self, call: _Call) -> bool:
        """At once, where it cannot collide: nobody speaks, or only the silent reply that asked."""
        if self._reply is None:
            return not self._is_user_speaking
        return call.reply == self._reply and not self._is_audible

    def _free_s(self) -> float:
        """When no reply is owed any more: to a result, to the user's words, to a call that is being run."""
        calls = (call.asked_s + CALL_S for call in self._calls.values())
        return max(self._owed_until_s, self._user_until_s, *calls)

    def _refuse(self, call_id: str, why: str, now_s: float) -> None:
        self.answer(call_id, json.dumps({"error": why}), is_error=True, now_s=now_s)


def _sendable(text: str) -> str:
    """Half a character would make the whole message impossible to send, now and after every reconnect."""
    return text.encode("utf-8", "replace").decode("utf-8")
