"""The control socket, the daemon's side: one JSON object per line, over a Unix socket.

`Control` runs in the event loop's thread and gives each caller a task of its own: whoever writes
garbage, reads slowly or never hangs up harms nobody else. It knows no command but `watch`; the daemon
brings the rest. The callers' side is caller.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import inspect
import json
import logging
import os
import socket
import stat
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path

from pivoice.caller import Line, quoted
from pivoice.errors import ConfigError, Fault, PivoiceError

logger = logging.getLogger(__name__)

Command = Callable[[Line], Line | Awaitable[Line]]
"""Takes the request, gives the answer. A PivoiceError becomes {"error": its sentence}."""

_LINE_BYTES = 65536  # longest request; the longest honest one is a `say` of a few hundred words
_DISCARDED_BYTES = 16 * 2**20  # read and thrown away after that, so that the caller gets to read why
_LINGER_S, _FAREWELL_S = 2.0, 0.3
_WATCH_LINES = 1000  # kept for a watcher that reads slowly: several conversations' worth
_MOST_CALLERS = 64


class Control:
    """The server. Loop's thread only.

    `publish` hands an event to everybody who watches; a watcher that does not read loses lines,
    is told how many, and holds nobody up.
    """

    def __init__(
        self,
        path: str,
        commands: Mapping[str, Command],
        *,
        arguments: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        """`arguments`: what each command may be given besides its name (nothing, where not listed);
        None lets everything through to the commands."""
        self._path = Path(path)
        self._commands = commands
        self._arguments = arguments
        self._server: asyncio.Server | None = None
        self._inode: int | None = None
        self._callers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._engaged: set[asyncio.Task[None]] = set()  # callers that watch, or are being answered
        self._watchers: set[_Watcher] = set()
        self.on_watchers: Callable[[int], None] = lambda count: None
        """Called with how many watch, whenever that changes."""

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: the socket cannot be made there.
            PivoiceError: another pivoice listens there.
        """
        listening = _listen(self._path)
        self._inode = self._path.stat().st_ino
        self._server = await asyncio.start_unix_server(self._serve, sock=listening, limit=_LINE_BYTES)

    async def close(self) -> None:
        """Hang up on everybody and remove the socket. Safe to call twice, and without `start`."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        with contextlib.suppress(OSError):
            if self._path.stat().st_ino == self._inode:  # not another daemon's by now
                self._path.unlink()
        writers = list(self._callers.values())
        for watcher in self._watchers:
            watcher.flush()
        for task in self._callers:
            task.cancel()
        await asyncio.gather(*self._callers, return_exceptions=True)
        with contextlib.suppress(TimeoutError):  # the last lines, for those who read
            async with asyncio.timeout(_FAREWELL_S):
                await asyncio.gather(*(each.wait_closed() for each in writers), return_exceptions=True)
        for writer in writers:
            writer.transport.abort()

    def publish(self, event: Line) -> None:
        """Stream `event` to every watcher. Never blocks; free when nobody watches."""
        if self._watchers:
            line = _encoded(event)
            for watcher in self._watchers:
                watcher.put(line)

    @property
    def watchers(self) -> int:
        """How many watch now."""
        return len(self._watchers)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "asyncio serves each caller in a task"
        self._callers[task] = writer
        try:
            if len(self._callers) > _MOST_CALLERS and not self._make_room(task):
                writer.write(_encoded({"error": f"{_MOST_CALLERS} callers at once are the most; hang up"}))
                await writer.drain()
            else:
                await self._converse(task, reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass  # the caller hung up, or we are closing: neither is news
        finally:
            writer.close()
            del self._callers[task]
            self._engaged.discard(task)

    def _make_room(self, newcomer: asyncio.Task[None]) -> bool:
        """Hang up on whoever came first of those that say nothing; return whether there was one."""
        for task in self._callers:
            if task is not newcomer and task not in self._engaged and not task.cancelling():
                task.cancel()
                return True
        return False

    async def _converse(
        self, task: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer line by line until the caller hangs up, or sends a line without end."""
        watcher: _Watcher | None = None
        try:
            while True:
                try:
                    line = await reader.readuntil()
                except asyncio.IncompleteReadError as end:
                    if not end.partial.strip():
                        return
                    line = end.partial  # the last line may lack its newline
                except asyncio.LimitOverrunError:
                    writer.write(_encoded({"error": f"a line is at most {_LINE_BYTES} bytes; hanging up"}))
                    await _discard(reader, writer)
                    return
                if not line.strip():
                    continue
                if watcher is None and _is_watch(line):
                    watcher = _Watcher(writer)
                    self._watchers.add(watcher)
                    self.on_watchers(len(self._watchers))
                    self._engaged.add(task)
                    continue
                self._engaged.add(task)
                answer = _encoded(await self._answer(line))
                if watcher:
                    watcher.put(answer)
                else:
                    self._engaged.discard(task)
                    writer.write(answer)
                    await writer.drain()
        finally:
            if watcher:
                self._watchers.discard(watcher)
                self.on_watchers(len(self._watchers))
                watcher.close()

    async def _answer(self, line: bytes) -> Line:
        """Return the answer to one line, which may hold anything."""
        name = ""
        try:
            name = (request := _parsed(line))["command"]
            if name == "watch":
                raise PivoiceError("this connection is watching already")
            command = self._commands.get(name)
            if command is None:
                known = sorted({*self._commands, "watch"})
                raise PivoiceError(f"no command {quoted(name)}; {_suggestion(name, known)}")
            self._check_arguments(name, request)
            answer = command(request)
            return (await answer if inspect.isawaitable(answer) else answer) or {"ok": True}
        except PivoiceError as error:
            return {"error": str(error)}
        except Exception as error:  # top of what a caller can cause: it must not end the connection
            logger.exception("the command %s failed", quoted(name))  # not the rest: it may be private
            return {"error": f"the command failed: {type(error).__name__}; the journal has the details"}

    def _check_arguments(self, name: str, request: Line) -> None:
        if self._arguments is None:
            return
        allowed = sorted(self._arguments.get(name, ()))
        for argument in request.keys() - {"command", *allowed}:
            raise PivoiceError(f"{name} takes no {quoted(argument)}; {_suggestion(argument, allowed)}")


