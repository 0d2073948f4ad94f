"""What the control socket can ask of the daemon, and what it answers.

Event loop only. Decides nothing: most commands are an event for the turn machine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pivoice import __version__
from pivoice.turn import events

if TYPE_CHECKING:
    from pivoice.daemon import Daemon

Line = dict[str, Any]

ARGUMENTS = {"say": ["text"]}
"""What each command takes besides its name; nothing, where it is not listed."""


def commands_for(daemon: Daemon) -> dict[str, Callable[[Line], Line]]:
    """Return the commands by name; `watch` is the control socket's own."""

    def posting(event: events.Event) -> Callable[[Line], Line]:
        def command(_: Line) -> Line:
            daemon.post(event)
            return {"state": daemon.turn.state.value, "muted": daemon.turn.muted}

        return command

    return {
        "status": lambda _: status(daemon),
        "metrics": lambda _: metrics(daemon),
        "wake": posting(events.WakeAsked()),
        "stop": posting(events.StopAsked()),
        "hush": posting(events.HushAsked()),
        "mute": posting(events.MuteChanged(on=True)),
        "unmute": posting(events.MuteChanged(on=False)),
        "say": lambda request: _say(daemon, request),
    }


def status(daemon: Daemon) -> Line:
    """Return what `pivoice ctl status` prints."""
    return {
        "version": __version__,
        **daemon.outline(),
        "hears": daemon.hears,
        "wake": daemon.ears.listens_for,
        "echo": daemon.echo,
        "session": daemon.session.status(),
        "status": daemon.sentence(),
    }


def metrics(daemon: Daemon) -> Line:
    """Return what `pivoice ctl metrics` prints: counters since the start, and latencies in ms."""
    return {
        "capture_xruns": daemon.ears.xruns,
        "wakes_in_own_voice": daemon.ears.ignored_wakes,
        "playback_xruns": daemon.mouth.xruns,
        "uplink_dropped_frames": daemon.uplink.dropped_frames,
        "dead_reply_s": daemon.mouth.ignored_s,
        "says_lost": daemon.turn.says_lost,
        "ignored_events": dict(daemon.turn.ignored),
        "latencies_ms": daemon.latencies.summary(),
    }


def _say(daemon: Daemon, request: Line) -> Line:
    text = request.get("text")
    if not isinstance(text, str) or not text.strip():
        return {"error": f'say needs "text", what the agent should say; got {text!r}'}
    daemon.post(events.SayAsked(text.encode("utf-8", "replace").decode()))  # a lone surrogate cannot travel
    return {"state": daemon.turn.state.value}
