"""The panel on the GPIO header and the SPI buses: buttons by gpio_buttons.py, lights by lights.py.

Owned by the event loop; both parts have threads of their own.
"""

from __future__ import annotations

from dataclasses import replace

from pivoice.clock import Clock
from pivoice.config import PanelConfig
from pivoice.panel.gpio_buttons import GpioButtons
from pivoice.panel.lights import HEADER_LIGHTS, Lights
from pivoice.panel.panel import Levels, Take
from pivoice.panel.patterns import Pattern


class HeaderPanel:
    """Whatever of it can be had; the rest is a warning."""

    def __init__(self, config: PanelConfig, *, clock: Clock, take: Take, levels: Levels) -> None:
        self._buttons = GpioButtons(config, clock=clock, take=take)
        if not self._buttons.has_header:  # told once: what the buttons cannot have no LED can
            others = [name for name in config.lights if name not in HEADER_LIGHTS]
            config = replace(config, light=others)
        self._lights = Lights(config, clock=clock, levels=levels)
        self.is_switched = self._buttons.is_switched

    def show(self, pattern: Pattern) -> None:
        self._lights.show(pattern)

    def close(self) -> None:
        self._buttons.close()
        self._lights.close()
