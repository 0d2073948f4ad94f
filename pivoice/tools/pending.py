"""What was set: timers, alarms, and what should have rung and could not; as the file holds them.

PURE: when an alarm is next due is reckoned here, from the clocks that are handed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from datetime import time as time_of_day
from typing import Annotated

from msgspec import Meta

from pivoice.tools.times import Times

Weekday = Annotated[int, Meta(ge=0, le=6)]
_FAR_S = 1e10  # the year 2286: what a file holds beyond is no time, and no calendar could show it
Moment = Annotated[float, Meta(ge=-_FAR_S, le=_FAR_S)]
_YEARS = range(1970, 2287)


@dataclass(eq=False)
class Timer:
    """Something to ring after a while."""

    name: str
    length_s: Moment
    due_elapsed_s: Moment
    """On `Times.elapsed_s` of this start of the machine."""
    due_s: Moment | None = None
    """On the wall clock; None until the machine was started anew."""
    days = ()


@dataclass(eq=False)
class Alarm:
    """Something to ring at a time of day."""

    name: str
    at: time_of_day
    day: date
    """When it is next due."""
    days: list[Weekday] = field(default_factory=list)
    """On which weekdays it comes again, Monday is 0; none: never."""
    is_dated: bool = False
    """Its day was asked for, not only its time."""
    boot: str = ""
    """The start of the machine in which it was set."""

    def __post_init__(self) -> None:
        if self.day.year not in _YEARS:  # a file's: it is put aside
            raise ValueError(f"no alarm is set for {self.day}")


Entry = Timer | Alarm


@dataclass
class Missed:
    """What should have rung while nobody could ring it."""

    name: str
    due_s: Moment
    noticed_s: Moment


@dataclass
class Kept:
    """What the file holds."""

    boot: str
    elapsed_s: Moment
    wall_s: Moment
    """Both clocks, at the time of writing (the wall clock: the last that was believed)."""
    timers: list[Timer] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    missed: list[Missed] = field(default_factory=list)


def first_day(times: Times, at: time_of_day, days: Sequence[int], *, after_s: float, on: date) -> date:
    """Return the first day, from `on`, of whose `at` comes after `after_s`, and that is one of `days`
    (Monday is 0; none: any day)."""
    on = max(on, times.local(after_s).date())
    for ahead in range(9):
        day = on + timedelta(days=ahead)
        if (not days or day.weekday() in days) and times.at_s(day, at) > after_s:
            return day
    raise AssertionError(f"no day from {on} has {at} on {days}")


def last_day(times: Times, alarm: Alarm, now_s: float) -> date | None:
    """Return the last day on which a repeating alarm was due before now; None: it was not yet."""
    today = times.local(now_s).date()
    past = (today - timedelta(days=back) for back in range(9))
    return next(
        (
            day
            for day in past
            if day >= alarm.day and day.weekday() in alarm.days and times.at_s(day, alarm.at) <= now_s
        ),
        None,
    )
