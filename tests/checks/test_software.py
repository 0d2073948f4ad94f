"""Python, packages, configuration and wake words."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from pivoice.checks import settings, software
from pivoice.errors import Fault
from tests.checks.pi import FakePi, only, told

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


def test_the_packages_looked_for_are_those_that_the_project_asks_for():
    asked = tomllib.loads(PYPROJECT.read_text())["project"]["dependencies"]

    for line in asked:
        name, bounds = re.fullmatch(r"([\w-]+)([^;]*).*", line).groups()
        package = next(each for each in software.PACKAGES if each.name == name)
        least = re.search(r">=([\d.]+)", bounds)
        below = re.search(r"<([\d.]+)", bounds)
        assert package.least == (tuple(map(int, least[1].split("."))) if least else ())
        assert package.below == (tuple(map(int, below[1].split("."))) if below else ())
    assert len(asked) == len(software.PACKAGES)


def test_here_all_is_there(pi: FakePi):
    pi.write("/proc/device-tree/model", "")
    patient = pi.patient('[panel]\ndriver = "none"')

    assert only(software.packages, patient).verdict == "ok" and not software.first_look()
    assert only(software.system, patient).text.startswith(
        "Debian GNU/Linux 13 (trixie), 64-bit aarch64, Python 3."
    )


@pytest.mark.parametrize(
    ("name", "version", "verdict", "said"),
    [
        ("pyalsaaudio", "0.8.4", "fail", "pyalsaaudio 0.8.4 is too old: 0.11 or later is needed"),
        ("lgpio", "0.0.0.2", "warn", "lgpio 0.0.0.2 is too old, an empty placeholder: 0.2 or later"),
        ("openwakeword", "0.6.0", "fail", "openwakeword 0.6.0 is too new: below 0.6 is needed"),
        ("websockets", None, "fail", "websockets is not installed"),
        ("rich", None, "warn", "rich is not installed"),
    ],
)
def test_a_package_that_is_missing_or_of_another_time_is_told(
    pi: FakePi, monkeypatch: pytest.MonkeyPatch, name: str, version: str | None, verdict: str, said: str
):
    real = importlib.metadata.version

    def found(asked: str) -> str:
        if asked == name:
            if version is None:
                raise importlib.metadata.PackageNotFoundError(asked)
            return version
        return "0.2.2" if asked == "lgpio" else real(asked)

    monkeypatch.setattr(importlib.metadata, "version", found)

    bad = next(each for each in software.packages(pi.patient()) if each.verdict != "ok")

    assert bad.verdict == verdict and said in bad.text and "scripts/install" in bad.next


def test_a_package_that_does_not_load_is_told_with_why(pi: FakePi, monkeypatch: pytest.MonkeyPatch):
    real = importlib.import_module

    def load(name: str) -> object:
        if name == "alsaaudio":
            raise ImportError("libasound.so.2: cannot open shared object file")
        return real(name)

    monkeypatch.setattr(importlib, "import_module", load)

    bad = next(each for each in software.packages(pi.patient()) if "pyalsaaudio" in each.text)

    assert bad.verdict == "fail" and "libasound.so.2" in bad.text


@pytest.mark.parametrize("as_json", [False, True])
def test_without_what_it_is_made_of_the_doctor_says_so_itself(tmp_path: Path, as_json: bool):
    (tmp_path / "msgspec.py").write_text('raise ImportError("libgone.so.1: cannot open shared object file")')

    done = subprocess.run(
        [sys.executable, "-m", "pivoice", "doctor", *(["--json"] if as_json else [])],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )

    assert done.returncode == 1 and not done.stderr and "libgone.so.1" in done.stdout
    if as_json:
        told = json.loads(done.stdout)
        assert not told["ok"] and told["findings"][0]["check"] == "packages"


def test_a_32_bit_system_is_refused(pi: FakePi):
    patient = pi.patient()
    patient.machine = replace(patient.machine, bits=32, architecture="armv7l")

    found = only(software.system, patient)

    assert found.verdict == "fail" and "32-bit" in found.text and "64-bit" in found.next


def test_every_fault_of_the_configuration_is_a_finding(pi: FakePi):
    patient = pi.patient()
    patient.faults = (Fault("audio.period_ms", "1 is not allowed"), Fault("audio.loud", "no such setting"))

    found = told(settings.configuration, patient)

    assert [each.text for each in found] == [
        "audio.period_ms: 1 is not allowed",
        "audio.loud: no such setting",
    ]
    assert all(each.verdict == "fail" and "config --check" in each.next for each in found)


def test_a_configuration_that_the_service_may_not_read_is_told(pi: FakePi, tmp_path: Path):
    pi.serves()
    pi.says("id -u pivoice", "989")
    path = tmp_path / "own.toml"
    path.write_text("")
    path.chmod(0o600)
    patient = pi.patient()
    patient.path = str(path)

    found = only(settings.configuration, patient)

    assert found.verdict == "fail" and "cannot be read by pivoice" in found.text
    path.chmod(0o644)
    assert only(settings.configuration, patient).verdict == "ok"


def test_wake_words_are_loaded_and_their_licence_is_named(pi: FakePi):
    found = only(settings.wake_words, pi.patient("[wake.thresholds]\nhey_jarvis = 0.7"))

    assert found.verdict == "ok" and "hey_jarvis (from 0.7 on)" in found.text
    assert "CC BY-NC-SA 4.0: not for commercial use" in found.text


def test_a_wake_word_that_cannot_be_loaded_is_told(pi: FakePi, tmp_path: Path):
    model = tmp_path / "mine.onnx"
    model.write_text("no model")

    found = only(settings.wake_words, pi.patient(f'[wake]\nmodels = ["{model}"]'))

    assert found.verdict == "fail" and "mine.onnx" in found.text and found.next


def test_a_device_without_a_wake_word_has_its_button(pi: FakePi):
    assert only(settings.wake_words, pi.patient('[wake]\nengine = "none"')).verdict == "ok"
