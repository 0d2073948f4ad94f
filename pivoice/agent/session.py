"""The agent room's front: one session at a time, across reconnects, and the pause between two wakes.

Event loop only. Owns what outlives a conversation: the memory of the last turns, the session that
lingers, the ledger, the numbering of replies, the settings. No event of a session is posted after `end`
or `linger`. Between conversations there is no socket, and no task but the one that has recordings deleted.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pivoice.agent import settings, wire
from pivoice.agent.attempts import RESUME_WINDOW_S, Attempts
from pivoice.agent.connection import Faults
from pivoice.agent.conversation import Conversation
from pivoice.agent.dialogue import Dialogue, Doors, Report
from pivoice.agent.guards import Guards, Left, Stay, fault_of, spent
from pivoice.agent.handshake import Hello
from pivoice.agent.ledger import LINGER_BILLED_S, Ledger
from pivoice.agent.memory import Memory
from pivoice.agent.offer import Offer, ToolDefinition
from pivoice.agent.pacing import Sender, UplinkFace
from pivoice.agent.recordings import Recordings, rest_address
from pivoice.agent.replies import Samples
from pivoice.config import AgentConfig
from pivoice.errors import AgentError
from pivoice.turn import events as turn

logger = logging.getLogger(__name__)

DRAIN_S = 5.0  # two seconds for `session.ended`, one for the close, and some grace


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
        ledger: Path | None = None,
        memory: Memory | None = None,
        today: Callable[[], date] = date.today,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`ledger` None: the day's minutes are kept in memory only. `memory`: an earlier Session's."""
        self._config = config
        self._key = key
        self._offer = Offer(tools)
        self._uplink = uplink
        uplink.on_ready = self._audio_ready
        self._doors = Doors(post, report, play, end_reply)
        self._jitter = jitter
        self._loop: asyncio.AbstractEventLoop | None = None
        self._faults = Faults()
        self._memory = memory or Memory()
        self._ledger = Ledger(ledger, daily_minutes=config.daily_minutes, today=today)
        self._recordings = Recordings(
            self._ledger,
            rest_url=rest_address(config),
            key=key,
            is_wanted=config.delete_recordings,
            jitter=jitter,
        )
        self._host = urlsplit(config.url).netloc.rpartition("@")[2]
        self._serials = itertools.count(1)
        self._voice = config.voice
        self._context = ""
        """What the session was told of the turns before it."""
        self._untold: set[str] = set()
        """Settings that the session was not told of."""
        self._session = 0
        self._current: Conversation | None = None
        self._left: Left | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._state = "none"

    def start(self) -> None:
        """Go on with what an earlier run left to do. Call once the loop runs."""
        self._loop = asyncio.get_running_loop()
        self._recordings.start()

    # --- what the turn machine asks for ---

    def open(self, session: int) -> None:
        """Resume the session that lingers, or begin a fresh one; events carry the serial `session`."""
        self._loop = asyncio.get_running_loop()
        self.end()
        self._session = session
        if self.is_spent():
            self._lose(spent())
            return
        now_s = self._loop.time()
        left, self._left = self._left, None
        stay, attempts = Stay(), Attempts(dropped_s=None)
        if left is not None and left.stay.id and now_s - left.since_s <= RESUME_WINDOW_S:
            left.lapse.cancel()
            stay, attempts = left.stay, Attempts(dropped_s=left.since_s)
            self._ledger.meter.give_back(left.unused_s(now_s))
            self._ledger.meter.start(now_s)
        self._current = self._conversation(session, stay, attempts)
        self._current.start(after=self._closing)

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

    def change(self, config: AgentConfig, names: Sequence[str]) -> None:
        """Put the settings `names` (of `settings.MUTABLE`) to `config`'s: now, and in later sessions."""
        self._config = config
        self._untold.update(names)
        self._tell_settings()

    def offer(self, tools: Sequence[ToolDefinition]) -> None:
        """Have the agent know `tools`, and no others: now, and in later sessions."""
        self._offer.change(tools)
        self._tell_settings()

    # --- closing ---

    async def drained(self) -> None:
        """Wait until the sockets of ended conversations are closed; at most `DRAIN_S`."""
        if self._closing:
            await asyncio.wait(set(self._closing), timeout=DRAIN_S)

    async def close(self) -> None:
        """End the session and wait for it, whatever fails on the way. Nothing is left behind."""
        try:
            self.end()
            self._recordings.close()
            if self._left is not None:
                self._left.lapse.cancel()
        finally:
            await self.drained()
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)

    def status(self) -> dict[str, object]:
        """Return facts for people and for `ctl status`."""
        now_s = self._loop.time() if self._loop is not None else 0.0
        left = self._left if self._left and now_s - self._left.since_s <= RESUME_WINDOW_S else None
        day = self._ledger.meter.day(now_s)
        facts: dict[str, object] = {
            "state": "lingering" if left and self._current is None else self._state,
            "seconds_today": round(day.open_s, 1),
            "minutes_today": round(day.open_s / 60, 2),
            "daily_minutes": self._config.daily_minutes,
            "cost_today": round(day.open_s / 3600 * self._config.price_per_hour, 4),
            "sessions_today": day.sessions,
            "reconnects_today": day.reconnects,
            "resumes_accepted_today": day.resumes_accepted,
            "resumes_refused_today": day.resumes_refused,
            "deletions_pending": self._recordings.pending,
            "deletions_given_up": self._recordings.given_up,
            "unusable_messages": dict(self._faults.counts),
            "odd_messages": dict(self._faults.oddities),
            "complaints": dict(self._faults.complaints),
        }
        if (current := self._current) is not None:
            facts |= {"id": current.stay.id, **current.sender.status()}
            facts["discarded_chunks"] = current.dialogue.replies.discarded
            facts["repeated_signals"] = current.dialogue.repeated
        return facts

    # --- what a conversation tells ---

    def is_spent(self) -> bool:
        """Return whether the day's minutes are used up; keeps the ledger meanwhile."""
        now_s = asyncio.get_running_loop().time()
        self._ledger.save_if_due(now_s)
        return self._ledger.meter.is_spent(now_s)

    def conversation_told(self, conversation: Conversation, state: str, facts: dict[str, Any]) -> None:
        """Note what it means for the books; turn the rest into events and reports."""
        self._keep_books(conversation, state, facts)
        if conversation is not self._current or state in ("opened", "unopened", "gone"):
            return
        if state == "error":
            self._doors.report("error", facts)
            return
        if state == "settled":
            self._note_tools(**facts)
            return
        if state in ("ready", "resumed"):
            logger.debug("= session %s %s", facts["id"], state)
            if state == "ready":
                self._offer.session_ready()
                self._tell_stored_agent(conversation, facts["stored_prompt"])
            self._tell_settings()
        self._tell(state, **{key: facts[key] for key in ("id", "code", "reason") if key in facts})
        if state in ("ready", "resumed"):
            self._doors.post(turn.SessionReady(self._session, resumed=state == "resumed"))
        elif state == "dropped":
            self._doors.post(turn.LinkDropped(self._session))

    def conversation_over(self, conversation: Conversation, error: AgentError) -> None:
        """Keep the session if it may be resumed by the next wake, and say why this one is over."""
        if conversation is not self._current:
            return
        self._current = None
        if conversation.stay.id and conversation.attempts.dropped_s is not None:
            self._leave(conversation.stay, conversation.attempts.dropped_s)
        self._ledger.save(asyncio.get_running_loop().time())
        self._lose(error)

    def tools_refused(self, reason: str) -> bool:
        """Fall back on the tools that the server took before; False when there are none."""
        return self._offer.refused(reason)

    # --- inside ---

    def _lose(self, error: AgentError) -> None:
        reason = str(error)
        self._tell("lost", reason=reason)
        self._doors.post(turn.SessionLost(self._session, reason, fault_of(error)))

    def _conversation(self, session: int, stay: Stay, attempts: Attempts) -> Conversation:
        config, now_s = self._config, asyncio.get_running_loop().time
        conversation: Conversation
        dialogue = Dialogue(
            session,
            doors=self._doors,
            memory=self._memory,
            serials=self._serials,
            now_s=now_s,
            on_outbox=lambda: conversation.mail.check(),
        )
        hello = Hello(
            url=config.url,
            key=self._key,
            token_url=config.token_url,
            faults=self._faults,
            voice=self._voice,
            settings=self._settings,
        )
        rate = min(config.catch_up_rate, self._ledger.book.slow_hosts.get(self._host, config.catch_up_rate))
        conversation = Conversation(
            hello=hello,
            dialogue=dialogue,
            sender=Sender(self._uplink, catch_up_rate=rate, now_s=now_s, on_slow=self._note_slow_host),
            stay=stay,
            guards=Guards(stay, session_minutes=config.session_minutes, half_dead_s=config.half_dead_s),
            attempts=attempts,
            owner=self,
            ready_s=config.ready_s,
            jitter=self._jitter,
        )
        return conversation

    def _settings(self, voice: str) -> wire.Settings:
        assert self._loop is not None, "settings are asked for by a running conversation"
        config = self._config
        self._context = self._memory.context(self._loop.time(), max_age_s=config.context_minutes * 60)
        self._voice = voice  # once refused, not tried again
        self._untold.clear()
        return settings.opening(config, voice=voice, context=self._context, tools=self._offer.tell())

    def _tell_stored_agent(self, conversation: Conversation, stored_prompt: str | None) -> None:
        """Tell a stored agent, which is named alone at first, what differs from it."""
        if self._config.agent_id:
            more = settings.second(self._config, stored_prompt=stored_prompt, context=self._context)
            conversation.mail.update(more)

    def _note_tools(self, settings: wire.Settings, refusal: str) -> None:
        """The server took an update, or refused it."""
        if settings.tools is not None and refusal:
            self._offer.refused(refusal, settings.tools)
        elif settings.tools is not None:
            self._offer.taken(settings.tools)

    def _tell_settings(self) -> None:
        """Tell the session what was changed, once there is one."""
        current = self._current
        if current is None or not current.is_ready:
            return
        tools = None if self._config.agent_id else self._offer.tell_change()  # a stored agent has its own
        names = sorted(self._untold)
        current.mail.update(settings.change(self._config, names, context=self._context, tools=tools))
        self._untold.clear()

    def _note_slow_host(self) -> None:
        self._ledger.book.slow_hosts[self._host] = 1.0

    def _audio_ready(self) -> None:
        """The Uplink has a chunk again. Any thread; no-op once the loop is closed."""
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake_sender)

    def _wake_sender(self) -> None:
        if self._current is not None:
            self._current.sender.wake()

    def _keep_books(self, conversation: Conversation, state: str, facts: dict[str, Any]) -> None:
        """Count money and sessions, and note whose recording is to be deleted."""
        ledger, now_s = self._ledger, asyncio.get_running_loop().time()
        day = ledger.meter.day(now_s)
        match state:
            case "opened":
                ledger.meter.start(now_s)
                return
            case "unopened":
                ledger.meter.stop(now_s, tail_s=facts["tail_s"])
            case "gone":
                if self._left is not None and self._left.stay is conversation.stay:
                    self._left.lapse.cancel()  # it was to linger, and ended by itself
                    ledger.meter.give_back(self._left.unused_s(now_s))
                    self._left = None
                ledger.meter.stop(now_s, tail_s=facts["tail_s"])
                self._recordings.session_over(facts["id"])
            case "ready" | "resumed":
                ledger.meter.start(now_s)
                day.sessions += state == "ready"
                day.resumes_accepted += state == "resumed"
                day.reconnects += facts["again"]
                self._recordings.session_began(facts["id"])
            case "refused":
                day.resumes_refused += 1
            case _:
                return
        ledger.save(now_s)

    def _close(self, *, linger: bool) -> None:
        conversation, self._current = self._current, None
        if conversation is None:
            return
        conversation.dialogue.is_closed = True
        now_s, dropped_s = asyncio.get_running_loop().time(), conversation.attempts.dropped_s
        linger = linger and bool(conversation.stay.id) and (conversation.is_ready or dropped_s is not None)
        task = asyncio.create_task(self._closed(conversation, linger=linger), name="agent close")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        if linger:
            self._leave(conversation.stay, now_s if dropped_s is None else dropped_s)
        self._ledger.save(now_s)

    def _leave(self, stay: Stay, since_s: float) -> None:
        """Leave a session to be resumed, or to lapse; it is billed as long as the server keeps it."""
        loop, session_id = asyncio.get_running_loop(), stay.id
        lapse = loop.call_at(since_s + LINGER_BILLED_S, self._recordings.session_over, session_id)
        self._left = Left(stay, since_s, lapse)
        self._ledger.meter.stop(loop.time(), tail_s=self._left.unused_s(loop.time()))

    async def _closed(self, conversation: Conversation, *, linger: bool) -> None:
        session = self._session
        await conversation.close(linger=linger)
        if self._current is None:
            minutes = self._ledger.meter.day(asyncio.get_running_loop().time()).open_s / 60
            logger.debug("= session %s; %.1f min today", "left to linger" if linger else "ended", minutes)
            self._tell("lingering" if linger else "ended", session=session)

    def _tell(self, state: str, **details: object) -> None:
        self._state = state
        self._doors.report("session", {"state": state, "session": self._session, **details})
