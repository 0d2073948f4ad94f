"""Buttons and the mute switch on the GPIO header, through gpiozero.

Opened and closed by the event loop; edges are told from gpiozero's thread (lgpio's, which also waits until a
contact is still). Each pin is opened for itself: one that is taken is a warning, and leaves the others.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

from pivoice.button_actions import does_anything
from pivoice.clock import Clock
from pivoice.config import ButtonConfig, PanelConfig
from pivoice.errors import DeviceError
from pivoice.panel.gpio import explained, let_go, open_factory
from pivoice.panel.panel import MUTE_SWITCH, Edge

logger = logging.getLogger(__name__)


class GpioButtons:
    """Every button of the configuration that can be had, and the switch."""

    def __init__(
        self,
        config: PanelConfig,
        *,
        clock: Clock,
        take: Callable[[Edge], None],
        factory: Any = None,
    ) -> None:
        """`factory`: gpiozero's, for tests; None is the machine's own."""
        self.is_switched: bool | None = None
        """Whether the mute switch mutes, when it was opened; None: there is none.

        One that cannot be read mutes: who has put it to mute would else be heard."""
        self.has_header = True
        """False: it was wanted, and the machine's pins cannot be had at all."""
        self.faults: list[DeviceError] = []
        self._clock = clock
        self._take = take
        self._inputs: list[Any] = []
        self._is_closed = False
        buttons = [(index, each) for index, each in enumerate(config.buttons) if does_anything(each)]
        if not buttons and config.mute_switch_pin is None:
            return
        try:
            factory = factory or open_factory()
        except DeviceError as error:
            self._warn(error, "going on without buttons and without lights on it")
            self.has_header, factory = False, None
        for index, each in buttons if factory else []:
            self._open_button(config, index, each, factory)
        if config.mute_switch_pin is not None:
            self.is_switched = self._open_switch(config, factory)

    def close(self) -> None:
        """Let go of all pins; nothing is told afterwards. Safe to call twice."""
        self._is_closed = True
        while self._inputs:
            let_go(self._inputs.pop())

    def _open_button(self, config: PanelConfig, index: int, button: ButtonConfig, factory: Any) -> None:
        debounce_ms = config.debounce_ms if button.debounce_ms is None else button.debounce_ms
        try:
            self._open(index, button.pin, button.pressed == "low", debounce_ms, factory)
        except DeviceError as error:
            self._warn(error, "going on without this button")

    def _open_switch(self, config: PanelConfig, factory: Any) -> bool:
        """Return whether it mutes; True where it cannot be read."""
        is_low, pin = config.mute_switch_level == "low", config.mute_switch_pin
        assert pin is not None
        try:
            if factory:
                switch = self._open(MUTE_SWITCH, pin, is_low, config.debounce_ms, factory)
                with explained(_called(MUTE_SWITCH, pin)):
                    return bool(switch.is_active)
        except DeviceError as error:
            self.faults.append(error)
        reason = self.faults[-1]
        logger.error(
            "panel: the mute switch cannot be read (%s), so the microphone stays closed; mend it and restart "
            "pivoice, or remove panel.mute_switch_pin",
            reason.reason,
        )
        return True

    def _open(self, index: int, pin: int, is_low: bool, debounce_ms: int, factory: Any) -> Any:
        """Return an input that tells its edges; pulled to the other level than the one that counts.

        Not gpiozero's Button: its thread for what is held wakes ten times a second, and hands.py knows better
        what a hold means.
        """
        import gpiozero

        with explained(_called(index, pin)):
            found = gpiozero.DigitalInputDevice(
                pin, pull_up=is_low, bounce_time=debounce_ms / 1000 or None, pin_factory=factory
            )
            self._inputs.append(found)
            found.when_activated = functools.partial(self._told, index, True)
            found.when_deactivated = functools.partial(self._told, index, False)
        return found

    def _told(self, index: int, is_down: bool) -> None:
        if not self._is_closed:
            self._take(Edge(index, is_down, self._clock.monotonic()))

    def _warn(self, error: DeviceError, what: str) -> None:
        self.faults.append(error)
        logger.warning("panel: %s; %s", error, what)


def _called(index: int, pin: int) -> str:
    return f"{'mute switch' if index == MUTE_SWITCH else 'button'} on GPIO {pin}"
