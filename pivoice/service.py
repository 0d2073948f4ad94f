"""What systemd is told. Silent, and without effect, where there is no systemd.

Any thread. Never blocks: sd_notify() waits for a systemd that is slow or has crashed, and systemd-python's
holds Python's one lock meanwhile, so that nobody hears any more (seen with a full socket, 2026-11). What
finds no room is told before what comes next: while we hear there is a sign of life every few seconds.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import MutableMapping

logger = logging.getLogger(__name__)

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


def limit_threads(environment: MutableMapping[str, str] = os.environ) -> None:
    """Keep numpy's linear algebra to one thread, unless the owner says otherwise. Before numpy is imported.

    Our matrices are small: a thread per core costs memory and wakes, and wins nothing.
    """
    for name in _THREADS:
        environment.setdefault(name, "1")


_waiting: dict[str, str] = {}  # what systemd was not told yet, oldest first, the newest of each kind
_guard = threading.RLock()  # held for no longer than a datagram takes; a signal's handler may notify, too


def _notify(message: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with _guard:
        kind = message.partition("=")[0]
        _waiting.pop(kind, None)
        _waiting[kind] = message
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as systemd:
                systemd.connect(f"\0{address[1:]}" if address.startswith("@") else address)
                while _waiting:
                    kind = next(iter(_waiting))
                    systemd.send(_waiting[kind].encode())
                    del _waiting[kind]
        except OSError as error:
            logger.debug("! systemd was not told %r: %s", message, error)
