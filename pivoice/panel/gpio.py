"""The way to the pins of the GPIO header: gpiozero's, opened once per process, its errors explained.

Pins are driven by lgpio, the one back end whose edge detection works on current kernels, on every Pi,
unless $GPIOZERO_PIN_FACTORY names another; "mock" makes buttons and lights run, and be tested, on a laptop.
Any thread. What is on the pins stands in gpio_buttons.py and gpio_lights.py.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pivoice.errors import DeviceError
from pivoice.panel import lines

_NONE = 'set panel.driver = "none"'
_opening = threading.Lock()  # buttons and lights are opened by threads of their own


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


def try_line(pin: int, factory: Any) -> None:
    """Take a pin for a moment, as an input.

    Raises:
        DeviceError: it cannot be had.
    """
    import gpiozero

    with explained(f"GPIO {pin}"):
        let_go(gpiozero.InputDevice(pin, pin_factory=factory))


def let_go(device: Any) -> None:
    """Close a device of gpiozero's and free its lines, which gpiozero keeps for as long as its factory lives.

    Never raises.
    """
    pins = [part.pin for part in getattr(device, "all", (device,)) if getattr(part, "pin", None)]
    for pin in pins:
        # gpiozero's lgpio pin would take this for being watched, and watch it no more when it is opened again
        with contextlib.suppress(*errors()):
            pin.when_changed = None
    with contextlib.suppress(*errors()):
        device.close()
    for pin in pins:
        if type(pin.factory).__name__ != "LGPIOFactory" or pin.factory._handle is None:
            continue
        with contextlib.suppress(*errors()):
            pin.factory.pins.pop(pin.info, None)
            sys.modules["lgpio"].gpio_free(pin.factory._handle, int(pin.info.name.removeprefix("GPIO")))


@contextlib.contextmanager
def explained(device: str) -> Iterator[None]:
    """Turn what gpiozero and lgpio raise into a DeviceError about `device`.

    Who has the pins that it names ("LED on GPIO 27", "RGB LED on GPIO 5, 6, 13") is told.
    """
    try:
        yield
    except errors() as error:
        traceback.clear_frames(error.__traceback__)  # else the device that never was keeps its pin reserved
        reason = str(error) or type(error).__name__
        if reason[0] == reason[-1] == "'":  # lgpio quotes its own: 'GPIO busy'
            reason = reason[1:-1]
        advice = ""
        if "busy" in reason.lower():
            used = lines.users_of(int(pin) for pin in re.findall(r"\d+", device.rpartition("GPIO")[2]))
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
    chips = _chips()
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


def _chips() -> list[Path]:
    return sorted(Path("/dev").glob("gpiochip*"))


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
