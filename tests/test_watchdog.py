"""Never deaf: parts that hang are replaced, and systemd is told that we hear only while we do."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pivoice.simulation import JumpClock, JumpLoop, run_jumping
from pivoice.watchdog import HearsOrTries, LoopStuckError, LoopWatch, Part, PartsWatch, still_s


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Systemd, which kills us after 30 s without a sign."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "30000000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
        yield listening


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Systemd waits for 30 s, and is told of nothing."""
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)


class Ear:
    """Something whose progress a test decides, second by second."""

    def __init__(self, of: Callable[[float], tuple[int, int] | None]) -> None:
        self._of = of
        self.now_s = 0.0

    @property
    def progress(self) -> tuple[int, int] | None:
        return self._of(self.now_s)


def feedings(
    systemd: socket.socket, progress: Callable[[float], tuple[int, int] | None], *, hung: int = 0
) -> list[float]:
    """Return when, in a minute, systemd was told that all is well."""
    times: list[float] = []
    ear = Ear(progress)

    async def main(loop: JumpLoop) -> None:
        watching = asyncio.create_task(PartsWatch([], is_well=HearsOrTries(lambda: ear, lambda: hung)).run())
        for second in range(60):
            ear.now_s = second + 0.5
            await asyncio.sleep(1)
            with contextlib.suppress(BlockingIOError):
                while systemd.recv(4096) == b"WATCHDOG=1":
                    times.append(loop.time())
        watching.cancel()

    run_jumping(main)
    return times


def test_periods_that_come_in_feed_the_watchdog(systemd: socket.socket):
    assert len(feedings(systemd, lambda now_s: (int(now_s * 12), 1))) >= 10


def test_a_microphone_that_stands_still_starves_it(systemd: socket.socket):
    times = feedings(systemd, lambda now_s: (int(min(now_s, 20) * 12), 1))

    assert max(times) <= 26
    assert len(times) >= 4


def test_a_muted_device_feeds_it(systemd: socket.socket):
    assert len(feedings(systemd, lambda now_s: None)) >= 10


def test_a_lost_card_that_is_tried_again_feeds_it(systemd: socket.socket):
    assert len(feedings(systemd, lambda now_s: (100, int(now_s / 3)))) >= 10


def test_to_try_is_not_enough_while_a_thread_of_ours_hangs(systemd: socket.socket):
    assert len(feedings(systemd, lambda now_s: (100, int(now_s / 3)), hung=1)) == 1
    assert len(feedings(systemd, lambda now_s: (int(now_s * 12), 1), hung=1)) >= 10
    assert len(feedings(systemd, lambda now_s: (int(now_s * 12), 1), hung=2)) == 1


@pytest.mark.parametrize(("patience_us", "limit_s"), [("30000000", 10.0), ("6000000", 2.0), ("", 10.0)])
def test_a_part_is_given_a_third_of_systemds_patience(
    monkeypatch: pytest.MonkeyPatch, patience_us: str, limit_s: float
):
    monkeypatch.setenv("WATCHDOG_USEC", patience_us)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)

    assert still_s() == limit_s


def renewals(progress: Callable[[float], object]) -> list[tuple[float, float]]:
    """Return when, in a minute, a part was replaced, and for how long it had stood still."""
    done: list[tuple[float, float]] = []

    async def main(loop: JumpLoop) -> None:
        part = Part("ear", lambda: progress(loop.time()), lambda stood_s: done.append((loop.time(), stood_s)))
        watching = asyncio.create_task(PartsWatch([part], is_well=lambda: True).run())
        await asyncio.sleep(60)
        watching.cancel()

    run_jumping(main)
    return done


def test_a_part_that_stands_still_is_replaced_within_half_of_systemds_patience(patience: None):
    (first, *_) = renewals(lambda now_s: min(now_s, 21.0))

    assert 30 <= first[0] <= 36
    assert first[1] >= 10 - 0.001


