"""Messages as no server would send them: a corpus of all there are, mutated, and what must hold of each.

Deterministic: the same seed makes the same frames. `scripts/fuzz` runs a million, the tests some thousand.
"""

from __future__ import annotations

import copy
import itertools
import json
import random
from collections.abc import Callable
from typing import Any

import msgspec

from pivoice.agent import wire
from pivoice.agent.reading import decode

Message = dict[str, Any]

_CONFIG = {
    "id": "sess_1",
    "system_prompt": "Be brief.",
    "input": {"type": "audio", "format": {"encoding": "audio/pcm", "sample_rate": 24000}, "keyterms": []},
    "output": {"type": "audio", "voice": "alba", "volume": None},
    "tools": [{"name": "get_weather", "http": {"url": "https://example.org"}}, {"name": "b", "http": None}],
    "llm": None,
}
_READY = {"session_id": "sess_1", "expires_at": 1_791_000_000, "resume_token": "t", "config": _CONFIG}
_ERROR = {"code": "INVALID_VALUE", "message": "unknown voice", "param": "session.output.voice"}
_REPLY = {"reply_id": "resp_1", "item_id": "item_1"}

CORPUS: tuple[Message, ...] = tuple(
    {"type": kind, **fields}
    for kind, fields in (
        ("session.updated", {"config": {}}),
        ("session.updated", {"config": _CONFIG, "timestamp": "2026-10-07T10:00:00Z"}),
        ("session.ready", {"session_id": "sess_1"}),
        ("session.ready", {**_READY, "timestamp": 1_790_996_400.25}),
        ("session.ended", {"session_duration_seconds": 12.5, "audio_duration_seconds": None}),
        ("session.error", {**_ERROR, "session_id": "sess_1", "timestamp": 1_790_996_400.25}),
        ("error", {"message": "bare"}),
        ("error", {"error": {"code": "server_error", "message": "wrapped"}}),
        ("input.speech.started", {}),
        ("input.speech.stopped", {"timestamp": 1}),
        ("transcript.user.delta", {"text": "what ti", "item_id": "item_0"}),
        ("transcript.user.delta", {"delta": "what ti"}),
        ("transcript.user", {"text": "What time is it? \u00e9\U0001f642", "item_id": "item_0"}),
        ("reply.started", _REPLY),
        ("reply.started", {}),
        ("reply.audio", {"data": "AAECAwQFBgc=", "reply_id": "resp_1"}),
        ("reply.audio", {"audio": "//8AAP//"}),
        ("transcript.agent.delta", {"delta": "It", "start_ms": 0, "end_ms": 180.5, **_REPLY}),
        ("transcript.agent.delta", {"text": "It"}),
        ("transcript.agent", {"text": "It is four.", "interrupted": True, **_REPLY}),
        ("reply.done", {"status": "interrupted", "reply_id": "resp_1"}),
        ("reply.done", {}),
        ("reply.error", {"code": "llm", "message": "no", "retryable": True, "status_code": 502, **_REPLY}),
        ("tool.call", {"call_id": "call_1", "name": "get_time", "arguments": {"zone": ["a", {"b": 1}]}}),
        ("tool.call", {"call_id": "call_2", "name": "get_time", "args": {}}),
        ("tool.call", {"call_id": "call_3", "name": "get_time", "arguments": '{"zone": "UTC"}'}),
        ("reply.content_part.started", {"part": {}}),
        ("reply.content_part.done", {}),
    )
)

_ODD: tuple[object, ...] = (
    *(None, True, False, 0, -1, 2**31, 2**63, 2**64, 2**70, 10**400, 1e308, -1e-308, 0.1),
    *("", "x", " ", "\0", "\n\x1b[31m", "%%%", "AAE=", "AAE", "{", "null", "\ud800", "\u202e", "\U0010ffff"),
    *([], [[]], [None] * 50, {}, {"": {}}, {"type": "reply.audio"}, "a" * 5000, list(range(300))),
)
_RAW = (
    b"NaN",
    b"Infinity",
    b"-0",
    b"1e999",
    b"01",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\\u",
    b"\\ud800",
    b'"',
    b"}",
    b"",
)
_WORDS = sorted({key for message in CORPUS for key in message} | {message["type"] for message in CORPUS})


def frames(seed: int, count: int) -> itertools.islice[str]:
    """Yield `count` mutated text frames."""

    def endless() -> Any:
        rng = random.Random(seed)
        while True:
            yield mutate(rng)

    return itertools.islice(endless(), count)


def mutate(rng: random.Random) -> str:
    """Return one message of the corpus, damaged once or several times, in its tree and in its text."""
    message = copy.deepcopy(rng.choice(CORPUS))
    for _ in range(rng.choice((0, 1, 1, 2, 4))):
        rng.choice(_TREE)(rng, message)
    separators = rng.choice(((",", ":"), (", ", ": ")))
    text = json.dumps(message, ensure_ascii=rng.random() < 0.7, separators=separators)
    raw = text.encode("utf-8", "surrogatepass")
    for _ in range(rng.choice((0, 0, 0, 0, 1, 1, 3))):
        raw = rng.choice(_TEXT)(rng, raw)
    return raw.decode("utf-8", rng.choice(("replace", "surrogateescape")))