class _Watcher:
    """One caller that watches: a bounded queue, and the task that empties it as fast as the caller reads."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._lines: deque[bytes] = deque()
        self._lost = 0
        self._ready = asyncio.Event()
        self.put(_encoded({"event": "watching"}))
        self._task = asyncio.create_task(self._write(), name="watcher")

    def put(self, line: bytes) -> None:
        if len(self._lines) < _WATCH_LINES:
            self._lines.append(line)
        else:
            self._lost += 1
        self._ready.set()

    def flush(self) -> None:
        """Hand over what is left, before the connection is closed."""
        self._writer.write(b"".join(self._lines))
        self._lines.clear()

    def close(self) -> None:
        self._task.cancel()

    async def _write(self) -> None:
        with contextlib.suppress(ConnectionError):  # noticed, and cleared up, by the reading side
            while True:
                await self._ready.wait()
                while self._lines:
                    self._writer.write(self._lines.popleft())
                    await self._writer.drain()
                if self._lost:
                    # after the lines that were kept: the gap is here
                    lost, self._lost = self._lost, 0
                    self._writer.write(_encoded({"event": "lost", "lines": lost}))
                    await self._writer.drain()
                if not self._lines and not self._lost:
                    self._ready.clear()


def _listen(path: Path) -> socket.socket:
    """Return a socket that listens at `path`, for the owner and the group alone."""
    _clear_the_way(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.fchmod(listening.fileno(), 0o660)  # before bind, so that it is never there for everybody
        listening.bind(str(path))
        path.chmod(0o660)  # what the umask took away
        listening.listen(128)
    except (OSError, ValueError) as error:
        listening.close()
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        advice = (
            "choose a path in a directory that exists and is writable, such as $XDG_RUNTIME_DIR/pivoice.sock"
        )
        raise ConfigError(
            [Fault("control.socket", f"cannot listen at '{path}': {reason}; {advice}")]
        ) from error
    return listening


def _clear_the_way(path: Path) -> None:
    """Remove the socket of a daemon that died; refuse to touch anything else.

    Raises:
        PivoiceError: a live daemon listens there.
        ConfigError: something that is no socket is in the way.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return  # nothing there, or a path that bind will explain
    if not stat.S_ISSOCK(mode):
        raise ConfigError(
            [Fault("control.socket", f"'{path}' exists and is not a socket; remove it or choose another")]
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except OSError:
            pass  # a full queue, or no permission: alive, as far as we can tell
    raise PivoiceError(
        f"another pivoice is running (it listens at {path}); stop it (systemctl stop pivoice), "
        "or give this one its own control.socket"
    )


def _is_watch(line: bytes) -> bool:
    with contextlib.suppress(PivoiceError):
        return bool(_parsed(line)["command"] == "watch")
    return False


def _parsed(line: bytes) -> Line:
    """Return the request in `line`: an object whose "command" is text.

    Raises:
        PivoiceError: it is something else; says what.
    """
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        raise PivoiceError(
            f'{quoted(line)} is not JSON; send a line such as {{"command": "status"}}'
        ) from None
    if not isinstance(request, dict):
        raise PivoiceError(f'{quoted(line)} is not an object; send a line such as {{"command": "status"}}')
    if "command" not in request:
        raise PivoiceError('"command" is missing; send a line such as {"command": "status"}')
    if not isinstance(request["command"], str):
        raise PivoiceError(f'"command" must be text, not {quoted(json.dumps(request["command"]))}')
    return request


def _suggestion(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean {near[0]}?" if near else "there is " + (", ".join(known) or "nothing to add to it")


def _encoded(line: Line) -> bytes:
    return json.dumps(line, ensure_ascii=False, default=str).encode("utf-8", "replace") + b"\n"


async def _discard(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read on without keeping it: closing a socket with unread bytes takes the last answer with it."""
    left = _DISCARDED_BYTES
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_S):
            await writer.drain()
            while left > 0 and (chunk := await reader.read(_LINE_BYTES)):
                left -= len(chunk)
