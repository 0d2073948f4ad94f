"""The mouth, in simulated time on a simulated speaker: what is heard, to the sample."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from pivoice.audio.buffers import SpokenRing
from pivoice.audio.earcons import load_notice, make_earcons
from pivoice.audio.gate import HalfDuplexGate
from pivoice.audio.pcm import Samples, from_db
from pivoice.audio.playback import LOOK_S, Mouth
from pivoice.audio.reference import Reference
from pivoice.audio.resample import resampled
from pivoice.audio.simulated import Speaker, speaker
from pivoice.config import AudioConfig
from pivoice.simulation import JumpLoop, run_jumping
from pivoice.turn.events import Event, PlaybackDrained, PlaybackFound, PlaybackLost, ReplyAudible
from tests.audio.fakes import Diary, find, noise, tone

WIRE_HZ, CARD_HZ = 24000, 48000
PERIOD_S = 0.02
JITTER_S = 0.1


@dataclass
class House:
    """A mouth, a speaker that writes down what it plays, and a diary with times."""

    folder: Path
    audio: AudioConfig = field(default_factory=AudioConfig)
    gate: HalfDuplexGate | None = None
    reference: Reference | None = None

    def __post_init__(self) -> None:
        self.name = f"simulated:{self.folder / 'speaker.wav'}"
        self.audio = replace(self.audio, playback=self.name)
        self.diary = Diary()
        self.times: list[tuple[float, Event]] = []
        self.spoken = SpokenRing()
        self.begun_s = self.dropped_s = self.ended_s = self.replugged_s = 0.0
        self.stopped_at = 0

    @property
    def speaker(self) -> Speaker:
        return speaker(self.name)

    def run(self, script: Callable[[JumpLoop, Mouth], Awaitable[None]]) -> None:
        async def main(loop: JumpLoop) -> None:
            def post(event: Event) -> None:
                self.diary.post(event)
                self.times.append((loop.clock.monotonic(), event))

            mouth = Mouth(
                audio=self.audio,
                clock=loop.clock,
                post=post,
                report=self.diary.report,
                spoken=self.spoken,
                gate=self.gate,
                reference=self.reference,
            )
            mouth.start()
            await asyncio.sleep(0.01)  # opened
            await script(loop, mouth)
            mouth.stop()
            await asyncio.sleep(2 * PERIOD_S)

        run_jumping(main)

    def heard(self, from_s: float = 0.0) -> Samples:
        """Return all that sounded from a time on."""
        return self.speaker.heard(self.speaker.frame_at(from_s))

    def time_of(self, kind: type[Event]) -> float:
        (time_s,) = [time_s for time_s, event in self.times if isinstance(event, kind)]
        return time_s


def at_card(reply: Samples) -> Samples:
    return resampled(reply, WIRE_HZ, CARD_HZ)


async def stream(mouth: Mouth, reply: int, samples: Samples, *, end: bool = True) -> None:
    """Send a reply as the server does: 10 ms chunks in real time."""
    for start in range(0, len(samples), 240):
        mouth.play(reply, samples[start : start + 240])
        await asyncio.sleep(0.01)
    if end:
        mouth.end(reply)


def say(mouth: Mouth, reply: int, samples: Samples) -> None:
    """Send a whole reply in one burst."""
    for start in range(0, len(samples), 240):
        mouth.play(reply, samples[start : start + 240])
    mouth.end(reply)


def expect(heard: Samples, reply: Samples) -> int:
    """Assert that `reply` is heard whole, in one piece and untouched; return where it begins."""
    expected = at_card(reply)
    return find(expected, heard)


# --- a reply ---


@pytest.mark.parametrize("is_burst", [False, True])
def test_a_reply_is_heard_whole_in_order_and_untouched(tmp_path: Path, is_burst: bool):
    house, reply = House(tmp_path), noise(1.0, WIRE_HZ)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        if is_burst:
            say(mouth, 1, reply)
        else:
            await stream(mouth, 1, reply)
        await asyncio.sleep(1.5)

    house.run(script)

    expect(house.heard(), reply)
    assert house.diary.told("playback", what="underrun") == []


def test_a_reply_begins_when_the_jitter_is_in_hand_or_a_little_later(tmp_path: Path):
    house = House(tmp_path)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        house.begun_s = loop.time()
        await stream(mouth, 1, noise(1.0, WIRE_HZ))

    house.run(script)

    (first,) = house.diary.told("playback", what="first_sample", reply=1)
    assert isinstance(first["time_s"], float)
    assert 0.08 <= first["time_s"] - house.begun_s <= JITTER_S + 0.06


def test_a_reply_in_a_burst_begins_at_once(tmp_path: Path):
    house = House(tmp_path)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        house.begun_s = loop.time()
        say(mouth, 1, noise(1.0, WIRE_HZ))
        await asyncio.sleep(0.1)

    house.run(script)

    (first,) = house.diary.told("playback", what="first_sample")
    assert first["time_s"] == pytest.approx(house.begun_s, abs=PERIOD_S)


def test_a_trickle_begins_jitter_after_its_first_chunk(tmp_path: Path):
    house = House(tmp_path)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        house.begun_s = loop.time()
        mouth.play(1, noise(0.04, WIRE_HZ))
        await asyncio.sleep(0.5)

    house.run(script)

    (first,) = house.diary.told("playback", what="first_sample")
    assert first["time_s"] == pytest.approx(house.begun_s + JITTER_S, abs=PERIOD_S)


def test_a_reply_shorter_than_the_jitter_begins_at_its_end(tmp_path: Path):
    house, reply = House(tmp_path), noise(0.03, WIRE_HZ)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        house.begun_s = loop.time()
        await stream(mouth, 1, reply)
        await asyncio.sleep(0.5)

    house.run(script)

    assert expect(house.heard(house.begun_s), reply) <= 0.06 * CARD_HZ


def test_audible_is_told_at_the_first_sample_that_can_be_heard(tmp_path: Path):
    house = House(tmp_path)
    reply = np.concatenate(
        [np.full(12000, 60, np.int16), noise(0.5, WIRE_HZ)]
    )  # half a second below -50 dBFS

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        say(mouth, 1, reply)
        await asyncio.sleep(2)

    house.run(script)

    assert house.diary.of(ReplyAudible) == [ReplyAudible(1)]
    (told,) = house.diary.told("playback", what="first_audible")
    loud = int(np.flatnonzero(np.abs(house.heard().astype(int)) > 104)[0])
    assert told["time_s"] == pytest.approx(house.speaker.time_of(loud), abs=0.0005)


def test_a_reply_that_cannot_be_heard_is_never_audible_but_drains(tmp_path: Path):
    house = House(tmp_path)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        say(mouth, 1, np.full(2400, 50, np.int16))
        await asyncio.sleep(1)

    house.run(script)

    assert house.diary.events == [PlaybackFound(), PlaybackDrained(1)]


@pytest.mark.parametrize("tail_s", [0.0, 0.3])
def test_drained_is_told_when_the_last_sample_has_sounded_and_the_tail_of_half_duplex(
    tmp_path: Path, tail_s: float
):
    house = House(tmp_path, gate=HalfDuplexGate() if tail_s else None)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        say(mouth, 1, noise(1.003, WIRE_HZ))
        await asyncio.sleep(2)

    house.run(script)

    last = int(np.flatnonzero(house.heard())[-1])
    late_s = house.time_of(PlaybackDrained) - house.speaker.time_of(last) - tail_s
    assert 0 <= late_s <= PERIOD_S + 0.001


def test_with_a_canceller_drained_does_not_wait_for_the_room_to_fall_silent(tmp_path: Path):
    house = House(tmp_path, gate=HalfDuplexGate(), reference=Reference())

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        say(mouth, 1, noise(1.003, WIRE_HZ))
        await asyncio.sleep(2)

    house.run(script)

    last = int(np.flatnonzero(house.heard())[-1])
    assert 0 <= house.time_of(PlaybackDrained) - house.speaker.time_of(last) <= PERIOD_S + 0.001


def test_two_replies_play_one_after_the_other_and_only_the_last_one_drains(tmp_path: Path):
    house = House(tmp_path)
    one, two = noise(0.5, WIRE_HZ), noise(0.5, WIRE_HZ, seed=8)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        say(mouth, 1, one)
        say(mouth, 2, two)
        await asyncio.sleep(2)

    house.run(script)

    first, second = expect(house.heard(), one), expect(house.heard(), two)
    assert 0 <= second - first - len(at_card(one)) <= PERIOD_S * CARD_HZ
    assert house.diary.events == [PlaybackFound(), ReplyAudible(1), ReplyAudible(2), PlaybackDrained(2)]


def test_a_reply_that_comes_after_the_drain_drains_too(tmp_path: Path):
    house = House(tmp_path)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        for reply in (1, 2):
            say(mouth, reply, noise(0.3, WIRE_HZ))
            await asyncio.sleep(1)

    house.run(script)

    assert house.diary.events == [
        PlaybackFound(),
        ReplyAudible(1),
        PlaybackDrained(1),
        ReplyAudible(2),
        PlaybackDrained(2),
    ]


def test_ten_minutes_in_one_burst_begin_at_once_and_cost_no_more_per_period(tmp_path: Path):
    house = House(tmp_path)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        for _ in range(600):
            mouth.play(1, noise(1.0, WIRE_HZ))
        mouth.end(1)
        await asyncio.sleep(1.0)
        mouth.drop(1)
        await asyncio.sleep(0.1)

    house.run(script)

    assert house.diary.of(ReplyAudible) == [ReplyAudible(1)]
    assert len(house.heard()) < 1.2 * CARD_HZ


# --- too late ---


def test_a_reply_that_runs_dry_fades_waits_and_goes_on_with_nothing_lost_or_doubled(tmp_path: Path):
    house, reply = House(tmp_path), tone(0.6, WIRE_HZ, hz=300)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        mouth.play(1, reply[:7200])
        await asyncio.sleep(0.8)
        await stream(mouth, 1, reply[7200:])
        await asyncio.sleep(1)

    house.run(script)

    heard, expected = house.heard(), at_card(reply)
    sounding = np.flatnonzero(heard)
    gap = int(np.argmax(np.diff(sounding)))
    before, after = heard[sounding[0] : sounding[gap] + 1], heard[sounding[gap + 1] : sounding[-1] + 1]
    assert abs(len(before) + len(after) - len(expected)) <= 4  # zero crossings at the edges
    fade = round(0.004 * CARD_HZ)
    begin = find(before[100:-fade], expected)
    end = find(after[fade:-10], expected)
    assert end - fade - (begin + len(before) - 100) <= 4
    assert np.abs(np.diff(heard.astype(int))).max() <= np.abs(np.diff(expected.astype(int))).max() + 100
    assert len(house.diary.told("playback", what="underrun")) == 1
    assert house.diary.events == [PlaybackFound(), ReplyAudible(1), PlaybackDrained(1)]


def test_a_reply_goes_on_after_a_hole_only_with_the_jitter_in_hand_again(tmp_path: Path):
    house = House(tmp_path)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        mouth.play(1, noise(0.3, WIRE_HZ))
        await asyncio.sleep(1.0)
        house.begun_s = loop.time()
        await stream(mouth, 1, noise(0.5, WIRE_HZ, seed=8))
        await asyncio.sleep(1)

    house.run(script)

    first = int(np.flatnonzero(house.heard(house.begun_s))[0]) / CARD_HZ
    assert 0.08 <= first <= JITTER_S + 0.06


def test_a_reply_whose_end_is_told_after_it_ran_dry_drains(tmp_path: Path):
    house, reply = House(tmp_path), noise(0.3, WIRE_HZ)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        mouth.play(1, reply)
        await asyncio.sleep(1.0)
        mouth.end(1)
        house.ended_s = loop.time()
        await asyncio.sleep(0.5)

    house.run(script)

    assert house.diary.of(PlaybackDrained) == [PlaybackDrained(1)]
    assert house.time_of(PlaybackDrained) - house.ended_s <= 0.1


def test_a_reply_that_never_ends_leaves_the_floor_to_the_next_one(tmp_path: Path):
    house, two = House(tmp_path), noise(0.3, WIRE_HZ, seed=8)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        mouth.play(1, noise(0.3, WIRE_HZ))
        await asyncio.sleep(1.0)
        say(mouth, 2, two)
        await asyncio.sleep(1.0)

    house.run(script)

    expect(house.heard(), two)
    assert house.diary.of(PlaybackDrained) == [PlaybackDrained(2)]


# --- ducking ---


def test_a_ducked_reply_plays_on_softer_and_comes_back_with_nothing_lost_or_doubled(tmp_path: Path):
    house, reply = House(tmp_path), noise(2.0, WIRE_HZ)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        say(mouth, 1, reply)
        await asyncio.sleep(0.5)
        mouth.set_ducked(True)
        await asyncio.sleep(0.5)
        mouth.set_ducked(False)
        await asyncio.sleep(2)

    house.run(script)

    expected = at_card(reply).astype(float)
    heard = house.heard()
    begin = int(np.flatnonzero(heard)[0]) - int(np.flatnonzero(expected)[0])
    level = heard[begin : begin + len(expected)] / np.where(expected == 0, 1, expected)
    solid = np.abs(expected) > 1000
    low = solid & (np.abs(level - from_db(-15)) < 0.002)
    full = solid & (level == 1.0)
    assert np.count_nonzero(low) == pytest.approx(0.48 * np.count_nonzero(solid) / 2, rel=0.1)
    between = np.flatnonzero(solid & ~low & ~full)
    ramps = np.split(between, np.flatnonzero(np.diff(between) > 1000) + 1)
    assert len(ramps) == 2
    for ramp in ramps:
        assert 0.015 <= (ramp[-1] - ramp[0]) / CARD_HZ <= 0.021
    assert not heard[begin + len(expected) :].any()


def test_an_earcon_over_a_ducked_reply_is_not_ducked(tmp_path: Path):
    house = House(tmp_path)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        mouth.set_ducked(True)
        mouth.chime("wake")
        await asyncio.sleep(0.5)

    house.run(script)

    find(make_earcons(CARD_HZ)["wake"][1:], house.heard())


# --- dropping ---


@pytest.mark.parametrize("phase", range(100))
def test_a_dropped_reply_is_silent_within_the_card_and_a_ramp_and_never_comes_back(
    tmp_path: Path, phase: int
):
    house = House(tmp_path)
    after_s = 0.2 + np.random.default_rng(phase).uniform(0, 0.1)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        say(mouth, 1, noise(3.0, WIRE_HZ))
        await asyncio.sleep(after_s)
        mouth.drop(1)
        house.dropped_s = loop.time()
        for _ in range(10):
            mouth.play(1, noise(0.2, WIRE_HZ, seed=9))
            await asyncio.sleep(0.01)
        mouth.end(1)
        await asyncio.sleep(0.3)

    house.run(script)

    heard = house.heard(house.dropped_s)
    silent_s = (int(np.flatnonzero(heard)[-1]) + 1) / CARD_HZ
    assert silent_s <= 0.0451
    (told,) = house.diary.told("playback", what="silence", reply=1)
    assert told["time_s"] == pytest.approx(house.dropped_s + silent_s, abs=0.0005)
    assert house.diary.of(PlaybackDrained) == []


def test_a_cut_is_a_ramp_of_what_would_have_come_next(tmp_path: Path):
    house, reply = House(tmp_path), np.full(WIRE_HZ, 16000, np.int16)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        say(mouth, 1, reply)
        await asyncio.sleep(0.333)
        mouth.drop(1)
        await asyncio.sleep(0.1)

    house.run(script)

    heard = house.heard()
    end = int(np.flatnonzero(heard)[-1]) + 2  # the ramp's last sample is a zero
    ramp = heard[end - 240 : end].astype(int)
    assert np.abs(ramp - 16000 * (0.5 + 0.5 * np.cos(np.linspace(0, np.pi, 240)))).max() < 20
    assert heard[end - 300] == 16000


def test_the_reply_after_a_cut_is_heard_from_its_first_sample(tmp_path: Path):
    house, two = House(tmp_path), noise(0.5, WIRE_HZ, seed=8)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        say(mouth, 1, noise(3.0, WIRE_HZ))
        await asyncio.sleep(0.3)
        mouth.drop(1)
        say(mouth, 1, noise(2.0, WIRE_HZ, seed=9))  # stale
        say(mouth, 2, two)
        await asyncio.sleep(1.5)

    house.run(script)

    expect(house.heard(), two)
    assert house.diary.events == [PlaybackFound(), ReplyAudible(1), ReplyAudible(2), PlaybackDrained(2)]


def test_a_drop_kills_everything_older_and_nothing_newer(tmp_path: Path):
    house, three = House(tmp_path), noise(0.5, WIRE_HZ, seed=8)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        say(mouth, 1, noise(1.0, WIRE_HZ))
        say(mouth, 2, noise(1.0, WIRE_HZ))
        say(mouth, 3, three)
        await asyncio.sleep(0.2)
        mouth.drop(2)
        await asyncio.sleep(1.0)

    house.run(script)

    expect(house.heard(), three)
    assert house.diary.events == [PlaybackFound(), ReplyAudible(1), ReplyAudible(3), PlaybackDrained(3)]


def test_a_reply_dropped_before_it_began_is_never_heard(tmp_path: Path):
    house = House(tmp_path)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        mouth.play(1, noise(0.05, WIRE_HZ))
        mouth.drop(1)
        await asyncio.sleep(0.5)

    house.run(script)

    assert not house.heard().any()
    assert house.diary.events == [PlaybackFound()]


def test_a_reply_dropped_while_its_last_samples_sound_does_not_drain(tmp_path: Path):
    house = House(tmp_path, gate=HalfDuplexGate())

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        say(mouth, 1, noise(0.5, WIRE_HZ))
        await asyncio.sleep(0.6)  # it has sounded; the tail has not passed
        mouth.drop(1)
        await asyncio.sleep(1)

    house.run(script)

    assert house.diary.of(PlaybackDrained) == []


# --- half duplex ---


def test_the_gate_is_closed_exactly_while_a_reply_can_be_heard(tmp_path: Path):
    gate = HalfDuplexGate()
    house = House(tmp_path, gate=gate)
    reply = np.concatenate([np.zeros(6000, np.int16), noise(0.5, WIRE_HZ)])

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        say(mouth, 1, reply)
        await asyncio.sleep(2)

    house.run(script)

    loud = np.flatnonzero(np.abs(house.heard().astype(int)) > 33)
    first_s, last_s = house.speaker.time_of(int(loud[0])), house.speaker.time_of(int(loud[-1]) + 1)
    assert not gate.is_closed(0.0, first_s - 0.001)
    assert gate.is_closed(first_s, first_s + 0.0001)
    assert gate.is_closed(last_s + 0.298, last_s + 0.299)
    assert not gate.is_closed(last_s + 0.301, last_s + 5)


def test_a_drop_opens_the_gate_at_once_and_for_good(tmp_path: Path):
    gate = HalfDuplexGate()
    house = House(tmp_path, gate=gate)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        say(mouth, 1, noise(2.0, WIRE_HZ))
        await asyncio.sleep(0.5)
        mouth.drop(1)
        house.dropped_s = loop.time()
        await asyncio.sleep(1)

    house.run(script)

    assert gate.is_closed(house.dropped_s - 0.01, house.dropped_s - 0.005)
    assert not gate.is_closed(house.dropped_s + 0.001, house.dropped_s + 5)


def test_earcons_do_not_close_the_gate(tmp_path: Path):
    gate = HalfDuplexGate()
    house = House(tmp_path, gate=gate)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        mouth.chime("wake")
        await asyncio.sleep(1)

    house.run(script)

    assert not gate.is_closed(0, 10)


def test_the_spoken_ring_holds_what_was_heard_last(tmp_path: Path):
    house, reply = House(tmp_path), noise(1.0, WIRE_HZ)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        say(mouth, 1, reply)
        await asyncio.sleep(1.5)

    house.run(script)

    sound, rate_hz = house.spoken.last()
    assert rate_hz == CARD_HZ
    expect(sound, reply)


# --- earcons, and a card at rest ---


def test_a_chime_is_heard_at_once_and_whole(tmp_path: Path):
    house = House(tmp_path)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        await asyncio.sleep(1)
        mouth.chime("wake")
        await asyncio.sleep(1)

    house.run(script)

    place = find(make_earcons(CARD_HZ)["wake"][1:], house.heard(1.01))
    assert place <= 0.025 * CARD_HZ


def test_a_notice_is_spoken_to_its_last_word(tmp_path: Path):
    house, notice = House(tmp_path), load_notice("cap", CARD_HZ)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        mouth.chime("cap")
        await asyncio.sleep(1 + len(notice) / CARD_HZ)

    house.run(script)

    find(notice[1000:], house.heard())


def test_a_chime_in_a_reply_is_mixed_into_it(tmp_path: Path):
    house, reply = House(tmp_path), tone(1.0, WIRE_HZ, peak=5000)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        say(mouth, 1, reply)
        await asyncio.sleep(0.3)
        mouth.chime("error")
        await asyncio.sleep(1)

    house.run(script)

    heard, alone = house.heard().astype(int), at_card(reply)
    begin = house.speaker.frame_at(house.diary.told("playback", what="first_sample")[0]["time_s"])  # type: ignore[arg-type]
    rest = (heard[begin : begin + len(alone)] - alone).astype(np.int16)
    find(make_earcons(CARD_HZ)["error"][1:], rest)


async def look(loop: JumpLoop) -> None:
    """Let time pass until the card at rest has just been looked for."""
    await asyncio.sleep((loop.clock.next_due_s() or 0) - loop.time() + 0.01)


def test_the_card_runs_until_five_seconds_after_the_last_sound_then_stops_without_xruns(tmp_path: Path):
    house = House(tmp_path)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        mouth.chime("end")
        await asyncio.sleep(60)
        house.stopped_at = len(house.speaker.heard())
        await look(loop)
        assert (loop.clock.next_due_s() or 0) > loop.time() + LOOK_S - 0.1  # nothing else ticks
        house.begun_s = loop.time()
        mouth.chime("wake")
        await asyncio.sleep(1)
        assert mouth.xruns == 0

    house.run(script)

    assert house.stopped_at / CARD_HZ == pytest.approx(5.2, abs=0.15)
    assert find(make_earcons(CARD_HZ)["wake"][1:], house.heard(house.begun_s)) <= 0.025 * CARD_HZ


def test_an_underrun_of_the_card_is_counted_and_playing_goes_on(tmp_path: Path):
    house, two = House(tmp_path), noise(0.3, WIRE_HZ, seed=8)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        say(mouth, 1, noise(0.5, WIRE_HZ))
        await asyncio.sleep(0.2)
        house.speaker.request_xrun()
        await asyncio.sleep(1)
        say(mouth, 2, two)
        await asyncio.sleep(1)
        assert mouth.xruns == 1

    house.run(script)

    expect(house.heard(), two)


def test_half_the_volume_is_eighteen_decibels_less(tmp_path: Path):
    house, reply = House(tmp_path, AudioConfig(max_volume=50)), noise(0.5, WIRE_HZ)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        say(mouth, 1, reply)
        await asyncio.sleep(1)

    house.run(script)

    find(np.rint(at_card(reply) * 0.125).astype(np.int16), house.heard())


# --- loss ---


def test_a_lost_speaker_is_told_once_forgets_what_waited_and_plays_again_when_found(tmp_path: Path):
    house, two = House(tmp_path), noise(0.5, WIRE_HZ, seed=8)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        say(mouth, 1, noise(10.0, WIRE_HZ))
        await asyncio.sleep(0.5)
        house.speaker.unplug()
        await asyncio.sleep(20)
        house.speaker.replug()
        house.replugged_s = loop.time()
        await asyncio.sleep(6)
        mouth.play(1, noise(1.0, WIRE_HZ))
        say(mouth, 2, two)
        await asyncio.sleep(1)

    house.run(script)

    assert house.diary.events == [
        PlaybackFound(),
        ReplyAudible(1),
        PlaybackLost(f"cannot use playback {house.name!r}: No such device; plug it in"),
        PlaybackFound(),
        ReplyAudible(2),
        PlaybackDrained(2),
    ]
    heard = house.heard(house.replugged_s)
    assert np.count_nonzero(heard) == np.count_nonzero(at_card(two))


def test_a_speaker_pulled_out_and_in_while_it_was_at_rest_is_reopened_without_a_word(tmp_path: Path):
    house, two = House(tmp_path), noise(0.5, WIRE_HZ, seed=8)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        mouth.chime("end")
        await asyncio.sleep(60)
        await look(loop)
        house.speaker.unplug()
        await asyncio.sleep(1)
        house.speaker.replug()
        house.begun_s = loop.time()
        say(mouth, 2, two)
        await asyncio.sleep(1)

    house.run(script)

    assert expect(house.heard(house.begun_s), two) <= PERIOD_S * CARD_HZ
    assert house.diary.of(PlaybackLost) == []


def test_a_speaker_pulled_out_at_rest_is_told_of_and_found_again_within_five_seconds_each(tmp_path: Path):
    house = House(tmp_path)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        await asyncio.sleep(61.7)
        house.speaker.unplug()
        await asyncio.sleep(5)
        assert len(house.diary.of(PlaybackLost)) == 1
        await asyncio.sleep(60)
        found = len(house.diary.of(PlaybackFound))
        house.speaker.replug()
        await asyncio.sleep(5)
        assert len(house.diary.of(PlaybackFound)) == found + 1

    house.run(script)


def test_a_card_that_loses_samples_all_the_time_is_given_up_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    house = House(tmp_path)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        say(mouth, 1, noise(20, WIRE_HZ))
        await asyncio.sleep(1)
        house.speaker.storm(True)
        await asyncio.sleep(2.5)
        house.speaker.storm(False)
        await asyncio.sleep(5)

    house.run(script)

    assert len(house.diary.of(PlaybackLost)) == 1
    assert "xruns in" in caplog.text
    assert isinstance(house.diary.events[-1], PlaybackFound)


def test_a_speaker_found_gone_at_the_next_sound_is_told(tmp_path: Path):
    house = House(tmp_path)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        await asyncio.sleep(1)
        house.speaker.unplug()
        await asyncio.sleep(1)
        mouth.chime("wake")
        await asyncio.sleep(1)

    house.run(script)

    assert [type(event) for event in house.diary.events] == [PlaybackFound, PlaybackLost]


def test_a_speaker_that_cannot_be_opened_is_told_with_the_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    house = House(tmp_path / "nowhere")

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        mouth.chime("wake")
        await asyncio.sleep(20)

    with caplog.at_level(logging.ERROR):
        house.run(script)

    (lost,) = house.diary.events
    assert isinstance(lost, PlaybackLost)
    assert "cannot be written: No such file or directory" in lost.reason
    assert len(caplog.records) == 1


def test_stopping_is_silent_at_once_and_closes_the_speaker(tmp_path: Path):
    house = House(tmp_path)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        say(mouth, 1, noise(5.0, WIRE_HZ))
        await asyncio.sleep(0.5)
        house.dropped_s = loop.time()

    house.run(script)

    assert len(house.heard(house.dropped_s)) <= (PERIOD_S + 0.001) * CARD_HZ
    assert house.speaker.in_use is None
