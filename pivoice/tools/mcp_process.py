"""A program that is spoken to line by line, and never leaves anything behind. Event loop only.

The MCP servers that are programs. What one says wrong costs little: a line has a length, a second has
a number of lines, and what it complains of (standard error) is kept only to say why it ended. It leads
a process group of its own, which ends with it.
"""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, Process, SubprocessStreamProtocol
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NoReturn

from pivoice.errors import ToolError

MAX_LINE_BYTES = 2**21
MAX_LINES_PER_S = 200  # a server that talks without end must not have the processor
EXIT_S = 0.25  # for each way of asking it to end: its input closed, then SIGTERM, then SIGKILL
_WORDS_BYTES = 400  # of its last words
_ERRORS_S = 0.05  # at most 80 kB of complaints a second are read, and forgotten


class Program:
    """One run of a program."""

    def __init__(self, transport: asyncio.SubprocessTransport, protocol: SubprocessStreamProtocol) -> None:
        loop = asyncio.get_running_loop()
        self._transport = transport
        self._process = process = Process(transport, protocol, loop)
        self._ended: asyncio.Future[None] = loop.create_future()
        self._pid_fd = -1
        try:
            # Not Process.wait: on some Pythons it waits for the pipes, too, which a child's child may hold.
            self._pid_fd = os.pidfd_open(process.pid)
            loop.add_reader(self._pid_fd, self._note_end)
        except OSError:  # it is gone already; or there are no more descriptors, and it must go
            self._signal(signal.SIGKILL)
            self._note_end()
        self._second, self._lines = 0, 0
        self._words = b""
        self._complaints = asyncio.create_task(self._hear_complaints(), name="mcp complaints")

    @classmethod
    async def start(cls, argv: Sequence[str], *, environment: Mapping[str, str], directory: str) -> Program:
        """Start `argv` with exactly this environment.

        Raises:
            ToolError: it cannot be started.
        """
        loop = asyncio.get_running_loop()
        try:
            transport, protocol = await loop.subprocess_exec(
                lambda: SubprocessStreamProtocol(limit=MAX_LINE_BYTES, loop=loop),
                *argv,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                env=dict(environment),
                cwd=directory,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise ToolError(f"cannot start {argv[0]!r}: {reason}") from None
        return cls(transport, protocol)

    async def read_line(self) -> bytes:
        """Return the next line without its end; wait for it, and for its turn. b"" may be one.

        Raises:
            ToolError: there are no more, or it is too long.
        """
        await self._take_turn()
        assert self._process.stdout is not None, "it was started with a pipe"
        try:
            line = await self._process.stdout.readline()
        except ValueError:
            raise ToolError(f"it wrote a line of more than {MAX_LINE_BYTES} bytes") from None
        if not line.endswith(b"\n"):
            raise ToolError(await self._why_ended())
        return line.rstrip(b"\r\n")

    async def write(self, line: bytes) -> None:
        """Write `line`, which brings its end; wait while the program does not read.

        Raises:
            ToolError: it reads no more.
        """
        assert self._process.stdin is not None, "it was started with a pipe"
        self._process.stdin.write(line)
        try:
            await self._process.stdin.drain()
        except ConnectionError:
            raise ToolError(await self._why_ended()) from None

    async def ended(self) -> NoReturn:
        """Raise a ToolError once it has ended, and what it said last was read."""
        await asyncio.shield(self._ended)
        await asyncio.sleep(EXIT_S)
        raise ToolError(await self._why_ended())

    async def stop(self) -> None:
        """End it, and whatever it started, within about three times `EXIT_S`; at once if cancelled."""
        try:
            if self._process.stdin is not None:
                self._process.stdin.close()
            if not await self._has_ended():
                self._signal(signal.SIGTERM)
                await self._has_ended()
        finally:
            self._complaints.cancel()
            self._signal(signal.SIGKILL)  # also what outlived its parent
            self._note_end()
            # Not before it is over: the transport would ask after it, and asyncio's own asking find nobody.
            closing = asyncio.get_running_loop().call_later(EXIT_S, self._transport.close)
        with suppress(TimeoutError):
            async with asyncio.timeout(EXIT_S):
                await self._process.wait()
        closing.cancel()
        self._transport.close()
        await asyncio.sleep(0)  # its pipes are closed by the loop

    async def _has_ended(self) -> bool:
        await asyncio.wait({self._ended}, timeout=EXIT_S)
        return self._ended.done()

    def _note_end(self) -> None:
        if self._pid_fd >= 0:
            asyncio.get_running_loop().remove_reader(self._pid_fd)
            os.close(self._pid_fd)
            self._pid_fd = -1
        if not self._ended.done():
            self._ended.set_result(None)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    async def _take_turn(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if int(now_s) != self._second:
            self._second, self._lines = int(now_s), 0
        self._lines += 1
        if self._lines > MAX_LINES_PER_S:
            await asyncio.sleep(self._second + 1 - now_s)

    async def _hear_complaints(self) -> None:
        assert self._process.stderr is not None, "it was started with a pipe"
        while chunk := await self._process.stderr.read(4096):
            self._words = (self._words + chunk)[-_WORDS_BYTES:]
            await asyncio.sleep(_ERRORS_S)

    async def _why_ended(self) -> str:
        """Return how it ended and its last words, which mostly say why."""
        if not await self._has_ended():
            return "it closed its output"
        with suppress(TimeoutError):
            async with asyncio.timeout(EXIT_S):
                await asyncio.shield(self._complaints)
        with suppress(TimeoutError):
            async with asyncio.timeout(EXIT_S):
                await self._process.wait()  # its code is known a moment later
        words = self._words.decode(errors="replace").strip().splitlines()
        told = f"it ended with {self._process.returncode}"
        return f"{told}: {words[-1].strip()}" if words else told
