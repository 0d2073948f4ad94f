"""Buttons and lights: the interface, the table of what implements it, and what happens without the hardware.

A device without its buttons and lights still listens and talks, so whatever cannot be opened is a warning,
once, and never the end of the daemon. Buttons and lights are opened each by themselves.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

from pivoice.clock import Clock
from pivoice.config import PanelConfig
from pivoice.panel.patterns import Pattern

MUTE_SWITCH = -1
"""What stands for the mute switch where a button has its index."""

PANELS = {
    "gpio": "pivoice.panel.header:HeaderPanel",
    "simulated": "pivoice.panel.simulated:SimulatedPanel",
    "none": "pivoice.panel.panel:NoPanel",
}
"""Each is called as `open_panel` is."""


@dataclass(frozen=True)
class Edge:
    """A button or the mute switch has moved."""

    button: int
    """Index in `PanelConfig.buttons`; `MUTE_SWITCH` is the mute switch."""
    is_down: bool
    """Pressed; of the switch: it mutes."""
    time_s: float
    """On the clock's `monotonic`, which is the event loop's."""


Take = Callable[[Edge], None]
Levels = Callable[[], tuple[float, float]]


class Panel(Protocol):
    """The owner's hand and eye."""

    @property
    def is_switched(self) -> bool | None:
        """Whether the mute switch muted when the panel was opened; None: there is none.

        What it does later is told by edges. One that cannot be read mutes.
        """

    def show(self, pattern: Pattern) -> None:
        """Show `pattern` from now on. Returns at once; the event loop's thread only. Never raises."""

    def close(self) -> None:
        """Let go of buttons and lights, dark. Safe to call twice; no edge is told afterwards."""


class NoPanel:
    """Neither buttons nor lights."""

    is_switched: bool | None = None

    def __init__(self, config: PanelConfig, *, clock: Clock, take: Take, levels: Levels) -> None:
        del config, clock, take, levels

    def show(self, pattern: Pattern) -> None:
        del pattern

    def close(self) -> None:
        pass


def open_panel(config: PanelConfig, *, clock: Clock, take: Take, levels: Levels) -> Panel:
    """Return the panel that `config` asks for, as far as it can be had.

    `take` is told of every edge, from any thread. `levels` tells the loudness of microphone and speaker, rms
    dBFS, to lights that follow it, from a thread of theirs.
    """
    module, _, name = PANELS[config.driver].partition(":")
    driver = getattr(importlib.import_module(module), name)
    return cast(Panel, driver(config, clock=clock, take=take, levels=levels))
