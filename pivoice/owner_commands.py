"""What the control socket can ask of volume, tools, timers and notes, and what it answers. See commands.py.

Event loop only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from pivoice.errors import PivoiceError

if TYPE_CHECKING:
    from pivoice.daemon import Daemon

Line = dict[str, Any]

ARGUMENTS = {
    "volume": ["value"],
    "gain": ["value"],
    "call": ["tool", "arguments"],
    "timers": ["cancel"],
    "notes": ["forget"],
}
"""What each command takes besides its name."""

_CHANGE = re.compile(r"(up|down)|([+-]?)(\d{1,3})")


def owner_commands_for(daemon: Daemon) -> dict[str, Callable[[Line], Line | Awaitable[Line]]]:
    """Return the commands by name."""
    return {
        "volume": lambda request: _volume(daemon, request),
        "gain": lambda request: _gain(daemon, request),
        "tools": lambda _: _tools(daemon),
        "call": lambda request: _call(daemon, request),
        "timers": lambda request: _timers(daemon, request),
        "notes": lambda request: _notes(daemon, request),
    }


async def _volume(daemon: Daemon, request: Line) -> Line:
    volume = daemon.controls.volume
    await volume.look()
    if "value" in request:
        level = _level("volume", request["value"], volume.level, daemon.config.audio.volume_step)
        await daemon.controls.set_volume(level)
    return volume.status()


async def _gain(daemon: Daemon, request: Line) -> Line:
    volume = daemon.controls.volume
    await volume.look()
    if "value" in request:
        step = daemon.config.audio.volume_step
        await volume.set_gain(_level("gain", request["value"], volume.gain, step))
    return volume.status()


def _level(name: str, value: object, now: int, step: int) -> int:
    """Return what `value` makes of the level `now`: a number, or a change of it."""
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if (found := _CHANGE.fullmatch(text.strip())) is None:
        raise PivoiceError(f"{name} takes a number from 0 to 100, +10, -10, up or down; got {value!r:.60}")
    word, sign, number = found.groups()
    if word:
        return _bounded(now + (step if word == "up" else -step))
    if sign:
        return _bounded(now + int(sign + number))
    if int(number) > 100:
        raise PivoiceError(f"{name} is a number from 0 to 100; got {number}")
    return int(number)


def _bounded(level: int) -> int:
    return min(100, max(0, level))


def _tools(daemon: Daemon) -> Line:
    daemon.toolbox.wanted()  # who asks a second time sees those of MCP servers, too
    return {"tools": daemon.toolbox.registry.listed(), "mcp": daemon.toolbox.mcp_status()}


async def _call(daemon: Daemon, request: Line) -> Line:
    tool, arguments = request.get("tool"), request.get("arguments", {})
    if not isinstance(tool, str) or not isinstance(arguments, dict):
        raise PivoiceError('call needs "tool", its name, and "arguments", an object')
    answer = await daemon.toolbox.run_for_owner(tool, arguments)
    return {"tool": tool, "is_error": answer.is_error, "result": answer.text}


async def _timers(daemon: Daemon, request: Line) -> Line:
    if "cancel" not in request:
        timers = daemon.toolbox.timers
        return {"timers": timers.status(), "missed": timers.missed_status()}
    name = _text("timers", "cancel", request)  # understood as when the agent says it
    answer = await daemon.toolbox.registry.run("cancel_timer", {"name": name}, by="owner")
    told = json.loads(answer.text)
    if answer.is_error:  # without what is said to the agent alone
        raise PivoiceError(re.sub(r"^cancel_timer was not run: |[.;]? Ask the user.*", "", told["error"]))
    return {**told, "timers": daemon.toolbox.timers.status()}


def _notes(daemon: Daemon, request: Line) -> Line:
    notes = daemon.toolbox.notes
    if "forget" in request:
        which = _text("notes", "forget", request)
        if which != "all" and not which.isdecimal():
            raise PivoiceError(f"forget takes the number of a note, or all; got {which!r:.60}")
        forgotten = notes.forget_all() if which == "all" else notes.forget(int(which))
        return {"forgotten": forgotten, "notes": notes.listed()}
    return {"notes": notes.listed()}


def _text(command: str, argument: str, request: Line) -> str:
    value = request[argument]
    if not isinstance(value, str | int) or isinstance(value, bool) or not str(value).strip():
        raise PivoiceError(f'{command} needs "{argument}" as text; got {value!r:.60}')
    return str(value).strip()
