"""What the agent may ask the device to do: names, schemas, and running one call.

Event loop only. A call always has an answer, and it is always JSON: the server wants "a JSON string".
Whatever goes wrong becomes a sentence for the agent to read: what failed, and what to do about it.
Names and arguments come from the agent: they are told to it again, and logged at DEBUG alone.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from pivoice.errors import ToolError

logger = logging.getLogger(__name__)

MAX_TOOLS = 10  # the server takes no more at a time
MAX_ANSWER_CHARS = 4000
_MAX_QUOTED_CHARS = 80  # of what the agent said wrong

Run = Callable[[Mapping[str, object]], Awaitable[str]]


@dataclass(frozen=True)
class ToolDefinition:
    """One tool. `parameters` is a JSON Schema of an object; its descriptions also steer the turn-taking."""

    name: str
    description: str
    parameters: dict[str, object]
    run: Run
    source: str = "pivoice"
    """Who brings it: "pivoice", "command", "package:NAME" or "mcp:NAME"."""
    timeout_s: float | None = None
    """Seconds it may take; None: as all."""


@dataclass(frozen=True)
class Answer:
    """What the agent is told."""

    text: str
    """JSON, of at most `MAX_ANSWER_CHARS` or a little more."""
    is_error: bool = False


class Registry:
    """The tools by name. Each call may take `timeout_s`."""

    def __init__(self, tools: Sequence[ToolDefinition], *, timeout_s: float) -> None:
        names = [tool.name for tool in tools]
        assert len(set(names)) == len(names), f"two tools have one name: {names}"
        assert len(tools) <= MAX_TOOLS, f"the agent takes {MAX_TOOLS} tools, not {len(tools)}"
        self.definitions = tuple(tools)
        self._tools = {tool.name: tool for tool in tools}
        self._timeout_s = timeout_s

    async def run(self, name: str, arguments: Mapping[str, object]) -> Answer:
        """Run one call and return its answer. Raises nothing but cancellation."""
        tool = self._tools.get(name)
        if tool is None:
            known = ", ".join(sorted(self._tools)) or "none"
            return _failure(f"There is no tool {_quoted(name)}; there are: {known}.")
        if fault := find_fault(arguments, tool.parameters):
            return _failure(
                f"{name} was not run: {fault}. Ask the user if you do not know it, and call again."
            )
        try:
            async with asyncio.timeout(self._timeout_s) as limit:
                return Answer(_as_json(await tool.run(arguments)))
        except TimeoutError:
            late = limit.expired()
            reason = f"took longer than {self._timeout_s:g} s" if late else "timed out"
        except ToolError as error:
            reason = f"failed: {error}"
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            reason = "was given up"  # by something that it waited for, not by us
        except Exception as error:  # the top of a tool's task: the agent must be answered
            reason = f"failed unexpectedly ({type(error).__name__})"
            logger.error("the tool %s %s; its traceback is logged at DEBUG", name, reason)
            logger.debug("! the tool %s", name, exc_info=True)
        return _failure(f"{name} {reason}. Tell the user that it did not work.")


def _failure(text: str) -> Answer:
    return Answer(json.dumps({"error": text}), is_error=True)


def _as_json(text: str) -> str:
    """Return `text` if it is JSON already, else JSON that holds it; too long a text is cut."""
    if len(text) > MAX_ANSWER_CHARS:
        return json.dumps({"result": text[:MAX_ANSWER_CHARS], "cut": True})
    try:
        json.loads(text, parse_constant=_refuse_constant)
        text.encode("utf-8")
    except (ValueError, RecursionError):  # UnicodeEncodeError is a ValueError
        return json.dumps({"result": text})
    return text


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is Python's, not JSON's")


def _quoted(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_QUOTED_CHARS else text[: _MAX_QUOTED_CHARS - 3] + "..."


_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


def find_fault(arguments: Mapping[str, object], schema: Mapping[str, object]) -> str:
    """Return what is wrong with `arguments`, in words for the agent; "" when nothing is.

    Checks what a voice gets wrong: missing, ill-typed and unlisted values. What the schema does not
    name is let through; a tool ignores it.
    """
    required, properties = schema.get("required", ()), schema.get("properties", {})
    assert isinstance(required, list | tuple) and isinstance(properties, Mapping), "not a JSON Schema"
    for name in required:
        if name not in arguments:
            return f"the argument {name!r} is missing"
    for name, value in arguments.items():
        rule = properties.get(name)
        if not isinstance(rule, Mapping):
            continue
        kind = str(rule.get("type", ""))
        fits = isinstance(value, _TYPES.get(kind, (object,)))
        if kind == "integer" and isinstance(value, float):
            fits = value.is_integer()  # JSON knows one kind of number: 3.0 is an integer
        if not fits or (isinstance(value, bool) and kind in ("number", "integer")):
            return f"the argument {name!r} must be of type {kind}, not {_quoted(value)}"
        choices = rule.get("enum")
        if isinstance(choices, list | tuple) and value not in choices:
            return (
                f"the argument {name!r} must be one of {', '.join(map(repr, choices))}, not {_quoted(value)}"
            )
    return ""
