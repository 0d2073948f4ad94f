"""What `scripts/bench wake` measures of computing and memory: the engines alone, and the whole daemon.

CPU time of whole processes, which a busy machine makes a little worse for all of them: they take turns within
one run, and what is judged is the median of each turn's ratio. Nothing else of the bench runs meanwhile.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import wake_environment as environment
from wake_environment import LackingError

from tests.support.bed import Bed, Card
from tests.support.rooms import to_int16
from tests.support.speech import load_speech
from tests.support.stage import Stage

EAR_HZ = 16_000
BLOCK_S = 0.08
OURS, GATED, PACKAGE = "pivoice", "pivoice_gated", "openwakeword"
PYOPEN, PYMICRO = "pyopen_wakeword", "pymicro_wakeword"
HISS_LSB = 20
"""RMS of the quiet room that the idle daemon hears."""
SETTLE_S = 3.0
EVENT_LOOP = "event loop"

Turns = dict[str, list[float]]
"""CPU ms a block of every turn, by engine."""


@dataclass
class Idle:
    """What it costs to hear nothing."""

    paced: Turns
    daemon: dict[int, list[float]]
    """CPU ms per 80 ms of `pivoice run` in the same turns, by the microphone's rate."""
    resident_mb: dict[str | int, float] = field(default_factory=dict)
    """By engine, and of the daemon by the microphone's rate."""
    switches: dict[int, dict[str, float]] = field(default_factory=dict)
    """Voluntary context switches a second, by rate and thread."""


@dataclass
class Hot:
    """What a block costs, back to back."""

    turns: Turns


@dataclass
class Starts:
    """CPU seconds."""

    daemon: list[float]
    package: list[float]


class Engine:
    """An engine in its own process. A context manager: leaving it ends the process."""

    def __init__(self, name: str, sound: Path) -> None:
        """Raises LackingError when there is no such engine here."""
        python = sys.executable if name in (OURS, GATED) else str(environment.PYTHON)
        command = [python, str(environment.SCRIPTS / "wake_engine.py"), name, str(sound)]
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # as long as the process
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=os.environ | environment.ONE_THREAD,
        )
        self._tell("")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def cost_ms(self, kind: str, blocks: int) -> float:
        """Return CPU ms a block, "hot" or "paced"."""
        return float(json.loads(self._tell(f"{kind} {blocks}\n")))

    @property
    def resident_mb(self) -> float:
        return resident_mb(self._process.pid)

    def _tell(self, line: str) -> str:
        assert self._process.stdin and self._process.stdout, "both are pipes"
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has died: the next line tells why
        if answer := self._process.stdout.readline():
            return answer
        self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines() or [f"it ended with {self._process.returncode}"]
        raise LackingError(lines[-1])


def hot(turns: int, blocks: int) -> Hot:
    """Measure every engine on the same speech, in turns of so many blocks back to back."""
    speech = load_speech("agent_long").at_rate(EAR_HZ)
    with _engines((OURS, PACKAGE, PYOPEN, PYMICRO), speech) as engines:
        found = Hot({name: [] for name in engines})
        for _ in range(turns):
            for name, engine in engines.items():
                found.turns[name].append(engine.cost_ms("hot", blocks))
    return found


def idle(turns: int, blocks: int, rates_hz: tuple[int, ...] = (16_000, 48_000)) -> Idle:
    """Measure in a quiet room: every engine in turns at a microphone's pace, the daemon all the while."""
    hiss = _hiss(60, EAR_HZ)
    seconds = 8 * turns * blocks * BLOCK_S + 60
    with ExitStack() as stack:
        engines = stack.enter_context(_engines((PACKAGE, GATED, OURS, PYOPEN, PYMICRO), hiss))
        stages = {rate_hz: stack.enter_context(_idle_daemon(rate_hz, seconds)) for rate_hz in rates_hz}
        pids = {rate_hz: _pid(stage) for rate_hz, stage in stages.items()}
        threading.Event().wait(SETTLE_S)
        found = Idle({name: [] for name in engines}, {rate_hz: [] for rate_hz in rates_hz})
        first, begun_s = {rate: _switches(pid) for rate, pid in pids.items()}, time.monotonic()
        for _ in range(turns):
            before, turn_s = {rate: cpu_s(pid) for rate, pid in pids.items()}, time.monotonic()
            for name, engine in engines.items():
                found.paced[name].append(engine.cost_ms("paced", blocks))
            lasted_s = time.monotonic() - turn_s
            for rate, pid in pids.items():
                found.daemon[rate].append(1000 * (cpu_s(pid) - before[rate]) * BLOCK_S / lasted_s)
        lasted_s = time.monotonic() - begun_s
        for rate, pid in pids.items():
            found.switches[rate] = _rates(first[rate], _switches(pid), lasted_s, pid)
        found.resident_mb |= {name: engine.resident_mb for name, engine in engines.items()}
        found.resident_mb |= {rate: resident_mb(pid) for rate, pid in pids.items()}
    return found


