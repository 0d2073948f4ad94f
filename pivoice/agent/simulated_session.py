"""One session on the simulated server: its settings, its connections, and what the client may say in it.

Event loop only. Spells the wire on its own, on purpose: a mistake in `wire` must not be made twice and
cancel out. Who speaks when is `simulated_talk`'s.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pivoice.agent.simulated_checks import Calls, PaceCheck, is_known, shape_faults
from pivoice.agent.simulated_dialect import GARBAGE, spelled
from pivoice.agent.simulated_faults import Timetable
from pivoice.agent.simulated_hearing import RATE_HZ
from pivoice.agent.simulated_link import Link
from pivoice.agent.simulated_plan import Plan, Turn
from pivoice.agent.simulated_reply import Drop
from pivoice.agent.simulated_settings import find_change, find_refusal, is_rate_right, merged, resolved
from pivoice.agent.simulated_talk import Talk

Message = dict[str, Any]

_TOLD_LIFETIME_S = 3600.0  # what the real server says and does not keep to (measured 2026-09)
_FINAL_CODES = (1000, 1008, *range(3006, 3010))  # after these a session cannot be resumed


@dataclass(frozen=True)
class Ground:
    """What all sessions of an agent stand on. `wall_s`: seconds since 1970."""

    plan: Plan
    take_turn: Callable[[], Turn]
    tell: Callable[[str, Message], None]
    wall_s: Callable[[], float]
    fault_counts: Counter[str]
    retired: Callable[[SimulatedSession], None]
    """Called once, when a session is over."""


class SimulatedSession:
    """`received`: every byte of audio taken. `violations`: what the client did wrong."""

    def __init__(self, number: int, *, ground: Ground) -> None:
        self.number = number
        self.id = f"sess_{number:04d}"
        self.plan = ground.plan
        self._ground = ground
        self._loop = asyncio.get_running_loop()
        self.settings: Message = {}
        """What is in force: the first update, and every later one laid over it."""
        self.updates: list[Message] = []
        """Every update that was taken, the first one included."""
        self.received = bytearray()
        self.arrivals: list[tuple[float, int]] = []
        """(time, bytes) of every message of audio, the dropped ones included."""
        self.violations: list[str] = []
        self.texts: list[tuple[float, str]] = []
        """(time, type) of everything received but audio."""
        self.calls = Calls()
        self.instructions: list[str] = []
        self.resumes = 0
        self.began_s = self._loop.time()
        self.ended_s: float | None = None
        """When it was over, and billing stopped."""
        self.is_ready = False
        self.has_expired = False
        self.is_deaf = number <= self.plan.deaf_sessions
        self.dropped_s: float | None = None
        self.link: Link | None = None
        self._talk = Talk(self, plan=self.plan, take_turn=ground.take_turn)
        self._pace = PaceCheck()
        self._allowance_s = 1.0
        self._allowed_at_s = self.began_s
        self._complained_s = float("-inf")
        self._faults: Timetable | None = None
        self._ready_task: asyncio.Task[None] | None = None
        self._expires_at_s: float | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._expiring: asyncio.Task[None] | None = None
        self._has_dropped = False

    @property
    def is_connected(self) -> bool:
        return self.link is not None

    @property
    def is_over(self) -> bool:
        return self.ended_s is not None

    @property
    def results(self) -> dict[str, Message]:
        """The client's answers to tool calls, by call."""
        return self.calls.results

    @property
    def gain(self) -> float:
        volume = (self.settings.get("output") or {}).get("volume")
        return 1.0 if volume is None else float(volume) / 100

    def billed_s(self, now_s: float) -> float:
        """Seconds so far, those of lingering included."""
        return (now_s if self.ended_s is None else self.ended_s) - self.began_s

    # --- the connection ---

    async def begin(self, link: Link, update: Message) -> None:
        """Take the first `session.update`, which was found acceptable."""
        self.settings = dict(self.plan.stored_agents.get(str(update.get("agent_id")), update))
        self.updates.append(update)
        self.link = link
        if "agent_id" not in update and not is_rate_right(update):
            self.is_deaf = True
        self._talk.take_settings(self.settings)
        self._ready_task = asyncio.create_task(self._get_ready(link, is_resume=False))

    async def resume(self, link: Link) -> None:
        """Go on, on another socket."""
        if self.link is not None:
            old = self.link
            self.leave(old)
            old.abort()
        self.link, self.dropped_s = link, None
        self.resumes += 1
        self._ready_task = asyncio.create_task(self._get_ready(link, is_resume=True))

    def leave(self, link: Link) -> None:
        """The socket is gone: the reply in flight is lost, the rest is kept for a resume."""
        if link is not self.link:
            return
        self.link, self.is_ready = None, False
        self.dropped_s = self._loop.time()
        self._talk.lose_link()
        self._stop_link()

    def end(self) -> None:
        """Nothing more is billed; nothing is kept."""
        if self.ended_s is None:
            self.ended_s, self.is_ready = self._loop.time(), False
            self._ground.retired(self)
        self._talk.stop()
        self._stop_link()
        for timer in (self._expiry, self._expiring):
            if timer is not None and timer is not asyncio.current_task():
                timer.cancel()

    async def hang_up(self, code: int, reason: str) -> None:
        """Close the connection; for good, if the code says so."""
        link = self.link
        if link is None:
            return
        if code in _FINAL_CODES:
            self.end()
        self.leave(link)
        await link.close(code, reason)

    def drop(self) -> None:
        """Break the connection without a word."""
        if self.link is not None:
            self.link.abort()

    async def send(self, kind: str, **fields: object) -> None:
        """Send one event; silently not when nobody is connected."""
        for message in spelled(kind, dict(fields), plan=self.plan, wall_s=self._ground.wall_s()):
            self._ground.tell("server", {"session": self.id, **message})
            await self._write(json.dumps(message))

    async def _write(self, frame: str | bytes) -> None:
        if self.link is not None:
            await self.link.write(frame)

    async def _get_ready(self, link: Link, *, is_resume: bool) -> None:
        await asyncio.sleep(self.plan.ready_delay_s)
        if link is not self.link or self.plan.never_ready:
            return
        has_updated = not (is_resume or self.plan.no_updated)
        if has_updated and not self.plan.ready_first:
            await self.send("session.updated", config=self._config())
            await asyncio.sleep(0.015)
        await self._send_ready(link)
        if has_updated and self.plan.ready_first:
            await self.send("session.updated", config=self._config())
        await self.send_garbage()
        greeting = self.settings.get("greeting")
        if greeting and not is_resume:
            self._talk.greet(str(greeting))

    async def _send_ready(self, link: Link) -> None:
        self.is_ready = True
        if self._expires_at_s is None:
            told_s = self.plan.expires_in_s
            self._expires_at_s = self._ground.wall_s() + (_TOLD_LIFETIME_S if told_s is None else told_s)
            if told_s is not None:
                self._expiry = self._loop.call_later(told_s, self._expire)
        self._faults = Timetable(
            self.plan, link, counts=self._ground.fault_counts, send=self.send, close=self.hang_up
        )
        self._faults.begin()
        await self.send(
            "session.ready",
            session_id=self.id,
            resume_token="",
            expires_at=int(self._expires_at_s),
            config=self._config(),
        )

    def _config(self) -> Message:
        return resolved(self.settings, session_id=self.id, http_tools=self.plan.http_tools)

    def _expire(self) -> None:
        self.has_expired = True
        if self.link is None:
            self.end()
        else:
            self._expiring = asyncio.create_task(self._tell_expiry(), name="simulated expiry")

    async def _tell_expiry(self) -> None:
        await self.send("session.error", code="session_expired", message="its time is over")
        await self.hang_up(1008, "session_expired")

    def _stop_link(self) -> None:
        if self._ready_task is not None:
            self._ready_task.cancel()
        if self._faults is not None:
            self._faults.stop()

    # --- what the client says ---

    async def hear(self, message: Message) -> None:
        """Take any message but the first and `session.end`."""
        kind = message.get("type")
        if kind != "input.audio":
            self.texts.append((self._loop.time(), str(kind)))
        if not is_known(kind):
            self.violate(f"unknown message {kind!r}")
            await self.send("session.error", code="invalid_format", message=f"unknown type {kind!r}")
            return
        for fault in shape_faults(message):
            self.violate(fault)
        if kind == "input.audio":
            await self._hear_audio(message)
        elif kind == "tool.result":
            for fault in self.calls.answer(message, self._loop.time(), must_be_json=self.plan.json_results):
                self.violate(fault)
            self._talk.results_changed()
        elif kind == "reply.create":
            self.instructions.append(str(message.get("instructions", "")))
            if fault := self._talk.say_something():
                self.violate(fault)
        elif kind == "session.update":
            if "session" in message:  # anything else beside the type is ignored without a word
                await self._hear_update(message["session"])
        else:
            self.violate(f"{kind} makes no sense here")

    async def _hear_update(self, update: object) -> None:
        if not isinstance(update, dict):
            await self.send("session.error", code="invalid_format", message="session must be an object")
            return
        refusal = find_refusal(update, voices=self.plan.voices) or find_change(update, self.settings)
        changed = merged(self.settings, update)
        if refusal is None and "input" in update:  # right alone may be wrong beside what is in force
            refusal = find_refusal({"input": changed["input"]}, voices=())
        if refusal is not None:
            if refusal.is_blame:
                self.violate(refusal.message)
            await self.send("session.error", **refusal.fields())
            return
        self.settings = changed
        self.updates.append(update)
        self._talk.take_settings(changed)
        await self.send("session.updated", config=self._config())

    async def _hear_audio(self, message: Message) -> None:
        if not self.is_ready:
            self.violate("audio after the end" if self.is_over else "audio before session.ready")
            return
        try:
            pcm = base64.b64decode(message["audio"], validate=True)
        except (KeyError, TypeError, binascii.Error, ValueError):
            self.violate("audio that is not base64")
            await self.send("session.error", code="invalid_audio", message="cannot decode")
            return
        if not pcm:
            self.violate("audio without a sample")
        if len(pcm) % 2:
            self.violate("half a sample of audio")
            pcm = pcm[:-1]
        now_s, seconds = self._loop.time(), len(pcm) / 2 / RATE_HZ
        self.arrivals.append((now_s, len(pcm)))
        if fault := self._pace.take(seconds, now_s, limit=self.plan.pace_limit):
            self.violate(fault)
        if await self._is_within_rate(seconds):
            self.received += pcm
            await self._talk.hear(np.frombuffer(pcm, "<i2"))

    async def _is_within_rate(self, seconds: float) -> bool:
        if not self.plan.max_rate:
            return True
        now_s = self._loop.time()
        earned_s = (now_s - self._allowed_at_s) * self.plan.max_rate
        self._allowance_s, self._allowed_at_s = min(1.0, self._allowance_s + earned_s), now_s
        if self._allowance_s >= seconds:
            self._allowance_s -= seconds
            return True
        if now_s - self._complained_s >= 1.0:
            self._complained_s = now_s
            await self.send(
                "session.error", code="audio_rate_violation", message="sent faster than real time"
            )
        return False

    # --- trouble ---

    async def send_garbage(self) -> None:
        """Send nonsense, if the plan wants it."""
        if self.plan.garbage:
            for frame in GARBAGE:
                await self._write(frame)

    async def send_ballast(self) -> None:
        """Send what the plan wants beside the words of each reply."""
        await self.send_garbage()
        if self.plan.oversized_bytes:
            frame = {"type": "reply.blob", "padding": ""}
            frame["padding"] = "x" * max(0, self.plan.oversized_bytes - len(json.dumps(frame)))
            await self._write(json.dumps(frame))

    def drop_in_reply(self, turn: Turn) -> Drop | None:
        """When (in seconds of audio) and how to break the connection during this reply."""
        if turn.drop_after_s is not None:
            return turn.drop_after_s, self.drop
        if self.plan.drop_after_s is not None and not self._has_dropped:
            self._has_dropped = True
            return self.plan.drop_after_s, self.drop
        return self._faults.in_reply() if self._faults is not None else None

    def violate(self, what: str) -> None:
        """Note a mistake of the client."""
        self.violations.append(what)
        self._ground.tell("violation", {"session": self.id, "type": what})
