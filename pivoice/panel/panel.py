"""Button and light: the interface, the table of what implements it, and what happens without the hardware.

A device without its button and light still listens and talks, so a panel that cannot be opened is a
warning, once, and never the end of the daemon.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

from pivoice.config import PanelConfig
from pivoice.errors import DeviceError
from pivoice.panel.patterns import Pattern
from pivoice.turn.events import Event

logger = logging.getLogger(__name__)

Post = Callable[[Event], None]

PANELS = {
    "gpio": "pivoice.panel.gpio:GpioPanel",
    "simulated": "pivoice.panel.simulated:SimulatedPanel",
    "none": "pivoice.panel.panel:NoPanel",
}
"""Each is called with the configuration, `post` and `on_long_press`; it may raise DeviceError."""


@dataclass(frozen=True)
class Edge:
    """A button or the mute switch has moved, and its contact is still."""

    button: int
    """Index in `PanelConfig.buttons`; `MUTE_SWITCH` is the mute switch."""
    is_down: bool
    """Pressed; of the switch: it mutes."""
    time_s: float
    """On the clock's `monotonic`, which is the event loop's."""


MUTE_SWITCH = -1


class Panel(Protocol):
    """The owner's hand and eye. A short press is posted as `ButtonPressed`."""

    def show(self, pattern: Pattern) -> None:
        """Show `pattern` from now on. Returns at once; the event loop's thread only. Never raises."""

    def close(self) -> None:
        """Let go of button and light, dark. Safe to call twice; nothing is posted afterwards."""


class NoPanel:
    """Neither button nor light."""

    def __init__(self, config: PanelConfig, *, post: Post, on_long_press: Callable[[], None]) -> None:
        del config, post, on_long_press

    def show(self, pattern: Pattern) -> None:
        del pattern

    def close(self) -> None:
        pass


def open_panel(config: PanelConfig, *, post: Post, on_long_press: Callable[[], None]) -> Panel:
    """Return the panel that `config` asks for; one that does nothing when it cannot be had.

    `post` (short press, on release) and `on_long_press` (once held for `long_press_s`) are called from
    the panel's own threads.
    """
    module, _, name = PANELS[config.driver].partition(":")
    driver = getattr(importlib.import_module(module), name)
    try:
        return cast(Panel, driver(config, post=post, on_long_press=on_long_press))
    except DeviceError as error:
        logger.warning("panel: %s; going on without button and light", error)
        return NoPanel(config, post=post, on_long_press=on_long_press)
