"""Which zone somebody means, and what the machine's own clocks and zone say."""

from __future__ import annotations

import time
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from pivoice.tools.registry import RefusedError
from pivoice.tools.times import Times
from pivoice.tools.zones import find_zone

NOON_UTC = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


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


@pytest.mark.parametrize("said", ["US/Eastern", "us/eastern", "PRC"])
def test_old_names_are_known_where_their_files_are_not_installed(said: str):
    """As on Debian 13, which has them in a package of their own."""
    name, zone = find_zone(said, NOON_UTC)

    assert NOON_UTC.astimezone(zone).utcoffset() is not None
    assert name in {"America/New_York", "Asia/Shanghai"}


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


def test_every_zone_of_the_system_is_known_by_its_name():
    there = zoneinfo.available_timezones() - {"localtime"}

    for name in there:  # also Portugal and NZ, which are countries with several
        _, zone = find_zone(name, NOON_UTC)
        assert NOON_UTC.astimezone(zone).utcoffset() == NOON_UTC.astimezone(ZoneInfo(name)).utcoffset(), name


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
    with pytest.raises(RefusedError) as refused:
        find_zone(said, NOON_UTC)

    assert hint in str(refused.value)
    assert len(str(refused.value)) < 400


def test_without_a_table_of_zones_the_time_here_and_offsets_are_still_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("zoneinfo.TZPATH", ())
    monkeypatch.setattr("zoneinfo.available_timezones", lambda: set[str]())

    assert find_zone("UTC+2", NOON_UTC)[0] == "UTC+02:00"
    with pytest.raises(RefusedError, match="install the package tzdata"):
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
