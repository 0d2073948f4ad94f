"""Tools at work: one task for each call of the agent's. Event loop only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pivoice.tools.registry import Registry
from pivoice.turn.actions import RunTool
from pivoice.turn.events import Event, ToolFinished


class ToolRuns:
    """Runs tools, and posts `ToolFinished` for each that was not cancelled."""

    def __init__(self, tools: Registry, post: Callable[[Event], None]) -> None:
        self._tools = tools
        self._post = post
        self._running: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def start(self, call: RunTool) -> None:
        """Begin to answer `call`."""
        task = asyncio.create_task(self._answer(call), name=f"tool {call.name}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def cancel(self) -> None:
        """Give up whatever runs; nothing is posted of it."""
        for task in self._running:
            task.cancel()

    async def _answer(self, call: RunTool) -> None:
        answer = await self._tools.run(call.name, call.arguments)
        self._post(ToolFinished(call.session, call.call_id, answer.text, answer.is_error))
