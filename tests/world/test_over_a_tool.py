"""A user who speaks while a slow tool is at work is answered, and the device is done with the tool."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pivoice.agent.simulated_plan import ScriptedCall
from pivoice.tools.registry import ToolDefinition
from tests.support.world import World, answering, live


def test_words_over_a_slow_tool_are_answered_and_the_conversation_ends_in_its_time(tmp_path: Path):
    plan = answering("agent_short", "agent_short")
    plan.turns[0] = replace(plan.turns[0], tools=(ScriptedCall("slow"),))
    begun = asyncio.Event()

    async def slow(_: Mapping[str, object]) -> str:
        begun.set()
        await asyncio.sleep(9)
        return "done"

    async def main(world: World) -> None:
        tool = ToolDefinition("slow", "Takes its time.", {"type": "object", "properties": {}}, slow)
        world.daemon.toolbox.registry.put("command", [tool])
        world.say("user_wake_time")
        await begun.wait()

        world.say("user_weather", at_s=world.loop.time() + 3)
        await world.reach("speaking")

        await world.reach("listening", 5)
        assert not len(world.daemon.toolbox.runs), "nobody waits for it"
        await world.reach("idle", 10)
        assert world.daemon.turn.says_lost == 0

    live(main, tmp_path, plan=plan)
