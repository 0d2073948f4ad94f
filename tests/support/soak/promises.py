"""What a soak found broken, and what it measured on the way. Event loop only."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pivoice.folding import Folding

_TOLD = 20  # broken promises kept; the first ones matter
_LAST_LINES = 12
_LOGGERS = ("pivoice", "asyncio")


@dataclass(frozen=True)
class Broken:
    """`time_s`: simulated."""

    time_s: float
    what: str
    log: tuple[str, ...] = ()
    """The last lines of the log before it."""


class Promises:
    """What must hold, and whether it did. A logging handler counts what the journal would show."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self.broken: list[Broken] = []
        self.count = 0
        """All of them, those not kept included."""
        self.happened: Counter[str] = Counter()
        self.worst_s: dict[str, float] = {}
        self.journal = Journal(self, now_s)
        self._now_s = now_s

    def check(self, holds: bool, what: str) -> None:
        """Note `what` as broken unless it `holds`."""
        if holds:
            return
        self.count += 1
        if len(self.broken) < _TOLD:
            self.broken.append(Broken(self._now_s(), what, tuple(self.journal.last)))

    def took(self, what: str, seconds: float, at_most_s: float) -> None:
        """Note how long it took, which must not be longer than that."""
        self.worst_s[what] = max(self.worst_s.get(what, 0.0), seconds)
        self.check(seconds <= at_most_s, f"{what} after {seconds:.2f} s, more than {at_most_s:g} s")


class Journal(logging.Handler):
    """Every line of the log. A traceback is a broken promise; `shown` is what the journal would show."""

    def __init__(self, promises: Promises, now_s: Callable[[], float]) -> None:
        super().__init__(logging.INFO)
        self.last: deque[str] = deque(maxlen=_LAST_LINES)
        self.shown = Count()
        self._folding = Folding(self.shown, exempt=("pivoice.turn_log",), clock=now_s)
        self._listeners: dict[str, list[str]] = {}
        self._promises = promises
        self._now_s = now_s

    def attach(self) -> None:
        """Listen to pivoice, and to what asyncio complains of."""
        for name in _LOGGERS:
            logging.getLogger(name).addHandler(self)
            logging.getLogger(name).addHandler(self._folding)
        self._level = logging.getLogger().level
        logging.getLogger().setLevel(logging.INFO)

    def detach(self) -> None:
        self._folding.flush()
        for name in _LOGGERS:
            logging.getLogger(name).removeHandler(self)
            logging.getLogger(name).removeHandler(self._folding)
        logging.getLogger().setLevel(self._level)

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        self.last.append(f"{self._now_s():.2f} {record.levelname} {record.name}: {text}")
        if record.levelno < logging.WARNING:
            return
        for name, lines in self._listeners.items():
            if name in record.name:
                lines.append(text)
        if record.exc_info and record.exc_info[0] is not None:
            self._promises.check(False, f"a traceback in the log: {text}: {record.exc_info[1]!r}")

    @contextmanager
    def listen(self, logger_name: str) -> Iterator[list[str]]:
        """Collect warnings and errors of loggers whose names hold `logger_name`."""
        lines = self._listeners[logger_name] = []
        try:
            yield lines
        finally:
            del self._listeners[logger_name]


class Count(logging.Handler):
    """Counts the lines of each level."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.levels: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        self.levels[record.levelname] += 1
