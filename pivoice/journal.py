"""Where the log goes: systemd's journal, with fields to search by, or a terminal or a file.

Any thread. systemd-python is imported here alone; a machine without it can run pivoice by hand.
Never blocks: an audio thread logs, too, and libsystemd would have the whole process wait for a journal that
is stopped or full (it holds Python's one lock meanwhile). What finds no room is kept, and then counted.
"""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import fcntl
import logging
import os
import re
import socket
import sys
import threading
import time
import traceback
from asyncio import AbstractEventLoop
from collections import deque
from types import TracebackType
from typing import IO

from pivoice.folding import Folding

logger = logging.getLogger(__name__)

SOCKET = "/run/systemd/journal/socket"
_KEPT = 200  # entries that wait for a journal that is restarted: some minutes of a busy daemon
_FAREWELL_S = 0.2  # how long the end of the process waits for a full journal
_AGAIN_S = 0.2  # until what the journal did not take is offered again; its socket takes some ten at once

_QUIET = ("websockets", "asyncio", "gpiozero")
"""Libraries whose news is ours only from WARNING on."""
_TALK = ("pivoice.turn_log", "pivoice.tools.registry.calls")
"""What tells of conversations, and of tools: their lines look alike, and each is news."""

_FIELD = re.compile(r"PIVOICE_[A-Z0-9_]{1,50}")
_SENT = {"PRIORITY", "LOGGER", "THREAD_NAME", "CODE_FILE", "CODE_LINE", "CODE_FUNC", "SYSLOG_IDENTIFIER"}
"""What else goes to the journal. Neither a line's arguments, whose repr may tell more than the line does,
nor a traceback a second time."""

_context: dict[str, str] = {}  # replaced, never changed: any thread may read it
_fault_file: IO[str] | None = None  # kept open: `faulthandler` knows its number alone


def set_up(level: str) -> None:
    """Log from `level` ("info") on: to the journal when stderr is journald's, else to stderr with times."""
    is_journal = _stderr_is_journal()
    target = _journal_handler() if is_journal else None
    if target is None:
        target = logging.StreamHandler(sys.stderr)
        time_stamp = "" if is_journal else "%(asctime)s "
        target.setFormatter(logging.Formatter(time_stamp + "%(levelname)s %(message)s"))
    folding = Folding(target, exempt=_TALK)
    folding.addFilter(add_context)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(folding)
    set_level(level)


def set_level(level: str) -> None:
    """Log from `level` ("info") on, wherever it goes."""
    root = logging.getLogger()
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def use_loop(loop: AbstractEventLoop) -> None:
    """Have `loop` tell what is held back, or was not taken, in time: also if nothing else is logged."""
    for each in logging.getLogger().handlers:
        if isinstance(each, Folding):
            each.use_loop(loop)
            if isinstance(sender := getattr(each.target, "sender", None), JournalSocket):
                sender.use_loop(loop)


def note(**fields: object) -> None:
    """Give every line from now on these fields, such as PIVOICE_TURN; None takes one away."""
    global _context
    merged = {**_context, **{name: str(value) for name, value in fields.items()}}
    _context = {name: value for name, value in merged.items() if fields.get(name, value) is not None}


def add_context(record: logging.LogRecord) -> bool:
    """Give `record` the fields of `note`, but for those that it brings itself. A filter that keeps all."""
    for name, value in _context.items():
        record.__dict__.setdefault(name, value)
    return True


# --- crashes ---


def tell_of_crashes() -> None:
    """Log what nobody caught, in one piece; and say where each thread stood when a signal kills us.

    systemd's watchdog kills by SIGABRT: then the journal says what was stuck. Places in the code alone
    are told, never values.
    """
    global _fault_file
    sys.excepthook = _log_crash
    threading.excepthook = lambda given: _log_crash(
        given.exc_type, given.exc_value, given.exc_traceback, thread=given.thread
    )
    _fault_file = _crash_stream() if _stderr_is_journal() else None
    with contextlib.suppress(OSError, ValueError, AttributeError):  # no stderr at all
        faulthandler.enable(file=_fault_file or sys.stderr, all_threads=True)


def where_threads_stand() -> str:
    """Return each thread's name and stack: for the line that tells that one of them is stuck."""
    names = {each.ident: each.name for each in threading.enumerate()}
    return "\n".join(
        f"thread {names.get(ident, ident)}:\n" + "".join(traceback.format_stack(frame)).rstrip()
        for ident, frame in sys._current_frames().items()
    )


def _log_crash(
    kind: type[BaseException],
    error: BaseException | None,
    stack: TracebackType | None,
    *,
    thread: threading.Thread | None = None,
) -> None:
    if issubclass(kind, KeyboardInterrupt | SystemExit):
        return
    where = f"the thread {thread.name}" if thread is not None else "pivoice"
    crash = (kind, error or kind(), stack)
    logger.critical("%s ended by a mistake of ours", where, exc_info=crash, extra={"PIVOICE_EVENT": "crash"})


# --- the journal ---


