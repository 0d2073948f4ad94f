"""Who disturbs: one lane for each part that faults befall, at random, by the run's seed. Event loop only."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.support.soak.faults import FAULTS, Fault
from tests.support.soak.ground import SoakWorld

BACK_S = 5.0  # from a fault's end until it is heard again
NOTICED_S = 3.0
_STUCK_S = 30.0  # until somebody notices that a part is stuck, and puts another in its place
_SAME_STORY_S = 90.0  # a card that comes and goes is told of once
_MOST_LINES = 3  # of the log for one fault of a card
_SILENT = ("xrun",)  # names of faults that lose nothing
_SLOW = ("stalled", "stuck", "hangs", "missing")  # noticed by what fails to come


class Calm:
    """Whether anything is out of order now, and since when nothing is."""

    def __init__(self, world: SoakWorld) -> None:
        self._world = world
        self._names: list[str] = []
        self.changes = 0
        """How often a fault began, or ended."""
        self.since_s = 0.0

    @contextmanager
    def broken_by(self, name: str) -> Iterator[None]:
        self._names.append(name)
        self.changes += 1
        try:
            yield
        finally:
            self._names.remove(name)
            self.changes += 1
            self.since_s = self._world.loop.time()

    def holds(self, for_s: float) -> bool:
        """Whether nothing has been out of order for so long."""
        return not self._names and self._world.loop.time() >= self.since_s + for_s

    def __str__(self) -> str:
        return ", ".join(self._names) or "nothing"


class Lane:
    """What befalls one part: every kind once, then whichever comes."""

    def __init__(self, part: str, world: SoakWorld, calm: Calm, *, seed: int, only: Sequence[str]) -> None:
        """`only`: faults whose name holds one of these; all, when empty."""
        self._part = part
        self._world = world
        self._calm = calm
        self._random = random.Random(f"{seed} {part}")
        kinds = FAULTS[part]
        self._kinds = [name for name in kinds if not only or any(each in name for each in only)]
        self._due: list[str] = []
        self._told_s = -_SAME_STORY_S  # when the last fault was over

    async def live(self, until_s: float, *, faults: int, longest_s: float) -> None:
        """Have so many `faults` spread until then, each over by then; at least one of each kind when 0."""
        due = self._drawn(faults or len(self._kinds))
        while due:
            left_s = until_s - self._world.loop.time() - _STUCK_S
            slot_s = left_s / len(due)
            if slot_s < 1.0:
                return
            start_s = self._world.loop.time() + self._random.uniform(0.1, 0.6) * slot_s
            if self._random.random() < 0.5:  # in the midst of a conversation
                await self._world.becomes(lambda: self._world.state != "idle", 0.6 * slot_s, every_s=1.0)
                start_s = self._world.loop.time() + self._random.uniform(0.0, min(8.0, 0.1 * slot_s))
            await asyncio.sleep(start_s - self._world.loop.time())
            for_s = self._random.choice([0.2, 2.0, self._random.uniform(3, longest_s)])
            await self._suffer(due.pop(), min(for_s, 0.3 * slot_s))

    def _drawn(self, count: int) -> list[str]:
        """Return names, each kind as often as the others, or once more."""
        while len(self._due) < count and self._kinds:
            self._due = [*self._random.sample(self._kinds, len(self._kinds)), *self._due]
        cut = max(0, len(self._due) - count)
        self._due, drawn = self._due[:cut], self._due[cut:]
        return drawn

    async def _suffer(self, name: str, for_s: float) -> None:
        world, promises = self._world, self._world.promises
        fault: Fault = FAULTS[self._part][name]
        promises.happened[name] += 1
        is_card = self._part != "network"
        room = {"microphone": "capture", "speaker": "playback"}.get(self._part, "none")
        with self._calm.broken_by(name), promises.journal.listen(room) as told:
            async with fault(world):
                if self._part == "microphone":
                    await self._is_noticed(name, for_s)
                await asyncio.sleep(for_s)
            if is_card:
                await self._is_back(name)
        if is_card:
            self._judge_log(name, for_s, told)

    async def _is_noticed(self, name: str, for_s: float) -> None:
        """A lost microphone is no secret; a stuck detector is replaced while it still sticks."""
        world = self._world
        if "stuck" in name:
            began_s = world.loop.time()
            await self._hears_again(_STUCK_S)
            world.promises.took(f"another ear hears after {name}", world.loop.time() - began_s, _STUCK_S)
        elif for_s >= NOTICED_S and not any(each in name for each in (*_SILENT, *_SLOW)):
            noticed = await world.becomes(lambda: world.daemon.turn.muted or not world.hears, NOTICED_S)
            world.promises.check(noticed, f"{name}, and it says that it hears")
            seen = world.daemon.seen
            is_shown = world.daemon.turn.muted or "no_microphone" in seen.conditions
            world.promises.check(is_shown, f"{name}, and the light shows {seen.light.name}")

    async def _is_back(self, name: str) -> None:
        world, ended_s = self._world, self._world.loop.time()
        if self._part == "microphone":
            await self._hears_again(2 * BACK_S)
            what = "hears again"
        else:
            await world.becomes(lambda: "no_speaker" not in world.daemon.turn.conditions, 2 * BACK_S)
            what = "speaks again"
        world.promises.took(f"{what} after {name}", world.loop.time() - ended_s, BACK_S)

    async def _hears_again(self, within_s: float) -> None:
        """Let time pass until periods arrive and it says so, or it is muted: a state, not deafness."""
        world = self._world
        ears, beats = world.daemon.ears, world.daemon.ears.beats

        def hears() -> bool:
            now = world.daemon
            return now.turn.muted or (now.seen.hears and (now.ears is not ears or now.ears.beats > beats))

        await world.becomes(hears, within_s)

    def _judge_log(self, name: str, for_s: float, told: list[str]) -> None:
        """One line of cause, and no storm."""
        world, count = self._world, len(told)
        most = _MOST_LINES + (5 if "loose" in name else 0)
        world.promises.check(count <= most, f"{name}: {count} lines in the log: {told[:6]}")
        is_lost = self._part == "microphone" and not any(each in name for each in (*_SILENT, *_SLOW))
        is_news = world.loop.time() - for_s - self._told_s > _SAME_STORY_S
        self._told_s = world.loop.time()
        if is_news and is_lost and for_s >= NOTICED_S and not world.daemon.turn.muted:
            world.promises.check(count > 0, f"{name} for {for_s:.0f} s, and not a line in the log")