# --- in the tree ---


def _retype(rng: random.Random, message: Message) -> None:
    message[rng.choice(list(message) or ["type"])] = copy.deepcopy(rng.choice(_ODD))


def _remove(rng: random.Random, message: Message) -> None:
    message.pop(rng.choice(list(message) or ["type"]), None)


def _add(rng: random.Random, message: Message) -> None:
    message[rng.choice(_WORDS)] = copy.deepcopy(rng.choice(_ODD))


def _rename(rng: random.Random, message: Message) -> None:
    old = rng.choice(list(message) or ["type"])
    message[rng.choice(_WORDS)] = message.pop(old, None)


def _change_kind(rng: random.Random, message: Message) -> None:
    message["type"] = rng.choice((*_WORDS, "reply.audio ", "REPLY.AUDIO", "what.ever"))


def _damage_inside(rng: random.Random, message: Message) -> None:
    inner = [value for value in message.values() if isinstance(value, dict)]
    if inner:
        rng.choice((_retype, _remove, _add, _rename, _damage_inside))(rng, rng.choice(inner))


def _nest(rng: random.Random, message: Message) -> None:
    key = rng.choice(list(message) or ["type"])
    for _ in range(rng.choice((1, 2, 10, 40, 200))):
        message[key] = {key: message.get(key)} if rng.random() < 0.5 else [message.get(key)]


def _reorder(rng: random.Random, message: Message) -> None:
    items = list(message.items())
    rng.shuffle(items)
    message.clear()
    message.update(items)


_TREE: tuple[Callable[[random.Random, Message], None], ...] = (
    *(_retype, _retype, _remove, _add, _rename, _change_kind, _damage_inside, _nest, _reorder),
)


# --- in the text ---


def _flip(rng: random.Random, raw: bytes) -> bytes:
    if not raw:
        return raw
    at = rng.randrange(len(raw))
    return raw[:at] + bytes([raw[at] ^ (1 << rng.randrange(8))]) + raw[at + 1 :]


def _cut(rng: random.Random, raw: bytes) -> bytes:
    return raw[: rng.randint(0, len(raw))]


def _insert(rng: random.Random, raw: bytes) -> bytes:
    at = rng.randint(0, len(raw))
    return raw[:at] + rng.choice((*_RAW, rng.randbytes(rng.randint(1, 8)))) + raw[at:]


def _replace_value(rng: random.Random, raw: bytes) -> bytes:
    before, colon, after = raw.partition(b":")
    _, comma, rest = after.partition(b",")
    return before + colon + rng.choice(_RAW) + comma + rest


def _double(rng: random.Random, raw: bytes) -> bytes:
    """Put two messages into one frame."""
    return raw + rng.choice((b"", b"\n", b",")) + json.dumps(rng.choice(CORPUS)).encode()


def _repeat_key(rng: random.Random, raw: bytes) -> bytes:
    """Have an object say the same field twice, with different values."""
    extra = json.dumps({rng.choice(_WORDS): rng.choice(_ODD) for _ in range(2)}).encode()
    return raw[:1] + extra[1:-1] + b"," + raw[1:]


def _bury(rng: random.Random, raw: bytes) -> bytes:
    depth = rng.choice((1, 50, 2000, 20_000))
    return b"[" * depth + raw + b"]" * rng.choice((0, depth))


def _swap(rng: random.Random, raw: bytes) -> bytes:
    at, to = sorted((rng.randint(0, len(raw)), rng.randint(0, len(raw))))
    middle = (at + to) // 2
    return raw[:at] + raw[middle:to] + raw[at:middle] + raw[to:]


_TEXT: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    *(_flip, _flip, _cut, _insert, _insert, _replace_value, _double, _repeat_key, _bury, _swap),
)


# --- what must hold ---


def read(frame: str | bytes) -> wire.ServerEvent | wire.Garbled:
    """Return what `decode` makes of a frame, after checking that it keeps its word.

    Raises:
        AssertionError: it does not.
    """
    event = decode(frame)
    if isinstance(event, wire.Garbled):
        assert 0 < len(event.kind) <= 150, f"not short: {event.kind!r}"
        assert event.kind.isprintable(), f"not one line: {event.kind!r}"
        assert len(event.detail) <= 200, f"not short: {event.detail!r}"
    plain = msgspec.to_builtins(event, builtin_types=(bytes,))
    again = msgspec.convert(plain, type(event), builtin_types=(bytes,), strict=True)
    assert again == event, f"not as declared: {event!r}"
    msgspec.json.encode(event)  # what cannot be written down again would fail in a log or in `ctl`
    return event
