"""The GPIO header: the chip, who uses which line, and whether buttons, switch and lights can have theirs.

Lines are asked about by the kernel's own interface (panel/lines.py). They are taken for a moment, each by
itself, where nobody of ours has them. What hangs on SPI is looked at in lights.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pivoice.checks.cards import configured_board
from pivoice.checks.patient import Patient
from pivoice.contradictions_panel import lines_taken
from pivoice.errors import DeviceError
from pivoice.findings import Finding, Verdict
from pivoice.panel import lines
from pivoice.panel.gpio import open_factory, try_line

_I2S_PINS = {18, 19, 20, 21}  # clock, word clock, data in and out, on every model
_OURS = ("lg", "gpiozero", "pivoice")  # lgpio's mark is "lg"; with ours running, it is ours
_OPENS = {"wake_or_stop", "push_to_talk"}  # what begins a conversation


def gpio(patient: Patient) -> Iterator[Finding]:
    """Whether what is on the header works; without it the device still listens, if it has a wake word."""
    panel = patient.config.panel
    if panel.driver != "gpio":
        yield Finding("GPIO", "ok", f'not used: panel.driver = "{panel.driver}"')
        return
    uses = dict(lines_taken(panel))
    if not uses:
        yield Finding("GPIO", "ok", "no pin is configured")
        return
    if (bus := sorted(_I2S_PINS & set(uses))) and (board := configured_board(patient.machine)):
        text = f"{_listed(bus)}: that is the bus of {board.overlay}, in the boot configuration"
        yield Finding("GPIO", "warn", text, f"choose another pin in {patient.path}")
    bad = _verdicts(patient, uses)
    used = lines.users_of(uses, patient.machine.path("/dev"))
    yield from _beside_ours(patient, used, bad) if patient.is_held else _tried(patient, uses, bad)


def _verdicts(patient: Patient, uses: Mapping[int, str]) -> dict[int, Verdict]:
    """Return how bad it is to be without each pin: bad where nothing else would begin a talk."""
    panel = patient.config.panel
    vital = {panel.mute_switch_pin}  # one that cannot be read mutes
    if patient.config.wake.engine == "none":
        vital |= {each.pin for each in panel.buttons if {each.press, each.double, each.hold} & _OPENS}
    return {pin: "fail" if pin in vital else "warn" for pin in uses}


def _beside_ours(patient: Patient, used: Mapping[int, str], bad: Mapping[int, Verdict]) -> Iterator[Finding]:
    """Look at what the daemon that runs has."""
    strangers = {pin: who for pin, who in used.items() if not who.startswith(_OURS)}
    missing = sorted(set(bad) - set(used))
    if strangers:
        yield Finding("GPIO", _worst(bad, strangers), lines.told(strangers), "stop it, or choose another pin")
    if missing:
        text = f"pivoice runs without {_listed(missing)}"
        yield Finding("GPIO", _worst(bad, missing), text, "journalctl -u pivoice | grep panel")
    if not strangers and not missing:
        yield Finding("GPIO", "ok", f"{_factory(patient)}; held by pivoice: {_listed(sorted(used))}")


def _tried(patient: Patient, uses: Mapping[int, str], bad: Mapping[int, Verdict]) -> Iterator[Finding]:
    """Take each line for a moment."""
    try:
        factory = open_factory()
    except DeviceError as error:
        yield Finding("GPIO", _worst(bad, bad), f"{_factory(patient)}; {error.reason}", error.advice)
        return
    free = []
    for pin, use in sorted(uses.items()):
        try:
            try_line(pin, factory)
        except DeviceError as error:
            text = f"{_factory(patient)}; {error.device} ({use}): {error.reason}"
            yield Finding("GPIO", bad[pin], text, error.advice)
        else:
            free.append(pin)
    if free:
        yield Finding("GPIO", "ok", f"{_factory(patient)}; {_listed(free)} free")


def _worst(bad: Mapping[int, Verdict], pins: Iterable[int]) -> Verdict:
    return "fail" if any(bad[pin] == "fail" for pin in pins) else "warn"


def _factory(patient: Patient) -> str:
    """Say what drives the pins, and through which chip."""
    name = patient.machine.environ.get("GPIOZERO_PIN_FACTORY", "lgpio")
    chip = lines.header_chip(patient.machine.path("/dev")) if name == "lgpio" else None
    return f"{name} on {chip.name}" if chip else name


def _listed(pins: list[int]) -> str:
    return "GPIO " + ", ".join(map(str, pins))
