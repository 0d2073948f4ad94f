"""The ears, in simulated time on a simulated microphone."""

from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path

import numpy as np
import pytest

from pivoice.audio.capture import Ears, HalfDuplexGate
from pivoice.audio.pcm import Format, Samples
from pivoice.audio.period_times import PeriodTimes
from pivoice.audio.resample import resampled
from pivoice.audio.stage import Heard
from pivoice.config import WakeConfig
from pivoice.simulation import JumpClock, JumpLoop
from pivoice.turn.events import CaptureFound, CaptureLost, Event, OnsetHeard, Valve, WakeHeard
from tests.audio.fakes import MarkDetector, noise
from tests.audio.house import EAR_HZ, PERIOD_S, WIRE_HZ, House, nothing

# --- the first word ---


@pytest.mark.parametrize("rate_hz", [16000, 44100, 48000])
@pytest.mark.parametrize("hop_s", [0.0, 0.013, 0.4, 2.0])
def test_everything_from_before_the_wake_decision_goes_up_to_the_sample_however_slow_the_loop(
    tmp_path: Path, rate_hz: int, hop_s: float
):
    house = House(tmp_path, rate_hz=rate_hz, mark_s=0.8)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        def on_event(event: Event) -> None:
            if isinstance(event, WakeHeard):
                loop.call_later(hop_s, ears.open_uplink, event.position, True)

        house.on_event = on_event
        await asyncio.sleep(3.5)
        ears.set_muted(True)
        house.end = ears.position

    house.run(script)

    (heard,) = house.diary.of(WakeHeard)
    assert isinstance(heard, WakeHeard)
    house.expect_sent(house.ear_sound[heard.position - 300 * 16 : house.end])


@pytest.mark.parametrize("preroll_ms", [0, 300, 2000])
def test_the_preroll_is_as_long_as_the_setting(tmp_path: Path, preroll_ms: int):
    house = House(tmp_path, wake=WakeConfig(preroll_ms=preroll_ms))

    async def script(loop: JumpLoop, ears: Ears) -> None:
        await asyncio.sleep(2.5)
        ears.open_uplink(ears.position, True)
        house.begin = ears.position
        await asyncio.sleep(0.5)
        ears.set_muted(True)
        house.end = ears.position

    house.run(script)

    house.expect_sent(house.ear_sound[house.begin - preroll_ms * 16 : house.end])


def test_a_button_press_opens_from_the_next_period_without_preroll(tmp_path: Path):
    house = House(tmp_path)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        await asyncio.sleep(1.0)
        house.begin = ears.position
        ears.open_uplink(None, False)
        await asyncio.sleep(1.0)
        ears.set_muted(True)
        house.end = ears.position

    house.run(script)

    house.expect_sent(house.ear_sound[house.begin : house.end])


def test_the_position_of_a_wake_word_is_the_end_of_the_block_that_hit(tmp_path: Path):
    house = House(tmp_path, mark_s=0.8)

    house.run(nothing)

    (heard,) = house.diary.of(WakeHeard)
    assert isinstance(heard, WakeHeard)
    assert heard.position % 1280 == 0
    assert 0.8 < heard.position / EAR_HZ < 0.9
    (told,) = house.diary.told("wake")
    assert told["model"] == "hey_mark"
    assert told["position"] == heard.position
    assert isinstance(told["time_s"], float)
    assert 0 <= told["time_s"] - heard.position / EAR_HZ <= 0.05


# --- the valve ---


def test_nothing_goes_up_while_the_valve_is_closed(tmp_path: Path):
    house = House(tmp_path)

    house.run(nothing)

    assert house.uplink.queued_s == 0
    assert house.uplink.dropped_frames == 0


def test_opening_a_valve_that_is_live_sends_nothing_twice(tmp_path: Path):
    house = House(tmp_path)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        await asyncio.sleep(1.0)
        house.begin = ears.position
        ears.open_uplink(None, False)
        for _ in range(3):
            await asyncio.sleep(0.33)
            ears.open_uplink(ears.position, True)
        ears.set_muted(True)
        house.end = ears.position

    house.run(script)

    house.expect_sent(house.ear_sound[house.begin : house.end])


