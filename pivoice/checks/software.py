"""Python, the system below it, and the packages pivoice is made of. Needs nothing but Python itself.

Imports what the daemon imports, to see whether it can be; reads versions from the packages' own files.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, NamedTuple

from pivoice.checks.machine import Machine
from pivoice.findings import Finding

if TYPE_CHECKING:
    from pivoice.checks.patient import Patient
    from pivoice.config import Config

INSTALL = "sudo ./scripts/install, in pivoice's directory"
OLDEST_PYTHON = (3, 11)


class Package(NamedTuple):
    """One that pyproject.toml asks for."""

    name: str
    module: str
    """What is imported to see whether it works; "" where that costs much, or leaves something behind."""
    least: tuple[int, ...] = ()
    below: tuple[int, ...] = ()
    is_needed: bool = True
    """Without it there is no daemon, whatever is configured."""


PACKAGES = (
    Package("msgspec", "msgspec"),
    Package("numpy", "numpy"),
    Package("samplerate", "samplerate"),
    Package("websockets", "websockets", (15,)),
    Package("pyalsaaudio", "alsaaudio", (0, 11), is_needed=False),
    Package("openwakeword", "", (0, 4), (0, 6), is_needed=False),
    Package("systemd-python", "systemd.journal", is_needed=False),
    Package("prometheus-client", "prometheus_client", is_needed=False),
    Package("rich", "rich", is_needed=False),
    Package("jsonschema", "jsonschema", is_needed=False),
    Package("spidev", "spidev", is_needed=False),
    Package("gpiozero", "gpiozero", is_needed=False),
    Package("lgpio", "", (0, 2), is_needed=False),
)


def refused(*, as_json: bool) -> bool:
    """Print what keeps even the doctor from its work, and return whether there is anything of the kind."""
    findings = first_look()
    if as_json and findings:
        print(json.dumps({"ok": False, "findings": [asdict(each) for each in findings]}, indent=2))
    elif findings:
        print(*findings, sep="\n")
    return bool(findings)


def first_look() -> list[Finding]:
    """Return each package without which the doctor itself cannot be loaded, and that cannot be loaded."""
    return [
        Finding("packages", "fail", problem, INSTALL)
        for package in PACKAGES
        if package.is_needed and (problem := problem_of(package))
    ]


def system(patient: Patient) -> Iterator[Finding]:
    """Board, system, Python."""
    machine = patient.machine
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', machine.read("/etc/os-release") or "", re.MULTILINE))
    python = ".".join(map(str, machine.python))
    parts = [machine.model, release.get("PRETTY_NAME", ""), f"{machine.bits}-bit {machine.architecture}"]
    text = ", ".join(filter(None, [*parts, f"Python {python}"]))
    if machine.bits < 64:
        yield Finding(
            "system", "fail", f"{text}: pivoice needs a 64-bit system", "install Raspberry Pi OS (64-bit)"
        )
    elif machine.python < OLDEST_PYTHON:
        yield Finding("system", "fail", f"{text}: too old", "Python 3.11 or later: Debian 12 has it")
    else:
        yield Finding("system", "ok", text)


def packages(patient: Patient) -> Iterator[Finding]:
    """Each that is missing, too old, or does not load."""
    well = 0
    for package in PACKAGES:
        if not _is_wanted(package, patient.config, patient.machine):
            continue
        if problem := problem_of(package):
            yield Finding("packages", "fail" if _is_vital(package) else "warn", problem, INSTALL)
        else:
            well += 1
    if well:
        yield Finding("packages", "ok", f"{well} there, in the versions that are wanted")


def problem_of(package: Package) -> str:
    """Say what is wrong with a package as it is installed; "" for nothing."""
    name = package.name
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return f"{name} is not installed"
    number = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
    if package.least and number < package.least:
        wanted = ".".join(map(str, package.least))
        note = ", an empty placeholder" if name == "lgpio" else ""
        return f"{name} {version} is too old{note}: {wanted} or later is needed"
    if package.below and number >= package.below:
        return f"{name} {version} is too new: below {'.'.join(map(str, package.below))} is needed"
    try:
        if package.module:
            importlib.import_module(package.module)
    except Exception as error:  # a library of the system that it needs, or a build that was broken off
        return f"{name} {version} cannot be loaded ({type(error).__name__}: {str(error)[:200]})"
    return ""


def _is_wanted(package: Package, config: Config, machine: Machine) -> bool:
    """Whether anything that is configured leads to a package."""
    match package.name:
        case "pyalsaaudio":
            return not all(_is_simulated(name) for name in (config.audio.capture, config.audio.playback))
        case "openwakeword":
            return config.wake.engine == "openwakeword"
        case "gpiozero":
            return config.panel.driver == "gpio"
        case "lgpio":
            return config.panel.driver == "gpio" and (machine.is_pi or machine.architecture == "aarch64")
    return True


def _is_vital(package: Package) -> bool:
    """Whether its lack keeps the device from hearing or speaking."""
    return package.is_needed or package.name in ("pyalsaaudio", "openwakeword")


def _is_simulated(name: str) -> bool:
    return name.startswith("simulated:")
