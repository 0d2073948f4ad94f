"""The wake word's ear on the ring: a microphone that was closed in between leaves nothing behind."""

from __future__ import annotations

import numpy as np

from pivoice.audio.buffers import EAR_HZ, SpokenRing
from pivoice.audio.gate import HalfDuplexGate
from pivoice.audio.intake import HeardRing
from pivoice.audio.pcm import Samples
from pivoice.audio.stage import Heard
from pivoice.audio.wake_ear import Listening, OwnVoice, WakeEar
from pivoice.clock import SystemClock
from pivoice.config import WakeConfig
from pivoice.wake.near_misses import Clip, NearMisses
from pivoice.wake.policy import policy_of
from tests.audio.fakes import Diary, noise

BLOCK = 1280


class WritingDetector:
    """Writes down what it hears; a block that begins with 40 scores 0.4, and so on."""

    block_frames = BLOCK
    memory_blocks: int | None = 26
    models = ("hey_writer",)

    def __init__(self) -> None:
        self.heard: list[Samples] = []

    def score(self, block: Samples) -> dict[str, float]:
        self.heard.append(block)
        return {"hey_writer": max(0, min(int(block[0]), 100)) / 100}

    def replay(self, sound: Samples) -> None:
        raise AssertionError("nothing was missed")

    def reset(self) -> None:
        self.heard.clear()


class Room:
    """A ring and an ear on it."""

    def __init__(self) -> None:
        self.detector = WritingDetector()
        self.kept: list[Clip] = []
        self.gate = HalfDuplexGate()
        self.ring = HeardRing(has_canceller=False)
        wake, diary = WakeConfig(), Diary()
        listening = Listening(
            self.detector,
            policy=policy_of(wake),
            near_misses=NearMisses(wake.threshold_of, refractory_s=wake.refractory_s),
            keep=lambda clip, _: self.kept.append(clip),
        )
        self.ear = WakeEar(
            listening,
            self.ring,
            OwnVoice(None, SpokenRing(), self.gate),
            clock=SystemClock(),
            post=diary.post,
            report=diary.report,
        )
        self.open()

    def open(self) -> None:
        self.ring.leap(0)
        self.ear.open(EAR_HZ)

    def hear(self, sound: Samples) -> None:
        self.ring.append(Heard(sound, sound))
        self.ear.listen(end_s=self.ring.end / EAR_HZ)


def test_after_a_gap_the_detector_is_as_new_and_its_blocks_begin_with_the_first_sample():
    room, before, after = Room(), noise(1.0, EAR_HZ), noise(0.5, EAR_HZ) // 2
    room.hear(before)
    assert len(before) % BLOCK and len(room.detector.heard) == len(before) // BLOCK

    room.open()
    room.hear(after)

    whole = len(after) // BLOCK * BLOCK
    assert np.array_equal(np.concatenate(room.detector.heard), after[:whole])


def test_what_was_about_to_be_kept_when_the_microphone_closed_is_not():
    near, quiet = np.full(BLOCK, 40, np.int16), np.zeros(10 * BLOCK, np.int16)
    whole, cut = Room(), Room()

    for room in (whole, cut):
        room.hear(np.concatenate([near, quiet[: 2 * BLOCK]]))
    cut.open()
    for room in (whole, cut):
        room.hear(quiet)

    assert len(whole.kept) == whole.ear.near_misses == 1
    assert not cut.kept


def test_no_recording_is_kept_that_the_agent_spoke_into():
    near, quiet = np.full(BLOCK, 40, np.int16), np.zeros(BLOCK, np.int16)
    alone, spoken_into = Room(), Room()

    for room in (alone, spoken_into):
        room.hear(near)
    spoken_into.gate.heard_until(0.35, since_s=0.25)
    for room in (alone, spoken_into):
        for _ in range(24):
            room.hear(quiet)

    assert len(alone.kept) == 1
    assert not spoken_into.kept


def test_a_wake_word_is_no_near_miss():
    room = Room()

    room.hear(np.concatenate([np.full(BLOCK, 90, np.int16), np.zeros(20 * BLOCK, np.int16)]))

    assert not room.kept
