"""The ledger: days, money, and a file that may be missing, broken or forbidden."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from pivoice.agent.ledger import (
    LINGER_BILLED_S,
    SAVE_EVERY_S,
    Book,
    Day,
    Deletion,
    Ledger,
    Meter,
    ledger_path,
)
from pivoice.config import AgentConfig

MAY_1, MAY_2 = date(2026, 5, 1), date(2026, 5, 2)


class Calendar:
    """A date that a test turns."""

    def __init__(self, today: date = MAY_1) -> None:
        self.today = today

    def __call__(self) -> date:
        return self.today


def new_meter(calendar: Calendar, *, daily_minutes: float = 0.0) -> Meter:
    return Meter(Book(Day(calendar.today)), daily_minutes=daily_minutes, today=calendar)


def new_ledger(path: Path | None, calendar: Calendar | None = None, *, daily_minutes: float = 0.0) -> Ledger:
    return Ledger(path, daily_minutes=daily_minutes, today=calendar or Calendar())


# --- the meter ---


def test_the_days_cap_is_reached_and_a_new_day_begins_anew():
    calendar = Calendar()
    meter = new_meter(calendar, daily_minutes=1)
    meter.start(0.0)
    meter.stop(60.0)

    spent_today = meter.is_spent(60.0)
    calendar.today = MAY_2

    assert spent_today
    assert not meter.is_spent(60.0)


def test_no_cap_is_never_reached():
    meter = new_meter(Calendar())
    meter.start(0.0)

    assert not meter.is_spent(1e9)


def test_the_cap_is_reached_in_mid_session():
    meter = new_meter(Calendar(), daily_minutes=1)
    meter.start(0.0)

    assert not meter.is_spent(59.0)
    assert meter.is_spent(60.0)


def test_a_session_over_midnight_is_charged_to_both_days():
    calendar = Calendar()
    meter = new_meter(calendar)
    meter.start(0.0)
    meter.day(100.0)

    calendar.today = MAY_2
    before = meter.day(101.0).open_s  # looked at once a second while open
    meter.stop(131.0)

    assert before == 0.0
    assert meter.day(131.0).open_s == 30.0


def test_a_tail_is_charged_and_given_back_but_never_below_nothing():
    meter = new_meter(Calendar())
    meter.start(0.0)
    meter.stop(10.0, tail_s=30.0)

    charged = meter.day(10.0).open_s
    meter.give_back(100.0)

    assert charged == 40.0
    assert meter.day(10.0).open_s == 0.0


def test_a_stop_without_a_session_charges_nothing():
    meter = new_meter(Calendar())

    meter.stop(10.0, tail_s=30.0)

    assert meter.day(10.0).open_s == 0.0


def test_a_date_that_goes_back_does_not_reset_the_count():
    calendar = Calendar()
    meter = new_meter(calendar, daily_minutes=1)
    meter.start(0.0)
    meter.stop(60.0)

    calendar.today = date(1970, 1, 1)
    was_spent = meter.is_spent(70.0)
    calendar.today = MAY_1

    assert was_spent
    assert meter.is_spent(80.0)


def test_a_date_once_far_ahead_does_not_keep_the_count_for_years():
    calendar = Calendar(date(2099, 1, 1))
    meter = new_meter(calendar, daily_minutes=1)
    meter.start(0.0)
    meter.stop(60.0)

    calendar.today = MAY_1
    spent = [meter.is_spent(60.0 + hours * 3600) for hours in (0, 23, 25)]

    assert spent == [True, True, False]
    assert meter.day(1e5).date == MAY_1


# --- the file ---


def test_what_was_counted_survives_a_restart(tmp_path: Path):
    path = tmp_path / "state" / "ledger.json"
    ledger = new_ledger(path)
    ledger.meter.start(0.0)
    ledger.meter.stop(42.0)
    ledger.book.day.reconnects = 3
    ledger.book.slow_hosts["agents.example.org"] = 1.0
    ledger.book.deletions["sess_1"] = Deletion("https://agents.example.org", 2, 45.0)
    ledger.save(42.0)

    again = new_ledger(path)

    assert again.book == ledger.book
    assert again.meter.day(0.0).open_s == 42.0


def test_the_file_is_for_nobody_else_and_never_half_written(tmp_path: Path):
    path = tmp_path / "ledger.json"
    new_ledger(path).save(0.0)

    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["ledger.json"]


def test_the_cap_holds_over_a_restart(tmp_path: Path):
    path = tmp_path / "ledger.json"
    ledger = new_ledger(path, daily_minutes=1)
    ledger.meter.start(0.0)
    ledger.save(61.0)  # and a power cut

    assert new_ledger(path, daily_minutes=1).meter.is_spent(0.0)


def test_a_session_cut_off_by_a_crash_is_counted_until_the_server_gives_it_up(tmp_path: Path):
    path = tmp_path / "ledger.json"
    ledger = new_ledger(path)
    ledger.meter.start(0.0)
    ledger.save(10.0)  # and a power cut

    assert new_ledger(path).meter.day(0.0).open_s == 10.0 + LINGER_BILLED_S
    assert ledger.meter.day(10.0).open_s == 10.0


def test_the_cap_does_not_hold_over_a_restart_on_another_day(tmp_path: Path):
    path = tmp_path / "ledger.json"
    ledger = new_ledger(path, daily_minutes=1)
    ledger.meter.start(0.0)
    ledger.save(61.0)

    assert not new_ledger(path, Calendar(MAY_2), daily_minutes=1).meter.is_spent(0.0)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b'{"day": {"date": "yesterday"}}',
        b'{"day": {"date": "2026-05-01", "open_s": -5}}',
        b'{"day": {"date": "2026-05-01", "open_s": "many"}}',
        b'{"day": {"date": "2026-05-01"}, "slow_hosts": {"agents.example.org": 0}}',
        b'{"x":' + b"[" * 100_000,
        b"\xff\xfe\x00",
    ],
)
def test_a_broken_file_is_put_aside_and_told_once(
    text: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    path = tmp_path / "ledger.json"
    path.write_bytes(text)

    ledger = new_ledger(path)
    ledger.save(0.0)
    ledger.save(1.0)

    assert (tmp_path / "ledger.json.bad").read_bytes() == text
    assert json.loads(path.read_bytes())["day"]["open_s"] == 0
    assert [str(path) in each.message for each in caplog.records if each.levelno == logging.WARNING] == [True]


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to("/dev/null")])
def test_what_is_no_file_is_left_where_it_is(
    make: Callable[[Path], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    path = tmp_path / "ledger.json"
    make(path)

    ledger = new_ledger(path)
    ledger.meter.start(0.0)
    ledger.save(1.0)

    assert not path.is_file()
    assert [each.name for each in tmp_path.iterdir()] == ["ledger.json"]
    assert "not a file; left where it is" in caplog.text
    assert "cannot write" in caplog.text


def test_a_file_that_cannot_be_written_is_told_once_and_the_count_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "ledger.json"  # even root cannot

    ledger = new_ledger(path)
    ledger.meter.start(0.0)
    for now_s in (0.0, 20.0, 40.0):
        ledger.save(now_s)

    assert ledger.meter.day(40.0).open_s == 40.0
    written = [each for each in caplog.records if "cannot write" in each.message]
    assert len(written) == 1
    assert str(path) in written[0].message


def test_a_file_is_not_written_more_often_than_is_worth_it(tmp_path: Path):
    path = tmp_path / "ledger.json"
    ledger = new_ledger(path)
    ledger.save(0.0)
    path.unlink()

    ledger.save_if_due(SAVE_EVERY_S - 1)
    early = path.exists()
    ledger.save_if_due(SAVE_EVERY_S)

    assert not early
    assert path.exists()


def test_a_ledger_is_not_read_before_it_is_needed(tmp_path: Path):
    path = tmp_path / "ledger.json"
    successor = new_ledger(path)  # a reload makes it while the old one still writes
    old = new_ledger(path)
    old.meter.start(0.0)
    old.meter.stop(30.0)
    old.save(30.0)

    assert successor.meter.day(0.0).open_s == 30.0


@pytest.mark.parametrize(
    ("configured", "environ", "path"),
    [
        ("/x/l.json", {"STATE_DIRECTORY": "/s", "HOME": "/h"}, "/x/l.json"),
        ("", {"STATE_DIRECTORY": "/s:/t", "HOME": "/h"}, "/s/ledger.json"),
        ("", {"HOME": "/h"}, "/h/.local/state/pivoice/ledger.json"),
        ("", {}, "/var/lib/pivoice/ledger.json"),
    ],
)
def test_the_ledger_lies_where_it_is_said(configured: str, environ: dict[str, str], path: str):
    assert ledger_path(AgentConfig(ledger_file=configured), environ) == Path(path)
