"""What is sent besides audio, while the link is up: changed settings, and what the outbox holds.

Event loop only. Settings are kept until the server answered them, so that a broken link loses none.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

from pivoice.agent import wire
from pivoice.agent.connection import Connection
from pivoice.agent.outbox import Outbox

MAX_UPDATES = 8  # of each kind; the oldest goes first
ANSWERS = ("invalid_value", "invalid_config", "immutable_field", "agent_id_not_first", "invalid_format")
"""Complaints that stand in the place of `session.updated`."""


class Mail:
    """One conversation's, across its connections."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._has_mail = asyncio.Event()
        self._updates: deque[wire.SessionUpdate] = deque(maxlen=MAX_UPDATES)
        self._unanswered: deque[wire.SessionUpdate] = deque(maxlen=MAX_UPDATES)

    def check(self) -> None:
        """Something may wait to be sent."""
        self._has_mail.set()

    def update(self, settings: wire.Settings) -> None:
        """Tell the session other settings; nothing when there are none."""
        if settings == wire.Settings():
            return
        self._updates.append(wire.SessionUpdate(settings))
        self.check()

    def answered(self) -> wire.Settings | None:
        """The server took the oldest update, or refused it: return it; None when none was waiting."""
        return self._unanswered.popleft().session if self._unanswered else None

    def lose_link(self) -> None:
        """What was not answered is sent again."""
        self._updates.extendleft(reversed(self._unanswered))
        self._unanswered.clear()

    def forget_session(self) -> None:
        """A fresh session was made with everything that was to be told."""
        self._updates.clear()
        self._unanswered.clear()

    async def run(self, connection: Connection) -> None:
        """Send each message at its moment, until cancelled.

        Raises:
            LinkError: the connection closed.
        """
        now_s = asyncio.get_running_loop().time
        while True:
            self._has_mail.clear()
            if self._updates:
                await connection.send(self._updates[0])
                self._unanswered.append(self._updates.popleft())
                continue
            message, wait_s = self._outbox.next(now_s())
            if message is not None:
                await connection.send(message)
                self._outbox.sent(message, now_s(), end=connection.progress()[0])
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._has_mail.wait()
