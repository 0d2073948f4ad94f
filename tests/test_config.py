"""The configuration: defaults, faults, and the file that documents both."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pivoice import config
from pivoice.config import Config
from pivoice.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent


def faults_of(text: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        config.parse(text, path="pivoice.toml")
    return {fault.key: fault.problem for fault in caught.value.faults}


def test_a_missing_file_means_all_defaults(tmp_path: Path):
    assert config.load(str(tmp_path / "nowhere.toml")) == Config()


def test_the_shipped_file_uncommented_is_the_defaults():
    text = (ROOT / "config/pivoice.toml").read_text()

    uncommented = re.sub(r"^#(?=[a-z_]+ = )", "", text, flags=re.MULTILINE)

    assert config.parse(uncommented) == Config()
    assert config.parse(text) == Config()


def test_the_shipped_file_names_every_setting_once():
    text = (ROOT / "config/pivoice.toml").read_text()
    section, found = "", []

    for line in text.splitlines():
        if header := re.fullmatch(r"\[(.+)\]", line):
            section = header[1]
        elif setting := re.match(r"##? ?([a-z_]+) =", line):
            found.append(f"{section}.{setting[1]}")

    assert found == [setting.key for setting in config.settings()]


def test_what_is_generated_is_up_to_date():
    checked = subprocess.run(
        [sys.executable, ROOT / "scripts/generate.py", "--check"], capture_output=True, text=True, check=False
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_all_faults_are_told_at_once_each_with_its_value():
    faults = faults_of(
        """
        [audio]
        period_ms = "twenty"
        jitter_ms = -1
        gain_db = nan
        [wake]
        models = [1]
        [turn]
        follow_up_s = 0
        """
    )

    assert set(faults) == {
        "audio.period_ms", "audio.jitter_ms", "audio.gain_db", "wake.models", "turn.follow_up_s"
    }  # fmt: skip
    assert "'twenty'" in faults["audio.period_ms"] and "from 5 to 100" in faults["audio.period_ms"]


@pytest.mark.parametrize(
    ("text", "key", "meant"),
    [
        ("[audio]\ncapure = 'x'", "audio.capure", "audio.capture"),
        ("[tun]\nx = 1", "tun", "turn"),
        ("capture = 'x'", "capture", "audio.capture"),
        ("[agent]\nno_speech_s = 1", "agent.no_speech_s", "turn.no_speech_s"),
    ],
)
def test_an_unknown_setting_is_answered_with_the_one_meant(text: str, key: str, meant: str):
    assert f"did you mean {meant}?" in faults_of(text)[key]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("agent = 3", "agent"),
        ("[agent]\nurl = 'https://example.invalid'", "agent.url"),
        ("[agent]\ntoken_url = 'ftp://example.invalid'", "agent.token_url"),
        (
            "[agent.turn_detection]\nmin_silence_ms = 900\nmax_silence_ms = 900",
            "agent.turn_detection.min_silence_ms",
        ),
        ("[wake]\nmodels = []", "wake.models"),
        ("[panel]\nred_pin = 5", "panel.red_pin"),
        ("[panel]\nbutton_pin = 27", "panel"),
        ("[audio]\necho = 'webrtc'", "audio.echo"),
        ("[audio]\nperiod_ms = true", "audio.period_ms"),
    ],
)
def test_what_cannot_work_is_named(text: str, key: str):
    assert list(faults_of(text)) == [key]


def test_a_file_that_is_not_toml_is_named_with_its_line():
    assert "line 1" in faults_of("[audio\n")[""]


def test_a_file_that_is_not_text_is_named(tmp_path: Path):
    path = tmp_path / "pivoice.toml"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ConfigError, match=str(path)):
        config.load(str(path))


def test_the_readme_shows_what_it_promises_to_show():
    text = (ROOT / "README.md").read_text()

    assert "The whole conversation happened." in text
    assert "worst of 100" in text
