"""The tools that every device has: time, volume, muting, and goodbye."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from pivoice.config import ToolsConfig
from pivoice.simulation import run_jumping
from pivoice.tools.builtin import (
    end_conversation_tool,
    get_time_tool,
    mute_microphone_tool,
    set_volume_tool,
)
from pivoice.tools.notes import Notes, notes_tools
from pivoice.tools.registry import MAX_ANSWER_CHARS, Answer, Registry, ToolDefinition
from pivoice.tools.spoken import day_said, days_said, describe_time, length_said
from pivoice.tools.timer_tools import timer_tools
from pivoice.tools.timers import Timers
from pivoice.tools.times import Times

NOON_UTC = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
BERLIN = Times(now_s=NOON_UTC.timestamp, zone=lambda: ZoneInfo("Europe/Berlin"))


def answer(tool: ToolDefinition, **arguments: object) -> Answer:
    async def main(_: object) -> Answer:
        registry = Registry(ToolsConfig())
        registry.put("pivoice", [tool])
        return await registry.run(tool.name, arguments)

    return run_jumping(main)


def told(tool: ToolDefinition, **arguments: object) -> dict[str, object]:
    given = answer(tool, **arguments)
    assert not given.is_error, given.text
    parsed = json.loads(given.text)
    assert isinstance(parsed, dict)
    return parsed


# --- the time ---


def test_the_time_is_told_as_it_is_spoken():
    afternoon = datetime(2026, 5, 1, 16, 7)

    assert describe_time(afternoon)["time"] == "4:07 in the afternoon"
    assert describe_time(afternoon)["date"] == "Friday, 1 May 2026"


@pytest.mark.parametrize(
    ("hour", "minute", "said"),
    [
        (0, 0, "midnight"),
        (0, 7, "12:07 at night"),
        (5, 0, "5 o'clock in the morning"),
        (12, 0, "noon"),
        (12, 5, "12:05 in the afternoon"),
        (18, 0, "6 o'clock in the evening"),
        (23, 59, "11:59 at night"),
    ],
)
def test_each_time_of_day_has_its_words(hour: int, minute: int, said: str):
    assert describe_time(datetime(2026, 5, 1, hour, minute))["time"] == said


def test_the_time_here_needs_no_arguments():
    assert told(get_time_tool(BERLIN)) == {
        "time": "1 o'clock in the afternoon",
        "date": "Monday, 23 November 2026",
        "iso": "2026-11-23T13:00:00+01:00",
        "weekday": "Monday",
        "zone": "Europe/Berlin",
    }


def test_the_time_elsewhere_is_told_with_its_zone_and_how_far_off_it_is():
    there = told(get_time_tool(BERLIN), zone="Tokyo")

    assert there["iso"] == "2026-11-23T21:00:00+09:00"
    assert there["zone"] == "Asia/Tokyo"
    assert there["compared_with_here"] == "8 hours ahead of here"
    assert told(get_time_tool(BERLIN), zone="New York")["compared_with_here"] == "6 hours behind here"
    assert told(get_time_tool(BERLIN), zone="Paris")["compared_with_here"] == "the same time as here"
    assert told(get_time_tool(BERLIN), zone="Kathmandu")["compared_with_here"] == (
        "4 hours and 45 minutes ahead of here"
    )


@pytest.mark.parametrize("said", ["", "  "])
def test_an_empty_zone_is_the_one_here(said: str):
    assert told(get_time_tool(BERLIN), zone=said)["zone"] == "Europe/Berlin"


def test_a_zone_that_is_none_is_told_to_the_agent():
    given = answer(get_time_tool(BERLIN), zone="Nu York")

    assert given.is_error
    assert "America/New_York" in json.loads(given.text)["error"]


# --- how lengths and days are said ---


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (59.6, "1 minute"),
        (90, "1 minute and 30 seconds"),
        (3599.7, "1 hour"),
        (3690, "1 hour and 2 minutes"),
        (86400, "1 day"),
        (100_000, "1 day and 4 hours"),
    ],
)
def test_a_length_of_time_is_said_no_finer_than_people_care(seconds: float, said: str):
    assert length_said(seconds) == said


def test_days_are_said_the_short_way():
    assert days_said([]) == ""
    assert days_said(range(7)) == "every day"
    assert days_said([4, 0, 1, 2, 3]) == "every weekday"
    assert days_said([5, 0, 2]) == "every Monday, Wednesday and Saturday"
    assert day_said(datetime(2026, 12, 31), datetime(2026, 12, 31)) == "today, Thursday, 31 December"
    assert day_said(datetime(2027, 1, 1), datetime(2026, 12, 31)) == "tomorrow, Friday, 1 January 2027"
    assert day_said(datetime(2026, 12, 28), datetime(2026, 12, 31)) == "Monday, 28 December"


# --- volume ---


class Speaker:
    """A volume that takes no more than its owner allows."""

    def __init__(self, level: int = 50, most: int = 100) -> None:
        self.level = level
        self.most = most
        self.asked: list[int] = []

    async def set_level(self, level: int) -> int:
        self.asked.append(level)
        self.level = min(level, self.most)
        return self.level

    def tool(self) -> ToolDefinition:
        return set_volume_tool(self.set_level, level=lambda: self.level, max_level=self.most)


@pytest.mark.parametrize(
    ("arguments", "level"),
    [
        ({"level": 30}, 30),
        ({"change": 10}, 60),
        ({"change": -20}, 30),
        ({"level": 0}, 0),
        ({"change": 0}, 50),
    ],
)
def test_the_volume_is_set_or_changed(arguments: dict[str, object], level: int):
    speaker = Speaker(50)

    given = told(speaker.tool(), **arguments)

    assert given == {"level": level}
    assert speaker.level == level


def test_the_owners_limit_is_told_where_it_holds():
    speaker = Speaker(50, most=70)

    given = told(speaker.tool(), level=90)

    assert given == {"level": 70, "limit": "The owner of the device allows 70 at most."}
    assert told(speaker.tool(), level=70) == {"level": 70}


def test_a_change_beyond_the_ends_stops_there_and_says_so():
    speaker = Speaker(95)

    assert told(speaker.tool(), change=10) == {"level": 100, "limit": "It does not get any louder."}
    assert told(speaker.tool(), change=-100) == {"level": 0}
    assert told(speaker.tool(), change=-10) == {"level": 0, "limit": "It is silent now."}
    assert speaker.asked == [100, 0, 0]


def test_the_volume_is_told_where_nothing_is_asked_of_it():
    speaker = Speaker(40)

    assert told(speaker.tool()) == {"level": 40}
    assert speaker.asked == []


@pytest.mark.parametrize("arguments", [{"level": 130}, {"level": "loud"}, {"level": 10, "change": 5}])
def test_a_volume_that_makes_no_sense_is_explained_and_changes_nothing(arguments: dict[str, object]):
    speaker = Speaker(40)

    assert answer(speaker.tool(), **arguments).is_error
    assert speaker.asked == []


# --- muting and goodbye ---


def test_muting_says_that_only_a_hand_can_undo_it():
    heard: list[str] = []

    given = told(mute_microphone_tool(lambda: heard.append("mute")))

    assert heard == ["mute"]
    assert given["status"] == "muted"
    assert "only a hand" in str(given["now"])


def test_ending_the_conversation_tells_the_device():
    heard: list[str] = []

    given = answer(end_conversation_tool(lambda: heard.append("goodbye")))

    assert heard == ["goodbye"]
    assert not given.is_error


# --- all of them ---


def all_tools() -> list[ToolDefinition]:
    return [
        end_conversation_tool(lambda: None),
        get_time_tool(),
        Speaker().tool(),
        mute_microphone_tool(lambda: None),
        *timer_tools(Timers(None, ring=lambda _: None, hush=lambda: None)),
        *notes_tools(Notes(None, 100)),
    ]


def test_the_built_in_tools_leave_room_for_one_of_the_owners():
    async def offered(_: object) -> list[str]:
        registry = Registry(ToolsConfig())
        registry.put("pivoice", all_tools())
        return [tool.name for tool in registry.offered]

    assert len(run_jumping(offered)) == 9


@pytest.mark.parametrize("tool", all_tools(), ids=lambda tool: tool.name)
def test_descriptions_are_short_and_every_argument_has_one(tool: ToolDefinition):
    properties = tool.parameters["properties"]

    assert isinstance(properties, dict)
    assert len(tool.description) < 250
    for name, rule in properties.items():
        assert 20 < len(rule["description"]) < 200, name


def test_no_answer_of_ours_is_cut():
    notes = Notes(None, 100)
    for number in range(100):
        notes.add(f"{number} " + "ä" * 290)

    recall = notes_tools(notes)[1]

    assert len(told(recall)["notes"]) > 3  # type: ignore[arg-type]
    assert len(answer(recall).text) <= MAX_ANSWER_CHARS
