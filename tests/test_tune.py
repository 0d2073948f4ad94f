"""`pivoice tune`: in simulated time with an owner who answers, by files, and as a process."""

from __future__ import annotations

import asyncio
import io
import os
import pty
import signal
import subprocess
import sys
import threading
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pivoice import config
from pivoice.audio import simulated
from pivoice.errors import DeviceError, PivoiceError
from pivoice.simulation import JumpClock, JumpLoop, run_jumping
from pivoice.thresholds import Proposal
from pivoice.tune import Terminal, Tuning, conclude, models_to_tune
from pivoice.tune_ear import hear_file
from tests.support.speech import speech_directory

RATE_HZ = 16_000
Samples = NDArray[np.int16]


@dataclass
class LoudnessDetector:
    """Scores a block by its loudest sample, of full scale: a test says what is heard by how loud it is."""

    models: tuple[str, ...] = ("hey_jarvis",)
    block_frames: int = 1280
    memory_blocks: int | None = 26
    heard: list[Samples] = field(default_factory=list)
    """Every block, scored or replayed."""

    def score(self, block: Samples) -> dict[str, float]:
        self.heard.append(block)
        return dict.fromkeys(self.models, float(np.abs(block.astype(np.int32)).max()) / 32768)

    def replay(self, sound: Samples) -> None:
        self.heard.extend(sound.reshape(-1, self.block_frames))

    def reset(self) -> None:
        self.heard.clear()

    def twin(self) -> LoudnessDetector:
        return LoudnessDetector(self.models)


def noise(seconds: float, peak: int = 20, rate_hz: int = RATE_HZ) -> Samples:
    return np.random.default_rng(5).integers(-peak, peak + 1, round(seconds * rate_hz)).astype(np.int16)


def word(score: float) -> Samples:
    """Return what scores so: 0.6 s, as noisy as speech."""
    loud = noise(0.6, 1000).astype(np.float32)
    return np.rint(loud / np.abs(loud).max() * score * 32768).astype(np.int16)


ROOM = noise(1)


def quiet_room(start: int, stop: int) -> Samples:
    return ROOM[: stop - start]


def save(path: Path, samples: Samples, rate_hz: int = RATE_HZ, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, rate_hz, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())
    return path


class Owner(io.StringIO):
    """Reads what the terminal says, and answers into the microphone a second later."""

    def __init__(self, answers: Sequence[Samples | None], meanwhile: Samples | None) -> None:
        super().__init__()
        self._answers = list(answers)
        self._meanwhile = meanwhile
        self.clock: JumpClock
        self.microphone: simulated.Microphone

    def write(self, text: str) -> int:
        sound = None
        if "please say" in text and self._answers:
            sound = self._answers.pop(0)
        elif text.startswith("Now "):
            sound = self._meanwhile
        if sound is not None:
            self.microphone.say(sound, at_s=self.clock.now_s + 1.0)
        return super().write(text)


@dataclass
class Sitting:
    proposals: list[Proposal]
    tuning: Tuning
    told: str
    lasted_s: float


def sat(
    directory: Path,
    answers: Sequence[Samples | None],
    *,
    meanwhile: Samples | None = None,
    toml: str = "",
    room: Callable[[int, int], Samples] = quiet_room,
    noise_s: float = 3.0,
    detector: LoudnessDetector | None = None,
) -> Sitting:
    """Return what came of a sitting in simulated time."""
    name = f"simulated:{save(directory / 'room.wav', np.zeros(0, np.int16))}"
    owner = Owner(answers, meanwhile)

    async def live(loop: JumpLoop) -> Sitting:
        given = config.parse(toml)
        settings = replace(given, audio=replace(given.audio, capture=name, period_ms=100))
        owner.clock, owner.microphone = loop.clock, simulated.microphone(name)
        owner.microphone.listen_to(room)
        ear = detector or LoudnessDetector(settings.wake.called)
        terminal = Terminal(out=owner, is_tty=False)
        tuning = Tuning(
            settings, ear, loop.clock, terminal, settings.wake.called, times=len(answers), noise_s=noise_s
        )
        results: list[list[Proposal] | Exception] = []
        done = asyncio.Event()

        def sit() -> None:
            try:
                results.append(tuning.live())
            except Exception as error:
                results.append(error)
            loop.call_soon_threadsafe(done.set)

        loop.clock.start_thread(sit, name="tune")
        await asyncio.wait_for(done.wait(), 600)
        assert owner.microphone.in_use is None
        if isinstance(results[0], Exception):
            raise results[0]
        return Sitting(results[0], tuning, owner.getvalue(), loop.time())

    try:
        return run_jumping(live)
    finally:
        simulated.forget(name)


