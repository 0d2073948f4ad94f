"""What goes wrong with an open sound card, in one sentence each: the same for real cards and simulated ones.

PURE. Owns how long a card may move nothing until it is given up, and the words for all that may happen to
one: what it was, and the next step. Never opens, never waits. Why a card does not open: refusals.py.
"""

from __future__ import annotations

import errno
import os
from collections import deque

from pivoice.errors import DeviceError

STUCK_S = 2.0  # a card that moves nothing for this long is given up
STORM_XRUNS = 25
"""In `STUCK_S`. A thread that comes late has one or two; so many come from the card, its driver or a machine
that is hopelessly busy, and what is left of the sound is of no use."""

_RETRIED = "it is tried again"
_CAUSES = {  # what an open PCM says -> (what that means, what to do)
    errno.ENODEV: ("", f"check its cable; {_RETRIED}"),
    errno.ENXIO: ("", f"check its cable; {_RETRIED}"),
    errno.EBADFD: ("it is in a bad state", f"check its cable; {_RETRIED}"),
    errno.ESTRPIPE: ("it was suspended", _RETRIED),
    errno.EIO: (
        "input/output error: its driver gave up, or the sound server behind it ended",
        f"check its cable and `dmesg`; {_RETRIED}",
    ),
    errno.ECONNREFUSED: ("the sound server behind it ended", f"start it again; {_RETRIED}"),
    errno.EPIPE: ("it cannot be started again after an xrun", f"check its cable; {_RETRIED}"),
}
_SAME = (  # what a card says while it is open, and when it is opened again: one cause, met twice
    (errno.ENODEV, errno.ENXIO, errno.ENOENT, errno.EBADFD),
    (errno.EIO, errno.ECONNREFUSED, errno.EHOSTDOWN),
)


def cause_of(text: str) -> str:
    """Return what errors of one cause have in common; `text` is strerror's."""
    for numbers in _SAME:
        if text in (os.strerror(number) for number in numbers):
            return os.strerror(numbers[0])
    return text


class XrunStorm:
    """Tells when xruns come so thick that the sound is of no use. One thread."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=STORM_XRUNS)

    def is_on(self, now_s: float) -> bool:
        """Count an xrun at `now_s`; return whether there were `STORM_XRUNS` within `STUCK_S`."""
        self._times.append(now_s)
        return len(self._times) == STORM_XRUNS and now_s - self._times[0] <= STUCK_S


def stuck_capture(name: str) -> DeviceError:
    """The microphone is there, and gives nothing."""
    return _lost(name, "read from", f"it gave no sound for {STUCK_S:g} s", "plug it out and in, or restart")


def stuck_playback(name: str) -> DeviceError:
    """The speaker is there, and plays nothing."""
    return _lost(name, "write to", f"it played nothing for {STUCK_S:g} s", "plug it out and in, or restart")


def stormy(name: str) -> DeviceError:
    """A microphone that loses every period of sound."""
    return _stormy(name, "read from", f"xruns and nothing else for {STUCK_S:g} s")


def too_many_xruns(name: str, doing: str) -> DeviceError:
    """A card that loses sound again and again."""
    return _stormy(name, doing, f"{STORM_XRUNS} xruns in {STUCK_S:g} s")


def closed(name: str, doing: str) -> DeviceError:
    """Somebody took the PCM away from the thread that used it."""
    return _lost(name, doing, "it was closed meanwhile", _RETRIED)


def no_such_channel(name: str, channel: int, channels: int) -> DeviceError:
    """`channel` was asked for, and the microphone has `channels`."""
    reason = f"channel {channel} was asked for, and it has {channels}"
    there = f"0..{channels - 1}" if channels > 1 else "0"
    return _lost(name, "open capture", reason, f"set audio.channel to {there}")


def broken(name: str, doing: str, text: str) -> DeviceError:
    """An open PCM failed with `text`, as strerror() says it."""
    known = {os.strerror(number): cause for number, cause in _CAUSES.items()}
    reason, advice = known.get(text, (text, f"check its cable; {_RETRIED}"))
    return _lost(name, doing, reason or text, advice, cause=cause_of(text))


def _stormy(name: str, doing: str, what: str) -> DeviceError:
    reason = f"{what}: its driver or this machine cannot keep up"
    return _lost(name, doing, reason, "see what else runs (`top`), and try audio.period_ms = 40")


def _lost(name: str, doing: str, reason: str, advice: str, *, cause: str = "") -> DeviceError:
    return DeviceError(name, doing=doing, reason=reason, advice=advice, cause=cause)
