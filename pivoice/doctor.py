"""`pivoice doctor`: what is wrong with this device, and the next thing to do about it.

Checks in order, each of which yields what it finds as it finds it. Main thread, in a process of its own; it
changes nothing. What the figures of an echo mean is in echo_advice.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pivoice import control
from pivoice.audio import stage
from pivoice.audio.cards import card_of
from pivoice.audio.echo_check import Figures, figures_of
from pivoice.audio.echo_trial import EchoTrial
from pivoice.audio.gate import HalfDuplexGate
from pivoice.audio.pcm import Capture, Playback, open_capture, open_playback
from pivoice.audio.reference import Reference
from pivoice.clock import Clock
from pivoice.config import AudioConfig, Config
from pivoice.echo_advice import Knobs, advised, echo_findings
from pivoice.errors import DeviceError, PivoiceError
from pivoice.findings import Finding, is_well
from pivoice.fitting import CANCELLER, EchoChoice, choose_echo

TAP_PACKAGE = "libspeexdsp1"  # Debian's


@dataclass
class Patient:
    """The device as it is found."""

    path: str
    config: Config
    clock: Clock
    await_trial: Callable[[EchoTrial], None] = EchoTrial.join
    """How to wait for a trial that was started."""
    say: Callable[[str], None] = lambda _: None
    """Tells the owner what goes on meanwhile."""
    choice: EchoChoice = field(init=False)
    is_held: bool = False
    """Our own daemon has the cards."""
    figures: Figures | None = None
    """What the echo check measured."""

    def __post_init__(self) -> None:
        self.choice = choose_echo(self.config)


def examine(patient: Patient, *, with_echo: bool) -> Iterator[Finding]:
    """Yield what there is to be found; what stands behind a failed check is not looked at.

    `with_echo`: play and record, too.
    """
    for check in (_configuration, _daemon, _canceller, _cards, *([_echo] if with_echo else [])):
        has_failed = False
        for finding in check(patient):
            has_failed |= finding.verdict == "fail"
            yield finding
        if has_failed:
            return


def report(patient: Patient, findings: list[Finding]) -> dict[str, object]:
    """Return the same for other programs."""
    return {
        "ok": is_well(findings),
        "findings": [asdict(finding) for finding in findings],
        "echo": None if patient.figures is None else asdict(patient.figures),
        "advice": None if patient.figures is None else advised(patient.figures),
    }


# --- checks ---


def _configuration(patient: Patient) -> Iterator[Finding]:
    text = (
        patient.path if Path(patient.path).exists() else f"no {patient.path}: every setting has its default"
    )
    yield Finding("configuration", "ok", text)


def _daemon(patient: Patient) -> Iterator[Finding]:
    try:
        status = control.request(patient.config.control.socket, {"command": "status"})["status"]
    except (PivoiceError, KeyError):
        return  # nobody there, or nobody who talks to us: the cards will tell
    patient.is_held = True
    yield Finding("daemon", "ok", f"pivoice runs ({status['state']}) and has the cards")


def _canceller(patient: Patient) -> Iterator[Finding]:
    choice = patient.choice
    text = f"{choice.mode}: {choice.reason}"
    yield Finding("echo mode", "warn" if choice.is_fallback else "ok", text)
    if choice.mode == CANCELLER:
        tap = stage.open_stage(CANCELLER, Reference(), HalfDuplexGate()).status()["tap"]
        if tap != stage.TAP:
            text = f"it is hard to hear while the agent speaks: {tap}"
            yield Finding("wake word", "warn", text, f"sudo apt install {TAP_PACKAGE}")


def _cards(patient: Patient) -> Iterator[Finding]:
    if patient.is_held:
        return
    audio = patient.config.audio
    opens: tuple[tuple[str, str, Callable[[str, AudioConfig, Clock], Capture | Playback]], ...] = (
        ("microphone", audio.capture, open_capture),
        ("speaker", audio.playback, open_playback),
    )
    for what, name, open_pcm in opens:
        try:
            pcm = open_pcm(name, audio, patient.clock)
        except DeviceError as error:
            yield _refused(what, error)
            continue
        pcm.close()
        opened = pcm.format
        channels = f"{opened.card_channels} channel{'s' if opened.card_channels > 1 else ''}"
        yield Finding(what, "ok", f"{name!r}, {opened.rate_hz} Hz, {opened.card_encoding}, {channels}")


def _echo(patient: Patient) -> Iterator[Finding]:
    audio = patient.config.audio
    if patient.is_held:
        free = "sudo systemctl stop pivoice; pivoice doctor --echo; sudo systemctl start pivoice"
        yield Finding("echo", "fail", "pivoice runs and uses the cards", free)
        return
    if not audio.max_volume:
        text = "audio.max_volume is 0: nothing would sound"
        yield Finding("echo", "fail", text, f"set it in {patient.path}; 100 is usual")
        return
    patient.say("The device now says a sentence and plays a tone: please keep quiet for ten seconds.")
    trial = EchoTrial(audio, patient.clock)
    trial.start()
    patient.await_trial(trial)
    try:
        recording = trial.recording()
    except DeviceError as error:
        yield _refused("sound", error)
        return
    patient.figures = figures_of(recording, canceller=None if stage.missing(CANCELLER) else CANCELLER)
    yield from echo_findings(patient.figures, patient.choice.mode, _knobs(patient))


def _refused(what: str, error: DeviceError) -> Finding:
    advice = error.advice
    if "busy" in error.reason:
        advice = f"sudo systemctl stop pivoice, if that is what has it; else {advice}"
    return Finding(what, "fail", f"cannot {error.doing} {error.device!r}: {error.reason}", advice)


def _knobs(patient: Patient) -> Knobs:
    audio = patient.config.audio
    speaker, microphone = (_mixer(name) for name in (audio.playback, audio.capture))
    return Knobs(patient.path, speaker, microphone, audio.gain_db)


def _mixer(pcm: str) -> str:
    card = card_of(pcm)
    return f"alsamixer -c {card.id}" if card else "alsamixer"
