"""Idle is idle: what the real daemon does, in real time on the bed's card, while nobody speaks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bed import Bed, Card
from tests.support.stage import Stage

SECONDS = 4.0


@pytest.fixture(params=[16000, 48000])
def idle(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A daemon at its defaults, in a room where nobody has spoken for seconds, on a bare card."""
    cards = ("bed_mic_card", "bed_speaker_card")
    with Bed(mic=Card(request.param)) as bed, Stage(tmp_path, bed=bed, cards=cards) as stage:
        stage.port = 1  # nobody calls an agent here
        stage.start_daemon()
        stage.wait_until(lambda: bool(stage.ctl("status")["hears"]), "the daemon to hear")
        pause(2.0)  # the gate is open for its first second
        yield stage


def pause(seconds: float) -> None:
    threading.Event().wait(seconds)


def wakings(pid: int) -> dict[str, int]:
    """Return how often each thread has gone to sleep of its own will so far, by its id."""
    found = {}
    for task in sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda path: int(path.name)):
        lines = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines() if ":" in line)
        found[task.name] = int(lines["voluntary_ctxt_switches"])
    return found


def test_only_the_capture_thread_wakes_and_only_once_in_eighty_ms(idle: Stage) -> None:
    assert idle.daemon is not None
    log, scored = idle.log("daemon"), idle.ctl("metrics")["counters"]["wake"]
    pause(0.3)  # being asked woke the loop

    before, begun_s = wakings(idle.daemon.pid), time.monotonic()
    pause(SECONDS)
    after, seconds = wakings(idle.daemon.pid), time.monotonic() - begun_s

    assert after.keys() == before.keys()
    counts = sorted(after[task] - before[task] for task in after)
    # the watchdog's beats in the loop and beside it, the look for the speaker: every 4 or 5 s each
    assert sum(counts[:-1]) <= 12, counts  # one hop per block would be 50
    assert counts[-1] <= 1.1 * seconds / 0.08 + 2  # a period at a time it would be four times as many
    assert idle.log("daemon") == log
    assert idle.ctl("metrics")["counters"]["wake"] == scored  # nothing was scored
