"""Whether the microphone delivers, whether the speaker's clock moves, and how the echo is kept out.

Where our own daemon has the cards it is asked, and nothing is opened. Nothing is heard of what is tried,
but for `echo`, which says so before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from pivoice.audio import stage
from pivoice.audio.cards import card_of
from pivoice.audio.echo_check import figures_of
from pivoice.audio.echo_trial import EchoTrial
from pivoice.audio.gate import HalfDuplexGate
from pivoice.audio.pcm import Format, Samples, open_capture, open_playback
from pivoice.audio.reference import Reference
from pivoice.checks import live, mixer
from pivoice.checks.hearing import SILENCE_DB, judged, level_of, level_told
from pivoice.checks.patient import SERVICE, Patient
from pivoice.echo_advice import Knobs, echo_findings
from pivoice.errors import DeviceError, PivoiceError
from pivoice.findings import Finding
from pivoice.fitting import CANCELLER

SETTLE_S = 0.3  # what comes first of a card is often zeros, or a leap of its offset
LISTEN_S = 1.2
CHANNEL_S = 0.2
SILENT_S = 0.5
UNPACED = 0.2  # of its length: a sound that is gone sooner was played by no clock
TAP_PACKAGE = "libspeexdsp1"  # Debian's


def microphone(patient: Patient) -> Iterator[Finding]:
    """Whether it delivers, neither silent nor clipping."""
    if "microphone" in patient.absent:
        return
    if patient.is_held:
        yield from _heard_by_the_daemon(patient)
        return
    audio = patient.config.audio
    try:
        sound, opened, xruns = _record(patient, audio.channel, SETTLE_S, LISTEN_S)
    except DeviceError as error:
        yield _refused("microphone", error)
        return
    level = level_of(sound)
    yield from judged(level, _knobs(patient), what=f"{audio.capture!r}, {_described(opened)}")
    if xruns:
        text = f"it broke off {xruns} times in {SETTLE_S + LISTEN_S:g} s"
        yield Finding(
            "microphone", "warn", text, "see what else runs (top); if it stays so: audio.period_ms = 40"
        )
    if level.peak_db <= SILENCE_DB or level.is_constant:
        yield from _elsewhere(patient, opened)
        yield from _switched_off(patient, "capture")


def speaker(patient: Patient) -> Iterator[Finding]:
    """Whether it takes sound at its own pace; nothing but silence is played."""
    audio = patient.config.audio
    if "speaker" in patient.absent:
        return
    if patient.is_held:
        yield from _played_by_the_daemon(patient)
        return
    try:
        opened, took_s, xruns = _play_silence(patient)
    except DeviceError as error:
        yield _refused("speaker", error)
        return
    text = f"{audio.playback!r}, {_described(opened)}"
    if took_s < UNPACED * SILENT_S:
        text += f": {SILENT_S:g} s of silence were gone in {took_s:.2f} s, so no card plays them"
        yield Finding("speaker", "warn", text, "name the card itself: pivoice devices")
    elif xruns > 1:
        todo = "see what else runs (top); if it stays so: audio.period_ms = 40"
        yield Finding("speaker", "warn", f"{text}: it ran dry {xruns} times in {SILENT_S:g} s", todo)
    else:
        yield Finding("speaker", "ok", f"{text}; its clock moves")
    if not audio.max_volume:
        yield Finding("speaker", "warn", "audio.max_volume is 0: nothing sounds", f"set it in {patient.path}")
    yield from _switched_off(patient, "playback")


def echo_mode(patient: Patient) -> Iterator[Finding]:
    """How the device does not hear itself."""
    choice = patient.choice
    text = f"{choice.mode}: {choice.reason}"
    yield Finding("echo mode", "warn" if choice.is_fallback else "ok", text)
    if choice.mode == CANCELLER:
        tap = stage.open_stage(CANCELLER, Reference(), HalfDuplexGate()).status()["tap"]
        if tap != stage.TAP:
            text = f"it is hard to hear while the agent speaks: {tap}"
            yield Finding("wake word", "warn", text, f"sudo apt install {TAP_PACKAGE}")


def echo(patient: Patient) -> Iterator[Finding]:
    """Speak, and measure what comes back."""
    audio = patient.config.audio
    if patient.is_held:
        free = f"sudo systemctl stop {SERVICE}; pivoice doctor --echo; sudo systemctl start {SERVICE}"
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


# --- beside the daemon ---


def _heard_by_the_daemon(patient: Patient) -> Iterator[Finding]:
    status = patient.status
    if patient.daemon != "answers":
        text = "not measured: pivoice has it, and does not tell"
        yield Finding("microphone", "warn", text, f"sudo systemctl stop {SERVICE}; pivoice doctor")
        return
    if fault := _fault_of(patient, "microphone"):
        yield Finding("microphone", "fail", f"pivoice has lost it: {fault}", f"journalctl -u {SERVICE} -n 30")
        return
    if status.get("muted"):
        text = "muted: the microphone is closed, and was not measured"
        yield Finding("microphone", "warn", text, "pivoice ctl unmute, and again: pivoice doctor")
        return
    deaf = f"sudo systemctl restart {SERVICE}; if it stays so: journalctl -u {SERVICE} -n 30"
    if not status.get("hears"):
        text = f"pivoice does not hear: {status.get('status', 'it does not say why')}"
        yield Finding("microphone", "fail", text, deaf)
        return
    try:
        lines = live.levels(patient, "microphone")
    except PivoiceError as error:
        yield Finding("microphone", "fail", f"not measured: {error}", deaf)
        return
    what = f"heard by the running pivoice, {_told(status.get('capture'), patient.config.audio.capture)}"
    if not lines:
        text = f"{what}: it says that it hears, and nothing came in {live.LISTEN_S:g} s"
        yield Finding("microphone", "fail", text, deaf)
        return
    if live.is_talking(patient):
        what += ", amid a conversation"
    yield from judged(level_told(lines), _knobs(patient), what=what)


def _played_by_the_daemon(patient: Patient) -> Iterator[Finding]:
    if patient.daemon != "answers":
        text = "not tried: pivoice has it, and does not tell"
        yield Finding("speaker", "warn", text, f"sudo systemctl stop {SERVICE}; pivoice doctor")
        return
    if fault := _fault_of(patient, "speaker"):
        yield Finding("speaker", "fail", f"pivoice has lost it: {fault}", f"journalctl -u {SERVICE} -n 30")
        return
    told = patient.status.get("playback")
    is_open = isinstance(told, dict) and bool(told.get("is_open"))
    shown = _told(told, patient.config.audio.playback)
    state = "open" if is_open else "was not tried: pivoice opens it when there is something to play"
    yield Finding("speaker", "ok", f"{shown}: {state}")
    yield from _switched_off(patient, "playback")


def _fault_of(patient: Patient, part: str) -> str:
    faults = patient.status.get("faults")
    return str(faults.get(part, "")) if isinstance(faults, dict) else ""


def _told(side: Any, name: str) -> str:
    """Describe a PCM as the daemon's status does."""
    if not isinstance(side, dict) or not side.get("rate_hz"):
        return repr(name)
    channels = side.get("channels", 1)
    plural = "s" if channels != 1 else ""
    return f"{name!r}, {side['rate_hz']} Hz, {side.get('encoding', '')}, {channels} channel{plural}"


