"""The vendor's messages, both directions: a struct for each. With `reading`, all that knows its JSON.

PURE. `encode` makes text of ours; `reading.decode` makes these of the server's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

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


class Agreed(msgspec.Struct, frozen=True):
    """What a session is, as the server took it. Each is empty where it does not say."""

    system_prompt: str | None = None
    """The prompt in force; of a stored agent its own, until we add to it."""
    voice: str = ""
    sample_rate: int | None = None
    """Of the input."""
    http_tools: frozenset[str] = frozenset()
    """Tools that the server runs by itself: their calls are not ours to answer."""


class Updated(msgspec.Struct, frozen=True):
    """An update was taken. Not yet the leave to send audio."""

    agreed: Agreed = Agreed()


class Ready(msgspec.Struct, frozen=True):
    """Audio may be sent. An empty `session_id` cannot be resumed."""

    session_id: str
    expires_in_s: float | None = None
    """Until the server ends the session, by its own clock; None when it does not say."""
    system_prompt: str | None = None
    """This and what follows: as in `Agreed`."""
    voice: str = ""
    sample_rate: int | None = None
    http_tools: frozenset[str] = frozenset()
    expires_at: float | None = None
    """The same end in seconds since 1970, for the server that does not tell its own time beside it."""


class Ended(msgspec.Struct, frozen=True):
    """The session is over; nothing more is billed."""

    session_s: float | None = None
    """What is billed, where the server says."""
    audio_s: float | None = None
    """None even after much audio, as observed in 2026-09."""


class Failure(msgspec.Struct, frozen=True):
    """The server complains. `code` is lower case, "" when there was none. Each is one short line."""

    code: str
    message: str
    param: str
    session_id: str = ""


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
    start_ms: float | None = None
    """From the reply's first audio to the first word's begin; None when the server does not say."""
    end_ms: float | None = None


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
    retryable: bool = False


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
