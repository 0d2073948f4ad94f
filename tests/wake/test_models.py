"""Finding model files, and saying what is there when one is not."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pivoice.errors import ConfigError
from pivoice.wake import models
from tests.support.old_models import old_models


def refusal(name: str) -> str:
    with pytest.raises(ConfigError) as caught:
        models.find_model(name)
    return str(caught.value)


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty directory that goes before every installed package for one test."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "openwakeword", raising=False)  # the oracle's test imports it
    return tmp_path


def test_a_bundled_name_is_found_in_the_package() -> None:
    path = models.find_model("hey_jarvis")

    assert path.name == "hey_jarvis_v0.1.onnx"
    assert path.is_file()


def test_the_front_end_and_the_command_models_are_not_offered_as_wake_words() -> None:
    names = set(models.bundled_models())

    assert {"hey_jarvis", "alexa", "hey_mycroft"} <= names
    assert not names & {"melspectrogram", "embedding_model", "silero_vad", "timer", "weather"}


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "hey_pi.onnx"
    path.write_bytes(b"whatever")

    assert models.find_model(str(path)) == path


@pytest.mark.parametrize("name", ["hey_jarvs", "Hey Jarvis", "hey-jarvis"])
def test_a_name_nearly_right_is_answered_with_the_right_one(name: str) -> None:
    assert "did you mean hey_jarvis?" in refusal(name)


def test_an_unknown_name_tells_where_was_searched_and_what_there_is() -> None:
    sentence = refusal("computer")

    assert sentence.startswith(f"wake.models: no wake word 'computer' in {models.bundled_directory()}")
    assert "alexa, hey_jarvis, hey_mycroft" in sentence
    assert "did you mean" not in sentence


def test_a_path_without_a_file_is_named() -> None:
    sentence = refusal("/etc/pivoice/gone.onnx")

    assert "'/etc/pivoice/gone.onnx': there is no such file" in sentence


def test_a_directory_is_not_a_model(tmp_path: Path) -> None:
    assert "is a directory" in refusal(str(tmp_path))


def test_what_is_no_ordinary_file_is_not_said_to_be_missing(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.onnx"
    os.mkfifo(pipe)

    assert "is no ordinary file" in refusal(str(pipe))


@pytest.mark.parametrize("name", ["~nobody-of-that-name/hey_pi.onnx", f"/tmp/{'a' * 300}.onnx"])
def test_a_path_that_leads_nowhere_is_refused_with_the_reason(name: str) -> None:
    assert f"{name!r}: cannot be found (" in refusal(name)


@pytest.fixture
def another_user() -> Iterator[None]:
    """Whom files of ours with mode 0 are closed to, whoever runs the tests."""
    mine = os.geteuid()
    if mine == 0:
        os.seteuid(65534)
    yield
    os.seteuid(mine)


def test_a_file_behind_a_closed_directory_is_refused_with_what_to_do(
    tmp_path: Path, another_user: None, request: pytest.FixtureRequest
) -> None:
    if os.geteuid() != 65534:  # as root, tmp_path is closed to others as it is
        tmp_path.chmod(0)
        request.addfinalizer(lambda: tmp_path.chmod(0o700))

    sentence = refusal(str(tmp_path / "hey_pi.onnx"))

    assert "closed to this user; move the file to /etc/pivoice" in sentence


def test_a_package_without_models_inside_is_told_apart_from_a_missing_one(packages: Path) -> None:
    (packages / "openwakeword").mkdir()
    (packages / "openwakeword" / "__init__.py").write_text("raise AssertionError('imported')")

    sentence = refusal("hey_jarvis")

    assert "has no melspectrogram.onnx" in sentence
    assert "openwakeword==0.5.1" in sentence


def test_a_missing_package_is_answered_with_the_next_step(packages: Path) -> None:
    (packages / "openwakeword.py").write_text("")  # found, and not a package: as good as missing

    sentence = refusal("hey_jarvis")

    assert sentence.startswith("wake.engine: the package openwakeword")
    assert "pip install --no-deps openwakeword==0.5.1" in sentence


def test_the_wake_words_of_an_older_package_are_found_too(packages: Path) -> None:
    (packages / "openwakeword").symlink_to(old_models().parent.parent)

    names = models.bundled_models()

    assert set(names) == {"alexa", "hey_jarvis", "hey_marvin", "hey_mycroft"}
    assert {path.parent for path in names.values()} == {models.front_end_models()[0].parent}
    assert models.find_model("hey_marvin").resolve().parent == old_models().resolve()