# --- by ourselves ---


def _record(patient: Patient, channel: int, settle_s: float, listen_s: float) -> tuple[Samples, Format, int]:
    """Return what a channel hears after `settle_s`, how the card was opened, and its xruns.

    Raises:
        DeviceError: it cannot be opened, or does not deliver.
    """
    audio = replace(patient.config.audio, channel=channel)
    pcm = open_capture(audio.capture, audio, patient.clock)
    try:
        opened = pcm.format
        wanted = round((settle_s + listen_s) * opened.rate_hz / opened.period_frames)
        sound = np.concatenate([pcm.read() for _ in range(max(1, wanted))])
        return sound[round(settle_s * opened.rate_hz) :], opened, pcm.xruns
    finally:
        pcm.close()


def _play_silence(patient: Patient) -> tuple[Format, float, int]:
    """Return how the card was opened, how long it took over `SILENT_S` of silence, and its xruns.

    Raises:
        DeviceError: it cannot be opened, or its clock stands still.
    """
    audio = patient.config.audio
    pcm = open_playback(audio.playback, audio, patient.clock)
    try:
        opened, began_s = pcm.format, patient.clock.monotonic()
        for _ in range(round(SILENT_S * opened.rate_hz / opened.period_frames)):
            pcm.wait()
            pcm.write(np.zeros(opened.period_frames, np.int16))
        return opened, patient.clock.monotonic() - began_s, pcm.xruns
    finally:
        pcm.close()


def _elsewhere(patient: Patient, opened: Format) -> Iterator[Finding]:
    """Where the chosen channel is silent: say which other is not."""
    chosen = patient.config.audio.channel
    for channel in range(opened.card_channels):
        if channel == chosen:
            continue
        try:
            sound, _, _ = _record(patient, channel, CHANNEL_S, CHANNEL_S)
        except DeviceError:
            return  # what there is to say of the card was said
        level = level_of(sound)
        if level.peak_db > SILENCE_DB and not level.is_constant:
            text = f"channel {channel} hears something ({level.rms_db:.0f} dBFS), and {chosen} is configured"
            todo = f"set audio.channel = {channel} in {patient.path}"
            yield Finding("microphone", "warn", text, todo)
            return


def _switched_off(patient: Patient, side: str) -> Iterator[Finding]:
    """Tell of the card's own volume controls that are off."""
    card = _card_of(patient, getattr(patient.config.audio, side))
    if card and (names := mixer.muted(patient.machine, card, side)):
        what = "microphone" if side == "capture" else "speaker"
        text = f"its own volume is off: {', '.join(names)}"
        todo = f"{mixer.turn_up(card, side, names)}; to keep it: sudo alsactl store"
        yield Finding(what, "warn", text, todo)


def _refused(what: str, error: DeviceError) -> Finding:
    advice, reason = error.advice, error.reason
    if reason == "busy":  # and nobody knows by whom
        advice = f"sudo systemctl stop {SERVICE}, if that is what has it; else {advice}"
    return Finding(what, "fail", f"cannot {error.doing} {error.device!r}: {reason}", advice)


def _described(opened: Format) -> str:
    channels = f"{opened.card_channels} channel{'s' if opened.card_channels > 1 else ''}"
    return f"{opened.rate_hz} Hz, {opened.card_encoding}, {channels}"


def _knobs(patient: Patient) -> Knobs:
    audio = patient.config.audio
    cards = (_card_of(patient, audio.playback), _card_of(patient, audio.capture))
    speaker, microphone = (f"alsamixer -c {card}" if card else "alsamixer" for card in cards)
    return Knobs(patient.path, speaker, microphone, audio.gain_db)


def _card_of(patient: Patient, pcm: str) -> str:
    machine = patient.machine
    card = card_of(pcm, proc=machine.path("/proc/asound"), etc=machine.path("/etc"))
    return card.id if card else ""
