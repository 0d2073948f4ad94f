"""One conversation's way to the server: connect, ready, drop, resume or begin anew, end.

Event loop only. Owns the socket and the tasks around it, all of them; what is said over it belongs to
`dialogue`. There is one way out of a live session, `_shut`, whatever the reason: it says `session.end`
where the session is not to be resumed. `close` leaves nothing behind: no task, no socket, no event.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Protocol

from pivoice.agent import wire
from pivoice.agent.attempts import Attempts
from pivoice.agent.connection import Connection, open_connection
from pivoice.agent.dialogue import Dialogue
from pivoice.agent.guards import Guards, OverError, Stay, mistake
from pivoice.agent.handshake import Hello, expires_in_s, shake_hands
from pivoice.agent.ledger import LINGER_BILLED_S
from pivoice.agent.mail import ANSWERS, Mail
from pivoice.agent.pacing import Sender
from pivoice.agent.parting import ENDED_S, NO_SESSION_S, Way, close_socket, end_session
from pivoice.agent.reactions import (
    GoneError,
    ResumeRefusedError,
    ToolsRefusedError,
    VoiceRefusedError,
    judge_close,
)
from pivoice.agent.settings import mutable_part
from pivoice.errors import AgentError, LinkError

logger = logging.getLogger(__name__)

WATCH_S = 1.0
COMPLAINT_S = 5.0  # a complaint explains a close that follows it within this time
_POLICY = 1008
_GONE = ("session_expired", "session_not_found")  # nothing more is billed
_BROKEN = (0, 1005, 1006)  # closed without a word


class Owner(Protocol):
    """Whom a conversation tells how it goes: `session.Session`."""

    def conversation_told(self, conversation: Conversation, state: str, facts: dict[str, Any]) -> None:
        """Take the next `state`.

        Of the link: connecting, retrying, ready, resumed, dropped, refused, error. Of an update that was
        answered: settled. Of the money: opened
        (a socket, billed), unopened (and closed, without a session that we know), gone (the session `id`
        is over); the last two are billed `tail_s` more.
        """

    def tools_refused(self, reason: str) -> bool:
        """A fresh session is refused for its tools: whether another attempt would be made with others."""

    def conversation_over(self, conversation: Conversation, error: AgentError) -> None:
        """It ended against our will, or by a guard. Told once; the socket is closed."""

    def is_spent(self) -> bool:
        """Return whether the day's minutes are used up. Asked once a second while a session is open."""


