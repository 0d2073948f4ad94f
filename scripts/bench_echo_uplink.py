"""What `scripts/bench echo` measures between two cards: ears, mouth and canceller, and nobody who decides.

Every function takes one cell of a row, runs in a process of its own, and returns what it counted.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from echo_voices import wake_clips
from numpy.typing import NDArray
from pystoi import stoi

from pivoice.audio.gate import HalfDuplexGate
from pivoice.audio.reference import Reference
from pivoice.audio.resample import Resampler
from pivoice.audio.stage import open_stage
from pivoice.audio.tap import open_tap
from pivoice.config import WakeConfig
from pivoice.wake.detector import Detector, open_detector
from tests.support.cuts import cut_replies, summary
from tests.support.duplex import Duplex
from tests.support.judges import lag, return_loss_db, within
from tests.support.rooms import RATE_HZ, Room, speech_level
from tests.support.speech import load_speech

Samples = NDArray[np.int16]

WIRE_HZ = 24_000
SETTLED_S = 6.0


class Count(NamedTuple):
    """So many of so many, and what there was besides."""

    hits: int
    tries: int
    extra: int = 0


def return_loss(room: Room, seconds: float) -> float:
    """Return AEC3's echo return loss from 6 s on, in dB: no gate, no mute."""
    with tempfile.TemporaryDirectory() as folder:
        box = Duplex(Path(folder), room)
        _keep_talking(box, seconds)
        box.run(seconds)
    assert box.canceller is not None, "it is what is measured"
    near, far, left = (sound[round(SETTLED_S * RATE_HZ) :] for sound in box.canceller.recorded())
    return return_loss_db(near, far, left)


def wake_words(room: Room, near_echo_db: float, clips: int) -> Count:
    """Count the wake words that are heard over replies, and the wakes that nobody said."""
    with tempfile.TemporaryDirectory() as folder:
        box = Duplex(Path(folder), room, detectors=_detectors())
        said, seconds = [], 6.0
        for clip in wake_clips()[:clips]:
            said.append(box.user(clip, near_echo_db, at_s=seconds))
            seconds += 4.1  # away from the pauses of the reply, which is what repeats
        _keep_talking(box, seconds)
        box.run(seconds + 1)
    heard = [within(box.wakes_s, start_s, end_s + 1.0) for start_s, end_s in said]
    hits = sum(bool(each) for each in heard)
    return Count(hits, len(said), len(box.wakes_s) - sum(len(each) for each in heard))


def own_wake_words(room: Room) -> Count:
    """Count the wakes by the agent that says the wake word itself: in its own voice, and in the user's."""
    words = [load_speech("agent_jarvis").at_rate(WIRE_HZ), *wake_clips(WIRE_HZ)]
    with tempfile.TemporaryDirectory() as folder:
        box = Duplex(Path(folder), room, detectors=_detectors())
        box.reply(load_speech("agent_weather").at_rate(WIRE_HZ), at_s=0.5)
        at_s = 5.0
        for each in words:
            box.reply(each, at_s=at_s)
            at_s += len(each) / WIRE_HZ + 2.5
        box.run(at_s)
    return Count(len(box.wakes_s), len(words), box.ignored_wakes)


class Alone(NamedTuple):
    """What became of a user whom nobody talks over."""

    level_db: float
    stoi: float


def user_alone(room: Room, words: str) -> Alone:
    """Measure the user through a running canceller, whose speaker is silent."""
    with tempfile.TemporaryDirectory() as folder:
        box = Duplex(Path(folder), room)
        box.reply(load_speech("agent_short").at_rate(WIRE_HZ), at_s=0.5)
        start_s, _ = box.user(load_speech(words).at_rate(RATE_HZ), 6.0, at_s=2.0)
        spoken = box.live.user(load_speech(words).at_rate(RATE_HZ), 6.0)
        box.run(start_s + len(spoken) / RATE_HZ + 0.5)
    late = lag(box.uplink, np.concatenate([np.zeros(round(start_s * RATE_HZ), np.int16), spoken]))
    first = round(start_s * RATE_HZ) + late
    heard = box.uplink[first : first + len(spoken)]
    before, after = speech_level(spoken / 32768), speech_level(heard / 32768)
    return Alone(20 * np.log10(after / before), float(stoi(spoken / 32768, heard / 32768, RATE_HZ)))


