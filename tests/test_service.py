"""systemd's side of the bargain, played by a datagram socket."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pivoice import service

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
    began_us = time.monotonic_ns() // 1000
    run("from pivoice import service; service.notify_reloading()", NOTIFY_SOCKET=systemd.getsockname())

    first, second = systemd.recv(1000).decode().splitlines()
    assert first == "RELOADING=1"
    assert began_us <= int(second.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


def test_a_systemd_that_reads_nothing_holds_nobody_up_and_is_told_the_newest_later(
    systemd: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.getsockname())
    monkeypatch.setattr(service, "_waiting", {})
    systemd.settimeout(0.5)
    most = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text()) + 2
    for _ in range(most):
        service.notify_watchdog()

    service.notify_ready()
    for number in range(1000):
        service.notify_status(f"status {number}")

    while systemd.recv(1000) == b"WATCHDOG=1":
        if not select.select([systemd], [], [], 0)[0]:
            break
    service.notify_stopping()
    told = [systemd.recv(1000) for _ in range(4)]
    assert told == [b"WATCHDOG=1", b"READY=1", b"STATUS=status 999", b"STOPPING=1"]
    assert service._waiting == {}


def test_an_abstract_address_is_told_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"pivoice-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name}")
        listening.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        monkeypatch.setattr(service, "_waiting", {})

        service.notify_ready()

        assert listening.recv(1000) == b"READY=1"


def test_without_systemd_nothing_is_told_and_nothing_said() -> None:
    done = run(TOLD)

    assert (done.stdout, done.stderr) == ("", "")


def test_a_notify_socket_that_is_gone_is_no_news() -> None:
    done = run(TOLD, NOTIFY_SOCKET="/nonexistent/notify")

    assert done.stderr == ""


def test_without_systemd_python_pivoice_runs_by_hand() -> None:
    done = run(
        "import sys; sys.modules['systemd'] = None; from pivoice import journal; journal.set_up('info');"
        + TOLD
    )

    assert done.stderr == ""


def test_without_systemd_python_systemd_is_told_all_the_same(systemd: socket.socket) -> None:
    run(f"import sys; sys.modules['systemd'] = None; {TOLD}", NOTIFY_SOCKET=systemd.getsockname())

    assert systemd.recv(1000) == b"READY=1"


@pytest.mark.parametrize(
    ("environment", "interval_s"),
    [
        ({}, "None"),
        ({"WATCHDOG_USEC": "30000000"}, "30.0"),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, "None"),
        ({"WATCHDOG_USEC": "500000"}, "0.5"),
        ({"WATCHDOG_USEC": "0"}, "None"),
        ({"WATCHDOG_USEC": "often"}, "None"),
    ],
)
def test_the_watchdogs_patience_is_read_from_systemd(environment: dict[str, str], interval_s: str) -> None:
    done = run("from pivoice import service; print(service.watchdog_interval_s())", **environment)

    assert done.stdout.strip() == interval_s


def test_one_thread_is_the_default_and_the_owner_may_say_otherwise() -> None:
    environment = {"OMP_NUM_THREADS": "3"}

    service.limit_threads(environment)

    assert environment == {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "3"}
