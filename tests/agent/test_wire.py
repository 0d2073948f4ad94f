"""The vendor's JSON: what we send is what is documented, and nothing that comes can hurt."""

from __future__ import annotations

import base64
import json
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pivoice.agent import oddities, reading, wire
from pivoice.agent.reading import decode
from tests.support import fuzzing


@pytest.mark.parametrize(
    ("message", "frame"),
    [
        (wire.SessionResume("sess_1"), {"type": "session.resume", "session_id": "sess_1"}),
        (wire.SessionEnd(), {"type": "session.end"}),
        (wire.InputAudio(b"\x01\x02"), {"type": "input.audio", "audio": "AQI="}),
        (
            wire.ToolResult("call_1", "{}", True),
            {"type": "tool.result", "call_id": "call_1", "result": "{}", "is_error": True},
        ),
        (wire.ReplyCreate("talk"), {"type": "reply.create", "instructions": "talk"}),
    ],
)
def test_messages_are_spelled_as_documented(message: wire.ClientMessage, frame: dict[str, object]):
    assert json.loads(wire.encode(message)) == frame


CONFIG = {
    "id": "sess_1",
    "system_prompt": "Be brief.",
    "input": {"format": {"encoding": "audio/pcm", "sample_rate": 24000}},
    "output": {"voice": "alba"},
    "tools": [
        {"name": "get_weather", "http": {"url": "https://example.org"}},
        {"name": "get_time", "http": None},
        {"name": "tell_joke"},
        {"name": 5, "http": {}},
        "nonsense",
    ],
}


def nested(depth: int) -> dict[str, object]:
    """Return an object in an object, and so on."""
    inner: dict[str, object] = {}
    for _ in range(depth):
        inner = {"a": inner}
    return inner


def told(**message: object) -> object:
    return decode(json.dumps(message))