def test_a_wake_word_over_a_reply_sends_the_true_sound_from_its_preroll_on(tmp_path: Path):
    house = House(tmp_path, seconds=6)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        await asyncio.sleep(0.5)
        ears.open_uplink(None, False)
        await asyncio.sleep(0.5)
        ears.set_valve(Valve.SILENT)
        await asyncio.sleep(1.0)
        house.heard_at = ears.position
        await asyncio.sleep(0.25)  # the hop
        house.begin = ears.position
        ears.open_uplink(house.heard_at, True)
        await asyncio.sleep(0.5)
        ears.set_muted(True)
        house.end = ears.position

    house.run(script)

    true = house.ear_sound[house.heard_at - 4800 : house.end]
    sent = house.sent()
    expected = resampled(true, EAR_HZ, WIRE_HZ)
    tail = sent[-(len(expected) - 29) :]
    assert np.abs(tail[60:-60].astype(int) - expected[60 : len(tail) - 60]).max() <= 1
    silence = sent[len(sent) - len(tail) - 24000 : len(sent) - len(tail) - 60]
    assert not silence.any()


def test_a_silent_valve_sends_zeros_at_the_pace_of_the_microphone(tmp_path: Path):
    house = House(tmp_path)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        await asyncio.sleep(0.5)
        ears.set_valve(Valve.SILENT)
        await asyncio.sleep(1.0)

    house.run(script)

    sent = house.sent()
    assert len(sent) == pytest.approx(WIRE_HZ, abs=1000)
    assert not sent.any()


def test_closing_the_valve_forgets_what_waits_and_a_new_conversation_begins_clean(tmp_path: Path):
    house = House(tmp_path)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        ears.open_uplink(None, False)
        await asyncio.sleep(1.0)
        ears.set_valve(Valve.CLOSED)
        house.left_s = house.uplink.queued_s
        await asyncio.sleep(0.5)
        house.begin = ears.position
        ears.open_uplink(ears.position, True)
        await asyncio.sleep(0.5)
        ears.set_muted(True)
        house.end = ears.position

    house.run(script)

    assert house.left_s == 0
    house.expect_sent(house.ear_sound[house.begin - 4800 : house.end])


def test_an_agent_that_takes_nothing_costs_the_oldest_and_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    house = House(tmp_path, uplink_s=0.5)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        ears.open_uplink(None, False)
        await asyncio.sleep(2.0)

    with caplog.at_level(logging.WARNING):
        house.run(script)

    assert house.uplink.dropped_frames == pytest.approx(1.5 * WIRE_HZ, abs=1500)
    assert [record.getMessage() for record in caplog.records if record.name.startswith("pivoice")] == [
        "uplink: nobody takes the sound; what is older than 0.5 s is lost"
    ]


# --- muting ---


def test_muting_closes_the_microphone_within_a_period_and_unmuting_opens_it(tmp_path: Path):
    house = House(tmp_path)
    seen: list[tuple[bool, bool]] = []

    async def script(loop: JumpLoop, ears: Ears) -> None:
        await asyncio.sleep(0.5)
        ears.set_muted(True)
        await asyncio.sleep(PERIOD_S)
        seen.append((house.mic.in_use is None, ears.is_open))
        await asyncio.sleep(3)
        beats = ears.beats
        ears.set_muted(False)
        await asyncio.sleep(0.5)
        seen.append((house.mic.in_use is None, ears.is_open))
        assert ears.beats - beats == pytest.approx(25, abs=2)

    house.run(script)

    assert seen == [(True, False), (False, True)]
    assert house.mic.opened == 2
    assert house.diary.events == [CaptureFound(), CaptureFound()]


