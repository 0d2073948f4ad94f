"""How a socket is left: with `session.end` where a session must not be billed on, and always within bounds.

Event loop only; keeps nothing.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass

from pivoice.agent import wire
from pivoice.agent.connection import Connection
from pivoice.errors import AgentError, LinkError

logger = logging.getLogger(__name__)

ENDED_S = 2.0  # how long `session.ended` is waited for
NO_SESSION_S = 0.5  # the same where there should be no session: after a refused resume
CLOSE_S = 0.3  # all of an end is done in 2.3 s: a shutdown has 2.4


@dataclass(frozen=True)
class Way:
    """How a connection is left. `error` None: another one takes its place."""

    error: AgentError | None = None
    owes_end: bool = False
    """`session.end` is to be said."""
    keeps: bool = False
    """The session is to be resumed."""
    is_ended: bool = False
    """The server said so."""


async def end_session(connection: Connection, *, within_s: float = ENDED_S) -> bool:
    """Say `session.end` and close; return whether the server confirmed it. Nobody else may be receiving."""
    is_ended = False
    try:
        with suppress(LinkError, TimeoutError):
            async with asyncio.timeout(within_s):
                is_ended = await _say_end(connection)
    except Exception:  # the socket must be closed, whatever ails it
        logger.exception("saying session.end failed")
    await close_socket(connection)
    return is_ended


async def close_socket(connection: Connection, code: int = 1000) -> None:
    """Close, and let go of the socket if the server does not agree in time."""
    closing = asyncio.create_task(connection.close(code), name="agent socket")
    await asyncio.wait({closing}, timeout=CLOSE_S)
    if not closing.done():
        connection.abort()
        await closing


async def _say_end(connection: Connection) -> bool:
    await connection.send(wire.SessionEnd())
    while (event := await connection.receive()) is not None:
        if isinstance(event, wire.Ended):
            return True
    return False
