"""What the agent may ask the device to do: names, schemas, and running one call.

Event loop only. A call always has an answer: whatever goes wrong becomes a sentence for the agent to read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from pivoice.errors import ToolError

logger = logging.getLogger(__name__)

MAX_TOOLS = 10  # the server takes no more at a time
MAX_ANSWER_CHARS = 4000

Run = Callable[[Mapping[str, object]], Awaitable[str]]


@dataclass(frozen=True)
class ToolDefinition:
    """One tool. `parameters` is a JSON Schema of an object; its descriptions also steer the turn-taking."""

    name: str
    description: str
    parameters: dict[str, object]
    run: Run


@dataclass(frozen=True)
class Answer:
    """What the agent is told."""

    text: str
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
            return Answer(f"There is no tool {name!r}; there are: {known}.", is_error=True)
        if fault := find_fault(arguments, tool.parameters):
            return Answer(f"{name} was not run: {fault}.", is_error=True)
        try:
            async with asyncio.timeout(self._timeout_s) as limit:
                text = await tool.run(arguments)
        except TimeoutError:
            late = limit.expired()
            reason = f"took longer than {self._timeout_s:g} s" if late else "timed out"
            return Answer(f"{name} {reason}; tell the user that it did not work.", is_error=True)
        except ToolError as error:
            return Answer(f"{name} failed: {error}.", is_error=True)
        except Exception as error:  # the top of a tool's task: the agent must be answered
            logger.exception("the tool %s failed", name)
            return Answer(f"{name} failed unexpectedly ({type(error).__name__}).", is_error=True)
        return Answer(text[:MAX_ANSWER_CHARS])


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
        if not fits or (isinstance(value, bool) and kind in ("number", "integer")):
            return f"the argument {name!r} must be of type {kind}, not {value!r}"
        choices = rule.get("enum")
        if isinstance(choices, list | tuple) and value not in choices:
            return f"the argument {name!r} must be one of {', '.join(map(repr, choices))}, not {value!r}"
    return ""
