"""The tools that every device has: time, volume, muting, and goodbye."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from pivoice.config import ToolsConfig
from pivoice.errors import ToolError
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
from pivoice.tools.zones import find_zone

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


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("Europe/Kyiv", "Europe/Kyiv"),
        ("america/new york", "America/New_York"),
        ("new york", "America/New_York"),
        ("São Paulo", "America/Sao_Paulo"),
        ("sao paulo", "America/Sao_Paulo"),
        ("Buenos Aires", "America/Argentina/Buenos_Aires"),
        ("Calcutta", "Asia/Kolkata"),
        ("Beijing", "Asia/Shanghai"),
        ("Japan", "Asia/Tokyo"),
        ("Germany", "Europe/Berlin"),
        ("South Korea", "Asia/Seoul"),
        ("Trinidad and Tobago", "America/Port_of_Spain"),
        ("UK", "Europe/London"),
        ("the Netherlands", "Europe/Amsterdam"),
        ("JP", "Asia/Tokyo"),
        ("Etc/GMT+2", "Etc/GMT+2"),
    ],
)
def test_a_zone_is_known_by_what_people_call_it(said: str, name: str):
    assert find_zone(said, NOON_UTC)[0] == name


@pytest.mark.parametrize("said", ["US/Eastern", "us/eastern", "PRC", "EST5EDT"])
def test_old_names_are_known_where_their_files_are_not_installed(said: str):
    """As on Debian 13, which has them in a package of their own."""
    name, zone = find_zone(said, NOON_UTC)

    assert NOON_UTC.astimezone(zone).utcoffset() is not None
    assert name in {"America/New_York", "Asia/Shanghai", "EST5EDT"}


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("UTC+2", "14:00"),
        ("utc +2", "14:00"),
        ("GMT-5:30", "06:30"),
        ("+02:00", "14:00"),
        ("UTC", "12:00"),
        ("UTC−3", "09:00"),
        ("UTC+0545", "17:45"),
    ],
)
def test_an_offset_is_a_zone(said: str, shown: str):
    _, zone = find_zone(said, NOON_UTC)

    assert f"{NOON_UTC.astimezone(zone):%H:%M}" == shown


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("Tokio", "Asia/Tokyo"),
        ("Nu York", "America/New_York"),
        ("Middle Earth", "IANA name"),
        ("Spain", "Europe/Madrid, Atlantic/Canary"),
        ("USA", "America/New_York, America/Chicago"),
        ("UTC+25", "up to 14 hours"),
        ("../../etc/passwd", "no time zone"),
        ("/etc/localtime", "no time zone"),
        ("posixrules", "no time zone"),
        ("Asia", "no time zone"),
        ("West", "no time zone"),
        ("Virgin Islands", "no time zone"),
        ("x" * 8000, "no time zone"),
    ],
)
def test_what_is_no_single_zone_is_answered_with_what_is_near(said: str, hint: str):
    given = answer(get_time_tool(BERLIN), zone=said)

    assert given.is_error
    assert hint in json.loads(given.text)["error"]
    assert len(given.text) < 500


def test_without_a_table_of_zones_the_time_here_and_offsets_are_still_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("zoneinfo.TZPATH", ())
    monkeypatch.setattr("zoneinfo.available_timezones", lambda: set[str]())

    assert find_zone("UTC+2", NOON_UTC)[0] == "UTC+02:00"
    with pytest.raises(ToolError, match="install the package tzdata"):
        find_zone("Tokyo", NOON_UTC)


def test_a_table_of_zones_without_countries_still_knows_the_zones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("zoneinfo.TZPATH", (str(tmp_path),))
    monkeypatch.setattr("zoneinfo.available_timezones", lambda: {"Asia/Tokyo"})

    assert find_zone("Tokyo", NOON_UTC)[0] == "Asia/Tokyo"


# --- the machine's own zone ---


@pytest.fixture
def machine_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    yield monkeypatch
    monkeypatch.undo()
    time.tzset()


def test_a_zone_that_is_changed_while_we_run_counts_at_once(machine_zone: pytest.MonkeyPatch):
    machine = Times(now_s=NOON_UTC.timestamp)
    machine_zone.setenv("TZ", "Asia/Tokyo")
    before = machine.local_now()

    machine_zone.setenv("TZ", "America/New_York")

    assert f"{before:%H:%M %z}" == "21:00 +0900"
    assert f"{machine.local_now():%H:%M %z}" == "07:00 -0500"
    assert machine.zone_name() == "America/New_York"


@pytest.mark.parametrize("zone", [None, ZoneInfo("Europe/Berlin")])
@pytest.mark.parametrize(
    ("day", "at", "rings"),
    [
        (datetime(2026, 3, 29), (2, 30), "2026-03-29T03:30:00+02:00"),  # there is no 02:30
        (datetime(2026, 10, 25), (2, 30), "2026-10-25T02:30:00+02:00"),  # there are two
        (datetime(2026, 10, 25), (3, 30), "2026-10-25T03:30:00+01:00"),
    ],
)
def test_a_time_that_summer_time_skips_or_brings_twice_is_one_moment(
    zone: tzinfo | None, day: datetime, at: tuple[int, int], rings: str, machine_zone: pytest.MonkeyPatch
):
    machine_zone.setenv("TZ", "Europe/Berlin")
    times = Times(zone=lambda: zone)

    moment = times.at_s(day.date(), datetime(1, 1, 1, *at).time())

    assert times.local(moment).isoformat() == rings


def test_the_machines_clocks_are_there():
    machine = Times()

    assert machine.now_s() > NOON_UTC.timestamp() / 2
    assert machine.elapsed_s() > 0
    assert len(machine.boot()) == 36
    assert machine.zone_name()


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
