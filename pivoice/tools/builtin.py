"""The tools every device has: the time, and a way for the agent to end the conversation."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime

from pivoice.tools.registry import ToolDefinition

_NOTHING: dict[str, object] = {"type": "object", "properties": {}, "required": []}


def _local_now() -> datetime:
    return datetime.now().astimezone()


def get_time_tool(now: Callable[[], datetime] = _local_now) -> ToolDefinition:
    """Return the tool that tells the device's local time and date."""

    async def run(_: Mapping[str, object]) -> str:
        return json.dumps(describe_time(now()))

    return ToolDefinition(
        name="get_time",
        description="Tells the current local time and date. Use it whenever either matters; never guess.",
        parameters=_NOTHING,
        run=run,
    )


def end_conversation_tool(say_goodbye: Callable[[], None]) -> ToolDefinition:
    """Return the tool that ends the conversation; `say_goodbye` is called when the agent asks for it."""

    async def run(_: Mapping[str, object]) -> str:
        say_goodbye()
        return json.dumps({"status": "ending", "now": "Say a very short goodbye; the device then hangs up."})

    return ToolDefinition(
        name="end_conversation",
        description="Ends the conversation. Use it when the user says goodbye or wants no more.",
        parameters=_NOTHING,
        run=run,
    )


def describe_time(now: datetime) -> dict[str, str]:
    """Return a moment the way it is spoken, and as a timestamp for reckoning with."""
    hour, part = now.hour % 12 or 12, _part_of_day(now.hour)
    clock = f"{hour}:{now.minute:02d}" if now.minute else f"{hour} o'clock"
    return {
        "time": f"{clock} {part}",
        "date": f"{now:%A}, {now.day} {now:%B} {now.year}",
        "iso": now.isoformat(timespec="seconds"),
    }


def _part_of_day(hour: int) -> str:
    if hour < 12:
        return "in the morning"
    if hour < 18:
        return "in the afternoon"
    return "in the evening" if hour < 22 else "at night"
