"""systemd's side of the bargain, played by a datagram socket; and where log lines end."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pivoice import service
from pivoice.simulation import JumpLoop, run_jumping

TOLD = (
    "from pivoice import service; service.notify_ready(); service.notify_status('hears;\\nwaiting');"
    "service.notify_watchdog(); service.notify_stopping()"
)


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    """What $NOTIFY_SOCKET names."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(10)
        yield listening


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a process of its own, as systemd would."""
    env = {key: value for key, value in os.environ.items() if key not in ("NOTIFY_SOCKET", "JOURNAL_STREAM")}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**env, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def test_systemd_hears_ready_status_watchdog_and_stopping(systemd: socket.socket) -> None:
    run(TOLD, NOTIFY_SOCKET=systemd.getsockname())

    told = [systemd.recv(1000) for _ in range(4)]
    assert told == [b"READY=1", b"STATUS=hears; waiting", b"WATCHDOG=1", b"STOPPING=1"]


def test_systemd_hears_of_a_reload_with_the_time_it_began(systemd: socket.socket) -> None:
    run("from pivoice import service; service.notify_reloading()", NOTIFY_SOCKET=systemd.getsockname())

    first, second = systemd.recv(1000).decode().splitlines()
    assert first == "RELOADING=1"
    assert 0 < int(second.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


def test_without_systemd_nothing_is_told_and_nothing_said() -> None:
    done = run(TOLD)

    assert (done.stdout, done.stderr) == ("", "")


def test_a_notify_socket_that_is_gone_is_no_news() -> None:
    done = run(TOLD, NOTIFY_SOCKET="/nonexistent/notify")

    assert done.stderr == ""


def test_without_systemd_python_pivoice_runs_by_hand() -> None:
    done = run(f"import sys; sys.modules['systemd'] = None; {TOLD}; service.set_up_logging('info')")

    assert done.stderr == ""


def test_without_systemd_python_a_unit_is_told_once_what_is_missing() -> None:
    done = run(f"import sys; sys.modules['systemd'] = None; {TOLD}", NOTIFY_SOCKET="/run/notify")

    assert done.stderr.count("systemd-python is not installed") == 1


@pytest.mark.parametrize(
    ("environment", "interval_s"),
    [
        ({}, "None"),
        ({"WATCHDOG_USEC": "30000000"}, "30.0"),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, "None"),
        ({"WATCHDOG_USEC": "0"}, "None"),
        ({"WATCHDOG_USEC": "often"}, "None"),
    ],
)
def test_the_watchdogs_patience_is_read_from_systemd(environment: dict[str, str], interval_s: str) -> None:
    done = run("from pivoice import service; print(service.watchdog_interval_s())", **environment)

    assert done.stdout.strip() == interval_s


LOGGED = (
    "import logging; from pivoice import service; service.set_up_logging('info');"
    "logging.getLogger('pivoice.turn').info('turn %d: idle', 1);"
    "logging.getLogger('pivoice.turn').debug('hidden');"
    "logging.getLogger('websockets.client').info('hidden too')"
)


def test_by_hand_the_log_goes_to_stderr_with_times() -> None:
    done = run(LOGGED)

    (line,) = done.stderr.splitlines()
    assert line.endswith(" INFO turn 1: idle")
    assert line[:2] == "20"


JOURNALLED = (
    "import os, sys; found = os.fstat(2); os.environ['JOURNAL_STREAM'] = f'{found.st_dev}:{found.st_ino}'\n"
)


def test_started_by_systemd_the_log_goes_to_the_journal_under_our_name() -> None:
    done = run(
        JOURNALLED + "import logging; from pivoice import service; service.set_up_logging('info')\n"
        "(handler,) = logging.getLogger().handlers; print(type(handler).__name__, handler._extra)"
    )

    assert done.stdout.strip() == "JournalHandler {'SYSLOG_IDENTIFIER': 'pivoice'}"


def test_under_journald_without_systemd_python_stderr_has_no_times() -> None:
    done = run(JOURNALLED + "sys.modules['systemd'] = None; " + LOGGED)

    assert done.stderr == "INFO turn 1: idle\n"


def test_a_journal_stream_that_is_not_our_stderr_is_not_ours() -> None:
    done = run(LOGGED, JOURNAL_STREAM="1:2")

    assert done.stderr.endswith(" INFO turn 1: idle\n")


def test_setting_up_twice_logs_once() -> None:
    done = run("from pivoice import service; service.set_up_logging('debug'); " + LOGGED)

    assert len(done.stderr.splitlines()) == 1


def test_the_level_changes_without_another_handler() -> None:
    done = run(
        "from pivoice import service; service.set_up_logging('error'); service.set_log_level('info');"
        + LOGGED.replace("service.set_up_logging('info');", "")
    )

    (line,) = done.stderr.splitlines()
    assert line.endswith(" INFO turn 1: idle")


def test_one_thread_is_the_default_and_the_owner_may_say_otherwise() -> None:
    environment = {"OMP_NUM_THREADS": "3"}

    service.limit_threads(environment)

    assert environment == {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "3"}


class Log:
    """A log behind a `Seldom`, with a clock in the test's hand."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.seldom = service.Seldom(every_s=60.0, clock=lambda: self.now_s)

    def said(self, message: str, *arguments: object, level: int = logging.WARNING) -> str | None:
        """Log it; return what came through."""
        record = logging.LogRecord("pivoice.audio.capture", level, __file__, 1, message, arguments, None)
        return record.getMessage() if self.seldom.filter(record) else None


