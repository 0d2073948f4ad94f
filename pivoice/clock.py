"""Time, injected: every wait in pivoice goes through the event loop's clock or through this one.

Owns the two ways a thread may wait: `Clock.wait` and a PCM's blocking call. `SystemClock` is
CLOCK_MONOTONIC; `simulation.JumpClock` runs the same threads in simulated time.
Never `time.sleep`, never `Event.wait`, anywhere else in the package.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Protocol

logger = logging.getLogger(__name__)


class Clock(Protocol):
    """What a room's thread may know about time. Safe to call from any thread."""

    def monotonic(self) -> float:
        """Return seconds on a clock that never steps: the event loop's own."""

    def wait(self, event: threading.Event, timeout_s: float | None = None) -> bool:
        """Block until `event` is set or `timeout_s` has passed; return whether it is set.

        None waits for ever. Worker threads only: the event loop must never block.
        """

    def start_thread(
        self, target: Callable[[], None], *, name: str, is_urgent: bool = True
    ) -> threading.Thread:
        """Start a daemon thread that waits only through this clock (or through a PCM).

        `is_urgent`: it goes before ordinary threads, where that is granted; audio, and nothing else.
        """


_PRIORITY = 10  # of 1-99: above everything ordinary, below the kernel's own threads (50)


class SystemClock:
    """Real time: CLOCK_MONOTONIC, which is asyncio's clock too."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, event: threading.Event, timeout_s: float | None = None) -> bool:
        return event.wait(timeout_s)

    def start_thread(
        self, target: Callable[[], None], *, name: str, is_urgent: bool = True
    ) -> threading.Thread:
        def run() -> None:
            if is_urgent:
                _ask_for_realtime()
            target()

        thread = threading.Thread(target=run, name=name, daemon=True)
        thread.start()
        return thread


def _ask_for_realtime() -> None:
    """Let the calling thread go before ordinary ones: the card holds 40 ms, a busy machine waits longer.

    Granted to root, or with RLIMIT_RTPRIO (the unit sets it); without, the thread runs as any other.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(_PRIORITY))
    except OSError as error:
        logger.debug("! no real-time priority: %s", error)
