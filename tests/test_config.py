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
        if header := re.fullmatch(r"(?:## \[)?\[([^\]]+)\]+", line):
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
        ("[agent]\nledger_file = 'ledger.json'", "agent.ledger_file"),
        ("[agent]\nrest_url = 'wss://example.invalid'", "agent.rest_url"),
        ("[wake]\nmodels = []", "wake.models"),
        ("[wake]\nnear_misses_dir = 'near'", "wake.near_misses_dir"),
        ("[wake]\nsave_near_misses = 1001", "wake.save_near_misses"),
        ("[wake]\nconsecutive_blocks = 0", "wake.consecutive_blocks"),
        ("[wake]\nthresholds = 0.5", "wake.thresholds"),
        ("[wake.thresholds]\nhey_jarvis = 1.0", "wake.thresholds.hey_jarvis"),
        ("[wake.thresholds]\nhey_jarvis = nan", "wake.thresholds.hey_jarvis"),
        ("[panel]\nred_pin = 5", "panel.red_pin"),
        ("[panel]\nbutton_pin = 27", "panel"),
        ("[audio]\necho = 'speex'", "audio.echo"),
        ("[audio]\nperiod_ms = true", "audio.period_ms"),
    ],
)
def test_what_cannot_work_is_named(text: str, key: str):
    assert list(faults_of(text)) == [key]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("volume = 101", "volume"),
        (f"keyterms = {['word'] * 101}", "keyterms"),
        (f"keyterms = ['{'x' * 51}']", "keyterms"),
        ("language_codes = ['xx']", "language_codes"),
        ("transcription_mode = 'fast'", "transcription_mode"),
        (f"transcription_prompt = '{'x' * 1751}'", "transcription_prompt"),
        ("voice_focus = 'mid-field'", "voice_focus"),
        ("voice_focus_threshold = 1.1", "voice_focus_threshold"),
        ("turn_detection.vad_threshold = -0.1", "turn_detection.vad_threshold"),
        ("turn_detection.min_silence_ms = 49", "turn_detection.min_silence_ms"),
        ("turn_detection.max_silence_ms = 10001", "turn_detection.max_silence_ms"),
        ("turn_detection.interruption_delay_ms = 1001", "turn_detection.interruption_delay_ms"),
    ],
)
def test_what_the_server_would_refuse_or_ignore_is_refused_here(text: str, key: str):
    (told,) = faults_of(f"[agent]\n{text}")

    assert told.startswith(f"agent.{key}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[wake.thresholds]\nhey_jarvi = 0.5",
            "'hey_jarvi' is not one of wake.models; did you mean hey_jarvis?",
        ),
        (
            "[wake]\nmodels = ['alexa', '/etc/hey_pi.onnx']\n[wake.thresholds]\n'/etc/hey_pi.onnx' = 0.5",
            "did you mean hey_pi? There are alexa, hey_pi",
        ),
    ],
)
def test_a_threshold_for_no_model_is_answered_with_the_one_meant(text: str, said: str):
    assert said in faults_of(text)["wake.thresholds"]


def test_each_model_has_its_own_threshold_or_that_of_all():
    wake = config.parse(
        """
        [wake]
        models = ["alexa", "/etc/a/hey_pi.onnx", "/etc/b/hey_pi.onnx", "hey_pi.v2.onnx"]
        threshold = 0.4
        [wake.thresholds]
        hey_pi = 0.7
        "hey_pi.v2" = 0.8
        """
    ).wake

    assert wake.called == ("alexa", "hey_pi", "/etc/b/hey_pi.onnx", "hey_pi.v2")
    assert [wake.threshold_of(name) for name in wake.called] == [0.4, 0.7, 0.4, 0.8]


def test_a_bundled_wake_word_and_ones_own_of_that_name_are_two_in_any_order():
    names = ["/etc/hey_jarvis.onnx", "hey_jarvis", "/etc/alexa.onnx", "/etc/alexa/alexa.onnx"]

    for models in (names, names[1::-1]):
        called = config.WakeConfig(models=models).called

        assert len(set(called)) == len(models)
        assert called[models.index("hey_jarvis")] == "hey_jarvis"
        assert called[models.index("/etc/hey_jarvis.onnx")] == "/etc/hey_jarvis.onnx"


def test_with_the_button_alone_thresholds_may_stay_in_the_file():
    assert config.parse(
        '[wake]\nengine = "none"\nmodels = []\n[wake.thresholds]\nhey_jarvis = 0.6'
    ).wake.thresholds


def test_one_threshold_is_changed_and_the_others_kept():
    given = config.parse("[wake]\nmodels = ['alexa', 'hey_jarvis']\n[wake.thresholds]\nalexa = 0.6")

    changed = config.changed(given, "wake.thresholds.hey_jarvis", 0.7)

    assert changed.wake.thresholds == {"alexa": 0.6, "hey_jarvis": 0.7}


def test_one_setting_is_changed_and_every_other_kept():
    given = config.parse(
        "[agent]\nvoice = 'alba'\n[agent.turn_detection]\nvad_threshold = 0.3\n[audio]\ngain_db = 6"
    )

    changed = config.changed(given, "agent.turn_detection.min_silence_ms", 700)

    assert changed.agent.turn_detection.min_silence_ms == 700
    assert config.changed(changed, "agent.turn_detection.min_silence_ms", None) == given


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("agent.volume", "loud", "it must be a whole number from 0 to 100"),
        ("agent.volum", 40, "did you mean agent.volume?"),
        ("agent.volume.x", 40, "it must be a whole number"),
        ("volume", 40, "did you mean agent.volume?"),
        ("", 40, "no such setting"),
        ("agent", 40, "is a section"),
        ("wake.thresholds.hey_jarvis", 2, "it must be a number above 0 and below 1"),
        ("wake.thresholds.hey", 0.5, "did you mean hey_jarvis?"),
        ("agent.turn_detection.min_silence_ms", 2000, "must be less than max_silence_ms (1500)"),
    ],
)
def test_a_change_is_checked_as_the_file_is(key: str, value: object, said: str):
    given = config.parse("[agent.turn_detection]\nmax_silence_ms = 1500")

    with pytest.raises(ConfigError) as caught:
        config.changed(given, key, value)

    assert said in str(caught.value)


def test_a_long_value_is_not_told_in_full():
    assert len(faults_of(f"[audio]\nperiod_ms = '{'x' * 10_000}'")["audio.period_ms"]) < 200


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
