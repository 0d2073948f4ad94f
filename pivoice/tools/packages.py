"""The owner's own tools that are Python packages: entry points of the group `pivoice.tools`.

An entry point is a `ToolDefinition` (registry.py), a list of them, or a callable without arguments that
returns either. Any thread, once per start: importing others' packages takes what it takes. What is wrong with
one never keeps the others, or us, from working.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pivoice.tools.answers import clipped
from pivoice.tools.registry import ToolDefinition
from pivoice.tools.schemas import SchemaError, check, usable

logger = logging.getLogger(__name__)

GROUP = "pivoice.tools"
_MAX_REASON_CHARS = 300
_threads = ThreadPoolExecutor(16, "package tool")
"""For plain functions. A thread whose function hangs is lost for good, and asyncio's own few also ask after
addresses and look at arguments: without them nothing works any more."""


def open_packages(points: Iterable[EntryPoint] | None = None) -> list[ToolDefinition]:
    """Return the tools of all packages, each with its source; what cannot be used is a warning.

    `points` None: those of what is installed.
    """
    tools: list[ToolDefinition] = []
    found = entry_points(group=GROUP) if points is None else points
    for point in sorted(found, key=lambda each: (_package(each), each.name)):
        try:
            tools += _tools_of(point)
        except (Exception, SystemExit) as error:  # others' code may do anything
            reason = clipped(f"{type(error).__name__}: {error}", _MAX_REASON_CHARS)
            logger.warning("no tools of the package %s (%s): %s", _package(point), point.name, reason)
            logger.debug("! the package %s", _package(point), exc_info=True)
    return tools


def _tools_of(point: EntryPoint) -> list[ToolDefinition]:
    found = point.load()
    if callable(found) and not isinstance(found, ToolDefinition):
        found = found()
    tools = [found] if isinstance(found, ToolDefinition) else found
    if not isinstance(tools, list | tuple) or not all(isinstance(each, ToolDefinition) for each in tools):
        kind = type(tools).__name__
        raise TypeError(
            f"{point.value} is neither a ToolDefinition nor a list of them, nor returns one: {kind}"
        )
    usable_ones = []
    for tool in tools:
        try:
            check(usable(tool.parameters))
        except SchemaError as error:
            told = "the tool %r of the package %s is left out: %s"
            logger.warning(told, tool.name, _package(point), error)
            continue
        usable_ones.append(replace(tool, source=f"package:{_package(point)}", run=_asynchronous(tool.run)))
    return usable_ones


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value.partition(":")[0].partition(".")[0]


def _asynchronous(
    run: Callable[[Mapping[str, object]], Any],
) -> Callable[[Mapping[str, object]], Awaitable[str]]:
    """Return `run` as it must be; a plain function is run in a thread, where it holds nobody up."""
    if inspect.iscoroutinefunction(run) or inspect.iscoroutinefunction(getattr(run, "__call__", None)):  # noqa: B004
        return run

    async def run_in_thread(arguments: Mapping[str, object]) -> str:
        answer = await asyncio.get_running_loop().run_in_executor(_threads, run, arguments)
        return await answer if inspect.isawaitable(answer) else answer  # type: ignore[no-any-return]

    return run_in_thread
