"""`pivoice tune` by recordings, and as a process."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pivoice import config
from pivoice.errors import PivoiceError
from pivoice.tune import models_to_tune
from pivoice.tune_ear import TuneEar, hear_file
from pivoice.wake.simulated import SimulatedDetector
from tests.support.speech import speech_directory
from tests.support.tuning import LoudnessDetector, noise, save, word


@pytest.mark.parametrize(("rate_hz", "channels"), [(16_000, 1), (44_100, 2), (48_000, 1), (8_000, 2)])
def test_a_recording_of_any_rate_is_heard_by_the_channel_of_the_settings(
    tmp_path: Path, rate_hz: int, channels: int
):
    time_s = np.arange(2 * rate_hz) / rate_hz
    tone = 20_000 * np.sin(2 * np.pi * 440 * time_s) * (np.abs(time_s - 1) < 0.3)
    frames = np.zeros((len(tone), channels))
    frames[:, -1] = tone
    path = save(tmp_path / "a.wav", frames.astype(np.int16), rate_hz, channels)
    audio = replace(config.Config().audio, channel=channels - 1)

    blocks = hear_file(path, audio, LoudnessDetector())

    assert max(block.scores.get("hey_jarvis", 0.0) for block in blocks) == pytest.approx(0.61, abs=0.02)
    assert blocks[-1].end_s == pytest.approx(3.5, abs=0.09)


def test_what_the_gate_lets_through_is_what_an_engine_without_a_gate_would_hear(tmp_path: Path):
    sound = np.concatenate([noise(12), word(0.5), noise(7), word(0.7)])
    path = save(tmp_path / "a.wav", sound)
    gated, ungated = LoudnessDetector(), LoudnessDetector(memory_blocks=None)

    blocks = hear_file(path, config.Config().audio, gated)
    hear_file(path, config.Config().audio, ungated)

    assert any(not block.is_open for block in blocks)
    assert {block.is_open for block in blocks if block.scores} == {True}
    last = [block.tobytes() for block in gated.heard[-38:]]
    assert last == [block.tobytes() for block in ungated.heard[-38:]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no file"),
        (b"", "is empty"),
        (b"ID3 music", "is no WAV file, but MP3"),
    ],
)
def test_a_file_that_is_no_recording_is_named(tmp_path: Path, content: bytes | None, said: str):
    path = tmp_path / "a.wav"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(PivoiceError) as caught:
        hear_file(path, config.Config().audio, LoudnessDetector())

    assert said in str(caught.value) and "a.wav" in str(caught.value)


def test_an_empty_recording_is_named(tmp_path: Path):
    path = save(tmp_path / "a.wav", np.zeros(0, np.int16))

    with pytest.raises(PivoiceError, match="no sound"):
        hear_file(path, config.Config().audio, LoudnessDetector())


@pytest.mark.parametrize(
    ("toml", "model", "by_files", "outcome"),
    [
        ("", None, True, ("hey_jarvis",)),
        ("models = ['alexa', 'hey_jarvis']", None, False, ("alexa", "hey_jarvis")),
        ("models = ['alexa', 'hey_jarvis']", "alexa", True, ("alexa",)),
        ("models = ['alexa', 'hey_jarvis']", None, True, "--model"),
        ("", "alexa", False, "there are hey_jarvis"),
        ("engine = 'none'", None, False, "no wake word to tune"),
    ],
)
def test_which_wake_words_are_tuned(
    toml: str, model: str | None, by_files: bool, outcome: tuple[str, ...] | str
):
    settings = config.parse(f"[wake]\n{toml}\n")

    if isinstance(outcome, tuple):
        assert models_to_tune(settings, model, by_files=by_files) == outcome
    else:
        with pytest.raises(PivoiceError, match=outcome):
            models_to_tune(settings, model, by_files=by_files)


# --- as a process ---


def tune(*arguments: object, toml: str = "", directory: Path) -> subprocess.CompletedProcess[str]:
    file = directory / "pivoice.toml"
    file.write_text(toml)
    return subprocess.run(
        [sys.executable, "-m", "pivoice", "tune", "--config", file, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=50,
    )


def test_recordings_are_heard_by_the_real_engine_and_the_proposal_is_written(tmp_path: Path):
    """Seconds of computing: 2."""
    spoken = speech_directory() / "user_wake.wav"
    other = speech_directory() / "user_weather.wav"

    done = tune(
        *("--positives", spoken, spoken, "--negatives", other, "--write"),
        toml="[wake]\nthreshold = 0.95 # mine\n",
        directory=tmp_path,
    )

    assert done.returncode == 0, done.stderr
    assert "hey_jarvis: 2 of 2 heard" in done.stdout and f"{other}: 0 false wakes at 0.95" in done.stdout
    assert 0.3 <= config.load(str(tmp_path / "pivoice.toml")).wake.threshold_of("hey_jarvis") <= 0.8
    assert "threshold = 0.95 # mine\n" in (tmp_path / "pivoice.toml").read_text()


def test_recordings_without_the_word_give_no_proposal(tmp_path: Path):
    """Seconds of computing: 2."""
    done = tune("--positives", speech_directory() / "user_weather.wav", "--write", directory=tmp_path)

    assert done.returncode == 1
    assert "nothing to propose" in done.stdout and (tmp_path / "pivoice.toml").read_text() == ""


@pytest.mark.parametrize(
    ("arguments", "toml", "code", "said"),
    [
        ((), "[wake]\nengine = 'none'", 1, 'wake.engine is "none"'),
        (("--negatives", "a.wav"), "", 1, "add --positives"),
        (("--positives", "nowhere.wav"), "", 1, "there is no file nowhere.wav"),
        (("--times", "0"), "", 2, "from 1 to 100"),
        ((), "[wake]\nmodels = ['computer']", 78, "no wake word 'computer'"),
        ((), "[audio]\ncapture = 'simulated:/nowhere.wav'", 1, "there is no file /nowhere.wav"),
    ],
)
def test_what_cannot_be_tuned_is_told(
    tmp_path: Path, arguments: tuple[str, ...], toml: str, code: int, said: str
):
    """Seconds of computing: 1 each."""
    done = tune(*arguments, toml=toml, directory=tmp_path)

    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def interruptible() -> Iterator[None]:
    """What is started can be interrupted, also when the tests run in the background: a shell has such jobs
    ignore SIGINT, and so would all that they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_interrupted_on_a_terminal_nothing_is_written(tmp_path: Path):
    """Seconds of computing: 1."""
    room = save(tmp_path / "room.wav", noise(0.1))
    file = tmp_path / "pivoice.toml"
    file.write_text(f'[audio]\ncapture = "simulated:{room}"\n')
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "pivoice", "tune", "--config", file, "--write"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        told = b""
        try:
            while b"gate" not in told:
                told += os.read(ours, 4096)
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130
        finally:
            process.kill()
    os.close(ours)
    assert b"\r" in told and b"1 of 10" in told
    assert file.read_text() == f'[audio]\ncapture = "simulated:{room}"\n'


def test_after_minutes_of_quiet_no_more_is_replayed_than_the_engine_remembers():
    detector = SimulatedDetector(memory_blocks=26)
    ear = TuneEar(detector, 16_000)

    blocks = list(ear.hear(np.concatenate([noise(120), noise(0.16, 1000)])))

    assert blocks[-1].scores and not blocks[-3].scores
    assert detector.replayed == 26 * 1280
