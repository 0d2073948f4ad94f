"""What the device looks like from outside: its light, its status line, what `ctl` tells of it.

Event loop only. Stores nothing but what the threads of the cards told last: all else is read off the turn
machine and the ears whenever somebody looks.
"""

from __future__ import annotations

from pivoice.config import Config
from pivoice.panel.patterns import Pattern, pattern_for
from pivoice.sound import Sound
from pivoice.turn import events
from pivoice.turn.machine import Link, State, Turn

_TROUBLES = {
    "bad_key": "the agent's server refused the key",
    "refused": "the agent's server refused the settings",
    "no_network": "the last conversation found no way to the agent",
    "cap": "the day's minutes are used up",
}


class Appearance:
    """See the module."""

    def __init__(self, config: Config, turn: Turn, sound: Sound) -> None:
        self._config = config
        self._turn = turn
        self._sound = sound
        self.is_starting = True
        """Until the microphone is found, or lost."""
        self.faults: dict[str, str] = {}
        """What keeps microphone or speaker from working now, in a sentence."""

    def note(self, event: events.Event) -> dict[str, object] | None:
        """Keep in mind what is wrong with the cards; return what watchers should be told, if anything."""
        match event:
            case events.CaptureLost(fault) | events.PlaybackLost(fault):
                pass
            case events.CaptureFound() | events.PlaybackFound():
                fault = ""
            case _:
                return None
        is_ear = isinstance(event, events.CaptureLost | events.CaptureFound)
        part = "microphone" if is_ear else "speaker"
        self.is_starting &= not is_ear
        before = self.faults.pop(part, "")
        if fault:
            self.faults[part] = fault
        if fault == before:
            return None
        return {"part": part, "state": "lost" if fault else "found", "reason": fault or before}

    @property
    def light(self) -> Pattern:
        """Return what the light shows."""
        turn = self._turn
        return pattern_for(turn.state.value, turn.link.value, turn.muted, self.conditions)

    @property
    def conditions(self) -> frozenset[str]:
        """What the light shows besides the state; a link that comes back is told from a new one."""
        turn = self._turn
        is_back = turn.link is Link.CONNECTING and turn.memory.was_up
        more = {"reconnecting": is_back, "starting": self.is_starting and turn.state is State.IDLE}
        return turn.conditions | {name for name, holds in more.items() if holds}

    @property
    def hears(self) -> bool:
        """Whether the microphone is open and heard."""
        return self._sound.ears.is_open and not self.conditions & {"starting", "no_microphone"}

    def outline(self) -> dict[str, object]:
        """Return who has the floor and what the light shows: `ctl watch` tells it at every change."""
        turn, light = self._turn, self.light
        return {
            "state": turn.state.value,
            "link": turn.link.value,
            "muted": turn.muted,
            "conditions": sorted(self.conditions),
            "light": {"pattern": light.name, "colour": list(light.colour), "style": light.style},
        }

    def sentence(self) -> str:
        """What `systemctl status` says: whether it hears, and what somebody must mend."""
        troubles = [text for name, text in _TROUBLES.items() if name in self._turn.conditions]
        if "no_speaker" in self._turn.conditions:
            troubles.insert(0, f"no speaker: {self._config.audio.playback!r} is being retried")
        return "; ".join([self._hearing(), *troubles])

    def _hearing(self) -> str:
        turn = self._turn
        if turn.muted:
            return "muted: the microphone is closed"
        if "no_microphone" in turn.conditions:
            return f"no microphone: {self._config.audio.capture!r} is being retried"
        if self.is_starting:
            return f"opening the microphone {self._config.audio.capture!r}"
        if turn.state is State.IDLE:
            return f"hears; waiting for {self._sound.ears.listens_for}"
        return f"in a conversation: {turn.state.value}"
