"""What befalls a connection of the simulated server after `session.ready`, by the plan's timetable.

Event loop only. Each fault is a task that ends with the connection; how often each kind has happened is
counted for the whole agent.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from pivoice.agent.simulated_link import Link
from pivoice.agent.simulated_plan import Plan

Send = Callable[..., Coroutine[Any, Any, None]]
Close = Callable[[int, str], Coroutine[Any, Any, None]]


class Timetable:
    """The faults of one connection. `send` and `close` act on its session."""

    def __init__(self, plan: Plan, link: Link, *, counts: Counter[str], send: Send, close: Close) -> None:
        self._plan = plan
        self._link = link
        self._counts = counts
        self._send = send
        self._close = close
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        """It is ready: time runs."""
        plan = self._plan
        if plan.silent_after_s is not None:
            self._at("silent", plan.silent_after_s, self._go_silent)
        if plan.stall_s > 0:
            self._at("stall", plan.stall_at_s, lambda: self._link.stall(plan.stall_s))
        if plan.error_live:
            self._at("error", plan.error_live_at_s, self._complain)
        elif plan.close_code and not plan.close_in_reply:
            self._at("close", plan.close_at_s, self._hang_up)

    def stop(self) -> None:
        """The connection is gone."""
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()

    def in_reply(self) -> tuple[float, Callable[[], None]] | None:
        """When (in seconds of audio) and how to close during the reply that begins now."""
        plan = self._plan
        if not (plan.close_code and plan.close_in_reply and self._is_due("close")):
            return None
        return plan.close_at_s, lambda: self._start("close", self._hang_up())

    def _at(self, kind: str, delay_s: float, happen: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async def wait_and_happen() -> None:
            await asyncio.sleep(delay_s)
            if self._is_due(kind):
                await happen()

        self._start(kind, wait_and_happen())

    def _start(self, kind: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=f"simulated {kind}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _is_due(self, kind: str) -> bool:
        """Whether this kind has not happened often enough; counts it."""
        if self._plan.fault_times and self._counts[kind] >= self._plan.fault_times:
            return False
        self._counts[kind] += 1
        return True

    async def _go_silent(self) -> None:
        self._link.go_silent()
        await asyncio.sleep(self._plan.dead_link_s)
        self._link.abort()

    async def _complain(self) -> None:
        await self._send("session.error", code=self._plan.error_live, message="in a live session, as ordered")
        if self._plan.close_code:
            await self._hang_up()

    async def _hang_up(self) -> None:
        await self._close(self._plan.close_code, self._plan.close_reason)
