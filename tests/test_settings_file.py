"""Writing a threshold into the owner's file: what changes, and all that does not."""

from __future__ import annotations

import difflib
import os
import stat
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pivoice import config
from pivoice.errors import ConfigError, PivoiceError
from pivoice.settings_file import with_threshold, write_thresholds

ROOT = Path(__file__).resolve().parent.parent


def changed_lines(before: str, after: str) -> list[str]:
    return [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[0] in "+-"]


def test_in_the_shipped_file_one_line_is_added_below_the_one_that_explains_it():
    before = (ROOT / "config/pivoice.toml").read_text()

    after = with_threshold(before, "hey_jarvis", 0.6)

    assert changed_lines(before, after) == ["+ thresholds = { hey_jarvis = 0.6 }"]
    lines = after.splitlines()
    assert lines[lines.index("thresholds = { hey_jarvis = 0.6 }") - 1] == "#thresholds = {}"
    assert config.parse(after).wake.thresholds == {"hey_jarvis": 0.6}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "[wake]\nthresholds = { hey_jarvis = 0.6 }\n"),
        ("[wake] # mine", "[wake] # mine\nthresholds = { hey_jarvis = 0.6 }\n"),
        ("[log]\n", "[log]\n\n[wake]\nthresholds = { hey_jarvis = 0.6 }\n"),
        (
            "[wake]\nthresholds = { alexa = 0.4 } # why\n",
            "[wake]\nthresholds = { alexa = 0.4, hey_jarvis = 0.6 } # why\n",
        ),
        (
            "[wake]\nthresholds = { hey_jarvis = 0.5 } # was { hey_jarvis = 0.4 }\n",
            "[wake]\nthresholds = { hey_jarvis = 0.6 } # was { hey_jarvis = 0.4 }\n",
        ),
        (
            "[wake]\nthresholds = { '} # a' = 0.4 } # {}\n",
            '[wake]\nthresholds = { "} # a" = 0.4, hey_jarvis = 0.6 } # {}\n',
        ),
        (
            "[wake.thresholds]\nhey_jarvis=0.5# why\nalexa = 0.4\n",
            "[wake.thresholds]\nhey_jarvis=0.6# why\nalexa = 0.4\n",
        ),
        (
            "[ wake . thresholds ]\nalexa = 0.4\n",
            "[ wake . thresholds ]\nhey_jarvis = 0.6\nalexa = 0.4\n",
        ),
        (
            "[wake]\nthresholds.alexa = 0.4\n",
            "[wake]\nthresholds.hey_jarvis = 0.6\nthresholds.alexa = 0.4\n",
        ),
        ('[wake]\nthresholds."hey_jarvis" = 0.4\n', '[wake]\nthresholds."hey_jarvis" = 0.6\n'),
        ("wake.threshold = 0.4\n", "wake.thresholds.hey_jarvis = 0.6\nwake.threshold = 0.4\n"),
        ("wake.thresholds.hey_jarvis = 0.4\n", "wake.thresholds.hey_jarvis = 0.6\n"),
        (
            "[wake]\r\nthreshold = 0.4\r\n",
            "[wake]\r\nthresholds = { hey_jarvis = 0.6 }\r\nthreshold = 0.4\r\n",
        ),
        (
            '[agent]\nsystem_prompt = """\n[wake]\nhey_jarvis = 0.5\n"""\n[wake]\n',
            '[agent]\nsystem_prompt = """\n[wake]\nhey_jarvis = 0.5\n"""\n'
            "[wake]\nthresholds = { hey_jarvis = 0.6 }\n",
        ),
    ],
)
def test_however_it_is_written_one_line_changes(before: str, after: str):
    assert with_threshold(before, "hey_jarvis", 0.6) == after


@settings(deadline=None)
@given(name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1), value=st.floats(0.01, 0.99))
def test_a_model_of_any_name_is_written_and_written_again(name: str, value: float):
    once = with_threshold("[wake]\nthreshold = 0.4\n", name, value)
    twice = with_threshold(once, name, 0.25)

    assert tomllib.loads(once)["wake"] == {"threshold": 0.4, "thresholds": {name: value}}
    assert tomllib.loads(twice)["wake"] == {"threshold": 0.4, "thresholds": {name: 0.25}}


@pytest.mark.parametrize("text", ["wake = { threshold = 0.4 }\n", "wake = 3\n", "[wake]\nthresholds = 3\n"])
def test_what_cannot_be_changed_line_by_line_is_refused(text: str):
    with pytest.raises(ValueError, match=r"wake\.thresholds"):
        with_threshold(text, "hey_jarvis", 0.6)


def test_a_refused_file_stays_and_the_owner_is_told_what_to_write(tmp_path: Path):
    file = tmp_path / "pivoice.toml"
    file.write_text("wake = { threshold = 0.4 }\n")

    with pytest.raises(PivoiceError, match=r"in the section \[wake\]:\nthresholds = { hey_jarvis = 0.6 }"):
        write_thresholds(str(file), {"hey_jarvis": 0.6})

    assert file.read_text() == "wake = { threshold = 0.4 }\n"
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_keeps_its_mode_and_place_also_behind_a_link(tmp_path: Path):
    file, link = tmp_path / "real.toml", tmp_path / "pivoice.toml"
    file.write_text("[wake]\nmodels = ['alexa', 'hey_jarvis']\n")
    file.chmod(0o640)
    link.symlink_to(file)

    write_thresholds(str(link), {"alexa": 0.4, "hey_jarvis": 0.6})

    assert link.is_symlink() and stat.S_IMODE(file.stat().st_mode) == 0o640
    assert config.load(str(link)).wake.thresholds == {"alexa": 0.4, "hey_jarvis": 0.6}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pivoice.toml", "real.toml"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_keeps_its_owner(tmp_path: Path):
    file = tmp_path / "pivoice.toml"
    file.write_text("")
    os.chown(file, 1234, 4321)

    write_thresholds(str(file), {"hey_jarvis": 0.6})

    assert (file.stat().st_uid, file.stat().st_gid) == (1234, 4321)


def test_a_missing_file_is_made_for_all_to_read(tmp_path: Path):
    file = tmp_path / "etc" / "pivoice.toml"

    write_thresholds(str(file), {"hey_jarvis": 0.6})

    assert file.read_text() == "[wake]\nthresholds = { hey_jarvis = 0.6 }\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o644


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("")

    with pytest.raises(PivoiceError, match=r"cannot write .*/file/pivoice.toml: "):
        write_thresholds(str(tmp_path / "file" / "pivoice.toml"), {"hey_jarvis": 0.6})


def test_a_disk_that_fails_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    file = tmp_path / "pivoice.toml"
    file.write_text("# mine\n")
    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(PivoiceError, match="No space left on device"):
        write_thresholds(str(file), {"hey_jarvis": 0.6})

    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("pivoice.toml", "# mine\n")]


def test_what_the_daemon_would_refuse_is_not_written(tmp_path: Path):
    file = tmp_path / "pivoice.toml"
    file.write_text("[wake]\nmodels = ['alexa']\n")

    with pytest.raises(ConfigError, match=r"not one of wake\.models"):
        write_thresholds(str(file), {"hey_jarvis": 0.6})

    assert file.read_text() == "[wake]\nmodels = ['alexa']\n"
