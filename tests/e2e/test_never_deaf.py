"""A real process whose event loop hangs: it is interrupted and begins anew, or is left to systemd."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bed import Bed
from tests.support.stage import Stage

# The daemon as ever, but for a callback that does not end, a second after the microphone was found.
HANG = """
import asyncio, sys, time
from pivoice import cli, daemon

original = daemon.Daemon._open
hung = []

async def _open(self):
    await original(self)
    if not hung:
        hung.append(1)
        asyncio.get_running_loop().call_later(1.0, hang)

def hang():
    {hang}

daemon.Daemon._open = _open
sys.exit(cli.main(sys.argv[1:]))
"""
ONCE = "time.sleep(3600)"
STUBBORN = """while True:
        try:
            time.sleep(3600)
        except Exception:
            pass"""


@pytest.fixture
def stage(tmp_path: Path, bed: Bed) -> Iterator[Stage]:
    with Stage(tmp_path, bed=bed, settings={"wake": {"engine": "none"}}) as made:
        made.port = 1  # nobody calls an agent here
        yield made


def start(stage: Stage, hang: str) -> None:
    path = str(stage.write_config())
    stage.daemon = stage.spawn(["-c", HANG.format(hang=hang), "run", "--config", path], "daemon")
    stage.wait_until(lambda: "hangs in hang (<string>" in stage.log(), "the loop to be found hanging")


def test_a_loop_that_hangs_is_interrupted_and_the_same_process_hears_again(
    stage: Stage, systemd: socket.socket
):
    start(stage, ONCE)

    def hears_again() -> bool:
        status = stage.ctl("status") if stage.is_answered() else {}
        return bool(status.get("hears")) and status["restarts"]["loop"] == 1  # not: hears still

    stage.wait_until(hears_again, "it to hear again")

    assert stage.daemon and stage.daemon.poll() is None
    told = [systemd.recv(4096) for _ in range(4)]
    assert b"READY=1" in told


def test_a_loop_that_cannot_be_helped_starves_the_watchdog(stage: Stage, systemd: socket.socket):
    start(stage, STUBBORN)

    systemd.settimeout(0)
    with contextlib.suppress(BlockingIOError):
        while systemd.recv(4096):
            pass  # of before
    systemd.settimeout(4)
    with pytest.raises(TimeoutError):
        systemd.recv(4096)

    assert stage.daemon and stage.daemon.poll() is None, "that is systemd's part"
    stage.daemon.kill()