def starts(count: int) -> Starts:
    """Measure `pivoice run` until it listens, and `import openwakeword`, in turns."""
    _import_s(), _start_s()  # what is compiled or read from the disk is, from here on
    found = Starts([], [])
    for _ in range(count):
        found.package.append(_import_s())
        found.daemon.append(_start_s())
    return found


def cpu_s(pid: int) -> float:
    """Return the CPU time of a process and of all threads it ever had, to the nanosecond."""
    return time.clock_gettime((~pid << 3) | 2)  # clock_getcpuclockid(3), which Python does not have


def resident_mb(pid: int) -> float:
    """Return VmRSS in MB of 2^20 bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"process {pid} has no memory of its own")


@contextmanager
def _engines(names: tuple[str, ...], sound: np.ndarray) -> Iterator[dict[str, Engine]]:
    """Yield those engines that are to be had, and say in a line which are not.

    Raises:
        LackingError: one of those is missing without which there is nothing to judge.
    """
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="pivoice-bench-"))
        path = Path(directory, "sound.npy")
        np.save(path, sound)
        engines: dict[str, Engine] = {}
        for name in names:
            try:
                engines[name] = stack.enter_context(Engine(name, path))
            except LackingError as error:
                what = f"{name} cannot be measured: {error}"
                if name in (OURS, GATED, PACKAGE):
                    raise LackingError(what) from None
                print(what, file=sys.stderr)
        yield engines


@contextmanager
def _idle_daemon(rate_hz: int, seconds: float) -> Iterator[Stage]:
    """Yield `pivoice run` with default settings, hearing a quiet room on a bare card for so long."""
    with (
        tempfile.TemporaryDirectory(prefix="pivoice-bench-") as directory,
        Bed(mic=Card(rate_hz)) as bed,
        Stage(
            Path(directory),
            settings={"log": {"level": "info"}},
            bed=bed,
            cards=("bed_mic_card", "bed_speaker_card"),
        ) as stage,
    ):
        stage.port = 1  # nobody: nothing is asked of the agent
        bed.say(_hiss(seconds, rate_hz))
        stage.start_daemon()
        stage.wait_until(lambda: bool(stage.ctl("status")["hears"]), "the daemon to hear")
        yield stage


def _hiss(seconds: float, rate_hz: int) -> np.ndarray:
    noise = np.random.default_rng(3).normal(0, HISS_LSB, round(seconds * rate_hz))
    return to_int16(noise / 32768)


def _pid(stage: Stage) -> int:
    assert stage.daemon, "it was started"
    return stage.daemon.pid


def _start_s() -> float:
    with _idle_daemon(EAR_HZ, 30) as stage:
        return cpu_s(_pid(stage))


def _import_s() -> float:
    """Return the CPU time of a process that imports openwakeword and ends."""
    pid = os.posix_spawn(
        environment.PYTHON,
        [str(environment.PYTHON), "-c", "import openwakeword"],
        os.environ | environment.ONE_THREAD,
    )
    _, status, used = os.wait4(pid, 0)
    if status:
        raise LackingError("openwakeword cannot be imported in the bench's environment")
    return used.ru_utime + used.ru_stime


def _switches(pid: int) -> dict[int, int]:
    """Return how often each thread went to sleep of its own accord."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        for line in (task / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches:"):
                found[int(task.name)] = int(line.split()[1])
    return found


def _rates(
    before: Mapping[int, int], after: Mapping[int, int], lasted_s: float, pid: int
) -> dict[str, float]:
    """Return switches a second: of the event loop, of the busiest other thread, of all the rest."""
    rates = {task: (count - before.get(task, 0)) / lasted_s for task, count in after.items()}
    loop = rates.pop(pid)
    others = sorted(rates.values(), reverse=True)
    return {EVENT_LOOP: loop, "busiest thread": others[0], "the others": sum(others[1:])}
