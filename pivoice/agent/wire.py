"""The vendor's JSON, both directions. The only file of the client that knows it.

PURE: bytes and text in, structs out, and back. What the server sends is never trusted: `decode` does
not raise. A frame it cannot use comes back as `Garbled`, named by a kind that can be counted. The rule
for every field: of the wrong type is the same as missing; missing is an error only where the message
means nothing without it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

RATE_HZ = 24_000  # the only PCM rate there is; any other makes a session that is deaf and does not say so

# --- client to server ---


class Format(msgspec.Struct, frozen=True):
    """The only one there is for PCM, declared both ways."""

    encoding: str = "audio/pcm"
    sample_rate: int = RATE_HZ


class TurnDetection(msgspec.Struct, frozen=True, omit_defaults=True):
    """None leaves the server's adaptive default alone."""

    vad_threshold: float | None = None
    min_silence: int | None = None
    max_silence: int | None = None
    interrupt_response: bool | None = None
    interruption_delay: int | None = None


class Input(msgspec.Struct, frozen=True, omit_defaults=True):
    format: Format | None = None
    keyterms: Sequence[str] | None = None
    language_codes: Sequence[str] | None = None
    transcription_mode: str | None = None
    transcription_prompt: str | None = None
    voice_focus: str | None = None
    voice_focus_threshold: float | None = None
    turn_detection: TurnDetection | None = None


class Output(msgspec.Struct, frozen=True, omit_defaults=True):
    format: Format | None = None
    voice: str | None = None
    volume: int | None = None


class Function(msgspec.Struct, frozen=True):
    """A tool as the server is told of it. `parameters` is a JSON Schema."""

    name: str
    description: str
    parameters: Mapping[str, object]
    type: str = "function"