class JournalSocket:
    """Sends entries in the journal's own protocol, without waiting. Any thread.

    What the journal does not take now waits here, oldest first; beyond `_KEPT` the newest are counted.
    """

    def __init__(self, path: str = SOCKET) -> None:
        self._path = path
        self._socket: socket.socket | None = None
        self._waiting: deque[bytes] = deque()
        # Held for no longer than a datagram takes to be refused. A signal's handler logs, too.
        self._guard = threading.RLock()
        self._loop: AbstractEventLoop | None = None
        self._will_look = False  # the loop was asked to offer again what waits
        self.lost = 0
        """Entries that nobody will read; told as soon as one passes again."""

    def send(self, message: str, /, **fields: object) -> None:
        """Send one entry. Never raises, never blocks: `JournalHandler` calls it in any thread."""
        with self._guard:
            self._deliver_waiting()
            if self.lost or len(self._waiting) >= _KEPT:
                self.lost += 1
            else:
                self._waiting.append(_entry(message, fields))
                self._deliver_waiting()
            wants_look = bool(self._waiting) and not self._will_look and self._loop is not None
            self._will_look |= wants_look
        if wants_look and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: `flush` sends the rest
                self._loop.call_soon_threadsafe(self._loop.call_later, _AGAIN_S, self._look_again)

    def use_loop(self, loop: AbstractEventLoop) -> None:
        """Have `loop` offer again what was not taken; without one it waits for the next entry."""
        self._loop = loop

    def flush(self, *, within_s: float = _FAREWELL_S) -> None:
        """Wait a moment for what still waits: the process is about to end."""
        with self._guard:
            if self._waiting and self._socket is not None:
                self._deliver_waiting(until_s=time.monotonic() + within_s)
                self._socket.setblocking(False)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _look_again(self) -> None:
        assert self._loop is not None, "only its loop calls"
        with self._guard:
            self._deliver_waiting()
            self._will_look = bool(self._waiting)
        if self._will_look:
            self._loop.call_later(_AGAIN_S, self._look_again)

    # --- under the guard ---

    def _deliver_waiting(self, *, until_s: float | None = None) -> None:
        """Deliver what can be, and where something is missing, say so as soon as there is room to.

        `until_s`: wait for room until then, all in all.
        """
        while self._waiting:
            if until_s is not None and self._socket is not None:
                if (left_s := until_s - time.monotonic()) <= 0:
                    return
                self._socket.settimeout(left_s)
            if not self._deliver(self._waiting[0]):
                return
            self._waiting.popleft()
            if self.lost and len(self._waiting) < _KEPT:
                told = f"the journal was stopped or full: {self.lost} lines of pivoice are missing here"
                self._waiting.append(_entry(told, {"PRIORITY": 4, "SYSLOG_IDENTIFIER": "pivoice"}))
                self.lost = 0

    def _deliver(self, entry: bytes) -> bool:
        """Return whether the journal has `entry`, or can never have it."""
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._socket.setblocking(False)
            self._socket.sendto(entry, self._path)
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                return self._deliver_by_file(entry)
            return False  # stopped, full, or being restarted
        return True

    def _deliver_by_file(self, entry: bytes) -> bool:
        """Deliver what is too long for a datagram in sealed memory, as the protocol has it."""
        assert self._socket is not None, "it was used just now"
        try:
            number = os.memfd_create("journal-entry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        except OSError:
            self.lost += 1
            return True
        try:
            with open(number, "wb", closefd=False) as file:
                file.write(entry)
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
            fcntl.fcntl(number, fcntl.F_ADD_SEALS, seals)
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, number.to_bytes(4, sys.byteorder))]
            self._socket.sendmsg([], rights, 0, self._path)
        except OSError as error:
            return error.errno not in (errno.EAGAIN, errno.ENOENT, errno.ECONNREFUSED, errno.ENOBUFS)
        finally:
            os.close(number)
        return True


def _entry(message: str, fields: dict[str, object]) -> bytes:
    """Return an entry in the journal's native protocol."""
    sent = {name: value for name, value in fields.items() if name in _SENT or _FIELD.fullmatch(name)}
    return b"".join(_field(name, value) for name, value in {"MESSAGE": message, **sent}.items())


def _field(name: str, value: object) -> bytes:
    text = str(value).encode("utf-8", "backslashreplace")
    if b"\n" not in text:
        return name.encode() + b"=" + text + b"\n"
    return name.encode() + b"\n" + len(text).to_bytes(8, "little") + text + b"\n"


def _journal_handler() -> logging.Handler | None:
    try:
        import systemd.journal
    except ImportError:
        return None

    class Journal(systemd.journal.JournalHandler):  # type: ignore[misc]  # untyped
        def __init__(self, sender: JournalSocket) -> None:
            super().__init__(sender_function=sender.send, SYSLOG_IDENTIFIER="pivoice")
            self.sender = sender

        def flush(self) -> None:
            self.sender.flush()

    handler: logging.Handler = Journal(JournalSocket(SOCKET))
    return handler


def _crash_stream() -> IO[str] | None:
    """Return what the kernel of a dying Python can still write to: lines of ours, at their priority."""
    try:
        import systemd.journal

        stream: IO[str] = systemd.journal.stream("pivoice", systemd.journal.LOG_CRIT)
    except (ImportError, OSError):
        return None
    return stream


def _stderr_is_journal() -> bool:
    """Whether stderr goes to journald: then $JOURNAL_STREAM holds its device and inode (systemd.exec(5))."""
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
