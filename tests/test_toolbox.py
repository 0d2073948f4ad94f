"""All tools put together: what a button runs by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

from pivoice.audio.earcons import Earcons
from pivoice.config import Config
from pivoice.equipment import Equipment
from pivoice.errors import ToolError
from pivoice.simulation import JumpLoop, run_jumping
from pivoice.tool_runs import MAX_RUNS
from pivoice.toolbox import Deeds, Toolbox
from pivoice.tools.registry import ToolDefinition
from pivoice.turn.events import Event, MuteChanged


class Bench:
    """A toolbox with one slow tool of the owner's, and what came of it."""

    def __init__(self) -> None:
        self.begun = self.ended = 0
        self.chimes: list[str] = []
        self.posted: list[Event] = []
        slow = ToolDefinition("slow", "Takes its time.", {}, self.run_slow, source="command")
        broken = ToolDefinition("broken", "Does not work.", {}, self.fail, source="command")
        equipment = Equipment(cast(Any, None), Earcons(), tools=(slow, broken))
        deeds = Deeds(
            post=self.posted.append,
            session=lambda: 1,
            set_volume=cast(Any, None),
            volume=lambda: 50,
            chime=self.chimes.append,
            hush=lambda name: None,
            is_waiting=lambda: False,
        )
        self.toolbox = Toolbox(Config(), equipment, deeds, key="")

    async def run_slow(self, _: Mapping[str, object]) -> str:
        self.begun += 1
        try:
            await asyncio.sleep(10)
        finally:
            self.ended += 1
        return "done"

    async def fail(self, _: Mapping[str, object]) -> str:
        raise ToolError("the lamp is off")


def live(main: Any) -> None:
    async def run(_: JumpLoop) -> None:
        await main(Bench())

    run_jumping(run)


def test_a_button_that_is_hammered_runs_no_more_than_may_run_at_once():
    async def main(bench: Bench) -> None:
        for _ in range(MAX_RUNS + 3):
            bench.toolbox.run_by_hand("slow", {})
        await asyncio.sleep(1)
        begun = bench.begun
        await asyncio.sleep(10)
        bench.toolbox.run_by_hand("slow", {})  # there is room again
        await asyncio.sleep(1)

        assert (begun, bench.begun) == (MAX_RUNS, MAX_RUNS + 1)
        assert bench.chimes == ["error"] * 3

    live(main)


def test_a_tool_run_by_hand_that_fails_is_heard():
    async def main(bench: Bench) -> None:
        bench.toolbox.run_by_hand("broken", {})
        await asyncio.sleep(1)

        assert bench.chimes == ["error"]

    live(main)


class SlowServers:
    """In place of MCP servers: there 3 s after somebody wanted them, with one tool."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._state = "at rest"

    def wanted(self) -> None:
        if self._state == "at rest":
            self._state = "connecting"
            asyncio.get_running_loop().call_later(3, self._arrive)

    def status(self) -> list[dict[str, object]]:
        return [{"name": "house", "state": self._state}]

    def _arrive(self) -> None:
        self._state = "connected"
        lamp = ToolDefinition("house_lamp", "Switches it.", {}, self._bench.run_slow, source="mcp:house")
        self._bench.toolbox.registry.put("mcp:house", [lamp])


def test_a_button_waits_for_the_mcp_server_that_brings_its_tool():
    """The first press after the start: no conversation has wanted the server yet."""

    async def main(bench: Bench) -> None:
        bench.toolbox._mcp = cast(Any, SlowServers(bench))
        bench.toolbox.run_by_hand("house_lamp", {})
        await asyncio.sleep(5)

        assert (bench.begun, bench.chimes) == (1, [])

    live(main)


def test_a_button_for_a_tool_that_nobody_brings_is_heard_as_a_mistake():
    async def main(bench: Bench) -> None:
        bench.toolbox._mcp = cast(Any, SlowServers(bench))
        bench.toolbox.run_by_hand("no_such", {})
        await asyncio.sleep(5)

        assert bench.chimes == ["error"]

    live(main)


def test_what_was_run_by_hand_ends_with_the_daemon():
    async def main(bench: Bench) -> None:
        bench.toolbox.run_by_hand("slow", {})
        await asyncio.sleep(1)
        await bench.toolbox.close()
        await asyncio.sleep(0.1)

        assert (bench.begun, bench.ended, bench.chimes) == (1, 1, [])

    live(main)


def test_the_agent_mutes_and_never_unmutes():
    async def main(bench: Bench) -> None:
        await bench.toolbox.registry.run("mute_microphone", {})

        assert bench.posted == [MuteChanged(on=True)]

    live(main)
