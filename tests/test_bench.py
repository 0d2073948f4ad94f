"""The bench of the echo fails where a floor is missed, each by itself."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
GOOD_CUTS = {"cuts": 300, "rise_max_db": -0.1, "excess_max_ms": 5.0}


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("bench_echo")


def found(module: Any, *, hits: int) -> Any:
    ratios = module.RATIOS_DB
    return module.daemon.Found(dict.fromkeys(ratios, hits), dict.fromkeys(ratios, 6))


def is_kept(module: Any, name: str, result: Any) -> bool:
    """Return what the row says if `result` is measured in all of its cells."""
    (row,) = [each for each in module.ROWS if each.name == name]
    cells = row.cells(False)
    return all(figure.is_kept for figure in row.judge(cells, [result] * len(cells)))


CASES = [
    ("replies", lambda m: m.daemon.Replies(0, 0, 2, 1, 60.0), lambda m: m.daemon.Replies(1, 0, 0, 0, 60.0)),
    ("replies", lambda m: m.daemon.Replies(0, 0, 2, 0, 60.0), lambda m: m.daemon.Replies(0, 1, 0, 0, 60.0)),
    ("replies", lambda m: m.daemon.Replies(0, 0, 2, 0, 60.0), lambda m: m.daemon.Replies(0, 0, 2, 2, 60.0)),
    ("found", lambda m: found(m, hits=5), lambda m: found(m, hits=4)),
    ("duck", lambda _: [0.2, 0.25, 0.1], lambda _: [0.2, 0.26, 0.1]),
    ("cut", lambda _: [0.9, 1.0, 1.2], lambda _: [0.9, 1.01, 1.2]),
    ("wake", lambda m: m.uplink.Count(9, 12), lambda m: m.uplink.Count(8, 12)),
    ("wake", lambda m: m.uplink.Count(9, 12), lambda m: m.uplink.Count(12, 12, 1)),
    ("own-wake", lambda m: m.uplink.Count(0, 13), lambda m: m.uplink.Count(1, 13)),
    ("loss", lambda _: 30.0, lambda _: 29.9),
    ("alone", lambda m: m.uplink.Alone(-1.0, 0.97), lambda m: m.uplink.Alone(-1.1, 0.97)),
    ("alone", lambda m: m.uplink.Alone(1.0, 0.97), lambda m: m.uplink.Alone(0.0, 0.969)),
    ("alarm", lambda m: m.daemon.Alarm(0, 3, 0.0), lambda m: m.daemon.Alarm(1, 3, 0.0)),
    ("flush", lambda _: GOOD_CUTS, lambda _: GOOD_CUTS | {"rise_max_db": 0.1}),
    ("flush", lambda _: GOOD_CUTS, lambda _: GOOD_CUTS | {"excess_max_ms": 10.1}),
    ("delay", lambda _: 12.0, lambda _: 12.1),
]


@pytest.mark.parametrize(("row", "good", "bad"), CASES, ids=[f"{n}-{c[0]}" for n, c in enumerate(CASES)])
def test_a_missed_floor_is_missed_and_a_kept_one_kept(bench: Any, row: str, good: Any, bad: Any):
    assert is_kept(bench, row, good(bench))
    assert not is_kept(bench, row, bad(bench))


def test_every_row_but_the_computing_has_a_floor(bench: Any):
    assert {row.name for row in bench.ROWS} == {name for name, *_ in CASES} | {"cpu"}


def test_a_table_with_a_missed_floor_is_a_failure(bench: Any):
    figures = importlib.import_module("figures")
    kept, missed = figures.Figure("ERLE", 20, 20, "dB", is_floor=True), figures.Figure("late", 2, 1)

    assert figures.show([kept])
    assert not figures.show([kept, missed])
