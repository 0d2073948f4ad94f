"""All that the agent may ask the device to do: pivoice's own tools, the owner's, and those of MCP servers.

Event loop only. Puts the tools room together, and is what the daemon and `ctl` know of it. What a tool does
to the device it does by what `Deeds` holds.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pivoice.config import Config
from pivoice.equipment import Equipment
from pivoice.secrecy import Secrets
from pivoice.tool_runs import MAX_RUNS, ToolRuns
from pivoice.tools.builtin import (
    end_conversation_tool,
    get_time_tool,
    mute_microphone_tool,
    set_volume_tool,
)
from pivoice.tools.notes import Notes, notes_tools
from pivoice.tools.registry import Answer, Registry, ToolDefinition
from pivoice.tools.timer_tools import timer_tools
from pivoice.tools.timers import Timers
from pivoice.turn.events import Event, GoodbyeAsked, MuteChanged, RingSilenced, TimerRang

if TYPE_CHECKING:
    from pivoice.tools.mcp import McpServers

_CONNECTED_S = 45.0  # a program in Python on a Zero takes most of a minute to begin
_LOOK_S = 0.1


@dataclass(frozen=True)
class Deeds:
    """What tools may do to the device."""

    post: Callable[[Event], None]
    session: Callable[[], int]
    """The serial of the session that is open."""
    set_volume: Callable[[int], Awaitable[int]]
    volume: Callable[[], int]
    chime: Callable[[str], None]
    hush: Callable[[str], None]
    """Silence one of the device's own sounds."""
    is_waiting: Callable[[], bool]
    """The user hears nothing, and waits for the agent."""


class Toolbox:
    """See the module."""

    def __init__(self, config: Config, equipment: Equipment, deeds: Deeds, *, key: str) -> None:
        """`key`: of the agent, which no answer may hold."""
        _, _, query = config.agent.token_url.partition("?")
        self.registry = Registry(config.tools, secrets=Secrets(key, query))
        self._deeds = deeds
        self.timers = Timers(
            equipment.record("timers.json"),
            ring=self._ring,
            hush=lambda: deeds.post(RingSilenced()),
            ring_minutes=config.tools.ring_minutes,
            times=equipment.times,
        )
        self.notes = Notes(equipment.record("notes.json"), config.tools.notes, times=equipment.times)
        self.registry.put("pivoice", self._own(config))
        for source, tools in groupby(equipment.tools, key=attrgetter("source")):
            self.registry.put(source, list(tools))
        self.runs = ToolRuns(
            self.registry,
            deeds.post,
            chime=deeds.chime,
            is_waiting=deeds.is_waiting,
            working_s=config.tools.working_s,
            started_s=config.tools.started_s,
        )
        self._by_hand: set[asyncio.Task[None]] = set()
        self._mcp = self._open_mcp(config, equipment)

    def start(self) -> None:
        """Begin to keep time. Once the loop runs."""
        self.timers.start()

    def wanted(self) -> None:
        """A conversation begins."""
        if self._mcp:
            self._mcp.wanted()

    async def connected(self) -> None:
        """Wait for MCP servers that are being connected to, as long as that may take."""
        self.wanted()
        for _ in range(round(_CONNECTED_S / _LOOK_S)):
            if not any(server["state"] == "connecting" for server in self.mcp_status()):
                return
            await asyncio.sleep(_LOOK_S)

    def silenced(self) -> None:
        """What rang rings no more."""
        self._deeds.hush("timer")
        self.timers.silenced()

    async def run_for_owner(self, name: str, arguments: dict[str, object]) -> Answer:
        """Run a tool for a button or `ctl`. One that nobody knows may come with an MCP server, which nobody
        has wanted yet since the start: that is waited for."""
        if name not in {each["name"] for each in self.registry.listed()}:
            await self.connected()
        return await self.registry.run(name, arguments, by="owner")

    def run_by_hand(self, name: str, arguments: dict[str, object]) -> None:
        """Run a tool because a button says so; that it failed is heard."""

        async def run() -> None:
            if (await self.run_for_owner(name, arguments)).is_error:
                self._deeds.chime("error")

        if len(self._by_hand) >= MAX_RUNS:  # a button is pressed faster than a slow program ends
            self._deeds.chime("error")
            return
        task = asyncio.get_running_loop().create_task(run(), name=f"tool {name} by hand")
        self._by_hand.add(task)
        task.add_done_callback(self._by_hand.discard)

    def mcp_status(self) -> list[dict[str, Any]]:
        """Return how the MCP servers are, for people."""
        return self._mcp.status() if self._mcp else []

    async def close(self) -> None:
        """Give up what runs, and end what was started for it."""
        self.runs.end()
        for task in self._by_hand:
            task.cancel()
        self.timers.close()
        servers = [self._mcp.close()] if self._mcp else []
        await asyncio.gather(self.registry.close(), *servers)

    def _own(self, config: Config) -> list[ToolDefinition]:
        deeds = self._deeds
        tools = [
            get_time_tool(self.timers.times),
            end_conversation_tool(lambda: deeds.post(GoodbyeAsked(deeds.session()))),
            set_volume_tool(deeds.set_volume, level=deeds.volume, max_level=config.audio.max_volume),
            mute_microphone_tool(lambda: deeds.post(MuteChanged(on=True))),
            *timer_tools(self.timers),
        ]
        return [*tools, *notes_tools(self.notes)] if config.tools.notes else tools

    def _open_mcp(self, config: Config, equipment: Equipment) -> McpServers | None:
        """Return what looks after MCP servers; None where there are none, who then cost nothing."""
        if not config.tools.mcp:
            return None
        from pivoice.tools.mcp import McpServers

        return McpServers(
            config.tools, environ=os.environ, state_dir=equipment.records or Path("/"), put=self.registry.put
        )

    def _ring(self, names: str) -> None:
        self._deeds.post(TimerRang(names))
