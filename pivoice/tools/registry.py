"""What the agent may ask the device to do: which tools there are, which are offered, and running one call.

Event loop only; what takes time (looking at arguments) is done in a thread. A call always has an answer, and
it is always JSON: the server wants "a JSON string". Whatever goes wrong becomes a sentence for the agent to
read: what failed, and what to do about it. No answer holds a secret that it was told of. Names and arguments
come from the agent: they are told to it again, and never logged.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pivoice.config import ToolsConfig
from pivoice.errors import ConfigError, Fault, ToolError
from pivoice.secrecy import Secrets
from pivoice.tools import answers
from pivoice.tools.answers import MAX_ANSWER_CHARS, Answer
from pivoice.tools.offers import Offer, choose
from pivoice.tools.schemas import Rules, SchemaError, usable

__all__ = ["MAX_ANSWER_CHARS", "Answer", "RefusedError", "Registry", "Run", "ToolDefinition"]

logger = logging.getLogger(__name__)
calls_logger = logging.getLogger(f"{__name__}.calls")  # one line a call, of which none is folded into another

MAX_DESCRIPTION_CHARS = 1024  # what the models behind such servers take
CLOSE_S = (0.8, 0.2)  # for ending when asked to; for being ended
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")

Run = Callable[[Mapping[str, object]], Awaitable[str]]


@dataclass(frozen=True)
class ToolDefinition:
    """One tool. `parameters` is a JSON Schema of an object; its descriptions also steer the turn-taking."""

    name: str
    description: str
    parameters: dict[str, object]
    run: Run
    """Returns the answer: JSON, or any text. The agent is told what a `pivoice.errors.ToolError` says."""
    source: str = "pivoice"
    """Who brings it: "pivoice", "command", "package:NAME" or "mcp:NAME"."""
    timeout_s: float | None = None
    """Seconds it may take; None: as all."""
    most_chars: int = MAX_ANSWER_CHARS
    """Characters of its answer that the agent gets; the rest is cut, and said so."""


class RefusedError(ToolError):
    """The arguments cannot be used; says how they are wrong. Nothing was run."""


@dataclass(frozen=True)
class _Refused:
    """A tool that cannot be used, and why."""

    name: str
    description: str
    why: str


class Registry:
    """The tools by name, wherever they come from."""

    def __init__(self, config: ToolsConfig, *, secrets: Secrets | None = None) -> None:
        """`secrets`: what is taken out of every answer."""
        self._config = config
        self._secrets = secrets or Secrets()
        self._tools: dict[str, list[ToolDefinition]] = {}
        self._refused: dict[str, list[_Refused]] = {}
        self._rules: dict[str, Rules] = {}
        self._offer: Offer | None = None
        self._told: tuple[str, ...] = ()
        """The sentences about the choice that were logged."""
        self._looking = asyncio.Lock()  # calls are looked at, and so begun, in their order
        self._leaving: set[asyncio.Task[str]] = set()
        self.on_change: Callable[[], None] = lambda: None
        """Called when `offered` may have changed."""

    # --- which there are ---

    def put(self, source: str, tools: Sequence[ToolDefinition]) -> None:
        """Have `tools`, and no others, from `source`. One that cannot be used is left out, with a warning.

        Raises:
            ConfigError: of the owner's own, one cannot be used.
        """
        kept: dict[str, ToolDefinition] = {}
        refused: list[_Refused] = []
        for tool in tools:
            problem = f"another of {source} has its name" if tool.name in kept else ""
            try:
                kept.setdefault(tool.name, _checked(replace(tool, source=source)))
            except SchemaError as error:
                problem = str(error)
            if problem:
                refused.append(_Refused(str(tool.name)[:80], str(tool.description)[:200], problem))
        if refused and source == "command":
            raise ConfigError([Fault("tools.command", f"{each.name}: {each.why}") for each in refused])
        for each in refused:
            logger.warning("the tool %r of %s is left out: %s", each.name, source, each.why)
        self._tools[source], self._refused[source] = list(kept.values()), refused
        self._offer = None
        self._rules.clear()
        self.on_change()

    @property
    def offered(self) -> tuple[ToolDefinition, ...]:
        """The tools that the agent is told of, and may use: by tools.offer, as many as there is room for."""
        return self._chosen().offered

    def listed(self) -> list[dict[str, object]]:
        """Return all tools, for people: name, source, description, whether offered, and why not."""
        offer = self._chosen()
        lines: list[dict[str, object]] = [
            _line(tool.name, tool.source, tool.description, why=offer.why_not.get(id(tool), ""))
            for tool in offer.everything
        ]
        for source, refused in self._refused.items():
            lines += [_line(each.name, source, each.description, why=each.why) for each in refused]
        return lines

    def _chosen(self) -> Offer:
        if self._offer is None:
            self._offer = choose(self._tools, self._config)
            for sentence in self._offer.warnings:
                if sentence not in self._told:
                    logger.warning("%s", sentence)
            self._told = self._offer.warnings
        return self._offer

    # --- running one ---

    async def run(
        self, name: str, arguments: Mapping[str, object], *, by: Literal["agent", "owner"] = "agent"
    ) -> Answer:
        """Run one call and return its answer. Raises nothing but cancellation.

        The agent may use what it is offered, the owner all there is.
        """
        offer = self._chosen()
        known = {tool.name: tool for tool in (offer.offered if by == "agent" else offer.usable)}
        tool = known.get(name)
        if tool is None:
            calls_logger.info("a call of a tool that there is not: answered so")
            names = answers.clipped(", ".join(sorted(known)) or "none", 1000)
            return self._failure(f"There is no tool {answers.quoted(name)}; there are: {names}.")
        loop = asyncio.get_running_loop()
        begun_s, outcome = loop.time(), "cancelled"
        try:
            outcome, answer = await self._outcome(tool, arguments)
            return answer
        finally:
            took_s = loop.time() - begun_s
            told = "tool %s (%s): %s after %.2f s" + (", called by hand" if by == "owner" else "")
            calls_logger.info(told, tool.name, tool.source, outcome, took_s)

    async def _outcome(self, tool: ToolDefinition, arguments: Mapping[str, object]) -> tuple[str, Answer]:
        """Return the outcome in a word or two, and the answer."""
        timeout_s = tool.timeout_s or self._config.timeout_s
        work = asyncio.create_task(self._work(tool, arguments), name=f"tool {tool.name} at work")
        self._leaving.add(work)
        work.add_done_callback(self._left)
        try:
            await asyncio.wait({work}, timeout=timeout_s)
        finally:
            in_time = work.done()
            work.cancel()  # however long it takes to end: nobody waits for it
        if not in_time:
            return "timed out", self._failed(tool, f"took longer than {timeout_s:g} s")
        if work.cancelled():  # by something that it waited for, not by us
            return "failed", self._failed(tool, "was given up")
        match work.exception():
            case None:
                return "done", Answer(answers.as_json(self._secrets.scrub(work.result()), tool.most_chars))
            case RefusedError() as error:
                fault = (
                    f"{tool.name} was not run: {error}. Ask the user if you do not know it, and call again."
                )
                return "refused", self._failure(fault)
            case ToolError() as error:
                return "failed", self._failed(tool, f"failed: {error}")
            case TimeoutError():
                return "failed", self._failed(tool, "timed out")
            case error:
                reason = f"failed unexpectedly ({type(error).__name__})"
                logger.error("the tool %s %s; its traceback is logged at DEBUG", tool.name, reason)
                logger.debug("! the tool %s", tool.name, exc_info=error)
                return "failed", self._failed(tool, reason)

    async def _work(self, tool: ToolDefinition, arguments: Mapping[str, object]) -> str:
        rules = self._rules.setdefault(tool.name, Rules(tool.parameters))
        async with self._looking:
            if not rules.hold_at_once(arguments) and (
                fault := await asyncio.to_thread(rules.find_fault, arguments)
            ):
                raise RefusedError(fault)
        try:
            return answers.as_text(await tool.run(arguments))
        except SystemExit as error:  # would end the loop, and us
            raise RuntimeError("a tool wanted to end pivoice") from error

    async def close(self) -> None:
        """Give up whatever runs, whoever called it; return once it is over, in a second at most.

        Nobody waits for it later: the process leaves without a look at its tasks, and what a tool has
        started would outlive us.
        """
        for within_s in CLOSE_S:
            for work in self._leaving:
                work.cancel()
            if self._leaving:
                await asyncio.wait(self._leaving, timeout=within_s)

    def _left(self, work: asyncio.Task[str]) -> None:
        self._leaving.discard(work)
        if not work.cancelled():
            work.exception()  # seen: asyncio would log one that nobody looks at, and what it holds

    def _failed(self, tool: ToolDefinition, reason: str) -> Answer:
        return self._failure(f"{tool.name} {reason}. Tell the user that it did not work.")

    def _failure(self, text: str) -> Answer:
        return answers.failure(self._secrets.scrub(text))


def _checked(tool: ToolDefinition) -> ToolDefinition:
    """Return `tool` as the agent's server takes it; raise a SchemaError where it would choke on it."""
    if not isinstance(tool.name, str) or not _NAME.fullmatch(tool.name):
        raise SchemaError("name", "must be 1 to 64 letters without accents, digits, _ or -")
    if not isinstance(tool.description, str) or not tool.description.strip():
        raise SchemaError("description", "is empty; it must say what the tool does and when to use it")
    if len(tool.description) > MAX_DESCRIPTION_CHARS:
        raise SchemaError("description", f"is too long; at most {MAX_DESCRIPTION_CHARS} characters are taken")
    is_foreign = tool.source.startswith(
        "mcp:"
    )  # its server checks for itself, and its author does not know us
    return replace(tool, parameters=usable(tool.parameters, is_lenient=is_foreign))


def _line(name: str, source: str, description: str, *, why: str) -> dict[str, object]:
    return {"name": name, "source": source, "description": description, "offered": not why, "why": why}
