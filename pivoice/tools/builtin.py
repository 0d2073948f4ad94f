"""The tools every device has that need no memory: the time, the volume, muting, and ending the conversation.

Event loop only. What they do is handed in as plain callables: no room is known here. Timers are in
timer_tools.py, what is to be remembered in notes.py.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta, tzinfo

from pivoice.tools.registry import RefusedError, ToolDefinition
from pivoice.tools.spoken import WEEKDAYS, describe_time, length_said
from pivoice.tools.times import Times

_NOTHING: dict[str, object] = {"type": "object", "properties": {}, "required": []}
_GET_TIME: dict[str, object] = {
    "type": "object",
    "properties": {
        "zone": {
            "type": "string",
            "description": "Where, if it is not here: the IANA name of the time zone, such as Asia/Tokyo; a "
            "big city, a country or an offset such as UTC+2 will do. Leave it out for the time here.",
            "examples": ["America/New_York", "Tokyo"],
        }
    },
    "required": [],
}
_SET_VOLUME: dict[str, object] = {
    "type": "object",
    "properties": {
        "level": {
            "type": "integer",
            "minimum": 0,
            "maximum": 100,
            "description": "How loud, from 0 to 100, if the user gave a number or said loudest (100).",
        },
        "change": {
            "type": "integer",
            "minimum": -100,
            "maximum": 100,
            "description": "By how much louder, or softer if negative: 10 unless the user said how much.",
        },
    },
    "required": [],
}


def get_time_tool(times: Times = Times()) -> ToolDefinition:
    """Return the tool that tells the time and date, here or in any time zone."""

    async def run(arguments: Mapping[str, object]) -> str:
        here, said = times.local_now(), str(arguments.get("zone") or "").strip()
        if not said:
            return json.dumps(_told(here, times.zone_name()))
        name, zone = await asyncio.to_thread(_find_zone, said, here)
        there = here.astimezone(zone)
        return json.dumps({**_told(there, name), "compared_with_here": _difference(there, here)})

    return ToolDefinition(
        name="get_time",
        description="Tells the current time and date, here or anywhere. Use it whenever either matters; "
        "never guess, never reckon with time zones yourself.",
        parameters=_GET_TIME,
        run=run,
    )


def set_volume_tool(
    set_level: Callable[[int], Awaitable[int]], *, level: Callable[[], int], max_level: int
) -> ToolDefinition:
    """Return the tool that sets how loud the device is.

    `set_level` takes 0 to 100 and returns the level that holds; `level` tells which one holds now;
    `max_level` is what the owner allows.
    """

    async def run(arguments: Mapping[str, object]) -> str:
        asked, change = arguments.get("level"), arguments.get("change")
        if asked is not None and change is not None:
            raise RefusedError("the volume is as it was: give either level or change, not both")
        wanted = level()
        told: dict[str, object] = {"level": wanted}
        if asked is not None or change is not None:
            number = asked if asked is not None else change
            assert isinstance(number, int | float), "level and change were not checked"
            wanted = int(number) + (0 if asked is not None else wanted)
            told["level"] = await set_level(max(0, min(100, wanted)))
        if wanted > max_level and max_level < 100:
            told["limit"] = f"The owner of the device allows {max_level} at most."
        elif wanted > 100 or (change is not None and wanted < 0):
            told["limit"] = "It does not get any louder." if wanted > 100 else "It is silent now."
        return json.dumps(told)

    return ToolDefinition(
        name="set_volume",
        description="Makes this device louder or softer. With neither level nor change it tells how loud it "
        "is.",
        parameters=_SET_VOLUME,
        run=run,
    )


def mute_microphone_tool(mute: Callable[[], None]) -> ToolDefinition:
    """Return the tool that mutes the microphone; `mute` is called when the agent asks for it."""

    async def run(_: Mapping[str, object]) -> str:
        mute()
        now = (
            "Tell the user in one short sentence that the microphone is off, and that only a hand can switch "
            "it on again: at the device's button, or with pivoice ctl unmute. Nobody is heard until then, so "
            "ask nothing."
        )
        return json.dumps({"status": "muted", "now": now})

    return ToolDefinition(
        name="mute_microphone",
        description="Switches the microphone off, so that the device hears nothing any more. Only a hand "
        "can switch it on again. Use it only when the user asks you to mute yourself, or to stop listening "
        "for good.",
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


def _find_zone(said: str, now: datetime) -> tuple[str, tzinfo]:
    from pivoice.tools.zones import find_zone  # half a megabyte that most devices never need

    return find_zone(said, now)


def _told(moment: datetime, zone: str) -> dict[str, str]:
    return {**describe_time(moment), "weekday": WEEKDAYS[moment.weekday()], "zone": zone}


def _difference(there: datetime, here: datetime) -> str:
    ahead = (there.utcoffset() or timedelta()) - (here.utcoffset() or timedelta())
    if not ahead:
        return "the same time as here"
    return f"{length_said(abs(ahead).total_seconds())} {'ahead of' if ahead > timedelta() else 'behind'} here"
