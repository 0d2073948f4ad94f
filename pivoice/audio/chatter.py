"""What libasound and its plug-ins print when a PCM does not open: kept off the journal, and told at DEBUG.

They write to C's `stderr` ("ALSA lib pcm.c:...", several lines for each failed open; the plug-ins of sound
servers as they like). Inside `captured()` that is a pipe of ours, elsewhere libasound is told to say nothing.
Python's own stderr and its fault handler do not go through that variable: they reach the journal.

Everything here that runs while libasound holds a lock of its own is C. A Python function as its error handler
may pass the GIL on to the other audio thread, which then waits for that lock with the GIL in hand, and the
whole process stands still (seen on trixie, 2026-11). Any thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import os
import threading
from collections.abc import Iterator

logger = logging.getLogger(__name__)

MAX_LINES = 40  # of one open; a name that leads through a dozen plug-ins has 20
_PIPE_BYTES = 65536  # what a pipe holds; the rest is lost, nobody waits

_lock = (
    threading.Lock()
)  # one at a time, for the variable is the whole process's; opening holds the GIL anyway


@contextlib.contextmanager
def captured() -> Iterator[list[str]]:
    """Take what C code prints to `stderr` meanwhile; the list is filled when the `with` is over."""
    lines: list[str] = []
    ear = _ear()
    if ear is None:
        yield lines
        return
    with _lock:
        ear.listen(True)
        try:
            yield lines
        finally:
            ear.listen(False)
            lines += ear.heard()
            for line in lines:
                logger.debug("~ %s", line)


class _Ear:
    """C's stderr, and a pipe that stands in for it."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None)
        libc.fdopen.restype = ctypes.c_void_p
        self._stderr = ctypes.c_void_p.in_dll(libc, "stderr")
        self._sound = ctypes.CDLL("libasound.so.2")
        self._silence = ctypes.cast(libc.getpid, ctypes.c_void_p)  # a C function that ignores its arguments
        self._flush, self._own = libc.fflush, self._stderr.value
        self._outlet, inlet = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._pipe = libc.fdopen(inlet, b"w")
        if not self._pipe:
            raise OSError("fdopen")
        self.listen(False)

    def listen(self, on: bool) -> None:
        self._stderr.value = self._pipe if on else self._own
        self._sound.snd_lib_error_set_handler(None if on else self._silence)

    def heard(self) -> list[str]:
        """Return the lines since the last call."""
        self._flush(ctypes.c_void_p(self._pipe))
        try:
            text = os.read(self._outlet, _PIPE_BYTES).decode(errors="replace")
        except BlockingIOError:
            return []
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return (
            lines if len(lines) <= MAX_LINES else [*lines[:MAX_LINES], f"... {len(lines) - MAX_LINES} more"]
        )


@functools.cache
def _ear() -> _Ear | None:
    try:
        return _Ear()
    except (OSError, AttributeError, ValueError) as error:  # another libc: what it prints is printed
        logger.debug("! what libasound prints cannot be taken: %s", error)
        return None
