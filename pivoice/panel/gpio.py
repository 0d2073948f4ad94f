"""The way to the pins of the GPIO header: gpiozero's, opened once per process, its errors explained.

Pins are driven by lgpio, the one back end whose edge detection works on current kernels, on every Pi,
unless $GPIOZERO_PIN_FACTORY names another; "mock" makes buttons and lights run, and be tested, on a laptop.
Any thread. What is on the pins stands in gpio_buttons.py and gpio_lights.py.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pivoice.config import PanelConfig
from pivoice.errors import DeviceError
from pivoice.panel import lines
from pivoice.panel.panel import Post
from pivoice.panel.patterns import Pattern, brightness
from pivoice.turn.events import ButtonPressed

logger = logging.getLogger(__name__)

_BOUNCE_S = 0.03  # cheap switches chatter for 5 to 20 ms
_FRAME_S = 0.04  # 25 pictures a second look smooth, and cost a Zero 2 W nothing to speak of
_NONE = 'set panel.driver = "none"'
_opening = threading.Lock()  # buttons and lights are opened by threads of their own


class GpioPanel:
    """The panel on the header.

    Raises:
        DeviceError: no GPIO here, no permission, or a pin that is taken; nothing stays open.
    """

    def __init__(
        self,
        config: PanelConfig,
        *,
        post: Post,
        on_long_press: Callable[[], None],
        pin_factory: Any = None,
    ) -> None:
        """`pin_factory`: gpiozero's, for tests; None is the machine's own."""
        self._devices = contextlib.ExitStack()
        self._light: Any = None
        self._is_coloured = config.red_pin is not None
        self._is_failing = False
        factory = pin_factory or open_factory()
        try:
            if config.button_pin is not None:
                button = _open_button(config.button_pin, config.long_press_s, factory)
                self._devices.callback(button.close)
                self._presses = _Presses(button, post, on_long_press)
            self._light = _open_light(config, factory)
            if self._light is not None:
                self._devices.callback(self._light.close)
        except DeviceError:
            self._devices.close()
            raise

    def show(self, pattern: Pattern) -> None:
        if self._light is None:
            return
        try:
            self._light.source = (
                None  # ends the moving light before, whose thread never waits longer than a frame
            )
            if pattern.style in ("off", "solid"):
                self._light.value = self._value(pattern, 0.0)
            else:
                self._light.source_delay = _FRAME_S
                self._light.source = self._frames(pattern)
            self._is_failing = False
        except errors() as error:
            if not self._is_failing:
                logger.warning("panel: the light fails: %s; check its wiring", error)
            self._is_failing = True

    def close(self) -> None:
        if self._light is not None:
            with contextlib.suppress(*errors()):
                self._light.source = None
                self._light.off()
        self._light = None
        self._devices.close()

    def _frames(self, pattern: Pattern) -> Iterator[Any]:
        for frame in itertools.count():
            yield self._value(pattern, frame * _FRAME_S)

    def _value(self, pattern: Pattern, elapsed_s: float) -> Any:
        """What gpiozero's LED takes: a number, or a tuple of three for an RGB one."""
        level = brightness(pattern, elapsed_s)
        return tuple(part * level for part in pattern.colour) if self._is_coloured else level


class _Presses:
    """Tells a short press (on release) from a long one (once held). Each press is told once."""

    def __init__(self, button: Any, post: Post, on_long_press: Callable[[], None]) -> None:
        self._post = post
        self._on_long_press = on_long_press
        self._lock = threading.Lock()
        self._is_untold = False  # owned by the lock: a release can race the long press by microseconds
        button.when_pressed = self._pressed
        button.when_held = self._held
        button.when_released = self._released

    def _pressed(self) -> None:
        with self._lock:
            self._is_untold = True

    def _held(self) -> None:
        if self._claim():
            self._on_long_press()

    def _released(self) -> None:
        # not told: a button that was already down when we started
        if self._claim():
            self._post(ButtonPressed())

    def _claim(self) -> bool:
        with self._lock:
            was_untold, self._is_untold = self._is_untold, False
            return was_untold


def _open_button(pin: int, long_press_s: float, factory: Any) -> Any:
    import gpiozero

    with explained(f"button on GPIO {pin}"):
        return gpiozero.Button(
            pin, pull_up=True, bounce_time=_BOUNCE_S, hold_time=long_press_s, pin_factory=factory
        )


def _open_light(config: PanelConfig, factory: Any) -> Any:
    import gpiozero

    if config.red_pin is not None:
        legs = (config.red_pin, config.green_pin, config.blue_pin)
        with explained("RGB LED on GPIO " + ", ".join(str(leg) for leg in legs)):
            return gpiozero.RGBLED(*legs, pin_factory=factory)
    if config.led_pin is not None:
        with explained(f"LED on GPIO {config.led_pin}"):
            return gpiozero.PWMLED(config.led_pin, pin_factory=factory)
    return None


