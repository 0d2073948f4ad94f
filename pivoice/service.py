"""What systemd is told, and where the log goes. Silent, and without effect, where there is no systemd.

Any thread. systemd-python is imported here alone; a machine without it can run pivoice by hand.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import sys
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass

logger = logging.getLogger(__name__)

_QUIET = ("websockets", "asyncio", "gpiozero")
"""Libraries whose news is ours only from WARNING on."""
_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")


def notify_ready() -> None:
    """Tell systemd that start-up is over (Type=notify)."""
    _notify("READY=1")


def notify_reloading() -> None:
    """Tell systemd that we begin anew with other settings, until `notify_ready`."""
    _notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")


def notify_stopping() -> None:
    """Tell systemd that we are stopping on purpose."""
    _notify("STOPPING=1")


def notify_status(text: str) -> None:
    """Set the line that `systemctl status` shows."""
    _notify("STATUS=" + " ".join(text.split()))


def notify_watchdog() -> None:
    """Tell systemd that we are alive and hear."""
    _notify("WATCHDOG=1")


def watchdog_interval_s() -> float | None:
    """Return how long systemd waits for `notify_watchdog` before it kills us; None: for ever.

    Tell it at least twice as often.
    """
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None  # meant for the process that started us
    try:
        interval_s = int(os.environ["WATCHDOG_USEC"]) / 1e6
    except (KeyError, ValueError):
        return None
    return interval_s if interval_s > 0 else None


async def feed_watchdog(sign_of_life: Callable[[], object]) -> None:
    """Tell systemd's watchdog, for ever, that we are alive, as long as `sign_of_life` returns something new.

    None from it means that there is nothing to look at: then the running loop is sign enough.
    """
    interval_s = watchdog_interval_s()
    if interval_s is None:
        return
    seen: object = None
    while True:
        now = sign_of_life()
        if now is None or now != seen:
            notify_watchdog()
        seen = now
        await asyncio.sleep(interval_s / 3)


def limit_threads(environment: MutableMapping[str, str] = os.environ) -> None:
    """Keep numpy's linear algebra to one thread, unless the owner says otherwise. Before numpy is imported.

    Our matrices are small: a thread per core costs memory and wakes, and wins nothing.
    """
    for name in _THREADS:
        environment.setdefault(name, "1")


def set_up_logging(level: str) -> None:
    """Log from `level` ("info") on: to the journal when stderr is journald's, else to stderr with times."""
    handler = _journal_handler() if _stderr_is_journal() else None
    if handler is None:
        handler = logging.StreamHandler(sys.stderr)
        time_stamp = "" if _stderr_is_journal() else "%(asctime)s "
        handler.setFormatter(logging.Formatter(time_stamp + "%(levelname)s %(message)s"))
    handler.addFilter(Seldom())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    set_log_level(level)


def set_log_level(level: str) -> None:
    """Log from `level` ("info") on, wherever it goes."""
    root = logging.getLogger()
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


@dataclass
class _Repeats:
    said_s: float
    held_back: int = 0


_NUMBER = re.compile(r"\d+(\.\d+)?")


class Seldom(logging.Filter):
    """Lets a WARNING through once, then again after `every_s` with the count of those held back.

    Two warnings are the same when they differ in numbers only. Other levels always pass.
    """

    _MOST = 256  # kinds remembered; beyond that the oldest may be said again too early

    def __init__(self, every_s: float = 300.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._every_s = every_s
        self._clock = clock
        self._repeats: dict[tuple[str, str], _Repeats] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING:
            return True
        kind = (record.name, _NUMBER.sub("#", record.getMessage()))
        now_s = self._clock()
        before = self._repeats.get(kind)
        if before is not None and now_s - before.said_s < self._every_s:
            before.held_back += 1
            return False
        if before is not None and before.held_back:
            minutes = (now_s - before.said_s) / 60
            record.msg = f"{record.getMessage()} (and {before.held_back} more like it in {minutes:.0f} min)"
            record.args = None
        self._repeats.pop(kind, None)
        self._repeats[kind] = _Repeats(now_s)
        while len(self._repeats) > self._MOST:
            del self._repeats[next(iter(self._repeats))]
        return True


def _notify(message: str) -> None:
    if not os.environ.get("NOTIFY_SOCKET"):
        return
    try:
        import systemd.daemon

        systemd.daemon.notify(message)
    except ImportError:
        _warn_once(
            "systemd-python is not installed, so systemd is not told that we run; pip install systemd-python"
        )
    except OSError as error:
        logger.debug("! systemd was not told %r: %s", message, error)


def _journal_handler() -> logging.Handler | None:
    try:
        import systemd.journal
    except ImportError:
        return None
    handler: logging.Handler = systemd.journal.JournalHandler(SYSLOG_IDENTIFIER="pivoice")
    return handler


def _stderr_is_journal() -> bool:
    """Whether stderr goes to journald: then $JOURNAL_STREAM holds its device and inode (systemd.exec(5))."""
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


_warned: set[str] = set()  # touched under the GIL only; twice instead of once would do no harm


def _warn_once(sentence: str) -> None:
    if sentence not in _warned:
        _warned.add(sentence)
        logger.warning(sentence)