def concluded(sitting: Sitting, path: Path, *, write: bool = False) -> tuple[bool, list[str]]:
    out = io.StringIO()
    sitting.tuning.terminal = Terminal(out=out, is_tty=False)
    is_well = conclude(sitting.tuning, sitting.proposals, str(path), write=write)
    return is_well, out.getvalue().splitlines()


def test_ten_words_and_a_minute_make_a_proposal_with_what_it_would_have_missed(tmp_path: Path):
    scores = [0.9, 0.8, 0.7, 0.62, 0.95, 0.9, 0.8, 0.7, 0.9, 0.9]

    sitting = sat(tmp_path, [word(score) for score in scores], meanwhile=word(0.42), noise_s=60)

    (proposal,) = sitting.proposals
    assert proposal.words == 10 and proposal.threshold == 0.55
    assert proposal.peaks == pytest.approx(scores, abs=0.01)
    assert proposal.noise_peak == pytest.approx(0.42, abs=0.01)
    rows = {row.threshold: (row.missed, row.false_wakes) for row in proposal.rows}
    assert (rows[0.4], rows[0.5], rows[0.65]) == ((0, 1), (0, 0), (1, 0))
    assert "3 of 10: please say" in sitting.told and "  heard: 0.70" in sitting.told
    assert sitting.lasted_s < 120


def test_the_table_marks_what_is_proposed_and_what_is_in_force(tmp_path: Path):
    sitting = sat(tmp_path, [word(0.57)] * 5)

    is_well, lines = concluded(sitting, tmp_path / "pivoice.toml")

    assert is_well
    assert [line.split()[-1] for line in lines if line.startswith("  ->")] == ["proposed"]
    assert any(line.split() == ["0.50", "0", "0", "in", "force"] for line in lines)
    assert any("missed of 5   false wakes in 3 s" in line for line in lines)
    assert not (tmp_path / "pivoice.toml").exists()
    assert any(
        line.startswith("not written") and "thresholds = { hey_jarvis = 0.45 }" in line for line in lines
    )


def test_what_is_proposed_is_written_when_told_to_and_then_in_force(tmp_path: Path):
    file = tmp_path / "pivoice.toml"
    file.write_text("# mine\n")
    sitting = sat(tmp_path, [word(0.57)] * 5)

    concluded(sitting, file, write=True)

    assert file.read_text().startswith("# mine\n")
    assert config.load(str(file)).wake.thresholds == {"hey_jarvis": 0.45}


def test_what_is_in_force_already_is_not_written_again(tmp_path: Path):
    sitting = sat(tmp_path, [word(0.57)] * 5, toml="[wake]\nthreshold = 0.45")

    is_well, lines = concluded(sitting, tmp_path / "pivoice.toml", write=True)

    assert is_well and lines[-1] == "what is proposed is in force already"
    assert not (tmp_path / "pivoice.toml").exists()


def test_speech_that_does_not_score_is_a_miss_and_the_owner_is_told(tmp_path: Path):
    sitting = sat(tmp_path, [word(0.9), word(0.05), word(0.9)])

    assert sitting.proposals[0].words == 3 and sitting.proposals[0].rows[0].missed == 1
    assert "not heard (0.05): it counts as missed" in sitting.told
    assert sitting.lasted_s < 25


def test_silence_is_no_miss_but_asked_for_again(tmp_path: Path):
    sitting = sat(tmp_path, [None, word(0.9), word(0.8), word(0.9)])

    assert sitting.proposals[0].words == 3 and sitting.proposals[0].rows[0].missed == 0
    assert sitting.told.count("1 of 4: please say") == 2
    assert "nothing was heard for 10 s" in sitting.told


def test_an_owner_who_is_gone_is_not_asked_for_ever(tmp_path: Path):
    sitting = sat(tmp_path, [None] * 10)

    assert sitting.proposals[0].threshold is None
    assert sitting.told.count("please say") == 3 and "Now" not in sitting.told


def test_a_word_counts_once_however_long_it_scores(tmp_path: Path):
    sitting = sat(tmp_path, [np.tile(word(0.9), 4), word(0.8)])

    assert sitting.proposals[0].peaks == pytest.approx([0.9, 0.8], abs=0.01)


