"""What systemd is told. Silent, and without effect, where there is no systemd.

Any thread. systemd-python is imported here and in `journal`; a machine without it can run pivoice by hand.
"""

from __future__ import annotations

import logging
import os
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


_warned: set[str] = set()  # touched under the GIL only; twice instead of once would do no harm


def _warn_once(sentence: str) -> None:
    if sentence not in _warned:
        _warned.add(sentence)
        logger.warning(sentence)
