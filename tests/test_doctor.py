"""`pivoice doctor`: in simulated time in a simulated room, and as a process on real ALSA PCMs."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import wave
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pivoice import config
from pivoice.audio import simulated, stage
from pivoice.audio.echo_trial import EchoTrial
from pivoice.checks import live, sound
from pivoice.checks.machine import Machine, Outcome
from pivoice.doctor import Patient, examine, report
from pivoice.findings import Finding, is_well
from pivoice.simulation import JumpLoop, run_jumping
from tests.support.bed import Bed
from tests.support.rooms import RATE_HZ, LiveRoom, Room

KEY = "sk7d1f0c93e2grepme"
Cards = tuple[simulated.Microphone, simulated.Speaker]


def at_once(_: Patient, work: Callable[[], None], __: float) -> bool:
    """Bound a check by nothing: simulated time stands still while it computes."""
    work()
    return True


def examined(
    directory: Path,
    arrange: Callable[[simulated.Microphone, simulated.Speaker], object],
    *,
    toml: str = "",
    with_echo: bool = True,
    before_trial: Callable[[], object] = lambda: None,
) -> tuple[list[Finding], Patient]:
    """Return what is found on simulated cards as `arrange` leaves them."""
    room = directory / "room.wav"
    with wave.open(str(room), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
    names = f"simulated:{room}", f"simulated:{directory}/speaker.wav"

    async def live(loop: JumpLoop) -> tuple[list[Finding], Patient]:
        given = config.parse(toml)
        settings = replace(
            given,
            audio=replace(given.audio, capture=names[0], playback=names[1]),
            wake=replace(given.wake, engine="none"),
            panel=replace(given.panel, driver="none"),
            control=replace(given.control, socket=str(directory / "nobody.sock")),
        )
        arrange(simulated.microphone(names[0]), simulated.speaker(names[1]))

        def wait(trial: EchoTrial) -> None:
            while trial.is_running:
                loop.clock.wait(threading.Event(), 0.1)

        nothing = Machine(
            directory / "root", lambda *_: Outcome(127), environ={"ASSEMBLYAI_API_KEY": "of-no-value"}
        )
        patient = Patient("pivoice.toml", settings, loop.clock, nothing, await_trial=wait)
        patient.say = lambda _: (before_trial(), None)[1]
        findings: list[Finding] = []
        done = asyncio.Event()

        def look() -> None:
            findings.extend(examine(patient, with_echo=with_echo, offline=True, within=at_once))
            loop.call_soon_threadsafe(done.set)

        loop.clock.start_thread(look, name="doctor")
        await asyncio.wait_for(done.wait(), 30)
        for device in (simulated.microphone(names[0]), simulated.speaker(names[1])):
            assert device.in_use is None
        return findings, patient

    try:
        return run_jumping(live)
    finally:
        for name in names:
            simulated.forget(name)


def by_check(findings: Sequence[Finding]) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings}


@pytest.mark.parametrize("ppm", [0.0, 100.0, -100.0])
def test_the_echo_of_a_room_is_measured_as_the_daemon_would_hear_it(tmp_path: Path, ppm: float):
    def arrange(microphone: simulated.Microphone, speaker: simulated.Speaker) -> None:
        speaker.ppm = ppm
        LiveRoom(Room(0, delay_ms=80), microphone, speaker)

    findings, patient = examined(tmp_path, arrange)

    figures = patient.figures
    assert figures is not None and figures.echo_dbfs is not None and figures.return_loss_db is not None
    assert figures.echo_dbfs == pytest.approx(-22, abs=1)
    assert figures.delay_ms == pytest.approx(86, abs=3)  # the reference is laid 6 ms early
    assert figures.return_loss_db >= 30
    assert figures.breaks == 0
    assert is_well(findings) and by_check(findings)["advice"].text == "webrtc is right here"


def test_a_speaker_that_distorts_into_a_microphone_that_clips_is_to_be_turned_down(tmp_path: Path):
    findings, _ = examined(
        tmp_path,
        lambda microphone, speaker: LiveRoom(Room(1, "strong"), microphone, speaker),
        toml="[audio]\ngain_db = 12.0",
    )

    found = by_check(findings)
    assert {found[check].verdict for check in ("echo", "clipping", "distortion", "advice")} == {"warn"}
    assert "volume down" in found["advice"].next
    assert "audio.gain_db" in found["clipping"].next


def test_a_microphone_that_hears_the_room_but_no_speaker_is_told(tmp_path: Path):
    def arrange(microphone: simulated.Microphone, _: simulated.Speaker) -> None:
        noise = Room().noise(20 * RATE_HZ) * 32768
        microphone.listen_to(lambda start, stop: np.rint(noise[start:stop]).astype(np.int16))

    findings, patient = examined(tmp_path, arrange)

    found = by_check(findings)
    assert found["echo"].verdict == "warn" and "nothing of the speaker" in found["echo"].text
    assert report(patient, findings)["advice"] == "none"


def test_a_microphone_that_gives_nothing_is_told(tmp_path: Path):
    findings, _ = examined(tmp_path, lambda *_: None)

    found = by_check(findings)
    assert found["microphone"].verdict == "fail" and "nothing at all" in found["microphone"].text
    assert found["echo"].text == "not looked at: microphone failed"


def test_a_card_that_runs_dry_spoils_the_trial(tmp_path: Path):
    rooms: list[simulated.Speaker] = []

    def arrange(microphone: simulated.Microphone, speaker: simulated.Speaker) -> None:
        LiveRoom(Room(), microphone, speaker)
        rooms.append(speaker)

    findings, _ = examined(tmp_path, arrange, before_trial=lambda: rooms[0].request_xrun())

    assert by_check(findings)["sound"].verdict == "fail" and not is_well(findings)


def test_a_card_pulled_out_meanwhile_is_told_and_both_are_closed(tmp_path: Path):
    def arrange(microphone: simulated.Microphone, speaker: simulated.Speaker) -> None:
        def hear(start: int, stop: int) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
            if start > 4 * RATE_HZ:
                speaker.unplug()
            return np.arange(start, stop).astype(np.int16) % 64

        microphone.listen_to(hear)

    findings, _ = examined(tmp_path, arrange)

    told = by_check(findings)["sound"]
    assert told.verdict == "fail" and "No such device" in told.text


def test_without_the_canceller_half_duplex_is_advised_and_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(stage, "missing", lambda mode: "No module named 'pywebrtc_audio'")

    findings, patient = examined(tmp_path, lambda *cards: LiveRoom(Room(), *cards))

    found = by_check(findings)
    assert found["echo mode"].verdict == "warn" and "pip install" in found["echo mode"].text
    assert report(patient, findings)["advice"] == "half_duplex" and is_well(findings)


def test_without_the_option_nothing_is_played(tmp_path: Path):
    findings, patient = examined(tmp_path, lambda *cards: LiveRoom(Room(), *cards), with_echo=False)

    assert {"configuration", "echo mode", "microphone", "speaker"} <= set(by_check(findings))
    assert is_well(findings) and patient.figures is None
    with wave.open(str(tmp_path / "speaker.wav")) as played:
        assert not any(played.readframes(played.getnframes()))


def test_both_cards_are_looked_at_and_nothing_is_played_where_one_is_missing(tmp_path: Path):
    def arrange(microphone: simulated.Microphone, speaker: simulated.Speaker) -> None:
        microphone.unplug()

    findings, patient = examined(tmp_path, arrange)

    found = by_check(findings)
    assert found["microphone"].verdict == "fail" and found["microphone"].next
    assert found["speaker"].verdict == "ok"
    assert patient.figures is None and found["echo"].text == "not looked at: microphone failed"


def test_a_speaker_that_may_make_no_sound_is_not_tried(tmp_path: Path):
    findings, _ = examined(tmp_path, lambda *cards: LiveRoom(Room(), *cards), toml="[audio]\nmax_volume = 0")

    found = by_check(findings)
    assert found["echo"].verdict == "fail" and "audio.max_volume" in found["echo"].text
    assert found["speaker"].verdict == "warn" and "audio.max_volume" in found["speaker"].text


@pytest.mark.parametrize("with_echo", [True, False])
def test_the_cards_of_a_running_daemon_are_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_echo: bool
):
    status = {"state": "idle", "hears": True}
    level = {"rms_db": -60.0, "peak_db": -50.0, "clipped": 0}
    monkeypatch.setattr(live.caller, "request", lambda *_, **__: status)
    monkeypatch.setattr(sound.live, "levels", lambda *_: [level])

    findings, _ = examined(tmp_path, lambda *cards: cards[0].unplug(), with_echo=with_echo)

    found = by_check(findings)
    assert "heard by the running pivoice" in found["microphone"].text
    assert is_well(findings) != with_echo
    if with_echo:
        assert "systemctl stop pivoice" in found["echo"].next


# --- as a process ---


def run_doctor(
    directory: Path, *options: str, toml: str = "", more: str = "", bed: Bed | None = None
) -> subprocess.Popen[str]:
    path = directory / "pivoice.toml"
    cards = '[audio]\ncapture = "bed_mic"\nplayback = "bed_speaker"\n'
    path.write_text(toml or f'{cards}[control]\nsocket = "{directory}/s"\n{more}')
    return subprocess.Popen(
        [sys.executable, "-m", "pivoice", "doctor", "--config", str(path), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "ASSEMBLYAI_API_KEY": KEY, **(bed.env if bed else {})},
    )


def test_all_faults_of_a_configuration_are_findings_and_the_rest_is_looked_at(tmp_path: Path):
    process = run_doctor(tmp_path, "--offline", toml="[audio]\nperiod_ms = 1\nloud = true")

    out, err = process.communicate(timeout=30)
    assert process.returncode == 1 and not err
    for fault in ("audio.period_ms: 1 is not allowed", "audio.loud: no such setting"):
        assert f"fail  configuration {fault}" in out
    assert "microphone    not looked at: audio.period_ms is at fault" in out and "ok    wake words" in out


def test_a_busy_card_is_told_with_what_to_stop_and_exit_code_1(tmp_path: Path):
    with Bed() as bed:
        bed.make_busy("mic")
        process = run_doctor(tmp_path, "--echo", "--offline", bed=bed)
        out, _ = process.communicate(timeout=30)

    assert process.returncode == 1
    assert "fail  microphone" in out and "sudo systemctl stop pivoice" in out


def measured_on(bed: Bed, directory: Path, *, delay_s: float) -> tuple[dict[str, Any], int]:
    """Return what the doctor tells, and its exit code, where the microphone hears a fifth of the speaker."""
    process = run_doctor(directory, "--echo", "--json", "--offline", bed=bed)
    copied, noise = bed.frame_at("speaker", bed.now_s()), np.random.default_rng(1)
    while process.poll() is None:
        now = max(copied, bed.frame_at("speaker", bed.now_s() - 0.002))
        start_s, end_s = bed.time_of("speaker", copied), bed.time_of("speaker", now)
        heard = 0.2 * bed.heard(start_s, end_s) + noise.normal(0, 10, now - copied)
        bed.say(np.rint(heard).astype(np.int16), start_s + delay_s)
        copied = now
        threading.Event().wait(0.02)
    out, err = process.communicate()
    assert not err
    return json.loads(out), process.returncode


@pytest.mark.timeout(120)
def test_an_echo_over_real_pcms_is_measured_and_told_as_json(tmp_path: Path):
    with Bed() as bed:
        for _ in range(5):  # the card holds 40 ms: a busy machine may keep the doctor from it for longer
            told, code = measured_on(bed, tmp_path, delay_s=0.2)
            if not told["echo"]["breaks"]:
                break

    assert code == 0 and told["ok"] and told["advice"] == "webrtc", told
    assert told["echo"]["delay_ms"] == pytest.approx(200, abs=15)
    assert told["echo"]["return_loss_db"] > 25
    assert {"check": "clipping", "verdict": "ok", "text": "none", "next": ""} in told["findings"]


def test_a_device_that_works_is_well_over_real_pcms_and_nothing_is_heard(tmp_path: Path, bed: Bed):
    bed.say(np.rint(np.random.default_rng(2).normal(0, 30, 8 * 48000)).astype(np.int16))

    process = run_doctor(tmp_path, "--json", "--offline", bed=bed)
    out, err = process.communicate(timeout=30)

    told = json.loads(out)
    found = {each["check"]: each for each in told["findings"]}
    assert process.returncode == 0 and told["ok"] and not err, told
    assert (
        "-61 dBFS of noise" in found["microphone"]["text"] and "its clock moves" in found["speaker"]["text"]
    )
    assert found["key"]["text"] == "from $ASSEMBLYAI_API_KEY" and KEY not in out
    assert not bed.heard(bed.epoch_s).any()
