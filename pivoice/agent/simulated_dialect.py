"""How the simulated server spells what it says: today's wire, or that of April 2026, once or twice. PURE."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pivoice.agent.simulated_plan import Plan

Message = dict[str, Any]

_TOLD_TWICE = ("reply.done", "input.speech.started", "input.speech.stopped", "transcript.user", "tool.call")
_READY_KEYS = ("expires_at", "resume_token", "config")

GARBAGE: tuple[str | bytes, ...] = (
    "this is not JSON",
    "[1, 2, 3]",
    "null",
    '{"type": 7}',
    '{"no": "type"}',
    '{"type": "weather.report", "wind": "north"}',
    '{"type": "reply.audio", "data": 5}',
    '{"type": "reply.audio", "data": "%%%"}',
    '{"type": "reply.audio"}',
    '{"type": "transcript.user", "text": {"a": 1}}',
    '{"type": "transcript.agent.delta", "delta": null}',
    '{"type": "tool.call", "name": "get_time"}',
    '{"type": "session.error", "code": 13, "message": ["no"]}',
    '{"type": "error", "message": "a bare error"}',
    '{"type": "reply.content_part.started"}',
    b"\x00\xff\xfe binary",
)


def spelled(kind: str, fields: Message, *, plan: Plan, wall_s: float) -> list[Message]:
    """Return the messages that say one thing: usually one, none where the old wire had no word for it."""
    message = {"type": kind, **fields, "timestamp": round(wall_s, 6)}
    if plan.unknown_status and message.get("status") == "completed":
        message["status"] = plan.unknown_status
    if plan.no_agent_text and kind == "transcript.agent":
        return []
    if plan.old_wire:
        if kind == "transcript.agent.delta":
            return []
        message = _in_old_words(message, wall_s)
    is_doubled = plan.duplicates and kind in _TOLD_TWICE
    return [message] * (2 if is_doubled or (plan.call_twice and kind == "tool.call") else 1)


def _in_old_words(message: Message, wall_s: float) -> Message:
    kind = message["type"]
    old = {**message, "timestamp": datetime.fromtimestamp(wall_s, UTC).isoformat()}
    if kind == "tool.call":
        old["args"] = old.pop("arguments")
    elif kind == "transcript.user.delta":
        old["delta"] = old.pop("text")
    elif kind == "reply.done" and old.get("status") == "completed":
        del old["status"]
    elif kind == "reply.audio":
        del old["reply_id"]
    elif kind == "session.updated":
        old["config"] = {}
    elif kind == "session.error":
        old["code"] = str(old["code"]).upper()
    elif kind == "session.ready":
        old = {key: value for key, value in old.items() if key not in _READY_KEYS}
    return old
