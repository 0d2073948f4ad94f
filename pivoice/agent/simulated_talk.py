"""Who speaks when in one simulated session: the user's turns as they are heard, and the agent's replies.

Event loop only. Knows the words and their order; what carries them is the session's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from pivoice.agent.simulated_checks import CROSSING_S
from pivoice.agent.simulated_hearing import Heard, Hearing
from pivoice.agent.simulated_plan import Plan, Turn
from pivoice.agent.simulated_reply import Drop, Host, ReplyInProgress
from pivoice.agent.simulated_voice import Voice


class TalkHost(Host, Protocol):
    """What a talk needs of its session."""

    id: str
    is_deaf: bool

    def drop_in_reply(self, turn: Turn) -> Drop | None: ...


class Talk:
    """One session's. It survives a lost connection; the reply in flight does not."""

    def __init__(self, host: TalkHost, *, plan: Plan, take_turn: Callable[[], Turn]) -> None:
        self._host = host
        self._plan = plan
        self._take_turn = take_turn
        self._loop = asyncio.get_running_loop()
        self._hearing = Hearing(silence_s=plan.silence_s, insist_s=plan.interruption_delay_s)
        self._may_be_interrupted = True
        self._replies = self._utterances = 0
        self._reply: ReplyInProgress | None = None
        self._is_greeting = False
        self._early: ReplyInProgress | None = None
        self._answering: asyncio.Task[None] | None = None
        self._barged_in = False
        self._owed: ReplyInProgress | None = None
        """Lost with its connection while it waited for tools; their answers bring what it had to say."""

    def take_settings(self, settings: dict[str, Any]) -> None:
        """Listen as the client wants it."""
        detection = (settings.get("input") or {}).get("turn_detection") or {}
        silence_ms, insist_ms = detection.get("min_silence"), detection.get("interruption_delay")
        self._hearing.silence_s = self._plan.silence_s if silence_ms is None else silence_ms / 1000
        self._hearing.insist_s = self._plan.interruption_delay_s if insist_ms is None else insist_ms / 1000
        self._may_be_interrupted = detection.get("interrupt_response", True)

    def greet(self, text: str) -> None:
        """Say `text`, in whichever voice is the shortest."""
        voice = min((turn.voice for turn in self._plan.turns), key=lambda voice: voice.seconds)
        self._begin(self._new_reply(Turn(Voice(text, voice.samples, voice.name))))
        self._is_greeting = True

    def stop(self) -> None:
        """Say nothing more, and forget what was to be said."""
        for reply in (self._reply, self._early):
            if reply is not None:
                reply.stop()
        if self._answering is not None:
            self._answering.cancel()
        self._owed = self._answering = self._early = None

    def lose_link(self) -> None:
        """Nobody listens: what is being said is lost, open tool calls are not."""
        owed = self._reply if self._reply is not None and self._reply.is_waiting else self._owed
        self.stop()
        self._reply, self._owed = None, owed

    # --- what the client does ---

    async def hear(self, samples: np.ndarray) -> None:
        """Take what the user said."""
        for heard in self._hearing.feed(samples):
            if not (self._host.is_deaf or self._plan.deaf):
                await self._notice(heard)

    def say_something(self) -> str:
        """Take a `reply.create`; return what is wrong with asking now."""
        fault = self._fault_in_asking()
        self._begin(self._new_reply(self._take_turn()))
        return fault

    def results_changed(self) -> None:
        """An answer to a tool call came."""
        if self._reply is not None:
            self._reply.results_changed.set()
        owed = self._owed
        if owed is not None and all(self._host.calls.has_answer(each) for each in owed.call_ids):
            self._begin(self._new_reply(replace(owed.turn, tools=())))

    def _fault_in_asking(self) -> str:
        now_s, reply = self._loop.time(), self._early or self._reply
        if self._host.calls.unanswered(now_s, for_s=CROSSING_S):
            return "reply.create while a tool follow-up is due"
        if reply is None or reply.is_done or reply.announced_s is None:
            return ""
        if now_s < reply.announced_s + CROSSING_S:
            return ""
        return (
            "reply.create in the greeting" if self._is_greeting else "reply.create while a reply is in flight"
        )

    # --- turns ---

    async def _notice(self, heard: Heard) -> None:
        reply = self._reply
        if heard is Heard.STARTED:
            if self._answering is not None:
                self._answering.cancel()  # the user goes on: their turn is not over
                self._answering = None
            if self._early is not None:
                early, self._early = self._early, None
                await early.interrupt()
            self._barged_in = False
            await self._host.send("input.speech.started")
        elif heard is Heard.INSISTED:
            if self._may_be_interrupted and reply and reply.can_be_interrupted(self._loop.time()):
                self._barged_in = True
                await reply.interrupt()
        elif heard is Heard.WENT_ON:
            if reply is None or reply.is_over(self._loop.time()) or self._barged_in:
                text = f"({self._hearing.voiced_s:.1f} s of speech so far)"
                await self._host.send("transcript.user.delta", text=text, item_id=self._item_id)
        else:
            await self._end_turn()

    async def _end_turn(self) -> None:
        is_replying = self._reply is not None and not self._reply.is_over(self._loop.time())
        is_turn = not is_replying or self._barged_in  # an "uh-huh" is none
        if is_turn and self._plan.early_reply:
            self._early = self._new_reply(self._take_turn(), is_answer=True)
            await self._early.announce()
        await self._host.send("input.speech.stopped")
        if is_turn:
            self._answering = asyncio.create_task(self._answer(), name="simulated answer")

    async def _answer(self) -> None:
        await asyncio.sleep(self._plan.reply_delay_s)
        reply, self._answering, self._early = self._early, None, None
        if reply is None:
            reply = self._new_reply(self._take_turn(), is_answer=True)
        text = reply.turn.user_text or f"({self._hearing.voiced_s:.1f} s of speech)"
        await self._host.send("transcript.user", text=text, item_id=self._item_id)
        self._utterances += 1
        self._begin(reply)

    @property
    def _item_id(self) -> str:
        return f"item_user_{self._utterances}"

    def _new_reply(self, turn: Turn, *, is_answer: bool = False) -> ReplyInProgress:
        self._replies += 1
        return ReplyInProgress(
            f"resp_{self._host.id[-4:]}_{self._replies}",
            self._host,
            turn=turn,
            plan=self._plan,
            drop=self._host.drop_in_reply(turn),
            is_answer=is_answer,
        )

    def _begin(self, reply: ReplyInProgress) -> None:
        if self._reply is not None:
            self._reply.stop()
        self._owed, self._is_greeting = None, False
        self._reply = reply
        reply.start()
