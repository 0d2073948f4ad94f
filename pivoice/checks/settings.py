"""The configuration file, whole: every fault of it at once; and the wake words that it names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pivoice.checks.patient import Patient
from pivoice.errors import ConfigError
from pivoice.findings import Finding
from pivoice.wake.detector import open_detector
from pivoice.wake.models import bundled_models

_LICENCE = "CC BY-NC-SA 4.0: not for commercial use"


def configuration(patient: Patient) -> Iterator[Finding]:
    """Each fault, or where the file is. The checks that follow go on with what is right of it."""
    path = Path(patient.path)
    for fault in patient.faults:
        todo = f"mend it in {path}; then: pivoice config --check"
        yield Finding("configuration", "fail", str(fault), todo)
    if patient.faults:
        return
    if not path.exists():
        yield Finding("configuration", "ok", f"no {path}: every setting has its default")
        return
    if patient.user and not patient.machine.may_read(path, patient.user):
        text = f"{path} cannot be read by {patient.user}, whom the service runs as"
        yield Finding("configuration", "fail", text, f"sudo chmod o+r {path} (a key does not belong there)")
        return
    yield Finding("configuration", "ok", str(path))


def wake_words(patient: Patient) -> Iterator[Finding]:
    """Load them, as the daemon does."""
    wake = patient.config.wake
    if wake.engine == "none":
        yield Finding("wake words", "ok", 'none: wake.engine = "none", the button alone begins to listen')
        return
    try:
        detector = open_detector(wake)
    except ConfigError as error:
        for fault in error.faults:
            yield Finding("wake words", "fail", str(fault), f"mend it in {patient.path}")
        return
    assert detector is not None, "engine none was told above"
    words = ", ".join(f"{name} (from {wake.threshold_of(name):g} on)" for name in detector.models)
    if wake.engine == "micro":
        licence = "its models are Apache-2.0"
    elif any(name in bundled_models() for name in wake.models):
        licence = f"the bundled models are {_LICENCE}"
    else:
        licence = "your own, heard through an embedding that is Apache-2.0"
    yield Finding("wake words", "ok", f"{words}; {licence}")
