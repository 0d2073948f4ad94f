"""Timers and alarms are kept over restarts, power cuts, and starts with a wrong clock."""

from __future__ import annotations

import asyncio
from datetime import date, time
from pathlib import Path

import pytest

from tests.support.alarm_clock import DAY, HOUR, MINUTE, Device, live


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "timers.json"


def test_a_timer_goes_on_over_a_restart_of_the_daemon(path: Path):
    async def days(device: Device) -> None:
        device.timers.set_timer(10 * MINUTE, "pizza")
        await asyncio.sleep(2 * MINUTE)
        device.set_clock(+5 * HOUR)  # while nobody looks
        await device.restart(off_s=MINUTE)
        await asyncio.sleep(7 * MINUTE - 1)
        assert device.rang == []
        await asyncio.sleep(2)

    assert [label for label, _ in live(days, path).rang] == ["pizza"]


def test_a_timer_goes_on_while_the_machine_is_off(path: Path):
    async def days(device: Device) -> None:
        device.timers.set_timer(10 * MINUTE, "pizza")
        await asyncio.sleep(2 * MINUTE)
        await device.reboot(off_s=5 * MINUTE)
        await asyncio.sleep(HOUR)

    assert live(days, path).rang == [("pizza", "Mon 22:10:00")]


def test_a_timer_that_ended_while_the_machine_was_off_rings_at_once_or_was_missed(path: Path):
    async def days(device: Device) -> None:
        device.timers.set_timer(10 * MINUTE, "soon")
        device.timers.set_timer(MINUTE, "long ago")
        await device.reboot(off_s=20 * MINUTE)
        await asyncio.sleep(HOUR)

    device = live(days, path)

    assert device.rang == [("soon", "Mon 22:20:00")]
    assert [missed.name for missed in device.timers.missed] == ["long ago"]


def test_a_machine_that_starts_in_the_past_rings_a_timer_at_the_latest_when_it_ran_as_long_as_it_should(
    path: Path,
):
    async def days(device: Device) -> None:
        device.timers.set_timer(10 * MINUTE, "pizza")
        await asyncio.sleep(2 * MINUTE)
        await device.reboot(off_s=MINUTE, loses_s=3000 * DAY)
        await asyncio.sleep(8 * MINUTE - 1)
        assert device.rang == []
        await asyncio.sleep(2)

    assert len(live(days, path).rang) == 1


def test_a_machine_that_starts_in_the_past_rings_a_timer_in_time_once_the_network_tells_it(path: Path):
    async def days(device: Device) -> None:
        device.timers.set_timer(10 * MINUTE, "pizza")
        await asyncio.sleep(2 * MINUTE)
        await device.reboot(off_s=4 * MINUTE, loses_s=3000 * DAY)
        await asyncio.sleep(MINUTE)
        device.set_clock(3000 * DAY)
        await asyncio.sleep(HOUR)

    assert live(days, path).rang == [("pizza", "Mon 22:10:00")]


def test_a_timer_survives_two_reboots(path: Path):
    async def days(device: Device) -> None:
        device.timers.set_timer(HOUR, "roast")
        for _ in range(2):
            await asyncio.sleep(5 * MINUTE)
            await device.reboot(off_s=10 * MINUTE)
        await asyncio.sleep(HOUR)

    assert live(days, path).rang == [("roast", "Mon 23:00:00")]


def test_a_step_before_a_reboot_does_not_spoil_a_timer(path: Path):
    """The end of a timer is written down by the clock that holds, not by the one that was wrong."""

    async def days(device: Device) -> None:
        device.timers.set_timer(HOUR, "roast")
        device.set_clock(+100 * DAY)
        await asyncio.sleep(MINUTE)
        device.lose_power()
        await device.reboot(off_s=10 * MINUTE)
        await asyncio.sleep(HOUR)

    assert [at[4:] for _, at in live(days, path).rang] == ["23:00:00"]


def test_many_small_corrections_of_the_clock_count_as_one(path: Path):
    async def days(device: Device) -> None:
        device.timers.set_timer(10 * MINUTE, "pizza")
        for _ in range(9):
            device.set_clock(+1.0)
            await asyncio.sleep(31)
        device.lose_power()
        await device.reboot(off_s=MINUTE)
        await asyncio.sleep(HOUR)

    ((_, at),) = live(days, path).rang
    assert "Mon 22:10:07" <= at <= "Mon 22:10:09"


def test_a_daemon_that_crashes_again_and_again_does_not_put_a_timer_off(path: Path):
    async def days(device: Device) -> None:
        device.timers.set_timer(10 * MINUTE, "pizza")
        await device.reboot(off_s=0, loses_s=3000 * DAY)
        for _ in range(6):
            await asyncio.sleep(2 * MINUTE)
            device.lose_power()
            device.start()

    assert [label for label, _ in live(days, path).rang][:1] == ["pizza"]


def test_alarms_survive_restart_and_reboot(path: Path):
    async def days(device: Device) -> None:
        device.timers.set_alarm(time(7, 30), days=[1], name="Tuesdays")
        device.timers.set_alarm(time(8, 0), day=date(2026, 11, 24), name="flight")
        await device.restart()
        await device.reboot(off_s=HOUR)
        await asyncio.sleep(DAY)

    assert live(days, path).rang == [("Tuesdays", "Tue 07:30:00"), ("Tuesdays and flight", "Tue 08:00:00")]


