"""What the user asked to be remembered is kept, found, and erased; nothing of it is lost."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pivoice.config import ToolsConfig
from pivoice.simulation import run_jumping
from pivoice.tools.notes import Notes, notes_tools
from pivoice.tools.registry import Registry
from pivoice.tools.times import Times

DAY = Times(now_s=datetime(2026, 11, 23, 12, 0, tzinfo=UTC).timestamp, zone=lambda: UTC)


def notes_of(*texts: str, most: int = 100, path: Path | None = None) -> Notes:
    notes = Notes(path, most, times=DAY)
    for text in texts:
        notes.add(text)
    return notes


def ask(notes: Notes, tool: str, /, **arguments: object) -> dict[str, object]:
    async def main(_: object) -> dict[str, object]:
        registry = Registry(ToolsConfig())
        registry.put("pivoice", notes_tools(notes))
        answer = await registry.run(tool, arguments)
        told = json.loads(answer.text)
        assert isinstance(told, dict)
        assert answer.is_error == ("error" in told)
        return told

    return run_jumping(main)


def found(notes: Notes, query: str) -> list[str]:
    return [note.text for note in notes.search(query)]


# --- remember ---


def test_what_was_remembered_is_recalled_with_its_number_and_day():
    notes = notes_of()

    assert ask(notes, "remember", text="  The spare key is\n under the pot. ") == {"remembered": 1}
    assert ask(notes, "recall", query="spare key") == {
        "notes": [{"number": 1, "text": "The spare key is under the pot.", "told_on": "2026-11-23"}]
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "give a text"),
        ({"text": "   "}, "give a text"),
        ({"text": "x" * 301}, "301 characters, of at most 300"),
        ({"forget": 7}, "there is no note 7"),
        ({"forget": 0}, "was not run"),
        ({"forget": "key"}, "was not run"),
    ],
)
def test_what_cannot_be_kept_is_explained_and_changes_nothing(arguments: dict[str, object], said: str):
    notes = notes_of("The key is under the pot.")

    assert said in str(ask(notes, "remember", **arguments)["error"])
    assert [line["text"] for line in notes.listed()] == ["The key is under the pot."]


def test_a_full_memory_forgets_nothing_and_says_what_to_do():
    notes = notes_of("one", "two", "three", most=3)

    error = str(ask(notes, "remember", text="four")["error"])

    assert "full (3 notes)" in error
    assert "forget" in error
    assert len(notes) == 3


def test_in_a_full_memory_one_note_can_take_the_place_of_another():
    notes = notes_of("one", "two", "three", most=3)

    assert ask(notes, "remember", text="four", forget=2) == {"remembered": 4, "forgotten": 2}
    assert [line["text"] for line in notes.listed()] == ["four", "three", "one"]


def test_a_note_that_would_be_replaced_by_one_that_is_too_long_stays():
    notes = notes_of("one")

    assert "error" in ask(notes, "remember", text="x" * 301, forget=1)
    assert found(notes, "one") == ["one"]


def test_the_same_again_is_one_note():
    notes = notes_of("Anna likes tea.", "Ben likes tea.")

    ask(notes, "remember", text="anna LIKES tea.")

    assert [line["text"] for line in notes.listed()] == ["anna LIKES tea.", "Ben likes tea."]


def test_a_word_and_its_opposite_are_not_the_same_note():
    assert len(notes_of("Anna is not at home", "Anna is at home", "at home Anna is not")) == 3


def test_the_agent_can_forget_by_number():
    notes = notes_of("one", "two")

    assert ask(notes, "remember", forget=1) == {"forgotten": 1}
    assert found(notes, "") == ["two"]


# --- recall ---


def test_all_words_come_before_some_and_the_newest_first():
    notes = notes_of(
        "The car key is in the drawer.",
        "The bike key is in the shed.",
        "The car is red.",
        "The car key has a spare.",
        "Milk is bought on Monday.",
    )

    assert found(notes, "car key") == [
        "The car key has a spare.",
        "The car key is in the drawer.",
        "The car is red.",
        "The bike key is in the shed.",
    ]


def test_the_rarest_word_counts_most():
    notes = notes_of("The passport is in the safe.", "The tea is in the tin.", "The cat is in the house.")

    assert found(notes, "where is the passport")[0] == "The passport is in the safe."


@pytest.mark.parametrize("query", ["CAFÉ", "cafe", "Cafés", "cafe?!", "caf\u0065\u0301"])
def test_case_accents_endings_and_stops_do_not_matter(query: str):
    assert found(notes_of("The café opens at nine.", "Nothing."), query) == ["The café opens at nine."]


def test_a_word_inside_another_is_not_that_word():
    assert found(notes_of("The carpet is blue."), "car") == [
        "The carpet is blue."
    ]  # an ending, for all we know
    assert found(notes_of("It is in the inn."), "i") == []
    assert found(notes_of("The cardboard is blue.", "It is an oscar."), "car") == []


def test_without_words_everything_is_recalled_up_to_a_bound_that_is_told():
    notes = notes_of(*(f"note {number}" for number in range(25)))

    told = ask(notes, "recall")

    assert [note["number"] for note in told["notes"]] == list(range(25, 15, -1))  # type: ignore[attr-defined]
    assert "15 more" in str(told["more"])


def test_recalling_what_is_not_there_says_so():
    assert "none has these words" in str(ask(notes_of("one"), "recall", query="two")["hint"])
    assert "Nothing was noted" in str(ask(notes_of(), "recall")["hint"])
    assert ask(notes_of("one"), "recall", query="?!")["notes"] == []


# --- the store ---


def test_notes_outlive_the_daemon_in_a_private_file_and_keep_their_numbers(tmp_path: Path):
    path = tmp_path / "notes.json"
    notes = notes_of("one", "two", path=path)
    notes.forget(2)

    again = Notes(path, 100, times=DAY)

    assert path.stat().st_mode & 0o777 == 0o600
    assert again.listed() == [{"number": 1, "text": "one", "noted": "2026-11-23T12:00:00+00:00"}]
    assert again.add("three").number == 3


def test_the_owner_can_erase_one_or_all(tmp_path: Path):
    path = tmp_path / "notes.json"
    notes = notes_of("one", "two", "three", path=path)

    assert notes.forget(2)
    assert not notes.forget(2)
    assert notes.forget_all() == 2
    assert notes.listed() == []
    assert "one" not in path.read_text()


def test_erasing_all_erases_what_could_not_be_read_too(tmp_path: Path):
    path = tmp_path / "notes.json"
    path.write_text('{"notes": "my diary"}')
    notes = Notes(path, 100)
    assert any("my diary" in file.read_text() for file in tmp_path.iterdir())

    notes.forget_all()

    assert not any("my diary" in file.read_text() for file in tmp_path.iterdir())


def test_a_note_of_no_time_is_a_broken_files_and_put_aside(tmp_path: Path):
    path = tmp_path / "notes.json"
    path.write_text('{"last_number": 1, "notes": [{"number": 1, "text": "x", "noted_s": 1e300}]}')

    notes = Notes(path, 100)

    assert notes.listed() == []
    assert ask(notes, "recall")["notes"] == []
    assert path.with_name("notes.json.bad").exists()


def test_a_smaller_bound_forgets_nothing(tmp_path: Path):
    path = tmp_path / "notes.json"
    notes_of("one", "two", "three", path=path)

    fewer = Notes(path, 2)

    assert len(fewer) == 3
    assert "error" in ask(fewer, "remember", text="four")
    assert ask(fewer, "remember", text="four", forget=1) == {"remembered": 4, "forgotten": 1}
    assert len(fewer) == 3


def test_a_file_that_cannot_be_written_is_told_to_the_user(tmp_path: Path):
    path = tmp_path / "notes.json"
    path.mkdir()

    told = ask(Notes(path, 100), "remember", text="one")

    assert "could not be written down" in str(told["warning"])


def test_half_a_character_spoils_nothing(tmp_path: Path):
    path = tmp_path / "notes.json"

    notes_of("a \ud800 b", path=path)

    assert found(Notes(path, 100), "") == ["a ? b"]


def test_where_nothing_may_be_kept_there_are_no_tools():
    assert notes_tools(Notes(None, 0)) == []


def test_nothing_of_it_is_logged_above_debug(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    path = tmp_path / "notes.json"
    path.write_text('{"notes": "my diary"}')

    notes = Notes(path, 1)
    ask(notes, "remember", text="my diary")
    ask(notes, "remember", text="my diary again")
    ask(notes, "recall", query="my diary")

    assert "notes.json" in caplog.text
    assert "diary" not in caplog.text
