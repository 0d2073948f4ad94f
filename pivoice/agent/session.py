"""The agent room's front: one session at a time, across reconnects, and the pause between two wakes.

Event loop only. Owns what outlives a conversation: the memory of the last turns,
the session that lingers, the day's minutes, the numbering of replies. No event of a session is posted
after `end` or `linger`, and between conversations there is no socket and no task.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from pivoice.agent import settings, wire
from pivoice.agent.connection import Faults
from pivoice.agent.conversation import RESUME_WINDOW_S, Conversation
from pivoice.agent.dialogue import Dialogue, Doors, Report
from pivoice.agent.handshake import Hello
from pivoice.agent.memory import Memory
from pivoice.agent.meter import LINGER_BILLED_S, Meter
from pivoice.agent.pacing import Sender, UplinkFace
from pivoice.agent.replies import Samples
from pivoice.config import AgentConfig
from pivoice.errors import AgentError, AuthError, LinkError
from pivoice.turn import events as turn

logger = logging.getLogger(__name__)

DRAIN_S = 5.0  # two seconds for `session.ended`, one for the close, and some grace


class ToolDefinition(Protocol):
    """A tool as the agent is told of it; `parameters` is a JSON Schema."""

    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def parameters(self) -> dict[str, object]: ...


@dataclass(frozen=True)
class _Left:
    """A session whose socket is closed and which the server still keeps."""

    session_id: str
    since_s: float
    closing: asyncio.Task[Any] | None
    tail_s: float
    """What the meter was charged for the lingering."""


class Session:
    """See the module. Takes the Uplink's `on_ready` for itself."""

    def __init__(
        self,
        *,
        config: AgentConfig,
        key: str,
        tools: Sequence[ToolDefinition],
        uplink: UplinkFace,
        post: Callable[[turn.Event], None],
        report: Report,
        play: Callable[[int, Samples], None],
        end_reply: Callable[[int], None],
        today: Callable[[], date] = date.today,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._config = config
        self._key = key
        self._tools = [wire.Function(tool.name, tool.description, tool.parameters) for tool in tools]
        self._uplink = uplink
        uplink.on_ready = self._audio_ready
        self._doors = Doors(post, report, play, end_reply)
        self._jitter = jitter
        self._loop: asyncio.AbstractEventLoop | None = None
        self._faults = Faults()
        self._memory = Memory()
        self._meter = Meter(daily_minutes=config.daily_minutes, today=today)
        self._serials = itertools.count(1)
        self._voice = config.voice
        self._session = 0
        self._current: Conversation | None = None
        self._left: _Left | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._state = "none"

    # --- what the turn machine asks for ---

    def open(self, session: int) -> None:
        """Resume the session that lingers, or begin a fresh one; events carry the serial `session`."""
        self._loop = asyncio.get_running_loop()
        self.end()
        self._session = session
        now_s = self._loop.time()
        if self._meter.is_spent(now_s):
            reason = (
                f"the day's {self._config.daily_minutes:g} minutes are used up; "
                "wait until tomorrow or raise agent.daily_minutes"
            )
            self._tell("lost", reason=reason)
            self._doors.post(turn.SessionLost(session, reason, "cap"))
            return
        left, self._left = self._left, None
        if left is not None and now_s - left.since_s > RESUME_WINDOW_S:
            left = None
        if left is not None:
            self._meter.give_back(max(0.0, left.tail_s - (now_s - left.since_s)))
        self._current = self._conversation(session, session_id=left.session_id if left else "")
        self._current.start(after=left.closing if left else None)

    def end(self) -> None:
        """Say `session.end` and close. Returns at once; nothing of this session is posted any more."""
        self._close(linger=False)

    def linger(self) -> None:
        """Close the socket and leave the session resumable, unless `agent.linger` is off."""
        self._close(linger=self._config.linger)

    def drop_reply(self, reply: int) -> None:
        """Discard what still comes of every reply up to and including `reply`."""
        if self._current is not None:
            self._current.dialogue.replies.kill(reply)

    def send_tool_result(self, call_id: str, result: str, is_error: bool) -> None:
        """Answer a tool call: now, at the reply's end, or once the link is back."""
        if self._current is not None:
            self._current.dialogue.answer(call_id, result, is_error=is_error)

    def cancel_tools(self) -> None:
        """Tell the agent that its open tool calls were given up."""
        if self._current is not None:
            self._current.dialogue.cancel_calls()

    def say(self, text: str) -> None:
        """Have the agent speak, following `text`, as soon as nothing else is in flight."""
        if self._current is not None:
            self._current.dialogue.say(text)

    def ask_again(self) -> None:
        """Put the user's last words to a session that never heard them."""
        self.say(self._memory.ask_again())

    # --- closing ---

    async def drained(self) -> None:
        """Wait until the sockets of ended conversations are closed; at most `DRAIN_S`."""
        if self._closing:
            await asyncio.wait(set(self._closing), timeout=DRAIN_S)

    async def close(self) -> None:
        """End the session and wait for it. Nothing is left behind."""
        self.end()
        await self.drained()
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)

    def status(self) -> dict[str, object]:
        """Return facts for people and for `ctl status`."""
        now_s = self._loop.time() if self._loop is not None else 0.0
        left = self._left if self._left and now_s - self._left.since_s <= RESUME_WINDOW_S else None
        facts: dict[str, object] = {
            "state": "lingering" if left and self._current is None else self._state,
            "minutes_today": round(self._meter.spent_s(now_s) / 60, 2),
            "unusable_messages": dict(self._faults.counts),
        }
        if (current := self._current) is not None:
            facts["id"] = current.session_id
            facts["sent_s"] = round(current.sender.sent_frames / wire.RATE_HZ, 2)
            facts["sent_again"] = current.sender.rewinds
            facts["discarded_chunks"] = current.dialogue.replies.discarded
            facts["repeated_signals"] = current.dialogue.repeated
        return facts

    # --- inside ---

    def _conversation(self, session: int, *, session_id: str) -> Conversation:
        now_s = asyncio.get_running_loop().time
        conversation: Conversation
        dialogue = Dialogue(
            session,
            doors=self._doors,
            memory=self._memory,
            serials=self._serials,
            now_s=now_s,
            on_outbox=lambda: conversation.check_mail(),
        )
        hello = Hello(
            url=self._config.url,
            key=self._key,
            token_url=self._config.token_url,
            faults=self._faults,
            voice=self._voice,
            settings=self._settings,
        )
        conversation = Conversation(
            hello=hello,
            dialogue=dialogue,
            sender=Sender(self._uplink, catch_up_rate=self._config.catch_up_rate, now_s=now_s),
            session_id=session_id,
            on_state=lambda state, **details: self._on_state(conversation, state, details),
            on_over=lambda error: self._on_over(conversation, error),
            jitter=self._jitter,
        )
        return conversation

    def _settings(self, voice: str) -> wire.Settings:
        assert self._loop is not None, "settings are asked for by a running conversation"
        config = self._config
        context = self._memory.context(self._loop.time(), max_age_s=config.context_minutes * 60)
        self._voice = voice  # once refused, not tried again
        return settings.opening(config, voice=voice, context=context, tools=self._tools)

    def _audio_ready(self) -> None:
        """The Uplink has a chunk again. Any thread; no-op once the loop is closed."""
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake_sender)

    def _wake_sender(self) -> None:
        if self._current is not None:
            self._current.sender.wake()

    def _on_state(self, conversation: Conversation, state: str, details: dict[str, object]) -> None:
        """What a conversation tells of itself, turned into events and reports."""
        now_s = asyncio.get_running_loop().time()
        if state == "opened":
            self._meter.start(now_s)
        elif state == "unopened":
            if not details["was_dropped"]:
                self._meter.stop(now_s)
        elif conversation is not self._current:
            pass
        elif state == "error":
            self._doors.report("error", details)
        else:
            self._tell(state, **details)
            if state in ("ready", "resumed"):
                logger.info("session %s %s", details["id"], state)
            self._post_link(state)

    def _post_link(self, state: str) -> None:
        if state in ("ready", "resumed"):
            self._doors.post(turn.SessionReady(self._session, resumed=state == "resumed"))
        elif state == "dropped":
            self._doors.post(turn.LinkDropped(self._session))

    def _on_over(self, conversation: Conversation, error: AgentError) -> None:
        now_s = asyncio.get_running_loop().time()
        self._meter.stop(now_s)
        if conversation is not self._current:
            return
        self._current = None
        if conversation.session_id and conversation.dropped_s is not None and isinstance(error, LinkError):
            self._left = _Left(conversation.session_id, conversation.dropped_s, None, 0.0)
        reason = str(error)
        self._tell("lost", reason=reason)
        fault = (
            "bad_key"
            if isinstance(error, AuthError)
            else "no_network"
            if isinstance(error, LinkError)
            else ""
        )
        self._doors.post(turn.SessionLost(self._session, reason, fault))

    def _close(self, *, linger: bool) -> None:
        conversation, self._current = self._current, None
        if conversation is None:
            return
        conversation.dialogue.is_closed = True
        may_resume = linger and bool(conversation.session_id)
        linger = may_resume and conversation.is_ready
        task = asyncio.create_task(self._closed(conversation, linger=linger), name="agent close")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        if may_resume and conversation.dropped_s is not None:
            self._left = _Left(conversation.session_id, conversation.dropped_s, task, 0.0)
        elif linger:
            now_s = asyncio.get_running_loop().time()
            self._left = _Left(conversation.session_id, now_s, task, LINGER_BILLED_S)
            self._meter.stop(now_s, tail_s=LINGER_BILLED_S)

    async def _closed(self, conversation: Conversation, *, linger: bool) -> None:
        session = self._session
        await conversation.close(linger=linger)
        if self._current is None:
            now_s = asyncio.get_running_loop().time()
            self._meter.stop(now_s)
            minutes = self._meter.spent_s(now_s) / 60
            logger.info("session %s; %.1f min today", "left to linger" if linger else "ended", minutes)
            self._tell("lingering" if linger else "ended", session=session)

    def _tell(self, state: str, **details: object) -> None:
        self._state = state
        self._doors.report("session", {"state": state, "session": self._session, **details})
