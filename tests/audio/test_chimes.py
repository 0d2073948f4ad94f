"""Earcons on the speaker: beside each other and replies, hushed, and what half duplex knows of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pivoice.audio.buffers import EAR_HZ, SpokenRing
from pivoice.audio.chimes import Chimes, Hush
from pivoice.audio.earcons import NAMES, Earcons, make_earcon
from pivoice.audio.gate import TAIL_S, TONE_TAIL_S, HalfDuplexGate
from pivoice.audio.pcm import Samples
from pivoice.audio.playback import ECHOING, Mouth
from pivoice.audio.wake_ear import OwnVoice
from pivoice.config import AudioConfig, EarconsConfig
from pivoice.simulation import JumpLoop
from tests.audio.fakes import MarkDetector, find, noise, tone, write_wav
from tests.audio.test_playback import CARD_HZ, House, at_card, say

RAMP = np.linspace(1, 0, 240, dtype=np.float32)


def played(chimes: Chimes, frames: int, *, period: int = 960) -> Samples:
    parts = []
    for _ in range(frames // period):
        sound = np.zeros(period, np.float32)
        chimes.add_to(sound)
        parts.append(sound)
    return np.concatenate(parts).astype(np.int16)


def one(config: EarconsConfig | None = None, *, rate_hz: int = CARD_HZ) -> Chimes:
    return Chimes(Earcons(config), rate_hz, ramp=RAMP)


def long_file(tmp_path: Path, *, seconds: float = 3.0, rate_hz: int = 44100) -> EarconsConfig:
    sound = noise(seconds, rate_hz, peak=12000)
    return EarconsConfig(timer=str(write_wav(tmp_path / "song.wav", sound, rate_hz)))


# --- what is played ---


@pytest.mark.parametrize("rate_hz", [8000, 192_000])
@pytest.mark.parametrize("name", NAMES)
def test_a_sound_is_played_to_the_sample_period_by_period(name: str, rate_hz: int):
    chimes, whole = one(rate_hz=rate_hz), Earcons().sound(name, rate_hz)
    period = rate_hz // 50

    chimes.obey(name)

    heard = played(chimes, len(whole) + 2 * period, period=period)
    assert np.array_equal(heard[: len(whole)], whole)
    assert not heard[len(whole) :].any() and not chimes


def test_a_long_file_is_brought_to_the_cards_rate_as_it_is_played(tmp_path: Path):
    chimes, whole = one(long_file(tmp_path)), Earcons(long_file(tmp_path)).sound("timer", CARD_HZ)

    chimes.obey("timer")

    heard = played(chimes, len(whole) + 960)
    assert np.array_equal(heard[: len(whole)], whole)


def test_two_earcons_at_once_are_both_heard():
    chimes = one()
    chimes.obey("mute")

    first = played(chimes, 960)
    chimes.obey("error")

    rest = played(chimes, 30 * 960)
    mute, error = make_earcon("mute", CARD_HZ).astype(int), make_earcon("error", CARD_HZ)
    wanted = np.zeros(30 * 960, int)
    wanted[: len(mute) - 960] += mute[960:]
    wanted[: len(error)] += error
    assert np.array_equal(first, mute[:960])
    assert np.array_equal(rest, wanted)


def test_one_that_still_sounds_is_not_begun_on_top_of_itself():
    chimes, ring = one(), make_earcon("timer", CARD_HZ)

    for _ in range(3):
        chimes.obey("timer")

    assert np.array_equal(played(chimes, 50 * 960)[: len(ring)], ring)
    chimes.obey("timer")
    assert np.array_equal(played(chimes, 50 * 960)[: len(ring)], ring)  # over: it may come again


def test_one_that_is_switched_off_is_nothing():
    chimes = one(EarconsConfig(wake="off"))

    chimes.obey("wake")

    assert not chimes


def test_what_is_hushed_ends_in_a_ramp_and_nothing_else_does(tmp_path: Path):
    chimes = one(long_file(tmp_path))
    chimes.obey("timer")
    played(chimes, 960)
    chimes.obey("volume")
    chimes.obey(Hush("timer"))

    heard = played(chimes, 4800).astype(int)

    heard[: round(0.06 * CARD_HZ)] -= make_earcon("volume", CARD_HZ)
    whole = Earcons(long_file(tmp_path)).sound("timer", CARD_HZ)[960 : 960 + 240]
    assert np.array_equal(heard[:240], np.rint(whole * RAMP).astype(int))
    assert not heard[240:].any()


def test_what_is_hushed_may_begin_anew_at_once():
    chimes, ring = one(), make_earcon("timer", CARD_HZ)
    chimes.obey("timer")
    played(chimes, 960)
    chimes.obey(Hush("timer"))
    chimes.obey("timer")

    assert np.array_equal(played(chimes, 50 * 960)[240 : len(ring)], ring[240:])


def test_hushing_what_does_not_sound_is_nothing():
    chimes = one()

    chimes.obey(Hush("timer"))

    assert not chimes


def test_the_wake_earcon_ends_whatever_else_sounds():
    chimes, wake = one(), make_earcon("wake", CARD_HZ)
    chimes.obey("no_network")
    played(chimes, CARD_HZ)

    chimes.obey("wake")

    assert np.array_equal(played(chimes, 960 * 20)[240 : len(wake)], wake[240:])


# --- on the speaker ---


@pytest.mark.parametrize("name", ["mute", "unmute", "error", "volume", "working"])
def test_an_earcon_over_a_reply_leaves_the_reply_as_it_is(tmp_path: Path, name: str):
    house, reply = House(tmp_path), tone(1.0, 24000, peak=5000)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        say(mouth, 1, reply)
        await asyncio.sleep(0.3)
        mouth.chime(name)
        await asyncio.sleep(1)

    house.run(script)

    heard, alone = house.heard().astype(int), at_card(reply)
    begin = house.speaker.frame_at(house.diary.told("playback", what="first_sample")[0]["time_s"])  # type: ignore[arg-type]
    find(make_earcon(name, CARD_HZ)[1:], (heard[begin : begin + len(alone)] - alone).astype(np.int16))


def test_a_ring_that_was_answered_is_silent_within_a_tenth_of_a_second(tmp_path: Path):
    house = House(tmp_path, audio=AudioConfig(earcons=long_file(tmp_path, seconds=20.0)))

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        mouth.chime("timer")
        await asyncio.sleep(2)
        house.dropped_s = loop.time()
        mouth.hush("timer")
        await asyncio.sleep(1)

    house.run(script)

    assert house.heard(house.dropped_s)[:1000].any()
    assert not house.heard(house.dropped_s + 0.1).any()


def test_what_was_asked_for_while_the_card_was_away_is_not_heard_when_it_is_back(tmp_path: Path):
    house = House(tmp_path)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        mouth.chime("timer")
        await asyncio.sleep(0.3)
        house.speaker.unplug()
        await asyncio.sleep(1)
        mouth.chime("error")
        mouth.hush("error")
        house.speaker.replug()
        house.replugged_s = loop.time()
        await asyncio.sleep(4)
        assert not house.heard(house.replugged_s).any()
        mouth.chime("wake")
        await asyncio.sleep(1)

    house.run(script)

    find(make_earcon("wake", CARD_HZ)[1:], house.heard(house.replugged_s))


# --- what half duplex, and the canceller, know ---


def gate_after(house: House, name: str, seconds: float) -> HalfDuplexGate:
    """Return what is known after `name` was played at 1 s."""
    house.gate = HalfDuplexGate()

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        await asyncio.sleep(1 - loop.time())
        mouth.chime(name)
        await asyncio.sleep(seconds)

    house.run(script)
    return house.gate


@pytest.mark.parametrize("name", ["wake", "end", "error", "unmute", "timer", "volume", "working"])
def test_no_earcon_closes_the_gate_but_all_are_known_to_have_sounded(tmp_path: Path, name: str):
    gate = gate_after(House(tmp_path), name, 2.0)

    assert not gate.is_closed(0, 10)
    assert not gate.was_audible(0)
    assert gate.was_heard(1.0)
    assert not gate.was_heard(1.1 + Earcons().duration_s(name))


@pytest.mark.parametrize("name", ["cap", "bad_key", "no_network"])
def test_a_sentence_closes_the_gate_while_it_is_spoken(tmp_path: Path, name: str):
    """It is speech: the agent would answer it."""
    house, ends_s = House(tmp_path), 1.0 + Earcons().duration_s(name)

    gate = gate_after(house, name, 8.0)

    step = CARD_HZ // 100
    begins = house.speaker.frame_at(1.0)
    heard = house.heard(1.0)[: 6 * CARD_HZ].reshape(-1, step)
    loud = np.flatnonzero(np.abs(heard.astype(int)).max(axis=1) >= ECHOING)
    times_s = [house.speaker.time_of(begins + int(at) * step) for at in loud]
    assert len(times_s) > 150
    assert all(gate.is_closed(at_s, at_s + 0.01) for at_s in times_s)
    assert not gate.is_closed(0, 1.0)
    assert not gate.is_closed(ends_s + 0.1 + TAIL_S, 20)


def test_the_user_who_wakes_it_in_a_sentence_has_the_floor_at_once(tmp_path: Path):
    gate = HalfDuplexGate()

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        mouth.chime("no_network")
        await asyncio.sleep(1.5 - loop.time())
        mouth.chime("wake")
        gate.cut(loop.time())  # as the way up does when it opens
        await asyncio.sleep(3)

    House(tmp_path, gate=gate).run(script)

    assert gate.is_closed(1.4, 1.5)
    assert not gate.is_closed(1.5, 10)


def test_an_owners_sound_that_says_the_wake_word_is_known_for_our_own(tmp_path: Path):
    spoken, gate = SpokenRing(), HalfDuplexGate()
    spoken.set_rate(EAR_HZ)
    spoken.append(np.full(EAR_HZ, MarkDetector.MARK, np.int16))
    voice = OwnVoice(MarkDetector(), spoken, gate)

    before = voice.says("hey_mark", 0.5, 5.0)
    gate.chimed(4.9, since_s=4.0, is_tonal=False)

    assert (before, voice.says("hey_mark", 0.5, 5.0)) == (False, True)
    assert not voice.was_heard(5.0)  # a near miss of the user's is still worth keeping


def test_a_sound_that_is_switched_off_is_silence(tmp_path: Path):
    house = House(tmp_path)
    house.audio = replace(house.audio, earcons=EarconsConfig(end="off"))

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        mouth.chime("end")
        await asyncio.sleep(1)

    house.run(script)

    assert not house.heard().any()


def test_only_our_own_tones_are_known_for_tones(tmp_path: Path):
    """An owner's file may be somebody who says "yes?"."""
    for number, (config, name, is_tonal) in enumerate(
        [
            (EarconsConfig(), "wake", True),
            (EarconsConfig(wake="/usr"), "wake", False),
            (EarconsConfig(), "cap", False),
            (EarconsConfig(cap="off"), "cap", True),
        ]
    ):
        if config.wake != "on":
            config = EarconsConfig(wake=str(write_wav(tmp_path / "yes.wav", noise(0.2, 48000), 48000)))
        folder = tmp_path / str(number)
        folder.mkdir()

        gate = gate_after(House(folder, audio=AudioConfig(earcons=config)), name, 2.0)

        assert gate.is_toned(1.0, 1.3) is is_tonal
        assert not gate.is_toned(0.5, 1.0)
        assert not gate.is_toned(1.4 + Earcons(config).duration_s(name) + TONE_TAIL_S, 9.0)