def test_what_was_heard_before_muting_is_forgotten(tmp_path: Path):
    house = House(tmp_path, wake=WakeConfig(preroll_ms=2000))

    async def script(loop: JumpLoop, ears: Ears) -> None:
        await asyncio.sleep(1.0)
        ears.set_muted(True)
        await asyncio.sleep(1.0)
        ears.set_muted(False)
        await asyncio.sleep(0.3)
        ears.open_uplink(ears.position, True)
        await asyncio.sleep(0.2)

    house.run(script)

    assert len(house.sent()) == pytest.approx(0.5 * WIRE_HZ, abs=1200)


def test_a_muted_conversation_sends_zeros_in_real_time(tmp_path: Path):
    house = House(tmp_path)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        ears.open_uplink(None, False)
        await asyncio.sleep(1.0)
        ears.set_muted(True)
        ears.set_valve(Valve.SILENT)
        await asyncio.sleep(PERIOD_S)
        house.sent()
        await asyncio.sleep(5.0)

    house.run(script)

    sent = house.sent()
    assert len(sent) == pytest.approx(5.0 * WIRE_HZ, abs=1000)
    assert not sent[100:].any()


def test_a_muted_idle_device_does_nothing_at_all(tmp_path: Path):
    house = House(tmp_path)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        ears.set_muted(True)
        await asyncio.sleep(PERIOD_S)

        assert loop.clock.next_due_s() is None

    house.run(script)


# --- half duplex ---


def test_half_duplex_sends_zeros_while_the_agent_sounds_and_its_tail_and_the_truth_around_it(tmp_path: Path):
    gate = HalfDuplexGate()
    house = House(tmp_path, gate=gate)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        ears.open_uplink(None, False)
        await asyncio.sleep(0.5)
        gate.heard_until(1.5, since_s=1.0)
        await asyncio.sleep(2.5)

    house.run(script)

    sent = house.sent()
    expected = resampled(house.ear_sound, EAR_HZ, WIRE_HZ)
    edge_s = 0.004  # what the resamplers smear and hold back
    for begin_s, end_s in ((0.1, 0.98), (1.82, 2.9)):
        part = slice(round((begin_s + edge_s) * WIRE_HZ), round((end_s - edge_s) * WIRE_HZ))
        assert np.abs(sent[part].astype(int) - expected[part]).max() <= 1
    assert not sent[round((1.0 + edge_s) * WIRE_HZ) : round((1.8 - edge_s) * WIRE_HZ)].any()


def test_half_duplex_ends_at_once_when_the_user_takes_the_floor(tmp_path: Path):
    gate = HalfDuplexGate()
    house = House(tmp_path, gate=gate)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        ears.open_uplink(None, False)
        await asyncio.sleep(0.1)
        gate.heard_until(3.0, since_s=0.5)
        await asyncio.sleep(1.4)
        gate.cut(loop.time())
        await asyncio.sleep(1.0)

    house.run(script)

    sent = house.sent()
    assert not sent[round(0.53 * WIRE_HZ) : round(1.47 * WIRE_HZ)].any()
    assert np.count_nonzero(sent[round(1.53 * WIRE_HZ) : round(2.4 * WIRE_HZ)]) > 0.8 * WIRE_HZ


class SlowDetector(MarkDetector):
    """Takes 0.4 s for the whole check, as on a small board; the clock is simulated time's."""

    clock: JumpClock

    def reset(self) -> None:
        super().reset()
        self.clock.wait(threading.Event(), 0.4)


def test_the_words_after_a_wake_word_over_a_reply_go_up_however_long_the_check_takes(tmp_path: Path):
    gate = HalfDuplexGate()
    slow = SlowDetector()
    house = House(tmp_path, mark_s=1.0, gate=gate, far_detector=slow)
    house.spoken.set_rate(48000)
    house.spoken.append(noise(2.0, 48000, seed=9))

    async def script(loop: JumpLoop, ears: Ears) -> None:
        slow.clock = loop.clock

        def take_floor(event: Event) -> None:
            house.diary.events.append(event)
            if isinstance(event, WakeHeard):
                gate.cut(loop.time())  # the reply is dropped now
                ears.open_uplink(event.position, False)

        house.diary.post = take_floor  # at once: the loop is idle while the capture thread catches up
        ears.open_uplink(None, False)
        await asyncio.sleep(0.3)
        gate.heard_until(3.5, since_s=0.4)  # the agent speaks all the time
        await asyncio.sleep(2.7)
        house.end = ears.position

    house.run(script)

    (wake,) = house.diary.of(WakeHeard)
    assert isinstance(wake, WakeHeard)
    sent = house.sent()
    silent = np.convolve(sent != 0, np.ones(240), "valid") == 0  # 10 ms of zeros: the agent was audible
    since_silence = len(sent) - (np.flatnonzero(silent)[-1] + 240)
    since_wake = (house.end - wake.position) / EAR_HZ * WIRE_HZ
    assert since_silence == pytest.approx(since_wake, abs=0.05 * WIRE_HZ)


