"""Judge the wake word: what listening costs beside the other engines, and that the gate loses nobody.

The other engines run as they are, each in a process of its own (wake_engine.py), on openwakeword 0.5.1's
model files where they can. Costs are CPU time, and taken in turns within one run: what is judged is the
median of the turns' ratios, which a faster or a busier machine moves little. Counts are exact: the seeds
are fixed.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from statistics import median
from typing import Any

import bench_wake_costs as costs
import bench_wake_ears as ears
import wake_environment as environment
import wake_sounds as sounds
from bench_wake_costs import GATED, OURS, PACKAGE, PYMICRO, PYOPEN
from figures import Figure

from tests.support.noises import NOISES

_SPAWN = multiprocessing.get_context("spawn")  # a process of its own, with nothing of ours in it
NAMES = {
    OURS: "this engine, gate open",
    GATED: "this engine, gate closed",
    PACKAGE: "openwakeword, onnxruntime",
    PYOPEN: "pyopen-wakeword",
    PYMICRO: "pymicro-wakeword",
}
CARDS_HZ = (16_000, 48_000)
WATCHDOG_BEATS = 0.6
"""Wakings of the idle event loop a second: two tasks that show every 5 s that it goes on, and some slack."""
SNRS_DB = (15.0, 10.0, 5.0)
FOUND_SNRS_DB = (None, 20.0, 15.0, 10.0, 5.0)
PARTS = 8
Cells = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Row:
    """Lines of the table that come from one measurement, made once for every cell."""

    name: str
    cells: Callable[[bool], Cells]
    """What the measurement is called with; of the short version when told so."""
    measure: Callable[..., Any]
    judge: Callable[[Cells, list[Any]], list[Figure]]
    is_timed: bool = False
    """It measures computing: nothing else runs meanwhile."""


def ratio(mine: Sequence[float], its: Sequence[float]) -> float:
    """Return how many times of the other's cost one's own is, by the median turn."""
    return median(my / other for my, other in zip(mine, its, strict=True))


def judge_hot(_: Cells, results: list[costs.Hot]) -> list[Figure]:
    (turns,) = (each.turns for each in results)
    figures = [
        Figure(f"a block, hot: {NAMES[name]}", median(values), None, digits=3)
        for name, values in turns.items()
    ]
    for name, most in ((PACKAGE, 1 / 5), (PYOPEN, 1 / 8)):
        if name in turns:
            against = ratio(turns[OURS], turns[name])
            figures.append(Figure(f"this engine against {NAMES[name]}", against, most, "times", digits=3))
    return figures


def judge_idle(_: Cells, results: list[costs.Idle]) -> list[Figure]:
    (idle,) = results
    package = idle.paced[PACKAGE]
    figures = [
        Figure(f"80 ms, paced: {NAMES[name]}", median(values), None, digits=3)
        for name, values in idle.paced.items()
    ]
    for rate_hz, values in idle.daemon.items():
        name = f"80 ms: the whole idle daemon, {rate_hz // 1000} kHz card"
        figures.append(Figure(name, median(values), None, digits=3))
    gated = ratio(idle.paced[GATED], package)
    figures.append(Figure("gate closed, against openwakeword paced", gated, 1 / 10, "times", digits=3))
    for rate_hz, values in idle.daemon.items():
        name = f"idle daemon, {rate_hz // 1000} kHz card, against openwakeword paced"
        most = 1 / 5 if rate_hz == CARDS_HZ[0] else None
        figures.append(Figure(name, ratio(values, package), most, "times", digits=3))
    for rate_hz, rates in idle.switches.items():
        for thread, rate in rates.items():
            name = f"context switches a second, {rate_hz // 1000} kHz card: {thread}"
            most = WATCHDOG_BEATS if thread == costs.EVENT_LOOP else None
            figures.append(Figure(name, rate, most, ""))
    for name, resident_mb in idle.resident_mb.items():
        whole = isinstance(name, int)
        title = f"the whole idle daemon, {name // 1000} kHz card" if whole else NAMES[name]
        most = 64 if name == CARDS_HZ[0] else None
        figures.append(Figure(f"resident memory: {title}", resident_mb, most, "MB"))
    return figures


def judge_starts(_: Cells, results: list[costs.Starts]) -> list[Figure]:
    (starts,) = results
    against = ratio(starts.daemon, starts.package)
    return [
        Figure("pivoice run → listening, CPU time", 1000 * median(starts.daemon), None, digits=0),
        Figure("import openwakeword, CPU time", 1000 * median(starts.package), None, digits=0),
        Figure("pivoice run against import openwakeword", against, 0.333, "times", digits=3),
    ]


def judge_gate(cells: Cells, results: list[ears.Gated]) -> list[Figure]:
    figures = []
    for (noise, _, rate_hz, _), result in zip(cells, results, strict=True):
        card = f", {rate_hz // 1000} kHz card" if rate_hz != ears.EAR_HZ else ""
        name = f"lost to the gate, {noise}{card} (found {result.found}/{result.said})"
        figures.append(Figure(name, result.lost, 0, "", digits=0))
    found = sum(each.found for each in results)
    figures.append(Figure(f"lost in all, of {found}", sum(each.lost for each in results), 0, "", digits=0))
    worst = max(each.difference for each in results)
    figures.append(Figure("scores of open blocks, against no gate", worst, 0, "", digits=9))
    for (noise, _, rate_hz, _), result in zip(cells, results, strict=True):
        if rate_hz == ears.EAR_HZ:
            name = f"open in {noise} alone"
            figures.append(Figure(name, result.open_alone_percent, None, "%"))
    return figures


def judge_false(_: Cells, results: list[dict[str, float]]) -> list[Figure]:
    hours = sum(each["seconds"] for each in results) / 3600
    figures = []
    for model in (ears.WORD, *ears.OTHERS):
        highest = max(each[f"{model}_max"] for each in results)
        name = f"{hours:.2f} h of speech and music: {model} (highest score {highest:.2f})"
        most = 0 if model == ears.WORD else None
        figures.append(Figure(name, sum(each[model] for each in results), most, "", digits=0))
    opened = sum(each["open_percent"] * each["seconds"] for each in results) / (36 * hours) / 100
    figures.append(Figure("the gate was open for", opened, None, "%"))
    return figures


def judge_found(cells: Cells, results: list[ears.Found]) -> list[Figure]:
    figures = []
    for (voice, snr_db, _), result in zip(cells, results, strict=True):
        if result.tries:
            noise = "clean" if snr_db is None else f"{snr_db:g} dB"
            name = f"hey jarvis by {voice}, {noise}: found ({result.hits}/{result.tries})"
            figures.append(Figure(name, 100 * result.hits / result.tries, 100, "%", is_floor=True))
    extra = sum(each.extra for each in results)
    return [*figures, Figure("wakes that nobody said", extra, 0, "", digits=0)]


def _gate_cells(short: bool) -> Cells:
    noises = [(noise, ears.EAR_HZ) for noise in NOISES]
    return [
        (noise, SNRS_DB, rate_hz, 8 if short else 1) for noise, rate_hz in (*noises, ("pink", ears.CARD_HZ))
    ]


def _false_cells(short: bool) -> Cells:
    seconds = ears.corpus_seconds()
    starts_s = [seconds * part / PARTS for part in range(PARTS)]
    return [(start_s, start_s + (45.0 if short else seconds / PARTS)) for start_s in starts_s]


def _found_cells(short: bool) -> Cells:
    return [(voice, snr_db, 4 if short else 1) for voice in ("hibari", "joe") for snr_db in FOUND_SNRS_DB]


ROWS = (
    Row("hot", lambda short: [(5 if short else 25, 25)], costs.hot, judge_hot, is_timed=True),
    Row(
        "idle",
        lambda short: [(2, 25, CARDS_HZ) if short else (6, 50, CARDS_HZ)],
        costs.idle,
        judge_idle,
        is_timed=True,
    ),
    Row("start", lambda short: [(2 if short else 7,)], costs.starts, judge_starts, is_timed=True),
    Row("gate", _gate_cells, ears.lost_to_the_gate, judge_gate),
    Row("false", _false_cells, ears.false_accepts, judge_false),
    Row("found", _found_cells, ears.found, judge_found),
)


def add_verb(verbs: Any) -> None:
    """Add `wake` to the bench's verbs."""
    wake = verbs.add_parser("wake", help="what listening costs, and that it hears")
    wake.add_argument("--short", action="store_true", help="a minute's worth")
    names = [row.name for row in ROWS]
    wake.add_argument("--row", action="append", choices=names, metavar="ROW", help=f"only {', '.join(names)}")
    wake.set_defaults(bench=bench_wake)


