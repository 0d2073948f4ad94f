"""What every wake-word engine keeps, the real one and the simulated one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pivoice.wake.detector import RATE_HZ, Detector, Samples
from pivoice.wake.micro import MicroDetector
from pivoice.wake.openwakeword import OpenWakeWordDetector
from pivoice.wake.simulated import SimulatedDetector, Word
from tests.support.speech import load_speech

MakeDetector = Callable[[], Detector]


def wake_word() -> Samples:
    return load_speech("user_wake").at_rate(RATE_HZ)


def room_noise(seconds: float) -> Samples:
    return np.random.RandomState(7).randint(-30, 31, int(seconds * RATE_HZ)).astype(np.int16)


def scores(detector: Detector, sound: Samples) -> list[float]:
    """Return the first model's score for each whole block of `sound`."""
    step = detector.block_frames
    blocks = (sound[start : start + step] for start in range(0, len(sound) - step + 1, step))
    return [detector.score(block)[detector.models[0]] for block in blocks]


@pytest.fixture(params=["openwakeword", "micro", "simulated"])
def make(request: pytest.FixtureRequest) -> MakeDetector:
    if request.param == "openwakeword":
        return lambda: OpenWakeWordDetector(["hey_jarvis"])
    if request.param == "micro":
        return lambda: MicroDetector(["hey_jarvis"])
    return lambda: SimulatedDetector(["hey_jarvis"], loud_lsb=3000)


def test_a_block_is_80_ms(make: MakeDetector) -> None:
    assert make().block_frames == 1280


def test_every_model_gets_a_score_from_0_to_1(make: MakeDetector) -> None:
    detector = make()

    scored = detector.score(room_noise(0.08))

    assert set(scored) == set(detector.models) == {"hey_jarvis"}
    assert all(type(score) is float and 0.0 <= score <= 1.0 for score in scored.values())


def test_the_wake_word_is_found(make: MakeDetector) -> None:
    sound = np.concatenate([room_noise(1), wake_word(), room_noise(0.5)])

    assert max(scores(make(), sound)) > 0.5


def test_a_quiet_room_is_not_the_wake_word(make: MakeDetector) -> None:
    assert max(scores(make(), room_noise(5))) < 0.1


def test_digital_silence_is_not_the_wake_word(make: MakeDetector) -> None:
    assert max(scores(make(), np.zeros(5 * RATE_HZ, np.int16))) < 0.1


def test_a_reset_in_the_middle_of_the_word_leaves_nothing_of_it(make: MakeDetector) -> None:
    detector = make()
    scores(detector, np.concatenate([room_noise(1), wake_word()]))

    detector.reset()

    assert max(scores(detector, room_noise(2))) < 0.1


def test_the_wake_word_is_found_right_after_a_reset(make: MakeDetector) -> None:
    detector = make()
    scores(detector, wake_word())
    detector.reset()

    assert max(scores(detector, np.concatenate([room_noise(0.1), wake_word(), room_noise(0.3)]))) > 0.5


def test_two_detectors_do_not_share_what_they_hear(make: MakeDetector) -> None:
    near, far = make(), make()

    scores(near, np.concatenate([room_noise(1), wake_word()]))

    assert max(scores(far, room_noise(2))) < 0.1


def test_a_twin_has_the_same_words_and_has_heard_nothing(make: MakeDetector) -> None:
    near = make()
    scores(near, np.concatenate([room_noise(1), wake_word()]))

    far = near.twin()

    assert (far.models, far.block_frames, far.memory_blocks) == (
        near.models,
        near.block_frames,
        near.memory_blocks,
    )
    sound = np.concatenate([room_noise(1), wake_word(), room_noise(0.5)])
    assert scores(far, sound) == scores(make(), sound)


def test_twins_do_not_notice_what_the_other_hears(make: MakeDetector) -> None:
    near, alone = make(), make()
    far = near.twin()
    sound = np.concatenate([room_noise(1), wake_word(), room_noise(0.5)])
    blocks = sound[: len(sound) // 1280 * 1280].reshape(-1, 1280)

    heard = []
    for block in blocks:
        heard.append(near.score(block))
        far.score(-block)
        far.reset()

    assert heard == [alone.score(block) for block in blocks]


@pytest.mark.parametrize("blocks", [0, 1, 7, 26])
def test_what_was_replayed_counts_as_if_it_had_been_scored(make: MakeDetector, blocks: int) -> None:
    sound = np.concatenate([room_noise(1.5), wake_word(), room_noise(0.5)])
    past, future = np.split(sound, [blocks * 1280])
    replaying, scoring = make(), make()

    replaying.replay(past)
    scores(scoring, past)

    assert scores(replaying, future) == scores(scoring, future)


@pytest.mark.parametrize(
    "sound",
    [np.zeros(2560, np.float32), np.zeros(1900, np.int16)],
    ids=["float samples", "a block and a half"],
)
def test_what_is_not_whole_blocks_of_int16_is_not_replayed(make: MakeDetector, sound: Samples) -> None:
    with pytest.raises(AssertionError, match="1280"):
        make().replay(sound)


@pytest.mark.parametrize(
    "block",
    [np.zeros(1280, np.float32), np.zeros(640, np.int16), np.zeros((1280, 1), np.int16)],
    ids=["float samples", "half a block", "a column"],
)
def test_what_is_not_a_block_of_int16_is_refused(make: MakeDetector, block: Samples) -> None:
    with pytest.raises(AssertionError, match="1280 int16 samples"):
        make().score(block)


def test_a_simulated_word_is_heard_where_the_script_says() -> None:
    detector = SimulatedDetector(["a", "b"], words=[Word(start=2000, stop=3000, score=0.8, model="b")])

    heard = [detector.score(np.zeros(1280, np.int16))["b"] for _ in range(4)]

    assert heard == [0.001, 0.8, 0.8, 0.001]


def test_a_simulated_word_keeps_its_place_when_what_is_before_it_is_replayed() -> None:
    detector = SimulatedDetector(words=[Word(start=5 * 1280, stop=6 * 1280)], memory_blocks=26)

    detector.replay(np.zeros(4 * 1280, np.int16))
    heard = [detector.score(np.zeros(1280, np.int16))["hey_jarvis"] for _ in range(3)]

    assert heard == [0.001, 0.9, 0.001]
    assert (detector.memory_blocks, detector.replayed, detector.position) == (26, 4 * 1280, 7 * 1280)
