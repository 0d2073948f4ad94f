"""One side of a card, speaker or microphone: the level that is wanted, and how it comes about.

Event loop only. Each use of the card's control is a thread (USB may take 10 ms, or hang): opened, asked,
moved, read back, closed. One at a time; what is wanted meanwhile is done next, and only the last of it. One
that has hung for 2 s is no longer waited for, and until it returns the card is left alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

from pivoice.audio import controls
from pivoice.audio.loudness_scale import FULL, Scale
from pivoice.audio.ports import Side
from pivoice.clock import Clock
from pivoice.errors import DeviceError

logger = logging.getLogger(__name__)

PATIENCE_S = 2.0
TURNED_DB = 2.0
"""Less does a canceller no harm: 6 dB were found out in time, mostly (2026-11)."""
_SAME = 0.006  # of a dB, or of a control without: what rounding makes of one value


@dataclass(frozen=True)
class _Found:
    """What a visit to the card came to."""

    label: str
    scale: Scale
    value: float | None
    """Where the control is; None: switched off."""
    placed: int | None
    """The level that it was put to; None: it was only looked at."""


_Visited = _Found | DeviceError | None


class SideOfCard:
    """See the module. `level` is what people see, `kept` what outlives us: None, where nobody changed it."""

    least = 0
    """No softer than that for now; what is chosen stays."""

    def __init__(
        self,
        side: Side,
        pcm: str,
        wanted: str,
        *,
        clock: Clock,
        most: int,
        kept: int | None,
        configured: int | None = None,
        factor: Callable[[int, int | None], float],
        tell: Callable[[float], None],
        turned: Callable[[], None],
        plain: int = FULL,
    ) -> None:
        """`factor`: what the samples need for a level, given the one that a control, out of reach, is at.
        `plain`: the level that leaves the samples alone."""
        chosen = configured if kept is None else kept
        self.kept = None if kept is None else max(0, min(most, kept))
        self.level = max(0, min(most, plain if chosen is None else chosen))
        self._is_chosen = chosen is not None  # else the control may be anywhere
        self.by = "software"
        self._side = side
        self._pcm = pcm
        self._wanted = wanted
        self._clock = clock
        self._most = most
        self._factor = factor
        self._told = tell
        self._turned = turned
        self._way_db = 0.0  # how loud the echo is because of us, as far as the samples played do not say
        self._card_no: int | None = None
        self._left: _Found | None = None  # how we last left the control
        self._is_raised = False  # it is louder than `level`, because of `least`
        self._is_wanted = False  # something is to be done that the visit under way does not do
        self._is_moving = False  # and that is more than a look
        self._is_stuck = False  # a visit hangs
        self._is_closed = False
        self._has_warned = False
        self._work: asyncio.Task[None] | None = None
        self._tell(self._factor(self.level, None))

    def choose(self, level: int) -> None:
        """Somebody wants it so; begins at once, `settled` waits for it."""
        self._is_chosen = True
        self.kept = self.level = max(0, min(self._most, level))
        self.place()

    def found(self, card_no: int | None) -> None:
        """The card is there (again), in whatever state."""
        self._card_no, self._left = card_no, None
        if self._side == "playback" and self._is_chosen:
            self._tell(self._factor(self._effective, None))  # not for a moment too loud
        self.place()

    def place(self) -> None:
        """Make it so, in the background."""
        self._is_moving = True
        self._begin()

    async def look(self) -> None:
        """See where the control is."""
        self._begin()
        await self.settled()

    async def settled(self) -> None:
        """Wait until nothing is under way, or the card is no longer waited for."""
        if self._work is not None:
            await asyncio.shield(self._work)

    def close(self) -> None:
        """Do nothing any more."""
        self._is_closed = True
        if self._work is not None:
            self._work.cancel()

    @property
    def _effective(self) -> int:
        return max(self.level, self.least)

    def _begin(self) -> None:
        if self._is_closed:
            return
        if not controls.may_have_one(self._pcm, self._side, self._wanted):
            self._is_moving = False
            self._learn(None, is_look=False)
            return
        self._is_wanted = True
        if self._work is None or self._work.done():
            self._work = asyncio.get_running_loop().create_task(self._do())

    async def _do(self) -> None:
        while self._is_wanted:
            moves, self._is_wanted, self._is_moving = self._is_moving, False, False
            may_move = self._is_chosen or self.least > 0 or self._is_raised
            is_unknown = self._left is None  # a look must not take for wanted what it finds
            level = self._effective if may_move and (moves or is_unknown) else None
            try:
                found = await self._visited(level)
            except DeviceError as error:
                self._fail(error)
            else:
                if not self._is_moving:  # else something else is wanted by now
                    self._learn(found, is_look=level is None)

    async def _visited(self, level: int | None) -> _Found | None:
        """Go to the card, and put its control to `level`; return what is there then.

        Raises:
            DeviceError: it does not answer.
        """
        if self._is_stuck:
            raise self._stuck()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[_Visited] = loop.create_future()
        visit = _Visit(self._pcm, self._side, self._wanted, self._card_no, self._most)

        def run() -> None:
            result = visit.result(level)
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._answered, answer, result)

        self._clock.start_thread(run, name="mixer", is_urgent=False)
        done, _ = await asyncio.wait([answer], timeout=PATIENCE_S)
        if not done:
            self._is_stuck = True
            raise self._stuck()
        if isinstance(result := answer.result(), DeviceError):
            raise result
        return result

    def _answered(self, answer: asyncio.Future[_Visited], result: _Visited) -> None:
        if self._is_stuck:  # it hung, and came back: nobody waits for this answer
            self._is_stuck = False
            self.place()
        else:
            answer.set_result(result)

    def _stuck(self) -> DeviceError:
        advice = "plug it out and in; the samples are made softer or louder instead"
        return DeviceError(
            self._pcm, doing="ask the mixer of", reason=f"no answer for {PATIENCE_S:g} s", advice=advice
        )

    def _learn(self, found: _Found | None, *, is_look: bool) -> None:
        """Take what was found for how it is."""
        if found is None:
            self.by, self._left = "software", None
            self._tell(self._factor(self._effective, None))
            return
        self.by, self._has_warned = found.label, False
        if is_look and found.placed is None and self._left and _is_same(found.value, self._left.value):
            return
        if is_look:  # another hand moved it, or nobody ever asked us to
            level = found.scale.level_of(found.value) if found.placed is None else found.placed
            self.level = min(level, self._most)
            self.kept = self.level if self._is_chosen else None
        self._left = found
        self._is_raised = not is_look and found.placed is not None and found.placed > self.level
        self._tell(1.0 if found.placed is None else found.scale.rest(found.placed, found.value))

    def _tell(self, factor: float) -> None:
        self._told(factor)
        way_db = 0.0 if self._left is None else self._left.scale.loudness_db(self._left.value)
        if self._side == "capture":
            way_db += 20 * math.log10(factor)
        if abs(way_db - self._way_db) > TURNED_DB:
            self._way_db = way_db
            self._turned()

    def _fail(self, error: DeviceError) -> None:
        self.by = "software"
        if not self._has_warned:
            self._has_warned = True
            logger.warning("%s", error)
        left = self._left
        self._tell(self._factor(self._effective, None if left is None else left.scale.level_of(left.value)))


@dataclass(frozen=True)
class _Visit:
    """One use of a card's control, in a thread of its own."""

    pcm: str
    side: Side
    wanted: str
    card_no: int | None
    most: int

    def result(self, level: int | None) -> _Visited:
        """Return what is found with the control put to `level`; None: left alone, unless above `most`."""
        try:
            control = controls.open_control(self.pcm, self.side, self.wanted, self.card_no)
            if control is None:
                return None
            try:
                value, scale = control.read(), control.scale
                if level is None and scale.level_of(value) > self.most:
                    level = self.most
                if level is not None:
                    control.write(scale.value_of(level))
                    value = control.read()
                return _Found(control.label, scale, value, level)
            finally:
                control.close()
        except DeviceError as error:
            return error
        except Exception as error:  # the thread's top
            logger.exception("mixer of %r", self.pcm)
            return DeviceError(self.pcm, doing="ask the mixer of", reason=repr(error))


def _is_same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) < _SAME
