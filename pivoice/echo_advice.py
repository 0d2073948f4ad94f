"""What the figures of an echo mean, and what to do about them. PURE.

The bounds are those at which the canceller was seen to fail in simulated rooms (2026-07): they rank devices,
and promise nothing of a particular speaker in a particular room.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pivoice.audio.echo_check import Figures
from pivoice.findings import Finding, Verdict

Mode = Literal["webrtc", "half_duplex", "none"]

USER_DBFS = -32.0
"""A user who talks at one metre, at a usual microphone (-35 to -30): what the echo is weighed against."""
LOUD_DB = 15.0  # echo above user: at 15 dB half of the interruptions are missed
WANTED_DB = 10.0  # at 10 dB hardly any is
UNHEARD_DBFS = -55.0  # nobody takes so soft an echo for speech
NOISY_DBFS = -45.0
ROSE_DB = 6.0  # above the room: something was heard while we spoke
CANCELLED_DB = 20.0  # with less of it, what is left of the echo is taken for speech
HIDDEN_DB = 3.0  # above the room: what is left is the room's own noise
LATE_MS = 450.0  # the canceller looks back for half a second
UNSTEADY_MS = 15.0  # a jump of 20 ms costs it a second
DISTORTED_DB = -18.0  # a speaker driven to 1.5 times what it can do is at -23, to five times at -14
CLIPPED = 4  # samples; fewer are no harm


@dataclass(frozen=True)
class Knobs:
    """Where the owner turns what, as said in the advice."""

    path: str
    """The configuration file."""
    speaker: str = "alsamixer"
    """The program, with its arguments, that sets the speaker's volume."""
    microphone: str = "alsamixer"
    gain_db: float = 0.0
    """audio.gain_db."""

    @property
    def softer(self) -> str:
        return f"turn the speaker's volume down: {self.speaker} (F3 shows it)"

    def set_echo(self, mode: str) -> str:
        return f'set audio.echo = "{mode}" in {self.path}, then: sudo systemctl restart pivoice'


def advised(figures: Figures) -> Mode | None:
    """Return the value of audio.echo that the figures speak for; None where they say nothing."""
    if figures.is_deaf or figures.breaks:
        return None
    if figures.echo_dbfs is None:
        return None if _is_something_heard(figures) or _is_noisy(figures) else "none"
    if _fault_of_delay(figures) or not _is_cancelled(figures):
        return "half_duplex"
    return "webrtc"


def echo_findings(figures: Figures, mode: str, knobs: Knobs) -> Iterator[Finding]:
    """Yield what to tell of `figures`, where `mode` is how the device does not hear itself now."""
    if figures.is_deaf:
        todo = (
            f"{knobs.microphone} (F4 shows it): is it muted, or at 0? Or it is another card: pivoice devices"
        )
        yield Finding("microphone", "fail", "it gives nothing at all, not even noise", todo)
        return
    if figures.breaks:
        todo = "try again while the machine is idle; if it stays so: audio.period_ms = 40"
        yield Finding(
            "sound", "fail", f"it broke off ({figures.breaks} xruns): no figure is worth much", todo
        )
        if figures.echo_dbfs is None:
            return
    yield _room(figures)
    if figures.echo_dbfs is None:
        yield _unheard(figures, mode, knobs)
        return
    yield _loudness(figures.echo_dbfs, knobs)
    yield from _quality(figures, knobs)
    yield from _cancellation(figures, mode)
    if not figures.breaks:
        yield _advice(figures, mode, knobs)


def _room(figures: Figures) -> Finding:
    text = f"{figures.noise_dbfs:.0f} dBFS of noise"
    if _is_noisy(figures):
        return Finding("room", "warn", f"{text}: that is loud", "try again without fan, music or television")
    return Finding("room", "ok", text)


def _unheard(figures: Figures, mode: str, knobs: Knobs) -> Finding:
    """The speaker was not recognised in what the microphone heard."""
    if _is_something_heard(figures):
        text = "something was heard while the device spoke, but not what it played"
        todo = (
            f"try again in silence; if it stays so, the way back is unsteady: {knobs.set_echo('half_duplex')}"
        )
        return Finding("echo", "fail", text, todo)
    if _is_noisy(figures):
        return Finding(
            "echo", "fail", "nothing is heard of the speaker, but the room is loud", "try again in silence"
        )
    text = "nothing of the speaker reaches the microphone"
    if mode == "none":
        return Finding("echo", "ok", f"{text}, as it should be")
    todo = (
        "did you hear the sentence? Then the card cancels it, or these are headphones:"
        f" {knobs.set_echo('none')}."
        f" If not: {knobs.speaker} (F3: is it muted?), or it is another card: pivoice devices"
    )
    return Finding("echo", "warn", text, todo)


def _loudness(echo_dbfs: float, knobs: Knobs) -> Finding:
    above_db = echo_dbfs - USER_DBFS
    side = "softer" if above_db > 0 else "louder"
    text = (
        f"{echo_dbfs:.0f} dBFS at the microphone; a user one metre away, at about {USER_DBFS:.0f} dBFS,"
        f" is {abs(above_db):.0f} dB {side}"
    )
    if above_db > LOUD_DB:
        return Finding("echo", "warn", text, f"by about {above_db - WANTED_DB:.0f} dB, {knobs.softer}")
    return Finding("echo", "ok", text)


