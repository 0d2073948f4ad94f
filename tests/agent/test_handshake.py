"""What comes between an open socket and `session.ready`, and what each way of failing means."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from websockets.asyncio.server import ServerConnection, serve

from pivoice.agent import wire
from pivoice.agent.connection import Faults, open_connection
from pivoice.agent.handshake import Hello, expires_in_s, shake_hands
from pivoice.agent.reactions import ResumeRefusedError, VoiceRefusedError
from pivoice.errors import AgentError, AuthError, LinkError
from pivoice.simulation import JumpLoop, run_jumping

Message = dict[str, object]
READY: Message = {"type": "session.ready", "session_id": "s"}


def error(code: str, message: str = "no") -> Message:
    return {"type": "session.error", "code": code, "message": message}


def shake(
    *answers: Message, session_id: str = "", close: tuple[int, str] = (1008, ""), at_once: bool = False
) -> tuple[object, list[Message]]:
    """Shake hands with a server that gives these answers and closes; return the outcome and its log."""
    heard: list[Message] = []

    async def answer(socket: ServerConnection) -> None:
        if not at_once:
            heard.append(json.loads(await socket.recv()))
        for each in answers:
            await socket.send(json.dumps(each))
        await socket.close(*close)

    async def main(_: JumpLoop) -> object:
        async with serve(answer, "127.0.0.1", 0) as server:
            hello = Hello(
                url=f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/",
                key="key",
                token_url="",
                faults=Faults(),
                voice="alba",
                settings=lambda voice: wire.Settings(output=wire.Output(voice=voice)),
            )
            connection = await open_connection(hello.url, key="key", token_url="", faults=hello.faults)
            try:
                return await shake_hands(connection, hello, session_id=session_id)
            except AgentError as refusal:
                return refusal
            finally:
                await connection.close()

    return run_jumping(main), heard


def test_a_fresh_session_is_asked_for_by_its_settings():
    ready, heard = shake({"type": "session.updated"}, READY)

    assert ready == wire.Ready("s")
    assert heard == [{"type": "session.update", "session": {"output": {"voice": "alba"}}}]


def test_a_session_is_resumed_by_its_id_alone():
    ready, heard = shake(READY, session_id="s")

    assert ready == wire.Ready("s")
    assert heard == [{"type": "session.resume", "session_id": "s"}]


@pytest.mark.parametrize(("rate_hz", "warnings"), [(24_000, 0), (8_000, 1), (None, 0), ("24000", 0)])
def test_a_session_that_expects_another_rate_is_told_of(
    rate_hz: object, warnings: int, caplog: pytest.LogCaptureFixture
):
    shake({**READY, "config": {"input": {"format": {"sample_rate": rate_hz}}}})

    told = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert [f"{rate_hz} Hz" in each for each in told] == [True] * warnings


def test_an_update_that_was_taken_is_not_yet_ready():
    outcome, _ = shake({"type": "session.updated", "config": {}}, close=(1000, ""))

    assert type(outcome) is LinkError


def test_a_key_that_is_refused_before_we_said_a_word_is_read():
    outcome, _ = shake(error("UNAUTHORIZED", "Invalid API key"), at_once=True)

    assert type(outcome) is AuthError


@pytest.mark.parametrize(
    ("answers", "close", "fresh", "resumed"),
    [
        ([error("at_capacity")], (1008, ""), LinkError, LinkError),
        ([error("invalid_value", "unknown voice")], (1008, ""), VoiceRefusedError, ResumeRefusedError),
        ([error("invalid_value", "bad")], (1008, ""), AgentError, ResumeRefusedError),
        ([error("session_not_found")], (1008, ""), LinkError, ResumeRefusedError),
        ([error("a_code_of_tomorrow")], (1008, ""), AgentError, ResumeRefusedError),
        ([error("immutable_field"), READY], (1000, ""), wire.Ready, wire.Ready),
        ([{"type": "session.ended"}], (1000, ""), LinkError, ResumeRefusedError),
        ([], (1008, "Invalid API key"), AuthError, ResumeRefusedError),
        ([], (1008, "policy"), AgentError, ResumeRefusedError),
        ([], (1011, ""), LinkError, LinkError),
        ([], (3005, ""), LinkError, LinkError),
        ([], (3007, ""), AgentError, AgentError),
    ],
)
def test_each_way_of_failing_is_told_apart(
    answers: Sequence[Message], close: tuple[int, str], fresh: type[object], resumed: type[object]
):
    assert type(shake(*answers, close=close)[0]) is fresh
    assert type(shake(*answers, close=close, session_id="s")[0]) is resumed


@pytest.mark.parametrize(
    ("ready", "left_s"),
    [
        (wire.Ready("s"), None),
        (wire.Ready("s", expires_in_s=3600.0, expires_at=9e9), 3600.0),  # by the server's own clock
        (wire.Ready("s", expires_at=1_003_600.0), 3600.0),
        (wire.Ready("s", expires_at=999_000.0), None),  # over already? then it is our clock that is wrong
        (wire.Ready("s", expires_at=1_790_000_000.0), None),
    ],
)
def test_an_expiry_is_believed_where_it_can_be_true(ready: wire.Ready, left_s: float | None):
    assert expires_in_s(ready, wall_s=lambda: 1_000_000.0) == left_s
