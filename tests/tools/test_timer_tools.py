"""What the agent asks of timers and alarms: taken if it has one meaning, told as it is spoken."""

from __future__ import annotations

import asyncio
import logging
from datetime import time
from pathlib import Path

import pytest

from pivoice.tools.registry import RefusedError
from pivoice.tools.timers import MOST
from tests.support.alarm_clock import HOUR, MINUTE, Device, live


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "timers.json"


# --- what the agent asks for ---


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"minutes": 10}, {"name": "10 minute timer", "left": "10 minutes"}),
        ({"hours": 1, "minutes": 30}, {"name": "1 hour and 30 minute timer"}),
        ({"minutes": 0.5, "hours": 0, "at": ""}, {"left": "30 seconds"}),
        ({"seconds": 45, "name": "  soft   eggs "}, {"name": "soft eggs", "left": "45 seconds"}),
        ({"hours": 24}, {"left": "1 day", "rings_at": "10 o'clock at night, tomorrow, Tuesday, 24 November"}),
        (
            {"at": "07:30"},
            {"kind": "alarm", "rings_at": "7:30 in the morning, tomorrow, Tuesday, 24 November"},
        ),
        (
            {"at": "07:30", "date": "today"},
            {"rings_at": "7:30 in the morning, tomorrow, Tuesday, 24 November"},
        ),
        ({"at": "22:30"}, {"rings_at": "10:30 at night, today, Monday, 23 November", "left": "30 minutes"}),
        ({"at": "22:00"}, {"rings_at": "10 o'clock at night, tomorrow, Tuesday, 24 November"}),
        ({"at": "22:30", "date": "tomorrow"}, {"rings_at": "10:30 at night, tomorrow, Tuesday, 24 November"}),
        (
            {"at": "7 pm", "date": "2026-12-24"},
            {"rings_at": "7 o'clock in the evening, Thursday, 24 December"},
        ),
        ({"at": "12:05 a.m."}, {"rings_at": "12:05 at night, tomorrow, Tuesday, 24 November"}),
        ({"at": "noon"}, {"rings_at": "noon, tomorrow, Tuesday, 24 November"}),
        ({"at": "06:00", "date": "Friday"}, {"rings_at": "6 o'clock in the morning, Friday, 27 November"}),
        ({"at": "23:00", "date": "monday"}, {"rings_at": "11 o'clock at night, today, Monday, 23 November"}),
        ({"at": "21:00", "date": "monday"}, {"rings_at": "9 o'clock in the evening, Monday, 30 November"}),
        ({"at": "23:00", "date": "next Monday"}, {"rings_at": "11 o'clock at night, Monday, 30 November"}),
        ({"at": "2026-11-25T06:15:00"}, {"rings_at": "6:15 in the morning, Wednesday, 25 November"}),
        ({"at": "2026-11-25T06:15Z"}, {"rings_at": "7:15 in the morning, Wednesday, 25 November"}),
        ({"at": "06:45", "repeat": ["weekdays"]}, {"repeats": "every weekday", "name": "06:45 alarm"}),
        (
            {"at": "06:45", "repeat": ["saturday", "sunday"]},
            {
                "repeats": "every Saturday and Sunday",
                "rings_at": "6:45 in the morning, Saturday, 28 November",
            },
        ),
    ],
)
def test_what_was_set_is_told_as_it_is_said(arguments: dict[str, object], told: dict[str, object]):
    async def days(device: Device) -> None:
        given = await device.ask("set_timer", **arguments)

        assert given["status"] == "set"
        assert {key: given[key] for key in told} == told

    live(days)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "nothing was said of how long"),
        ({"minutes": 0}, "nothing was said of how long"),
        ({"minutes": -5}, "minutes must be from 0"),
        ({"hours": 25}, "24 hours at most"),
        ({"hours": 1e300}, "hours must be from 0"),
        ({"seconds": 0.2}, "a second at least"),
        ({"minutes": 5, "at": "07:30"}, "not both"),
        ({"minutes": 5, "repeat": ["daily"]}, "not both"),
        ({"at": "25:00"}, "no time of day"),
        ({"at": "07:75"}, "no time of day"),
        ({"at": "13 pm"}, "no time of day"),
        ({"at": "soon"}, "no time of day"),
        ({"at": "2026-11-25"}, "no time of day"),
        ({"at": "07:30", "date": "someday"}, "no day"),
        ({"at": "07:30", "date": "2026-02-30"}, "no day"),
        ({"at": "07:30", "date": "2026-11-01"}, "is past"),
        ({"at": "07:30", "date": "2028-01-01"}, "a year ahead"),
        ({"at": "07:30", "date": "9999-12-31"}, "a year ahead"),
        ({"at": "07:30", "repeat": ["someday"]}, "repeat"),
        ({"minutes": 5, "name": "x" * 100}, "at most 60"),
    ],
)
def test_what_has_no_one_meaning_is_explained_and_not_set(arguments: dict[str, object], said: str):
    async def days(device: Device) -> None:
        given = await device.ask("set_timer", **arguments)

        assert said in str(given["error"])
        assert device.timers.entries == []

    live(days)


