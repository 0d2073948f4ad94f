"""`scripts/install --i2s`: what becomes of a Raspberry Pi's boot configuration."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pivoice import boards
from scripts import i2s

STOCK = """\
# For more options and information see
# http://rptl.io/configtxt
dtparam=audio=on
dtoverlay=vc4-kms-v3d
arm_64bit=1

[cm5]
dtoverlay=dwc2,dr_mode=host

[pi4]
arm_boost=1
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The boot partition of a Pi; every overlay that the kernel carries is on it."""
    path = tmp_path / "firmware" / "config.txt"
    (path.parent / "overlays").mkdir(parents=True)
    path.write_text(STOCK)
    for board in boards.OVERLAYS:
        if not board.maker:
            (path.parent / "overlays" / f"{board.overlay}.dtbo").touch()
    monkeypatch.setattr(boards, "BOOT_CONFIGS", (path,))
    return path


@pytest.mark.parametrize("name", [one.name for one in boards.OVERLAYS if not one.maker])
def test_an_overlay_is_added_where_it_counts_on_every_model(config: Path, name: str):
    i2s.add(name)

    board = boards.find(name)
    assert board is not None
    added = config.read_text().removeprefix(STOCK).splitlines()
    assert added[1:-1] == ["[all]", board.line]
    assert [line.section for line in boards.lines_in(config.read_text())] == ["all", "cm5", "all"]


def test_what_was_there_stays_and_a_copy_of_it_is_kept(config: Path):
    said = i2s.add("inmp441")

    assert config.read_text().startswith(STOCK)
    (copy,) = config.parent.glob("config.txt.pivoice-*")
    assert copy.read_text() == STOCK
    assert str(copy) in said and "sudo reboot" in said


def test_adding_it_again_changes_nothing(config: Path):
    i2s.add("inmp441")
    once = config.read_bytes()

    said = i2s.add("googlevoicehat-soundcard")

    assert config.read_bytes() == once
    assert "already" in said and "reboot" not in said


def test_another_board_takes_the_place_of_the_one_before(config: Path):
    i2s.add("inmp441")

    i2s.add("max98357a")

    assert boards.overlays_in(config.read_text())[2:] == ["max98357a"]
    (copy,) = config.parent.glob("config.txt.pivoice-*")
    assert copy.read_text() == STOCK  # still as it was before us


def test_removing_gives_back_what_was_there(config: Path):
    i2s.add("wm8960")

    said = i2s.remove()

    assert config.read_text() == STOCK
    assert "restart of the Pi" in said
    assert i2s.remove() == ""


@pytest.mark.parametrize(
    "text", [STOCK.replace("\n", "\r\n"), STOCK + "# caf\udce9 no newline", "", STOCK[:-1]]
)
def test_line_endings_and_strange_bytes_survive(config: Path, text: str):
    config.write_bytes(text.encode("utf-8", "surrogateescape"))

    i2s.add("hifiberry-dac")

    after = config.read_bytes().decode("utf-8", "surrogateescape")
    assert after.startswith(text)
    assert len({line[-2:-1] == "\r" for line in after.splitlines(keepends=True)[1:]}) == 1
    assert boards.overlays_in(after)[-1] == "hifiberry-dac"


def test_what_the_owner_wrote_already_is_left_alone(config: Path):
    config.write_text(STOCK + "[all]\ndtoverlay=googlevoicehat-soundcard\n")

    said = i2s.add("inmp441")

    assert config.read_text() == STOCK + "[all]\ndtoverlay=googlevoicehat-soundcard\n"
    assert "already" in said


@pytest.mark.parametrize("theirs", ["[all]\ndtoverlay=hifiberry-dac", "dtoverlay=googlevoicehat-soundcard"])
def test_two_boards_on_one_bus_are_refused(config: Path, theirs: str):
    config.write_text(STOCK + theirs + "\n")

    with pytest.raises(i2s.RefusedError, match=r"line 1[23]\), and the I2S bus serves one sound card"):
        i2s.add("inmp441")

    assert config.read_text() == STOCK + theirs + "\n"


def test_a_block_that_lost_its_end_is_not_guessed_at(config: Path):
    i2s.add("inmp441")
    broken = config.read_text().replace(i2s.END, "")
    config.write_text(broken)

    with pytest.raises(i2s.RefusedError, match="delete the lines of that block"):
        i2s.remove()

    assert config.read_text() == broken


def test_a_board_that_the_kernel_does_not_carry_is_refused_until_its_overlay_is_there(config: Path):
    with pytest.raises(i2s.RefusedError, match=r"respeaker-2mic-v2_0\.dtbo from Seeed"):
        i2s.add("respeaker-2mic-v2")
    assert config.read_text() == STOCK

    (config.parent / "overlays" / "respeaker-2mic-v2_0.dtbo").touch()

    i2s.add("respeaker-2mic-v2")
    assert "dtoverlay=respeaker-2mic-v2_0\n" in config.read_text()


def test_an_overlay_that_an_old_system_lacks_is_refused(config: Path):
    (config.parent / "overlays" / "wm8960-soundcard.dtbo").unlink()

    with pytest.raises(i2s.RefusedError, match="apt full-upgrade"):
        i2s.add("wm8960")


def test_an_unknown_board_is_refused_with_the_nearest_and_the_list(capsys: pytest.CaptureFixture[str]):
    code = i2s.main(["check", "inmp442"])

    told = capsys.readouterr().err
    assert code == 2
    assert "did you mean inmp441?" in told
    assert all(board.what in told for board in boards.OVERLAYS)


def test_where_there_is_no_boot_configuration_one_sentence_says_so(
    config: Path, capsys: pytest.CaptureFixture[str]
):
    config.unlink()

    code = i2s.main(["add", "inmp441"])

    assert code == 1
    (sentence,) = capsys.readouterr().err.splitlines()
    assert "no Raspberry Pi" in sentence


def test_the_settings_name_the_card_on_the_sides_it_has():
    microphone, amplifier = boards.find("adau7002"), boards.find("max98357a")
    assert microphone is not None and amplifier is not None

    assert i2s.settings(microphone) == ['capture = "plughw:CARD=adau7002,DEV=0"']
    assert i2s.settings(amplifier) == ['playback = "plughw:CARD=MAX98357A,DEV=0"']


def test_it_runs_with_a_bare_python_before_anything_is_installed():
    bare = [sys.executable, "-I", "-B", "-S", str(Path(i2s.__file__)), "settings", "inmp441"]

    run = subprocess.run(bare, capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stderr
    assert "sndrpigooglevoi" in run.stdout