# --- its own voice ---


def speaking(house: House, *, says_mark: bool) -> None:
    """The agent has just been heard for two seconds, with or without the wake word in it."""
    assert house.gate is not None
    house.spoken.set_rate(48000)
    sound = noise(2.0, 48000, seed=9)
    if says_mark:
        sound[-24000:-14400] = MarkDetector.MARK
    house.spoken.append(sound)
    house.gate.heard_until(1.0, since_s=-1.0)


def test_the_wake_word_in_the_agents_own_voice_is_ignored_and_told(tmp_path: Path):
    house = House(tmp_path, mark_s=0.8, gate=HalfDuplexGate())
    speaking(house, says_mark=True)

    house.run(nothing)

    assert house.diary.of(WakeHeard) == []
    assert len(house.diary.told("wake", ignored=True)) == 1
    assert house.far_detector.resets == 1


def test_the_wake_word_over_a_reply_that_does_not_say_it_is_heard(tmp_path: Path):
    house = House(tmp_path, mark_s=0.8, gate=HalfDuplexGate())
    speaking(house, says_mark=False)

    house.run(nothing)

    assert len(house.diary.of(WakeHeard)) == 1
    assert len(house.far_detector.blocks) == pytest.approx(2.0 / 0.08 + 4, abs=1)


def test_the_wake_word_is_not_checked_when_no_reply_is_in_the_air(tmp_path: Path):
    house = House(tmp_path, mark_s=2.5, gate=HalfDuplexGate())
    speaking(house, says_mark=True)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        await asyncio.sleep(3.5)

    house.run(script)

    assert len(house.diary.of(WakeHeard)) == 1
    assert house.far_detector.blocks == []


def test_the_detector_hears_every_sample_in_blocks_of_its_size(tmp_path: Path):
    house = House(tmp_path)

    house.run(nothing)

    assert house.detector is not None
    assert {len(block) for block in house.detector.blocks} == {1280}
    heard = np.concatenate(house.detector.blocks)
    assert len(heard) >= 1.4 * EAR_HZ
    assert np.abs(heard.astype(int) - house.ear_sound[: len(heard)]).max() <= 1


def test_scores_are_reported_only_to_who_watches(tmp_path: Path):
    house = House(tmp_path, mark_s=0.8)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        await asyncio.sleep(0.5)
        ears.watching = True
        await asyncio.sleep(1.0)

    house.run(script)

    assert {facts["score"] for facts in house.diary.told("score")} == {0.9}
    quiet = House(tmp_path / "..", mark_s=0.8)
    quiet.run(nothing)
    assert quiet.diary.told("score") == []


# --- loss ---


def test_a_lost_microphone_is_told_once_with_its_reason_and_found_again(tmp_path: Path):
    house = House(tmp_path)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        await asyncio.sleep(0.5)
        house.mic.unplug()
        await asyncio.sleep(30)
        house.mic.replug()
        house.replugged_s = loop.time()
        await asyncio.sleep(5.1)
        assert ears.is_open

    house.run(script)

    assert house.diary.events == [
        CaptureFound(),
        CaptureLost(f"cannot use capture {house.name!r}: No such device; plug it in"),
        CaptureFound(),
    ]