def test_no_two_have_the_same_name():
    async def days(device: Device) -> None:
        for _ in range(3):
            await device.ask("set_timer", minutes=5, name="Tea")

        assert [entry.name for entry in device.timers.entries] == ["Tea", "Tea 2", "Tea 3"]

    live(days)


def test_there_is_a_bound_and_it_is_told():
    async def days(device: Device) -> None:
        for _ in range(MOST):
            await device.ask("set_timer", minutes=5, name='"' * 60)
        given = await device.ask("set_timer", minutes=5)
        listed = await device.ask("list_timers")

        assert f"there are {MOST} timers and alarms already" in str(given["error"])
        assert len(device.timers.entries) == MOST
        assert listed["more"] == MOST - len(listed["set"])  # type: ignore[arg-type]

    live(days)


def test_the_list_has_the_next_one_first_and_what_rings_before_all():
    async def days(device: Device) -> None:
        await device.ask("set_timer", minutes=90, name="roast")
        await device.ask("set_timer", at="23:00")
        await device.ask("set_timer", minutes=1, name="tea")
        await asyncio.sleep(MINUTE + 1)
        listed = (await device.ask("list_timers"))["set"]

        assert isinstance(listed, list)
        assert [(each["name"], each.get("left"), each.get("rings")) for each in listed] == [
            ("tea", None, "now"),
            ("23:00 alarm", "58 minutes and 59 seconds", None),
            ("roast", "1 hour and 29 minutes", None),
        ]

    live(days)


def test_the_status_is_for_people_and_programs():
    async def days(device: Device) -> None:
        device.timers.set_alarm(time(7, 30), days=[0, 1, 2, 3, 4], name="up")
        device.timers.set_timer(MINUTE, "tea")
        await asyncio.sleep(MINUTE + 0.5)

        assert device.timers.status() == [
            {
                "name": "tea",
                "kind": "timer",
                "due": "2026-11-23T22:01:00+01:00",
                "left_s": 0.0,
                "repeats": "",
                "ringing": True,
            },
            {
                "name": "up",
                "kind": "alarm",
                "due": "2026-11-24T07:30:00+01:00",
                "left_s": 9.5 * HOUR - MINUTE - 0.5,
                "repeats": "every weekday",
                "ringing": False,
            },
        ]

    live(days)


# --- cancelling ---


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("PIZZA", ["pasta", "pasta sauce", "07:30 alarm"]),
        ("pasta", ["pizza", "pasta sauce", "07:30 alarm"]),
        ("the sauce", ["pizza", "pasta", "07:30 alarm"]),
        ("pizza timer", ["pasta", "pasta sauce", "07:30 alarm"]),
        ("the alarm", ["pizza", "pasta", "pasta sauce"]),
        ("7:30", ["pizza", "pasta", "pasta sauce"]),
        ("all", []),
        ("All timers", ["07:30 alarm"]),
        ("all alarms", ["pizza", "pasta", "pasta sauce"]),
    ],
)
def test_one_is_cancelled_by_what_people_call_it(name: str, left: list[str]):
    async def days(device: Device) -> None:
        for minutes, each in enumerate(("pizza", "pasta", "pasta sauce"), 1):
            await device.ask("set_timer", minutes=minutes, name=each)
        await device.ask("set_timer", at="07:30")
        given = await device.ask("cancel_timer", name=name)

        assert given["status"] == "cancelled"
        assert [entry.name for entry in device.timers.entries] == left
        assert given["still_set"] == len(left)

    live(days)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("past", "'pasta', 'pasta sauce'"),
        ("timer", "which one is meant"),
        ("", "which one is meant"),
        ("curry", "nothing is called 'curry'; there are 'pizza', 'pasta', 'pasta sauce'"),
    ],
)
def test_what_could_be_several_or_none_cancels_nothing(name: str, said: str):
    async def days(device: Device) -> None:
        for minutes, each in enumerate(("pizza", "pasta", "pasta sauce"), 1):
            await device.ask("set_timer", minutes=minutes, name=each)
        given = await device.ask("cancel_timer", name=name)

        assert said in str(given["error"])
        assert len(device.timers.entries) == 3

    live(days)