def _quality(figures: Figures, knobs: Knobs) -> Iterator[Finding]:
    """What happened to the sound on its way."""
    if figures.clipped >= CLIPPED:
        todo = f"turn the microphone down: {knobs.microphone} (F4 shows it)"
        if knobs.gain_db > 0:
            todo = f"lower audio.gain_db in {knobs.path}; else {todo}"
        yield Finding("clipping", "warn", f"{figures.clipped} samples at the microphone's full scale", todo)
    else:
        yield Finding("clipping", "ok", "none")
    if figures.distortion_db is None:
        return
    text = f"{100 * 10 ** (figures.distortion_db / 20):.1f} % ({figures.distortion_db:.0f} dB)"
    is_distorted = figures.distortion_db > DISTORTED_DB
    if is_distorted and figures.clipped >= CLIPPED:
        yield Finding("distortion", "warn", f"{text}, of the speaker or of the clipping", knobs.softer)
    elif is_distorted:
        yield Finding("distortion", "warn", f"{text}: the speaker is driven too hard", knobs.softer)
    else:
        yield Finding("distortion", "ok", text)


def _cancellation(figures: Figures, mode: str) -> Iterator[Finding]:
    bad: Verdict = "fail" if mode == "webrtc" else "warn"
    fault = _fault_of_delay(figures)
    yield Finding("delay", bad if fault else "ok", f"{figures.delay_ms:.0f} ms{fault and ': ' + fault}")
    loss_db = figures.return_loss_db
    if loss_db is not None:
        text = f"{loss_db:.0f} dB"
        if figures.tap_loss_db is not None:
            text += f", {figures.tap_loss_db:.0f} dB where the wake word is listened for"
        if not _is_cancelled(figures):
            yield Finding("cancellation", bad, f"{text}: too little")
        else:
            rest = ", down to the room's noise" if loss_db < CANCELLED_DB else ""
            yield Finding("cancellation", "ok", text + rest)
    if figures.is_disturbed and not fault and figures.clipped < CLIPPED:
        text = "somebody spoke meanwhile, or something banged"
        yield Finding("silence", "warn", text, "to be sure, try again in silence")


def _advice(figures: Figures, mode: str, knobs: Knobs) -> Finding:
    assert figures.echo_dbfs is not None
    best = advised(figures)
    if mode == "none" and figures.echo_dbfs > UNHEARD_DBFS:
        todo = knobs.set_echo("auto" if best == "webrtc" else "half_duplex")
        return Finding("advice", "fail", 'with audio.echo = "none" the agent hears itself', todo)
    if mode == "webrtc" and best == "half_duplex":
        if not _fault_of_delay(figures) and _is_too_loud(figures):
            todo = f"{knobs.softer}, and try again; if it stays so: {knobs.set_echo('half_duplex')}"
            return Finding("advice", "fail", "softer, or half duplex", todo)
        return Finding("advice", "fail", "half duplex", knobs.set_echo("half_duplex"))
    if mode == "half_duplex" and best == "webrtc":
        text = 'audio.echo = "webrtc" would work here, and let you talk over the agent'
        return Finding("advice", "ok", text, knobs.set_echo("auto"))
    if _is_too_loud(figures):
        return Finding("advice", "warn", f"{mode}, but softer", knobs.softer)
    return Finding("advice", "ok", f"{mode} is right here")


def _is_something_heard(figures: Figures) -> bool:
    return figures.is_disturbed or figures.heard_dbfs > figures.noise_dbfs + ROSE_DB


def _is_noisy(figures: Figures) -> bool:
    return figures.noise_dbfs > NOISY_DBFS


def _is_too_loud(figures: Figures) -> bool:
    """Whether it would be better with less volume."""
    is_distorted = figures.distortion_db is not None and figures.distortion_db > DISTORTED_DB
    is_loud = figures.echo_dbfs is not None and figures.echo_dbfs - USER_DBFS > LOUD_DB
    return is_distorted or is_loud or figures.clipped >= CLIPPED


def _fault_of_delay(figures: Figures) -> str:
    """Return why the canceller cannot live with the delay; "" when it can."""
    if figures.delay_ms is None or figures.wander_ms is None:
        return ""
    if figures.wander_ms > UNSTEADY_MS:
        return f"it changes by {figures.wander_ms:.0f} ms, as a Bluetooth speaker's does"
    if figures.delay_ms > LATE_MS:
        return (
            f"more than the {LATE_MS:.0f} ms that a canceller can look back, as a Bluetooth speaker's may be"
        )
    if figures.delay_ms < 0:
        return "the sound is out before the card says so, and the canceller too late"
    return ""


def _is_cancelled(figures: Figures) -> bool:
    """Whether what is left of the echo cannot be taken for speech. False where there is no canceller."""
    if figures.return_loss_db is None or figures.echo_dbfs is None:
        return False
    left_dbfs = figures.echo_dbfs - figures.return_loss_db
    return figures.return_loss_db >= CANCELLED_DB or left_dbfs <= max(
        figures.noise_dbfs + HIDDEN_DB, UNHEARD_DBFS
    )
