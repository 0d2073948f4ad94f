"""The daemon that runs beside us: whether it answers, and what it hears. It keeps its cards and pins.

Asks over the control socket alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from pivoice import __version__, caller
from pivoice.checks.patient import SERVICE, Patient
from pivoice.errors import PivoiceError
from pivoice.findings import Finding

ANSWER_S = 3.0
LISTEN_S = 1.5
LEVELS = 10
"""That many are enough, a second of them."""
_JOURNAL = f"journalctl -u {SERVICE} -n 30"
_RESTART = f"sudo systemctl restart {SERVICE}"


def daemon(patient: Patient) -> Iterator[Finding]:
    """Whether one of ours is there, which is then asked and not disturbed."""
    place = patient.config.control.socket
    patient.daemon = "silent"  # whatever goes wrong from here on, its cards are not ours to open
    try:
        answer = caller.request(place, {"command": "status"}, timeout_s=ANSWER_S)
    except PivoiceError as error:
        yield from _unanswered(patient, error)
        return
    if "state" not in answer:
        said = str(answer.get("error", "something else than its state"))
        yield Finding("daemon", "fail", f"what answers at {place} says: {said}", _RESTART)
        return
    patient.daemon, patient.status = "answers", answer
    state, version = answer["state"], answer.get("version", __version__)
    if version != __version__:
        text = f"pivoice {version} runs, and {__version__} is installed"
        yield Finding("daemon", "warn", text, _RESTART)
    text = f"pivoice runs ({state}) and has the cards: it is asked, they are left to it"
    yield Finding("daemon", "ok", text)


def levels(patient: Patient, side: str) -> list[dict[str, Any]]:
    """Return what the daemon measures of one side in `LISTEN_S`, or less where it is enough.

    Raises:
        PivoiceError: it is gone, or does not answer.
    """
    found: list[dict[str, Any]] = []
    until_s = patient.clock.monotonic() + LISTEN_S
    with contextlib.suppress(TimeoutError):  # it says nothing any more, which says enough
        for line in caller.watch(patient.config.control.socket, silence_s=LISTEN_S):
            if line.get("event") == "level" and line.get("side") == side:
                found.append(line)
            if len(found) >= LEVELS or patient.clock.monotonic() > until_s:
                break
    return found


def _unanswered(patient: Patient, error: PivoiceError) -> Iterator[Finding]:
    """Tell nobody there from somebody who does not answer."""
    place, cause = patient.config.control.socket, error.__cause__
    if isinstance(cause, FileNotFoundError | ConnectionRefusedError | NotADirectoryError):
        if patient.is_active:
            text = f"the service runs, and nobody listens at {place}"
            yield Finding("daemon", "fail", text, f"{_RESTART}; if it stays so: {_JOURNAL}")
        elif patient.is_starting:
            text = "the service is starting, and will have the cards"
            yield Finding("daemon", "warn", text, "pivoice doctor, in a moment")
        patient.daemon = "absent"
        return
    if isinstance(cause, PermissionError):
        patient.daemon = "closed"
        text = f"pivoice runs, and {place} is not open to this user: nothing of it was looked at"
        yield Finding("daemon", "warn", text, "sudo pivoice doctor")
        return
    text = f"pivoice is there and does not answer within {ANSWER_S:g} s"
    yield Finding("daemon", "fail", text, f"{_RESTART}; before, for a report: {_JOURNAL}")


def is_talking(patient: Patient) -> bool:
    """Whether the daemon has a conversation open now, by its own word of this moment."""
    if patient.daemon == "answers":
        with contextlib.suppress(PivoiceError):  # then what it said before must do
            place = patient.config.control.socket
            answer = caller.request(place, {"command": "status"}, timeout_s=ANSWER_S)
            patient.status = answer if "state" in answer else patient.status
    return str(patient.status.get("state", "idle")) != "idle"
