"""What is strange about a message that can be used all the same: a field that nobody knows, one of the wrong
type, or one that newer servers always send and this one did not.

PURE. None of it changes what a message means to us. It is counted because the silence of a field that was
renamed is how captions of others went missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

_TEXT, _NUMBER, _OBJECT, _YES = (str,), (int, float, type(None)), (dict,), (bool,)
_ANY: tuple[type, ...] = (object,)
_ERROR = {
    "code": _TEXT,
    "message": _TEXT,
    "param": (str, type(None)),
    "session_id": (str, type(None)),
    "error": _ANY,
    "detail": _ANY,
}
_WORDS = {"text": _TEXT, "delta": _TEXT, "item_id": _TEXT}
_ARGUMENTS = (dict, str, type(None))

FIELDS: dict[str, Mapping[str, tuple[type, ...]]] = {
    "session.updated": {"config": _OBJECT, "session_id": _TEXT},
    "session.ready": {"session_id": _TEXT, "expires_at": _NUMBER, "resume_token": _ANY, "config": _OBJECT},
    "session.ended": {
        "session_id": _TEXT,
        "session_duration_seconds": _NUMBER,
        "audio_duration_seconds": _NUMBER,
    },
    "session.error": _ERROR,
    "error": _ERROR,
    "input.speech.started": {"item_id": _TEXT},
    "input.speech.stopped": {"item_id": _TEXT},
    "transcript.user.delta": _WORDS,
    "transcript.user": _WORDS,
    "reply.started": {"reply_id": _TEXT, "item_id": _TEXT},
    "reply.audio": {"data": _TEXT, "audio": _TEXT, "reply_id": _TEXT, "item_id": _TEXT},
    "transcript.agent.delta": {**_WORDS, "start_ms": _NUMBER, "end_ms": _NUMBER, "reply_id": _TEXT},
    "transcript.agent": {**_WORDS, "reply_id": _TEXT, "interrupted": _YES},
    "reply.done": {"status": _TEXT, "reply_id": _TEXT, "item_id": _TEXT},
    "reply.error": {
        **_ERROR,
        "reply_id": _TEXT,
        "retryable": _YES,
        "status_code": _ANY,
        "provider_code": _ANY,
        "provider_param": _ANY,
    },
    "tool.call": {
        "call_id": _TEXT,
        "name": _TEXT,
        "arguments": _ARGUMENTS,
        "args": _ARGUMENTS,
        "reply_id": _TEXT,
        "item_id": _TEXT,
    },
}
"""Every field that was ever documented or seen, by message type; `type` and `timestamp` go without saying."""

EXPECTED: dict[str, tuple[str, ...]] = {
    "session.ready": ("session_id",),
    "session.error": ("code", "message"),
    "reply.started": ("reply_id",),
    "reply.audio": ("reply_id",),
    "reply.done": ("status", "reply_id"),
    "transcript.agent": ("text", "reply_id", "interrupted"),
    "transcript.agent.delta": ("reply_id",),
    "reply.error": ("reply_id", "code"),
    "tool.call": ("name",),
}
"""What a server of today always sends, where we can do without."""


def find_oddities(message: Mapping[str, object]) -> Iterator[str]:
    """Yield what is strange about a message of a known type, each as a short and stable name."""
    kind = str(message["type"])
    known = FIELDS.get(kind)
    if known is None:  # a message we have no use for: its fields are not ours to judge
        return
    for name, value in message.items():
        if name in ("type", "timestamp"):
            continue
        types = known.get(name)
        if types is None:
            yield f"unknown field {kind}.{name}"
        elif not isinstance(value, types) or (isinstance(value, bool) and types is _NUMBER):
            yield f"wrong type of {kind}.{name}"
    for name in EXPECTED.get(kind, ()):
        if name not in message:
            yield f"no {kind}.{name}"
