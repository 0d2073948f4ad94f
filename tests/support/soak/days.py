"""A soak: a first hour in which everything happens once, then days; calm, and a look, after each."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pivoice.simulation import JumpLoop, run_jumping
from tests.support.soak import inventory
from tests.support.soak.disturbance import BACK_S, Calm, Lane
from tests.support.soak.faults import FAULTS
from tests.support.soak.ground import DAY_S, SoakWorld
from tests.support.soak.inventory import Inventory
from tests.support.soak.promises import Promises
from tests.support.soak.user import User
from tests.support.world import answering

HOUR_S = 3600.0
_CALM_S = 120.0  # before a look: a lingering session is gone after 30 s, a dead link after 40
_LOOK_IN_S = 20.0
_NEAR_S = 60.0  # of a fault: a link that it killed may be given up so much later
_LONGEST_S = {"first": 20.0, "later": 600.0}


@dataclass
class Order:
    """What is asked for."""

    seed: int = 1
    days: float = 1.0
    acts: int = 24
    """Of the user, a day."""
    faults: int = 24
    """A day, each part's share the same."""
    only: Sequence[str] = ()
    """Faults whose name holds one of these; all, when empty."""
    traces: bool = False
    """Keep account of where memory was asked for: twice as slow."""


@dataclass
class Report:
    """What came of it."""

    order: Order
    looks: list[Inventory] = field(default_factory=list)
    promises: Promises | None = None
    conversations: int = 0
    restarts: int = 0
    fingerprint: str = ""
    took_s: float = 0.0
    """Real seconds."""
    traces: list[str] = field(default_factory=list)
    first_trace: tracemalloc.Snapshot | None = None

    @property
    def is_sound(self) -> bool:
        return self.promises is not None and not self.promises.count


def soak(order: Order, directory: Path, *, tell: Callable[[str], None] = lambda line: None) -> Report:
    """Live through it, in simulated time; `tell` is given a line now and then."""
    report = Report(order)
    began_s = time.monotonic()
    if order.traces:
        tracemalloc.start()

    async def main(loop: JumpLoop) -> None:
        promises = report.promises = Promises(loop.time)
        promises.journal.attach()
        plan = answering("agent_weather")
        world = SoakWorld(loop, directory, seed=order.seed, plan=plan, promises=promises)
        loop.set_exception_handler(lambda _, what: promises.check(False, f"nobody caught: {what}"))
        await world.set_up()
        try:
            await _live(world, order, report, tell)
        except Exception as error:  # the run's top: what was seen until then is worth reading
            promises.check(False, f"the run came to an end: {error!r}")
        finally:
            report.conversations, report.restarts = world.conversations, world.restarts
            report.fingerprint = world.fingerprint
            try:
                await world.tear_down()
            except AssertionError as error:
                promises.check(False, str(error))
            promises.journal.detach()

    run_jumping(main)
    report.took_s = time.monotonic() - began_s
    return report


async def _live(world: SoakWorld, order: Order, report: Report, tell: Callable[[str], None]) -> None:
    calm = Calm(world)
    world.is_calm = lambda: calm.holds(_NEAR_S)
    lanes = {part: Lane(part, world, calm, seed=order.seed, only=order.only) for part in FAULTS}
    user = User(world, calm, seed=order.seed)
    end_s, at_s = order.days * DAY_S, 0.0
    while at_s < end_s:
        is_first = not at_s
        to_s = HOUR_S if is_first else min(end_s, (at_s // DAY_S + 1) * DAY_S)
        share = (to_s - at_s) / DAY_S
        longest_s = _LONGEST_S["first" if is_first else "later"]
        async with asyncio.TaskGroup() as group:
            for lane in lanes.values():
                count = 0 if is_first else max(1, round(order.faults * share / len(lanes)))
                group.create_task(lane.live(to_s - _CALM_S, faults=count, longest_s=longest_s))
            acts = 0 if is_first else max(1, round(order.acts * share))
            group.create_task(user.live(to_s - _CALM_S, acts=acts))
            group.create_task(_look_in(world, calm, to_s - _CALM_S))
        await asyncio.sleep(to_s - world.loop.time())
        at_s = to_s
        _look(world, order, report)
        tell(f"{at_s / DAY_S:.2f} days: {world.conversations} conversations, {world.promises.count} broken")


async def _look_in(world: SoakWorld, calm: Calm, until_s: float) -> None:
    """See to it, now and then, that a device at rest hears, and costs nothing."""
    while (now_s := world.loop.time()) < until_s:
        if world.state == "idle" and now_s - world.changed_s > _NEAR_S and calm.holds(_NEAR_S):
            hears = await world.becomes(lambda: world.hears, BACK_S)
            world.promises.check(hears, f"deaf, and nothing is wrong: {world.daemon.seen.sentence()}")
            is_billed = bool(world.agent.open_sessions) and world.state == "idle"
            world.promises.check(not is_billed, "at rest for a minute, and a session is open")
        await asyncio.sleep(_LOOK_IN_S)


def _look(world: SoakWorld, order: Order, report: Report) -> None:
    promises = world.promises
    promises.check(world.state == "idle", f"{world.state} in the middle of nothing")
    promises.check(world.daemon.seen.hears, f"deaf, and nothing is wrong: {world.daemon.seen.sentence()}")
    report.looks.append(inventory.take(world))
    for fault in inventory.compare(report.looks[0], report.looks[-1]):
        promises.check(False, fault)
    if order.traces:
        _trace(report)


def _trace(report: Report) -> None:
    now = tracemalloc.take_snapshot()
    if report.first_trace is None:
        report.first_trace = now
    report.traces = [str(each) for each in now.compare_to(report.first_trace, "lineno")[:15]]