@pytest.mark.parametrize(
    ("message", "event"),
    [
        ({"type": "session.ready", "session_id": "s", "expires_at": 1}, wire.Ready("s", expires_at=1.0)),
        (
            {"type": "session.ready", "session_id": "s", "expires_at": 3700, "timestamp": 100.5},
            wire.Ready("s", expires_in_s=3599.5, expires_at=3700.0),
        ),
        (
            {"type": "session.ready", "expires_at": 3700, "timestamp": "2026-10-07T10:00:00Z"},
            wire.Ready("", expires_at=3700.0),
        ),
        ({"type": "session.ready", "expires_at": "soon", "timestamp": 1}, wire.Ready("")),
        ({"type": "session.ready", "expires_at": True, "config": [], "resume_token": "t"}, wire.Ready("")),
        ({"type": "session.ready", "expires_at": 10**400}, wire.Ready("")),
        (
            {"type": "session.ready", "session_id": "s", "config": CONFIG},
            wire.Ready(
                "s",
                system_prompt="Be brief.",
                voice="alba",
                sample_rate=24000,
                http_tools=frozenset(("get_weather",)),
            ),
        ),
        (
            {"type": "session.ready", "config": {"output": 1, "input": {"format": 2}, "tools": {}}},
            wire.Ready(""),
        ),
        ({"type": "session.updated"}, wire.Updated()),
        ({"type": "session.updated", "config": {}}, wire.Updated()),
        (
            {"type": "session.updated", "config": CONFIG},
            wire.Updated(wire.Agreed("Be brief.", "alba", 24000, frozenset(("get_weather",)))),
        ),
        ({"type": "session.ready"}, wire.Ready("")),
        ({"type": "session.ended", "audio_duration_seconds": None}, wire.Ended()),
        (
            {"type": "session.ended", "session_duration_seconds": 12.5, "audio_duration_seconds": 3},
            wire.Ended(12.5, 3.0),
        ),
        (
            {
                "type": "session.error",
                "code": "a\nb",
                "message": "x\x1b[31m\ny" + "z" * 900,
                "session_id": "s",
            },
            wire.Failure("a b", "x [31m y" + "z" * 492, "", "s"),
        ),
        ({"type": "error", "error": {"code": "Bad", "message": "m"}}, wire.Failure("bad", "m", "")),
        ({"type": "session.error", "code": "UNAUTHORIZED"}, wire.Failure("unauthorized", "", "")),
        ({"type": "error", "message": "bare"}, wire.Failure("", "bare", "")),
        ({"type": "session.error", "code": 3, "message": []}, wire.Failure("", "", "")),
        ({"type": "transcript.user.delta", "text": "wh"}, wire.UserText("wh", False)),
        ({"type": "transcript.user.delta", "delta": "wh"}, wire.UserText("wh", False)),
        ({"type": "transcript.user", "text": "what"}, wire.UserText("what", True)),
        ({"type": "reply.started"}, wire.ReplyStarted("")),
        ({"type": "reply.audio", "data": "AAE=", "reply_id": "r"}, wire.ReplyAudio("r", b"\x00\x01")),
        ({"type": "reply.audio", "audio": "AAE="}, wire.ReplyAudio("", b"\x00\x01")),
        ({"type": "reply.audio", "data": "AAE=", "reply_id": None}, wire.ReplyAudio("", b"\x00\x01")),
        ({"data": "AAE=", "x": "y" * 200, "type": "reply.audio"}, wire.ReplyAudio("", b"\x00\x01")),
        ({"type": "transcript.agent.delta", "text": "it"}, wire.AgentWords("", "it")),
        (
            {"type": "transcript.agent.delta", "delta": "it", "start_ms": 0, "end_ms": 120.5},
            wire.AgentWords("", "it", 0.0, 120.5),
        ),
        (
            {"type": "transcript.agent.delta", "delta": "it", "start_ms": None, "end_ms": "1"},
            wire.AgentWords("", "it"),
        ),
        ({"type": "transcript.agent", "interrupted": True}, wire.AgentText("", "", True)),
        ({"type": "transcript.agent", "text": "x", "interrupted": "yes"}, wire.AgentText("", "x", False)),
        ({"type": "reply.done"}, wire.ReplyDone("", "completed")),
        ({"type": "reply.done", "status": "INTERRUPTED"}, wire.ReplyDone("", "interrupted")),
        ({"type": "tool.call", "call_id": "c", "name": "n"}, wire.ToolCall("c", "n", {})),
        ({"type": "tool.call", "call_id": "c", "args": {"a": 1}}, wire.ToolCall("c", "", {"a": 1})),
        ({"type": "tool.call", "call_id": "c", "arguments": '{"a": 1}'}, wire.ToolCall("c", "", {"a": 1})),
        ({"type": "tool.call", "call_id": "c", "arguments": "{"}, wire.ToolCall("c", "", {})),
        (
            {"type": "tool.call", "call_id": "c", "arguments": None, "args": {"a": 1}},
            wire.ToolCall("c", "", {"a": 1}),
        ),
        (
            {"type": "tool.call", "call_id": "c", "arguments": [], "args": '{"a": 1}'},
            wire.ToolCall("c", "", {"a": 1}),
        ),
        (
            {"type": "tool.call", "call_id": "c", "arguments": {"a": 1}, "args": {"b": 2}},
            wire.ToolCall("c", "", {"a": 1}),
        ),
        ({"type": "tool.call", "call_id": "c", "arguments": nested(40)}, wire.ToolCall("c", "", {})),
        (
            {"type": "reply.error", "reply_id": "r", "code": "LLM", "message": "m", "retryable": True},
            wire.ReplyFailed("r", "llm", "m", True),
        ),
        ({"type": "reply.error", "retryable": "yes"}, wire.ReplyFailed("", "", "")),
        ({"type": "reply.content_part.done"}, wire.Ignored()),
    ],
)
def test_every_spelling_that_was_ever_seen_is_understood(message: dict[str, object], event: object):
    assert told(**message) == event


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("\ud800", "not JSON"),
        ("[]", "not an object"),
        ("null", "not an object"),
        ("{}", "no type"),
        ('{"type": []}', "no type"),
        ('{"type": "what.ever"}', "unknown type 'what.ever'"),
        ('{"type": "reply.audio"}', "bad reply.audio"),
        ('{"type":"reply.audio","data":"%"}', "bad reply.audio"),
        ('{"type": "transcript.user", "text": 5}', "bad transcript.user"),
        ('{"type": "tool.call", "call_id": ""}', "bad tool.call"),
        (b"\x00\x01", "binary frame"),
    ],
)
def test_what_cannot_be_used_is_named_not_raised(frame: str | bytes, kind: str):
    garbled = decode(frame)

    assert isinstance(garbled, wire.Garbled)
    assert garbled.kind == kind


