"""The engine "micro" against the package it is made of, and what it says of files that are no models."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pymicro_wakeword
import pytest

from pivoice.config import WakeConfig
from pivoice.errors import ConfigError
from pivoice.wake.detector import RATE_HZ, Samples, open_detector
from pivoice.wake.micro import BLOCK_FRAMES, MicroDetector
from tests.support.speech import load_speech, speech_names

NAMES = ("alexa", "hey_jarvis", "hey_mycroft", "okay_nabu")
SPOKEN = {"hey_jarvis": "wake_jarvis_", "alexa": "wake_alexa_", "hey_mycroft": "wake_mycroft_"}
PACKAGE = Path(pymicro_wakeword.__file__).parent
LARGEST = 26.0
"""The feature that is the models' largest 8-bit number, and about the largest there is."""


def noise(seconds: float, seed: int = 7) -> Samples:
    return np.random.RandomState(seed).randint(-30, 31, int(seconds * RATE_HZ)).astype(np.int16)


def spoken(name: str) -> Samples:
    return load_speech(name).at_rate(RATE_HZ)


def blocks(sound: Samples) -> list[Samples]:
    return [sound[at : at + BLOCK_FRAMES] for at in range(0, len(sound) - BLOCK_FRAMES + 1, BLOCK_FRAMES)]


def scores(detector: MicroDetector, sound: Samples) -> list[dict[str, float]]:
    return [detector.score(block) for block in blocks(sound)]


def best(detector: MicroDetector, sound: Samples, name: str) -> float:
    return max(each[name] for each in scores(detector, sound))


def package_probabilities(name: str, sound: Samples) -> list[float]:
    """Return the highest probability that the package itself gives within each block."""
    word = pymicro_wakeword.MicroWakeWord.from_builtin(pymicro_wakeword.Model(name))
    features = pymicro_wakeword.MicroWakeWordFeatures()
    highest = []
    for block in blocks(sound):
        # it answers 0.0 while it waits for its third row
        rows = features.process_streaming(block.tobytes())
        highest.append(max(word.process_streaming_prob(row) or 0.0 for row in rows))
    return highest


@pytest.fixture
def refusal() -> Callable[..., str]:
    def refuse(*names: str) -> str:
        with pytest.raises(ConfigError) as caught:
            MicroDetector(names)
        return str(caught.value)

    return refuse


@pytest.mark.parametrize("phase", [0, 450, 901])
@pytest.mark.parametrize("name", NAMES)
def test_it_hears_what_the_package_hears(name: str, phase: int):
    names = [f"{prefix}02" for prefix in SPOKEN.values()] + ["near_jared_00", "near_soft_03", "near_lexus_06"]
    parts = [each for spoken_name in names for each in (noise(0.4), spoken(spoken_name))]
    sound = np.concatenate([*parts, noise(0.5)])[phase:]
    cutoff = json.loads((PACKAGE / "models" / f"{name}.json").read_text())["micro"]["probability_cutoff"]

    heard = [each[name] for each in scores(MicroDetector([name]), sound)]

    expected = package_probabilities(name, sound)
    assert [score >= 0.5 for score in heard] == [probability > cutoff for probability in expected]
    # a score is the probability, stretched: the two rank the blocks alike
    for score, probability in zip(heard, expected, strict=True):
        alike = [p for s, p in zip(heard, expected, strict=True) if s == score]
        assert alike == pytest.approx([probability] * len(alike), abs=1e-9)
    by_probability = [score for _, score in sorted(zip(expected, heard, strict=True))]
    assert by_probability == sorted(heard)


def test_a_probability_that_only_equals_the_cutoff_does_not_count(tmp_path: Path):
    path = tmp_path / "alexa.json"
    highest = 255 / 256  # the largest that 8 bits can say
    path.write_text(settings_of(str(PACKAGE / "models" / "alexa.tflite"), probability_cutoff=highest))
    sound = np.concatenate([noise(0.5), spoken("wake_alexa_00"), noise(0.5)])

    assert max(package_probabilities("alexa", sound)) == highest
    assert 0.499 < best(MicroDetector([str(path)]), sound, "alexa") < 0.5


