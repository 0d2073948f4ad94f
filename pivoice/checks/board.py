"""What the board itself suffers from: Wi-Fi that dozes, too little power, heat, memory, disk."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator

from pivoice.checks.machine import Machine
from pivoice.checks.patient import Patient
from pivoice.findings import Finding

WEAK_DBM = -75
HOT_C = 80.0  # where a Pi's firmware begins to slow down
LITTLE_MEMORY_MB = 60  # what the daemon needs is there already, or it would not run
LITTLE_DISK_MB = 100
_STATE = "/var/lib"
_THROTTLED = (
    "/sys/devices/platform/soc/soc:firmware/get_throttled",
    "/sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled",  # a Pi 5's
)
# The firmware's bits: now, and 16 above since the start (raspberrypi.com, vcgencmd get_throttled, 2026-11).
_UNDERVOLTED, _CAPPED, _SLOWED, _HOT = 1, 2, 4, 8
_SUPPLY = "use the supply that the board's maker sells, with a short cable; unplug what draws much"


def wifi(patient: Patient) -> Iterator[Finding]:
    """Whether the Wi-Fi that leads out dozes: each reply then begins late, and links break."""
    machine = patient.machine
    wireless = sorted(each.parent.name for each in machine.path("/sys/class/net").glob("*/wireless"))
    if not wireless:
        return
    name = _way_out(machine) or wireless[0]
    if name not in wireless:
        yield Finding("Wi-Fi", "ok", f"not used: the way out is {name}")
        return
    saving = machine.run("iw", "dev", name, "get", "power_save")
    if not saving.is_well:
        why = "iw is not installed" if saving.is_missing else (saving.error.strip() or "iw does not tell")
        todo = f"sudo apt install iw; or off in any case: sudo iw dev {name} set power_save off"
        yield Finding("Wi-Fi", "warn", f"{name}: whether it saves power cannot be told ({why})", todo)
        return
    link = machine.run("iw", "dev", name, "link")
    signal = re.search(r"signal: (-\d+) dBm", link.text)
    shown = f"{name}, {signal[1]} dBm" if signal else name
    if "power save: on" in saving.text.lower():
        yield Finding(
            "Wi-Fi", "warn", f"{shown}: it saves power, and so comes late", _stay_awake(machine, name)
        )
    elif signal and int(signal[1]) < WEAK_DBM:
        yield Finding(
            "Wi-Fi", "warn", f"{shown}: that is weak", "move it, or the access point, or use a cable"
        )
    else:
        yield Finding("Wi-Fi", "ok", f"{shown}, power saving is off")


def power(patient: Patient) -> Iterator[Finding]:
    """What the firmware says of voltage and speed, and how hot it is."""
    machine = patient.machine
    bits = _throttled(machine)
    if bits is None:
        if machine.is_pi:
            yield Finding(
                "power", "warn", "the firmware does not tell of voltage and throttling", "sudo pivoice doctor"
            )
    elif bits & _UNDERVOLTED:
        yield Finding("power", "fail", f"the voltage is too low now ({bits:#x})", _SUPPLY)
    elif bits & (_SLOWED | _CAPPED | _HOT):
        yield Finding(
            "power",
            "warn",
            f"the CPU is being slowed down now ({bits:#x})",
            "cool it, or see what else runs: top",
        )
    elif bits >> 16 & _UNDERVOLTED:
        yield Finding("power", "warn", f"the voltage was too low since the start ({bits:#x})", _SUPPLY)
    elif bits >> 16:
        yield Finding(
            "power",
            "warn",
            f"the CPU was slowed down since the start ({bits:#x})",
            "cool it: a heat sink, more air",
        )
    else:
        yield Finding("power", "ok", "the voltage held, and the CPU was never slowed down")
    degrees = _temperature(machine)
    if degrees is not None and degrees >= HOT_C:
        yield Finding("heat", "warn", f"{degrees:.0f} °C", "cool it: a heat sink, more air")
    elif degrees is not None:
        yield Finding("heat", "ok", f"{degrees:.0f} °C")


def space(patient: Patient) -> Iterator[Finding]:
    """Free memory and disk."""
    machine = patient.machine
    memory = re.search(r"^MemAvailable:\s+(\d+) kB", machine.read("/proc/meminfo") or "", re.MULTILINE)
    if memory:
        free_mb = int(memory[1]) // 1024
        if free_mb < LITTLE_MEMORY_MB:
            text = f"{free_mb} MB are free"
            yield Finding("memory", "warn", text, "see what else runs: top -o %MEM")
        else:
            yield Finding("memory", "ok", f"{free_mb} MB are free")
    try:
        disk = os.statvfs(machine.path(_STATE))
    except OSError:
        return
    free_mb = disk.f_bavail * disk.f_frsize // 2**20
    if disk.f_flag & os.ST_RDONLY:
        text = f"{_STATE} cannot be written: a restart forgets the day's minutes"
        yield Finding(
            "disk",
            "warn",
            text,
            "sudo dmesg | grep -i 'remount\\|mmc' (a card that fails is often the cause)",
        )
    elif free_mb < LITTLE_DISK_MB:
        yield Finding(
            "disk", "warn", f"{free_mb} MB are free", "sudo journalctl --vacuum-size=50M; sudo apt clean"
        )
    else:
        yield Finding("disk", "ok", f"{free_mb} MB are free")


def _way_out(machine: Machine) -> str:
    """Return the interface of the default route with the least metric; "" where there is none."""
    rows = [line.split() for line in (machine.read("/proc/net/route") or "").splitlines()[1:]]
    ways = [(int(row[6]), row[0]) for row in rows if len(row) > 6 and row[1] == "00000000"]
    return min(ways)[1] if ways else ""


def _stay_awake(machine: Machine, name: str) -> str:
    """Return how to switch power saving off, now and for good."""
    now = f"sudo iw dev {name} set power_save off"
    outcome = machine.run("nmcli", "-g", "GENERAL.CONNECTION", "device", "show", name)
    name_of_it = outcome.text.strip() if outcome.is_well else ""
    if not name_of_it:
        return now
    # Mostly the network's own name, which is anybody's choice: it must not be a command in the owner's shell.
    connection = shlex.quote(re.sub(r"\\(.)", r"\1", name_of_it))
    return f"{now}; for good: sudo nmcli connection modify {connection} 802-11-wireless.powersave 2"


def _throttled(machine: Machine) -> int | None:
    """Return the firmware's bits; None where there is no such firmware."""
    texts = [machine.read(place) for place in _THROTTLED]
    text = next((each for each in texts if each), "")
    if not text and machine.is_pi:
        text = machine.run("vcgencmd", "get_throttled").text.partition("=")[2]
    try:
        return int(text.strip(), 16)
    except ValueError:
        return None


def _temperature(machine: Machine) -> float | None:
    text = (machine.read("/sys/class/thermal/thermal_zone0/temp") or "").strip()
    return int(text) / 1000 if text.isdecimal() else None
