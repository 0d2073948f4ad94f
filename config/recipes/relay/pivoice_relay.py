"""Relays on the GPIO header, as a tool of pivoice: a Python package, because somebody must hold the pin.

A command cannot: what becomes of a pin once the program that set it is gone (gpioset, say) is up to the
kernel's driver. Here pivoice itself holds it, from the first call on. When pivoice ends, the pin becomes an
input again, and the relay falls off; after a start all are off. That is what a relay should do.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any

from pivoice.errors import DeviceError, ToolError
from pivoice.tools.registry import ToolDefinition

RELAYS = {"lamp": 26, "fan": 16}
"""What you call each, and the BCM number of its pin. Until pivoice has a pin, the Pi pulls 9 to 27 down and
0 to 8 up: choose one at which your board is off."""
IS_ON_WHEN_HIGH = True
"""False for the many relay boards that switch on when their input is pulled to ground: then pins 5 and 6."""

_open: dict[str, Any] = {}  # gpiozero's devices, each opened when it is first asked for
_opening = threading.Lock()


def tools() -> list[ToolDefinition]:
    """Return what the agent may do with them."""
    name = {"type": "string", "enum": list(RELAYS)}
    return [
        ToolDefinition(
            name="switch_relay",
            description="Switches one of the things that hang on the device's relays on or off.",
            parameters={
                "type": "object",
                "required": ["name", "on"],
                "properties": {"name": name, "on": {"type": "boolean"}},
            },
            run=_switch,
        ),
        ToolDefinition(
            name="relay_states",
            description="Tells which of the things that hang on the device's relays are on.",
            parameters={"type": "object", "properties": {}},
            run=_states,
        ),
    ]


# Plain functions: pivoice runs each call in a thread, where it may take its time. Coroutines do as well.


def _switch(arguments: Mapping[str, object]) -> str:
    name, on = str(arguments["name"]), bool(arguments["on"])
    _opened(name).value = on
    return json.dumps({name: "on" if on else "off"})


def _states(_: Mapping[str, object]) -> str:
    return json.dumps({name: "on" if name in _open and _open[name].value else "off" for name in RELAYS})


def _opened(name: str) -> Any:
    from gpiozero import OutputDevice  # here, so that a device whose relays rest pays nothing

    from pivoice.panel.gpio import explained, open_factory

    with _opening:  # two calls at once are two threads
        if name not in _open:
            try:
                with explained(f"{name} on GPIO {RELAYS[name]}"):
                    _open[name] = OutputDevice(
                        RELAYS[name],
                        active_high=IS_ON_WHEN_HIGH,
                        initial_value=False,
                        pin_factory=open_factory(),
                    )
            except DeviceError as error:  # taken, no chip, no permission
                raise ToolError(f"{error.device}: {error.reason}") from error
    return _open[name]
