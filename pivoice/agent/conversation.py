"""One conversation's way to the server: connect, ready, drop, resume or begin anew, end.

Event loop only. Owns the socket and the tasks around it, all of them; what is said over it belongs to
`dialogue`. `close` leaves nothing behind: no task, no socket, no event.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from pivoice.agent import wire
from pivoice.agent.connection import Connection, open_connection
from pivoice.agent.dialogue import Dialogue
from pivoice.agent.handshake import Hello, ResumeRefusedError, VoiceRefusedError, shake_hands
from pivoice.agent.pacing import Sender
from pivoice.errors import AgentError, LinkError

logger = logging.getLogger(__name__)

READY_S = 10.0  # the server gives up after 10 s as well
ENDED_S = 2.0  # how long `session.ended` is waited for
RESUME_WINDOW_S = 25.0  # the server keeps a dropped session for 30 s; a later attempt is only refused
MAX_RECONNECTS = 5  # a client without a cap made nine attempts in 2.4 s, each of them billed
BACKOFF_S = 0.25
MAX_BACKOFF_S = 4.0


class Conversation:
    """From one `Connect` to its end. Tells how it goes by `on_state(state, details)`.

    `on_over(error)` is told once, if it ends against our will; the socket is closed by then.
    """

    def __init__(
        self,
        *,
        hello: Hello,
        dialogue: Dialogue,
        sender: Sender,
        session_id: str,
        on_state: Callable[..., None],
        on_over: Callable[[AgentError], None],
        jitter: Callable[[], float],
    ) -> None:
        self._hello = hello
        self.dialogue = dialogue
        self.sender = sender
        self.session_id = session_id
        """The server's; to be resumed as long as it is not empty."""
        self._on_state = on_state
        self._on_over = on_over
        self._jitter = jitter
        self.is_ready = False
        self.dropped_s: float | None = None
        """When the link was lost; None while it holds, and before it was there."""
        self._attempts = 0
        self._connection: Connection | None = None
        self._ended = asyncio.Event()
        self._has_mail = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._around: list[asyncio.Task[None]] = []

    def start(self, *, after: asyncio.Task[Any] | None) -> None:
        """Begin; `after` closes the socket that this conversation resumes, and goes first."""
        self._task = asyncio.create_task(self._run(after), name="agent conversation")

    def check_mail(self) -> None:
        """Something waits to be sent."""
        self._has_mail.set()

    async def close(self, *, linger: bool) -> None:
        """Close the socket, saying `session.end` first unless it is to linger. Bounded; never raises."""
        self.dialogue.is_closed = True
        connection = self._connection
        was_ready, self.is_ready = self.is_ready, False
        await _cancel(*self._around)
        if was_ready and not linger and connection is not None:
            with suppress(LinkError, TimeoutError):
                async with asyncio.timeout(ENDED_S):
                    await connection.send(wire.SessionEnd())
                    await self._ended.wait()
        if self._task is not None:
            await _cancel(self._task)
        if connection is not None:
            await connection.close(1001 if linger else 1000)  # 1001: going away, the session is not over

    # --- the life of the link ---

    async def _run(self, after: asyncio.Task[Any] | None) -> None:
        try:
            if after is not None:
                await asyncio.wait([after])
            await self._live()
        except AgentError as error:
            self._fail(error)
        except Exception as error:  # a mistake of ours must end in an event, not in silence
            logger.exception("the agent's task failed")
            self._fail(AgentError(f"pivoice made a mistake: {error!r}", advice="please report it"))

    def _fail(self, error: AgentError) -> None:
        self.is_ready = False
        if not self.dialogue.is_closed:
            self.dialogue.lose_link()  # what there is of a reply plays out, and its end is told
            self._on_over(error)

    async def _live(self) -> None:
        while True:
            connection = await self._connect()
            try:
                is_over = await self._talk(connection)
            finally:
                self.is_ready = False
                if not self.dialogue.is_closed:  # else `close` is at it
                    await connection.close()
            if is_over and not self._hello.has_expired:
                self._ended.set()
                self.session_id = ""
                raise AgentError("the server ended the session", advice="start a new conversation")
            self._note_drop(connection)

    async def _talk(self, connection: Connection) -> bool:
        """Pass on what is said until the socket closes; return whether the server ended the session."""
        self._around = [
            asyncio.create_task(self._guard(self.sender.run, connection), name="agent audio"),
            asyncio.create_task(self._guard(self._deliver, connection), name="agent mail"),
        ]
        try:
            while (event := await connection.receive()) is not None:
                match event:
                    case wire.Ended():
                        self._ended.set()
                        return True
                    case wire.Failure():
                        self._hear_failure(event)
                    case wire.ReplyStarted():
                        self._attempts = 0  # the link has proved itself
                self.dialogue.hear(event)
            return False
        finally:
            await _cancel(*self._around)

    def _hear_failure(self, failure: wire.Failure) -> None:
        """An error told in band never ends a session; only the socket's close does."""
        if self.dialogue.is_closed:
            return
        logger.warning("the agent's server complains: %s %s", failure.code, failure.message)
        self._on_state("error", code=failure.code, message=failure.message)
        if failure.code == "audio_rate_violation":
            self.sender.rewind()
        elif failure.code == "session_expired":
            self._hello.has_expired = True

    def _note_drop(self, connection: Connection) -> None:
        self._connection = None
        self._attempts += 1  # until a reply proves the new link, or a storm of reconnects would be billed
        self.dropped_s = asyncio.get_running_loop().time()
        if self._hello.has_expired:
            self.session_id = ""
            self._hello.has_expired = False
        logger.warning(
            "the connection to the agent broke (%s %s)", connection.close_code, connection.close_reason
        )
        self.dialogue.lose_link()
        self.sender.lose_link()
        self._on_state("dropped", code=connection.close_code)
        if self._attempts > MAX_RECONNECTS:
            raise LinkError("the connection to the agent keeps breaking", advice="check the network")

    # --- getting there ---

    async def _connect(self) -> Connection:
        """Return a connection that is ready, after as many attempts as are allowed.

        The first connect is tried until somebody closes us: the turn machine has a deadline for it.
        """
        if self._attempts:
            await asyncio.sleep(self._backoff_s())
        while True:
            try:
                return await self._attempt()
            except ResumeRefusedError as error:
                logger.warning("the session cannot be resumed (%s); starting a fresh one", error)
                self.session_id = ""
                self._on_state("refused", code=error.code)
            except VoiceRefusedError:
                logger.warning(
                    "the server does not know the voice %r; using its default; set agent.voice",
                    self._hello.voice,
                )
                self._hello.voice = ""
            except LinkError as error:
                self._attempts += 1
                level = logging.WARNING if self._attempts == 1 else logging.DEBUG
                logger.log(level, "cannot connect to the agent, attempt %d: %s", self._attempts, error)
                self._on_state("retrying", reason=str(error))
                if self._has_tried_enough():
                    raise
                await asyncio.sleep(self._backoff_s())

    def _has_tried_enough(self) -> bool:
        if self.dropped_s is None:
            return False
        away_s = asyncio.get_running_loop().time() - self.dropped_s
        return self._attempts > MAX_RECONNECTS or away_s > RESUME_WINDOW_S

    def _backoff_s(self) -> float:
        exponent = min(self._attempts - 1, 8)
        return min(BACKOFF_S * 2.0**exponent, MAX_BACKOFF_S) * (0.75 + 0.5 * self._jitter())

    async def _attempt(self) -> Connection:
        """Open a socket and get ready on it.

        Raises:
            ResumeRefusedError, VoiceRefusedError: another attempt, changed, makes sense at once.
            LinkError: another attempt makes sense later.
            AgentError: none does.
        """
        hello, was_dropped = self._hello, self.dropped_s is not None
        self._on_state("connecting")
        connection = await open_connection(
            hello.url, key=hello.key, token_url=hello.token_url, faults=hello.faults
        )
        self._on_state("opened")
        try:
            async with asyncio.timeout(READY_S):
                resumed = await self._greet(connection)
        except BaseException as error:
            await _abandon(connection)
            self._on_state("unopened", was_dropped=was_dropped)
            if isinstance(error, TimeoutError):
                raise LinkError(f"no session.ready within {READY_S:g} s", advice="try again later") from None
            raise
        if not was_dropped:
            self._attempts = 0
        self._connection, self.is_ready, self.dropped_s = connection, True, None
        if not resumed:
            self.dialogue.forget_session(is_greeting=hello.has_greeting)
        self._on_state("resumed" if resumed else "ready", id=self.session_id)
        return connection

    async def _greet(self, connection: Connection) -> bool:
        asked = self.session_id
        ready = await shake_hands(connection, self._hello, session_id=asked)
        self.session_id = ready.session_id
        return bool(asked) and ready.session_id in ("", asked)

    # --- beside the receiving ---

    async def _deliver(self, connection: Connection) -> None:
        """Send what the outbox holds, each message at its moment."""
        now_s, outbox = asyncio.get_running_loop().time, self.dialogue.outbox
        while True:
            self._has_mail.clear()
            message, wait_s = outbox.next(now_s())
            if message is not None:
                await connection.send(message)
                outbox.sent(message, now_s())
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._has_mail.wait()

    async def _guard(self, work: Callable[[Connection], Awaitable[None]], connection: Connection) -> None:
        """A closed link is for the receiver to notice; anything else must not die unseen."""
        try:
            await work(connection)
        except LinkError:
            pass
        except Exception:
            logger.exception("a task of the agent failed; the connection is dropped")
            connection.abort()


async def _abandon(connection: Connection) -> None:
    """Close a connection that never became ready, leaving no session open behind it."""
    with suppress(LinkError, TimeoutError):
        async with asyncio.timeout(1.0):
            await connection.send(wire.SessionEnd())
    await connection.close()


async def _cancel(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks and wait for their end; what they failed with was told already."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
