"""Ears in a quiet room: they doze, and nobody can tell from what they hear."""

from __future__ import annotations

import asyncio
import threading
import zlib
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pivoice.audio.buffers import EAR_HZ
from pivoice.audio.capture import DOZE_S, Ears
from pivoice.audio.echo import WebrtcStage
from pivoice.audio.gate import HalfDuplexGate
from pivoice.audio.pcm import Samples
from pivoice.audio.reference import Reference
from pivoice.audio.resample import resampled
from pivoice.audio.stage import Heard
from pivoice.simulation import JumpClock, JumpLoop
from pivoice.turn.events import CaptureLost, Valve, WakeHeard
from pivoice.wake.gate import EnergyGate
from tests.audio.house import PERIOD_S, House

BLOCK = 1280


class RememberingDetector:
    """Scores by every sample of the last `memory_blocks` blocks: one that differs, and so does the score."""

    block_frames = BLOCK
    memory_blocks: int | None = 26
    models = ("hey_memory",)

    def __init__(self) -> None:
        self.reset()

    def score(self, block: Samples) -> dict[str, float]:
        self.replay(block)
        return {"hey_memory": 0.1 + 0.3 * zlib.crc32(b"".join(self._heard)) / 2**32}

    def replay(self, sound: Samples) -> None:
        assert len(sound) % BLOCK == 0
        self._heard.extend(block.tobytes() for block in sound.reshape(-1, BLOCK))

    def reset(self) -> None:
        self._heard: deque[bytes] = deque(maxlen=26)


def quiet_room(seconds: float, rate_hz: int, *, loud_s: tuple[float, ...] = ()) -> Samples:
    """Return soft noise, with half a second of loud noise at each of `loud_s`."""
    generator = np.random.default_rng(5)
    sound = generator.normal(0, 40, round(seconds * rate_hz))
    for at_s in loud_s:
        sound[round(at_s * rate_hz) : round((at_s + 0.5) * rate_hz)] *= 50
    return sound.clip(-32768, 32767).astype(np.int16)


def stage_at_rest() -> WebrtcStage:
    return WebrtcStage(Reference(), HalfDuplexGate())


class PlayingStage(WebrtcStage):
    """The speaker plays for as long as a test wants it to."""

    is_playing, processed = True, 0

    @property
    def is_idle(self) -> bool:
        return not self.is_playing

    def process(self, near: Samples, *, start_s: float) -> Heard:
        self.processed += 1
        return super().process(near, start_s=start_s)


def test_they_do_not_doze_while_the_speaker_plays(tmp_path: Path) -> None:
    stage = PlayingStage(Reference(), HalfDuplexGate())
    house = House(tmp_path, seconds=9, detector=None, echo=stage)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        await asyncio.sleep(2.0)
        assert stage.processed == pytest.approx(2 / PERIOD_S, abs=2)
        stage.is_playing = False
        await asyncio.sleep(1.0)
        assert stage.processed == pytest.approx(2 / PERIOD_S, abs=2)

    house.run(script)


LOUD_S = (3.11, 9.87, 12.0, 19.03, 19.9, 21.0, 33.333)


def scores(tmp_path: Path, rate_hz: int, *, gated: bool, with_stage: bool) -> dict[object, object]:
    """Return every score that came of 36 s with some noises in them, by position."""
    house = House(
        tmp_path,
        rate_hz=rate_hz,
        room=quiet_room(36, rate_hz, loud_s=LOUD_S),
        detector=RememberingDetector(),
        open_gate=EnergyGate if gated else None,
        echo=stage_at_rest() if with_stage else None,
    )

    async def script(loop: JumpLoop, ears: Ears) -> None:
        ears.watching = True
        await asyncio.sleep(36)

    house.run(script)
    return {told["position"]: told["score"] for told in house.diary.told("score")}


