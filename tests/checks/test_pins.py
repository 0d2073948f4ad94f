"""Buttons, switch and lights, where nobody of ours has them."""

from __future__ import annotations

import fcntl
import struct
from collections.abc import Iterator
from pathlib import Path

import gpiozero
import pytest
from gpiozero.pins.mock import MockFactory, MockPWMPin

from pivoice.checks import pins
from pivoice.errors import DeviceError
from pivoice.panel import lines
from tests.checks.pi import FakePi, only, told


@pytest.fixture
def header(pi: FakePi, monkeypatch: pytest.MonkeyPatch) -> Iterator[MockFactory]:
    """A header of gpiozero's mock pins."""
    made = MockFactory(pin_class=MockPWMPin)
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "mock")
    monkeypatch.setattr(gpiozero.Device, "pin_factory", made)
    pi.environ["GPIOZERO_PIN_FACTORY"] = "mock"
    yield made
    made.close()


def test_pins_that_can_be_had_are_well(pi: FakePi, header: MockFactory):
    found = only(pins.gpio, pi.patient())

    assert found.verdict == "ok" and found.text == "mock; GPIO 17, 27 free"


def test_every_button_and_the_switch_and_each_leg_is_looked_at(pi: FakePi, header: MockFactory):
    toml = (
        "[panel]\nmute_switch_pin = 24\nred_pin = 5\ngreen_pin = 6\nblue_pin = 13\n"
        "[[panel.button]]\npin = 22\n[[panel.button]]\npin = 23\npress = ''"
    )

    found = only(pins.gpio, pi.patient(toml))

    assert found.text == "mock; GPIO 5, 6, 13, 17, 22, 24 free"


@pytest.mark.parametrize(
    ("toml", "verdict"),
    [
        ("", "warn"),
        ('[wake]\nengine = "none"', "fail"),
        ('[wake]\nengine = "none"\n[[panel.button]]\npin = 17\npress = "hush"', "warn"),
    ],
)
def test_a_button_that_cannot_be_had_is_a_fault_where_nothing_else_begins_a_talk(
    pi: FakePi, header: MockFactory, toml: str, verdict: str
):
    stranger = gpiozero.LED(17, pin_factory=header)

    taken, free = told(pins.gpio, pi.patient(toml))
    stranger.close()

    assert taken.verdict == verdict and "GPIO 17" in taken.text and "already in use" in taken.text
    assert "choose another pin" in taken.next
    assert free.verdict == "ok" and free.text == "mock; GPIO 27 free"


def test_a_mute_switch_that_cannot_be_read_is_a_fault_for_it_mutes(pi: FakePi, header: MockFactory):
    stranger = gpiozero.LED(24, pin_factory=header)

    found = told(pins.gpio, pi.patient("[panel]\nmute_switch_pin = 24"))
    stranger.close()

    assert [each.verdict for each in found] == ["fail", "ok"]
    assert "panel.mute_switch_pin" in found[0].text


def test_a_machine_without_pins_is_told_once(pi: FakePi, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pins, "open_factory", no_gpio)

    found = only(pins.gpio, pi.patient())

    assert found.verdict == "warn" and found.text == "lgpio; this machine has no GPIO" and found.next


def no_gpio() -> None:
    raise DeviceError("GPIO", doing="open", reason="this machine has no GPIO", advice="do without")


@pytest.mark.parametrize(
    "toml", ['[panel]\ndriver = "none"', "[panel]\nled_pin = 17\nbutton = [{pin=17, press=''}]\nlight='none'"]
)
def test_a_device_without_a_panel_needs_no_pins(pi: FakePi, toml: str):
    assert only(pins.gpio, pi.patient(toml)).verdict == "ok"


def test_a_pin_of_the_i2s_bus_is_not_for_buttons(pi: FakePi, header: MockFactory):
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
    patient = pi.patient("[panel]\nred_pin = 22\ngreen_pin = 27\nblue_pin = 23")
    patient.daemon = "answers"

    strangers, missing = told(pins.gpio, patient)

    assert strangers.text == "GPIO 17 is used by w1-gpio, GPIO 27 is used by the kernel"
    assert missing.text == "pivoice runs without GPIO 22, 23"


@pytest.mark.parametrize(
    ("used", "verdict", "said"),
    [
        ({17: "lg", 27: "lg"}, "ok", "held by pivoice: GPIO 17, 27"),
        ({17: "lg", 27: "w1-gpio"}, "warn", "GPIO 27 is used by w1-gpio"),
        ({17: "lg"}, "warn", "pivoice runs without GPIO 27"),
        ({}, "warn", "pivoice runs without GPIO 17, 27"),
    ],
)
def test_beside_the_daemon_its_lines_are_told_from_a_strangers(
    pi: FakePi, monkeypatch: pytest.MonkeyPatch, used: dict[int, str], verdict: str, said: str
):
    monkeypatch.setattr(lines, "users_of", lambda *_: used)
    patient = pi.patient()
    patient.daemon = "answers"

    found = only(pins.gpio, patient)

    assert found.verdict == verdict and said in found.text


def test_a_chip_that_says_no_is_left_alone(pi: FakePi, header: MockFactory):
    pi.write("/dev/gpiochip0", "no chip at all")

    assert only(pins.gpio, pi.patient()).verdict == "ok"
