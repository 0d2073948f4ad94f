"""The short version of `scripts/bench echo`: what the canceller must hold, in a room, through real threads.

Ears, mouth, canceller and tap on simulated cards: a speaker that distorts, clocks 100 ppm apart, threads that
stall. The floors are the bench's; the whole bench has more rooms, more voices, and the daemon besides.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from pivoice.config import WakeConfig
from pivoice.wake.detector import Detector, open_detector
from tests.support.duplex import Duplex
from tests.support.judges import lag, loud_turns, return_loss_db, turns, within
from tests.support.rooms import RATE_HZ, Room, speech_level
from tests.support.speech import load_speech

WIRE_HZ = 24_000
ROOMS = {"mild": Room(0, "mild", 80.0, seed=4), "strong": Room(1, "strong", 20.0, seed=7)}
FLOOR_DB = {"mild": 30.0, "strong": 20.0}


def said(name: str, rate_hz: int) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return load_speech(name).at_rate(rate_hz)


def detectors() -> tuple[Detector, Detector]:
    near, far = open_detector(WakeConfig()), open_detector(WakeConfig())
    assert near and far
    return near, far


@lru_cache
def nobody_but_the_agent(distortion: str) -> Duplex:
    """Return what came of 21 s of reply that nobody spoke over."""
    with TemporaryDirectory() as folder:
        box = Duplex(Path(folder), ROOMS[distortion])
        box.reply(said("agent_long", WIRE_HZ), at_s=0.5)
        box.run(21.0)
    return box


@pytest.mark.parametrize("distortion", ["mild", "strong"])
def test_the_echo_returns_softer_by_30_db_and_by_20_from_a_speaker_that_distorts(distortion: str):
    canceller = nobody_but_the_agent(distortion).canceller
    assert canceller is not None

    near, far, left = (sound[6 * RATE_HZ :] for sound in canceller.recorded())

    assert return_loss_db(near, far, left) >= FLOOR_DB[distortion]


@pytest.mark.parametrize("distortion", ["mild", "strong"])
def test_nothing_of_a_reply_goes_up_that_passes_for_a_turn(distortion: str):
    box = nobody_but_the_agent(distortion)

    assert turns(box.uplink) == []
    assert loud_turns(box.uplink) == []


@pytest.mark.parametrize("near_echo_db", [0.0, -5.0, -10.0])
def test_a_user_who_talks_over_a_reply_is_heard_to_begin_a_turn(tmp_path: Path, near_echo_db: float):
    box = Duplex(tmp_path, ROOMS["mild"])
    box.reply(said("agent_long", WIRE_HZ), at_s=0.5)
    begun_s, ended_s = box.user(said("user_barge", RATE_HZ), near_echo_db, at_s=5.0)

    box.run(8.0)

    found = turns(box.uplink)
    assert within(found, begun_s, ended_s)
    assert found == within(found, begun_s, ended_s + 0.2)


def through_a_silent_speaker(
    folder: Path, echo: str
) -> tuple[Duplex, np.ndarray[tuple[int], np.dtype[np.int16]]]:
    """Return what went up of a user while a speaker ran that had nothing to say, and what the user said."""
    box = Duplex(folder, Room(1, noise_db=-60.0), echo=echo, stalls=False)
    box.chime("wake", at_s=0.5)
    box.user(said("user_barge", RATE_HZ), 6.0, at_s=2.0)
    box.run(5.0)
    return box, box.live.user(said("user_barge", RATE_HZ), 6.0)


def test_the_uplink_is_at_most_12_ms_later_than_without_a_canceller(tmp_path: Path):
    (with_none, _), (with_webrtc, _) = (
        through_a_silent_speaker(tmp_path / echo, echo) for echo in ("none", "webrtc")
    )

    later = lag(with_webrtc.uplink, with_none.uplink)

    assert 0 < later <= 0.012 * RATE_HZ
    assert len(with_webrtc.uplink) == len(with_none.uplink)


def test_a_user_alone_goes_up_as_loud_as_they_came_in(tmp_path: Path):
    box, spoken = through_a_silent_speaker(tmp_path, "webrtc")
    first = 2 * RATE_HZ + 128

    heard = box.uplink[first : first + len(spoken)]

    change_db = 20 * np.log10(speech_level(heard / 32768) / speech_level(spoken / 32768))
    assert abs(change_db) <= 1.0


def test_the_wake_word_is_heard_over_a_reply_that_is_louder_than_the_user(tmp_path: Path):
    box = Duplex(tmp_path, ROOMS["mild"], detectors=detectors())
    box.reply(said("agent_long", WIRE_HZ), at_s=0.5)
    clips = (("user_wake", 6.0), ("user_wake_time", 10.3))
    words = [box.user(said(name, RATE_HZ), -6.0, at_s=at_s) for name, at_s in clips]

    box.run(12.5)

    assert [len(within(box.wakes_s, start_s, end_s + 0.5)) for start_s, end_s in words] == [1, 1]
    assert len(box.wakes_s) == 2


@pytest.mark.parametrize("distortion", ["mild", "strong"])
def test_the_agent_does_not_wake_the_device_by_saying_the_wake_word(tmp_path: Path, distortion: str):
    box = Duplex(tmp_path, ROOMS[distortion], detectors=detectors())
    replies = ("agent_jarvis", "agent_weather", "agent_tomorrow", "agent_jarvis", "agent_jarvis")
    for number, name in enumerate(replies):
        box.reply(said(name, WIRE_HZ), at_s=0.5 + 4.5 * number)

    box.run(23.0)

    assert box.wakes_s == []
    heard_s = [facts["time_s"] for kind, facts in box.reports if kind == "wake"]
    assert all(float(str(each)) < 5 for each in heard_s), (
        "only the check for our own voice kept it from waking"
    )