def test_a_warning_is_said_once_and_then_with_a_count() -> None:
    log = Log()

    assert log.said("capture: %d xruns", 1) == "capture: 1 xruns"
    assert log.said("capture: %d xruns", 2) is None
    assert log.said("capture: %d xruns", 3) is None
    log.now_s = 120.0
    assert log.said("capture: %d xruns", 4) == "capture: 4 xruns (and 2 more like it in 2 min)"
    log.now_s = 180.0
    assert log.said("capture: %d xruns", 5) == "capture: 5 xruns"


def test_different_warnings_do_not_silence_each_other() -> None:
    log = Log()

    assert log.said("%s", "no microphone") == "no microphone"
    assert log.said("%s", "no speaker") == "no speaker"
    assert log.said("cannot connect: %s", "no such host") == "cannot connect: no such host"
    assert log.said("cannot connect: %s", "refused") == "cannot connect: refused"
    assert log.said("capture: %d xruns", 1) == "capture: 1 xruns"


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO, logging.ERROR])
def test_only_warnings_are_held_back(level: int) -> None:
    log = Log()

    assert [log.said("again", level=level) for _ in range(3)] == ["again"] * 3


def test_a_flood_of_different_warnings_does_not_grow_without_bound() -> None:
    log = Log()

    for number in range(1000):
        log.said(f"a warning of kind {chr(97) * number}")

    assert len(log.seldom._repeats) == 256


@pytest.fixture
def watched(systemd: socket.socket) -> Iterator[socket.socket]:
    """Systemd, which kills us after 30 s without a sign."""
    before = dict(os.environ)
    os.environ.update(NOTIFY_SOCKET=systemd.getsockname(), WATCHDOG_USEC="30000000")
    os.environ.pop("WATCHDOG_PID", None)
    yield systemd
    os.environ.clear()
    os.environ.update(before)


def fed(systemd: socket.socket, sign_of_life: Callable[[], object]) -> int:
    """Return how often the watchdog is fed in a minute."""

    async def main(loop: JumpLoop) -> None:
        feeding = asyncio.create_task(service.feed_watchdog(sign_of_life))
        await asyncio.sleep(60)
        feeding.cancel()

    run_jumping(main)
    count = 0
    systemd.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while systemd.recv(4096) == b"WATCHDOG=1":
            count += 1
    return count


def test_periods_that_arrive_feed_the_watchdog(watched: socket.socket) -> None:
    beats = itertools.count()

    assert fed(watched, lambda: next(beats)) >= 6


def test_a_microphone_that_stands_still_starves_the_watchdog(watched: socket.socket) -> None:
    assert fed(watched, lambda: 17) == 1


def test_while_muted_the_loop_feeds_the_watchdog(watched: socket.socket) -> None:
    assert fed(watched, lambda: None) >= 6
