"""Judge the echo canceller: in rooms, through the product's own threads, in simulated time.

The rooms are image sources with a loudspeaker that distorts (tests/support/rooms.py); delays are spread over
20 to 250 ms, the two cards' clocks are 100 ppm apart, and both threads stall now and then for 5 to 50 ms.
Everything is synthetic: the figures rank designs and keep them honest; they do not predict a given speaker
in a given living room. The seeds are fixed, so a figure moves only when the product does.
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

import bench_echo_daemon as daemon
import bench_echo_uplink as uplink
import echo_voices
from figures import Figure

from tests.support.rooms import Room

MILD, STRONG = "mild", "strong"
_SPAWN = multiprocessing.get_context("spawn")  # a process of its own, with nothing of ours in it
RATIOS_DB = (0.0, -5.0, -10.0)
FURTHER_DB = (10.0, -15.0, -20.0)
FAN_DB = -50.0
Cells = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Row:
    """Lines of the table that come from one measurement, made once for every cell."""

    name: str
    cells: Callable[[bool], Cells]
    """What the measurement is called with; of the short version when told so."""
    measure: Callable[..., Any]
    judge: Callable[[Cells, list[Any]], list[Figure]]


def rooms(is_short: bool, *distortions: str, noise_db: float = -65.0) -> list[Room]:
    """Return all three rooms with each distortion, delays spread among them; for short, two of them."""
    delays_ms = iter((80.0, 20.0, 250.0, 140.0, 200.0, 50.0))
    every = [
        Room(number, distortion, next(delays_ms), noise_db, seed=10 * number + len(distortion))
        for number in range(3)
        for distortion in distortions
    ]
    return [every[0], every[-1]] if is_short else every


def percent(part: float, whole: float) -> float:
    return 100 * part / whole


def judge_replies(cells: Cells, results: list[daemon.Replies]) -> list[Figure]:
    minutes = sum(each.seconds for each in results) / 60
    mild = [each for (room, *_), each in zip(cells, results, strict=True) if room.distortion == MILD]
    mild_minutes = sum(each.seconds for each in mild) / 60
    return [
        Figure(
            f"{minutes:.1f} min of replies: false turns", sum(r.false_turns for r in results), 0, "", digits=0
        ),
        Figure("the same through the daemon: cut", sum(r.cuts for r in results), 0, "", digits=0),
        Figure(
            "ducked past 1 s, a minute (mild)",
            sum(r.long_ducks for r in mild) / mild_minutes,
            1,
            "",
            digits=2,
        ),
        Figure(
            "ducked at all, a minute (mild)", sum(r.ducks for r in mild) / mild_minutes, None, "", digits=2
        ),
        Figure("ducked at all, a minute (all)", sum(r.ducks for r in results) / minutes, None, "", digits=2),
    ]


def judge_found(cells: Cells, results: list[daemon.Found]) -> list[Figure]:
    """The floors are for the ratios of the table in a quiet room; the others tell how far it goes."""
    hits, tries = dict[tuple[float, float], int](), dict[tuple[float, float], int]()
    for (room, *_), result in zip(cells, results, strict=True):
        for ratio_db in result.tries:
            which = room.noise_db, ratio_db
            hits[which] = hits.get(which, 0) + result.hits[ratio_db]
            tries[which] = tries.get(which, 0) + result.tries[ratio_db]
    figures = []
    for noise_db, ratio_db in sorted(tries, key=lambda each: (each[0], -each[1])):
        found, said = hits[noise_db, ratio_db], tries[noise_db, ratio_db]
        fan = "" if noise_db < FAN_DB else ", fan"
        floor = 83.3 if ratio_db in RATIOS_DB and not fan else None
        name = f"user over a reply, {ratio_db:g} dB{fan}: turn found ({found}/{said})"
        figures.append(Figure(name, percent(found, said), floor, "%", is_floor=True))
    return figures


def judge_ducks(cells: Cells, results: list[list[float]]) -> list[Figure]:
    figures = []
    for is_first, which in ((False, ""), (True, ", in the first reply")):
        mine = [
            each
            for cell, result in zip(cells, results, strict=True)
            if cell[3] is is_first
            for each in result
        ]
        soon = sum(each <= 0.25 for each in mine)
        name = f"onset → reply ducked within 250 ms, -10 dB{which} ({soon}/{len(mine)})"
        figures += [
            Figure(name, percent(soon, len(mine)), None if is_first else 93.3, "%", is_floor=True),
            Figure(f"the same, median{which}", 1000 * median(mine), None),
        ]
    return figures


def judge_cuts(_: Cells, results: list[list[float]]) -> list[Figure]:
    delays_s = [each for result in results for each in result]
    never = sum(each == float("inf") for each in delays_s)
    return [
        Figure(
            f"onset → reply cut, server + 300 ms, median of {len(delays_s)}",
            median(delays_s),
            1.0,
            "s",
            digits=2,
        ),
        Figure("replies that were not cut", never, None, "", digits=0),
    ]


def judge_wakes(cells: Cells, results: list[uplink.Count]) -> list[Figure]:
    figures = []
    for distortion, ratio_db, floor in (
        (MILD, 0, 70),
        (MILD, -10, 55),
        (STRONG, 0, None),
        (STRONG, -10, None),
    ):
        mine = [
            result
            for (room, ratio, _), result in zip(cells, results, strict=True)
            if (room.distortion, ratio) == (distortion, ratio_db)
        ]
        if mine:
            hits, tries = sum(each.hits for each in mine), sum(each.tries for each in mine)
            name = f"wake word over a reply, {ratio_db:g} dB, {distortion} ({hits}/{tries})"
            figures.append(Figure(name, percent(hits, tries), floor, "%", is_floor=True))
    return [*figures, Figure("wakes that nobody said", sum(each.extra for each in results), 0, "", digits=0)]


def judge_own_wakes(_: Cells, results: list[uplink.Count]) -> list[Figure]:
    said = sum(each.tries for each in results)
    return [
        Figure(
            f"the agent says the wake word {said} times: wakes", sum(r.hits for r in results), 0, "", digits=0
        ),
        Figure("known for its own voice", sum(r.extra for r in results), None, "", digits=0),
    ]


def judge_loss(cells: Cells, results: list[float]) -> list[Figure]:
    figures = []
    for distortion, floor_db in ((MILD, 30), (STRONG, 20)):
        mine = [loss for (room, _), loss in zip(cells, results, strict=True) if room.distortion == distortion]
        if mine:
            name = f"echo return loss after 6 s, {distortion}, worst of {len(mine)} rooms"
            figures.append(Figure(name, min(mine), floor_db, "dB", is_floor=True))
    return figures


def judge_alone(_: Cells, results: list[uplink.Alone]) -> list[Figure]:
    return [
        Figure("user alone: level", max(abs(each.level_db) for each in results), 1, "dB", digits=2),
        Figure("user alone: STOI", min(each.stoi for each in results), 0.97, "", is_floor=True, digits=3),
    ]


def judge_alarms(cells: Cells, results: list[daemon.Alarm]) -> list[Figure]:
    figures = [
        Figure("cough, door, “uh-huh”: replies cut", sum(each.cuts for each in results), 0, "", digits=0),
        Figure("of a reply lost, or said twice", 1000 * max(each.wrong_s for each in results), 20),
    ]
    for (_, sound), each in zip(cells, results, strict=True):
        figures.append(Figure(f"{sound} three times: ducks", each.ducks, None, "", digits=0))
    return figures


def judge_flush(_: Cells, results: list[dict[str, float]]) -> list[Figure]:
    (cuts,) = results
    return [
        Figure(
            f"energy above 5 kHz around the cut, worst of {cuts['cuts']:g}",
            cuts["rise_max_db"],
            0,
            "dB",
            digits=2,
        ),
        Figure("last audible sample after the call, beyond what the card holds", cuts["excess_max_ms"], 10),
    ]


def judge_computing(_: Cells, results: list[tuple[float, float]]) -> list[Figure]:
    ((canceller, tap),) = results
    return [
        Figure("computing: canceller and gate, against resampling 48 to 16 kHz", canceller, None, "times"),
        Figure("computing: tap, against the same", tap, None, "times"),
    ]


def judge_delay(cells: Cells, results: list[float]) -> list[Figure]:
    return [
        Figure(f"uplink delay added, microphone at {mic_hz} Hz", value, 12)
        for (mic_hz,), value in zip(cells, results, strict=True)
    ]


ROWS = (
    Row(
        "replies",
        lambda short: [
            (room, (room.number + (room.distortion == STRONG)) % 2, 40 if short else 100)
            for room in rooms(short, MILD, STRONG)
        ],
        daemon.replies,
        judge_replies,
    ),
    Row(
        "found",
        lambda short: [
            *((room, RATIOS_DB, 1 if short else 2) for room in rooms(short, MILD, STRONG)),
            *((room, FURTHER_DB, 1) for room in rooms(short, MILD)),
            *((room, RATIOS_DB, 1) for room in rooms(short, MILD, noise_db=FAN_DB)),
        ],
        daemon.found,
        judge_found,
    ),
    Row(
        "duck",
        lambda short: [
            (room, -10.0, 3 if is_first or short else 5, is_first)
            for room in rooms(short, MILD)
            for is_first in (False, True)
        ],
        daemon.duck_delays,
        judge_ducks,
    ),
    Row(
        "cut",
        lambda short: [(room, RATIOS_DB) for room in rooms(short, MILD, STRONG)],
        daemon.cut_delays,
        judge_cuts,
    ),
    Row(
        "wake",
        lambda short: [
            (room, ratio_db, 4 if short else 12)
            for ratio_db in (0, -10)
            for room in (rooms(short, MILD) if short else rooms(False, MILD, STRONG))
        ],
        uplink.wake_words,
        judge_wakes,
    ),
    Row(
        "own-wake",
        lambda short: [(room,) for room in rooms(short, MILD, STRONG)],
        uplink.own_wake_words,
        judge_own_wakes,
    ),
    Row(
        "loss",
        lambda short: [(room, 16 if short else 40) for room in rooms(short, MILD, STRONG)],
        uplink.return_loss,
        judge_loss,
    ),
    Row(
        "alone",
        lambda short: [
            (room, words)
            for room in rooms(short, MILD)
            for words in ("user_barge", "user_weather")[: 2 - short]
        ],
        uplink.user_alone,
        judge_alone,
    ),
    Row(
        "alarm",
        lambda short: [(Room(1, MILD, 80.0, seed=7), sound) for sound in ("cough", "slam", "uh-huh")],
        daemon.false_alarm,
        judge_alarms,
    ),
    Row("flush", lambda short: [(60 if short else 300,)], uplink.flush_quality, judge_flush),
    Row("cpu", lambda _: [(20.0,)], uplink.computing, judge_computing),
    Row(
        "delay", lambda short: [(rate,) for rate in (16_000, 44_100, 48_000)], uplink.added_delay, judge_delay
    ),
)


def add_verb(verbs: Any) -> None:
    """Add `echo` to the bench's verbs."""
    echo = verbs.add_parser("echo", help="that the device does not hear itself, and hears you meanwhile")
    echo.add_argument("--short", action="store_true", help="a minute's worth, with fewer rooms")
    names = [row.name for row in ROWS]
    echo.add_argument("--row", action="append", choices=names, metavar="ROW", help=f"only {', '.join(names)}")
    echo.set_defaults(bench=bench_echo)


def bench_echo(options: argparse.Namespace) -> Sequence[Figure]:
    """Measure every row that is wanted, on every core; return the table."""
    wanted = [row for row in ROWS if not options.row or row.name in options.row]
    echo_voices.make()
    figures: list[Figure] = []
    with ProcessPoolExecutor(os.cpu_count(), _SPAWN, logging.disable, (logging.WARNING,)) as pool:
        begun_s = time.monotonic()
        jobs = [(row, row.cells(options.short)) for row in wanted]
        promised = [[pool.submit(row.measure, *cell) for cell in cells] for row, cells in jobs]
        for (row, cells), futures in zip(jobs, promised, strict=True):
            results = [future.result() for future in futures]
            print(f"{time.monotonic() - begun_s:6.0f} s  {row.name}: {results}", file=sys.stderr)
            figures += row.judge(cells, results)
    return figures
