"""How loud both ends are, from a card's samples on: what the volume and the gain do in software."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import numpy as np
import pytest

from pivoice.audio import controls, simulated_mixer
from pivoice.audio.capture import Ears
from pivoice.audio.conditioning import Conditioning
from pivoice.audio.controls import choose, loudest_softness
from pivoice.audio.loudness_scale import Scale, gain_factor, level_db, softness
from pivoice.audio.pcm import Samples
from pivoice.audio.playback import Mouth
from pivoice.audio.ports import Side
from pivoice.audio.simulated_mixer import Fitting
from pivoice.config import AudioConfig
from pivoice.simulation import JumpLoop
from pivoice.turn.events import Valve
from tests.audio.fakes import noise, tone
from tests.audio.house import House as EarHouse
from tests.audio.test_playback import House as MouthHouse
from tests.audio.test_playback import at_card, say

RATE_HZ, WIRE_HZ = 48000, 24000


def rms(sound: Samples) -> float:
    return float(np.sqrt(np.mean(np.square(sound.astype(np.float64)))))


# --- the scale ---


@pytest.mark.parametrize(("level", "db"), [(100, 0), (80, -5.8), (50, -18.1), (20, -41.9), (1, -120)])
def test_the_scale_is_the_same_in_decibels_and_in_samples(level: int, db: float):
    assert level_db(level) == pytest.approx(db, abs=0.05)
    assert 20 * math.log10(softness(level)) == pytest.approx(db, abs=0.05)


def test_nothing_is_silence():
    assert softness(0) == 0.0
    assert level_db(0) == -math.inf


@pytest.mark.parametrize(("gain", "db"), [(50, 0), (100, 30), (0, -30), (60, 6)])
def test_the_microphones_scale_in_samples_has_its_middle_at_nothing(gain: int, db: float):
    assert 20 * math.log10(gain_factor(gain)) == pytest.approx(db)


@pytest.mark.parametrize(
    ("scale", "top"),
    [
        (Scale("playback", -50.0, 0.0), 0.0),
        (Scale("playback", -50.0, -3.0), -3.0),
        (Scale("playback", -102.0, 4.0), 0.0),  # a Pi's own socket
        (Scale("playback", 0.0, 39.0), 39.0),  # counts from somewhere else
        (Scale("capture", -17.0, 30.0), 30.0),
        (Scale("playback", 0.0, 1.0, has_db=False), 1.0),
    ],
)
def test_full_is_a_speakers_0_db_and_a_microphones_most(scale: Scale, top: float):
    assert scale.top == top
    assert scale.level_of(top) == 100


@pytest.mark.parametrize("has_db", [True, False])
@pytest.mark.parametrize("level", [10, 35, 60, 100])
def test_what_a_level_is_on_a_control_is_that_level(level: int, has_db: bool):
    scale = Scale("playback", -90.0, 6.0) if has_db else Scale("playback", 0.0, 1.0, has_db=False)

    assert scale.level_of(scale.value_of(level)) == level


# --- which of a card's controls ---


@pytest.mark.parametrize(
    ("names", "side", "chosen"),
    [
        (["Speaker", "Mic", "Auto Gain Control"], "playback", "Speaker"),  # a USB dongle
        (["Mic", "Speaker"], "capture", "Mic"),
        (["Headphone", "Speaker", "PCM", "Mono Output Mixer Left"], "playback", "PCM"),
        (["Headphone", "Speaker", "Playback", "Left Input Boost Mixer LINPUT1"], "playback", "Playback"),
        (["Capture", "ADC PCM", "Left Input Boost Mixer LINPUT1"], "capture", "Capture"),  # WM8960
        (["Digital", "Analogue", "Analogue Playback Boost"], "playback", "Digital"),  # HiFiBerry
        (["Headphone"], "playback", "Headphone"),  # a Pi's socket
        (["Master", "PCM", "Front Mic Boost"], "playback", "Master"),
        (["Jabra SPEAK 510"], "playback", "Jabra SPEAK 510"),
        (["USB Audio PCM", "Sidetone"], "playback", "USB Audio PCM"),
        (["Mic", "Sidetone", "Mic Boost"], "playback", None),
        (["Mic Boost", "AGC"], "capture", None),
        (["Gadget", "Gizmo"], "playback", None),
        ([], "playback", None),
    ],
)
def test_the_control_that_is_meant_is_found_by_its_name(names: list[str], side: Side, chosen: str | None):
    assert choose(names, side) == chosen


# --- the speaker ---


def test_everything_is_softer_chimes_too_from_the_first_sample_on(tmp_path: Path):
    sounds = []
    for name, factor in (("soft", 0.25), ("full", 1.0)):

        async def script(loop: JumpLoop, mouth: Mouth, factor: float = factor) -> None:
            mouth.soften(factor)
            mouth.chime("wake")
            await asyncio.sleep(1.0)
            say(mouth, 1, noise(1.0, WIRE_HZ))
            await asyncio.sleep(1.5)

        (tmp_path / name).mkdir()
        house = MouthHouse(tmp_path / name)
        house.run(script)
        sounds.append(house.heard())

    soft, full = sounds
    assert full.any()
    assert np.abs(soft - np.rint(full * 0.25)).max() <= 1


def test_a_reply_that_is_softened_as_it_plays_goes_there_smoothly_and_stays(tmp_path: Path):
    house, reply = MouthHouse(tmp_path), tone(2.0, WIRE_HZ)

    async def script(loop: JumpLoop, mouth: Mouth) -> None:
        say(mouth, 1, reply)
        await asyncio.sleep(1.0)
        mouth.soften(0.1)
        await asyncio.sleep(1.5)

    house.run(script)

    heard, whole = house.heard(), at_card(reply)
    steepest = np.abs(np.diff(whole.astype(int))).max()
    assert np.abs(np.diff(heard.astype(int))).max() <= 1.1 * steepest
    begin = int(heard.nonzero()[0][0])
    end = begin + len(whole)
    assert rms(heard[end - RATE_HZ // 2 : end - 100]) == pytest.approx(0.1 * rms(whole), rel=0.02)


# --- the microphone ---


def test_the_ears_are_amplified_beside_the_configured_gain(tmp_path: Path):
    house = EarHouse(tmp_path, room=tone(3.0, RATE_HZ) // 10)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        ears.amplify(4.0)
        ears.set_valve(Valve.LIVE)
        await asyncio.sleep(1.0)
        ears.amplify(0.5)
        await asyncio.sleep(1.0)

    house.run(script)

    sent, plain = house.sent(), rms(tone(1.0, RATE_HZ) // 10)
    assert rms(sent[WIRE_HZ // 4 : WIRE_HZ // 2]) == pytest.approx(4.0 * plain, rel=0.02)
    assert rms(sent[WIRE_HZ * 3 // 2 : WIRE_HZ * 7 // 4]) == pytest.approx(0.5 * plain, rel=0.02)


def test_a_gain_that_changes_makes_no_leap_and_one_before_the_first_sample_is_there_at_once():
    stage = Conditioning(RATE_HZ, gain_db=6.0)
    stage.amplify(0.5)
    sound = np.full(960, 8000, np.int16)

    first = stage.apply(sound)
    stage.amplify(2.0)
    later = np.concatenate([stage.apply(sound) for _ in range(10)])

    assert first[0] == pytest.approx(8000, abs=20)  # +6 dB and -6 dB
    assert np.abs(np.diff(np.concatenate([first, later]).astype(int))).max() < 30
    assert later[-1] == pytest.approx(32000, rel=0.02)


def test_what_lies_below_16_bits_is_heard_after_a_gain_of_any_kind():
    stage = Conditioning(RATE_HZ, gain_db=0.0)
    stage.amplify(100.0)
    faint = (0.4 * np.sin(2 * np.pi * 500 * np.arange(RATE_HZ) / RATE_HZ)).astype(np.float32)

    heard = np.concatenate([stage.apply(faint[at : at + 960]) for at in range(0, RATE_HZ, 960)])

    assert rms(heard) == pytest.approx(40 / math.sqrt(2), rel=0.02)


# --- how loud the doctor plays ---


@pytest.mark.parametrize(("value", "most", "factor"), [(-10.0, 100, 1.0), (0.0, 50, 0.125), (-20.0, 50, 1.0)])
def test_the_doctor_plays_as_loud_as_the_daemon_would_and_moves_nothing(
    tmp_path: Path, value: float, most: int, factor: float
):
    pcm = f"simulated:{tmp_path / 'card.wav'}"
    fitting = simulated_mixer.fit(pcm, Fitting("PCM", Scale("playback", -60.0, 0.0), value=value))

    loudest = loudest_softness(AudioConfig(playback=pcm, max_volume=most), None)
    simulated_mixer.remove(pcm)

    assert loudest == pytest.approx(factor, rel=0.01)
    assert not fitting.writes
    assert loudest_softness(AudioConfig(playback=pcm, max_volume=most), None) == softness(most)


def test_a_card_that_fails_is_no_reason_not_to_play(tmp_path: Path):
    pcm = f"simulated:{tmp_path / 'card.wav'}"
    simulated_mixer.fit(pcm, Fitting("PCM", Scale("playback", -60.0, 0.0), fault="Input/output error"))

    loudest = loudest_softness(AudioConfig(playback=pcm, max_volume=50), None)
    simulated_mixer.remove(pcm)

    assert loudest == softness(50)
    assert controls.may_have_one("default", "playback", "none") is False
