"""Folds what is said over and over into one line with a count, so that no storm fills the journal.

Any thread: a record is judged in the thread that logged it, under a lock that is held for microseconds.
Never waits, never loses a count: what was held back is told when its time is up, at the latest at the end.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import re
import threading
import time
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from dataclasses import dataclass

FIRST_S = 300.0
"""How long a line is held back after it was said; twice as long each time that it comes up again."""
LONGEST_S = 3600.0
KINDS_OF_A_SITE = 8
"""Different lines that one place in the code may say within `FIRST_S`; any more are one kind."""
_FREE = {logging.INFO: 10, logging.ERROR: 3}
"""Times that a line passes before it is held back; 1, if not listed. A cable pulled out twice is no storm."""

_NUMBER = re.compile(r"\d+(\.\d+)?")

Site = tuple[str, int, int]
Kind = tuple[Site, str]


@dataclass
class _Fold:
    """One kind of line, from the first time that it was said."""

    latest: logging.LogRecord
    since_s: float
    lasts_s: float = FIRST_S
    passed: int = 1
    held_back: int = 0

    @property
    def until_s(self) -> float:
        return self.since_s + self.lasts_s


class Folding(logging.Handler):
    """Stands before `target`. Two lines are the same when they come from the same place and differ in
    numbers only. DEBUG and CRITICAL always pass, and so do the loggers named in `exempt`.
    """

    def __init__(
        self,
        target: logging.Handler,
        *,
        exempt: tuple[str, ...] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.target = target
        self._exempt = exempt
        self._clock = clock
        self._folds: dict[Kind, _Fold] = {}
        self._guard = threading.RLock()  # a signal's handler logs, too, in a thread that may hold it
        self._due_s = float("inf")
        self._loop: AbstractEventLoop | None = None
        self._timer: TimerHandle | None = None  # the loop's thread alone touches it

    def use_loop(self, loop: AbstractEventLoop) -> None:
        """Tell counts when they are due, by `loop`'s clock; without one they wait for the next line."""
        self._loop = loop

    def handle(self, record: logging.LogRecord) -> bool:
        """Say `record`, or hold it back; first, say what was held back for long enough."""
        if not self.filter(record):
            return False
        with self._guard:
            due = self._take_due()
            passes, wait_s = self._judge(record)
        for each in due:
            self.target.handle(each)
        if passes:
            self.target.handle(record)
        if wait_s is not None and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: `flush` tells the rest
                self._loop.call_soon_threadsafe(self._look_again, wait_s)
        return passes

    def flush(self) -> None:
        """Say all that is held back."""
        with self._guard:
            now_s = self._clock()
            counts = [_count(fold, now_s) for fold in self._folds.values() if fold.held_back]
            self._folds.clear()
            self._due_s = float("inf")
        for each in counts:
            self.target.handle(each)
        self.target.flush()

    def close(self) -> None:
        self.flush()
        super().close()

    # --- under the guard ---

    def _judge(self, record: logging.LogRecord) -> tuple[bool, float | None]:
        """Return whether `record` passes, and when to look again, if nobody does so yet."""
        if record.levelno < logging.INFO or record.levelno >= logging.CRITICAL:
            return True, None
        if record.name in self._exempt:
            return True, None
        now_s, kind = self._clock(), self._kind_of(record)
        fold = self._folds.get(kind)
        if fold is None:
            self._folds[kind] = _Fold(record, now_s)
            self._due_s = min(self._due_s, now_s + FIRST_S)
            return True, None
        if fold.passed < _FREE.get(record.levelno, 1):
            fold.passed += 1
            return True, None
        fold.held_back += 1
        fold.latest = record
        return False, max(0.0, fold.until_s - now_s) if fold.held_back == 1 else None

    def _kind_of(self, record: logging.LogRecord) -> Kind:
        site = (record.name, record.lineno, record.levelno)
        everything = (site, "")
        kind = (site, _NUMBER.sub("#", _text_of(record)))
        if kind in self._folds:
            return kind
        siblings = sum(other == site for other, _ in self._folds)
        return everything if everything in self._folds or siblings >= KINDS_OF_A_SITE else kind

    def _take_due(self) -> list[logging.LogRecord]:
        """Return the counts that are due; begin anew with those that came up again, forget the others."""
        now_s = self._clock()
        if now_s < self._due_s:
            return []
        due = []
        for kind, fold in list(self._folds.items()):
            if now_s < fold.until_s:
                continue
            if fold.held_back:
                due.append(_count(fold, now_s))
                fold.since_s, fold.held_back = now_s, 0
                fold.lasts_s = min(2 * fold.lasts_s, LONGEST_S)
            else:
                del self._folds[kind]
        self._due_s = min((fold.until_s for fold in self._folds.values()), default=float("inf"))
        return due

    # --- the loop's thread ---

    def _look_again(self, in_s: float) -> None:
        assert self._loop is not None, "only its loop calls"
        if self._timer is not None:
            if self._timer.when() <= self._loop.time() + in_s:
                return
            self._timer.cancel()
        self._timer = self._loop.call_later(in_s, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        with self._guard:
            due, now_s = self._take_due(), self._clock()
            waits_s = [fold.until_s - now_s for fold in self._folds.values() if fold.held_back]
        for each in due:
            self.target.handle(each)
        if waits_s:
            self._look_again(max(0.0, min(waits_s)))


def _text_of(record: logging.LogRecord) -> str:
    """Return what `record` says; of one that was logged with the wrong arguments, what it meant to."""
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):  # its handler says so on stderr, as logging always does
        return str(record.msg)


def _count(fold: _Fold, now_s: float) -> logging.LogRecord:
    """Return the line that stands for all that was held back."""
    record = copy.copy(fold.latest)
    times = "once more" if fold.held_back == 1 else f"{fold.held_back} times more"
    record.msg = f"{_text_of(record)} ({times} in {max(1, round((now_s - fold.since_s) / 60))} min)"
    record.args = record.exc_info = record.exc_text = record.stack_info = None
    return record
