"""`pivoice tune` with an owner who answers, in simulated time."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from pivoice import config
from pivoice.audio import simulated
from pivoice.errors import DeviceError
from pivoice.simulation import JumpClock, JumpLoop, run_jumping
from pivoice.thresholds import Proposal
from pivoice.tune import Terminal, Tuning, conclude
from tests.support.tuning import LoudnessDetector, Samples, quiet_room, save, word


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