@pytest.mark.parametrize("with_stage", [False, True])
@pytest.mark.parametrize("rate_hz", [16000, 48000])
def test_every_score_behind_an_open_gate_is_that_of_a_detector_which_heard_all(
    tmp_path: Path, rate_hz: int, with_stage: bool
) -> None:
    ungated = scores(tmp_path, rate_hz, gated=False, with_stage=with_stage)

    gated = scores(tmp_path, rate_hz, gated=True, with_stage=with_stage)

    assert gated.items() <= ungated.items()
    assert 0.25 * len(ungated) < len(gated) < 0.5 * len(ungated)
    loud = {at for at in ungated for at_s in LOUD_S if at_s <= at / EAR_HZ - 0.08 <= at_s + 0.6}
    assert loud <= gated.keys()


class CountingWaits:
    """Counts how often the capture thread was woken."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        wait = JumpClock.wait

        def counted(clock: JumpClock, event: threading.Event, timeout_s: float | None = None) -> bool:
            self.count += threading.current_thread().name == "capture"
            return wait(clock, event, timeout_s)

        monkeypatch.setattr(JumpClock, "wait", counted)


@pytest.mark.parametrize("with_detector", [True, False])
def test_in_a_quiet_room_the_thread_wakes_once_in_eighty_ms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_detector: bool
) -> None:
    detector = RememberingDetector() if with_detector else None
    house = House(tmp_path, room=quiet_room(13, 48000), detector=detector, open_gate=EnergyGate)
    waits = CountingWaits(monkeypatch)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        await asyncio.sleep(1.0)
        ears.set_valve(Valve.LIVE)
        ears.set_valve(Valve.CLOSED)  # a knock at the door is over once it was answered
        await asyncio.sleep(1.0)
        waits.count, beats = 0, ears.beats
        await asyncio.sleep(10.0)
        assert ears.beats - beats == pytest.approx(10 / PERIOD_S, abs=4)

    house.run(script)

    # once in four seconds one more, to see whether the card keeps time
    assert 10 / DOZE_S - 3 <= waits.count <= 10 / DOZE_S + 4


@pytest.mark.parametrize("ppm", [0.0, 300.0, -300.0])
def test_ears_that_dozed_for_long_are_not_behind_the_card(tmp_path: Path, ppm: float) -> None:
    silence = np.zeros(16000, np.int16)  # nothing ever wakes them
    house = House(tmp_path, rate_hz=16000, room=silence, detector=RememberingDetector(), open_gate=EnergyGate)
    house.mic.ppm = ppm

    async def script(loop: JumpLoop, ears: Ears) -> None:
        behind_s = []
        for at_s in np.arange(300, 301, 0.037):
            await asyncio.sleep(at_s - loop.time())
            behind_s.append((house.mic.frame_at(at_s) - ears.position) / EAR_HZ)
        assert max(behind_s) <= DOZE_S + PERIOD_S + 0.003
        assert ears.xruns == 0

    house.run(script)


def test_what_is_laid_by_is_never_resampled_while_nobody_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pivoice.audio import intake

    converted: list[int] = []
    process = intake.Resampler.process

    def counted(resampler: intake.Resampler, samples: Samples) -> Samples:
        converted.append(len(samples))
        return process(resampler, samples)

    monkeypatch.setattr(intake.Resampler, "process", counted)
    house = House(tmp_path, room=quiet_room(30, 48000), detector=RememberingDetector(), open_gate=EnergyGate)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        await asyncio.sleep(2.0)
        converted.clear()
        await asyncio.sleep(25.0)

    house.run(script)

    assert not converted


@pytest.mark.parametrize("rate_hz", [16000, 44100, 48000])
@pytest.mark.parametrize("pressed_s", [4.0, 4.013, 4.055])
def test_a_button_pressed_while_they_doze_sends_all_from_then_on_and_at_most_a_period_from_before(
    tmp_path: Path, pressed_s: float, rate_hz: int
) -> None:
    house = House(tmp_path, rate_hz=rate_hz, seconds=6, detector=None)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        await asyncio.sleep(pressed_s)
        ears.open_uplink(None, False)
        await asyncio.sleep(1.0)
        ears.set_muted(True)
        house.end = ears.position

    house.run(script)

    sent = house.sent()
    sent_s, since_s = len(sent) / 24000, house.end / EAR_HZ - pressed_s
    assert since_s - 0.004 <= sent_s <= since_s + PERIOD_S + 0.001
    least = round(len(sent) / 1.5)
    heard = house.ear_sound
    # where it begins, by its first tenth of a second, and then all of it
    begins = [house.end - count for count in range(least, least + 40)]
    (start,) = [at for at in begins if is_sound_of(sent[:2400], heard[at : at + 1600])]
    assert is_sound_of(sent, heard[start : house.end])


def test_nothing_of_what_follows_a_press_is_lost_to_a_thread_that_is_late_to_wake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pressed_s = 7.003
    house = House(tmp_path, seconds=9, detector=None)
    wait = JumpClock.wait

    def late(clock: JumpClock, event: threading.Event, timeout_s: float | None = None) -> bool:
        is_set = wait(clock, event, timeout_s)
        if is_set and clock.now_s == pressed_s and threading.current_thread().name == "capture":
            wait(clock, threading.Event(), 0.07)
        return is_set

    monkeypatch.setattr(JumpClock, "wait", late)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        await asyncio.sleep(pressed_s - loop.time())
        ears.open_uplink(None, False)
        await asyncio.sleep(1.0)
        ears.set_muted(True)
        house.end = ears.position

    house.run(script)

    sent_s, since_s = len(house.sent()) / 24000, house.end / EAR_HZ - pressed_s
    assert since_s - 0.004 <= sent_s <= since_s + PERIOD_S + 0.001


def is_sound_of(sent: Samples, heard: Samples) -> bool:
    """Return whether `sent` is `heard`, but for what the resampler holds back at the end."""
    expected = resampled(heard, EAR_HZ, 24000)[: len(sent)]
    return bool(np.abs(expected[: len(sent) - 40].astype(int) - sent[:-40]).max() <= 1)


@pytest.mark.parametrize("slept_s", [6.0, 20.0])
def test_a_long_preroll_is_there_however_long_they_dozed(tmp_path: Path, slept_s: float) -> None:
    house = House(tmp_path, seconds=25, detector=None)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        await asyncio.sleep(slept_s)
        ears.open_uplink(round((slept_s - 4.5) * EAR_HZ), True)
        await asyncio.sleep(0.5)
        ears.set_muted(True)
        house.end = ears.position

    house.run(script)

    house.expect_sent(house.ear_sound[round((slept_s - 4.5 - 0.3) * EAR_HZ) : house.end])


class LateOrders(deque[tuple[float, Callable[[], None]]]):
    """Gets its order right after somebody saw that there is none."""

    late: tuple[float, Callable[[], None]] | None = None

    def __bool__(self) -> bool:
        if not self.late:
            return len(self) > 0
        self.append(self.late)
        self.late = None
        return False


def test_what_is_asked_for_between_two_looks_finds_what_was_laid_by(tmp_path: Path) -> None:
    house = House(tmp_path, seconds=9, detector=None)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        orders = ears._orders = LateOrders()
        await asyncio.sleep(3.0)
        orders.late = 3.0, lambda: ears._feed.open(round(2.5 * EAR_HZ), preroll=True)
        await asyncio.sleep(0.5)
        ears.set_muted(True)
        house.end = ears.position

    house.run(script)

    house.expect_sent(house.ear_sound[round(2.2 * EAR_HZ) : house.end])


def test_muting_while_they_doze_closes_the_microphone_within_a_period(tmp_path: Path) -> None:
    house = House(tmp_path, seconds=9, detector=None)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        await asyncio.sleep(5.001)
        ears.set_muted(True)
        await asyncio.sleep(PERIOD_S)
        assert not ears.is_open

    house.run(script)


def test_nothing_from_before_a_mute_is_sent_though_it_was_laid_by(tmp_path: Path) -> None:
    house = House(tmp_path, seconds=9, detector=None)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        await asyncio.sleep(5.001)
        ears.set_muted(True)
        await asyncio.sleep(0.1)
        ears.open_uplink(4 * EAR_HZ, True)
        await asyncio.sleep(0.5)

    house.run(script)

    sent = house.sent()
    assert len(sent) / 24000 == pytest.approx(0.5, abs=2 * PERIOD_S)
    assert not sent.any()


def test_a_microphone_unplugged_while_they_doze_is_told_within_a_tenth_of_a_second(tmp_path: Path) -> None:
    house = House(tmp_path, seconds=9, detector=None)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        await asyncio.sleep(5.0)
        house.mic.unplug()
        await asyncio.sleep(0.1)
        assert house.diary.of(CaptureLost)

    house.run(script)


def test_an_overrun_while_they_doze_is_counted_and_hearing_goes_on(tmp_path: Path) -> None:
    house = House(tmp_path, seconds=9, detector=None)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        await asyncio.sleep(3.0)
        house.mic.request_xrun()
        await asyncio.sleep(1.0)
        beats = ears.beats
        await asyncio.sleep(1.0)
        assert ears.xruns == 1
        assert ears.beats - beats == pytest.approx(1 / PERIOD_S, abs=4)

    house.run(script)


class LoudDetector(RememberingDetector):
    """Fires at the end of the first loud block."""

    def score(self, block: Samples) -> dict[str, float]:
        return {"hey_memory": 0.9 if np.abs(block.astype(np.int32)).max() > 1000 else 0.0}


@pytest.mark.parametrize("rate_hz", [16000, 48000])
def test_a_wake_word_is_decided_at_the_same_sample_and_moment_as_without_a_gate(
    tmp_path: Path, rate_hz: int
) -> None:
    decided = []
    for open_gate in (EnergyGate, None):
        house = House(
            tmp_path,
            rate_hz=rate_hz,
            room=quiet_room(12, rate_hz, loud_s=(9.77,)),
            detector=LoudDetector(),
            open_gate=open_gate,
        )

        async def script(loop: JumpLoop, ears: Ears) -> None:
            await asyncio.sleep(5.03)
            ears.set_valve(Valve.SILENT)
            ears.set_valve(Valve.CLOSED)  # woken amid one of the gate's blocks
            await asyncio.sleep(6)

        house.run(script)
        (told,) = house.diary.told("wake")
        decided.append((told["position"], told["time_s"]))
        assert house.diary.of(WakeHeard)

    (gated, gated_s), (ungated, ungated_s) = decided
    assert gated == ungated
    assert isinstance(gated_s, float) and isinstance(ungated_s, float)
    assert gated_s == pytest.approx(ungated_s, abs=0.061)


def test_nothing_is_laid_by_during_a_conversation(tmp_path: Path) -> None:
    house = House(tmp_path, seconds=9, detector=None)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        await asyncio.sleep(3.0)
        house.begin = ears.position
        ears.set_valve(Valve.LIVE)
        await asyncio.sleep(3.0)
        assert len(house.sent()) / 24000 == pytest.approx(3.0, abs=2 * PERIOD_S)  # there, not on its way

    house.run(script)


def test_the_card_of_a_dozing_daemon_never_overruns(tmp_path: Path) -> None:
    house = House(tmp_path, seconds=40, detector=None)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        await asyncio.sleep(39)
        assert ears.xruns == 0

    house.run(script)


def test_what_listening_came_to_is_counted(tmp_path: Path) -> None:
    room = quiet_room(20, 16000, loud_s=(5.0, 12.0))
    house = House(tmp_path, rate_hz=16000, room=room, detector=LoudDetector(), open_gate=EnergyGate)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        await asyncio.sleep(2)
        before = ears.wake_counts["blocks_scored"]
        await asyncio.sleep(17.9)
        counts = ears.wake_counts
        assert counts["gate_openings"] == 2
        # half a second of sound and a second more, twice
        assert counts["blocks_scored"] - before == pytest.approx(2 * 1.5 / DOZE_S, abs=3)
        assert (counts["in_own_voice"], counts["near_misses"]) == (0, 0)

    house.run(script)
