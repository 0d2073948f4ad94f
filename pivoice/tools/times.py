"""What time it is, by every clock that the tools go by; injected, so that a test can set them all.

Any thread. The wall clock steps (NTP, a hand, a Pi that boots in the past because it has no clock of its
own); elapsed time does not. The machine's own zone may change while we run: it is asked for anew each time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from datetime import time as time_of_day
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_LOCALTIME = Path("/etc/localtime")


def _elapsed_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _read_boot() -> str:
    """Return what names this boot; "" where the kernel does not tell."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _machines_own() -> tzinfo | None:
    return None


@dataclass(frozen=True)
class Times:
    """The clocks. As made without arguments: those of the machine."""

    now_s: Callable[[], float] = time.time
    """The wall clock, in seconds since 1970."""
    elapsed_s: Callable[[], float] = _elapsed_s
    """Seconds since the machine was started (CLOCK_BOOTTIME): never steps, goes on between two daemons."""
    boot: Callable[[], str] = _read_boot
    """The name of this start of the machine; what `elapsed_s` tells is good for one of them."""
    zone: Callable[[], tzinfo | None] = _machines_own
    """The time zone people here live in; None: what TZ or /etc/localtime says now."""

    def local(self, at_s: float) -> datetime:
        """Return the moment `at_s` as the clock on the wall here shows it, with its offset."""
        if (zone := self.zone()) is not None:
            return datetime.fromtimestamp(at_s, zone)
        time.tzset()  # else a changed /etc/localtime is never looked at again
        return datetime.fromtimestamp(at_s, UTC).astimezone()

    def local_now(self) -> datetime:
        """Return the time here and now."""
        return self.local(self.now_s())

    def at_s(self, day: date, at: time_of_day) -> float:
        """Return when the clock here shows `at` on `day`, in seconds since 1970.

        A time that summer time skips is as long after the change as it would have been without one (02:30
        rings at 03:30); of one that comes twice, the first counts: as calendars do it (RFC 5545, 3.3.5).
        """
        naive = datetime.combine(day, at.replace(tzinfo=None, fold=0))
        if (zone := self.zone()) is not None:
            return naive.replace(tzinfo=zone).timestamp()
        time.tzset()
        return naive.timestamp()

    def zone_name(self) -> str:
        """Return what the zone here is called: by IANA where that is known, else "CET"."""
        if (zone := self.zone()) is not None:
            return str(zone)
        named = os.environ.get("TZ", "").removeprefix(":")
        if not named:
            try:
                _, _, named = os.fspath(_LOCALTIME.readlink()).partition("zoneinfo/")
            except OSError:  # a copy of the zone's file, or none at all
                named = ""
        return named if "/" in named else time.strftime("%Z", time.localtime())