def bench_wake(options: argparse.Namespace) -> Sequence[Figure]:
    """Return the table of every row that is wanted; without openwakeword to compare with there is none."""
    try:
        return _measure(options)
    except environment.LackingError as error:
        raise SystemExit(f"scripts/bench: {error}") from None


def _measure(options: argparse.Namespace) -> Sequence[Figure]:
    """Measure what is timed alone, one row after the other, then the rest on every core."""
    wanted = [row for row in ROWS if not options.row or row.name in options.row]
    os.environ |= environment.ONE_THREAD
    for line in environment.make():
        print(line, file=sys.stderr)
    begun_s, measured = time.monotonic(), dict[str, tuple[Cells, list[Any]]]()

    def keep(row: Row, cells: Cells, results: list[Any]) -> None:
        print(f"{time.monotonic() - begun_s:6.0f} s  {row.name}: {results}", file=sys.stderr)
        measured[row.name] = cells, results

    for row in (each for each in wanted if each.is_timed):
        cells = row.cells(options.short)
        keep(row, cells, [row.measure(*cell) for cell in cells])
    counted = [row for row in wanted if not row.is_timed]
    if counted:
        sounds.clips()  # made before anybody needs them at the same time
    with ProcessPoolExecutor(os.cpu_count(), _SPAWN, logging.disable, (logging.WARNING,)) as pool:
        jobs = []
        for row in counted:
            try:
                cells = row.cells(options.short)
            except environment.LackingError as error:
                print(f"{row.name} cannot be measured: {error}", file=sys.stderr)
            else:
                jobs.append((row, cells, [pool.submit(row.measure, *cell) for cell in cells]))
        for row, cells, futures in jobs:
            keep(row, cells, [future.result() for future in futures])
    return [figure for row in wanted if row.name in measured for figure in row.judge(*measured[row.name])]
