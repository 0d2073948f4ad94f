"""Which chip the header is on, and who uses its lines, by a kernel that answers as linux/gpio.h says."""

from __future__ import annotations

import fcntl
import struct
from pathlib import Path

import pytest

from pivoice.panel import lines


class Kernel:
    """Chips by the name of their device, each with its label; and who uses which line of the header."""

    def __init__(self, devices: Path) -> None:
        self.devices = devices
        self.labels: dict[str, bytes] = {}
        self.used: dict[int, bytes] = {}

    def chip(self, name: str, label: bytes) -> None:
        (self.devices / name).write_text("")
        self.labels[name] = label

    def ioctl(self, handle: int, request: int, given: bytes) -> bytes:
        name = Path(f"/proc/self/fd/{handle}").resolve().name
        if request == 0x8044B401:
            if not self.labels[name]:
                raise OSError(25, "Inappropriate ioctl for device")
            return struct.pack("=32s32sI", name.encode(), self.labels[name], 28)
        assert request == 0xC100B405 and len(given) == 256
        pin = int.from_bytes(given[64:68], "little")
        assert pin < 28
        answer = bytearray(256)
        answer[32:64] = self.used.get(pin, b"").ljust(32, b"\0")
        answer[72:80] = struct.pack("=Q", 1 if pin in self.used else 4)
        return bytes(answer)


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel(tmp_path)
    monkeypatch.setattr(fcntl, "ioctl", made.ioctl)
    return made


@pytest.mark.parametrize("label", [b"pinctrl-rp1", b"pinctrl-bcm2835", b"pinctrl-bcm2711"])
def test_the_header_is_found_by_its_label_wherever_it_is(kernel: Kernel, label: bytes):
    kernel.chip("gpiochip0", b"mcp23017")
    kernel.chip("gpiochip1", b"")
    kernel.chip("gpiochip4", label)
    (kernel.devices / "gpiochip-link").symlink_to("gpiochip4")

    assert lines.header_chip(kernel.devices) == kernel.devices / "gpiochip4"


def test_the_kernels_own_name_goes_before_a_link_to_it(kernel: Kernel):
    kernel.chip("gpiochip5", b"pinctrl-rp1")
    (kernel.devices / "gpiochip0").symlink_to("gpiochip5")

    assert lines.header_chip(kernel.devices) == kernel.devices / "gpiochip5"


def test_without_the_header_none_is_found(kernel: Kernel):
    kernel.chip("gpiochip0", b"gpio-brcmstb")

    assert lines.header_chip(kernel.devices) is None
    assert lines.users_of([17], kernel.devices) == {}


def test_who_uses_which_line_is_told_and_lines_that_do_not_exist_are_not_asked(kernel: Kernel):
    kernel.chip("gpiochip0", b"pinctrl-bcm2711")
    kernel.used = {8: b"spi0 CS0", 17: b"", 27: b"lg"}

    used = lines.users_of([8, 9, 17, 99], kernel.devices)

    assert used == {8: "spi0 CS0", 17: "the kernel"}
    assert lines.told(used) == "GPIO 8 is used by spi0 CS0, GPIO 17 is used by the kernel"