class Conversation:
    """From one `Connect` to its end."""

    def __init__(
        self,
        *,
        hello: Hello,
        dialogue: Dialogue,
        sender: Sender,
        stay: Stay,
        guards: Guards,
        attempts: Attempts,
        owner: Owner,
        ready_s: float,
        jitter: Callable[[], float],
    ) -> None:
        self._hello = hello
        self.dialogue = dialogue
        self.sender = sender
        self.mail = Mail(dialogue.outbox)
        self.stay = stay
        self.attempts = attempts
        self._guards = guards
        self._owner = owner
        self._ready_s = ready_s
        self._jitter = jitter
        self.is_ready = False
        self._lingers = False
        self._acknowledged = 0  # of the connection's bytes, as last seen: a closed one cannot be asked
        self._now_s = asyncio.get_running_loop().time
        self._way: asyncio.Future[Way] | None = None
        self._task: asyncio.Task[None] | None = None
        self._shutting: asyncio.Task[None] | None = None

    def start(self, *, after: Iterable[asyncio.Task[Any]] = ()) -> None:
        """Begin; `after` close the sockets of conversations before this one, and go first."""
        self.sender.wake()
        self._task = asyncio.create_task(self._run(tuple(after)), name="agent conversation")

    async def close(self, *, linger: bool) -> None:
        """Close the socket, saying `session.end` first unless it is to linger. Bounded; never raises."""
        self.dialogue.is_closed, self._lingers = True, linger
        assert self._task is not None, "a conversation is closed after it was started"
        if not self._leave(Way(owes_end=not linger, keeps=linger)):
            self._task.cancel()
        await asyncio.wait({self._task})
        if self._shutting is not None:
            await asyncio.wait({self._shutting})
        if self.stay.id and not linger:
            self._forget_session(is_ended=False)  # no socket to say `session.end` on: it lapses

    # --- the life of the link ---

    async def _run(self, after: tuple[asyncio.Task[Any], ...]) -> None:
        try:
            if after:
                await asyncio.wait(after)
            await self._live()
        except AgentError as error:
            self._fail(error)
        except Exception as error:  # a mistake of ours must end in an event, not in silence
            logger.exception("the agent's task failed")
            self._fail(mistake(error))

    def _fail(self, error: AgentError) -> None:
        if self.dialogue.is_closed:
            return
        if self.stay.id and not isinstance(error, LinkError):
            self._forget_session(is_ended=False)
        self.dialogue.lose_link()  # what there is of a reply plays out, and its end is told
        self._owner.conversation_over(self, error)

    async def _live(self) -> None:
        while True:
            connection = await self._connect()
            way = Way(owes_end=True)  # a cancel, or a mistake of ours
            try:
                way = await self._talk(connection)
                if way.error is None and not self.dialogue.is_closed:
                    self._lose_link(connection, way)
            finally:
                self.is_ready = False
                await self._shut(self._part(connection, way))
            if self.dialogue.is_closed:
                return
            if way.error is not None:
                raise way.error
            if self.attempts.is_enough(self._now_s()):
                raise LinkError("the connection to the agent keeps breaking", advice="check the network")

    async def _talk(self, connection: Connection) -> Way:
        """Pass on what is said until there is a reason to leave; return it."""
        way: asyncio.Future[Way] = asyncio.get_running_loop().create_future()
        self._way, self._acknowledged = way, 0
        works = {"words": self._hear, "audio": self.sender.run, "mail": self.mail.run, "watch": self._watch}
        around = [
            asyncio.create_task(self._guard(work, connection), name=f"agent {name}")
            for name, work in works.items()
        ]
        try:
            return await way
        finally:
            self._way = None
            for task in around:
                task.cancel()
            await asyncio.gather(*around, return_exceptions=True)

    def _leave(self, way: Way) -> bool:
        """Leave the connection; False when there is none, or it is being left already."""
        if self._way is None or self._way.done():
            return False
        self._way.set_result(way)
        return True

    def _lose_link(self, connection: Connection, way: Way) -> None:
        """Whatever comes next, it comes over another socket."""
        self.attempts.dropped_s = self._now_s()
        code, reason = connection.close_code, connection.close_reason
        if not way.owes_end:
            self.attempts.broke(self._now_s())
            logger.warning("the connection to the agent broke (%s %s)", code, reason)
        arrived = min(max(self.sender.acknowledged, self._acknowledged), connection.arrived_at_most)
        self.dialogue.lose_link(arrived if way.keeps else None)
        self.sender.lose_link(arrived_at_most=connection.arrived_at_most)
        self.mail.lose_link()
        self._tell("dropped", code=code)

    async def _part(self, connection: Connection, way: Way) -> None:
        """Leave a live connection."""
        is_ended = way.is_ended
        if way.owes_end:
            is_ended = await end_session(connection)
        else:
            await close_socket(connection, 1001 if way.keeps else 1000)  # 1001: going away, but not over
        if not way.keeps:
            self._forget_session(is_ended=is_ended)

    async def _shut(self, shutting: Coroutine[Any, Any, None]) -> None:
        """Do it to the end, even if whoever waits for it is cancelled."""
        self._shutting = asyncio.create_task(shutting, name="agent end")
        await asyncio.shield(self._shutting)

    def _forget_session(self, *, is_ended: bool) -> None:
        """It can never be resumed. One whose end was not confirmed may be billed until it lapses."""
        session_id, self.stay.id = self.stay.id, ""
        tail_s, dropped_s = 0.0 if is_ended else LINGER_BILLED_S, self.attempts.dropped_s
        if dropped_s is not None:
            tail_s = max(0.0, tail_s - (self._now_s() - dropped_s))
        if not self.attempts.was_ready:  # it was another conversation's
            self.stay.forget()
            self.attempts.dropped_s = None
        self._tell("gone", id=session_id, tail_s=tail_s)

    def _tell(self, state: str, **facts: object) -> None:
        self._owner.conversation_told(self, state, facts)

    # --- getting there ---

    async def _connect(self) -> Connection:
        """Return a connection that is ready, after as many attempts as are allowed."""
        await asyncio.sleep(self.attempts.backoff_s(self._jitter()))
        while True:
            if self.stay.id and self.attempts.window_s(self._now_s()) == 0.0:
                self._forget_session(is_ended=False)
            if not self.stay.id and not self.attempts.was_ready:
                self.attempts.dropped_s = None  # there is nothing to come back to
            try:
                return await self._attempt()
            except ResumeRefusedError as error:
                logger.warning("the session cannot be resumed (%s); starting a fresh one", error)
                self._forget_session(is_ended=False)
                self._tell("refused", code=error.code)
            except VoiceRefusedError:
                voice, self._hello.voice = self._hello.voice, ""
                logger.warning(
                    "the server does not know the voice %r; using its default; set agent.voice", voice
                )
            except ToolsRefusedError as error:
                if not self._owner.tools_refused(str(error)):
                    raise
            except (LinkError, GoneError) as error:
                failed = self.attempts.failed()
                level = logging.WARNING if failed == 1 else logging.DEBUG
                logger.log(level, "cannot connect to the agent, attempt %d: %s", failed, error)
                self._tell("retrying", reason=str(error))
                if self.attempts.is_enough(self._now_s()):
                    raise
                await asyncio.sleep(self.attempts.backoff_s(self._jitter()))

    async def _attempt(self) -> Connection:
        """Open a socket and get ready on it.

        Raises:
            ResumeRefusedError, VoiceRefusedError, ToolsRefusedError: another, changed, makes sense at once.
            LinkError: another attempt makes sense later.
            AgentError: none does.
        """
        hello, asked = self._hello, self.stay.id
        self._tell("connecting")
        try:
            async with asyncio.timeout(self.attempts.window_s(self._now_s())):
                connection = await open_connection(
                    hello.url, key=hello.key, token_url=hello.token_url, faults=hello.faults
                )
        except TimeoutError:
            raise LinkError("the agent does not answer", advice="check the network") from None
        self._tell("opened")
        window_s = self.attempts.window_s(self._now_s())
        within_s = self._ready_s if window_s is None else min(self._ready_s, window_s)
        try:
            async with asyncio.timeout(within_s):
                ready = await shake_hands(connection, hello, session_id=asked)
            self._note_ready(ready, asked)
        except BaseException as error:
            self.is_ready = False
            await self._shut(self._abandon(connection, error))
            if isinstance(error, TimeoutError):
                told = f"no session.ready within {within_s:.3g} s"
                raise LinkError(told, advice="try again later, or raise agent.ready_s") from None
            raise
        return connection

    def _note_ready(self, ready: wire.Ready, asked: str) -> None:
        is_resumed = bool(asked) and ready.session_id in ("", asked)
        session_id, was_ready = asked if is_resumed else ready.session_id, self.attempts.was_ready
        if asked and not is_resumed:
            self._forget_session(is_ended=False)  # another one was given in its place
        self.stay.ready(session_id, self._now_s(), expires_in_s=expires_in_s(ready), is_fresh=not is_resumed)
        self.attempts.ready(self._now_s())
        self.is_ready = True
        if not is_resumed:
            if was_ready:
                self.sender.lose_session()
            self.mail.forget_session()
            if asked:  # it knows nothing of who it is to be
                self.mail.update(mutable_part(self._hello.settings(self._hello.voice)))
            self.dialogue.forget_session(is_greeting=self._hello.has_greeting)
        self.dialogue.session_ready(ready)
        state = "resumed" if is_resumed else "ready"
        self._tell(state, id=session_id, again=was_ready, stored_prompt=ready.system_prompt)

    async def _abandon(self, connection: Connection, error: BaseException) -> None:
        """Close a connection that never became ready, leaving no session open behind it.

        Except one that may yet be resumed: it is billed on meanwhile.
        """
        is_refused, is_closed = isinstance(error, ResumeRefusedError), self.dialogue.is_closed
        if self.stay.id and not is_refused and (self._lingers or not is_closed):
            await close_socket(connection, 1001)
            return
        is_ended = await end_session(connection, within_s=NO_SESSION_S if is_refused else ENDED_S)
        if not self.stay.id:
            was_told = isinstance(error, AgentError) and (error.code or connection.close_code not in _BROKEN)
            self._tell("unopened", tail_s=0.0 if is_ended or was_told else LINGER_BILLED_S)
        elif not is_refused:
            self._forget_session(is_ended=is_ended)

    # --- beside each other, while the link is up ---

    async def _hear(self, connection: Connection) -> None:
        """Take what the server says, until it has no more to say."""
        complaint: wire.Failure | None = None
        complained_s = 0.0
        while (event := await connection.receive()) is not None:
            match event:
                case wire.Ended():
                    break
                case wire.Failure():
                    complaint, complained_s = event, self._now_s()
                    self._hear_failure(event)
                case wire.Updated():
                    self._settle()
                case wire.SpeechStarted():
                    self.sender.heard()
                case wire.UserText():
                    self.sender.heard()
                    if event.final:
                        self.sender.transcribed()
                case wire.ReplyStarted():
                    self.attempts.replied()
            self.dialogue.hear(event)
        if self._now_s() - complained_s >= COMPLAINT_S:
            complaint = None
        if event is None:
            code, reason = connection.close_code, connection.close_reason
            error = judge_close(code, reason, complaint, phase="live")
        elif complaint is not None:
            error = judge_close(_POLICY, "", complaint, phase="live")
        else:
            error = OverError("the server ended the session", advice="start a new conversation")
        goes_on, is_ended = isinstance(error, LinkError | GoneError), event is not None or error.code in _GONE
        keeps = isinstance(error, LinkError) and not is_ended and bool(self.stay.id)
        self._leave(Way(None if goes_on else error, keeps=keeps, is_ended=is_ended))

    def _hear_failure(self, failure: wire.Failure) -> None:
        """An error told in band never ends a session; only the socket's close does."""
        if self.dialogue.is_closed:
            return
        self._hello.faults.complained(failure, self._now_s())
        self._tell("error", code=failure.code, message=failure.message)
        if failure.code == "audio_rate_violation":
            self.sender.rewind()
        elif failure.code in ANSWERS:
            self._settle(failure.message or failure.code)

    def _settle(self, refusal: str = "") -> None:
        if (settings := self.mail.answered()) is not None:
            self._tell("settled", settings=settings, refusal=refusal)

    async def _watch(self, connection: Connection) -> None:
        """Leave the session when a guard says so."""
        leave = None
        while leave is None:
            await asyncio.sleep(WATCH_S)
            self._acknowledged = connection.progress()[1]
            leave = self._guards.judge(
                self._now_s(),
                unheard_s=self.sender.unheard_s,
                is_quiet=self.dialogue.is_quiet,
                is_spent=self._owner.is_spent(),
            )
        what = "ended" if leave.error is not None else "replaced by a fresh one"
        logger.info("the session is %s: %s", what, leave.why)
        self._leave(Way(leave.error, owes_end=True))

    async def _guard(self, work: Callable[[Connection], Awaitable[None]], connection: Connection) -> None:
        """A closed link is for the receiver to notice; anything else must not die unseen."""
        try:
            await work(connection)
        except LinkError:
            pass
        except Exception as error:
            logger.exception("a task of the agent failed; the session is ended")
            self._leave(Way(mistake(error), owes_end=True))
