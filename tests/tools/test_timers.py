"""Timers and alarms ring in time, also while the clock is set."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import pytest

from tests.support.alarm_clock import DAY, HOUR, LATE, MINUTE, Device, live

# --- ringing ---


def test_a_timer_rings_when_its_time_is_up():
    async def days(device: Device) -> None:
        device.timers.set_timer(10 * MINUTE, "pizza")
        await asyncio.sleep(10 * MINUTE - 0.1)
        assert device.rang == []
        await asyncio.sleep(0.2)

    assert live(days).rang == [("pizza", "Mon 22:10:00")]


def test_an_alarm_rings_at_the_next_such_time_of_day():
    async def days(device: Device) -> None:
        device.timers.set_alarm(time(22, 30))
        device.timers.set_alarm(time(7, 30))
        await asyncio.sleep(DAY)

    assert live(days).rang == [
        ("22:30 alarm", "Mon 22:30:00"),
        ("22:30 alarm and 07:30 alarm", "Tue 07:30:00"),
    ]


def test_what_is_silenced_is_done():
    async def days(device: Device) -> None:
        device.timers.set_timer(MINUTE, "tea")
        device.timers.set_timer(2 * MINUTE, "eggs")
        await asyncio.sleep(90)
        device.timers.silenced()
        device.timers.silenced()
        await asyncio.sleep(DAY)

    device = live(days)

    assert [label for label, _ in device.rang] == ["tea", "eggs"]
    assert [entry.name for entry in device.timers.entries] == ["eggs"]


def test_several_that_are_due_at_once_ring_as_one_and_end_as_one():
    async def days(device: Device) -> None:
        for name in ("a", "b", "c", "d", "e", "f"):
            device.timers.set_timer(MINUTE, name)
        await asyncio.sleep(2 * MINUTE)
        device.timers.silenced()

    device = live(days)

    assert [label for label, _ in device.rang] == ["a, b, c, d and 2 more"]
    assert device.timers.entries == []


def test_a_repeating_alarm_rings_on_its_days_alone():
    async def days(device: Device) -> None:
        device.timers.set_alarm(time(6, 45), days=[0, 2, 4], name="run")
        for _ in range(9):
            await asyncio.sleep(DAY)
            device.timers.silenced()

    assert [at for _, at in live(days).rang] == [
        "Wed 06:45:00",
        "Fri 06:45:00",
        "Mon 06:45:00",
        "Wed 06:45:00",
    ]


def test_an_alarm_follows_summer_time():
    async def days(device: Device) -> None:
        device.timers.set_alarm(time(2, 30), days=range(7), name="a")
        for _ in range(4):
            await asyncio.sleep(DAY)
            device.timers.silenced()

    spring = live(days, now=datetime(2026, 3, 27, 12, 0, tzinfo=ZoneInfo("Europe/Berlin")))
    autumn = live(days, now=datetime(2026, 10, 23, 12, 0, tzinfo=ZoneInfo("Europe/Berlin")))

    assert [at for _, at in spring.rang] == ["Sat 02:30:00", "Sun 03:30:00", "Mon 02:30:00", "Tue 02:30:00"]
    assert [at for _, at in autumn.rang] == ["Sat 02:30:00", "Sun 02:30:00", "Mon 02:30:00", "Tue 02:30:00"]


def test_an_alarm_follows_the_zone_and_a_timer_does_not():
    async def days(device: Device) -> None:
        device.timers.set_alarm(time(7, 30), name="up")
        device.timers.set_timer(9 * HOUR, "slow")
        device.zone = ZoneInfo("Europe/London")
        await asyncio.sleep(DAY)

    assert live(days).rang == [("slow", "Tue 06:00:00"), ("slow and up", "Tue 07:30:00")]


def test_nothing_is_looked_at_while_nothing_is_pending():
    async def days(device: Device) -> None:
        device.timers.set_timer(MINUTE)
        await asyncio.sleep(2 * MINUTE)
        device.timers.silenced()
        device.looks = 0
        await asyncio.sleep(DAY)

    assert live(days).looks == 0


def test_the_clocks_are_looked_at_every_half_minute_while_something_is_pending():
    async def days(device: Device) -> None:
        device.timers.set_timer(10 * HOUR)
        device.looks = 0
        await asyncio.sleep(5 * HOUR)

    assert live(days).looks < 5 * 120 * 10  # a few readings each


# --- a clock that is set ---


@pytest.mark.parametrize("step_s", [-10 * DAY, -HOUR, HOUR, 400 * DAY])
def test_a_timer_does_not_care_how_the_clock_is_set(step_s: float):
    async def days(device: Device) -> None:
        device.timers.set_timer(10 * MINUTE)
        await asyncio.sleep(5 * MINUTE)
        device.set_clock(step_s)
        await asyncio.sleep(5 * MINUTE - 1)
        assert device.rang == []
        await asyncio.sleep(2)

    assert len(live(days).rang) == 1


def test_an_alarm_goes_by_the_clock_as_it_is_set():
    async def days(device: Device) -> None:
        device.timers.set_alarm(time(23, 0), name="late")
        device.set_clock(-20 * MINUTE)
        await asyncio.sleep(65 * MINUTE)
        assert device.rang == []
        device.set_clock(+10 * MINUTE)
        await asyncio.sleep(10 * MINUTE)

    assert live(days).rang == [("late", "Mon 23:00:00")]


def test_an_alarm_that_the_clock_was_set_past_rings_at_once():
    async def days(device: Device) -> None:
        device.timers.set_alarm(time(22, 5), name="late")
        device.set_clock(+14 * MINUTE)
        await asyncio.sleep(31)

    rang = live(days).rang

    assert [label for label, _ in rang] == ["late"]
    assert rang[0][1] <= "Mon 22:14:31"


def test_an_alarm_that_is_long_past_is_told_as_missed_and_does_not_ring(caplog: pytest.LogCaptureFixture):
    listed: dict[str, object] = {}

    async def days(device: Device) -> None:
        device.timers.set_alarm(time(22, 5), name="secret meeting")
        device.set_clock(+2 * HOUR)
        await asyncio.sleep(31)
        listed.update(await device.ask("list_timers"))

    device = live(days)

    assert device.rang == []
    assert listed["set"] == []
    assert listed["missed"] == ["secret meeting: 10:05 at night, yesterday, Monday, 23 November"]
    assert "an alarm was missed: it was due 1 hour and 5" in caplog.text
    assert "secret" not in caplog.text


def test_what_was_missed_is_told_for_two_days():
    async def days(device: Device) -> None:
        device.timers.set_alarm(time(22, 5))
        device.set_clock(+2 * HOUR)
        await asyncio.sleep(DAY)
        (missed,) = device.timers.missed_status()
        assert missed["name"] == "22:05 alarm"
        assert str(missed["due"])[:16] == "2026-11-23T22:05"
        await asyncio.sleep(DAY + HOUR)
        assert device.timers.missed == []

    live(days)


def test_a_clock_that_is_set_back_after_an_alarm_does_not_ring_it_again():
    async def days(device: Device) -> None:
        device.timers.set_alarm(time(22, 5), days=range(7), name="daily")
        await asyncio.sleep(6 * MINUTE)
        device.timers.silenced()
        device.set_clock(-3 * MINUTE)
        await asyncio.sleep(HOUR)

    assert len(live(days).rang) == 1


def test_a_repeating_alarm_survives_a_clock_that_was_years_ahead_for_a_while():
    async def days(device: Device) -> None:
        device.timers.set_alarm(time(7, 30), days=range(7), name="daily")
        device.set_clock(+2000 * DAY)
        await asyncio.sleep(HOUR)
        device.set_clock(-2000 * DAY)
        await asyncio.sleep(9 * HOUR)

    assert [at for _, at in live(days).rang] == ["Tue 07:30:00"]


def test_an_alarm_that_was_set_before_the_clock_was_means_the_next_such_time():
    """A Pi boots in May, somebody wants to be woken at half past seven, and then the network tells it."""

    async def days(device: Device) -> None:
        device.timers.set_alarm(time(7, 30))
        device.set_clock((LATE - datetime(2026, 5, 3, 14, 0, tzinfo=UTC)).total_seconds())
        await asyncio.sleep(10 * HOUR)

    device = live(days, now=datetime(2026, 5, 3, 14, 0, tzinfo=UTC))

    assert device.rang == [("07:30 alarm", "Tue 07:30:00")]


def test_an_alarm_for_a_date_stays_on_it_however_the_clock_is_set():
    async def days(device: Device) -> None:
        device.timers.set_alarm(time(7, 30), day=date(2026, 11, 28), name="flight")
        device.set_clock(+2 * DAY)
        await asyncio.sleep(3 * DAY)

    assert live(days).rang == [("flight", "Sat 07:30:00")]
