"""A short soak: several hours, everything once. And a soak that finds something says so."""

from __future__ import annotations

import importlib
import logging
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.support.soak.days import Order, Report
from tests.support.soak.faults import FAULTS
from tests.support.soak.inventory import ALLOWANCES, MUST_BE, Inventory, compare
from tests.support.soak.promises import Promises

ROOT = Path(__file__).resolve().parent.parent.parent
KINDS = sum(len(kinds) for kinds in FAULTS.values())


@pytest.mark.timeout(300)
def test_hours_of_talks_and_faults_of_every_kind_leave_a_device_that_listens_and_nothing_else():
    """In a process of its own: its memory is measured."""
    command = [sys.executable, str(ROOT / "scripts" / "soak.py"), "--days", "0.125", "--seed", "2"]

    run = subprocess.run(command, capture_output=True, text=True, timeout=280)

    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-3000:]
    assert re.search(rf"kinds of faults\D+{KINDS} of {KINDS}", run.stdout)
    assert re.search(r"parts restarted\D+[1-9]", run.stdout), "a stuck detector"
    assert int(re.search(r"conversations\D+(\d+)", run.stdout)[1]) >= 10  # type: ignore[index]


def look(**numbers: float) -> Inventory:
    """Return what was seen of a process in which all is as ever but `numbers`."""
    usual = {**dict.fromkeys(ALLOWANCES, 100.0), **MUST_BE}
    names = {"threads": ["MainThread"] * int(numbers.get("threads", 100))}
    return Inventory(0.0, {**usual, **numbers}, Counter({"dict": 10}), names)


def test_what_stayed_as_it_was_is_no_growth():
    assert compare(look(), look()) == []
    assert compare(look(), look(**{name: 100 + most for name, most in ALLOWANCES.items()})) == []


@pytest.mark.parametrize("name", ALLOWANCES)
def test_growth_beyond_what_fills_up_is_told_with_its_figures(name: str):
    grown = 101 + ALLOWANCES[name]

    (fault,) = compare(look(), look(**{name: grown}))

    assert fault.startswith(f"{name}: 100 after the first hour, {grown:g} now")


@pytest.mark.parametrize("name", MUST_BE)
def test_a_session_or_socket_that_is_open_is_told_even_if_it_was_so_at_first(name: str):
    (fault,) = compare(look(**{name: 1.0}), look(**{name: 1.0}))

    assert fault.startswith(name)


def test_a_broken_promise_is_told_with_its_time_and_how_to_see_it_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    module = importlib.import_module("soak")
    report = Report(Order(seed=5, days=2.0), promises=Promises(lambda: 7200.5))
    assert module.verdict(report) == 0

    report.promises.check(False, "deaf")  # type: ignore[union-attr]

    assert module.verdict(report) == 1
    told = capsys.readouterr().out
    assert "BROKEN at 7200.5 s: deaf" in told and "scripts/soak --seed 5 --days 2" in told


def test_a_traceback_in_the_log_is_a_broken_promise():
    promises = Promises(lambda: 7.0)
    promises.journal.attach()
    try:
        try:
            raise ValueError("nobody thought of it")
        except ValueError:
            logging.getLogger("pivoice.anything").exception("went wrong")
    finally:
        promises.journal.detach()

    (broken,) = promises.broken
    assert broken.time_s == 7.0 and "nobody thought of it" in broken.what


def test_what_took_too_long_is_broken_and_the_worst_is_kept():
    promises = Promises(lambda: 0.0)

    for seconds in (1.0, 6.0, 2.0):
        promises.took("hears again", seconds, 5.0)

    assert promises.worst_s == {"hears again": 6.0}
    assert promises.count == 1
