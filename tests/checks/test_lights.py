"""Lights on an SPI bus: what keeps it from being there, and the next step for each."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pivoice.checks import cards, lights
from tests.checks.pi import NOW_S, FakePi, only, told

RING = '[panel]\nlight = "apa102"\n'


def boot_config(pi: FakePi, text: str, *, age_s: float = 1e6) -> None:
    path = pi.write("/boot/firmware/config.txt", text)
    os.utime(path, (NOW_S - age_s, NOW_S - age_s))


@pytest.mark.parametrize(
    "panel", ["", '[panel]\nlight = "led"', '[panel]\ndriver = "none"\nlight = "ws2812"']
)
def test_a_device_without_lights_on_spi_is_not_asked_for_one(pi: FakePi, panel: str):
    assert told(lights.lights, pi.patient(panel)) == []


def test_a_bus_that_can_be_opened_is_well(pi: FakePi):
    pi.write("/dev/spidev0.0", "")

    found = only(lights.lights, pi.patient(RING))

    assert found.verdict == "ok" and found.text == "apa102: /dev/spidev0.0"


def test_each_light_is_told_of_and_the_array_has_a_bus_of_its_own(pi: FakePi):
    pi.write("/dev/spidev1.0", "")
    panel = '[panel]\nlight = ["sk6812", "respeaker_4mic"]\nspi_device = "/dev/spidev1.0"'

    found = told(lights.lights, pi.patient(panel))

    assert found[0].text == "sk6812: /dev/spidev1.0"
    assert found[1].verdict == "warn" and "there is no /dev/spidev0.1" in found[1].text


@pytest.mark.parametrize(
    "text",
    ["", "#dtparam=spi=on\n", "dtparam=spi=off\n", "dtparam=i2c_arm=on\n", "dtparam=audio=on # spi\n"],
)
def test_a_bus_that_is_switched_off_has_the_line_that_switches_it_on(pi: FakePi, text: str):
    boot_config(pi, text)

    found = only(lights.lights, pi.patient(RING))

    assert found.verdict == "warn" and "SPI is switched off" in found.text
    assert found.next == "echo dtparam=spi=on | sudo tee -a /boot/firmware/config.txt && sudo reboot"


def test_where_the_pi_has_its_own_tool_for_that_it_is_named(pi: FakePi):
    boot_config(pi, "")
    pi.write("/usr/bin/raspi-config", "")

    assert only(lights.lights, pi.patient(RING)).next == "sudo raspi-config nonint do_spi 0 && sudo reboot"


@pytest.mark.parametrize(
    "text", ["dtparam=spi=on\n", "dtparam=i2c_arm=on,spi=on\r\n", "[all]\n dtparam=spi\n"]
)
def test_a_bus_that_was_switched_on_after_the_start_needs_a_restart(pi: FakePi, text: str):
    boot_config(pi, text, age_s=10)

    found = only(lights.lights, pi.patient(RING))

    assert "after the start" in found.text and found.next == "sudo reboot"


def test_a_bus_that_is_switched_on_and_not_there_is_the_kernels_affair(pi: FakePi):
    boot_config(pi, "dtparam=spi=on\n")

    found = only(lights.lights, pi.patient(RING))

    assert "switches SPI on" in found.text and "dmesg" in found.next


def test_another_device_of_the_bus_is_named(pi: FakePi):
    pi.write("/dev/spidev1.0", "")

    assert only(lights.lights, pi.patient(RING)).next == "set panel.spi_device; there is /dev/spidev1.0"


def test_a_machine_without_spi_is_told_how_to_do_without(pi: FakePi):
    found = only(lights.lights, pi.patient(RING))

    assert "no SPI bus" in found.text and found.next == 'set panel.light = "none"'


@pytest.mark.parametrize(
    ("is_root", "verdict", "said"), [(True, "warn", "even to root"), (False, "ok", "not open to you")]
)
def test_a_bus_that_says_no_is_told_of(
    pi: FakePi, monkeypatch: pytest.MonkeyPatch, is_root: bool, verdict: str, said: str
):
    pi.write("/dev/spidev0.0", "")
    pi.is_root = is_root
    monkeypatch.setattr(lights.os, "open", refuse(PermissionError(13, "Permission denied")))

    found = only(lights.lights, pi.patient(RING))

    assert found.verdict == verdict and said in found.text


def test_a_bus_that_is_broken_says_why(pi: FakePi, monkeypatch: pytest.MonkeyPatch):
    pi.write("/dev/spidev0.0", "")
    monkeypatch.setattr(lights.os, "open", refuse(OSError(6, "No such device or address")))

    found = only(lights.lights, pi.patient(RING))

    assert found.verdict == "warn" and "No such device or address" in found.text and found.next


def test_the_service_needs_the_group_that_the_bus_belongs_to(pi: FakePi):
    pi.serves()
    pi.says("id -nG pivoice", "pivoice audio gpio")

    (found, *_) = told(cards.permissions, pi.patient(RING))

    assert found.verdict == "warn" and "sudo usermod -aG spi pivoice" in found.next


def refuse(error: OSError):
    def opened(path: Path, flags: int) -> int:
        raise error

    return opened