def test_a_lost_microphone_is_tried_after_half_a_second_and_then_ever_more_rarely_up_to_three(tmp_path: Path):
    house = House(tmp_path)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        await asyncio.sleep(0.5)
        house.mic.unplug()
        await asyncio.sleep(25)

    house.run(script)

    waits_s = np.diff([0.5, *house.mic.refused_s])
    assert np.round(waits_s, 1).tolist() == [0.5, 1.0, 2.0, *[3.0] * 7]


def test_a_microphone_that_cannot_be_opened_is_told_with_what_to_do(tmp_path: Path):
    house = House(tmp_path)
    (tmp_path / "mic.wav").unlink()

    house.run(nothing)

    (lost,) = house.diary.events
    assert isinstance(lost, CaptureLost)
    assert lost.reason.endswith("mic.wav; set audio.capture")


def test_a_conversation_that_loses_its_microphone_sends_zeros_meanwhile(tmp_path: Path):
    house = House(tmp_path)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        ears.open_uplink(None, False)
        await asyncio.sleep(0.5)
        house.mic.unplug()
        await asyncio.sleep(PERIOD_S)
        house.sent()
        await asyncio.sleep(2.0)

    house.run(script)

    sent = house.sent()
    assert len(sent) == pytest.approx(2 * WIRE_HZ, abs=1000)
    assert not sent[100:].any()


