"""The lines of the GPIO header as the kernel knows them: which chip they are on, and who uses them.

Asked by the kernel's own interface (linux/gpio.h, its second version), which needs no package: packages
are what may be missing, or what cannot have a line. Any thread. Never takes a line.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

HEADER_CHIPS = ("pinctrl-rp1", "pinctrl-bcm2")
"""How the labels of the header's chip begin: the Pi 5's (also CM5 and 500), and those of all before."""

_CHIP_INFO, _CHIP = 0x8044B401, struct.Struct("=32s32sI")  # name, label, lines
_LINE_INFO, _LINE = (
    0xC100B405,
    struct.Struct("=32s32sIIQ160x16x"),
)  # name, consumer, offset, attributes, flags
_USED = 1


def header_chip(devices: Path = Path("/dev")) -> Path | None:
    """Return the chip of the header; None where that cannot be known.

    Its number is another on a Pi 5 with a kernel of early 2024 (gpiochip4) than with one of today (gpiochip0,
    and gpiochip4 a link to it), and an expander on I2C may have come before.
    """
    return next((chip for chip, _ in _header_chips(devices)), None)


def users_of(pins: Iterable[int], devices: Path = Path("/dev")) -> dict[int, str]:
    """Return who uses which of `pins`; nothing of those that are free, or where it cannot be known."""
    asked = list(pins)
    used: dict[int, str] = {}
    for chip, lines in _header_chips(devices):
        try:
            used |= _users_on(chip, [pin for pin in asked if pin < lines])
        except OSError:
            continue
    return used


def told(used: dict[int, str]) -> str:
    """Say who uses what."""
    return ", ".join(f"GPIO {pin} is used by {who}" for pin, who in sorted(used.items()))


def _header_chips(devices: Path) -> Iterator[tuple[Path, int]]:
    """Yield chips that are the header, and how many lines they have; those that can be asked."""
    seen = set()
    for chip in sorted(devices.glob("gpiochip[0-9]*"), key=lambda path: (path.is_symlink(), path.name)):
        if chip.resolve() in seen:
            continue
        seen.add(chip.resolve())
        try:
            _, label, lines = _CHIP.unpack(_asked(chip, _CHIP_INFO, bytes(_CHIP.size)))
        except OSError:  # not ours to open, or no chip at all: opening the panel says so
            continue
        if label.startswith(tuple(each.encode() for each in HEADER_CHIPS)):
            yield chip, lines


def _users_on(chip: Path, pins: list[int]) -> dict[int, str]:
    used = {}
    for pin in pins:
        asked = _LINE.pack(b"", b"", pin, 0, 0)
        _, consumer, _, _, flags = _LINE.unpack(_asked(chip, _LINE_INFO, asked))
        if flags & _USED:
            used[pin] = consumer.rstrip(b"\0").decode("utf-8", "replace") or "the kernel"
    return used


def _asked(chip: Path, request: int, given: bytes) -> bytes:
    handle = os.open(chip, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return fcntl.ioctl(handle, request, given)
    finally:
        os.close(handle)
