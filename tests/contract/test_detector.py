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