def test_a_thread_that_fails_is_told_and_starts_again(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    class Failing(MarkDetector):
        def score(self, block: Samples) -> dict[str, float]:
            if len(self.blocks) == 3 and self.resets == 1:
                raise ValueError("a block of the wrong colour")
            return super().score(block)

    house = House(tmp_path, detector=Failing())

    house.run(nothing)

    assert [type(event) for event in house.diary.events] == [CaptureFound, CaptureLost, CaptureFound]
    lost = house.diary.events[1]
    assert isinstance(lost, CaptureLost)
    assert "a block of the wrong colour" in lost.reason


def test_an_overrun_is_counted_and_hearing_goes_on(tmp_path: Path):
    house = House(tmp_path)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        await asyncio.sleep(0.5)
        house.mic.request_xrun()
        await asyncio.sleep(0.5)
        assert ears.xruns == 1
        ears.set_muted(True)
        await asyncio.sleep(0.5)
        assert ears.xruns == 1

    house.run(script)

    assert house.diary.events == [CaptureFound()]


# --- the canceller ---


class DeafStage:
    """Lets nothing go up, everything be listened to, and suspects somebody once, after 0.6 s."""

    is_idle = False

    def __init__(self, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.discontinuities: list[int] = []
        """How many periods had come before each."""
        self.periods = 0

    def process(self, near: Samples, *, start_s: float) -> Heard:
        self.periods += 1
        return Heard(np.zeros_like(near), near, is_onset=self.periods == 30)

    def pass_by(self, near: Samples) -> Samples:
        raise AssertionError("the speaker is never at rest here")

    def discontinuity(self) -> None:
        self.discontinuities.append(self.periods)

    def status(self) -> dict[str, object]:
        return {}


def test_a_canceller_is_told_of_overruns_and_of_every_opening(tmp_path: Path):
    stage = DeafStage()
    house = House(tmp_path, echo=stage)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        await asyncio.sleep(0.51)
        house.mic.request_xrun()
        await asyncio.sleep(0.5)
        ears.set_muted(True)
        await asyncio.sleep(0.5)
        ears.set_muted(False)
        await asyncio.sleep(0.2)

    house.run(script)

    opened, overrun, opened_anew = stage.discontinuities
    assert opened == 0
    assert overrun == pytest.approx(25, abs=1)
    assert opened_anew == pytest.approx(50, abs=2) and stage.periods > opened_anew


def test_the_wake_word_is_heard_in_what_the_agent_does_not_get(tmp_path: Path):
    house = House(tmp_path, mark_s=1.0, echo=DeafStage())

    async def script(loop: JumpLoop, ears: Ears) -> None:
        ears.open_uplink(None, False)
        await asyncio.sleep(2.0)

    house.run(script)

    assert len(house.diary.of(WakeHeard)) == 1
    assert not house.sent().any()


def test_who_begins_to_speak_over_a_reply_is_told_once(tmp_path: Path):
    house = House(tmp_path, echo=DeafStage())

    house.run(nothing)

    assert house.diary.of(OnsetHeard) == [OnsetHeard()]


class LivelyStage(DeafStage):
    """Lets everything go up, too."""

    def process(self, near: Samples, *, start_s: float) -> Heard:
        return Heard(near, near)


def test_with_a_canceller_the_user_goes_up_while_a_reply_is_audible(tmp_path: Path):
    house = House(tmp_path, gate=HalfDuplexGate(), echo=LivelyStage())
    assert house.gate is not None
    house.gate.heard_until(10.0, since_s=0.0)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        ears.set_valve(Valve.LIVE)
        await asyncio.sleep(1.0)

    house.run(script)

    assert np.count_nonzero(house.sent()) > 0.9 * WIRE_HZ


class AskedGate(HalfDuplexGate):
    """Remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_s: list[float] = []

    def was_heard(self, since_s: float) -> bool:
        self.asked_s.append(since_s)
        return super().was_heard(since_s)


def test_what_a_canceller_held_back_is_dated_when_it_was_captured(tmp_path: Path):
    gates = AskedGate(), AskedGate()

    for gate, delay_s in zip(gates, (0.0, 0.25), strict=True):
        folder = tmp_path / str(delay_s)
        folder.mkdir()
        House(folder, mark_s=0.8, gate=gate, echo=DeafStage(delay_s)).run(nothing)

    assert gates[0].asked_s[0] - gates[1].asked_s[0] == pytest.approx(0.25, abs=0.001)


def test_stopping_closes_the_microphone(tmp_path: Path):
    house = House(tmp_path)

    house.run(nothing)

    assert house.mic.in_use is None


def test_every_period_consumed_is_a_beat(tmp_path: Path):
    house = House(tmp_path)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        await asyncio.sleep(2.0)
        assert ears.beats == pytest.approx(100, abs=1)

    house.run(script)


def test_periods_read_late_are_placed_when_they_were_captured():
    times = PeriodTimes(Format(48000, 960, 48000, 1, "S16_LE"))
    times.place(10.020)

    placed = [times.place(10.5) for _ in range(3)]

    assert [round(start_s, 3) for start_s, _ in placed] == [10.020, 10.040, 10.060]


@pytest.mark.parametrize("at_once", [1, 4])
def test_a_card_whose_clock_is_slow_is_followed(at_once: int):
    times = PeriodTimes(Format(48000, 960, 48000, 1, "S16_LE"))
    slow_s = 0.02 * (1 + 500e-6)

    for count in range(at_once, 180_001, at_once):  # an hour
        _, end_s = times.place(count * slow_s, at_once)

    assert end_s == pytest.approx(180_000 * slow_s, abs=0.001)


@pytest.mark.parametrize("ppm", [0, 300, -300, 600])
def test_a_card_is_followed_when_only_now_and_then_a_period_is_waited_for(ppm: int):
    times = PeriodTimes(Format(48000, 960, 48000, 1, "S16_LE"))
    period_s = 0.02 / (1 + ppm * 1e-6)
    now_s, read, errors = 0.0, 0, []

    while now_s < 600:
        is_awaited = times.is_vague or not read
        count = 1 if is_awaited else 4
        read += count
        asked_s = now_s if is_awaited else times.end_s + count * times.period_s + 0.001
        now_s = max(asked_s, read * period_s)
        _, end_s = times.place(now_s, count, is_awaited=is_awaited)
        errors.append(end_s - read * period_s)

    assert min(errors) > -0.002 and max(errors) < 0.003


def test_ears_without_a_wake_word_listen_for_the_button_and_hear_all_the_same(tmp_path: Path):
    house = House(tmp_path, detector=None)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        await asyncio.sleep(0.5)
        assert ears.listens_for == "the button"
        assert ears.beats > 20

    house.run(script)
