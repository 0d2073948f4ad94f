"""What must outlive the process: the day's open sessions, slow servers, recordings still to be deleted.

`Meter` is PURE: the caller brings time and date. `Ledger` is the file around it, read once, at the first
use (a reload makes its successor while the old daemon still writes), and then written whole; event loop only.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, structs

from pivoice.config import AgentConfig, state_path
from pivoice.records import Record

logger = logging.getLogger(__name__)

LINGER_BILLED_S = 30.0  # a session left without `session.end` is billed this much longer
SAVE_EVERY_S = 15.0  # what a power cut may lose
DAY_S = 86_400.0

_Seconds = Annotated[float, Meta(ge=0)]
_Count = Annotated[int, Meta(ge=0)]


class Day(msgspec.Struct):
    """One local day's sessions."""

    date: date
    open_s: _Seconds = 0.0
    sessions: _Count = 0
    reconnects: _Count = 0
    resumes_accepted: _Count = 0
    resumes_refused: _Count = 0


class Deletion(msgspec.Struct):
    """A recording to be deleted. Time is counted while pivoice runs: a Pi's clock is not to be trusted."""

    rest: str
    """Address of the server that keeps it."""
    attempts: _Count = 0
    waited_s: _Seconds = 0.0
    is_granted: bool = False
    """The server has consented once; it may have been too soon."""


class Book(msgspec.Struct):
    """Everything that is kept, as it is in the file."""

    day: Day
    behind_s: _Seconds = 0.0
    """How long, while a session was looked at, the clock's date was before the day's."""
    slow_hosts: dict[str, Annotated[float, Meta(ge=1)]] = {}
    """Servers that once complained about audio faster than real time, and the rate they get."""
    deletions: dict[str, Deletion] = {}
    """By session id."""


class Meter:
    """Counts what is open, on the local day it is open."""

    def __init__(self, book: Book, *, daily_minutes: float, today: Callable[[], date]) -> None:
        self._book = book
        self._limit_s = daily_minutes * 60
        self._today = today
        self._since_s: float | None = None
        self._behind_since_s: float | None = None

    def start(self, now_s: float) -> None:
        """A session is open; nothing new when one was already."""
        self.day(now_s)
        if self._since_s is None:
            self._since_s = now_s

    @property
    def is_open(self) -> bool:
        """Whether a session is being counted."""
        return self._since_s is not None

    def stop(self, now_s: float, *, tail_s: float = 0.0) -> None:
        """The session is closed; the server bills `tail_s` more. Nothing when none was open."""
        day = self.day(now_s)
        if self._since_s is not None:
            day.open_s += tail_s
            self._since_s = None

    def give_back(self, seconds: float) -> None:
        """A tail was not used up: the session was resumed."""
        self._book.day.open_s = max(0.0, self._book.day.open_s - seconds)

    def day(self, now_s: float) -> Day:
        """Return today's page, everything up to now on it."""
        if self._since_s is not None:
            self._book.day.open_s += max(0.0, now_s - self._since_s)
            self._since_s = now_s
        self._turn_page(now_s)
        return self._book.day

    def is_spent(self, now_s: float) -> bool:
        """Whether the day's cap is reached; never without a cap."""
        return self._limit_s > 0 and self.day(now_s).open_s >= self._limit_s

    def _turn_page(self, now_s: float) -> None:
        """Begin a new day when the date says so.

        A date that went back does not: a Pi without a clock starts in the past, again and again. Only one
        that stays behind for a day is believed, or a date once wrong would hold the old count for years.
        """
        book, today = self._book, self._today()
        if today < book.day.date:
            if self._behind_since_s is not None:
                book.behind_s += max(0.0, now_s - self._behind_since_s)
            self._behind_since_s = now_s
            if book.behind_s < DAY_S:
                return
        self._behind_since_s, book.behind_s = None, 0.0
        if today != book.day.date:
            book.day = Day(today)


class Ledger:
    """The book and its file. `path` None: in memory only."""

    def __init__(self, path: Path | None, *, daily_minutes: float, today: Callable[[], date]) -> None:
        self._record = Record(
            path, Book, logger=logger, forgets="the day's minutes", advice="set agent.ledger_file"
        )
        self._daily_minutes = daily_minutes
        self._today = today
        self._saved_s = float("-inf")

    @functools.cached_property
    def book(self) -> Book:
        """What the file holds, and what was added since."""
        return self._record.read() or Book(Day(self._today()))

    @functools.cached_property
    def meter(self) -> Meter:
        return Meter(self.book, daily_minutes=self._daily_minutes, today=self._today)

    def save(self, now_s: float) -> None:
        """Write the file; a failure is told once."""
        self.meter.day(now_s)
        self._saved_s = now_s
        self._record.write(self._if_cut_off())

    def _if_cut_off(self) -> Book:
        """Return the book to be found after a crash now: what is open is billed until it lapses."""
        if not self.meter.is_open:
            return self.book
        day = structs.replace(self.book.day, open_s=self.book.day.open_s + LINGER_BILLED_S)
        return structs.replace(self.book, day=day)

    def save_if_due(self, now_s: float) -> None:
        """Write the file if it is `SAVE_EVERY_S` old."""
        if now_s - self._saved_s >= SAVE_EVERY_S:
            self.save(now_s)


def ledger_path(config: AgentConfig, environ: Mapping[str, str]) -> Path:
    """Return where the ledger is kept: as configured, else in systemd's state directory, else the user's."""
    if config.ledger_file:
        return Path(config.ledger_file)
    return state_path("ledger.json", environ)
