"""Which tools the agent is offered: it takes about ten. PURE.

The owner's own go before those of pivoice, and these before those of MCP servers; tools.offer says otherwise.
Of two that have one name the first counts. The agent can always hang up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from pivoice.config import ToolsConfig

if TYPE_CHECKING:
    from pivoice.tools.registry import ToolDefinition

HANG_UP = "end_conversation"
_RANKS = {"command": 0, "package": 1, "pivoice": 2, "mcp": 3}


@dataclass(frozen=True)
class Offer:
    """A choice of tools."""

    everything: tuple[ToolDefinition, ...]
    usable: tuple[ToolDefinition, ...]
    """All but those whose name another one has."""
    offered: tuple[ToolDefinition, ...]
    why_not: Mapping[int, str]
    """Of those that are not offered, by `id`."""
    warnings: tuple[str, ...]


def choose(tools: Mapping[str, Sequence[ToolDefinition]], config: ToolsConfig) -> Offer:
    """Choose among `tools`, by their sources."""
    everything = [tool for source in _in_order(tools, config) for tool in tools[source]]
    usable: dict[str, ToolDefinition] = {}
    why_not: dict[int, str] = {}
    warnings: list[str] = []
    for tool in everything:
        first = usable.setdefault(tool.name, tool)
        if first is not tool:
            why_not[id(tool)] = f"a tool of {first.source} has its name"
            warnings.append(f"the tool {tool.name} of {first.source} stands in for that of {tool.source}")
    wanted = list(_wanted(list(usable.values()), config.offer))
    if HANG_UP in usable and usable[HANG_UP] not in wanted[: config.most]:
        wanted = [tool for tool in wanted if tool.name != HANG_UP]
        wanted.insert(config.most - 1, usable[HANG_UP])
    offered, left_out = wanted[: config.most], wanted[config.most :]
    names_left_out, names_offered = ({tool.name for tool in each} for each in (left_out, offered))
    for tool in usable.values():
        if tool.name in names_left_out:
            why_not[id(tool)] = f"there is no room: tools.most is {config.most}"
        elif tool.name not in names_offered:
            why_not[id(tool)] = "tools.offer does not name it"
    if left_out:
        names = ", ".join(tool.name for tool in left_out)
        room = f"tools.most is {config.most}, and tools.offer says which are more important"
        warnings.append(f"not offered to the agent for want of room: {names}; {room}")
    return Offer(tuple(everything), tuple(usable.values()), tuple(offered), why_not, tuple(warnings))


def _in_order(tools: Mapping[str, object], config: ToolsConfig) -> list[str]:
    """Return the sources, the most important first; MCP servers in the configuration's order."""
    servers = {f"mcp:{server.name}": number for number, server in enumerate(config.mcp)}
    return sorted(tools, key=lambda source: (_RANKS[source.partition(":")[0]], servers.get(source, 0)))


def _wanted(tools: Sequence[ToolDefinition], patterns: Sequence[str]) -> Iterator[ToolDefinition]:
    left = list(tools)
    for pattern in patterns or ["*"]:
        found = [tool for tool in left if fnmatchcase(tool.name, pattern)]
        left = [tool for tool in left if not fnmatchcase(tool.name, pattern)]
        yield from found
