"""`pivoice doctor`: what is wrong with this device, and the next thing to do about it.

Main thread, in a process of its own; it changes nothing. Owns the order of the checks, what each stands on,
and for how long each may look; what they look at is in checks/. Each runs in a thread that is left behind
where it does not come back in time: what hangs costs its own line, not the report.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TypeAlias
from urllib.parse import urlsplit

from pivoice import config
from pivoice.checks import (
    board,
    cards,
    key,
    lights,
    live,
    network,
    pins,
    settings,
    software,
    sound,
    talk,
    tools,
    unit,
)
from pivoice.checks.patient import Patient
from pivoice.clock import SystemClock
from pivoice.echo_advice import advised
from pivoice.errors import ConfigError, PivoiceError
from pivoice.findings import Finding, is_well
from pivoice.secrecy import Secrets

__all__ = ["CHECKS", "Check", "Patient", "examine", "report", "run"]

LIMIT_S = 5.0
ALL_S = 15.0
"""For everything but the echo; what is left of it when a check begins bounds that one, too."""
_LEAST_S = 0.25
_FAREWELL_S = 3.0  # for the end of a session, when the doctor is interrupted
_ECHO_S = 60.0  # ten seconds of sound, and on a Zero as much again to work out what it means


@dataclass(frozen=True)
class Check:
    """One stage."""

    name: str
    """What its own findings are mostly called."""
    look: Callable[[Patient], Iterator[Finding]]
    needs: tuple[str, ...] = ()
    """Names of findings, and settings, of which none may have failed."""
    limit_s: float = LIMIT_S
    is_outward: bool = False
    """It needs the network: not looked at with --offline."""
    is_costly: bool = False
    """It is never cut short by those before it: what it opens must be closed again."""
    is_loud: bool = False
    """It plays: looked at with --echo alone."""


CHECKS = (
    Check("configuration", settings.configuration),
    Check("system", software.system),
    Check("packages", software.packages),
    Check("wake words", settings.wake_words, needs=("wake.", "system"), limit_s=12.0),
    Check("daemon", live.daemon),
    Check("cards", cards.cards),
    Check("groups", cards.permissions),
    Check("microphone", sound.microphone, needs=("audio.", "packages")),
    Check("speaker", sound.speaker, needs=("audio.", "packages")),
    Check("echo mode", sound.echo_mode),
    Check("echo", sound.echo, needs=("microphone", "speaker"), limit_s=_ECHO_S, is_loud=True),
    Check("GPIO", pins.gpio, needs=("panel.",)),
    Check("lights", lights.lights, needs=("panel.",)),
    Check("tools", tools.tools, needs=("tools.",)),
    Check("key", key.key),
    Check("clock", network.clock),
    Check("DNS", network.names, needs=("agent.url", "agent.token_url"), is_outward=True),
    Check("TLS", network.tls, needs=("agent.url", "DNS", "clock"), is_outward=True),
    Check(
        "session", talk.session, needs=("agent.", "key", "TLS"), limit_s=10.0, is_outward=True, is_costly=True
    ),
    Check("MCP", tools.servers, needs=("tools.",), is_outward=True),
    Check("Wi-Fi", board.wifi),
    Check("power", board.power),
    Check("memory", board.space),
    Check("service", unit.service),
)
"""In the order of the report: from the file to the far end, then what weakens all of it."""

Within: TypeAlias = Callable[[Patient, Callable[[], None], float], bool]
"""Does some work, for so many seconds at most; returns whether it came to its end."""


def run(path: str, options: argparse.Namespace) -> int:
    """Examine this device, print what was found, and return the exit code."""
    patient = _admitted(path)
    if not options.json:
        patient.say = lambda words: print(words, file=sys.stderr)
    findings: list[Finding] = []
    for finding in examine(patient, with_echo=options.echo, offline=options.offline):
        findings.append(finding)
        if not options.json:
            print(finding, flush=True)
    if options.json:
        print(json.dumps(report(patient, findings), indent=2))
    return 0 if is_well(findings) else 1


def examine(
    patient: Patient, *, with_echo: bool, offline: bool = False, within: Within | None = None
) -> Iterator[Finding]:
    """Yield what there is to be found; what stands on something that failed is named, and not looked at.

    `with_echo`: play and record, too. `within`: how a check is bounded; None: by a thread, in real time.
    """
    obstacles = {fault.key: f"{fault.key or 'the configuration'} is at fault" for fault in patient.faults}
    bounded = within or _in_a_thread
    left_s = ALL_S
    for check in CHECKS:
        if (check.is_loud and not with_echo) or (check.is_outward and offline):
            continue
        if obstacle := _obstacle(check, obstacles):
            obstacles.setdefault(check.name, obstacle)
            yield Finding(check.name, "warn", f"not looked at: {obstacle}")
            continue
        is_whole = check.is_loud or check.is_costly
        limit_s = check.limit_s if is_whole else min(check.limit_s, max(_LEAST_S, left_s))
        began_s = patient.clock.monotonic()
        for finding in _looked(patient, check, bounded, limit_s):
            if finding.verdict == "fail":
                obstacles |= dict.fromkeys((finding.check, check.name), f"{finding.check} failed")
            yield _presentable(finding, patient)
        left_s -= 0.0 if check.is_loud else patient.clock.monotonic() - began_s


def report(patient: Patient, findings: list[Finding]) -> dict[str, object]:
    """Return the same for other programs."""
    return {
        "ok": is_well(findings),
        "findings": [asdict(finding) for finding in findings],
        "echo": None if patient.figures is None else asdict(patient.figures),
        "advice": None if patient.figures is None else advised(patient.figures),
    }


# --- inside ---


def _admitted(path: str) -> Patient:
    """Return the device with what is right of its configuration."""
    try:
        return Patient(path, config.load(path), SystemClock())
    except ConfigError as error:
        return Patient(path, config.salvaged(path), SystemClock(), faults=error.faults)


def _obstacle(check: Check, obstacles: Mapping[str, str]) -> str:
    """Return what keeps `check` from being looked at, of all that went wrong; "" for nothing."""
    for need in check.needs:
        for name, obstacle in obstacles.items():
            is_section = need.endswith(".") and name.startswith(need)
            is_unread = not name and "." in need  # the file as a whole: no setting of it is known
            if name == need or is_section or is_unread:
                return obstacle
    return ""


def _looked(patient: Patient, check: Check, bounded: Within, limit_s: float) -> list[Finding]:
    """Return what a check found, in time; that it broke, or did not come back, is a finding as well."""
    found: list[Finding] = []

    def look() -> None:
        try:
            found.extend(check.look(patient))
        except PivoiceError as error:
            found.append(_unchecked(check, str(error)))
        except Exception as error:  # a check's top: the others must be looked at, whatever ails this one
            # Not its text: nobody knows what a stranger's error quotes.
            found.append(_unchecked(check, f"{type(error).__name__} {_place_of(error)}"))

    if not bounded(patient, look, limit_s):
        return [*found, _unchecked(check, f"no answer within {limit_s:.1f} s")]
    return found


def _unchecked(check: Check, why: str) -> Finding:
    todo = "again: pivoice doctor; if it stays so, please report it"
    return Finding(check.name, "fail", f"could not be checked: {why}", todo)


def _place_of(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return ""
    return f"at {trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"


def _in_a_thread(patient: Patient, work: Callable[[], None], limit_s: float) -> bool:
    """Do `work` beside us, and leave it behind if it does not come back."""
    done = threading.Event()

    def run() -> None:
        work()
        done.set()

    threading.Thread(target=run, name="doctor", daemon=True).start()
    try:
        if patient.clock.wait(done, limit_s):
            return True
    except KeyboardInterrupt:
        _part(patient, done)
        raise
    _part(patient, done)
    return False


def _part(patient: Patient, done: threading.Event) -> None:
    """Leave a check behind; a session that it has open is ended first."""
    if patient.abort is not None:
        patient.abort()
        patient.clock.wait(done, _FAREWELL_S)


def _presentable(finding: Finding, patient: Patient) -> Finding:
    """Return a finding on one line, without secrets, and without what a terminal would obey."""
    secrets = Secrets(patient.key, urlsplit(patient.config.agent.token_url).query)

    def shown(text: str) -> str:
        clean = "".join(letter if letter.isprintable() else " " for letter in secrets.scrub(text))
        return " ".join(clean.split())

    return replace(finding, text=shown(finding.text), next=shown(finding.next))
