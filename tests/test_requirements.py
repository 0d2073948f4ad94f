"""What is installed where: the lock files of scripts/requirements."""

from __future__ import annotations

import re
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent.parent / "scripts" / "requirements"


def locked(name: str) -> set[str]:
    """Return each "package==version ; condition" of a lock file."""
    lines = (REQUIREMENTS / f"{name}.txt").read_text().splitlines()
    return {line.rstrip(" \\") for line in lines if re.match(r"\w\S*==", line)}


def test_the_device_gets_the_wake_words_and_nothing_that_runs_them():
    """A wake word that needs 60 to 200 MB more on the disk of a Pi is not for this device."""
    names = {line.partition("==")[0] for line in locked("run")}

    assert {"openwakeword", "numpy"} <= names
    assert not names & {"onnxruntime", "onnx", "protobuf", "flatbuffers", "scipy", "scikit-learn"}
    assert not names & {"tflite-runtime", "pymicro-wakeword", "pymicro-features"}


def test_what_is_tested_is_what_the_device_gets():
    def versions(name: str) -> set[str]:
        return {line.partition(" ;")[0] for line in locked(name)}  # a test tool may need one on more Pythons

    assert versions("run") <= versions("test")


def test_every_package_is_checked_by_hash():
    for path in REQUIREMENTS.glob("*.txt"):
        blocks = re.split(r"\n(?=\w\S*==)", "\n" + path.read_text())[1:]

        assert blocks, path
        assert [block for block in blocks if "--hash=sha256:" not in block] == [], path
