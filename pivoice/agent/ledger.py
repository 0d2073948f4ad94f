"""What must outlive the process: the day's open sessions, slow servers, recordings still to be deleted.

`Meter` is PURE: the caller brings time and date. `Ledger` is the file around it, read once, at the first
use (a reload makes its successor while the old daemon still writes), and then written whole, beside its
place and renamed into it; event loop only. A file that cannot be read or written is told once and never
stops a conversation.
"""

from __future__ import annotations

import errno
import functools
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, structs

from pivoice.config import AgentConfig, state_path

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
        self._path = path
        self._daily_minutes = daily_minutes
        self._today = today
        self._saved_s = float("-inf")
        self._has_warned = False

    @functools.cached_property
    def book(self) -> Book:
        """What the file holds, and what was added since."""
        return _read(self._path) or Book(Day(self._today()))

    @functools.cached_property
    def meter(self) -> Meter:
        return Meter(self.book, daily_minutes=self._daily_minutes, today=self._today)

    def save(self, now_s: float) -> None:
        """Write the file; a failure is told once. No fsync: it may take the loop's time on a bad card."""
        self.meter.day(now_s)
        self._saved_s = now_s
        if self._path is None:
            return
        beside = self._path.with_name(self._path.name + ".new")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_is_file(self._path)
            with open(beside, "wb", opener=_open_private) as file:
                file.write(msgspec.json.encode(self._if_cut_off()))
            beside.replace(self._path)
        except OSError as error:
            if not self._has_warned:
                self._has_warned = True
                logger.warning(
                    "cannot write %s: %s; a restart forgets the day's minutes; set agent.ledger_file",
                    self._path,
                    error.strerror,
                )

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


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _check_is_file(path: Path) -> None:
    """Raise an OSError where `path` is there and no file: it must be neither read nor replaced."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is not a file")


def _read(path: Path | None) -> Book | None:
    """Return what the file holds; None when there is none. One that is no ledger is put aside.

    What is no file at all (a directory, /dev/null) is somebody else's, and stays.
    """
    if path is None:
        return None
    kept = "left where it is"
    try:
        _check_is_file(path)
        return msgspec.json.decode(path.read_bytes(), type=Book)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeError, RecursionError) as error:
        with suppress(OSError):
            _check_is_file(path)
            kept = f"kept as {path.replace(path.with_name(path.name + '.bad'))}"
        logger.warning("cannot use the ledger %s (%s; %s); today's minutes begin anew", path, error, kept)
        return None
