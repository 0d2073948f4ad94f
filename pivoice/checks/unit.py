"""What systemd says of the service, and what the service said last when it failed."""

from __future__ import annotations

from collections.abc import Iterator

from pivoice.checks.patient import SERVICE, Patient
from pivoice.findings import Finding

_LOG = f"journalctl -u {SERVICE} -n 30"
_RESTART = f"sudo systemctl restart {SERVICE}"
_EX_CONFIG = "78"
_LONGEST = 200


def service(patient: Patient) -> Iterator[Finding]:
    """Whether it runs, will run after the next start, and how often it had to be started again."""
    unit = patient.unit
    if not unit:
        by_hand = "; pivoice was started by hand" if patient.daemon != "absent" else ""
        yield Finding("service", "ok", f"no systemd runs here{by_hand}")
        return
    if not patient.is_installed:
        text = "pivoice is not installed as a service"
        yield Finding("service", "warn", text, "sudo ./scripts/install, in pivoice's directory")
        return
    yield _state(patient)
    if unit.get("UnitFileState") not in ("enabled", "enabled-runtime", "static", "linked", None, ""):
        text = f"it does not start with the system ({unit['UnitFileState']})"
        yield Finding("service", "warn", text, f"sudo systemctl enable {SERVICE}")
    if unit.get("NeedDaemonReload") == "yes":
        text = "its unit file was changed, and systemd knows the old one"
        yield Finding("service", "warn", text, f"sudo systemctl daemon-reload && {_RESTART}")
    yield from _restarts(patient)


def _state(patient: Patient) -> Finding:
    unit = patient.unit
    state = f"{unit.get('ActiveState', 'unknown')} ({unit.get('SubState', 'unknown')})"
    said = unit.get("StatusText", "")
    if patient.is_active:
        return Finding("service", "ok", f"{state}: {said}" if said else state)
    if unit.get("ExecMainStatus") == _EX_CONFIG and unit.get("ActiveState") == "failed":
        text = f"{state}: the configuration is at fault{_last_words(patient)}"
        return Finding("service", "fail", text, f"mend it, then: {_RESTART}")
    if unit.get("ActiveState") == "failed" or "auto-restart" in unit.get("SubState", ""):
        text = f"{state}, {unit.get('Result', 'no result')}{_last_words(patient)}"
        return Finding("service", "fail", text, f"{_LOG}; then: {_RESTART}")
    if unit.get("ActiveState") == "activating":
        return Finding("service", "warn", f"{state}: it is starting", "pivoice doctor, in a moment")
    return Finding("service", "warn", f"{state}: it does not run", f"sudo systemctl start {SERVICE}")


def _restarts(patient: Patient) -> Iterator[Finding]:
    """Tell of what systemd had to do: each is a fault that somebody ought to look at."""
    restarts = patient.unit.get("NRestarts", "0")
    if not restarts.isdecimal() or not int(restarts):
        return  # nor need the journal be searched, which takes its time
    kills = _watchdog_kills(patient)
    if kills:
        text = f"its watchdog ended it {kills} times since the system's start: it had gone deaf"
        yield Finding("service", "warn", text, f"journalctl -u {SERVICE} -b -p warning")
    if int(restarts) > kills:
        text = f"systemd has started it anew {restarts} times{_last_words(patient)}"
        yield Finding("service", "warn", text, f"journalctl -u {SERVICE} -b -p warning")


def _watchdog_kills(patient: Patient) -> int:
    said = patient.machine.run(
        "journalctl", "-u", SERVICE, "-b", "-o", "cat", "--no-pager", "-g", "Watchdog timeout"
    )
    return sum("Watchdog timeout" in line for line in said.text.splitlines()) if said.is_well else 0


def _last_words(patient: Patient) -> str:
    """Return the service's last error, as the journal has it."""
    said = patient.machine.run(
        "journalctl", "-u", SERVICE, "-b", "-p", "err", "-n", "1", "-o", "cat", "--no-pager", "-t", "pivoice"
    )
    lines = said.text.strip().splitlines() if said.is_well else []
    return f'; its last error: "{lines[-1][:_LONGEST]}"' if lines else ""
