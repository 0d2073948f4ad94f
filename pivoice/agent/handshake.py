"""From an open socket to `session.ready`, and what each way of failing means.

Event loop only; one socket at a time, given and never kept.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from pivoice.agent import wire
from pivoice.agent.connection import Connection, Faults
from pivoice.errors import AgentError, AuthError, LinkError

_KEY_REFUSED = ("unauthorized", "forbidden")
_TRY_LATER = {
    "at_capacity": "the server is full",
    "concurrency_exceeded": "the account has too many sessions open",
    "internal_error": "the server has an internal error",
    "server_error": "the server has an internal error",
    "agent_init_failed": "the server could not start an agent",
    "agent_timeout": "the server's agent did not start in time",
    "session_expired": "the session expired",
    "session_not_found": "the server lost the session",
}
_OUR_MISTAKE = (
    "invalid_value",
    "invalid_config",
    "invalid_webhook",
    "agent_id_not_first",
    "agent_not_found",
)
_POLICY = 1008
_FATAL_CLOSES = range(3006, 3010)


class ResumeRefusedError(AgentError):
    """The session cannot be resumed."""


class VoiceRefusedError(AgentError):
    """The server does not know the voice."""


@dataclass
class Hello:
    """How the server is greeted. `voice` is emptied once it was refused."""

    url: str
    key: str
    token_url: str
    faults: Faults
    voice: str
    settings: Callable[[str], wire.Settings]
    """Makes a fresh session's settings for a voice, at the moment they are needed."""
    has_expired: bool = False
    has_greeting: bool = False
    """The last fresh session was asked to greet."""

    def message(self, session_id: str) -> wire.ClientMessage:
        if session_id:
            return wire.SessionResume(session_id)
        settings = self.settings(self.voice)
        self.has_greeting = bool(settings.greeting or settings.agent_id)  # a stored agent may have one
        return wire.SessionUpdate(settings)


async def shake_hands(connection: Connection, hello: Hello, *, session_id: str) -> wire.Ready:
    """Ask for a session, or for the one named, and return the server's consent.

    Raises:
        ResumeRefusedError: `session_id` is not resumed; ask for a fresh session, on another socket.
        VoiceRefusedError: ask again without a voice.
        AuthError, LinkError, AgentError: as everywhere.
    """
    with suppress(LinkError):  # a key may be refused, and the socket closed, before we say a word: read why
        await connection.send(hello.message(session_id))
    complaint: wire.Failure | None = None
    while (event := await connection.receive()) is not None:
        match event:
            case wire.Ready():
                return event
            case wire.Ended():
                raise LinkError("the server ended the session before it began", advice="try again later")
            case wire.Failure():
                _judge(event, is_resume=bool(session_id), has_voice=bool(hello.voice))
                complaint = event
    raise _judge_close(connection, complaint, is_resume=bool(session_id))


def _judge(failure: wire.Failure, *, is_resume: bool, has_voice: bool) -> None:
    """Raise what a complaint before `session.ready` means; return when it may mean nothing."""
    code, said = failure.code, failure.message or "no reason given"
    if code in _TRY_LATER and not (is_resume and code in ("session_expired", "session_not_found")):
        raise LinkError(f"{_TRY_LATER[code]} ({code}: {said})", advice="try again later", code=code)
    if is_resume and code:
        raise ResumeRefusedError(said, code=code)
    if code in _KEY_REFUSED:
        raise AuthError(f"the server refused the API key ({code}: {said})", advice="check the key", code=code)
    if code in _OUR_MISTAKE:
        if has_voice and "voice" in f"{failure.param} {said}".lower():
            raise VoiceRefusedError(said, code=code)
        where = f" {failure.param}" if failure.param else ""
        raise AgentError(
            f"the server refused the session's settings ({code}{where}: {said})",
            advice="check the [agent] settings",
            code=code,
        )


def _judge_close(connection: Connection, complaint: wire.Failure | None, *, is_resume: bool) -> AgentError:
    """Return what a socket closed before `session.ready` means."""
    code = connection.close_code
    said = complaint.message if complaint is not None else connection.close_reason
    told = f"the server closed the connection before it was ready (close code {code}: {said or 'no reason'})"
    if code == _POLICY and is_resume:
        return ResumeRefusedError(told)
    if code == _POLICY or code in _FATAL_CLOSES:
        return AgentError(told, advice="check the key and the [agent] settings")
    return LinkError(told, advice="try again later")
