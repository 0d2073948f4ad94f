"""The vendor's JSON: what we send is what is documented, and nothing that comes can hurt."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pivoice.agent import wire


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


def told(**message: object) -> object:
    return wire.decode(json.dumps(message))


@pytest.mark.parametrize(
    ("message", "event"),
    [
        ({"type": "session.ready", "session_id": "s", "expires_at": 1}, wire.Ready("s")),
        ({"type": "session.ready"}, wire.Ready("")),
        ({"type": "session.ended", "audio_duration_seconds": None}, wire.Ended()),
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
        ({"type": "transcript.agent", "interrupted": True}, wire.AgentText("", "", True)),
        ({"type": "transcript.agent", "text": "x", "interrupted": "yes"}, wire.AgentText("", "x", False)),
        ({"type": "reply.done"}, wire.ReplyDone("", "completed")),
        ({"type": "reply.done", "status": "INTERRUPTED"}, wire.ReplyDone("", "interrupted")),
        ({"type": "tool.call", "call_id": "c", "name": "n"}, wire.ToolCall("c", "n", {})),
        ({"type": "tool.call", "call_id": "c", "args": {"a": 1}}, wire.ToolCall("c", "", {"a": 1})),
        ({"type": "tool.call", "call_id": "c", "arguments": '{"a": 1}'}, wire.ToolCall("c", "", {"a": 1})),
        ({"type": "tool.call", "call_id": "c", "arguments": "{"}, wire.ToolCall("c", "", {})),
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
    garbled = wire.decode(frame)

    assert isinstance(garbled, wire.Garbled)
    assert garbled.kind == kind


JSON = st.sampled_from(
    [None, True, False, 0, -1, 2**70, 1.5, "", "x", "%%%", "AAE=", "{", [], [1], {}, {"a": []}, "\ud800"]
)
FIELDS = st.sampled_from(
    [
        "text",
        "delta",
        "data",
        "audio",
        "reply_id",
        "status",
        "call_id",
        "name",
        "arguments",
        "code",
        "session_id",
    ]
)


@given(kind=st.sampled_from(sorted(wire._READERS)), fields=st.dictionaries(FIELDS, JSON))
def test_no_field_of_any_type_is_too_odd(kind: str, fields: dict[str, object]):
    event = wire.decode(json.dumps({"type": kind, **fields}))

    assert event is not None


@given(frame=st.text() | st.binary())
def test_no_frame_is_too_odd(frame: str | bytes):
    assert isinstance(wire.decode(frame), wire.Garbled)


@given(pcm=st.binary(max_size=2000))
def test_audio_arrives_byte_for_byte(pcm: bytes):
    data = base64.b64encode(pcm).decode()

    assert wire.decode(f'{{"type":"reply.audio","data":"{data}","reply_id":"r"}}') == wire.ReplyAudio(
        "r", pcm
    )