def test_a_feature_beyond_the_largest_number_is_the_largest(monkeypatch: pytest.MonkeyPatch):
    """In the package it is the smallest: at full scale, the loudest tone then is silence."""

    def heard(loud: float) -> list[dict[str, float]]:
        class Loud:
            def process_samples(self, sound: bytes) -> SimpleNamespace:
                return SimpleNamespace(features=[loud if n % 3 else 5.0 for n in range(40)])

        monkeypatch.setattr("pymicro_features.MicroFrontend", Loud)
        return scores(MicroDetector(NAMES), noise(1.0))

    assert heard(LARGEST + 0.2) == heard(LARGEST)


@pytest.mark.parametrize("name", SPOKEN)
def test_ten_speakers_are_found(name: str):
    detector = MicroDetector([name])

    found = [
        best(detector, np.concatenate([noise(1), spoken(each), noise(0.5)]), name) >= 0.5
        for each in speech_names(SPOKEN[name])
    ]

    assert found == [True] * 10


def test_several_words_at_once_score_as_each_alone():
    sound = np.concatenate([noise(0.5), spoken("wake_alexa_01"), noise(0.5), spoken("wake_jarvis_01")])

    together = scores(MicroDetector(NAMES), sound)

    for name in NAMES:
        assert [each[name] for each in together] == [
            each[name] for each in scores(MicroDetector([name]), sound)
        ]


def test_after_a_reset_it_is_as_new():
    sound = np.concatenate([noise(0.1), spoken("wake_jarvis_03"), noise(0.3)])
    new, used = MicroDetector(NAMES), MicroDetector(NAMES)
    scores(used, np.concatenate([spoken("near_alex_00"), spoken("wake_jarvis_03")])[: 17 * BLOCK_FRAMES])

    used.reset()

    assert scores(used, sound) == scores(new, sound)


def test_no_reset_wakes_it():
    """100 resets before 0.4 s of a quiet room, and 100 into the middle of speech. A second of CPU."""
    detector = MicroDetector(NAMES)
    talk = load_speech("agent_long").at_rate(RATE_HZ)
    highest = 0.0
    for number in range(100):
        for sound in (noise(0.4, seed=number), talk[number * 1600 :][: 5 * BLOCK_FRAMES]):
            detector.reset()

            highest = max(highest, *(score for each in scores(detector, sound) for score in each.values()))

    assert highest < 0.5


def test_what_is_replayed_counts_as_heard():
    sound = np.concatenate([noise(0.5), spoken("wake_jarvis_04")])[: 12 * BLOCK_FRAMES]
    rest = np.concatenate([spoken("wake_jarvis_04"), noise(0.5)])
    scored, replayed = MicroDetector(NAMES), MicroDetector(NAMES)
    scores(scored, sound)

    replayed.replay(sound)
    replayed.replay(sound[:0])

    assert scores(replayed, rest) == scores(scored, rest)


def test_a_twin_hears_for_itself():
    detector = MicroDetector(NAMES)
    sound = np.concatenate([noise(0.5), spoken("wake_jarvis_05"), noise(0.4)])
    expected = scores(MicroDetector(NAMES), sound)

    twin = detector.twin()
    both = [(detector.score(block), twin.score(block[::-1].copy())) for block in blocks(sound)]

    assert [mine for mine, _ in both] == expected
    assert scores(detector.twin(), sound) == expected


def test_it_remembers_without_end():
    assert MicroDetector(["alexa"]).memory_blocks is None


def test_it_starts_no_thread():
    before = set(Path("/proc/self/task").iterdir())

    scores(MicroDetector(NAMES), noise(0.5))

    assert set(Path("/proc/self/task").iterdir()) <= before


def test_a_model_of_ones_own_is_given_by_its_path(tmp_path: Path):
    for ending in ("json", "tflite"):
        shutil.copy(PACKAGE / "models" / f"hey_jarvis.{ending}", tmp_path)
    config = WakeConfig(engine="micro", models=[str(tmp_path / "hey_jarvis.tflite"), "alexa"])

    detector = open_detector(config)

    assert detector is not None
    assert detector.models == config.called == ("hey_jarvis", "alexa")
    sound = np.concatenate([noise(0.5), spoken("wake_jarvis_00"), noise(0.3)])
    assert max(detector.score(block)["hey_jarvis"] for block in blocks(sound)) >= 0.5


def test_a_name_that_is_nearly_right_is_put_right(refusal: Callable[..., str]):
    said = refusal("hey_javis")

    assert "did you mean hey_jarvis?" in said
    assert ", ".join(NAMES) in said
    assert said.startswith("wake.models: ")


