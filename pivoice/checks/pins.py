"""The GPIO header: the chip, who uses which line, and whether button and light can be had.

Lines are only asked about, by the kernel's own interface (linux/gpio.h, its second version), which needs no
package: the packages are what may be missing. They are taken for a moment where nobody of ours has them.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from pivoice.checks.cards import configured_board
from pivoice.checks.machine import Machine
from pivoice.checks.patient import Patient
from pivoice.config import PanelConfig
from pivoice.errors import DeviceError
from pivoice.findings import Finding, Verdict
from pivoice.panel.gpio import GpioPanel

_CHIP_INFO, _CHIP = 0x8044B401, struct.Struct("=32s32sI")  # name, label, lines
_LINE_INFO, _LINE = (
    0xC100B405,
    struct.Struct("=32s32sIIQ160x16x"),
)  # name, consumer, offset, attributes, flags
_USED = 1
_I2S_PINS = {18, 19, 20, 21}  # clock, word clock, data in and out, on every model
_HEADER_CHIPS = ("pinctrl-rp1", "pinctrl-bcm2")  # the Pi 5's, and those of all before
_OURS = ("lg", "gpiozero", "pivoice")  # lgpio's mark is "lg"; with ours running, it is ours


def gpio(patient: Patient) -> Iterator[Finding]:
    """Whether button and light work; without them the device still listens, unless it has no wake word."""
    panel = patient.config.panel
    if panel.driver != "gpio":
        yield Finding("GPIO", "ok", f'not used: panel.driver = "{panel.driver}"')
        return
    has_no_word = patient.config.wake.engine == "none"
    bad: Verdict = "fail" if has_no_word and panel.button_pin is not None else "warn"
    factory = patient.machine.environ.get("GPIOZERO_PIN_FACTORY", "lgpio")
    pins = pins_of(panel)
    if (bus := sorted(_I2S_PINS & set(pins))) and (board := configured_board(patient.machine)):
        text = f"{_listed(bus)}: that is the bus of {board.overlay}, in the boot configuration"
        yield Finding("GPIO", "warn", text, f"choose another pin in {patient.path}")
    used = _used_lines(patient.machine, pins)
    if patient.is_held:
        strangers = {pin: who for pin, who in used.items() if not who.startswith(_OURS)}
        if strangers:
            yield Finding("GPIO", bad, _taken(strangers), "stop it, or choose another pin")
        elif used:
            yield Finding("GPIO", "ok", f"{factory}; held by pivoice: {_listed(sorted(used))}")
        else:
            text = f"pivoice runs without button and light ({_listed(pins)})"
            yield Finding("GPIO", bad, text, "journalctl -u pivoice | grep panel")
        return
    try:
        GpioPanel(panel, post=lambda _: None, on_long_press=lambda: None).close()
    except DeviceError as error:
        part = "" if error.device == "GPIO" else f"{error.device}: "
        text = f"{factory}; {part}{error.reason}" + (f"; {_taken(used)}" if used else "")
        yield Finding("GPIO", bad, text, error.advice)
        return
    yield Finding("GPIO", "ok", f"{factory}; {_listed(pins)} free")


def pins_of(panel: PanelConfig) -> list[int]:
    """Return the lines that `panel` uses."""
    legs = (panel.red_pin, panel.green_pin, panel.blue_pin)
    lights = legs if panel.red_pin is not None else (panel.led_pin,)
    return [pin for pin in (panel.button_pin, *lights) if pin is not None]


def _used_lines(machine: Machine, pins: list[int]) -> dict[int, str]:
    """Return who uses which of `pins`; nothing where that cannot be known."""
    used: dict[int, str] = {}
    for chip in sorted(machine.path("/dev").glob("gpiochip*")):
        try:
            used |= _used_on(chip, pins)
        except OSError:  # not ours to open, or no chip at all: opening the panel says so
            continue
    return used


def _used_on(chip: Path, pins: list[int]) -> dict[int, str]:
    handle = os.open(chip, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _, label, lines = _CHIP.unpack(fcntl.ioctl(handle, _CHIP_INFO, bytes(_CHIP.size)))
        if not label.startswith(tuple(each.encode() for each in _HEADER_CHIPS)):
            return {}
        used = {}
        for pin in (each for each in pins if each < lines):
            asked = _LINE.pack(b"", b"", pin, 0, 0)
            _, consumer, _, _, flags = _LINE.unpack(fcntl.ioctl(handle, _LINE_INFO, asked))
            if flags & _USED:
                used[pin] = consumer.rstrip(b"\0").decode("utf-8", "replace") or "the kernel"
        return used
    finally:
        os.close(handle)


def _taken(used: dict[int, str]) -> str:
    return ", ".join(f"GPIO {pin} is used by {who}" for pin, who in sorted(used.items()))


def _listed(pins: list[int]) -> str:
    return "GPIO " + ", ".join(map(str, pins)) if pins else "no pin is configured"