def test_a_token_in_a_frame_that_was_cut_short_is_not_shown():
    garbled = decode('{"type": "session.ready", "resume_token" : "abcdefgh')

    assert isinstance(garbled, wire.Garbled)
    assert "abc" not in garbled.detail


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10), inner, max_size=5),
    max_leaves=10,
)
FIELDS = sorted({key for message in fuzzing.CORPUS for key in message} - {"type"})


@given(
    kind=st.sampled_from(sorted(reading._READERS)) | st.text(),
    fields=st.dictionaries(st.sampled_from(FIELDS), JSON),
)
def test_no_field_of_any_type_is_too_odd(kind: str, fields: dict[str, object]):
    fuzzing.read(json.dumps({"type": kind, **fields}))


@given(message=JSON)
def test_no_json_is_too_odd(message: object):
    fuzzing.read(json.dumps(message))


@given(frame=st.text() | st.binary())
def test_no_frame_is_too_odd(frame: str | bytes):
    assert isinstance(fuzzing.read(frame), wire.Garbled)


def test_three_thousand_mutated_messages_are_read_as_what_they_are_or_named():
    kinds = {type(fuzzing.read(frame)) for frame in fuzzing.frames(seed=1, count=3000)}

    assert kinds == {*typing.get_args(wire.ServerEvent), wire.Garbled}


@pytest.mark.parametrize("message", fuzzing.CORPUS, ids=lambda message: message["type"])
def test_no_message_of_the_corpus_is_garbled(message: dict[str, object]):
    assert not isinstance(fuzzing.read(json.dumps(message)), wire.Garbled)


@given(pcm=st.binary(max_size=2000))
def test_audio_arrives_byte_for_byte(pcm: bytes):
    data = base64.b64encode(pcm).decode()

    assert decode(f'{{"type":"reply.audio","data":"{data}","reply_id":"r"}}') == wire.ReplyAudio("r", pcm)


@pytest.mark.parametrize(
    ("message", "strange"),
    [
        ({"type": "reply.done", "status": "completed", "reply_id": "r", "timestamp": 1.5}, []),
        (
            {"type": "reply.done", "status": 7, "reply_id": "r", "brand_new": 1},
            ["wrong type of reply.done.status", "unknown field reply.done.brand_new"],
        ),
        ({"type": "reply.done"}, ["no reply.done.status", "no reply.done.reply_id"]),
        ({"type": "session.ready", "session_id": 5}, ["wrong type of session.ready.session_id"]),
        (
            {"type": "session.ready", "session_id": "s", "expires_at": True},
            ["wrong type of session.ready.expires_at"],
        ),
        ({"type": "session.ended", "audio_duration_seconds": None}, []),
        ({"type": "reply.audio", "data": "AAAA"}, ["no reply.audio.reply_id"]),
        ({"type": "reply.audio", "audio": "AAAA", "reply_id": "r"}, []),
        ({"type": "tool.call", "call_id": "c", "name": "n", "args": {}}, []),
        ({"type": "reply.content_part.done", "whatever": 1}, []),
    ],
)
def test_what_is_strange_about_a_usable_message_is_noted(message: dict[str, object], strange: list[str]):
    noted: list[str] = []

    event = decode(json.dumps(message), note=noted.append)

    assert not isinstance(event, wire.Garbled)
    assert sorted(noted) == sorted(strange)


def test_every_message_that_is_read_has_its_fields_listed():
    read = {kind for kind in reading._READERS if not kind.startswith("reply.content_part")}

    assert set(oddities.FIELDS) == read
    assert all(set(names) <= set(oddities.FIELDS[kind]) for kind, names in oddities.EXPECTED.items())
