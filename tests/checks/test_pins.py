"""Button and light, where nobody of ours has them."""

from __future__ import annotations

import fcntl
import struct
from pathlib import Path
from typing import Any

import pytest

from pivoice.checks import pins
from tests.checks.pi import FakePi, only, told


def no_pi(panel: object, **_: object) -> None:
    from pivoice.errors import DeviceError

    raise DeviceError("button on GPIO 17", doing="open", reason="GPIO busy", advice="choose another pin")


def test_pins_that_can_be_had_are_well(pi: FakePi, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "mock")
    pi.environ["GPIOZERO_PIN_FACTORY"] = "mock"

    found = only(pins.gpio, pi.patient())

    assert found.verdict == "ok" and found.text == "mock; GPIO 17, 27 free"


@pytest.mark.parametrize(("toml", "verdict"), [("", "warn"), ('[wake]\nengine = "none"', "fail")])
def test_a_button_that_cannot_be_had_is_a_fault_where_there_is_no_wake_word(
    pi: FakePi, monkeypatch: pytest.MonkeyPatch, toml: str, verdict: str
):
    monkeypatch.setattr(pins, "GpioPanel", no_pi)

    found = only(pins.gpio, pi.patient(toml))

    assert found.verdict == verdict and "button on GPIO 17: GPIO busy" in found.text and found.next


def test_a_device_without_a_panel_needs_no_pins(pi: FakePi):
    assert only(pins.gpio, pi.patient('[panel]\ndriver = "none"')).verdict == "ok"


def test_a_pin_of_the_i2s_bus_is_not_for_buttons(pi: FakePi, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pins, "GpioPanel", no_pi)
    pi.write("/boot/firmware/config.txt", "dtoverlay=max98357a,no-sdmode\n")

    found = told(pins.gpio, pi.patient("[panel]\nbutton_pin = 19"))

    assert "GPIO 19: that is the bus of max98357a" in found[0].text


def test_the_kernels_own_word_on_who_uses_a_line_is_read(pi: FakePi, monkeypatch: pytest.MonkeyPatch):
    """Of linux/gpio.h: struct gpiochip_info is 68 bytes, struct gpio_v2_line_info 256."""
    chip = pi.write("/dev/gpiochip0", "")
    pi.write("/dev/gpiochip1", "")
    used = {17: b"w1-gpio", 27: b""}

    def ioctl(handle: int, request: int, given: bytes) -> bytes:
        is_header = Path(f"/proc/self/fd/{handle}").resolve() == chip.resolve()
        if request == 0x8044B401:
            assert len(given) == 68
            label = b"pinctrl-bcm2711" if is_header else b"raspberrypi-exp-gpio"
            return struct.pack("=32s32sI", b"gpiochip0", label, 58)
        assert request == 0xC100B405 and len(given) == 256 and is_header
        pin = int.from_bytes(given[64:68], "little")
        answer = bytearray(256)
        answer[32:64] = used.get(pin, b"").ljust(32, b"\0")
        answer[72:80] = struct.pack("=Q", 1 if pin in used else 4)
        return bytes(answer)

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    monkeypatch.setattr(pins, "GpioPanel", no_pi)

    found = only(pins.gpio, pi.patient("[panel]\nred_pin = 22\ngreen_pin = 27\nblue_pin = 23"))

    assert found.text.endswith("GPIO 17 is used by w1-gpio, GPIO 27 is used by the kernel")


@pytest.mark.parametrize(
    ("used", "verdict", "said"),
    [
        ({17: "lg", 27: "lg"}, "ok", "held by pivoice: GPIO 17, 27"),
        ({17: "lg", 27: "w1-gpio"}, "warn", "GPIO 27 is used by w1-gpio"),
        ({}, "warn", "runs without button and light"),
    ],
)
def test_beside_the_daemon_its_lines_are_told_from_a_strangers(
    pi: FakePi, monkeypatch: pytest.MonkeyPatch, used: dict[int, str], verdict: str, said: str
):
    monkeypatch.setattr(pins, "_used_lines", lambda *_: used)
    patient = pi.patient()
    patient.daemon = "answers"

    found = only(pins.gpio, patient)

    assert found.verdict == verdict and said in found.text


def test_a_chip_that_says_no_is_left_alone(pi: FakePi, monkeypatch: pytest.MonkeyPatch):
    pi.write("/dev/gpiochip0", "no chip at all")
    monkeypatch.setattr(pins, "GpioPanel", lambda *_, **__: Closed())

    assert only(pins.gpio, pi.patient()).verdict == "ok"


class Closed:
    def close(self) -> Any:
        return None