def test_a_word_of_the_other_engine_is_told_from_micros_own(refusal: Callable[..., str]):
    assert "'hey_rhasspy'" in refusal("hey_rhasspy")
    assert 'wake.engine = "openwakeword"' in refusal("/etc/pivoice/hey_pi.onnx")


def test_every_wrong_model_is_told_at_once(refusal: Callable[..., str]):
    assert len(refusal("hey_javis", "alexa", "/nowhere/mine.json").splitlines()) == 2


def settings_of(model: str, **micro: object) -> str:
    """Return what is written beside a model."""
    settings = {"probability_cutoff": 0.9, "sliding_window_size": 5, "feature_step_size": 10} | micro
    return json.dumps({"model": model, "micro": settings})


def description(directory: Path, model: str) -> str:
    path = directory / "mine.json"
    path.write_text(settings_of(model))
    return str(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"this is not a model", b"1234TFL3" + bytes(2000), None],
    ids=["empty", "text", "head", "cut"],
)
def test_a_file_that_is_no_model_is_named_and_nothing_crashes(
    refusal: Callable[..., str], tmp_path: Path, capfd: pytest.CaptureFixture[str], content: bytes | None
):
    half = (PACKAGE / "models" / "alexa.tflite").read_bytes()[:20000]
    (tmp_path / "mine.tflite").write_bytes(half if content is None else content)

    said = refusal(description(tmp_path, "mine.tflite"))

    assert f"{tmp_path}/mine.tflite is no TensorFlow Lite model" in said
    assert capfd.readouterr().err == ""


def test_a_model_that_is_not_there_is_named(
    refusal: Callable[..., str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    assert f"{tmp_path}/gone.tflite" in refusal(description(tmp_path, "gone.tflite"))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("file", ["hey_jarvis_v0.1.tflite", "melspectrogram.tflite"])
def test_a_model_of_another_kind_is_told_from_one_of_these(
    refusal: Callable[..., str], tmp_path: Path, capfd: pytest.CaptureFixture[str], file: str
):
    spec = find_spec("openwakeword")
    assert spec is not None and spec.submodule_search_locations
    model = Path(spec.submodule_search_locations[0], "resources", "models", file)

    said = refusal(description(tmp_path, str(model)))

    assert f"{model} " in said and "another kind" in said
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("this is not JSON", "JSONDecodeError"),
        ("[]", "TypeError"),
        ('{"model": "alexa.tflite"}', "'micro'"),
        (settings_of("a.tflite", probability_cutoff=1), "cutoff 1.0"),
        (settings_of("a.tflite", sliding_window_size=0), "window 0"),
        (settings_of("a.tflite", feature_step_size=20), "step 20 ms"),
    ],
)
def test_a_description_that_is_wrong_is_told_with_what_was_expected(
    refusal: Callable[..., str], tmp_path: Path, text: str, named: str
):
    path = tmp_path / "mine.json"
    path.write_text(text)

    said = refusal(str(path))

    assert str(path) in said and named in said
    assert '"probability_cutoff" between 0 and 1' in said


def test_a_model_without_its_description_says_what_is_missing(refusal: Callable[..., str], tmp_path: Path):
    shutil.copy(PACKAGE / "models" / "alexa.tflite", tmp_path)

    assert f"'{tmp_path}/alexa.json': there is no such file" in refusal(str(tmp_path / "alexa.tflite"))


def test_what_is_no_ordinary_file_is_refused(refusal: Callable[..., str], tmp_path: Path):
    os.mkfifo(tmp_path / "mine.json")

    assert f"'{tmp_path}/mine.json': is no ordinary file" in refusal(str(tmp_path / "mine.json"))


def test_without_the_package_one_sentence_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(ConfigError) as caught:
        open_detector(WakeConfig(engine="micro", models=["alexa"]))

    said = str(caught.value)
    assert said.startswith("wake.engine: ") and len(said.splitlines()) == 1
    assert '/bin/python -m pip install "pymicro-wakeword>=2.5,<3"' in said


def test_the_sentence_installs_what_the_extra_does():
    text = (Path(__file__).resolve().parents[2] / "pyproject.toml").read_text()

    assert text.count('"pymicro-wakeword>=2.5,<3"') == 2


def test_an_installed_pivoice_is_told_to_install_it_by_the_installer(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("sys.prefix", "/opt/pivoice/venv.2026-11-23")

    with pytest.raises(ConfigError) as caught:
        open_detector(WakeConfig(engine="micro", models=["alexa"]))

    assert "run: sudo ./scripts/install --micro;" in str(caught.value)
