"""What the process holds at a calm moment: memory, threads, files, sockets, tasks, timers, objects.

Event loop only. `compare` says what grew, and by more than it may.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.soak.ground import SoakWorld

_POOL = "asyncio_"  # asyncio's own threads for waiting: made when needed, up to a handful, and kept


@dataclass(frozen=True)
class Inventory:
    """One look."""

    time_s: float
    numbers: dict[str, float]
    kinds: Counter[str]
    """Objects by type."""
    names: dict[str, list[str]]
    """Of what can be named: threads, tasks, files, timers."""


ALLOWANCES = {
    "memory (MB)": 12.0,
    "objects": 6000.0,
    "threads": 0.0,
    "files and sockets": 0.0,
    "tasks": 0.0,
    "timers": 0.0,
}
"""How much more than at the first look is no growth: what is bounded fills up, such as statistics."""

MUST_BE = {
    "sessions open at the agent": 0.0,
    "sockets open at the agent": 0.0,
}
"""What must be so much at every look."""


def take(world: SoakWorld) -> Inventory:
    """Look."""
    world.throw_away()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what the heap keeps for later is not held
    threads = sorted(each.name for each in threading.enumerate() if not each.name.startswith(_POOL))
    tasks = sorted(each.get_name() for each in asyncio.all_tasks(world.loop))
    timers = sorted(repr(each) for each in _timers(world.loop))
    files = sorted(_open_files())
    kinds = Counter(type(each).__qualname__ for each in gc.get_objects())
    numbers = {
        "memory (MB)": _resident_mb(),
        "objects": float(kinds.total()),
        "threads": float(len(threads)),
        "files and sockets": float(len(files)),
        "tasks": float(len(tasks)),
        "timers": float(len(timers)),
        "sessions open at the agent": float(len(world.agent.open_sessions)),
        "sockets open at the agent": float(world.agent.open_sockets),
    }
    names = {"threads": threads, "tasks": tasks, "timers": timers, "files and sockets": files}
    return Inventory(world.loop.time(), numbers, kinds, names)


def compare(first: Inventory, now: Inventory) -> list[str]:
    """Return a sentence for all that grew by more than it may, or is there and must not be."""
    faults = []
    for name, allowance in ALLOWANCES.items():
        before, after = first.numbers[name], now.numbers[name]
        if after > before + allowance:
            faults.append(
                f"{name}: {before:g} after the first hour, {after:g} now{_detail(name, first, now)}"
            )
    for name, wanted in MUST_BE.items():
        if now.numbers.get(name, wanted) != wanted:
            faults.append(f"{name}: {now.numbers[name]:g}, and must be {wanted:g}")
    return faults


def _detail(name: str, first: Inventory, now: Inventory) -> str:
    if name in now.names:
        more = Counter(now.names[name]) - Counter(first.names[name])
        return ": " + ", ".join(sorted(more))[:400]
    more = now.kinds - first.kinds
    return " (most new objects: " + ", ".join(f"{count} {kind}" for kind, count in more.most_common(6)) + ")"


def _timers(loop: Any) -> list[asyncio.TimerHandle]:
    return [each for each in loop._scheduled if not each.cancelled()]


def _open_files() -> list[str]:
    found = []
    for each in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the listing's own
            found.append(str(each.readlink()).partition(":[")[0])
    return found


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