def added_delay(mic_hz: int) -> float:
    """Return by how many ms samples go up later through a running canceller than without one, on average.

    A sample goes up at the end of the 20 ms period that it comes out in: one may be no later, another 20 ms.
    """
    none, webrtc = (_ways_up(echo, mic_hz) for echo in ("none", "webrtc"))
    later = lag(webrtc[1], none[1])
    index = np.arange(3 * WIRE_HZ, 5 * WIRE_HZ)
    return float(1000 * np.mean(_put_at_s(webrtc[0], index + later) - _put_at_s(none[0], index)))


def flush_quality(count: int) -> dict[str, float]:
    """Return the figures of so many cuts in loud vowels: no microphone, no room, only the mouth."""
    with tempfile.TemporaryDirectory() as folder:
        return summary(cut_replies(Path(folder), count=count))


def computing(seconds: float) -> tuple[float, float]:
    """Return what canceller and gate, and the tap, cost, as multiples of resampling 48 to 16 kHz."""
    words = load_speech("agent_long").at_rate(RATE_HZ)[: round(seconds * RATE_HZ)]
    near = Room().microphone(words)
    card = load_speech("agent_long").at_rate(48_000)[: round(seconds * 48_000)]
    stage_s, tap_s, resampling_s = [], [], []
    for _ in range(3):
        resampling_s.append(_resampling_s(card))
        stage_s.append(_stage_s(near, words))
        tap_s.append(_tap_s(near, words))
    whole, tap, resampling = min(stage_s), min(tap_s), min(resampling_s)
    return (whole - tap) / resampling, tap / resampling


def _keep_talking(box: Duplex, seconds: float) -> None:
    words, at_s = load_speech("agent_long").at_rate(WIRE_HZ), 0.5
    while at_s < seconds:
        box.reply(words, at_s=at_s)
        at_s += len(words) / WIRE_HZ + 0.3


def _detectors() -> tuple[Detector, Detector]:
    near, far = open_detector(WakeConfig()), open_detector(WakeConfig())
    assert near and far, "there is a wake word by default"
    return near, far


def _ways_up(echo: str, mic_hz: int) -> tuple[list[tuple[float, int]], Samples]:
    """Return when how many samples had gone up, and all of them, 24 kHz."""
    with tempfile.TemporaryDirectory() as folder:
        box = Duplex(Path(folder), Room(noise_db=-60), echo=echo, stalls=False, mic_hz=mic_hz)
        box.chime("wake", at_s=1.0)
        box.user(load_speech("user_barge").at_rate(RATE_HZ), 0.0, at_s=2.7)
        box.run(6.0)
    return box.put_s, box.wire


def _put_at_s(puts: list[tuple[float, int]], index: NDArray[np.int64]) -> NDArray[np.float64]:
    times = np.array([time_s for time_s, _ in puts])
    ends = np.array([end for _, end in puts])
    return times[np.searchsorted(ends, index, side="right")]


def _resampling_s(card: Samples) -> float:
    stream, begun_s = Resampler(48_000, RATE_HZ), time.process_time()
    for start in range(0, len(card), 960):
        stream.process(card[start : start + 960])
    return time.process_time() - begun_s


def _stage_s(near: Samples, far: Samples) -> float:
    reference, gate = Reference(), HalfDuplexGate()
    stage = open_stage("webrtc", reference, gate)
    reference.open(RATE_HZ)
    gate.heard_until(len(near) / RATE_HZ, since_s=0.0)
    spent_s = 0.0
    for start in range(0, len(near) - 319, 320):
        reference.push(far[start : start + 320], start / RATE_HZ + 0.02)
        begun_s = time.process_time()
        stage.process(near[start : start + 320], start_s=start / RATE_HZ)
        spent_s += time.process_time() - begun_s
    return spent_s


def _tap_s(near: Samples, far: Samples) -> float:
    tap, begun_s = open_tap(), time.process_time()
    for start in range(0, len(near) - 319, 320):
        tap.process(near[start : start + 320], far[start : start + 320])
    return time.process_time() - begun_s