def test_cancelling_where_nothing_is_set_says_so():
    async def days(device: Device) -> None:
        assert "no timer and no alarm is set" in str((await device.ask("cancel_timer"))["error"])

    live(days)


def test_the_only_one_needs_no_name_and_nothing_is_looked_at_any_more():
    async def days(device: Device) -> None:
        await device.ask("set_timer", minutes=5)
        await device.ask("cancel_timer")
        device.looks = 0
        await asyncio.sleep(HOUR)

        assert device.looks == 0

    assert live(days).rang == []


def test_what_rings_is_meant_where_no_name_is_given_and_cancelling_it_silences_it():
    async def days(device: Device) -> None:
        await device.ask("set_timer", minutes=5, name="tea")
        await device.ask("set_timer", minutes=50, name="roast")
        await asyncio.sleep(6 * MINUTE)
        await device.ask("cancel_timer")

        assert [entry.name for entry in device.timers.entries] == ["roast"]

    assert live(days).hushed == 1


def test_all_that_rings_is_cancelled_together():
    async def days(device: Device) -> None:
        for name in ("tea", "eggs"):
            await device.ask("set_timer", minutes=5, name=name)
        await device.ask("set_timer", minutes=50, name="roast")
        await asyncio.sleep(6 * MINUTE)
        told = await device.ask("cancel_timer", name="timer")

        assert told["names"] == ["tea", "eggs"]
        assert [entry.name for entry in device.timers.entries] == ["roast"]

    assert live(days).hushed == 1


def test_cancelling_a_repeating_alarm_that_rings_stops_it_for_today_and_then_for_good():
    async def days(device: Device) -> None:
        await device.ask("set_timer", at="07:30", repeat=["daily"], name="up")
        await asyncio.sleep(10 * HOUR)
        first = await device.ask("cancel_timer", name="up")
        second = await device.ask("cancel_timer", name="up")

        assert first["stopped_but_repeats"][0]["rings_at"].endswith("tomorrow, Wednesday, 25 November")  # type: ignore[index]
        assert "stopped_but_repeats" not in second
        assert device.timers.entries == []

    assert live(days).hushed == 1


def test_a_cancelled_one_does_not_come_back_with_a_restart(path: Path):
    async def days(device: Device) -> None:
        await device.ask("set_timer", minutes=5)
        await device.ask("cancel_timer", name="all")
        await device.restart()

        assert device.timers.entries == []

    live(days, path)


def test_names_are_not_logged(caplog: pytest.LogCaptureFixture, path: Path):
    caplog.set_level(logging.INFO)

    async def days(device: Device) -> None:
        await device.ask("set_timer", minutes=5, name="secret meeting")
        await asyncio.sleep(6 * MINUTE)
        await device.restart()
        await device.ask("cancel_timer", name="secret meeting")
        await device.ask("cancel_timer", name="secret meeting")

    live(days, path)

    assert "ring" in caplog.text
    assert "secret" not in caplog.text


def test_half_a_character_in_a_name_spoils_nothing(path: Path):
    async def days(device: Device) -> None:
        device.timers.set_timer(5 * MINUTE, "\ud800 tea")
        await device.restart()

        assert [entry.name for entry in device.timers.entries] == ["? tea"]

    live(days, path)


def test_a_full_book_raises_where_nobody_asked_by_a_tool():
    async def days(device: Device) -> None:
        for _ in range(MOST):
            device.timers.set_alarm(time(7, 30))
        with pytest.raises(RefusedError):
            device.timers.set_alarm(time(7, 30))

    live(days)