def test_a_card_that_is_tried_every_few_seconds_does_not_hang_however_short_systemds_patience(
    patience: None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("WATCHDOG_USEC", "6000000")

    assert renewals(lambda now_s: int(now_s / 5)) == []
    assert renewals(lambda now_s: min(now_s, 21.0))[0][0] <= 28


def test_a_part_that_gets_on_or_is_asked_for_nothing_is_left_alone(patience: None):
    ticks = itertools.count()

    assert renewals(lambda now_s: next(ticks)) == []
    assert renewals(lambda now_s: None) == []


def test_a_replaced_part_is_given_its_time(patience: None):
    times = [at_s for at_s, _ in renewals(lambda now_s: 17)]

    assert [round(b - a) for a, b in itertools.pairwise(times)] == [10] * (len(times) - 1)


def test_a_process_that_was_stopped_for_a_while_accuses_no_part():
    """SIGSTOP and SIGCONT, a machine that was suspended, or that swapped for its life."""
    part = Part("ear", lambda: 17, lambda stood_s: None)
    part.begin(0.0)

    looks_s = [part.stood_still_s(now_s, most_s=5.0) for now_s in (3000.0, 3005.0)]

    assert looks_s == [5.0, 10.0], "it has all of its time once everybody goes on"
    assert part.stood_still_s(3007.0, most_s=5.0) == 12.0, "looked at sooner, less has gone by"


# --- the loop ---


class Stops:
    """A clock on which the whole process is stopped, now and then, while the watching thread waits."""

    def __init__(self, watch_of: Callable[[Stops], LoopWatch], waits: list[tuple[float, bool]]) -> None:
        """`waits`: how long each takes, and whether the loop beats meanwhile; then it is over."""
        self.watch = watch_of(self)
        self._now_s = 0.0
        self._waits = iter(waits)

    def monotonic(self) -> float:
        return self._now_s

    def wait(self, event: threading.Event, timeout_s: float | None = None) -> bool:
        takes_s, beats = next(self._waits, (0.0, False))
        self._now_s += takes_s
        self.watch._beats += beats
        return takes_s == 0.0

    def start_thread(self, target: Callable[[], None], *, name: str) -> threading.Thread:
        raise AssertionError("not asked")


@pytest.mark.parametrize(
    ("waits", "stuck"),
    [
        ([(5, True), (3000, False), (5, True), (5, True)], 0),
        ([(5, True), (5, False), (5, True), (5, False), (5, True)], 0),
        ([(5, True), (5, False), (5, False), (5, True)], 1),
        ([(5, True), *[(5, False)] * 6], 3),
    ],
)
def test_a_loop_that_is_late_because_everybody_was_is_not_stuck(
    patience: None, waits: list[tuple[float, bool]], stuck: int
):
    told: list[bool] = []
    clock = Stops(lambda clock: LoopWatch(clock, on_stuck=lambda: told.append(True)), waits)

    clock.watch._run()

    assert len(told) == stuck


def test_a_loop_that_beats_is_left_alone_and_one_that_does_not_is_told(patience: None):
    stuck: list[float] = []

    async def main(loop: JumpLoop) -> None:
        watch = LoopWatch(loop.clock, on_stuck=lambda: stuck.append(loop.clock.monotonic()))
        watch.start()
        beating = asyncio.create_task(watch.beat())
        await asyncio.sleep(60)
        assert stuck == [] and not watch.is_stuck
        beating.cancel()  # as good as stuck
        await asyncio.sleep(14)
        assert len(stuck) == 1 and watch.is_stuck
        watch.stop()
        await asyncio.sleep(20)

    run_jumping(main)

    assert 70 <= stuck[0] <= 76


def stuck_watch() -> LoopWatch:
    watch = LoopWatch(JumpClock(), on_stuck=lambda: None)
    watch.is_stuck = True
    return watch


def test_a_callback_that_does_not_end_is_interrupted_and_named(caplog: pytest.LogCaptureFixture):
    watch = stuck_watch()

    def endless() -> None:
        watch.interrupt(sys._getframe())

    async def main() -> None:
        failed: list[BaseException | None] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, what: failed.append(what.get("exception")))
        asyncio.get_running_loop().call_soon(endless)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [type(each) for each in failed] == [LoopStuckError]

    asyncio.run(main())

    assert "endless (test_watchdog.py:" in caplog.text


def test_a_loop_that_waits_is_not_interrupted_nor_one_that_went_on_meanwhile():
    watch = stuck_watch()

    watch.interrupt(sys._getframe())  # nobody's callback
    watch.is_stuck = False

    async def main() -> None:
        watch.interrupt(sys._getframe())

    asyncio.run(main())
