"""PURE: how often replies were ducked, and what became of it: the count that tells a good ear from a bad one.

Owns the numbers, and decides nothing. Event loop only. Nothing of it is part of the joint state.
"""

from __future__ import annotations

from dataclasses import dataclass

from pivoice.turn.events import Event, OnsetHeard, PlaybackDrained
from pivoice.turn.states import Deadline, State


@dataclass(slots=True)
class Ducks:
    """Counts since the start. Each duck ends in `came_back`, `cut` or `played_out`, once."""

    on_suspicion: int = 0
    """Ducked because the device itself heard somebody start."""
    on_word: int = 0
    """Ducked because the server did."""
    confirmed: int = 0
    """Of `on_suspicion`: the server heard somebody too, in time."""
    came_back: int = 0
    """Went on at full level: false alarms, and whatever else was not meant to interrupt."""
    cut: int = 0
    """Were silenced: interrupted by the server, by new words, the wake word, the button, a stop."""
    played_out: int = 0
    """Were heard to their end, ducked."""

    def note(
        self, event: Event, before: State, after: State, waited: Deadline | None, waits: Deadline | None
    ) -> None:
        """Count what `event` did to the state, `before` and `after`, and to the deadline."""
        if State.YIELDING not in (before, after):
            return
        if before is after:
            self.confirmed += waited is Deadline.ONSET and waits is Deadline.YIELD
        elif after is State.YIELDING:
            self.on_suspicion += isinstance(event, OnsetHeard)
            self.on_word += not isinstance(event, OnsetHeard)
        elif after is State.SPEAKING:
            self.came_back += 1
        elif isinstance(event, PlaybackDrained):
            self.played_out += 1
        else:
            self.cut += 1
