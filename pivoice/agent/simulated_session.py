"""One session on the simulated server: what it knows, hears and says, across its connections.

Spells the wire on its own, on purpose: a mistake in `wire` must not be made twice and cancel out.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import numpy as np
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from pivoice.agent.simulated_hearing import RATE_HZ, Heard, Hearing
from pivoice.agent.simulated_plan import Plan, Turn
from pivoice.agent.simulated_reply import ReplyInProgress
from pivoice.agent.simulated_voice import Voice

Message = dict[str, Any]
Tell = Callable[[str, Message], None]

_GARBAGE: tuple[str | bytes, ...] = (
    "this is not JSON",
    "[1, 2, 3]",
    "null",
    '{"type": 7}',
    '{"no": "type"}',
    '{"type": "weather.report", "wind": "north"}',
    '{"type": "reply.audio", "data": 5}',
    '{"type": "reply.audio", "data": "%%%"}',
    '{"type": "reply.audio"}',
    '{"type": "transcript.user", "text": {"a": 1}}',
    '{"type": "transcript.agent.delta", "delta": null}',
    '{"type": "tool.call", "name": "get_time"}',
    '{"type": "session.error", "code": 13, "message": ["no"]}',
    '{"type": "error", "message": "a bare error"}',
    '{"type": "reply.content_part.started"}',
    b"\x00\xff\xfe binary",
)
_SESSION_KEYS = {"system_prompt", "greeting", "input", "output", "tools", "agent_id"}


class SimulatedSession:
    """`received`: every byte of audio taken. `violations`: what the client did wrong."""

    def __init__(self, session_id: str, *, plan: Plan, take_turn: Callable[[], Turn], tell: Tell) -> None:
        self.id = session_id
        self.plan = plan
        self._take_turn = take_turn
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self.settings: Message = {}
        self.received = bytearray()
        self.arrivals: list[tuple[float, int]] = []
        """(time, bytes) of every message of audio, the dropped ones included."""
        self.violations: list[str] = []
        self.texts: list[tuple[float, str]] = []
        """(time, type) of everything received but audio."""
        self.results: dict[str, Message] = {}
        self.instructions: list[str] = []
        self.resumes = 0
        self.began_s = self._loop.time()
        self.is_ready = False
        self.is_over = False
        self.dropped_s: float | None = None
        self._socket: ServerConnection | None = None
        self._hearing = Hearing(silence_s=plan.silence_s, insist_s=plan.interruption_delay_s)
        self._allowance_s = 1.0
        self._allowed_at_s = self.began_s
        self._complained_s = float("-inf")
        self._replies = 0
        self._reply: ReplyInProgress | None = None
        self._pending: asyncio.Task[None] | None = None
        self._ready_task: asyncio.Task[None] | None = None
        self._barged_in = False
        self._calls: set[str] = set()
        self._has_dropped = False

    @property
    def is_connected(self) -> bool:
        return self._socket is not None

    # --- the connection ---

    async def begin(self, socket: ServerConnection, settings: Message) -> None:
        """Take the first `session.update`."""
        self.settings = settings
        self._socket = socket
        self._check_settings(settings)
        self._ready_task = asyncio.create_task(self._get_ready(socket, is_resume=False))

    async def resume(self, socket: ServerConnection) -> None:
        """Go on, on another socket."""
        if self._socket is not None:
            self._socket.transport.abort()
        self._socket, self.dropped_s = socket, None
        self.resumes += 1
        self._ready_task = asyncio.create_task(self._get_ready(socket, is_resume=True))

    def leave(self, socket: ServerConnection) -> None:
        """The socket is gone: the reply in flight is lost, the rest is kept for a resume."""
        if socket is not self._socket:
            return
        self._socket, self.is_ready = None, False
        self.dropped_s = self._loop.time()
        self._stop_talking()
        self._reply = None

    def end(self) -> None:
        """Nothing more is billed; nothing is kept."""
        self.is_over, self.is_ready = True, False
        self._stop_talking()

    async def send(self, kind: str, **fields: object) -> None:
        """Send one event; silently not when nobody is connected."""
        message = {"type": kind, **fields, "timestamp": round(self._loop.time(), 6)}
        self._tell("server", {"session": self.id, **message})
        await self._write(json.dumps(message))

    async def _write(self, frame: str | bytes) -> None:
        if self._socket is not None:
            with suppress(ConnectionClosed):
                await self._socket.send(frame)

    def drop(self) -> None:
        """Break the connection without a word."""
        if self._socket is not None:
            self._socket.transport.abort()

    async def _get_ready(self, socket: ServerConnection, *, is_resume: bool) -> None:
        await asyncio.sleep(self.plan.ready_delay_s)
        if socket is not self._socket:
            return
        if not is_resume:
            await self.send("session.updated", config={"id": self.id})
            await asyncio.sleep(0.015)
        self.is_ready = True
        config = {"id": self.id, "input": self.settings.get("input"), "output": self.settings.get("output")}
        await self.send(
            "session.ready", session_id=self.id, resume_token="", expires_at=2_000_000_000, config=config
        )
        await self.send_garbage()
        greeting = self.settings.get("greeting")
        if greeting and not is_resume:
            shortest = min((turn.voice for turn in self.plan.turns), key=lambda voice: voice.seconds)
            self._start_reply(Turn(Voice(str(greeting), shortest.samples, shortest.name)))

    def _check_settings(self, settings: Message) -> None:
        for key in settings.keys() - _SESSION_KEYS:
            self.violate(f"unknown setting {key!r}")
        for side in ("input", "output"):
            audio = (settings.get(side) or {}).get("format")
            if not isinstance(audio, dict) or audio.get("sample_rate") != RATE_HZ:
                self.violate(f"{side}.format is not declared as {RATE_HZ} Hz")
        for tool in settings.get("tools") or ():
            if not {"type", "name", "description", "parameters"} <= tool.keys():
                self.violate(f"the tool {tool.get('name')!r} lacks a field")

    # --- what the client says ---

    async def hear(self, message: Message) -> None:
        """Take any message but the first and `session.end`."""
        kind = message.get("type")
        if kind == "input.audio":
            await self._hear_audio(message)
            return
        self.texts.append((self._loop.time(), str(kind)))
        if kind == "tool.result":
            await self._hear_result(message)
        elif kind == "reply.create":
            await self._hear_request(message)
        elif kind == "session.update":
            await self.send("session.updated", config={"id": self.id})
        elif kind in ("session.resume", "conversation.message", "reply.cancel"):
            self.violate(f"{kind} makes no sense here")
        else:
            self.violate(f"unknown message {kind!r}")
            await self.send("session.error", code="invalid_format", message=f"unknown type {kind!r}")

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
        if len(pcm) % 2:
            self.violate("half a sample of audio")
            pcm = pcm[:-1]
        self.arrivals.append((self._loop.time(), len(pcm)))
        if not await self._is_within_rate(len(pcm) / 2 / RATE_HZ):
            return
        self.received += pcm
        for heard in self._hearing.feed(np.frombuffer(pcm, "<i2")):
            if not self.plan.deaf:
                await self._notice(heard)

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

    async def _hear_result(self, message: Message) -> None:
        call_id = message.get("call_id")
        if call_id in self.results:
            self.violate(f"two answers for {call_id}")
        elif call_id not in self._calls:
            self.violate(f"an answer for {call_id!r}, which nobody asked (any more)")
        elif not isinstance(message.get("result"), str):
            self.violate("a tool result that is not text")
        self.results[str(call_id)] = message
        if self._reply is not None:
            self._reply.results_changed.set()

    async def _hear_request(self, message: Message) -> None:
        self.instructions.append(str(message.get("instructions", "")))
        if self._reply is not None and not self._reply.is_done:
            self.violate("reply.create while a reply is in flight")
        self._start_reply(self._take_turn())

    # --- turns ---

    async def _notice(self, heard: Heard) -> None:
        reply = self._reply
        if heard is Heard.STARTED:
            if self._pending is not None:
                self._pending.cancel()  # the user goes on: their turn is not over
                self._pending = None
            self._barged_in = False
            await self.send("input.speech.started")
        elif heard is Heard.INSISTED:
            if reply is not None and reply.can_be_interrupted(self._loop.time()):
                self._barged_in = True
                await reply.interrupt()
        elif heard is Heard.WENT_ON:
            if reply is None or reply.is_over(self._loop.time()) or self._barged_in:
                text = f"({self._hearing.voiced_s:.1f} s of speech so far)"
                await self.send("transcript.user.delta", text=text, item_id=f"item_user_{self._replies}")
        else:
            await self._end_turn()

    async def _end_turn(self) -> None:
        await self.send("input.speech.stopped")
        is_replying = self._reply is not None and not self._reply.is_over(self._loop.time())
        if is_replying and not self._barged_in:
            return  # an "uh-huh" is no turn
        self._pending = asyncio.create_task(self._answer())

    async def _answer(self) -> None:
        await asyncio.sleep(self.plan.reply_delay_s)
        self._pending = None
        turn = self._take_turn()
        text = turn.user_text or f"({self._hearing.voiced_s:.1f} s of speech)"
        await self.send("transcript.user", text=text, item_id=f"item_user_{self._replies}")
        self._start_reply(turn)

    def _start_reply(self, turn: Turn) -> None:
        if self._reply is not None:
            self._reply.stop()
        self._replies += 1
        self._reply = ReplyInProgress(
            f"resp_{self.id[-4:]}_{self._replies}",
            self,
            turn=turn,
            plan=self.plan,
            drop=self._drop_in_reply(turn),
        )
        self._reply.start()

    # --- what a reply in progress asks of its session ---

    def ask(self, call_id: str) -> None:
        """Note a call that is to be answered."""
        self._calls.add(call_id)

    def has_answer(self, call_id: str) -> bool:
        return call_id in self.results

    def forget_calls(self, call_ids: Iterable[str]) -> None:
        """Their reply is dead: nobody waits for an answer."""
        self._calls.difference_update(call_ids)

    async def send_garbage(self) -> None:
        """Send nonsense, if the plan wants it."""
        if self.plan.garbage:
            for frame in _GARBAGE:
                await self._write(frame)

    # --- trouble ---

    def _drop_in_reply(self, turn: Turn) -> tuple[float, Callable[[], None]] | None:
        """When (in seconds of audio) and how to break the connection during this reply."""
        if turn.drop_after_s is not None:
            return turn.drop_after_s, self.drop
        if self.plan.drop_after_s is not None and not self._has_dropped:
            self._has_dropped = True
            return self.plan.drop_after_s, self.drop
        return None

    def _stop_talking(self) -> None:
        if self._reply is not None:
            self._reply.stop()
        for task in (self._pending, self._ready_task):
            if task is not None:
                task.cancel()
        self._pending = None

    def violate(self, what: str) -> None:
        """Note a mistake of the client."""
        self.violations.append(what)
        self._tell("violation", {"session": self.id, "type": what})
