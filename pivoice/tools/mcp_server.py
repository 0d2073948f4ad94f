"""One MCP server over its lives: connected when it is wanted, tried again when it is lost, left when idle.

Event loop only. One task of its own, which enters and leaves every connection; it ends while there is nothing
to do. Whoever calls a tool waits for the server, nobody else does. A server that fails is told of once, and
once when it is back; between tries there is a pause, and after some of them it waits to be wanted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from pivoice.config import McpConfig
from pivoice.errors import ToolError
from pivoice.tools.mcp_tools import Offered, Plain, choose, idle_patterns, make_plain
from pivoice.tools.registry import ToolDefinition
from pivoice.tools.surroundings import Concealment

logger = logging.getLogger(__name__)

CONNECT_S = 10.0
START_S = 40.0  # a program: Python with its libraries needs half a minute on the smallest Pi
LIST_S = 10.0
PING_S = 10.0
IDLE_S = 600.0  # after the last conversation or call; a program's memory is worth more on a small Pi
LIST_PAUSE_S = 5.0  # between two looks at its tools, however often it says that they changed
HELD_S = 60.0  # a connection that breaks sooner was worth nothing
PAUSE_S, MAX_PAUSE_S = 2.0, 300.0
MAX_TRIES = 4  # in a row; then it waits to be wanted
_MOST_TOLD = 50  # warnings; a server that thinks up new faults is known by then
_MAX_REASON_CHARS = 300


class LostError(ToolError):
    """The connection is gone, or cannot be had."""

    def __init__(self, reason: str, *, was_forgotten: bool = False) -> None:
        super().__init__(reason)
        self.was_forgotten = was_forgotten
        """The server is there and begins anew; what was asked was not done."""


@dataclass(frozen=True)
class Place:
    """Where a server is: a program, or an address."""

    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: str = "/"
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    secrets: Concealment = field(default_factory=lambda: Concealment([]))
    """What must not be told of it."""


class Connection(Protocol):
    """As `mcp_connection.Connection`, which says more."""

    lost: asyncio.Future[str]

    async def list_tools(self) -> list[Offered]: ...
    async def call(self, name: str, arguments: Mapping[str, object]) -> str: ...
    async def ping(self) -> None: ...


Connect: TypeAlias = Callable[[Place, Callable[[], None]], AbstractAsyncContextManager[Connection]]


class Server:
    """One [[tools.mcp]]."""

    def __init__(
        self,
        config: McpConfig,
        *,
        timeout_s: float,
        load: Callable[[], Awaitable[Connect]],
        find: Callable[[McpConfig], Awaitable[Place]],
        put: Callable[[str, Sequence[ToolDefinition]], None],
    ) -> None:
        """`load` brings the SDK, `find` reads the secrets; both may take their time."""
        self.config = config
        self._timeout_s = config.timeout_s or timeout_s
        self._load, self._find, self._put = load, find, put
        self._tries = _Tries()
        self._task: asyncio.Task[None] | None = None
        self._connection: Connection | None = None
        self._ready: asyncio.Future[Connection] | None = None
        self._stir = asyncio.Event()
        self._has_changed = self._is_doubted = self._is_forgotten = False
        self._used_s = 0.0
        self._calls = 0
        self._secrets = Concealment([])
        self._tools: tuple[ToolDefinition, ...] = ()
        self._listed: list[Offered] | None = None
        self._told: set[str] = set()
        self._why = ""
        """Why it is not there; "" while it is, or was not wanted yet."""

    def wanted(self) -> None:
        """It may soon be of use."""
        self._used_s = asyncio.get_running_loop().time()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name=f"mcp {self.config.name}")

    def cancel(self) -> asyncio.Task[None] | None:
        """Leave it, and return what is still to be waited for."""
        if self._task is not None:
            self._task.cancel()
        return self._task

    def status(self) -> dict[str, object]:
        state = "connected" if self._connection else "failed" if self._why else "at rest"
        if self._task is not None and not self._task.done() and state != "connected":
            state = "waiting to try again" if self._why else "connecting"
        to = (
            self.config.command[0]
            if self.config.command
            else self.config.url.partition("?")[0].rpartition("@")[2]
        )
        names = [tool.name for tool in self._tools]
        return {"name": self.config.name, "to": to, "state": state, "why": self._why, "tools": names}

    async def call(self, tool: str, arguments: Mapping[str, object]) -> str:
        """Return what `tool` says, connecting first where that makes sense.

        Raises:
            ToolError: for the agent.
        """
        loop = asyncio.get_running_loop()
        self._used_s = begun_s = loop.time()
        self._calls += 1
        try:
            return self._secrets.scrub(await self._call(tool, arguments))
        except ToolError as error:
            raise ToolError(self._secrets.scrub(str(error))) from None
        except asyncio.CancelledError:
            if loop.time() - begun_s >= self._timeout_s * 0.9:  # out of time, not given up
                self._is_doubted = True
                self._stir.set()
            raise
        finally:
            self._calls -= 1
            self._used_s = loop.time()

    async def _call(self, tool: str, arguments: Mapping[str, object]) -> str:
        connection = await self._connected()
        try:
            return await connection.call(tool, arguments)
        except LostError as error:
            if not error.was_forgotten:
                raise self._lost_error(str(error)) from None
        self._is_forgotten, self._connection = True, None
        self._stir.set()
        try:
            return await (await self._connected()).call(tool, arguments)
        except LostError as error:
            raise self._lost_error(str(error)) from None

    async def _connected(self) -> Connection:
        if self._connection is not None:
            return self._connection
        loop = asyncio.get_running_loop()
        if self._tries.wait_s(loop.time()) > 0:
            raise self._lost_error(self._why)
        ready = self._next_ready()
        self.wanted()
        return await asyncio.shield(ready)

    def _next_ready(self) -> asyncio.Future[Connection]:
        if self._ready is None or self._ready.done():
            self._ready = asyncio.get_running_loop().create_future()
            self._ready.add_done_callback(lambda done: done.cancelled() or done.exception())  # seen
        return self._ready

    def _lost_error(self, reason: str) -> LostError:
        return LostError(f"its MCP server {self.config.name} cannot be reached: {reason}")

    # --- its task ---

    async def _run(self) -> None:
        now_s = asyncio.get_running_loop().time
        try:
            while True:
                await asyncio.sleep(self._tries.wait_s(now_s()))
                self._is_forgotten = False
                reason = await self._live()
                self._connection = None
                if self._is_forgotten:
                    continue
                if not reason and self._used_s + IDLE_S > now_s():
                    continue  # wanted again while it was being left
                if not reason:
                    return
                self._lose(reason, now_s())
                if self._tries.failed >= MAX_TRIES:
                    return
        finally:
            self._connection = None
            if self._ready is not None and not self._ready.done():
                self._ready.cancel()

    async def _live(self) -> str:
        """Connect, and hold the connection; return why it is lost, "" when it is wanted no more."""
        ready = self._next_ready()
        within_s = START_S if self.config.command else CONNECT_S
        try:
            async with AsyncExitStack() as stack:
                connect = await self._load()
                async with asyncio.timeout(within_s):
                    place = await self._find(self.config)
                    self._secrets = place.secrets
                    connection = await stack.enter_async_context(connect(place, self._change))
                return await self._use(connection, ready)
        except TimeoutError:
            return f"it does not answer within {within_s:g} s"
        except ToolError as error:
            return str(error) or "it does not say why"
        except Exception as error:  # the top of a task: whatever a server brings about, it is its own matter
            logger.debug("! the MCP server %s", self.config.name, exc_info=True)
            return f"it failed unexpectedly ({type(error).__name__})"

    async def _use(self, connection: Connection, ready: asyncio.Future[Connection]) -> str:
        """As `_live`, of a connection that is there. No error leaves it: the SDK would wrap it up."""
        try:
            await self._list(connection)
            self._arrive(connection, ready)
            return await self._hold(connection)
        except TimeoutError:
            return f"it does not tell its tools within {LIST_S:g} s"
        except ToolError as error:
            return str(error) or "it does not say why"

    async def _hold(self, connection: Connection) -> str:
        loop = asyncio.get_running_loop()
        connection.lost.add_done_callback(lambda _: self._stir.set())
        listed_s = loop.time()
        while not connection.lost.done() and not self._is_forgotten:
            idle_s = self._used_s + IDLE_S - loop.time()
            if idle_s <= 0 and not self._calls:
                self._connection = None  # leaving takes a while, and nobody may call what is being left
                return ""
            await self._stirred(max(idle_s, PING_S))
            if self._is_doubted:
                self._is_doubted = False
                if not await self._answers(connection):
                    return "it hangs"
            if self._has_changed:
                await asyncio.wait({connection.lost}, timeout=max(0.0, listed_s + LIST_PAUSE_S - loop.time()))
                listed_s = loop.time()
                await self._list(connection)
        return connection.lost.result() if connection.lost.done() else ""

    async def _stirred(self, within_s: float) -> None:
        try:
            async with asyncio.timeout(within_s):
                await self._stir.wait()
        except TimeoutError:
            return
        self._stir.clear()

    @staticmethod
    async def _answers(connection: Connection) -> bool:
        try:
            async with asyncio.timeout(PING_S):
                await connection.ping()
        except TimeoutError:
            return False
        except LostError:
            return False
        except ToolError:
            pass  # an answer, too
        return True

    def _change(self) -> None:
        self._has_changed = True
        self._stir.set()

    async def _list(self, connection: Connection) -> None:
        """Have the registry know the server's tools as they are now."""
        self._has_changed = False
        async with asyncio.timeout(LIST_S):
            listed = await connection.list_tools()
        if listed == self._listed:
            return
        name, patterns = self.config.name, self.config.tools
        # In a thread: hundreds of tools, or references within references, would hold up a conversation.
        plain, faults = await asyncio.to_thread(make_plain, name, choose(listed, patterns))
        self._listed = listed
        for tool, fault in faults.items():
            self._warn("the tool %r of the MCP server %s is left out: %s", tool, name, fault)
        for pattern in idle_patterns(listed, patterns):
            there = ", ".join(each.name for each in listed)[:_MAX_REASON_CHARS] or "none"
            self._warn(
                "the MCP server %s has no tool %r, as its setting tools wants; it has: %s",
                name,
                pattern,
                there,
            )
        self._tools = tuple(self._definition(each) for each in plain)
        self._put(f"mcp:{name}", self._tools)

    def _definition(self, tool: Plain) -> ToolDefinition:
        async def run(arguments: Mapping[str, object]) -> str:
            return await self.call(tool.own_name, arguments)

        return ToolDefinition(
            name=tool.name,
            description=self._secrets.scrub(tool.description),
            parameters=self._secrets.scrub_within(tool.parameters),
            run=run,
            source=f"mcp:{self.config.name}",
            timeout_s=self._timeout_s,
        )

    # --- what is told of it ---

    def _arrive(self, connection: Connection, ready: asyncio.Future[Connection]) -> None:
        is_first, self._why = not self._told & {"arrived"}, ""
        was_lost = self._tries.arrived(asyncio.get_running_loop().time())
        self._connection = connection
        if not ready.done():
            ready.set_result(connection)
        self._told.add("arrived")
        told = "the MCP server %s is %s; it has %d tools"
        level = logging.INFO if is_first or was_lost else logging.DEBUG
        logger.log(level, told, self.config.name, "back" if was_lost else "there", len(self._tools))

    def _lose(self, reason: str, now_s: float) -> None:
        """It cannot be had, or was lost."""
        reason = " ".join(self._secrets.scrub(reason).split())[:_MAX_REASON_CHARS]
        is_news = self._tries.lose(now_s)
        self._why = reason
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(self._lost_error(reason))
        told = "the MCP server %s cannot be reached: %s; it is tried again, later each time"
        logger.log(logging.WARNING if is_news else logging.DEBUG, told, self.config.name, reason)

    def _warn(self, sentence: str, *facts: object) -> None:
        if (told := sentence % facts) not in self._told and len(self._told) < _MOST_TOLD:
            self._told.add(told)
            logger.warning("%s", told)


class _Tries:
    """How often, and how soon, a server is tried. PURE."""

    def __init__(self) -> None:
        self.failed = 0
        self._arrived_s: float | None = None
        self._next_s = 0.0
        self._is_told_lost = False

    def wait_s(self, now_s: float) -> float:
        return max(0.0, self._next_s - now_s)

    def arrived(self, now_s: float) -> bool:
        """It is there; return whether somebody was told that it is lost."""
        self._arrived_s = now_s
        was_lost, self._is_told_lost = self._is_told_lost, False
        return was_lost

    def lose(self, now_s: float) -> bool:
        """It is not; return whether that is news."""
        if self._arrived_s is not None and now_s - self._arrived_s >= HELD_S:
            self.failed = 0
        self._arrived_s = None
        self.failed += 1
        self._next_s = now_s + min(PAUSE_S * 2 ** (self.failed - 1), MAX_PAUSE_S)
        is_news, self._is_told_lost = not self._is_told_lost, True
        return is_news