def test_a_repeating_alarm_does_not_ring_by_a_clock_that_is_not_believed(path: Path):
    lost_s = 3000 * DAY + 15.5 * HOUR + 5 * MINUTE  # shows 07:25, years ago

    async def days(device: Device) -> None:
        device.timers.set_alarm(time(7, 30), days=range(7), name="daily")
        await device.reboot(off_s=HOUR, loses_s=lost_s)
        await asyncio.sleep(10 * MINUTE)
        assert device.rang == []
        device.set_clock(lost_s)
        await asyncio.sleep(9 * HOUR)
        assert device.timers.missed == []

    assert live(days, path).rang == [("daily", "Tue 07:30:00")]


def test_a_clock_that_is_set_is_believed_at_once_whatever_was_written_down(path: Path):
    """It was years ahead when the power went."""

    async def days(device: Device) -> None:
        device.set_clock(+1000 * DAY)
        device.timers.set_alarm(time(22, 30), days=range(7), name="daily")
        await device.reboot(off_s=0, loses_s=1003 * DAY)
        await asyncio.sleep(MINUTE)
        device.set_clock(+3 * DAY)
        await asyncio.sleep(HOUR)

    assert live(days, path).rang == [("daily", "Mon 22:30:00")]


def test_a_clock_that_nobody_sets_is_believed_after_an_hour(path: Path):
    async def days(device: Device) -> None:
        device.timers.set_alarm(time(23, 30), days=range(7), name="daily")
        await device.reboot(off_s=0, loses_s=3 * DAY)
        await asyncio.sleep(2 * HOUR)

    assert live(days, path).rang == [("daily", "Fri 23:30:00")]


def test_what_rings_when_the_daemon_restarts_rings_again(path: Path):
    async def days(device: Device) -> None:
        device.timers.set_timer(MINUTE, "tea")
        await asyncio.sleep(2 * MINUTE)
        await device.restart()
        device.timers.silenced()
        await device.restart()

    device = live(days, path)

    assert [label for label, _ in device.rang] == ["tea", "tea"]
    assert device.timers.entries == []


def test_an_alarm_that_passed_while_the_machine_was_off_was_missed_and_is_not_moved(path: Path):
    """Its clock goes on where it stopped, until the network tells it that three days have gone by."""

    async def days(device: Device) -> None:
        device.timers.set_alarm(time(7, 30))
        await device.reboot(off_s=3 * DAY, loses_s=3 * DAY)
        await asyncio.sleep(MINUTE)
        device.set_clock(+3 * DAY)
        await asyncio.sleep(DAY)

        assert [missed.name for missed in device.timers.missed] == ["07:30 alarm"]

    assert live(days, path).rang == []


def test_a_repeating_alarm_that_was_missed_for_a_week_is_missed_once(path: Path):
    async def days(device: Device) -> None:
        device.timers.set_alarm(time(7, 30), days=range(7), name="daily")
        await device.reboot(off_s=7 * DAY)
        await asyncio.sleep(10 * HOUR)

    device = live(days, path)

    assert [missed.name for missed in device.timers.missed] == ["daily"]
    assert device.rang == [("daily", "Tue 07:30:00")]


def test_without_a_boots_name_a_timer_goes_by_the_wall_clock(path: Path):
    async def days(device: Device) -> None:
        device.boot = ""
        await device.restart()
        device.timers.set_timer(10 * MINUTE, "pizza")
        await device.restart(off_s=4 * MINUTE)
        await asyncio.sleep(HOUR)

    assert live(days, path).rang == [("pizza", "Mon 22:10:00")]


HEAD = '{"boot":"","elapsed_s":0,"wall_s":0,'
NO_DAY = '{"name":"a","at":"07:00:00","day":"0001-01-01"}'


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "{",
        '{"boot": 3}',
        HEAD + '"alarms":[{}]}',
        HEAD + f'"alarms":[{NO_DAY}]}}',
        HEAD + '"timers":[{"name":"t","length_s":5,"due_elapsed_s":1e12}]}',
        HEAD + '"timers":[{"name":"t","length_s":5,"due_elapsed_s":9,"due_s":-1e300}]}',
        HEAD + '"missed":[{"name":"m","due_s":1e300,"noticed_s":1795000000}]}',
    ],
)
def test_a_broken_file_is_put_aside_and_timers_work(
    path: Path, broken: str, caplog: pytest.LogCaptureFixture
):
    path.write_text(broken)

    async def days(device: Device) -> None:
        device.timers.set_timer(MINUTE)
        assert len(device.timers.status()) == 1
        await asyncio.sleep(2 * MINUTE)

    assert len(live(days, path).rang) == 1
    assert "the timers and alarms begin anew" in caplog.text
    assert path.with_name("timers.json.bad").read_text() == broken


def test_the_file_is_private_and_a_full_disk_is_told(path: Path):
    told: dict[str, object] = {}

    def is_private() -> bool:
        return path.stat().st_mode & 0o777 == 0o600

    def block() -> None:
        path.unlink()
        path.mkdir()

    async def days(device: Device) -> None:
        await device.ask("set_timer", minutes=5)
        assert is_private()
        block()
        told.update(await device.ask("set_timer", minutes=5))

    live(days, path)

    assert "could not be written down" in str(told["warning"])


def test_a_power_cut_costs_a_timer_no_more_than_a_clock_that_is_behind(path: Path):
    """Nothing is written as the power goes; the wall clock knows all the same when it is due."""

    async def days(device: Device) -> None:
        device.timers.set_timer(10 * MINUTE, "pizza")
        await asyncio.sleep(2 * MINUTE)
        device.lose_power()
        await device.reboot(off_s=MINUTE)
        await asyncio.sleep(HOUR)

    assert live(days, path).rang == [("pizza", "Mon 22:10:00")]
