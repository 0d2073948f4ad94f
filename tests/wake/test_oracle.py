"""openwakeword itself beside the engine, block by block: the same scores, whatever is said and wherever.

The package is a development dependency, on onnxruntime. It begins with random noise in its window, so the
first blocks are not compared. About 10 s of CPU, three quarters of them the package's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pivoice.wake import models
from pivoice.wake.detector import RATE_HZ, Samples
from pivoice.wake.openwakeword import BLOCK_FRAMES, MEMORY_BLOCKS, OpenWakeWordDetector
from tests.support.old_models import old_models
from tests.support.speech import load_speech, speech_names

package = pytest.importorskip("openwakeword.model", reason="the package openwakeword cannot be imported")

PHASES = 16
STEP_FRAMES = BLOCK_FRAMES // PHASES
UNCOMPARED_BLOCKS = MEMORY_BLOCKS + 4
"""The package's first mel rows are short of samples, besides."""

Scores = dict[str, float]


@pytest.fixture(scope="module", params=["0.5.1", "0.4.0"])
def bundled(request: pytest.FixtureRequest) -> Iterator[Path]:
    """The models of that version, for the engine too."""
    directory = models.bundled_directory() if request.param == "0.5.1" else old_models()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "bundled_directory", lambda: directory)
        yield directory


@pytest.fixture(scope="module")
def engine(bundled: Path) -> OpenWakeWordDetector:
    return OpenWakeWordDetector(list(models.bundled_models()))


@pytest.fixture(scope="module")
def oracle(bundled: Path) -> Any:
    """The package's own detector with the same files."""
    model = package.Model(
        wakeword_models=[str(path) for path in models.bundled_models().values()],
        inference_framework="onnx",
        melspec_model_path=str(bundled / "melspectrogram.onnx"),
        embedding_model_path=str(bundled / "embedding_model.onnx"),
    )
    # It keeps 10 s of sound to look at the last 0.11 s, and makes a list of all of it for each block.
    model.preprocessor.raw_data_buffer = deque(maxlen=2 * BLOCK_FRAMES)
    return model


def noise(seconds: float, lsb: int, *, seed: int) -> Samples:
    return np.random.RandomState(seed).randint(-lsb, lsb + 1, int(seconds * RATE_HZ)).astype(np.int16)


def said(name: str) -> Samples:
    return load_speech(name).at_rate(RATE_HZ)


def at_each_phase(words: Sequence[str]) -> Samples:
    """Return each word 16 times, each time 5 ms later within a block."""
    parts: list[Samples] = []
    for word in words:
        sound = said(word)
        for _ in range(PHASES):
            quiet_frames = -len(sound) % BLOCK_FRAMES + STEP_FRAMES
            parts += [sound, noise(quiet_frames / RATE_HZ, 30, seed=quiet_frames)]
    return np.concatenate(parts)


def blocks_of(sound: Samples) -> Samples:
    """Return whole blocks, after as many of quiet noise as the package needs to forget its beginning."""
    sound = np.concatenate([noise(0.08 * UNCOMPARED_BLOCKS, 30, seed=1), sound])
    return sound[: len(sound) // BLOCK_FRAMES * BLOCK_FRAMES].reshape(-1, BLOCK_FRAMES)


def compare(engine: OpenWakeWordDetector, oracle: Any, sound: Samples) -> tuple[float, Scores]:
    """Return the largest difference of any two scores, and what each model scored at most."""
    names = {path.stem: name for name, path in models.bundled_models().items()}
    largest, most = 0.0, dict.fromkeys(engine.models, 0.0)
    for index, block in enumerate(blocks_of(sound)):
        ours = engine.score(block)
        theirs = {names[stem]: float(score) for stem, score in oracle.predict(block).items()}
        assert ours.keys() == theirs.keys()
        if index >= UNCOMPARED_BLOCKS:
            largest = max(largest, *(abs(ours[name] - theirs[name]) for name in ours))
            most = {name: max(most[name], score) for name, score in theirs.items()}
    return largest, most


def test_wake_words_score_as_in_the_package_wherever_in_a_block_they_fall(
    engine: OpenWakeWordDetector, oracle: Any
) -> None:
    words = ["wake_jarvis_00", "wake_alexa_01", "wake_mycroft_02", "wake_rhasspy_03"]

    difference, most = compare(engine, oracle, at_each_phase(words))

    assert {"hey_jarvis", "alexa"} <= {name for name, score in most.items() if score > 0.5}
    assert difference < 1e-4


def test_words_near_the_wake_word_score_as_in_the_package(engine: OpenWakeWordDetector, oracle: Any) -> None:
    names = speech_names("near_")[:: len(speech_names("near_")) // 12]

    difference, _ = compare(engine, oracle, np.concatenate([said(name) for name in names]))

    assert difference < 1e-4


def test_what_is_no_speech_scores_as_in_the_package(engine: OpenWakeWordDetector, oracle: Any) -> None:
    tone = 20_000 * np.sin(np.arange(2 * RATE_HZ) * 2 * np.pi * 440 / RATE_HZ)
    hum = np.concatenate([noise(1, 3, seed=3), tone.astype(np.int16), noise(2, 8000, seed=4)])
    silence = np.zeros(3 * RATE_HZ, np.int16)
    overdriven = np.clip(said("user_weather").astype(np.int32) * 9, -32768, 32767).astype(np.int16)

    difference, _ = compare(engine, oracle, np.concatenate([hum, silence, overdriven]))

    assert difference < 1e-4
