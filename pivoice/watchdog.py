"""Never deaf: who notices that a part stands still, and what is done about it.

A thread that hangs is left behind, and another takes its place: `PartsWatch`, in the event loop, which also
feeds systemd's watchdog. It is fed by microphone periods that come in and are consumed; by the loop alone
only while muted, and while a lost card is tried again. An event loop that hangs is interrupted, and the
daemon begins anew: `LoopWatch`, in a thread of its own. What cannot be helped that way starves the watchdog:
systemd ends the process, and starts another.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Protocol

from pivoice import service
from pivoice.clock import Clock

logger = logging.getLogger(__name__)

STILL_S = 10.0
"""A part that does nothing for so long hangs: five times what a card is given before it is told lost."""
TRIED_S = 6.0
"""A thread whose card stands still shows itself no oftener: 2 s of nothing, 3 s until it is tried again."""
_SLACK_S = 0.001
_LOOKS = 2  # within that time
_SHARE = 3  # of systemd's patience: a part has hung for a third, is replaced, and has a third to show itself


def still_s() -> float:
    """Return how long a part may stand still, with what systemd's patience leaves."""
    interval_s = service.watchdog_interval_s()
    return STILL_S if interval_s is None else min(STILL_S, interval_s / _SHARE)


@dataclass
class Part:
    """Something that must get on."""

    name: str
    progress: Callable[[], object]
    """Something else each time it got on; None: nothing is asked of it now."""
    renew: Callable[[float], None]
    """It stood still for so many seconds: put another in its place."""
    _seen: object = None
    _looked_s: float = 0.0
    _stood_s: float = 0.0

    def begin(self, now_s: float) -> None:
        """It was started now."""
        self._seen, self._looked_s, self._stood_s = self.progress(), now_s, 0.0

    def stood_still_s(self, now_s: float, *, most_s: float) -> float:
        """Look at it, and return for how long it has not got on.

        `most_s`: what a look may add. When more has gone by, nobody got on: the machine stood still, or the
        process was stopped, and the part is innocent until it was given time.
        """
        progress, passed_s = self.progress(), min(now_s - self._looked_s, most_s)
        is_still = progress is not None and progress == self._seen
        self._stood_s = self._stood_s + passed_s if is_still else 0.0
        self._seen, self._looked_s = progress, now_s
        return self._stood_s


class PartsWatch:
    """Looks after the parts, and tells systemd that we hear. Event loop."""

    def __init__(self, parts: Sequence[Part], *, is_well: Callable[[], bool]) -> None:
        """`is_well`: asked before systemd is told; it looks at what was heard since it was last asked."""
        self._parts = parts
        self._is_well = is_well

    async def run(self) -> None:
        """Do so for ever."""
        look_s, loop = still_s() / _LOOKS, asyncio.get_running_loop()
        limit_s = max(still_s(), TRIED_S)  # however short systemd's patience: a pause is no fault
        for part in self._parts:
            part.begin(loop.time())
        while True:
            if self._is_well():
                service.notify_watchdog()
            await asyncio.sleep(look_s)
            for part in self._parts:
                stood_s = part.stood_still_s(loop.time(), most_s=look_s)
                if stood_s >= limit_s - _SLACK_S:
                    part.renew(stood_s)
                    part.begin(loop.time())


class Ear(Protocol):
    """What `HearsOrTries` looks at."""

    @property
    def progress(self) -> tuple[int, int] | None: ...


class HearsOrTries:
    """Whether systemd may be told that all is well. Event loop."""

    def __init__(self, ear: Callable[[], Ear], hung: Callable[[], int]) -> None:
        """`hung`: how many threads were left behind and still hang. One may keep the card from us: then to
        try is not enough. With two it is no accident."""
        self._ear = ear
        self._hung = hung
        self._seen: tuple[int, int] | None = None

    def __call__(self) -> bool:
        now, seen = self._ear().progress, self._seen
        self._seen = now
        if now is None or seen is None:
            return True  # muted, or asked for the first time since
        heard, tried = now[0] != seen[0], now[1] != seen[1]
        return (heard and self._hung() < 2) or (tried and not self._hung())


class LoopStuckError(Exception):
    """Raised into whatever keeps the event loop from going on."""


class LoopWatch:
    """Looks after the event loop, from a thread of its own; `beat` in the loop, `interrupt` in its thread."""

    def __init__(self, clock: Clock, *, on_stuck: Callable[[], None]) -> None:
        """`on_stuck`: called in the watching thread; it has the loop's thread interrupted."""
        self._clock = clock
        self._on_stuck = on_stuck
        self._beats = 0
        self._stopping = threading.Event()
        self._limit_s = still_s()
        self.is_stuck = False
        """Since it was noticed, until the next beat."""

    def start(self) -> None:
        """Start the thread."""
        self._clock.start_thread(self._run, name="loop watch")

    def stop(self) -> None:
        """Ask the thread to end."""
        self._stopping.set()

    async def beat(self) -> None:
        """Show, for ever, that the loop goes on."""
        while True:
            self._beats += 1
            self.is_stuck = False
            await asyncio.sleep(self._limit_s / _LOOKS)

    def interrupt(self, frame: FrameType | None) -> None:
        """In a signal's handler: raise LoopStuckError into the callback that does not end, if one runs.

        Raises:
            LoopStuckError: there.
        """
        if not self.is_stuck:
            return
        where: list[str] = []
        while frame is not None:
            code = frame.f_code
            if code.co_name == "_run" and code.co_filename == asyncio.events.__file__:
                logger.error("the event loop hangs in %s; pivoice begins anew", " < ".join(where[:4]))
                raise LoopStuckError
            where.append(f"{code.co_name} ({code.co_filename.rpartition('/')[2]}:{frame.f_lineno})")
            frame = frame.f_back

    def _run(self) -> None:
        # Looks are counted, not seconds: after the machine stood still, or the process was stopped, the loop
        # is as late as we are, and must be given its time.
        seen, in_vain = self._beats, 0
        while not self._clock.wait(self._stopping, self._limit_s / _LOOKS):
            in_vain = in_vain + 1 if self._beats == seen else 0
            seen = self._beats
            if in_vain >= _LOOKS:
                in_vain = 0
                self.is_stuck = True
                self._on_stuck()