class Settings(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a session is made with, or changed to. None is not sent: the server refuses nulls.

    `agent_id` goes alone, in the first update.
    """

    agent_id: str | None = None
    input: Input | None = None
    output: Output | None = None
    system_prompt: str | None = None
    greeting: str | None = None
    tools: Sequence[Function] | None = None


class SessionUpdate(msgspec.Struct, frozen=True, tag="session.update"):
    session: Settings


class SessionResume(msgspec.Struct, frozen=True, tag="session.resume"):
    session_id: str


class SessionEnd(msgspec.Struct, frozen=True, tag="session.end"):
    pass


class InputAudio(msgspec.Struct, frozen=True, tag="input.audio"):
    audio: bytes
    """s16le mono at `RATE_HZ`; travels as base64."""


class ToolResult(msgspec.Struct, frozen=True, tag="tool.result"):
    call_id: str
    result: str
    is_error: bool = False


class ReplyCreate(msgspec.Struct, frozen=True, tag="reply.create"):
    instructions: str


ClientMessage: TypeAlias = SessionUpdate | SessionResume | SessionEnd | InputAudio | ToolResult | ReplyCreate

_encoder = msgspec.json.Encoder()


def encode(message: ClientMessage) -> bytes:
    """Return the text frame for `message`, as UTF-8."""
    return _encoder.encode(message)


# --- server to client ---


class Updated(msgspec.Struct, frozen=True):
    """An update was taken. Not yet the leave to send audio."""


class Ready(msgspec.Struct, frozen=True):
    """Audio may be sent. An empty `session_id` cannot be resumed."""

    session_id: str
    expires_in_s: float | None = None
    """Until the server ends the session, by its own clock; None when it does not say."""
    system_prompt: str | None = None
    """The prompt in force, where the server tells it; a stored agent's, before ours is added."""
    voice: str = ""
    sample_rate: int | None = None
    """Of the input, as the server took it. None when it does not say."""
    http_tools: frozenset[str] = frozenset()
    """Tools that the server runs by itself: their calls are not ours to answer."""


class Ended(msgspec.Struct, frozen=True):
    """The session is over; nothing more is billed."""


class Failure(msgspec.Struct, frozen=True):
    """The server complains. `code` is lower case, "" when there was none."""

    code: str
    message: str
    param: str


class SpeechStarted(msgspec.Struct, frozen=True):
    """The turn detector heard somebody start."""


class SpeechStopped(msgspec.Struct, frozen=True):
    """The turn detector heard somebody stop."""


class UserText(msgspec.Struct, frozen=True):
    """The whole utterance so far (not `final`), or the whole utterance."""

    text: str
    final: bool
    item_id: str = ""


class ReplyStarted(msgspec.Struct, frozen=True):
    """The agent takes a turn. "" in any `reply_id`: the server named none, so the current one."""

    reply_id: str


class ReplyAudio(msgspec.Struct, frozen=True):
    """Some bytes of a reply; not necessarily whole samples."""

    reply_id: str
    pcm: bytes


class AgentWords(msgspec.Struct, frozen=True):
    """More words of a reply, to be appended with a space."""

    reply_id: str
    words: str


class AgentText(msgspec.Struct, frozen=True):
    """A reply's text; `interrupted`: cut to what the server believes was heard."""

    reply_id: str
    text: str
    interrupted: bool


class ReplyDone(msgspec.Struct, frozen=True):
    """All of a reply was sent, or it was cut. `status` is lower case; "completed" when absent."""

    reply_id: str
    status: str


class ReplyFailed(msgspec.Struct, frozen=True):
    """A reply could not be made."""

    reply_id: str
    code: str
    message: str


class ToolCall(msgspec.Struct, frozen=True):
    """The agent asks for a tool."""

    call_id: str
    name: str
    arguments: dict[str, object]


class Ignored(msgspec.Struct, frozen=True):
    """A known message that a device has no use for."""


class Garbled(msgspec.Struct, frozen=True):
    """A frame that could not be used. `kind` is short and stable, for counting."""

    kind: str
    detail: str


ServerEvent: TypeAlias = (
    Updated
    | Ready
    | Ended
    | Failure
    | SpeechStarted
    | SpeechStopped
    | UserText
    | ReplyStarted
    | ReplyAudio
    | AgentWords
    | AgentText
    | ReplyDone
    | ReplyFailed
    | ToolCall
    | Ignored
)


class _FastAudio(msgspec.Struct, tag="reply.audio"):
    data: bytes
    reply_id: str = ""


_fast_audio = msgspec.json.Decoder(_FastAudio)
_any = msgspec.json.Decoder()

_HEAD_CHARS = 40  # where `"type":"reply.audio"` stands when the server writes its type first, as it does
_SHOWN_CHARS = 120


def decode(frame: str | bytes) -> ServerEvent | Garbled:
    """Return what one frame says. Never raises."""
    if isinstance(frame, bytes):
        return Garbled("binary frame", f"{len(frame)} bytes")
    if '"reply.audio"' in frame[:_HEAD_CHARS]:  # 100 a second: one pass in C, base64 included
        try:
            fast = _fast_audio.decode(frame)
            return ReplyAudio(fast.reply_id, fast.data)
        except (msgspec.DecodeError, UnicodeError):
            pass  # an older spelling, or nonsense: the slow way tells
    return _decode_slowly(frame)


def _decode_slowly(frame: str) -> ServerEvent | Garbled:
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
        return Garbled(f"unknown type {kind[:60]!r}", _shown(frame))
    event = read(message)
    return Garbled(f"bad {kind}", _shown(frame)) if event is None else event


def _shown(frame: str) -> str:
    return frame if len(frame) <= _SHOWN_CHARS else f"{frame[:_SHOWN_CHARS]}... ({len(frame)} characters)"


_Message: TypeAlias = dict[str, Any]


def _text(message: _Message, *names: str) -> str | None:
    """Return the first of the fields that is text."""
    return next((message[name] for name in names if isinstance(message.get(name), str)), None)


def _reply_id(message: _Message) -> str:
    return _text(message, "reply_id") or ""


def _read_failure(message: _Message) -> Failure:
    code, said = _text(message, "code") or "", _text(message, "message", "error", "detail") or ""
    return Failure(code.lower(), said, _text(message, "param") or "")


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
    return None if words is None else AgentWords(_reply_id(message), words)


def _read_agent_text(message: _Message) -> AgentText:
    return AgentText(_reply_id(message), _text(message, "text") or "", message.get("interrupted") is True)


def _read_done(message: _Message) -> ReplyDone:
    return ReplyDone(_reply_id(message), (_text(message, "status") or "completed").lower())


def _read_reply_failed(message: _Message) -> ReplyFailed:
    failure = _read_failure(message)
    return ReplyFailed(_reply_id(message), failure.code, failure.message)


def _read_tool_call(message: _Message) -> ToolCall | None:
    call_id = _text(message, "call_id")
    if not call_id:
        return None  # cannot be answered, so must not be run
    arguments = message.get("arguments", message.get("args"))
    if isinstance(arguments, str):  # some put JSON into a string here
        try:
            arguments = _any.decode(arguments)
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            arguments = None
    return ToolCall(call_id, _text(message, "name") or "", arguments if isinstance(arguments, dict) else {})


_READERS: dict[str, Callable[[_Message], ServerEvent | None]] = {
    "session.updated": lambda _: Updated(),
    "session.ready": lambda message: Ready(_text(message, "session_id") or ""),
    "session.ended": lambda _: Ended(),
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
