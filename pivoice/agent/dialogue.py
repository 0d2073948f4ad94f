"""What one session says and hears, across its connections: the server's events become ours.

Event loop only. No I/O and no waiting: replies are numbered, dead audio is discarded, doubled signals
become one event, transcripts go to the memory. Nothing leaves a dialogue that was closed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pivoice.agent import wire
from pivoice.agent.memory import Memory
from pivoice.agent.outbox import Outbox
from pivoice.agent.replies import Replies, Reply, Samples
from pivoice.turn import events as turn

logger = logging.getLogger(__name__)

Report = Callable[[str, dict[str, object]], None]

_SHOWN_CHARS = 60
_CUT = ("interrupted", "cancelled", "canceled")


@dataclass(frozen=True)
class Doors:
    """The ways out of the agent room."""

    post: Callable[[turn.Event], None]
    report: Report
    play: Callable[[int, Samples], None]
    end_reply: Callable[[int], None]


class Dialogue:
    """One session's talk. `is_closed`: whatever still comes is for nobody."""

    def __init__(
        self,
        session: int,
        *,
        doors: Doors,
        memory: Memory,
        serials: Iterator[int],
        now_s: Callable[[], float],
        on_outbox: Callable[[], None],
    ) -> None:
        self._session = session
        self._doors = doors
        self._memory = memory
        self._now_s = now_s
        self._on_outbox = on_outbox
        self.replies = Replies(serials)
        self.outbox = Outbox()
        self._is_user_speaking: bool | None = None  # None: unknown, as after a reconnect
        self._heard: wire.UserText | None = None
        self._http_tools: frozenset[str] = frozenset()
        self._has_begun = False
        self.repeated = 0
        """Signals that the server gave more than once."""
        self.is_closed = False

    def hear(self, event: wire.ServerEvent) -> None:
        """Take one event of the server."""
        if self.is_closed:
            return
        match event:
            case wire.ReplyAudio():
                self._hear_audio(event)
            case wire.SpeechStarted() | wire.SpeechStopped():
                self._hear_speech(isinstance(event, wire.SpeechStarted))
            case wire.UserText():
                self._hear_user(event)
            case wire.ReplyStarted():
                self._start_reply(event.reply_id)
            case wire.AgentWords():
                self._hear_words(event)
            case wire.AgentText():
                self._hear_agent(event)
            case wire.ReplyDone():
                self._end_reply(event.reply_id, event.status)
            case wire.ReplyFailed():
                self._doors.report("error", {"code": event.code, "message": event.message})
                logger.warning("the agent could not answer (%s)", event.code[:_SHOWN_CHARS])
                logger.debug("< %s", event.message)  # it may quote what was said
                reply = self.replies.find(event.reply_id)
                if reply is None or reply.is_done:
                    self._start_reply(event.reply_id)  # it failed before it was announced
                self._end_reply(event.reply_id, "failed")
            case wire.ToolCall():
                self._hear_call(event)
            case _:
                pass
        self._on_outbox()

    def answer(self, call_id: str, result: str, *, is_error: bool) -> None:
        """Queue the answer of a tool call."""
        if not self.outbox.answer(call_id, result, is_error=is_error, now_s=self._now_s()):
            logger.debug("! the answer of tool call %s is wanted no more", call_id)
        self._on_outbox()

    def cancel_calls(self) -> None:
        """Nobody runs the open tool calls any more: tell the server so."""
        self.outbox.cancel_calls(self._now_s())
        self._on_outbox()

    def say(self, instructions: str) -> None:
        """Queue a request to speak."""
        if not self.outbox.say(instructions):
            logger.warning("too many requests to speak wait already; the newest is dropped")
        self._on_outbox()

    @property
    def is_quiet(self) -> bool:
        """Whether nobody speaks, and nothing is being done, waits, or is due: a session may be changed."""
        return self._is_user_speaking is not True and self.outbox.is_idle(self._now_s())

    def lose_link(self, acknowledged: float | None = None) -> None:
        """The socket died. The reply in flight will never be completed: what there is of it plays out.

        `acknowledged`: as of `Outbox.link_dropped`.
        """
        reply = self.replies.lose_link()
        if reply is not None:
            self._settle_text(reply)
            self._doors.end_reply(reply.serial)
        self._is_user_speaking = None
        self.outbox.link_dropped(acknowledged)

    def session_ready(self, ready: wire.Ready) -> None:
        """The server takes audio; some tools may be its own."""
        self._has_begun = True
        self._http_tools |= ready.http_tools  # a resumed session may not name them again

    def forget_session(self, *, is_greeting: bool) -> None:
        """A fresh session took the place of the one we knew, if any; it may be about to greet.

        What was to be said in the old one is asked for again by whoever wanted it.
        """
        if self._has_begun:
            self.outbox.session_forgotten()
        if is_greeting:
            self.outbox.reply_expected(self._now_s())

    # --- the user ---

    def _hear_speech(self, is_speaking: bool) -> None:
        if is_speaking is self._is_user_speaking:
            self.repeated += 1
            return
        self._is_user_speaking = is_speaking
        self._heard = None
        self.outbox.user_spoke(is_speaking, self._now_s())
        self._doors.report("speech", {"state": "started" if is_speaking else "stopped"})
        self._post(turn.SpeechStarted(self._session) if is_speaking else turn.SpeechStopped(self._session))

    def _hear_user(self, event: wire.UserText) -> None:
        logger.debug("< user: %s%s", event.text, "" if event.final else " ...")
        if event.final and event == self._heard:
            self.repeated += 1  # the same words of the same item, and nobody spoke in between
            return
        self._tell("user", event.text, final=event.final)
        if event.final:
            self._heard = event
            self._is_user_speaking = None  # the end of speech may never be told: the next start is one
            self.outbox.user_spoke(False, self._now_s())
            self._memory.user_said(event.text, self._now_s())
            self._post(turn.UserSaid(self._session, event.text))
        else:
            self._memory.user_is_saying(event.text)

    # --- the agent ---

    def _start_reply(self, reply_id: str) -> None:
        previous = self.replies.in_flight
        reply = self.replies.start(reply_id)
        if reply is None:
            self.repeated += 1
            return
        if previous is not None:  # its end was never told
            self._finish(previous)
        self.outbox.reply_started(reply.serial)
        self._doors.report("reply", {"reply": reply.serial, "state": "started"})
        self._post(turn.ReplyStarted(self._session, reply.serial))

    def _hear_audio(self, event: wire.ReplyAudio) -> None:
        taken = self.replies.take_audio(event.reply_id, event.pcm)
        if taken is None:
            return
        reply, samples = taken
        if not reply.has_audio:
            reply.has_audio = True
            self._doors.report("reply", {"reply": reply.serial, "state": "first_audio"})
        if reply.is_audible:
            self.outbox.reply_audible()
        if len(samples):
            self._doors.play(reply.serial, samples)

    def _hear_words(self, event: wire.AgentWords) -> None:
        reply = self.replies.find(event.reply_id)
        if reply is not None and not reply.has_text:
            reply.add_words(event.words)
            self._tell("agent", reply.words, final=False)

    def _hear_agent(self, event: wire.AgentText) -> None:
        logger.debug("< agent: %s", event.text)
        reply = self.replies.find(event.reply_id)
        if reply is not None and reply.told == (event.text, event.interrupted):
            self.repeated += 1
            return
        self._tell("agent", event.text, final=True, interrupted=event.interrupted)
        if reply is None:
            self._memory.agent_said(event.text, self._now_s(), is_cut=event.interrupted)
            return
        reply.told = (event.text, event.interrupted)
        self._remember(reply, event.text, is_cut=event.interrupted)
        if event.interrupted:
            self._interrupt(reply)

    def _end_reply(self, reply_id: str, status: str) -> None:
        reply = self.replies.find(reply_id)
        if reply is None:
            self.repeated += 1
        elif status in _CUT:
            reply.is_done = True
            self._settle_text(reply)
            self._interrupt(reply)
        elif reply.is_done:
            self.repeated += 1
        else:
            self._finish(reply, has_failed=status == "failed")

    def _finish(self, reply: Reply, *, has_failed: bool = False) -> None:
        """All of a reply was sent."""
        reply.is_done = True
        self._settle_text(reply)
        self.outbox.reply_over(reply.serial)
        if reply.is_interrupted:
            return  # its end was told when it was cut
        self._doors.end_reply(reply.serial)
        self._doors.report("reply", {"reply": reply.serial, "state": "ended"})
        if self.replies.is_dropped(reply) or (reply.is_audible and not has_failed):
            self._post(turn.ReplyEnded(self._session, reply.serial))
        else:
            reply.ended_silent = True
            self._post(turn.ReplySilent(self._session, reply.serial))

    def _interrupt(self, reply: Reply) -> None:
        reply.is_dead = True
        if reply.is_interrupted:
            self.repeated += 1
            return
        reply.is_interrupted = True
        self.outbox.reply_interrupted(reply.serial, self._now_s())
        self._doors.report("interrupted", {"reply": reply.serial})
        self._post(turn.ReplyInterrupted(self._session, reply.serial))

    def _settle_text(self, reply: Reply) -> None:
        """Some replies never get their transcript: their words stand in."""
        if not reply.has_text and reply.words:
            self._remember(reply, reply.words, is_cut=False)

    def _remember(self, reply: Reply, text: str, *, is_cut: bool) -> None:
        if reply.has_text:
            self._memory.amend_agent(text, reply=reply.serial)
        else:
            self._memory.agent_said(text, self._now_s(), reply=reply.serial, is_cut=is_cut)
        reply.has_text = True

    def _hear_call(self, event: wire.ToolCall) -> None:
        if event.name in self._http_tools:
            return  # the server runs it, and only lets us know
        reply = self.replies.latest
        if reply is not None and (reply.is_lost or reply.ended_silent):
            reply = None  # it is over: nothing that becomes of it concerns this call
        serial = reply.serial if reply is not None else 0
        if not self.outbox.call_came(event.call_id, serial, self._now_s()):
            self.repeated += 1
        elif reply is not None and (reply.is_interrupted or self.replies.is_dropped(reply)):
            self.outbox.cancel_call(event.call_id, self._now_s())  # the turn machine is deaf to that reply
        else:
            call = turn.ToolCalled(self._session, serial, event.call_id, event.name, event.arguments)
            self._post(call)

    # --- out ---

    def _post(self, event: turn.Event) -> None:
        if not self.is_closed:  # what was posted just now may have closed us
            self._doors.post(event)

    def _tell(self, who: str, text: str, *, final: bool, interrupted: bool = False) -> None:
        words: dict[str, object] = {"who": who, "text": text, "final": final, "interrupted": interrupted}
        self._doors.report("transcript", words)
