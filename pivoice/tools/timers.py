"""The timers and alarms that were set: kept over a restart, and told when they are due.

Event loop only. A *timer* runs on elapsed time, which no setting of the clock changes; once the machine was
started anew, on the wall clock too, whichever comes first. An *alarm* is a time of day: it goes by the wall
clock and the zone of now. While anything is pending the clocks are looked at every 30 s, for they may be set;
while nothing is, there is no timer at all. It never makes a sound: `ring` and `hush` are somebody else's.

A Pi without a clock of its own starts in the past until the network tells it the time. A wall clock that is
before the last time that was written down is therefore not believed, and alarms wait for a better one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date, timedelta
from datetime import time as time_of_day
from pathlib import Path

from pivoice.records import Record
from pivoice.tools.pending import Alarm, Entry, Kept, Missed, Timer, first_day, last_day
from pivoice.tools.registry import RefusedError
from pivoice.tools.spoken import days_said, length_said, listed, one_line
from pivoice.tools.times import Times

logger = logging.getLogger(__name__)

MOST = 50
MAX_NAME_CHARS = 60
_LOOK_S = 30.0  # the longest without a look at the clocks: what a step of theirs may make an alarm late
_SOON_S = 0.02  # the shortest: the wall clock is slewed, and a wait by another one may end before its time
_STEP_S = 2.0  # that the wall clock gained or lost since it was written down
_DAY_S = 86400.0
_DOUBT_S = 3600.0  # how long a clock that runs behind is not believed: whoever sets it has had the time to
_NAMED = 4  # of those that ring together
_MISSED_KEPT = 10
_MISSED_S = 2 * _DAY_S  # for how long it is told what was missed


class Timers:
    """See the module. `start()` before anything else."""

    def __init__(
        self,
        record: Path | None,
        *,
        ring: Callable[[str], None],
        hush: Callable[[], None],
        ring_minutes: float = 15.0,
        times: Times = Times(),
    ) -> None:
        """`record`: None keeps them in memory. `ring` is told the names of all that ring, whenever another
        begins to. `hush`: the agent stopped the ringing; `silenced` is to be called then, too.
        `ring_minutes`: what is due longer ago than that is not rung any more, but was missed."""
        self.times = times
        self._record: Record[Kept] = Record(record, Kept, logger=logger, forgets="the timers and alarms")
        self._ring = ring
        self._hush = hush
        self._ring_s = 60.0 * ring_minutes
        self._boot = times.boot()
        self._entries: list[Entry] = []
        self._ringing: list[Entry] = []
        self._missed: list[Missed] = []
        self._ahead_s = 0.0  # by which the wall clock was ahead of elapsed time when last written down
        self._believed_s = 0.0  # a wall clock before this is not believed, until ...
        self._doubt_ends_s = 0.0  # ... this, on elapsed time
        self._wait: asyncio.TimerHandle | None = None
        self.is_kept = True
        """The last change is in the file."""

    # --- life ---

    def start(self) -> None:
        """Take up what the file holds, and ring what is due."""
        now_s, elapsed_s = self.times.now_s(), self.times.elapsed_s()
        self._ahead_s = now_s - elapsed_s
        if kept := self._record.read():
            self._believed_s, self._doubt_ends_s = kept.wall_s, elapsed_s + _DOUBT_S
            if not self._boot or kept.boot != self._boot:
                for timer in kept.timers:
                    left_s = timer.due_elapsed_s - kept.elapsed_s
                    timer.due_s = kept.wall_s + left_s if timer.due_s is None else timer.due_s
                    timer.due_elapsed_s = elapsed_s + left_s  # at the latest
            self._entries += kept.timers
            self._entries += kept.alarms
            self._missed = kept.missed[-_MISSED_KEPT:]
        if self._entries:
            self._write()
        self._look()

    def close(self) -> None:
        """Wait for nothing any more. What is set stays in the file, with how long it still takes."""
        self._disarm()
        if self._entries:
            self._write()

    # --- setting ---

    def set_timer(self, length_s: float, name: str = "") -> Timer:
        """Set a timer; its name may get a number, so that no two have the same.

        Raises:
            RefusedError: there are too many.
        """
        self._make_room()
        name = self._unused(name or f"{length_said(length_s, of=True)} timer")
        timer = Timer(name, length_s, self.times.elapsed_s() + length_s)
        self._add(timer)
        return timer

    def set_alarm(
        self, at: time_of_day, *, day: date | None = None, days: Sequence[int] = (), name: str = ""
    ) -> Alarm:
        """Set an alarm for the next time that the clock shows `at`: on `day`, or (from then on) on weekdays
        `days`. A time that is past today means tomorrow.

        Raises:
            RefusedError: the day is past, or there are too many.
        """
        self._make_room()
        now_s = self.times.now_s()
        today = self.times.local(now_s).date()
        is_dated = day is not None and day != today
        if day is not None and day < today:
            raise RefusedError(f"{day} is past; today is {today}")
        first = first_day(self.times, at, days, after_s=now_s, on=day if is_dated and day else today)
        name = self._unused(name or f"{at:%H:%M} alarm")
        alarm = Alarm(name, at, first, sorted(set(days)), is_dated, self._boot)
        self._add(alarm)
        return alarm

    def _make_room(self) -> None:
        self._notice_step()
        if len(self._entries) >= MOST:
            raise RefusedError(f"there are {MOST} timers and alarms already; cancel one first")

    def _unused(self, name: str) -> str:
        name = one_line(name)[:MAX_NAME_CHARS]
        taken = {entry.name.casefold() for entry in self._entries}
        numbered = (f"{name} {number}" if number > 1 else name for number in range(1, MOST + 2))
        return next(each for each in numbered if each.casefold() not in taken)

    def _add(self, entry: Entry) -> None:
        self._entries.append(entry)
        self._write()
        self._arm()

    # --- stopping ---

    def silenced(self) -> None:
        """The ringing was stopped, or its time is up: all that rang are done. Without any: nothing."""
        if not self._ringing:
            return
        for entry in self._ringing:
            self._done(entry)
        self._ringing = []
        self._write()
        self._arm()

    def cancel(self, entries: Sequence[Entry]) -> list[Entry]:
        """Take them out; return those that come again all the same: of what rings and repeats, this one
        ring is over."""
        rang = [entry for entry in entries if entry in self._ringing]
        stay: list[Entry] = [entry for entry in rang if entry.days]
        for entry in entries:
            if entry not in rang and entry in self._entries:
                self._entries.remove(entry)
        if rang:
            self.silenced()  # it is one ringing: what stops one stops all
            self._hush()
        self._write()
        self._arm()
        return stay

    def _done(self, entry: Entry) -> None:
        """`entry` has rung, or never will: it is gone, or is due another time."""
        if isinstance(entry, Alarm) and entry.days:
            entry.day = first_day(
                self.times, entry.at, entry.days, after_s=self.times.now_s(), on=entry.day + timedelta(days=1)
            )
        else:
            with suppress(ValueError):
                self._entries.remove(entry)

    # --- what is seen ---

    @property
    def entries(self) -> list[Entry]:
        """All that are set, the next one first; those that ring before all others."""
        return sorted(self._entries, key=self.left_s)

    @property
    def missed(self) -> list[Missed]:
        """What could not be rung, as was seen in the last two days; the latest last."""
        now_s = self.times.now_s()
        return [each for each in self._missed if abs(now_s - each.noticed_s) < _MISSED_S]

    def is_ringing(self, entry: Entry) -> bool:
        return entry in self._ringing

    def left_s(self, entry: Entry) -> float:
        """Return the seconds until `entry` is due; 0 while it rings."""
        return 0.0 if entry in self._ringing else max(0.0, -self._late_s(entry))

    def due_s(self, entry: Entry) -> float:
        """Return when `entry` is due, on the wall clock."""
        if isinstance(entry, Alarm):
            return self.times.at_s(entry.day, entry.at)
        return self.times.now_s() - self._late_s(entry)

    def status(self) -> list[dict[str, object]]:
        """Return all that are set: `name`, `kind`, `due` (ISO), `left_s`, `repeats` (in words), `ringing`."""
        return [
            {
                "name": entry.name,
                "kind": "alarm" if isinstance(entry, Alarm) else "timer",
                "due": self.times.local(self.due_s(entry)).isoformat(timespec="seconds"),
                "left_s": round(self.left_s(entry), 1),
                "repeats": days_said(entry.days),
                "ringing": self.is_ringing(entry),
            }
            for entry in self.entries
        ]

    def missed_status(self) -> list[dict[str, object]]:
        """Return what was missed, for people: `name`, `due` (ISO)."""
        local = self.times.local
        return [
            {"name": each.name, "due": local(each.due_s).isoformat(timespec="seconds")}
            for each in self.missed
        ]

    # --- time ---

    def _look(self) -> None:
        """Look at the clocks: ring what is due, put aside what was missed, and wait for the next."""
        self._notice_step()
        due, changed = [], False
        for entry in list(self._entries):
            if entry in self._ringing:
                continue
            if isinstance(entry, Alarm) and entry.days and not self._is_in_doubt():
                changed |= self._aim(entry)
            late_s = self._late_s(entry)
            if late_s > self._ring_s:
                self._miss(entry, late_s)
                changed = True
            elif late_s >= 0:
                due.append(entry)
        self._ringing += due
        if changed:
            self._write()
        self._arm()
        if due:
            logger.info("%d of %d timers and alarms ring", len(self._ringing), len(self._entries))
            names = [entry.name for entry in self._ringing]
            more = [f"{len(names) - _NAMED} more"] if len(names) > _NAMED else []
            self._ring(listed(names[:_NAMED] + more))

    def _arm(self) -> None:
        """Wait for whichever is due next, and not at all where nothing is."""
        self._disarm()
        left = [self.left_s(entry) for entry in self._entries if entry not in self._ringing]
        if left:
            wait_s = min(_LOOK_S, max(_SOON_S, min(left)))
            self._wait = asyncio.get_running_loop().call_later(wait_s, self._look)

    def _disarm(self) -> None:
        if self._wait:
            self._wait.cancel()
            self._wait = None

    def _late_s(self, entry: Entry) -> float:
        """Return for how long `entry` has been due; negative: how long it will take."""
        now_s = self.times.now_s()
        if isinstance(entry, Alarm):
            late_s = now_s - self.times.at_s(entry.day, entry.at)
            return min(late_s, -_LOOK_S) if self._is_in_doubt() else late_s
        late_s = self.times.elapsed_s() - entry.due_elapsed_s
        if entry.due_s is None or self._is_in_doubt():
            return late_s
        return max(late_s, now_s - entry.due_s)

    def _miss(self, entry: Entry, late_s: float) -> None:
        kind = "an alarm" if isinstance(entry, Alarm) else "a timer"
        logger.warning(
            "%s was missed: it was due %s ago, when the device was off or its clock was wrong", kind,
            length_said(late_s),
        )  # fmt: skip
        now_s = self.times.now_s()
        missed = Missed(entry.name, due_s=now_s - late_s, noticed_s=now_s)
        self._missed = [*self._missed, missed][-_MISSED_KEPT:]
        self._done(entry)

    # --- the wall clock ---

    def _is_in_doubt(self) -> bool:
        """Whether the wall clock shows less than it has shown already, and may still be set."""
        return self.times.now_s() < self._believed_s and self.times.elapsed_s() < self._doubt_ends_s

    def _notice_step(self) -> None:
        """See whether the wall clock was set since the last look, and write down what it shows now."""
        ahead_s = self.times.now_s() - self.times.elapsed_s()
        step_s, self._ahead_s = ahead_s - self._ahead_s, ahead_s
        if abs(step_s) <= _STEP_S:
            self._ahead_s -= step_s  # so that many small ones add up
            return
        self._doubt_ends_s = 0.0  # somebody has set it
        if not self._entries:
            return
        logger.info("the clock was set by %+.0f s; %d timers and alarms go by it", step_s, len(self._entries))
        if abs(step_s) >= _DAY_S:
            self._aim_anew()
        self._write()

    def _aim_anew(self) -> None:
        """A clock that was a day or more wrong had not been set yet: who said "at seven" in the meantime
        meant the next seven o'clock there is."""
        now_s = self.times.now_s()
        for entry in self._entries:
            if not isinstance(entry, Alarm) or entry.is_dated or entry.days or entry.boot != self._boot:
                continue
            if not -self._ring_s <= -self._late_s(entry) <= _DAY_S + 3600:
                entry.day = first_day(
                    self.times, entry.at, (), after_s=now_s, on=self.times.local(now_s).date()
                )

    def _aim(self, alarm: Alarm) -> bool:
        """Put a repeating alarm that is overdue on the last of its days that is past, so that one is rung or
        missed, not many; and one that a wrong clock has sent far ahead back. Return whether it changed."""
        now_s = self.times.now_s()
        today, day = self.times.local(now_s).date(), alarm.day
        alarm.day = last_day(self.times, alarm, now_s) or day
        # One day more than it should: the zone, or the clock, may have been set back over midnight.
        beyond = today + timedelta(days=2)
        if alarm.day > first_day(self.times, alarm.at, alarm.days, after_s=now_s, on=beyond):
            alarm.day = first_day(self.times, alarm.at, alarm.days, after_s=now_s, on=today)
        return alarm.day != day

    # --- the file ---

    def _write(self) -> None:
        now_s = self.times.now_s()
        if not self._is_in_doubt():
            self._believed_s = now_s
        self.is_kept = self._record.write(
            Kept(
                boot=self._boot,
                elapsed_s=self.times.elapsed_s(),
                wall_s=self._believed_s,
                timers=[entry for entry in self._entries if isinstance(entry, Timer)],
                alarms=[entry for entry in self._entries if isinstance(entry, Alarm)],
                missed=self._missed,
            )
        )