def open_factory() -> Any:
    """Return gpiozero's access to the pins of this machine: one for all of this process.

    It is `gpiozero.Device.pin_factory`, so that a tool of the owner's that uses gpiozero shares it.

    Raises:
        DeviceError: no GPIO here, no permission, or a package that is missing.
    """
    name = os.environ.get("GPIOZERO_PIN_FACTORY", "lgpio")
    try:
        import gpiozero
        from gpiozero.pins.mock import MockFactory, MockPWMPin
    except ImportError as error:
        raise _failure(
            "GPIO", f"gpiozero is not installed ({error})", "pip install gpiozero lgpio"
        ) from error
    with explained("GPIO"), _opening:
        if gpiozero.Device.pin_factory is None:
            if name == "mock":
                gpiozero.Device.pin_factory = MockFactory(pin_class=MockPWMPin)
            elif name == "lgpio":
                gpiozero.Device.pin_factory = _open_lgpio()
            else:
                gpiozero.Device.ensure_pin_factory()
        return gpiozero.Device.pin_factory


def let_go(device: Any) -> None:
    """Close a device of gpiozero's and free its lines, which gpiozero keeps for as long as its factory lives.

    Never raises.
    """
    pins = [part.pin for part in getattr(device, "all", (device,)) if getattr(part, "pin", None)]
    with contextlib.suppress(*errors()):
        device.close()
    for pin in pins:
        if type(pin.factory).__name__ != "LGPIOFactory" or pin.factory._handle is None:
            continue
        with contextlib.suppress(*errors()):
            pin.factory.pins.pop(pin.info, None)
            sys.modules["lgpio"].gpio_free(pin.factory._handle, int(pin.info.name.removeprefix("GPIO")))


@contextlib.contextmanager
def explained(device: str, *pins: int) -> Iterator[None]:
    """Turn what gpiozero and lgpio raise into a DeviceError about `device`; who has `pins` is named."""
    try:
        yield
    except errors() as error:
        reason = str(error) or type(error).__name__
        if reason[0] == reason[-1] == "'":  # lgpio quotes its own: 'GPIO busy'
            reason = reason[1:-1]
        advice = ""
        if "busy" in reason.lower():
            used = lines.users_of(pins)
            reason = f"{reason}: {lines.told(used)}" if used else reason
            advice = "stop it, or choose another pin" if used else "find who uses it (gpioinfo) and stop it"
        elif "permission" in reason.lower():
            advice = "add the service's user to the group gpio (usermod -aG gpio USER)"
        elif "Pi revision" in reason:
            reason = "this machine is not a Raspberry Pi"
        elif type(error).__name__ in ("PinInvalidPin", "PinPWMUnsupported", "PinFixedPull", "GPIOPinInUse"):
            advice = "choose another pin"
        raise _failure(device, reason, advice) from error


def errors() -> tuple[type[Exception], ...]:
    """Return what may come out of gpiozero and of the lgpio below it."""
    found: list[type[Exception]] = [OSError]
    if "gpiozero" in sys.modules:
        found.append(sys.modules["gpiozero"].GPIOZeroError)
    if "lgpio" in sys.modules and hasattr(sys.modules["lgpio"], "error"):
        found.append(sys.modules["lgpio"].error)
    return tuple(found)


def _open_lgpio() -> Any:
    chips = sorted(Path("/dev").glob("gpiochip*"))
    if not chips:
        raise _failure("GPIO", "this machine has no GPIO (/dev/gpiochip*)", "")
    if not any(os.access(chip, os.R_OK | os.W_OK) for chip in chips):
        advice = "add the service's user to the group gpio (usermod -aG gpio USER)"
        raise _failure("GPIO", f"no permission for {chips[0]}", advice)
    with _scratch_directory():
        try:
            import lgpio
        except ImportError as error:
            advice = "apt install python3-lgpio, or pip install lgpio"
            raise _failure("GPIO", f"lgpio is not installed ({error})", advice) from error
    if not hasattr(lgpio, "gpiochip_open"):  # version 0.0.0.2, which pip takes where it may not build
        raise _failure("GPIO", "the lgpio installed is an empty placeholder", 'pip install "lgpio>=0.2"')
    from gpiozero.pins.lgpio import LGPIOFactory

    # By itself gpiozero 2.0 takes chip 4 on a Pi 5 that has one, and 0 on all else: wrong for a CM5 or a 500
    # with a kernel of 2024, and for a Pi 5 with an expander. Where no label tells, its guess is the best.
    header = lines.header_chip()
    return LGPIOFactory(chip=int(header.name.removeprefix("gpiochip")) if header else None)


@contextlib.contextmanager
def _scratch_directory() -> Iterator[None]:
    """Run with a writable working directory: lgpio, when imported, makes a pipe there and needs it no longer.

    A service's is often / and read-only. $LG_WD would make lgpio change the directory for good.
    """
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="pivoice-lgpio-") as directory:
        os.chdir(directory)
        try:
            yield
        finally:
            os.chdir(before)


def _failure(device: str, reason: str, advice: str) -> DeviceError:
    return DeviceError(
        device, doing="open", reason=reason, advice=f"{advice}, or {_NONE}" if advice else _NONE
    )
