"""The I2S boards that are known, and what is read from a Pi's boot configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from pivoice import boards

CONFIG = """\
# For more options and information see
# http://rptl.io/configtxt
#dtoverlay=hifiberry-dac
dtparam=audio=on
camera_auto_detect=1
dtoverlay=vc4-kms-v3d
max_framebuffers=2

[cm4]
otg_mode=1

[PI4]
 dtoverlay=max98357a,no-sdmode

[none]
dtoverlay=wm8960-soundcard

[all]
dtoverlay=googlevoicehat-soundcard
dtoverlay=
include extraconfig.txt"""


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_what_is_commented_out_or_under_none_is_not_loaded(ending: str):
    text = CONFIG.replace("\n", ending)

    assert boards.overlays_in(text) == ["vc4-kms-v3d", "max98357a", "googlevoicehat-soundcard"]


def test_a_line_is_told_with_its_number_and_the_section_it_stands_under():
    lines = list(boards.lines_in(CONFIG))

    assert lines[1] == boards.Line(13, "max98357a", "pi4")
    assert [line.section for line in lines] == ["all", "pi4", "none", "all"]


def test_a_board_is_found_by_every_name_and_by_its_card():
    for board in boards.OVERLAYS:
        assert boards.of_card(board.card_id) is board
        for name in (board.name, board.name.upper(), *board.other_names):
            assert boards.find(name) is board


def test_no_two_boards_share_a_name_a_card_or_an_overlay():
    names = [name for board in boards.OVERLAYS for name in (board.name, *board.other_names)]

    assert len(set(names)) == len(names)
    assert len({board.card_id for board in boards.OVERLAYS}) == len(boards.OVERLAYS)
    assert len({board.overlay for board in boards.OVERLAYS}) == len(boards.OVERLAYS)


def test_a_card_id_is_one_that_alsa_can_give():
    for board in boards.OVERLAYS:
        assert len(board.card_id) <= 15 and board.card_id.isalnum()


def test_an_unknown_board_is_answered_with_the_nearest_name():
    assert boards.find("max98375a") is None

    assert boards.nearest("max98375a") == "max98357a"
    assert boards.nearest("xyz") == ""


def test_the_boot_configuration_is_found_where_bookworm_and_older_systems_have_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    newer, older = tmp_path / "firmware" / "config.txt", tmp_path / "config.txt"
    monkeypatch.setattr(boards, "BOOT_CONFIGS", (newer, older))

    assert boards.boot_config() is None
    older.write_text("")
    assert boards.boot_config() == older
    newer.parent.mkdir()
    newer.write_text("")
    assert boards.boot_config() == newer
