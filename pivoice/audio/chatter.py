"""libasound itself, for what pyalsaaudio does not do: to take what it prints, and to knock at a PCM.

What it and its plug-ins print when a PCM does not open is kept off the journal, and told at DEBUG.

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

from pivoice.audio.ports import Side

logger = logging.getLogger(__name__)

MAX_LINES = 40  # of one open; a name that leads through a dozen plug-ins has 20
_NONBLOCK = 1  # SND_PCM_NONBLOCK
_PIPE_BYTES = 65536  # what a pipe holds; the rest is lost, nobody waits

_PATIENCE_S = 2.0  # then another's PCM hangs as it opens, and that is no reason to hang too

_lock = threading.Lock()  # one at a time: the variable is the whole process's
_making = threading.Lock()  # a second ear would take the first one's pipe for the process's own stderr


def knock(name: str, side: Side) -> tuple[str, list[str]]:
    """Open a PCM and close it again; return why it does not open, as strerror says it ("" when it does), and
    what was printed.

    pyalsaaudio holds the GIL while it opens, which may take as long as a sound server likes, and loses 80
    bytes at each failure (0.11, measured 2026-11): a card that is missing for a year would cost a gigabyte.
    """
    with captured() as lines:
        text = ear.refusal(name, side) if (ear := _ear()) else ""
    return text, lines


@contextlib.contextmanager
def captured() -> Iterator[list[str]]:
    """Take what C code prints to `stderr` meanwhile; the list is filled when the `with` is over."""
    lines: list[str] = []
    ear = _ear()
    if ear is None or not _lock.acquire(timeout=_PATIENCE_S):
        yield lines
        return
    try:
        ear.listen(True)
        yield lines
    finally:
        ear.listen(False)
        lines += ear.heard()
        _lock.release()
        for line in lines:
            logger.debug("~ %s", line)


class _Ear:
    """C's stderr, and a pipe that stands in for it."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None)
        libc.fdopen.restype = ctypes.c_void_p
        self._stderr = ctypes.c_void_p.in_dll(libc, "stderr")
        self._sound = ctypes.CDLL("libasound.so.2")
        self._sound.snd_strerror.restype = ctypes.c_char_p
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

    def refusal(self, name: str, side: Side) -> str:
        pcm = ctypes.c_void_p()
        stream = 1 if side == "capture" else 0  # SND_PCM_STREAM_CAPTURE, _PLAYBACK
        error = self._sound.snd_pcm_open(ctypes.byref(pcm), os.fsencode(name), stream, _NONBLOCK)
        if error < 0:
            return str(self._sound.snd_strerror(error).decode(errors="replace"))
        self._sound.snd_pcm_close(pcm)
        return ""

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


def _ear() -> _Ear | None:
    with _making:
        return _made()


@functools.cache
def _made() -> _Ear | None:
    try:
        return _Ear()
    except (OSError, AttributeError, ValueError) as error:  # another libc: what it prints is printed
        logger.debug("! what libasound prints cannot be taken: %s", error)
        return None
