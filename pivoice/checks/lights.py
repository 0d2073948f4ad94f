"""Lights on an SPI bus: whether the bus is switched on, there, and open to the service.

Nothing is sent over it. What hangs on single pins is looked at with the buttons (pins.py); whether the
service's user is in the group spi, with the other groups (cards.py).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from pivoice.checks.machine import Machine
from pivoice.checks.patient import Patient
from pivoice.config import PanelConfig
from pivoice.contradictions_panel import SPI_LIGHTS
from pivoice.findings import Finding

_FOUR_MICS = "/dev/spidev0.1"  # where the ReSpeaker 4-mic HAT hangs, whatever panel.spi_device says
_SWITCHED_ON = re.compile(
    r"^[ \t]*dtparam=(?:[^#\n]*,)?spi(?:=(?:on|true|yes|1))?[ \t\r]*(?:,|$)", re.MULTILINE
)
_KERNEL_SAYS = "sudo dmesg | grep -i spi"


def lights(patient: Patient) -> Iterator[Finding]:
    """Whether each bus that a light hangs on can be opened; without it the device does all but shine."""
    for name, device in buses_of(patient.config.panel).items():
        yield _bus(patient, device, name)


def buses_of(panel: PanelConfig) -> dict[str, str]:
    """Return the SPI device of each light that `panel` has on one."""
    if panel.driver != "gpio":
        return {}
    on_spi = [name for name in panel.lights if name in SPI_LIGHTS]
    return {name: _FOUR_MICS if name == "respeaker_4mic" else panel.spi_device for name in on_spi}


# --- inside ---


def _bus(patient: Patient, device: str, name: str) -> Finding:
    machine = patient.machine
    node = machine.path(device)
    if not node.exists():
        text, todo = _missing(machine, device)
        return Finding("lights", "warn", f"{name}: {text}", todo)
    try:
        os.close(os.open(node, os.O_RDWR | os.O_CLOEXEC))
    except PermissionError:
        if not machine.is_root:
            text = f"{name}: {device} is there, and not open to you, so it cannot be tried"
            return Finding("lights", "ok", text)
        reason = "permission denied, even to root"
    except OSError as error:
        reason = error.strerror or type(error).__name__
    else:
        return Finding("lights", "ok", f"{name}: {device}")
    return Finding("lights", "warn", f"{name}: {device} cannot be opened: {reason}", _KERNEL_SAYS)


def _missing(machine: Machine, device: str) -> tuple[str, str]:
    """Return why there is no such device, and what to do about it."""
    there = sorted(f"/dev/{node.name}" for node in machine.path("/dev").glob("spidev*"))
    if there:
        return f"there is no {device}", f"set panel.spi_device; there is {', '.join(there)}"
    path, text = machine.boot_config
    if not path:
        return (
            f"there is no {device}: this machine has no SPI bus that programs may use",
            'set panel.light = "none"',
        )
    if not _SWITCHED_ON.search(text):
        by_hand = f"echo dtparam=spi=on | sudo tee -a {path} && sudo reboot"
        by_tool = "sudo raspi-config nonint do_spi 0 && sudo reboot"
        has_tool = machine.path("/usr/bin/raspi-config").exists()
        return f"there is no {device}: SPI is switched off", by_tool if has_tool else by_hand
    if machine.is_boot_config_newer:
        return f"there is no {device}: SPI was switched on after the start", "sudo reboot"
    return f"there is no {device}, though {path} switches SPI on", _KERNEL_SAYS
