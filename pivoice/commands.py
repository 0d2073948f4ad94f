"""What the control socket can ask of the daemon, and what it answers.

Event loop only. Decides nothing: most commands are an event for the turn machine.
`watch` is the control socket's own, `reload` whoever runs the daemon brings.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from pivoice import __version__, config, live_settings, owner_commands
from pivoice.agent.settings import MUTABLE
from pivoice.audio.stage import TAP
from pivoice.errors import PivoiceError
from pivoice.metrics import Family, Readings
from pivoice.owner_commands import owner_commands_for
from pivoice.turn import events
from pivoice.turn.states import Link

if TYPE_CHECKING:
    from pivoice.daemon import Daemon

logger = logging.getLogger(__name__)

Line = dict[str, Any]

_CHANGEABLE = {f"agent.{name}" for name in MUTABLE}
_LONGEST_SETTING = 100
_LOUDNESS = ("volume", "gain")

ARGUMENTS = {"say": ["text"], "set": ["setting", "value"], **owner_commands.ARGUMENTS}
"""What each command takes besides its name; nothing, where it is not listed."""

_ECHO_COUNTERS = ("slips", "underruns", "breaks", "gate_openings", "onsets")


def commands_for(daemon: Daemon) -> dict[str, Callable[[Line], Line | Awaitable[Line]]]:
    """Return the commands by name."""

    def posting(event: events.Event) -> Callable[[Line], Line]:
        def command(_: Line) -> Line:
            daemon.post(event)
            return {"state": daemon.turn.state.value, "muted": daemon.turn.muted}

        return command

    return {
        "status": lambda _: status(daemon),
        "metrics": lambda _: _metrics(daemon),
        "wake": posting(events.WakeAsked()),
        "stop": posting(events.StopAsked()),
        "hush": posting(events.HushAsked()),
        "mute": posting(events.MuteChanged(on=True)),
        "unmute": lambda _: _unmute(daemon),
        "say": lambda request: _say(daemon, request),
        "set": lambda request: _set(daemon, request),
        **owner_commands_for(daemon),
    }


def _unmute(daemon: Daemon) -> Line:
    daemon.post(events.MuteChanged(on=False))
    if daemon.turn.mute_switched:
        raise PivoiceError("the mute switch keeps the microphone closed; only it can open it")
    return {"state": daemon.turn.state.value, "muted": daemon.turn.muted}


def status(daemon: Daemon) -> Line:
    """Return what `pivoice ctl status` prints."""
    return {
        "version": __version__,
        **daemon.seen.outline(),
        "hears": daemon.seen.hears,
        "wake": daemon.ears.listens_for,
        "thresholds": daemon.ears.thresholds,
        **_echo(daemon),
        "session": daemon.session.status(),
        **daemon.sound.cards(),
        **{name: value for name, value in daemon.controls.volume.status().items() if name in _LOUDNESS},
        "timers": len(daemon.toolbox.timers.status()),
        "faults": dict(daemon.seen.faults),
        "restarts": {part: daemon.lasting.restarts[part] for part in ("capture", "playback", "loop")},
        "uptime_s": daemon.lasting.uptime_s(asyncio.get_running_loop().time()),
        "reload": daemon.next_settings,
        "status": daemon.seen.sentence(),
    }


def _echo(daemon: Daemon) -> Line:
    """Return how the device does not hear itself, why so, and how well."""
    line: Line = {"echo": daemon.echo.mode, "echo_reason": daemon.echo.reason}
    if (canceller := daemon.ears.echo_status) is not None:
        line["echo_canceller"] = canceller
        if canceller["tap"] != TAP:
            seldom = "the wake word is heard through the canceller, which is seldom over a reply"
            line["echo_fault"] = f"{seldom}: {canceller['tap']}"
    return line


async def _metrics(daemon: Daemon) -> Line:
    """Return what `pivoice ctl metrics` prints, and the same counters for programs that like JSON better."""
    chronicle, found = daemon.chronicle, readings(daemon)
    families = chronicle.metrics.families(found, time_s=asyncio.get_running_loop().time())
    text = await asyncio.to_thread(_exposed, families)  # on a small board its library loads for a while
    totals = chronicle.metrics.totals(found)
    return {"text": text, "counters": {**totals, "latencies_ms": chronicle.latencies.summary()}}


def _exposed(families: list[Family]) -> str:
    from pivoice.exposition import text_of

    return text_of(families)


def readings(daemon: Daemon) -> Readings:
    """Return what the parts of `daemon` have counted since it began, and what is so now."""
    canceller = daemon.ears.echo_status or {}
    counters = {
        "capture_xruns": daemon.ears.xruns,
        "wake": daemon.ears.wake_counts,
        "playback_xruns": daemon.mouth.xruns,
        "uplink_dropped_frames": daemon.uplink.dropped_frames,
        "dead_reply_s": daemon.mouth.ignored_s,
        "ducks": dataclasses.asdict(daemon.turn.ducks),
        "echo": {name: canceller[name] for name in _ECHO_COUNTERS if name in canceller},
        "says_lost": daemon.turn.says_lost,
        "ignored_events": dict(daemon.turn.ignored),
    }
    return Readings(counters, status(daemon))


def _say(daemon: Daemon, request: Line) -> Line:
    text = request.get("text")
    if not isinstance(text, str) or not text.strip():
        return {"error": f'say needs "text", what the agent should say; got {text!r}'}
    daemon.post(events.SayAsked(text.encode("utf-8", "replace").decode()))  # a lone surrogate cannot travel
    return {"state": daemon.turn.state.value}


def _set(daemon: Daemon, request: Line) -> Line:
    setting, value = request.get("setting"), request.get("value")
    if not isinstance(setting, str) or len(setting) > _LONGEST_SETTING or "value" not in request:
        raise PivoiceError('set needs "setting", such as "agent.volume", and "value"')
    if setting not in _CHANGEABLE:
        if setting not in {each.key for each in config.settings()}:
            config.changed(daemon.config, setting, value)  # says which was meant
        raise PivoiceError(
            f"{setting} cannot change in a running daemon; "
            "edit the configuration file and run: pivoice ctl reload"
        )
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise PivoiceError(f"{setting}: the value holds half a character, which cannot travel") from None
    live_settings.change(daemon, setting, value)
    is_open = daemon.turn.link is not Link.DOWN and value is not None
    logger.info("%s was changed by ctl", setting)
    return {
        "setting": setting,
        "value": value,
        "holds": "in the open session and later ones" if is_open else "from the next session on",
        "until": "the next restart or reload; write it into the configuration file to keep it",
    }
