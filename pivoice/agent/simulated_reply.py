"""One reply of the simulated agent: from `reply.started` to `reply.done`, with all that may befall it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import numpy as np

from pivoice.agent.simulated_checks import Calls
from pivoice.agent.simulated_hearing import FRAME, FRAME_S, RATE_HZ
from pivoice.agent.simulated_plan import Plan, ScriptedCall, Turn

PREAMBLE_S = 2.3  # a tool's silent carrier is held open this long for its result
_WORDS_AFTER_S = 0.4  # the words come as one burst this long after the first audio
_SILENT_S = 2.4  # what a model that says nothing sounds like

Silence = np.zeros(FRAME, np.int16)


class Host(Protocol):
    """What a reply needs of its session. `gain`: what the client asked its volume to be, 0 to 1."""

    calls: Calls

    @property
    def gain(self) -> float: ...
    async def send(self, kind: str, **fields: object) -> None: ...
    async def send_ballast(self) -> None: ...
    def violate(self, what: str) -> None: ...


Drop = tuple[float, Callable[[], None]]
"""So far into the audio (seconds), do this instead of going on."""


class ReplyInProgress:
    """Sends itself in a task of its own; `interrupt` and `stop` come from outside."""

    def __init__(
        self,
        reply_id: str,
        host: Host,
        *,
        turn: Turn,
        plan: Plan,
        drop: Drop | None = None,
        is_answer: bool = False,
    ) -> None:
        self.turn = turn
        self._id = reply_id
        self._first_id = f"fc-{reply_id}" if turn.tools else reply_id
        self._plan = plan
        self._host = host
        self._drop = drop
        self._is_answer = is_answer
        self._task: asyncio.Task[None] | None = None
        self._audio = np.zeros(0, np.int16)
        self._carry = b""
        self._sent = 0
        self._began_s = 0.0
        self._told_ids: set[str] = set()
        self._has_words = self._has_text = False
        self.call_ids: list[str] = []
        self.results_changed = asyncio.Event()
        self.announced_s: float | None = None
        self.is_waiting = False
        """For the answers to its tool calls."""
        self.is_done = False
        self.is_interrupted = False

    async def announce(self) -> None:
        """Say that it begins, before it does."""
        await self._send_started(self._first_id)

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="simulated reply")

    def stop(self) -> None:
        """Say nothing more."""
        if self._task is not None:
            self._task.cancel()

    def is_over(self, now_s: float) -> bool:
        """Whether the server believes that the user has heard it all."""
        return self.is_interrupted or (self.is_done and not self.can_be_interrupted(now_s))

    def can_be_interrupted(self, now_s: float) -> bool:
        if self.is_interrupted:
            return False
        if self._plan.transcript_only and self.is_done:
            return now_s < self._began_s + len(self._audio) / RATE_HZ  # by its own clock it still sounds
        return not self.is_done

    async def interrupt(self) -> None:
        """The user took the floor."""
        self.stop()
        self.is_interrupted = True
        self._host.calls.forget(self.call_ids, asyncio.get_running_loop().time())
        was_done, self.is_done = self.is_done, True
        heard = self._sent / max(1, len(self._audio))
        words = self.turn.voice.text.split()
        text = " ".join(words[: int(len(words) * heard)])
        reply_id = self._id if self._id in self._told_ids else self._first_id
        if self._plan.transcript_only:
            await self._send_text(text, interrupted=True)
            if not was_done:
                await self._host.send("reply.done", reply_id=reply_id, status="completed")
        else:
            await self._host.send("reply.done", reply_id=reply_id, status="interrupted")
            await self._send_text(text, interrupted=True)
        stale_s = self.turn.stale_s if self.turn.stale_s is not None else self._plan.stale_s
        if stale_s > 0:
            self._task = asyncio.create_task(self._send_stale(stale_s), name="simulated stale audio")

    # --- the usual way ---

    async def _run(self) -> None:
        if self.turn.tools:
            await self._use_tools()
        await self._send_started(self._id)
        self._began_s = asyncio.get_running_loop().time()
        await self._host.send_ballast()
        if self._is_answer:
            await self._tell_of_http_tools()
        if self._plan.error_in_band:
            await self._host.send(
                "session.error", code=self._plan.error_in_band, message="in band, as ordered"
            )
        if self.turn.error:
            await self._host.send(
                "reply.error", reply_id=self._id, code=self.turn.error, message="as ordered", retryable=True
            )
            await self._finish("failed")
            return
        lead = np.zeros(int(self._plan.lead_s * RATE_HZ), np.int16)
        voice = self.turn.voice.samples
        if self.turn.silent:
            voice = np.zeros(int(_SILENT_S * RATE_HZ), np.int16)
        self._audio = np.concatenate([lead, voice])
        if not await self._send_audio():
            return
        await self._say_words()
        if self._plan.transcript_only:
            await self._finish("completed")
            left_s = self._began_s + len(self._audio) / RATE_HZ - asyncio.get_running_loop().time()
            await asyncio.sleep(max(0.0, left_s))
            await self._send_text(self._text, interrupted=False)
        else:
            await self._send_text(self._text, interrupted=False)
            await self._finish("completed")

    @property
    def _text(self) -> str:
        return "" if self.turn.silent else self.turn.voice.text

    async def _send_started(self, reply_id: str) -> None:
        if reply_id not in self._told_ids:
            self._told_ids.add(reply_id)
            self.announced_s = asyncio.get_running_loop().time()
            await self._host.send("reply.started", reply_id=reply_id, item_id=f"item_{reply_id}")

    async def _send_audio(self) -> bool:
        """Send it all; False when the link was to break on the way."""
        while self._sent < len(self._audio):
            position_s = self._sent / RATE_HZ
            if self._drop is not None and position_s >= self._drop[0]:
                self._drop[1]()
                return False
            await self._send_chunk(self._audio[self._sent : self._sent + FRAME])
            self._sent += FRAME
            if position_s >= _WORDS_AFTER_S:
                await self._say_words()
            await self._keep_pace(self._sent / RATE_HZ)
        if self._carry:
            await self._send_bytes(self._carry, self._id)
        return True

    async def _keep_pace(self, position_s: float) -> None:
        if self._plan.speed > 0:
            due_s = self._began_s + position_s / self._plan.speed
            await asyncio.sleep(max(0.0, due_s - asyncio.get_running_loop().time()))

    async def _send_chunk(self, samples: np.ndarray) -> None:
        if self._host.gain != 1.0:
            samples = samples * self._host.gain
        pcm = self._carry + samples.astype("<i2").tobytes()
        if self._plan.odd_chunks:
            whole = len(pcm) - 1 + len(self._carry)  # every other chunk ends within a sample
            pcm, self._carry = pcm[:whole], pcm[whole:]
        await self._send_bytes(pcm, self._id)

    async def _send_bytes(self, pcm: bytes, reply_id: str) -> None:
        data = base64.b64encode(pcm).decode("ascii")
        await self._host.send("reply.audio", data=data, reply_id=reply_id)

    async def _say_words(self) -> None:
        if self._has_words:
            return
        self._has_words = True
        words = self._text.split()
        each_ms = self.turn.voice.seconds * 1000 / max(1, len(words))
        for index, word in enumerate(words):
            start_ms = round(self._plan.lead_s * 1000 + index * each_ms)
            await self._host.send(
                "transcript.agent.delta",
                delta=word,
                start_ms=start_ms,
                end_ms=round(start_ms + each_ms),
                reply_id=self._id,
                item_id=f"item_{self._id}",
            )

    async def _send_text(self, text: str, *, interrupted: bool) -> None:
        if not self._has_text:
            self._has_text = True
            await self._host.send(
                "transcript.agent",
                text=text,
                reply_id=self._id,
                item_id=f"item_{self._id}",
                interrupted=interrupted,
            )

    async def _finish(self, status: str) -> None:
        self.is_done = True
        await self._host.send("reply.done", reply_id=self._id, status=status)
        if self._plan.garbage:
            await self._host.send("reply.done", reply_id=self._id, status=status)

    # --- what may befall it ---

    async def _use_tools(self) -> None:
        """A silent carrier asks for the tools, and waits a while for their results."""
        await self.announce()
        self._began_s = asyncio.get_running_loop().time()
        self.is_waiting = True
        for index, call in enumerate(self.turn.tools):
            await self._call(f"call_{self._id}_{index}", call)
        sent_s = 0.0
        while sent_s < PREAMBLE_S and not self._has_all():
            await self._send_bytes(Silence.tobytes(), self._first_id)
            sent_s += FRAME_S
            await asyncio.sleep(max(0.0, self._began_s + sent_s - asyncio.get_running_loop().time()))
        await self._host.send("reply.done", reply_id=self._first_id, status="completed")
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._began_s + self._plan.tool_timeout_s):
                while not self._has_all():
                    self.results_changed.clear()
                    await self.results_changed.wait()
        for call_id in self.call_ids:
            if not self._host.calls.has_answer(call_id):
                self._host.violate(f"{call_id} was not answered within {self._plan.tool_timeout_s:g} s")
        self._host.calls.forget(self.call_ids, asyncio.get_running_loop().time())
        self.is_waiting = False

    async def _call(self, call_id: str, call: ScriptedCall) -> None:
        self.call_ids.append(call_id)
        self._host.calls.ask(call_id, asyncio.get_running_loop().time())
        await self._host.send("tool.call", call_id=call_id, name=call.name, arguments=call.arguments)

    def _has_all(self) -> bool:
        return all(self._host.calls.has_answer(call_id) for call_id in self.call_ids)

    async def _tell_of_http_tools(self) -> None:
        for name in self._plan.http_tools:
            call_id = f"http_{self._id}_{name}"
            self._host.calls.tell(call_id)
            await self._host.send("tool.call", call_id=call_id, name=name, arguments={})

    async def _send_stale(self, stale_s: float) -> None:
        """What was in the pipes when the reply died."""
        rest = self._audio[self._sent : self._sent + int(stale_s * RATE_HZ)]
        missing = int(stale_s * RATE_HZ) - len(rest)
        again = np.resize(self.turn.voice.samples, missing) if missing > 0 else rest[:0]
        rest = np.concatenate([rest, again])
        self._began_s = asyncio.get_running_loop().time()
        for start in range(0, len(rest), FRAME):
            await self._send_chunk(rest[start : start + FRAME])
            await self._keep_pace(start / RATE_HZ)
