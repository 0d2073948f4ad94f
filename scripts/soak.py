"""Live through simulated days of talks and faults with the real daemon: `scripts/soak`.

Everything happens once in the first hour, then whatever comes, by the seed. Exit 1 when a promise was broken
or something grew after the first hour; the same seed lives the same days again.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the daemon does, before numpy

from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from tests.support.soak.days import DAY_S, Order, Report, soak  # noqa: E402
from tests.support.soak.faults import FAULTS  # noqa: E402
from tests.support.soak.inventory import ALLOWANCES, MUST_BE, Inventory  # noqa: E402

_COLUMNS = 6  # looks that fit beside each other: the first, and the last ones


def main() -> int:
    order = _order()
    console = Console(width=None if sys.stdout.isatty() else 110)
    with tempfile.TemporaryDirectory(prefix="pivoice-soak-") as directory:
        report = soak(order, Path(directory), tell=lambda line: print(line, file=sys.stderr, flush=True))
    console.print(_figures(report))
    console.print(_happenings(report))
    for line in report.traces:
        print(line)
    return verdict(report)


def _order() -> Order:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__.partition(":")[0])
    parser.add_argument("--days", type=float, default=1.0, help="simulated days (default: 1)")
    parser.add_argument("--seed", type=int, default=1, help="which days (default: 1)")
    parser.add_argument("--acts", type=int, default=24, help="what the user does a day (default: 24)")
    parser.add_argument("--faults-a-day", type=int, default=24, help="what goes wrong a day (default: 24)")
    parser.add_argument(
        "--faults",
        nargs="+",
        default=[],
        metavar="KIND",
        help="only faults whose name holds this; there are: "
        + ", ".join(name for kinds in FAULTS.values() for name in kinds),
    )
    parser.add_argument("--traces", action="store_true", help="say where memory went (twice as slow)")
    given = parser.parse_args()
    kinds = [name for each in FAULTS.values() for name in each]
    for wanted in given.faults:
        if not any(wanted in name for name in kinds):
            parser.error(f"no fault holds {wanted!r}; there are: {', '.join(kinds)}")
    if given.days <= 0:
        parser.error(f"--days must be more than 0, not {given.days:g}")
    return Order(given.seed, given.days, given.acts, given.faults_a_day, given.faults, given.traces)


def _figures(report: Report) -> Table:
    looks = report.looks
    shown = looks if len(looks) <= _COLUMNS else [looks[0], *looks[1 - _COLUMNS :]]
    table = Table(title=f"what is held, seed {report.order.seed}")
    table.add_column("")
    for each in shown:
        table.add_column(
            "first hour" if each is looks[0] else f"day {each.time_s / DAY_S:.3g}", justify="right"
        )
    table.add_column("may be", justify="right")
    table.add_column("")
    for name in (*ALLOWANCES, *MUST_BE):
        if looks and name in looks[0].numbers:
            table.add_row(*_row(name, shown))
    return table


def _row(name: str, looks: list[Inventory]) -> list[str]:
    most = MUST_BE.get(name, looks[0].numbers[name] + ALLOWANCES.get(name, 0.0))
    is_kept = all(each.numbers[name] <= most for each in looks)
    digits = 1 if "MB" in name else 0
    numbers = [f"{each.numbers[name]:.{digits}f}" for each in looks]
    return [name, *numbers, f"<= {most:.{digits}f}", "[green]kept[/]" if is_kept else "[bold red]missed[/]"]


def _happenings(report: Report) -> Table:
    promises, table = report.promises, Table(title="what happened")
    assert promises is not None, "it ran"
    days = max((each.time_s for each in report.looks), default=0.0) / DAY_S
    table.add_column("")
    table.add_column("", justify="right")
    faults = {name for kinds in FAULTS.values() for name in kinds}
    counts = promises.happened
    table.add_row("conversations", str(report.conversations))
    table.add_row("acts of the user", str(sum(n for name, n in counts.items() if name not in faults)))
    table.add_row("faults", str(sum(n for name, n in counts.items() if name in faults)))
    table.add_row("kinds of faults", f"{len(faults & counts.keys())} of {len(faults)}")
    table.add_row("parts restarted", str(report.restarts))
    for name, worst_s in _worst(promises.worst_s).items():
        table.add_row(f"{name}, at most", f"{worst_s:.2f} s")
    for level in ("ERROR", "WARNING", "INFO"):
        table.add_row(f"{level} lines a day", f"{promises.journal.shown.levels[level] / max(days, 1e-9):.0f}")
    table.add_row("simulated days a minute", f"{60 * days / max(report.took_s, 1e-9):.2f}")
    table.add_row("fingerprint", report.fingerprint)
    return table


def _worst(by_fault: dict[str, float]) -> dict[str, float]:
    """Return the longest times without the names of the faults."""
    worst: dict[str, float] = {}
    for name, seconds in by_fault.items():
        short = name.partition(" after ")[0]
        worst[short] = max(worst.get(short, 0.0), seconds)
    return worst


def verdict(report: Report) -> int:
    """Tell what was broken, and how to see it again; return the exit code."""
    promises, order = report.promises, report.order
    assert promises is not None, "it ran"
    if report.is_sound:
        print(f"every promise kept, in {report.took_s:.0f} s")
        return 0
    for broken in promises.broken:
        print(f"BROKEN at {broken.time_s:.1f} s: {broken.what}")
        for line in broken.log:
            print(f"    {line}")
    again = f"scripts/soak --seed {order.seed} --days {order.days:g}"
    if order.only:
        again += " --faults " + " ".join(f"'{each}'" for each in order.only)
    print(f"{promises.count} promises broken; to see it again: {again}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
