"""From an open socket to `session.ready`. What each way of failing means is read in `reactions`.

Event loop only; one socket at a time, given and never kept.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from pivoice.agent import wire
from pivoice.agent.connection import Connection, Faults
from pivoice.agent.reactions import Phase, ResumeRefusedError, judge, judge_close
from pivoice.errors import LinkError

logger = logging.getLogger(__name__)

LONGEST_S = 3 * 3600.0  # no session lasts longer (API docs, 2026-07)


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
        ToolsRefusedError: ask again with others, if there are any.
        AuthError, LinkError, AgentError: as everywhere.
    """
    with suppress(LinkError):  # a key may be refused, and the socket closed, before we say a word: read why
        await connection.send(hello.message(session_id))
    complaint: wire.Failure | None = None
    while (event := await connection.receive()) is not None:
        match event:
            case wire.Ready():
                _check_rate(event)
                return event
            case wire.Ended():
                if session_id:
                    raise ResumeRefusedError("the server ended the session")
                raise LinkError("the server ended the session before it began", advice="try again later")
            case wire.Failure():
                judge(event, is_resume=bool(session_id), has_voice=bool(hello.voice))
                complaint = event
    phase: Phase = "resume" if session_id else "connect"
    code, reason = connection.close_code, connection.close_reason
    raise judge_close(code, reason, complaint, phase=phase, has_voice=bool(hello.voice))


def _check_rate(ready: wire.Ready) -> None:
    """Say so where the server takes another rate than ours: it is deaf then, and does not tell."""
    logger.debug("= the session has voice %r and hears %s Hz", ready.voice, ready.sample_rate or "unknown")
    if ready.sample_rate not in (None, wire.RATE_HZ):
        logger.warning(
            "the session expects audio of %d Hz and gets %d Hz, so it will not understand; "
            "set input.format of the stored agent to audio/pcm",
            ready.sample_rate,
            wire.RATE_HZ,
        )


def expires_in_s(ready: wire.Ready, *, wall_s: Callable[[], float] = time.time) -> float | None:
    """Return in how long the server will end the session, None when it did not say.

    By the server's own clock where it told the time as well. Else by ours, which on a Pi may be years off:
    what cannot be true is not believed.
    """
    if ready.expires_in_s is not None or ready.expires_at is None:
        return ready.expires_in_s
    left_s = ready.expires_at - wall_s()
    return left_s if 0 < left_s <= LONGEST_S else None
