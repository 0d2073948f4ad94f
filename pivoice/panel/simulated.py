"""A panel in memory: tests move its buttons and its switch, and look at its light."""

from __future__ import annotations

from typing import ClassVar

from pivoice.clock import Clock
from pivoice.config import PanelConfig
from pivoice.panel.panel import MUTE_SWITCH, Edge, Levels, Take
from pivoice.panel.patterns import Pattern


class SimulatedPanel:
    """Remembers every pattern it was shown. Edges are told in the caller's thread."""

    is_switched_at_first: ClassVar[bool] = False
    """How a mute switch stands when a panel is opened."""

    def __init__(self, config: PanelConfig, *, clock: Clock, take: Take, levels: Levels) -> None:
        del levels
        self.shown: list[Pattern] = []
        self.is_closed = False
        self.is_switched = None if config.mute_switch_pin is None else self.is_switched_at_first
        self._clock = clock
        self._take = take
        self._levels: dict[int, bool] = dict.fromkeys(range(len(config.buttons)), False)
        if self.is_switched is not None:
            self._levels[MUTE_SWITCH] = self.is_switched

    def show(self, pattern: Pattern) -> None:
        if not self.is_closed:
            self.shown.append(pattern)

    def press(self, button: int = 0) -> None:
        """Press a button shortly."""
        self.down(button)
        self.up(button)

    def down(self, button: int = 0) -> None:
        """Press a button, and keep it pressed."""
        self._move(button, True)

    def up(self, button: int = 0) -> None:
        """Let go of a button."""
        self._move(button, False)

    def switch(self, on: bool) -> None:
        """Put the mute switch to where it mutes, or not."""
        self._move(MUTE_SWITCH, on)

    def close(self) -> None:
        self.is_closed = True

    def _move(self, button: int, is_down: bool) -> None:
        """Tell of an edge, where there is one, as a pin does."""
        if not self.is_closed and self._levels[button] != is_down:
            self._levels[button] = is_down
            self._take(Edge(button, is_down, self._clock.monotonic()))
