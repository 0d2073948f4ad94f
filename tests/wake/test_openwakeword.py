"""The real engine on real voices, and on files that are no models."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pivoice.errors import ConfigError
from pivoice.wake import models
from pivoice.wake.detector import RATE_HZ, Samples
from pivoice.wake.openwakeword import BLOCK_FRAMES, MEMORY_BLOCKS, OpenWakeWordDetector
from tests.support.speech import load_speech, speech_names


@pytest.fixture(scope="module")
def engine() -> OpenWakeWordDetector:
    return OpenWakeWordDetector(["hey_jarvis", "alexa", "hey_mycroft"])


@pytest.fixture
def detector(engine: OpenWakeWordDetector) -> OpenWakeWordDetector:
    engine.reset()
    return engine


def said(name: str) -> Samples:
    return load_speech(name).at_rate(RATE_HZ)


def room_noise(seconds: float) -> Samples:
    return np.random.RandomState(11).randint(-30, 31, int(seconds * RATE_HZ)).astype(np.int16)


def full_scale(seconds: float) -> Samples:
    return np.random.RandomState(3).randint(-32768, 32768, int(seconds * RATE_HZ)).astype(np.int16)


def scores(detector: OpenWakeWordDetector, sound: Samples, model: str = "hey_jarvis") -> list[float]:
    blocks = (sound[at : at + BLOCK_FRAMES] for at in range(0, len(sound) - BLOCK_FRAMES + 1, BLOCK_FRAMES))
    return [detector.score(block)[model] for block in blocks]


def end_of_voice_s(sound: Samples) -> float:
    """Return where the last 10 ms that are within 35 dB of the loudest end."""
    parts = sound[: len(sound) // 160 * 160].reshape(-1, 160).astype(np.float64)
    power = np.square(parts).mean(axis=1)
    return float(np.flatnonzero(power > power.max() / 10**3.5)[-1] + 1) * 0.01


def crossing_s(heard: list[float]) -> float:
    """Return when the first score reached 0.5: at the end of its block."""
    return (1 + next(index for index, score in enumerate(heard) if score >= 0.5)) * BLOCK_FRAMES / RATE_HZ


@pytest.mark.parametrize("delay_ms", [1000, 1020, 1040, 1060])
def test_hey_jarvis_is_decided_as_the_word_ends_wherever_it_falls_in_a_block(
    detector: OpenWakeWordDetector, delay_ms: int
) -> None:
    word = said("user_wake")
    sound = np.concatenate([room_noise(delay_ms / 1000), word, room_noise(0.5)])

    late_s = crossing_s(scores(detector, sound)) - (delay_ms / 1000 + end_of_voice_s(word))

    assert -0.1 <= late_s <= 0.2


def test_hey_jarvis_is_found_in_one_breath_with_a_command(detector: OpenWakeWordDetector) -> None:
    speech = load_speech("user_wake_time")
    sound = np.concatenate([room_noise(1), speech.at_rate(RATE_HZ), room_noise(0.5)])

    late_s = crossing_s(scores(detector, sound)) - (1 + speech.facts["wake_end_s"])

    assert -0.15 <= late_s <= 0.25


def test_a_softly_spoken_wake_word_is_found(detector: OpenWakeWordDetector) -> None:
    soft = (said("user_wake") // 20).astype(np.int16)

    assert max(scores(detector, np.concatenate([room_noise(1), soft, room_noise(0.5)]))) > 0.5


@pytest.mark.parametrize(("model", "word"), [("alexa", "user_alexa"), ("hey_mycroft", "user_mycroft")])
def test_each_model_hears_its_own_word_only(detector: OpenWakeWordDetector, model: str, word: str) -> None:
    sound = np.concatenate([room_noise(1), said(word), room_noise(0.5)])

    blocks = sound[: len(sound) // BLOCK_FRAMES * BLOCK_FRAMES].reshape(-1, BLOCK_FRAMES)
    rounds = [detector.score(block) for block in blocks]
    heard = {name: max(each[name] for each in rounds) for name in detector.models}

    assert {name for name, score in heard.items() if score > 0.5} == {model}


@pytest.mark.parametrize("name", ["agent_long", "agent_time", "user_weather", "user_barge"])
def test_other_speech_is_not_the_wake_word(detector: OpenWakeWordDetector, name: str) -> None:
    assert max(scores(detector, np.concatenate([said(name), room_noise(0.5)]))) < 0.5


def test_loud_noise_is_not_the_wake_word(detector: OpenWakeWordDetector) -> None:
    loud = np.random.RandomState(5).normal(0, 6000, 5 * RATE_HZ).clip(-32768, 32767).astype(np.int16)

    assert max(scores(detector, loud)) < 0.1


@pytest.mark.parametrize("past_blocks", [MEMORY_BLOCKS - 1, MEMORY_BLOCKS + 5])
def test_what_was_heard_before_the_memory_makes_no_difference_to_the_last_bit(
    engine: OpenWakeWordDetector, past_blocks: int
) -> None:
    one, other = engine.twin(), engine.twin()
    hiss = (room_noise(1.4) // 10).astype(np.int16)  # what is loud before it reaches furthest into it
    sound = np.concatenate([hiss, said("user_wake"), room_noise(1)])
    past, future = np.split(sound, [past_blocks * BLOCK_FRAMES])
    scores(one, said("agent_time"))
    scores(other, full_scale(0.24))

    one.replay(past)
    other.replay(past)

    assert scores(one, future) == scores(other, future)


def test_the_oldest_block_of_the_memory_makes_a_difference(engine: OpenWakeWordDetector) -> None:
    one, other = engine.twin(), engine.twin()
    hiss = room_noise(0.08 * MEMORY_BLOCKS) // 10
    one.score(full_scale(0.08))  # it lifts what counts as silence in the block after it
    past, now = np.split(hiss.astype(np.int16)[: (MEMORY_BLOCKS - 1) * BLOCK_FRAMES], [-BLOCK_FRAMES])

    one.replay(past)
    other.replay(past)

    assert one.score(now) != other.score(now)


@pytest.fixture(scope="module")
def everything() -> OpenWakeWordDetector:
    """All bundled words."""
    return OpenWakeWordDetector(list(models.bundled_models()))


def loudest_after_resets(detector: OpenWakeWordDetector, sound: Samples, *, resets: int) -> float:
    """Return the highest score of any model after resets all over `sound`."""
    loudest = 0.0
    for nth in range(resets):
        start = nth * (len(sound) - 24 * BLOCK_FRAMES) // resets
        detector.reset()
        # until the quiet of the reset is nearly forgotten, now and then; else while it is nearly all
        for block in range(24 if nth % 20 == 0 else 2):
            at = start + block * BLOCK_FRAMES
            loudest = max(loudest, *detector.score(sound[at : at + BLOCK_FRAMES]).values())
    return loudest


def test_five_hundred_resets_in_speech_wake_nobody(everything: OpenWakeWordDetector) -> None:
    """About 1 s of CPU, as the next."""
    speech = np.concatenate(
        [said(name) for name in ("agent_long", "agent_time", "user_weather", "user_barge")]
    )

    assert loudest_after_resets(everything, speech, resets=500) < 0.3


def test_five_hundred_resets_in_silence_wake_nobody(everything: OpenWakeWordDetector) -> None:
    quiet = np.concatenate([room_noise(10), room_noise(10) // 15, np.zeros(10 * RATE_HZ)]).astype(np.int16)

    assert loudest_after_resets(everything, quiet, resets=500) < 0.05


@pytest.mark.parametrize("word", ["jarvis", "alexa", "mycroft", "rhasspy"])
def test_wake_words_a_tenth_of_a_second_after_a_reset_are_found(
    everything: OpenWakeWordDetector, word: str
) -> None:
    found = {}

    for name in speech_names(f"wake_{word}_"):
        everything.reset()
        sound = np.concatenate([room_noise(0.1), said(name), room_noise(0.3)])
        found[name] = max(scores(everything, sound, load_speech(name).facts["word"]))

    assert {name: score for name, score in found.items() if score < 0.5} == {}


def test_a_reset_brings_back_exactly_the_same_state(detector: OpenWakeWordDetector) -> None:
    sound = np.concatenate([room_noise(0.2), said("user_wake")])
    first = scores(detector, sound)
    scores(detector, said("agent_time"))

    detector.reset()

    assert scores(detector, sound) == first


def test_a_head_given_by_path_is_called_by_its_file_and_scores_the_same(
    detector: OpenWakeWordDetector, tmp_path: Path
) -> None:
    copy = tmp_path / "hey_pi.onnx"
    copy.write_bytes(models.find_model("hey_jarvis").read_bytes())
    own = OpenWakeWordDetector([str(copy)])
    sound = np.concatenate([room_noise(0.2), said("user_wake")])

    assert own.models == ("hey_pi",)
    assert scores(own, sound, "hey_pi") == scores(detector, sound)


def test_two_heads_of_the_same_file_name_are_both_kept(tmp_path: Path) -> None:
    copy = tmp_path / "hey_jarvis.onnx"
    copy.write_bytes(models.find_model("alexa").read_bytes())

    both = OpenWakeWordDetector(["hey_jarvis", str(copy)])

    assert both.models == ("hey_jarvis", str(copy))


def refusal(*names: str) -> str:
    with pytest.raises(ConfigError) as caught:
        OpenWakeWordDetector(names)
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "said_to_be"),
    [
        (b"wake up\n" * 99, "is text"),
        (b"", "is empty"),
        (b"\x1c\0\0\0TFL3" + b"\0" * 99, "is a TensorFlow Lite model"),
        (b"\x08\x07\x12\x07pytorch\x1a" + b"\xff" * 99, "is damaged, cut short, or of another kind"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer, not the file itself"),
        (b"PK\x03\x04" + b"\0" * 99, "is an archive"),
    ],
    ids=["text", "empty", "tflite", "damaged", "lfs", "zip"],
)
def test_a_file_that_is_no_model_is_named_for_what_it_is(
    tmp_path: Path, content: bytes, said_to_be: str
) -> None:
    path = tmp_path / "hey_pi.onnx"
    path.write_bytes(content)

    sentence = refusal(str(path))

    assert sentence.startswith(f"wake.models: {path} {said_to_be}; expected an ONNX model of one wake word")


def test_a_model_cut_in_half_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "half.onnx"
    whole = models.find_model("hey_jarvis").read_bytes()
    path.write_bytes(whole[: len(whole) // 2])

    assert "is damaged, cut short" in refusal(str(path))


@pytest.mark.parametrize("name", ["weather_v0.1", "melspectrogram", "silero_vad"])
def test_a_model_of_another_shape_is_refused_with_both_shapes(name: str) -> None:
    path = models.bundled_directory() / f"{name}.onnx"

    sentence = refusal(str(path))

    assert f"{path} is a model, but not an openwakeword head" in sentence
    assert "expected float32 [1, 16, 96]" in sentence


def test_every_bad_model_is_reported_at_once(tmp_path: Path) -> None:
    text = tmp_path / "text.onnx"
    text.write_text("hello")

    sentence = refusal("hey_jarvs", "hey_jarvis", str(text), str(tmp_path / "gone.onnx"))

    assert len(sentence.splitlines()) == 3


def test_the_package_itself_is_never_imported_and_nothing_is_printed() -> None:
    code = (
        "import sys; from pivoice.wake.openwakeword import OpenWakeWordDetector as D; D(['hey_jarvis']);"
        "sys.exit(bool({'openwakeword', 'onnxruntime', 'sklearn', 'scipy'} & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=dict(os.environ), timeout=60, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
