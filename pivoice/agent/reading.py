"""The server's JSON, read: text in, a struct of `wire` out. Of the client, only these two know it.

PURE. What the server sends is never trusted: `decode` does not raise. A frame it cannot use comes back
as `Garbled`, named by a kind that can be counted. The rule for every field: of the wrong type is the
same as missing; missing is an error only where the message means nothing without it. A session is
resumed by its id and the key we have, as documented: the `resume_token` of `session.ready`, one secret
more to keep, is not read.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from pivoice.agent.oddities import find_oddities
from pivoice.agent.wire import (
    AgentText,
    AgentWords,
    Agreed,
    Ended,
    Failure,
    Garbled,
    Ignored,
    Ready,
    ReplyAudio,
    ReplyDone,
    ReplyFailed,
    ReplyStarted,
    ServerEvent,
    SpeechStarted,
    SpeechStopped,
    ToolCall,
    Updated,
    UserText,
)


class _FastAudio(msgspec.Struct, tag="reply.audio"):
    data: bytes
    reply_id: str = ""


_fast_audio = msgspec.json.Decoder(_FastAudio)
_any = msgspec.json.Decoder()

_MAX_CODE_CHARS = 64
_MAX_ODDITY_CHARS = 100
_MAX_MESSAGE_CHARS = 500
_MAX_TOOLS = 200
_MAX_DEPTH = 32  # of a tool's arguments: whoever walks them after us recurses
_HEAD_CHARS = 40  # where `"type":"reply.audio"` stands when the server writes its type first, as it does
_SHOWN_CHARS = 120
_TOKEN = re.compile(r'(token\W*:\s*")[^"]*')  # a frame cut short may hold a resume_token


def decode(frame: str | bytes, *, note: Callable[[str], None] = lambda oddity: None) -> ServerEvent | Garbled:
    """Return what one frame says. Never raises.

    `note` is told what was strange about a frame that could be used; of well-formed audio, only that
    it names no reply.
    """
    if isinstance(frame, bytes):
        return Garbled("binary frame", f"{len(frame)} bytes")
    if '"reply.audio"' in frame[:_HEAD_CHARS]:  # 100 a second: one pass in C, base64 included
        try:
            fast = _fast_audio.decode(frame)
            if not fast.reply_id:
                note("no reply.audio.reply_id")
            return ReplyAudio(fast.reply_id, fast.data)
        except (msgspec.DecodeError, UnicodeError):
            pass  # an older spelling, or nonsense: the slow way tells
    return _decode_slowly(frame, note)


def _decode_slowly(frame: str, note: Callable[[str], None]) -> ServerEvent | Garbled:
    try:
        message = _any.decode(frame)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return Garbled("not JSON", _shown(frame))
    if not isinstance(message, dict):
        return Garbled("not an object", _shown(frame))
    kind = message.get("type")
    if not isinstance(kind, str):
        return Garbled("no type", _shown(frame))
    read = _READERS.get(kind)
    if read is None:
        return Garbled(f"unknown type {_line(kind, _MAX_CODE_CHARS)!r}", _shown(frame))
    event = read(message)
    if event is None:
        return Garbled(f"bad {kind}", _shown(frame))
    for oddity in find_oddities(message):
        note(_line(oddity, _MAX_ODDITY_CHARS))
    return event


def _shown(frame: str) -> str:
    head = _line(_TOKEN.sub(r"\1[secret]", frame[: 10 * _SHOWN_CHARS]), _SHOWN_CHARS)
    return head if len(frame) <= _SHOWN_CHARS else f"{head}... ({len(frame)} characters)"


_Message: TypeAlias = dict[str, Any]


def _text(message: _Message, *names: str) -> str | None:
    """Return the first of the fields that is text."""
    return next((message[name] for name in names if isinstance(message.get(name), str)), None)


def _number(message: _Message, name: str) -> float | None:
    value = message.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _object(message: _Message, name: str) -> _Message:
    value = message.get(name)
    return value if isinstance(value, dict) else {}


def _line(text: str | None, limit: int) -> str:
    """Return text that fits into one line of a log, whatever it was."""
    return " ".join("".join(c if c.isprintable() else " " for c in (text or "")[:limit]).split())


def _reply_id(message: _Message) -> str:
    return _text(message, "reply_id") or ""


def _read_agreed(message: _Message) -> Agreed:
    config = _object(message, "config")
    rate_hz = _number(_object(_object(config, "input"), "format"), "sample_rate")
    tools = config.get("tools")
    named = [each for each in tools if isinstance(each, dict)] if isinstance(tools, list) else []
    by_http = [_text(each, "name") for each in named[:_MAX_TOOLS] if each.get("http") is not None]
    return Agreed(
        system_prompt=_text(config, "system_prompt"),
        voice=_line(_text(_object(config, "output"), "voice"), _MAX_CODE_CHARS),
        sample_rate=None if rate_hz is None else int(rate_hz),
        http_tools=frozenset(name for name in by_http if name),
    )


def _read_ready(message: _Message) -> Ready:
    agreed = _read_agreed(message)
    expires_at, told_at = _number(message, "expires_at"), _number(message, "timestamp")
    return Ready(
        _text(message, "session_id") or "",
        expires_in_s=None if expires_at is None or told_at is None else expires_at - told_at,
        system_prompt=agreed.system_prompt,
        voice=agreed.voice,
        sample_rate=agreed.sample_rate,
        http_tools=agreed.http_tools,
        expires_at=expires_at,
    )


def _read_ended(message: _Message) -> Ended:
    return Ended(_number(message, "session_duration_seconds"), _number(message, "audio_duration_seconds"))


def _read_failure(message: _Message) -> Failure:
    inner = {**_object(message, "error"), **message}  # some wrap it once more
    code, said = _text(inner, "code"), _text(inner, "message", "error", "detail")
    return Failure(
        _line(code, _MAX_CODE_CHARS).lower(),
        _line(said, _MAX_MESSAGE_CHARS),
        _line(_text(inner, "param"), _MAX_MESSAGE_CHARS),
        _text(inner, "session_id") or "",
    )


def _read_user(*, final: bool) -> Callable[[_Message], UserText | None]:
    def read(message: _Message) -> UserText | None:
        text = _text(message, "text", "delta")
        return None if text is None else UserText(text, final, _text(message, "item_id") or "")

    return read


def _read_audio(message: _Message) -> ReplyAudio | None:
    data = _text(message, "data", "audio")
    if data is None:
        return None
    try:
        return ReplyAudio(_reply_id(message), base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError):
        return None


def _read_words(message: _Message) -> AgentWords | None:
    words = _text(message, "delta", "text")
    if words is None:
        return None
    return AgentWords(_reply_id(message), words, _number(message, "start_ms"), _number(message, "end_ms"))


def _read_agent_text(message: _Message) -> AgentText:
    return AgentText(_reply_id(message), _text(message, "text") or "", message.get("interrupted") is True)


def _read_done(message: _Message) -> ReplyDone:
    return ReplyDone(_reply_id(message), (_text(message, "status") or "completed").lower())


def _read_reply_failed(message: _Message) -> ReplyFailed:
    failure = _read_failure(message)
    return ReplyFailed(_reply_id(message), failure.code, failure.message, message.get("retryable") is True)


def _read_tool_call(message: _Message) -> ToolCall | None:
    call_id = _text(message, "call_id")
    if not call_id:
        return None  # cannot be answered, so must not be run
    both = (_arguments(message.get(name)) for name in ("arguments", "args"))
    return ToolCall(call_id, _text(message, "name") or "", next((each for each in both if each), {}))


def _arguments(value: object) -> dict[str, object] | None:
    if isinstance(value, str):  # some put JSON into a string here
        try:
            value = _any.decode(value)
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            return None
    return value if isinstance(value, dict) and not _is_deep(value) else None


def _is_deep(value: object) -> bool:
    level: list[object] = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            each
            for outer in level
            if isinstance(outer, dict | list)
            for each in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


_READERS: dict[str, Callable[[_Message], ServerEvent | None]] = {
    "session.updated": lambda message: Updated(_read_agreed(message)),
    "session.ready": _read_ready,
    "session.ended": _read_ended,
    "session.error": _read_failure,
    "error": _read_failure,
    "input.speech.started": lambda _: SpeechStarted(),
    "input.speech.stopped": lambda _: SpeechStopped(),
    "transcript.user.delta": _read_user(final=False),
    "transcript.user": _read_user(final=True),
    "reply.started": lambda message: ReplyStarted(_reply_id(message)),
    "reply.audio": _read_audio,
    "transcript.agent.delta": _read_words,
    "transcript.agent": _read_agent_text,
    "reply.done": _read_done,
    "reply.error": _read_reply_failed,
    "tool.call": _read_tool_call,
    "reply.content_part.started": lambda _: Ignored(),
    "reply.content_part.done": lambda _: Ignored(),
}
