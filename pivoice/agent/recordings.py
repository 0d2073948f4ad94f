"""Has the server delete its recordings, one after another, until it did or nobody can hope any more.

Event loop only. Owns the one task that asks, which lives while there is something to ask for. What is
pending lies in the ledger from the moment a session begins, so that neither a crash nor a restart
forgets one. Nothing waits for this task: a conversation, least of all, and neither does closing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import quote, urlsplit

from pivoice.agent import rest
from pivoice.agent.ledger import DAY_S, Deletion, Ledger
from pivoice.config import AgentConfig
from pivoice.errors import AgentError

logger = logging.getLogger(__name__)

# A recording appears 7 to 90 s after its session (API docs, session history). Asked sooner, the server may
# well consent to delete what is not there yet: so its first consent is asked for once more.
FIRST_S = 2.0
SURE_S = 100.0
AFTER_RESTART_S = 35.0  # a session that a crash left open is kept, and billed, for 30 s
BACKOFF_S = 15.0
MAX_BACKOFF_S = 900.0
GIVE_UP_S = DAY_S
MAX_PENDING = 1000
_GONE = (404, 410)
_KEY_REFUSED = (401, 403)


def rest_address(config: AgentConfig) -> str:
    """Return the address of the server's other interface: as configured, else the agent's own host."""
    if config.rest_url:
        return config.rest_url.rstrip("/")
    parts = urlsplit(config.url)
    return f"{'http' if parts.scheme == 'ws' else 'https'}://{parts.netloc.rpartition('@')[2]}"


class Recordings:
    """See the module. `is_wanted`: whether new sessions are to be forgotten; old promises are kept anyway."""

    def __init__(
        self, ledger: Ledger, *, rest_url: str, key: str, is_wanted: bool, jitter: Callable[[], float]
    ) -> None:
        self._ledger = ledger
        self._rest_url = rest_url
        self._key = key
        self._is_wanted = is_wanted
        self._jitter = jitter
        self._due: dict[str, float] = {}
        """When to ask next, by session id. A session that is still open is pending, and not here."""
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False
        self.given_up = 0
        """Recordings left at the server since the start; each was told."""

    @property
    def pending(self) -> int:
        return len(self._ledger.book.deletions)

    def start(self) -> None:
        """Go on with what a former run left. Needs the running loop."""
        now_s = asyncio.get_running_loop().time()
        for session_id in self._ledger.book.deletions:
            self._due.setdefault(session_id, now_s + AFTER_RESTART_S)
        self._run()

    def session_began(self, session_id: str) -> None:
        """The server records this one from now on."""
        pending = self._ledger.book.deletions
        if not self._is_wanted or not session_id or session_id in pending:
            return
        if len(pending) >= MAX_PENDING:
            self._give_up(next(iter(pending)), f"more than {MAX_PENDING} wait")
        pending[session_id] = Deletion(self._rest_url)

    def session_over(self, session_id: str) -> None:
        """The session can never be resumed."""
        if session_id in self._ledger.book.deletions:
            self._due[session_id] = asyncio.get_running_loop().time() + FIRST_S
            self._run()

    def close(self) -> None:
        """Stop asking. What is pending stays in the ledger."""
        self._is_closed = True
        if self._task is not None:
            self._task.cancel()

    # --- inside ---

    def _run(self) -> None:
        self._changed.set()
        if self._is_closed or not self._due or not self._key:
            return
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work(), name="agent recordings")

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._due:
            session_id, due_s = min(self._due.items(), key=lambda each: each[1])
            self._changed.clear()
            if (wait_s := due_s - loop.time()) > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._changed.wait()
                continue
            try:
                await self._ask(session_id)
            except Exception as error:  # the top of a task: it must not die of one recording
                logger.exception("asking to delete a recording failed")
                self._retry(session_id, f"pivoice made a mistake: {error!r}")
            self._ledger.save(loop.time())

    async def _ask(self, session_id: str) -> None:
        deletion = self._ledger.book.deletions[session_id]
        try:
            url = f"{deletion.rest}/v1/sessions/{quote(session_id, safe='')}"
            status = (await rest.request("DELETE", url, bearer=self._key)).status
        except AgentError as error:
            self._retry(session_id, str(error))
            return
        if session_id not in self._ledger.book.deletions:
            return  # given up meanwhile
        if 200 <= status < 300 and not deletion.is_granted:
            deletion.is_granted = True
            self._due[session_id] = asyncio.get_running_loop().time() + SURE_S
        elif 200 <= status < 300 or (deletion.is_granted and status in _GONE):
            logger.debug("= the recording of session %s is deleted", session_id)
            self._forget(session_id)
        elif status in _KEY_REFUSED:
            logger.error(
                "the recording of session %s is NOT deleted: the server refuses the key (HTTP %d); "
                "check the key and restart: it is tried again then",
                session_id,
                status,
            )
            self.given_up += 1
            self._due.pop(session_id, None)  # still in the ledger
        else:
            self._retry(session_id, f"the server answers HTTP {status}")

    def _retry(self, session_id: str, reason: str) -> None:
        """Ask again later, or give up for good."""
        deletion = self._ledger.book.deletions.get(session_id)
        if deletion is None:  # given up meanwhile
            self._due.pop(session_id, None)
            return
        if deletion.waited_s >= GIVE_UP_S:
            self._give_up(session_id, f"for a day, {reason}")
            return
        wait_s = min(BACKOFF_S * 2.0 ** min(deletion.attempts, 10), MAX_BACKOFF_S)
        wait_s *= 0.75 + 0.5 * self._jitter()
        deletion.attempts += 1
        deletion.waited_s += wait_s
        self._due[session_id] = asyncio.get_running_loop().time() + wait_s
        logger.debug("! the recording of session %s: %s", session_id, reason)

    def _give_up(self, session_id: str, reason: str) -> None:
        logger.error(
            "the recording of session %s is NOT deleted, and given up: %s; delete it on the server's site",
            session_id,
            reason,
        )
        self.given_up += 1
        self._forget(session_id)

    def _forget(self, session_id: str) -> None:
        self._due.pop(session_id, None)
        self._ledger.book.deletions.pop(session_id, None)
