"""The benches of the echo and of the wake word fail where a floor is missed, each by itself."""

from __future__ import annotations

import argparse
import dataclasses
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


@pytest.fixture
def wake(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    module = importlib.import_module("bench_wake")
    monkeypatch.setattr(module.ears, "corpus_seconds", lambda: 5400.0)
    return module


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


def hot(module: Any, **turns: float) -> Any:
    costs_ms = {"pivoice": 0.5, "openwakeword": 2.5, "pyopen_wakeword": 4.0} | turns
    return module.costs.Hot({name: [cost_ms] * 3 for name, cost_ms in costs_ms.items()})


def idle(module: Any, *, gated: float = 0.3, daemon: float = 0.6, mb: float = 64.0, loop: float = 0.0) -> Any:
    return module.costs.Idle(
        paced={"openwakeword": [3.0, 3.0], "pivoice_gated": [gated, gated]},
        daemon={16_000: [daemon, daemon], 48_000: [9.0, 9.0]},
        resident_mb={"openwakeword": 190.0, 16_000: mb, 48_000: 70.0},
        switches={16_000: {module.costs.EVENT_LOOP: loop, "busiest thread": 12.5}},
    )


def gated(module: Any, *, lost: int = 0, difference: float = 0.0) -> Any:
    return module.ears.Gated(180, lost, 183, difference, 100.0)


def accepts(*, jarvis: int = 0, alexa: int = 3) -> dict[str, float]:
    counts = {"hey_jarvis": jarvis, "hey_mycroft": 0, "hey_rhasspy": 0, "alexa": alexa}
    highest = {f"{model}_max": 0.2 for model in counts}
    return counts | highest | {"seconds": 675.0, "open_percent": 98.0}


WAKE_CASES = [
    ("hot", lambda m: hot(m), lambda m: hot(m, openwakeword=2.4)),
    ("hot", lambda m: hot(m), lambda m: hot(m, pyopen_wakeword=3.9)),
    ("idle", lambda m: idle(m), lambda m: idle(m, gated=0.31)),
    ("idle", lambda m: idle(m), lambda m: idle(m, daemon=0.61)),
    ("idle", lambda m: idle(m), lambda m: idle(m, mb=64.1)),
    ("idle", lambda m: idle(m), lambda m: idle(m, loop=0.7)),
    ("start", lambda m: m.costs.Starts([0.33], [1.0]), lambda m: m.costs.Starts([0.34], [1.0])),
    ("gate", lambda m: gated(m), lambda m: gated(m, lost=1)),
    ("gate", lambda m: gated(m), lambda m: gated(m, difference=1e-9)),
    ("false", lambda _: accepts(), lambda _: accepts(jarvis=1)),
    ("found", lambda m: m.ears.Found(30, 30, 0), lambda m: m.ears.Found(29, 30, 0)),
    ("found", lambda m: m.ears.Found(30, 30, 0), lambda m: m.ears.Found(30, 30, 1)),
]


@pytest.mark.parametrize(
    ("row", "good", "bad"), WAKE_CASES, ids=[f"{n}-{c[0]}" for n, c in enumerate(WAKE_CASES)]
)
def test_a_missed_floor_of_the_wake_word_is_missed(wake: Any, row: str, good: Any, bad: Any):
    assert is_kept(wake, row, good(wake))
    assert not is_kept(wake, row, bad(wake))


def test_every_row_of_the_wake_word_has_a_floor(wake: Any):
    assert {row.name for row in wake.ROWS} == {name for name, *_ in WAKE_CASES}


def test_an_engine_that_is_not_to_be_had_costs_the_others_nothing(wake: Any):
    turns = {"pivoice": [0.5], "openwakeword": [2.5]}

    assert is_kept(wake, "hot", wake.costs.Hot(turns))


def test_without_a_second_speaker_the_first_is_judged(wake: Any):
    (row,) = [each for each in wake.ROWS if each.name == "found"]
    cells = row.cells(False)
    results = [wake.ears.Found(*((30, 30, 0) if voice == "hibari" else (0, 0, 0))) for voice, *_ in cells]

    figures = row.judge(cells, results)

    assert all(figure.is_kept for figure in figures)
    assert not any("joe" in figure.name for figure in figures)


def test_without_openwakeword_there_is_no_table(wake: Any, monkeypatch: pytest.MonkeyPatch):
    def missing(*_: object) -> None:
        raise wake.environment.LackingError("openwakeword cannot be measured: no module")

    (row,) = [each for each in wake.ROWS if each.name == "hot"]
    monkeypatch.setattr(wake, "ROWS", [dataclasses.replace(row, measure=missing)])
    monkeypatch.setattr(wake.environment, "make", list)

    with pytest.raises(SystemExit, match="openwakeword cannot be measured: no module"):
        wake.bench_wake(argparse.Namespace(row=None, short=True))


def test_a_table_with_a_missed_floor_is_a_failure(bench: Any):
    figures = importlib.import_module("figures")
    kept, missed = figures.Figure("ERLE", 20, 20, "dB", is_floor=True), figures.Figure("late", 2, 1)

    assert figures.show([kept])
    assert not figures.show([kept, missed])
