"""The MCP servers of [[tools.mcp]]: nothing until a conversation begins, then their tools.

Event loop only. Owns the servers' tasks, and the one import of the SDK, which is an extra (`mcp`): where it
is not installed that is said once, and everything else works.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import importlib.util
import logging
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pivoice.config import McpConfig, ToolsConfig
from pivoice.errors import ToolError
from pivoice.templates import parse
from pivoice.tools.mcp_server import Connect, Place, Server
from pivoice.tools.registry import ToolDefinition
from pivoice.tools.secret_files import read_secrets
from pivoice.tools.surroundings import Concealment, environment_for

logger = logging.getLogger(__name__)

CLOSE_S = (0.6, 0.2)  # for leaving well; for leaving at once
MISSING = (
    "the MCP servers of [[tools.mcp]] (%s) need the Python package mcp, which is not installed; "
    "run: sudo ./scripts/install --mcp (in an environment of your own: pip install 'pivoice[mcp]')"
)
_SWITCH_S = 0.0005  # while the SDK loads, nobody waits longer for Python than this
_SECRET = re.compile(r"(?i)auth|key|token|secret|passw|cookie|sig")
_CONNECTION = "pivoice.tools.mcp_connection"


class McpServers:
    """All of them."""

    def __init__(
        self,
        config: ToolsConfig,
        *,
        environ: Mapping[str, str],
        state_dir: Path,
        put: Callable[[str, Sequence[ToolDefinition]], None],
        connect: Connect | None = None,
    ) -> None:
        """`put`: takes all tools that a source has, as `Registry.put`. `connect`: in place of the SDK's."""
        self._environ, self._state_dir, self._connect = environ, state_dir, connect
        self._loading: asyncio.Task[Connect] | None = None
        self._servers = [
            Server(each, timeout_s=config.timeout_s, load=self._load, find=self._find, put=put)
            for each in config.mcp
        ]
        if config.mcp and connect is None and not _is_installed():
            logger.warning(MISSING, ", ".join(each.name for each in config.mcp))
            self._servers = []

    def wanted(self) -> None:
        """A conversation begins: connect to what is not connected, in the background."""
        for server in self._servers:
            server.wanted()

    async def close(self) -> None:
        """Leave all servers, and end those that are programs; in less than a second."""
        tasks: set[asyncio.Task[Any]] = {
            task for server in self._servers if (task := server.cancel()) is not None
        }
        if self._loading is not None:
            tasks.add(self._loading)
            self._loading.cancel()
        for within_s in CLOSE_S:
            if tasks := {task for task in tasks if not task.done()}:
                await asyncio.wait(tasks, timeout=within_s)
            for task in tasks:
                task.cancel()

    def status(self) -> list[dict[str, object]]:
        """Return for each server: name, to, state, why (it is not there) and the names of its tools."""
        return [server.status() for server in self._servers]

    async def _load(self) -> Connect:
        if self._connect is None:
            if self._loading is None or self._loading.done():
                self._loading = asyncio.create_task(asyncio.to_thread(_load), name="mcp loading")
            self._connect = await asyncio.shield(self._loading)
        return self._connect

    async def _find(self, config: McpConfig) -> Place:
        return await asyncio.to_thread(find_place, config, self._environ, self._state_dir)


def find_place(config: McpConfig, environ: Mapping[str, str], state_dir: Path) -> Place:
    """Return where a server is, with its secrets as their files have them now.

    Raises:
        ToolError: a secret cannot be read, or a header wants one that there is not.
    """
    secrets = read_secrets(config.secrets, environ)
    told = [value for name, value in config.headers.items() if _SECRET.search(name)]
    hidden = Concealment([*secrets.values(), *told, *_words(config.url)])
    if config.url:
        headers = {name: _filled(name, value, secrets) for name, value in config.headers.items()}
        return Place(url=config.url, headers=headers, secrets=hidden)
    with suppress(OSError):
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory = str(state_dir) if state_dir.is_dir() else "/"
    home = environ.get("HOME", "")
    if not home or not Path(home).is_dir():  # a system user's; and programs make caches there
        home = directory
    environment = environment_for({**environ, "HOME": home}, {**config.environment, **secrets})
    return Place(command=config.command, environment=environment, directory=directory, secrets=hidden)


def _words(url: str) -> list[str]:
    """Return what is secret in an address, where somebody wrote it there."""
    asked = re.findall(r"[?&]([^=&#]+)=([^&#]+)", url)
    return re.findall(r"//[^/@]*?:([^/@]*)@", url) + [value for name, value in asked if _SECRET.search(name)]


def _filled(header: str, value: str, secrets: Mapping[str, str]) -> str:
    template = parse(value)
    for name in template.names:
        if name not in secrets:
            raise ToolError(
                f"its header {header} wants the secret {name}, which its setting secrets does not name"
            )
    return template.filled(secrets)


def _is_installed() -> bool:
    return importlib.util.find_spec("mcp") is not None


def _load() -> Connect:
    """Import the SDK, in a thread, and let the audio's threads have Python all the while.

    The collector would look at all it brings, in one go, with everybody waiting: not now, and not later.
    """
    was_collecting, switch_s = gc.isenabled(), sys.getswitchinterval()
    gc.disable()
    sys.setswitchinterval(_SWITCH_S)
    try:
        connect: Connect = importlib.import_module(_CONNECTION).connect
        gc.freeze()
    except ImportError as error:
        raise ToolError(
            f"the Python package mcp cannot be used: {error}; {MISSING.partition('; ')[2]}"
        ) from None
    finally:
        sys.setswitchinterval(switch_s)
        if was_collecting:
            gc.enable()
    return connect
