"""`pivoice monitor`: the running daemon, as it is, in a terminal. A process of its own, one event loop.

Watches on one connection of the control socket and asks for `status` on another, once a second. A daemon that
is not there is waited for, one that stops comes back, and what comes over the socket is never believed.
Changes nothing; costs the daemon nothing once it has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from datetime import datetime
from typing import Any

from pivoice.views.monitor_page import page
from pivoice.views.monitor_view import View
from pivoice.views.screen import Screen

_LINE_BYTES = 2**20  # the longest honest line is a transcript
_FRAME_S = 0.1
_STATUS_S = 1.0
_ANSWER_S = 5.0  # a daemon that is about to load wake words may take a second or two
_RETRY_S = 0.5


def run(socket: str) -> int:
    """Show the daemon at `socket` until the user has seen enough; return the exit code."""
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is how one leaves, not a failure
        asyncio.run(Monitor(socket, Screen()).run())
    return 0


class Monitor:
    """One look at one daemon."""

    def __init__(self, socket: str, screen: Screen) -> None:
        self._socket = socket
        self._screen = screen
        self._leaving = asyncio.Event()
        self._changed = asyncio.Event()
        self._poll_now = asyncio.Event()

    async def run(self) -> None:
        """Show until `leave`."""
        self._loop = asyncio.get_running_loop()
        self.view = View(self._loop.time())
        calls = {signal.SIGTERM: self.leave, signal.SIGWINCH: self._changed.set}
        if self._screen.is_live:
            calls[signal.SIGTSTP] = self._pause_here
        for number, call in calls.items():
            with contextlib.suppress(ValueError, RuntimeError):  # only a main thread may
                self._loop.add_signal_handler(number, call)
        with self._screen:
            if self._screen.has_keys:
                self._loop.add_reader(sys.stdin, self._key)
            if (pipe := self._screen.pipe) is not None:
                self._loop.add_reader(pipe, self.leave)  # nothing is ever read there: its reader is gone
            lives = [self._watch(), self._poll(), *([self._draw()] if self._screen.is_live else [])]
            tasks = [asyncio.create_task(each) for each in (*lives, self._leaving.wait())]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()  # a mistake of ours, or a reader that hung up
            finally:
                if self._screen.has_keys:
                    self._loop.remove_reader(sys.stdin)
                if pipe is not None:
                    self._loop.remove_reader(pipe)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def leave(self) -> None:
        """Ask `run` to end."""
        self._leaving.set()

    def _pause_here(self) -> None:
        """Ctrl-Z: hand the terminal back before we stand still, and take it again when we go on."""
        self._screen.__exit__(None, None, None)
        os.kill(os.getpid(), signal.SIGSTOP)
        self._screen.__enter__()
        self._changed.set()

    def _key(self) -> None:
        try:
            keys = os.read(sys.stdin.fileno(), 64)
        except OSError:
            keys = b""
        if not keys:
            self._loop.remove_reader(sys.stdin)
        if b"q" in keys.lower():
            self.leave()

    # --- drawing ---

    async def _draw(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            width, height = self._screen.size
            now_s = self._loop.time()
            self._screen.show(
                page(self.view, width=width, height=height, now_s=now_s, plain=self._screen.is_plain)
            )
            await asyncio.sleep(_FRAME_S)

    def _tell(self, news: str) -> None:
        self._changed.set()
        if news and not self._screen.is_live:
            try:
                self._screen.say(f"{datetime.now():%H:%M:%S} {news}")
            except BrokenPipeError:  # whoever read has seen enough
                self.leave()

    # --- the daemon ---

    async def _watch(self) -> None:
        """Take what the daemon tells, over and over; who is there at all is for `_poll` to say."""
        while True:
            with contextlib.suppress(OSError, ValueError):
                async with self._connected() as (reader, writer):
                    writer.write(b'{"command": "watch"}\n')
                    while line := await reader.readline():
                        if (parsed := self._parsed(line)) is not None:
                            self._tell(self.view.observe(parsed, self._loop.time()))
            self._poll_now.set()
            await asyncio.sleep(_RETRY_S)

    async def _poll(self) -> None:
        """Ask how things are, once a second, and say whether anybody answers."""
        while True:
            try:
                async with self._connected() as (reader, writer):
                    while True:
                        await self._ask(reader, writer)
                        await self._rest(_STATUS_S)
            except TimeoutError:
                reason = f"it does not answer at {self._socket}; journalctl -u pivoice may say why"
            except OSError as error:
                reason = _explained(self._socket, error)
            except ValueError:
                reason = f"what listens at {self._socket} is not pivoice"
            self._tell(self.view.lost(reason, self._loop.time()))
            await asyncio.sleep(_RETRY_S)

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_ANSWER_S):
            writer.write(b'{"command": "status"}\n')
            line = await reader.readline()
        if not line:
            raise ConnectionResetError("it stopped")
        if (answer := self._parsed(line)) is None:
            raise ValueError("not pivoice's")
        if "error" in answer:
            raise ConnectionResetError(str(answer["error"]))
        now_s = self._loop.time()
        if not self.view.is_there:
            self._tell(self.view.found(now_s))
        self._tell(self.view.take_status(answer, now_s))

    async def _rest(self, seconds: float) -> None:
        """Wait, but not when the other connection has just broken."""
        self._poll_now.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._poll_now.wait()

    @contextlib.asynccontextmanager
    async def _connected(self) -> Any:
        async with asyncio.timeout(_ANSWER_S):
            reader, writer = await asyncio.open_unix_connection(self._socket, limit=_LINE_BYTES)
        try:
            yield reader, writer
        finally:
            writer.close()

    def _parsed(self, line: bytes) -> dict[str, Any] | None:
        """Return the object in `line`; None, and counted, where there is none."""
        try:
            parsed = json.loads(line)
        except (ValueError, RecursionError):
            parsed = None
        if isinstance(parsed, dict):
            return parsed
        self.view.take_garbage()
        return None


def _explained(socket: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return f"nobody listens at {socket} (systemctl status pivoice)"
    if isinstance(error, PermissionError):
        return f"no permission for {socket}; use sudo, or join its group (ls -l {socket})"
    return f"{error.strerror or error}"
