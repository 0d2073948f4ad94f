"""Why a PCM does not open, in one sentence with the next step; what goes wrong later is in card_faults.py.

Any thread; opens no card: what it knows besides the error are the kernel's own files, read anew each time.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from pivoice.audio.card_faults import cause_of
from pivoice.audio.cards import PROC
from pivoice.audio.ports import UNNAMED, Side, holders_of, port_of, ports
from pivoice.errors import DeviceError

_NAMED = 4  # cards told of in one sentence
_FIRST_CARD = ("default", "sysdefault")  # what leads to whichever card is the first


def refused(
    name: str, side: Side, text: str, *, chatter: Sequence[str] = (), proc: Path = PROC
) -> DeviceError:
    """Return the error to raise when `name` does not open: `text` is strerror's.

    `chatter`, what libasound had to say, goes into the error's notes, and into its sentence where nothing
    better is known.
    """
    tool, setting = ("arecord", "audio.capture") if side == "capture" else ("aplay", "audio.playback")
    listed = f"`{tool} -L` lists what there is; set {setting}"
    absent = ("the card is not there", f"check its cable; {listed}")
    foreign = (
        "it belongs to the sound server of a login session, which a system service has not",
        _name_the_card(side, proc),
    )
    stubborn = "see `dmesg`" if name.startswith("plughw") else "use its plughw: name"
    causes = {
        errno.ENOENT: _nowhere(side, proc) if name in _FIRST_CARD else ("there is no such PCM", listed),
        errno.ENODEV: absent,
        errno.ENXIO: absent,
        errno.EBUSY: _busy(name, side, proc),
        errno.EHOSTDOWN: foreign,
        errno.ECONNREFUSED: foreign,
        errno.EACCES: ("permission denied", "let the user pivoice runs as into group audio"),
        errno.EPERM: ("permission denied", "let the user pivoice runs as into group audio"),
        errno.EIO: ("input/output error", f"see `dmesg`, or restart the sound server behind it; {listed}"),
        errno.ESTRPIPE: ("it is suspended", "plug it out and in, or restart"),
        errno.EINVAL: ("it does not take what was asked of it", stubborn),
    }
    known = {os.strerror(number): cause for number, cause in causes.items()}
    reason, advice = known.get(text) or (": ".join([text, *chatter[-1:]]), listed)
    error = DeviceError(name, doing=f"open {side}", reason=reason, advice=advice, cause=cause_of(text))
    for line in chatter:
        error.add_note(line)
    return error


def _busy(name: str, side: Side, proc: Path) -> tuple[str, str]:
    setting = f"audio.{side}"
    port = port_of(name, side, proc=proc)
    places = [port] if port else [each for each in ports(proc=proc) if each.side == side]
    found = [holder for place in places for holder in holders_of(place, proc=proc)]
    others = [each for each in found if each.pid != os.getpid()]
    if not others:
        return "busy", f"stop the other program (fuser -v /dev/snd/*) or set {setting}"
    is_unnamed = any(each.program == UNNAMED for each in others)
    which = " (`sudo fuser -v /dev/snd/*` names it)" if is_unnamed else ""
    return f"busy: {', '.join(map(str, others))} has it open", f"stop that program{which}, or set {setting}"


def _nowhere(side: Side, proc: Path) -> tuple[str, str]:
    what = "microphone" if side == "capture" else "speaker"
    if any(each.side == side for each in ports(proc=proc)):
        return f"it leads to no {what}", _name_the_card(side, proc)
    overlay = "an I2S board needs its overlay: `pivoice doctor`"
    return f"the kernel shows no {what}", f"plug one in ({overlay}); it is tried again"


def _name_the_card(side: Side, proc: Path) -> str:
    there = [each.pcm for each in ports(proc=proc) if each.side == side][:_NAMED]
    if not there:
        return f"name the card itself in audio.{side}; the kernel shows none now (`pivoice devices`)"
    more = f" (or {', '.join(there[1:])})" if there[1:] else ""
    return f'name the card itself: audio.{side} = "{there[0]}"{more}; `pivoice devices` tells which is which'