def test_noise_that_scores_without_end_does_not_hold_up_the_owner(tmp_path: Path):
    sitting = sat(tmp_path, [np.tile(word(0.9), 20)])

    assert sitting.lasted_s < 12


def test_each_of_two_wake_words_is_asked_for_and_has_its_own_threshold(tmp_path: Path):
    sitting = sat(
        tmp_path,
        [word(0.9)] * 2 + [word(0.6)] * 2,
        toml='[wake]\nmodels = ["hey_jarvis", "alexa"]\nthresholds = { alexa = 0.3 }',
    )

    assert [each.model for each in sitting.proposals] == ["hey_jarvis", "alexa"]
    assert sitting.proposals[1].in_force.threshold == 0.3
    assert 'please say "hey jarvis"' in sitting.told and 'please say "alexa"' in sitting.told


def test_where_no_line_can_be_overwritten_one_is_printed_each_second(tmp_path: Path):
    sitting = sat(tmp_path, [word(0.9)])

    lines = [line for line in sitting.told.splitlines() if "gate" in line]
    assert len(lines) == pytest.approx(sitting.lasted_s, abs=2)
    assert any("gate closed" in line for line in lines) and any("gate open" in line for line in lines)
    assert "hey_jarvis 0." in lines[0] and "dBFS (room" in lines[0]


def test_on_a_terminal_the_line_is_overwritten():
    out = io.StringIO()
    terminal = Terminal(out=out, is_tty=True)

    terminal.show("0.1", 0.0)
    terminal.show("0.2", 0.1)
    terminal.say("heard")

    assert out.getvalue() == "\r0.1\x1b[K\r0.2\x1b[K\r\x1b[Kheard\n"


@pytest.mark.parametrize(
    ("answer", "room", "likely"),
    [
        (None, lambda start, stop: np.zeros(stop - start, np.int16), "nothing but zeros"),
        (np.full(9600, 32767, np.int16), None, "overdriven"),
        (None, None, "Nothing stood out"),
        (word(0.015), None, "raise the capture level"),
        (word(0.09), None, 'it answers to "hey jarvis"'),
    ],
)
def test_where_the_word_was_never_heard_what_is_likely_wrong_is_told(
    tmp_path: Path, answer: Samples | None, room: Callable[[int, int], Samples] | None, likely: str
):
    deaf = LoudnessDetector()
    deaf.score = lambda block: {"hey_jarvis": 0.01}  # type: ignore[method-assign]
    rooms = {"room": room} if room else {}
    sitting = sat(tmp_path, [answer] * 3, detector=deaf, **rooms)

    is_well, lines = concluded(sitting, tmp_path / "pivoice.toml", write=True)

    assert not is_well and likely in "\n".join(lines)
    assert not (tmp_path / "pivoice.toml").exists()


def test_a_busy_microphone_names_the_service_to_stop(tmp_path: Path):
    with pytest.raises(DeviceError, match="sudo systemctl stop pivoice"):
        name = f"simulated:{tmp_path}/room.wav"
        save(tmp_path / "room.wav", np.zeros(0, np.int16))
        microphone = simulated.microphone(name)
        audio = replace(config.Config().audio, capture=name)
        simulated.SimulatedCapture(name, audio, JumpClock())
        try:
            Tuning(
                replace(config.Config(), audio=audio),
                LoudnessDetector(),
                JumpClock(),
                Terminal(out=io.StringIO(), is_tty=False),
                ("hey_jarvis",),
            ).live()
        finally:
            assert microphone.opened == 1
            simulated.forget(name)


# --- by files ---


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
        (b"", "is not a PCM WAV file"),
        (b"ID3 music", "is not a PCM WAV file"),
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
        while b"gate" not in told:
            told += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
    os.close(ours)
    assert b"\r" in told and b"1 of 10" in told
    assert file.read_text() == f'[audio]\ncapture = "simulated:{room}"\n'


def test_the_terminal_is_asked_before_anything_is_written(monkeypatch: pytest.MonkeyPatch):
    answers = iter(["y", "", "no", "YES"])
    monkeypatch.setattr("builtins.input", lambda _: next(answers))
    terminal = Terminal(out=io.StringIO(), is_tty=True)

    assert [terminal.ask("Write?") for _ in range(4)] == [True, False, False, True]
    assert not Terminal(out=io.StringIO(), is_tty=False).ask("Write?")


def test_threads_are_none_of_its_own(tmp_path: Path):
    before = threading.active_count()

    sat(tmp_path, [word(0.9)])

    assert threading.active_count() == before
