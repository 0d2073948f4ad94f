"""One program, run to its end: bounded in what it may write, and gone, with all it started, when given up.

Event loop only. Its pipes are ours rather than asyncio's, which waits for them in other ways from one Python
to the next: a program may leave something behind that holds them, and is over all the same.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from pivoice.errors import ToolError

KILL_S = 2.0  # between being asked to end and being ended
_DRAIN_S = 0.3  # for what is still in the pipes of a program that is over
_MOST_COMPLAINT_BYTES = 4096
_FLOOD_BYTES = 1 << 20  # nobody reads that: a program that goes on writing is ended


@dataclass(frozen=True)
class Program:
    """What is to be run. Its environment may hold secrets: never show it."""

    path: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    directory: str

    def __repr__(self) -> str:
        return f"Program({self.path!r})"


@dataclass(frozen=True)
class Outcome:
    """What became of it."""

    exit_code: int
    """Negative: the signal that ended it."""
    output: bytes
    """The beginning of what it wrote."""
    was_cut: bool
    """It wrote more."""
    was_flood: bool
    """It wrote so much more that it was ended."""
    complaint: bytes
    """The end of what it wrote as errors."""


async def run_program(program: Program, *, most_bytes: int) -> Outcome:
    """Run `program` without input; return its outcome, with `most_bytes` of its output at most.

    Cancelled, it asks the program and all it started to end, and ends them `KILL_S` later.

    Raises:
        ToolError: it cannot be run.
    """
    flooded = asyncio.Event()
    output = _Pipe(first_bytes=most_bytes, last_bytes=0, on_flood=flooded.set)
    complaint = _Pipe(first_bytes=0, last_bytes=_MOST_COMPLAINT_BYTES, on_flood=lambda: None)
    try:
        process = await _start(program, output, complaint)
        try:
            await _until_over(process, flooded)
        finally:
            if process.returncode is None:
                await _end(process)
        await asyncio.wait({output.closed, complaint.closed}, timeout=_DRAIN_S)
    finally:
        output.close()
        complaint.close()
    return Outcome(
        -signal.SIGKILL if process.returncode is None else process.returncode,
        bytes(output.first),
        output.count > most_bytes,
        flooded.is_set(),
        complaint.whole_end(),
    )


async def _start(program: Program, output: _Pipe, complaint: _Pipe) -> asyncio.subprocess.Process:
    ends: list[int] = []
    try:
        ends.append(
            await output.open()
        )  # one by one: what is open is closed though the next is not to be had
        ends.append(await complaint.open())
        return await asyncio.create_subprocess_exec(
            *program.argv,
            executable=program.path,
            env=dict(program.environment),
            cwd=program.directory,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=ends[0],
            stderr=ends[1],
            start_new_session=True,
            umask=0o077,
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "an argument holds what no program takes"
        raise ToolError(f"its program {program.path!r} cannot be run: {reason}") from error
    finally:
        for end in ends:
            os.close(end)


async def _until_over(process: asyncio.subprocess.Process, flooded: asyncio.Event) -> None:
    over = asyncio.ensure_future(process.wait())
    flood = asyncio.ensure_future(flooded.wait())
    try:
        await asyncio.wait({over, flood}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        over.cancel()
        flood.cancel()


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask the whole group to end; whatever is left of it then is ended."""
    over = asyncio.ensure_future(process.wait())
    try:
        _signal_group(process.pid, signal.SIGTERM)
        await asyncio.wait({over}, timeout=KILL_S)
    finally:
        _signal_group(process.pid, signal.SIGKILL)
    await asyncio.wait({over}, timeout=KILL_S)  # one that hangs in the kernel is left there


def _signal_group(leader: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


class _Pipe(asyncio.Protocol):
    """The reading end of a pipe that keeps the beginning or the end of what comes."""

    def __init__(self, *, first_bytes: int, last_bytes: int, on_flood: Callable[[], None]) -> None:
        self.first = bytearray()
        self.last = bytearray()
        self.count = 0
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._first_bytes = first_bytes
        self._last_bytes = last_bytes
        self._on_flood = on_flood
        self._transport: asyncio.BaseTransport | None = None

    async def open(self) -> int:
        """Return the writing end, which is the caller's to close."""
        read, write = os.pipe()
        file = os.fdopen(read, "rb", buffering=0)
        try:
            self._transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: self, file)
        except BaseException:
            file.close()
            os.close(write)
            raise
        return write

    def close(self) -> None:
        if self._transport:
            self._transport.close()

    def whole_end(self) -> bytes:
        """Return the last whole lines that came, as far as they are kept."""
        if self.count <= len(self.last):
            return bytes(self.last)
        return bytes(self.last.partition(b"\n")[2])

    def data_received(self, data: bytes) -> None:
        self.count += len(data)
        self.first += data[: self._first_bytes - len(self.first)]
        if self._last_bytes:
            self.last = (self.last + data)[-self._last_bytes :]
        if self.count > _FLOOD_BYTES + self._first_bytes:
            self.close()
            self._on_flood()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)
