"""LEDs on the GPIO header, through gpiozero: one that is on or off, one that is dimmed, one of three colours.

The light's thread only. Dimming is lgpio's own pulsing, in a hundred steps.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

from pivoice.config import PanelConfig
from pivoice.errors import DeviceError
from pivoice.panel.dimming import steps
from pivoice.panel.gpio import errors, explained, let_go, open_factory
from pivoice.panel.lights import Moment
from pivoice.panel.patterns import brightness, is_lit

_STEPS = 100  # gpiozero rounds to whole percents for lgpio
_PULSE_HZ = 100  # gpiozero's own


class _Legs:
    """The pins of one LED, each a device of gpiozero's."""

    def __init__(
        self, name: str, pins: list[int | None], *, common_anode: bool = False, factory: Any = None
    ) -> None:
        """`factory`: gpiozero's, for tests; None is the machine's own."""
        self._name = f"{name} on GPIO " + ", ".join(str(pin) for pin in pins)
        # gpiozero cuts off what lgpio cannot have, and 0.29 * 100 is 28.999999: half a step beyond is safe
        self._beyond = -0.5 if common_anode else 0.5
        # lgpio pulses without end what stands still, too: 200 wake-ups a second for a dark RGB LED (2026-11).
        # But it begins to pulse with 10 ms of low, which is a flash on a common anode.
        self._rests = not common_anode
        factory = factory or open_factory()
        import gpiozero

        with contextlib.ExitStack() as opened, explained(self._name):
            self._legs = []
            for pin in pins:
                leg = gpiozero.PWMLED(
                    pin,
                    active_high=not common_anode,
                    frequency=None if self._rests else _PULSE_HZ,
                    pin_factory=factory,
                )
                opened.callback(let_go, leg)
                self._legs.append(leg)
            self._opened = opened.pop_all()

    def write(self, frame: bytes) -> None:
        with _lighting(self._name):
            for leg, step in zip(self._legs, frame, strict=True):
                pulse_hz = None if self._rests and step in (0, _STEPS) else _PULSE_HZ
                if leg.frequency != pulse_hz:
                    leg.frequency = pulse_hz
                leg.value = (step + self._beyond) / _STEPS if 0 < step < _STEPS else step / _STEPS

    def close(self) -> None:
        self._opened.close()


class DimmedLed(_Legs):
    """An LED of one colour."""

    def __init__(self, config: PanelConfig, *, factory: Any = None) -> None:
        super().__init__("LED", [config.led_pin], factory=factory)

    def frame(self, moment: Moment) -> bytes:
        part = brightness(moment.pattern, moment.elapsed_s, moment.level)
        return bytes((steps(part, moment.brightness, _STEPS),))


class RgbLed(_Legs):
    """An LED of three colours, common cathode or anode."""

    def __init__(self, config: PanelConfig, *, factory: Any = None) -> None:
        pins = [config.red_pin, config.green_pin, config.blue_pin]
        super().__init__("RGB LED", pins, common_anode=config.common_anode, factory=factory)

    def frame(self, moment: Moment) -> bytes:
        part = brightness(moment.pattern, moment.elapsed_s, moment.level)
        return bytes(steps(each * part, moment.brightness, _STEPS) for each in moment.pattern.colour)


class Lamp:
    """A light that is on or off, such as an LED behind a transistor, or in a button; only 0 dims it."""

    def __init__(self, config: PanelConfig, *, factory: Any = None) -> None:
        self._name = f"LED on GPIO {config.led_pin}"
        self._output = _output(config.led_pin, self._name, factory)

    def frame(self, moment: Moment) -> bytes:
        return bytes((bool(moment.brightness) and is_lit(moment.pattern, moment.elapsed_s),))

    def write(self, frame: bytes) -> None:
        with _lighting(self._name):
            self._output.value = frame[0]

    def close(self) -> None:
        let_go(self._output)


def switch_on(pin: int, name: str, factory: Any = None) -> Callable[[], None]:
    """Drive `pin` high, which switches `name` on; return what lets go of it."""
    return functools.partial(let_go, _output(pin, f"{name} on GPIO {pin}", factory, is_on=True))


def _output(pin: int | None, name: str, factory: Any, *, is_on: bool = False) -> Any:
    factory = factory or open_factory()
    import gpiozero

    with explained(name):
        return gpiozero.DigitalOutputDevice(pin, initial_value=is_on, pin_factory=factory)


@contextlib.contextmanager
def _lighting(name: str) -> Iterator[None]:
    try:
        yield
    except errors() as error:
        reason = str(error) or type(error).__name__
        raise DeviceError(name, doing="light", reason=reason, advice="check its wiring") from error
