"""What each complaint and each close of the server means: the vendor's table of errors, one row per code.

PURE. Says what is to be done by the class of the error it makes; doing it is the handshake's business
before `session.ready`, and the conversation's after it. In a live session a complaint alone never ends
anything: only the close of the socket does, and the last complaint says why.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pivoice.agent import wire
from pivoice.errors import AgentError, AuthError, LinkError

Phase: TypeAlias = Literal["connect", "resume", "live"]
"""Asking for a fresh session, asking for an old one, or after `session.ready`."""


class GoneError(AgentError):
    """The session is not to be had any more. A fresh one may be."""


class ResumeRefusedError(GoneError):
    """The session cannot be resumed."""


class VoiceRefusedError(AgentError):
    """The server does not know the voice."""


class ToolsRefusedError(AgentError):
    """The server does not take one of the tools."""


class Reaction(enum.Enum):
    """What the device does. The comment names the error that says so."""

    CARRY_ON = "carry on"  # none
    RETRY = "retry"  # LinkError: later, and the same session if there is one
    FRESH = "fresh"  # GoneError
    KEY = "key"  # AuthError: stop, the owner mends the key
    SETTINGS = "settings"  # AgentError: stop, the owner mends the settings


_CARRY_ON, _RETRY, _FRESH = Reaction.CARRY_ON, Reaction.RETRY, Reaction.FRESH
_KEY, _SETTINGS = Reaction.KEY, Reaction.SETTINGS


@dataclass(frozen=True)
class Row:
    """One code. `live` is for the close that follows it; before that it is only told."""

    told: str
    connect: Reaction
    resume: Reaction
    live: Reaction


# API docs, section on errors, 2026-10; codes are compared in lower case, for the docs mix both.
TABLE: dict[str, Row] = {
    # On a resume the key may be good and the session another account's: the fresh session tells.
    "unauthorized": Row("the server refused the API key", _KEY, _FRESH, _KEY),
    "forbidden": Row("the server refused the API key", _KEY, _FRESH, _KEY),
    "at_capacity": Row("the server is full", _RETRY, _RETRY, _FRESH),
    "concurrency_exceeded": Row("the account has too many sessions open", _RETRY, _RETRY, _FRESH),
    "internal_error": Row("the server has an internal error", _RETRY, _RETRY, _RETRY),
    "server_error": Row("the server has an internal error", _RETRY, _RETRY, _RETRY),
    "agent_init_failed": Row("the server could not start an agent", _RETRY, _RETRY, _FRESH),
    "agent_timeout": Row("the server's agent did not start in time", _RETRY, _RETRY, _FRESH),
    "session_not_found": Row("the server lost the session", _RETRY, _FRESH, _FRESH),
    "session_forbidden": Row("the session is another account's", _RETRY, _FRESH, _FRESH),
    "session_expired": Row("the session expired", _RETRY, _FRESH, _FRESH),
    "invalid_value": Row("the server refused the session's settings", _SETTINGS, _FRESH, _SETTINGS),
    "invalid_config": Row("the server refused the session's settings", _SETTINGS, _FRESH, _SETTINGS),
    "invalid_webhook": Row("the server refused the session's settings", _SETTINGS, _FRESH, _SETTINGS),
    "agent_id_not_first": Row("the server refused the session's settings", _SETTINGS, _FRESH, _CARRY_ON),
    "agent_not_found": Row("the server does not know the agent", _SETTINGS, _FRESH, _SETTINGS),
    # Before ready these end nothing by themselves: if the server means it, it closes.
    "immutable_field": Row("a setting cannot change", _CARRY_ON, _CARRY_ON, _CARRY_ON),
    "invalid_format": Row("a message was not understood", _CARRY_ON, _FRESH, _CARRY_ON),
    "invalid_audio": Row("audio was not understood", _CARRY_ON, _CARRY_ON, _CARRY_ON),
    "audio_rate_violation": Row("audio came too fast", _CARRY_ON, _CARRY_ON, _CARRY_ON),
}

_ADVICE = {
    _RETRY: "try again later",
    _KEY: "check the key",
    _SETTINGS: "check the [agent] settings",
}

_POLICY = 1008
_OVER = ("session_expired", "session_not_found", "session_forbidden")
_FATAL = range(3006, 3010)  # the vendor's staff list them so, without a word why
# In a reason given as prose instead of a code.
_KEY_WORDS = ("api key", "unauthorized", "unauthorised", "invalid token", "forbidden")


def judge(failure: wire.Failure, *, is_resume: bool, has_voice: bool) -> None:
    """Raise what a complaint before `session.ready` means; return when it may mean nothing.

    Raises:
        VoiceRefusedError, ToolsRefusedError, ResumeRefusedError, AuthError, LinkError, AgentError
    """
    row = TABLE.get(failure.code)
    if row is None:
        if is_resume and failure.code:  # a code of tomorrow: whatever it is, it is not consent
            raise ResumeRefusedError(failure.message or failure.code, code=failure.code)
        return
    reaction = row.resume if is_resume else row.connect
    if reaction is _SETTINGS and has_voice and _names_voice(f"{failure.param} {failure.message}"):
        raise VoiceRefusedError(failure.message, code=failure.code)
    error = _error(reaction, row.told, failure, is_resume=is_resume)
    if error is not None and reaction is _SETTINGS and "tools" in failure.param:
        raise ToolsRefusedError(error.reason, advice=error.advice, code=error.code)
    if error is not None:
        raise error


def judge_close(
    code: int, reason: str, complaint: wire.Failure | None, *, phase: Phase, has_voice: bool = False
) -> AgentError:
    """Return what the close of a socket means, without a `session.ended` before it.

    LinkError: connect again, resuming the session if there is one. GoneError: begin a fresh one.
    VoiceRefusedError: ask again without a voice. AuthError, AgentError: stop. `complaint` is the last that
    came on this socket. A close by policy (1008) is judged by it; any other by its code, unless the
    complaint was that the session is over.
    """
    said = (complaint.message or complaint.code) if complaint is not None else ""
    told = f"the server closed the connection{'' if phase == 'live' else ' before it was ready'} "
    told += f"(close code {code}: {reason or said or 'no reason'})"
    if code in _FATAL:
        return AgentError(told, advice="check agent.url and the [agent] settings")
    is_over = complaint is not None and complaint.code in _OVER
    if code != _POLICY and not is_over:
        return LinkError(told, advice=_ADVICE[_RETRY])
    known = complaint if complaint is not None and complaint.code in TABLE else _read_reason(reason)
    if known is None and complaint is not None and not complaint.code:
        known = _read_reason(complaint.message)  # a bare "error" has no more than a message
    says_settings = known is None or TABLE[known.code].connect is _SETTINGS
    if phase == "connect" and has_voice and says_settings and _names_voice(reason):
        return VoiceRefusedError(told, code=known.code if known else "")
    if known is not None:
        row = TABLE[known.code]
        error = _error(_of(row, phase), row.told, known, is_resume=phase == "resume")
        if error is not None:
            return error
    if phase == "live":
        return GoneError(told, advice=_ADVICE[_RETRY], code=complaint.code if complaint else "")
    if phase == "resume":
        return ResumeRefusedError(told)
    return AgentError(told, advice="check the key and the [agent] settings")


def _names_voice(words: str) -> bool:
    return "voice" in words.lower().replace("voice_focus", "").replace("voice focus", "")


def _of(row: Row, phase: Phase) -> Reaction:
    return {"connect": row.connect, "resume": row.resume, "live": row.live}[phase]


def _error(reaction: Reaction, told: str, failure: wire.Failure, *, is_resume: bool) -> AgentError | None:
    code = failure.code
    where = f" {failure.param}" if failure.param else ""
    said = f"{told} ({code}{where}: {failure.message or 'no reason given'})"
    match reaction:
        case Reaction.CARRY_ON:
            return None
        case Reaction.RETRY:
            return LinkError(said, advice=_ADVICE[reaction], code=code)
        case Reaction.FRESH:
            return (ResumeRefusedError if is_resume else GoneError)(said, code=code)
        case Reaction.KEY:
            return AuthError(said, advice=_ADVICE[reaction], code=code)
        case Reaction.SETTINGS:
            return AgentError(said, advice=_ADVICE[reaction], code=code)


def _read_reason(reason: str) -> wire.Failure | None:
    """Return the complaint that a close's reason stands for; None when it names none."""
    words = reason.lower()
    for code in TABLE:
        if code in words or code.replace("_", " ") in words:
            return wire.Failure(code, reason, "")
    if any(each in words for each in _KEY_WORDS):
        return wire.Failure("unauthorized", reason, "")
    return None
