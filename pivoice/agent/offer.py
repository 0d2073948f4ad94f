"""Which tools the agent knows: those offered, those a session was told, those its server refused.

A server that chokes on one tool refuses them all, and a whole session with them where they are in its first
message. So the last tools that a server took are kept, to fall back on. PURE but for its log.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol, TypeAlias

from pivoice.agent import wire

logger = logging.getLogger(__name__)

Functions: TypeAlias = tuple[wire.Function, ...]


class ToolDefinition(Protocol):
    """A tool as the agent is told of it; `parameters` is a JSON Schema."""

    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def parameters(self) -> dict[str, object]: ...


class Offer:
    """One device's, across its sessions. The first tools are held to be good."""

    def __init__(self, tools: Sequence[ToolDefinition]) -> None:
        self._wanted = self._taken = _functions(tools)
        self._told: Functions = ()
        self._refused: Functions | None = None

    def change(self, tools: Sequence[ToolDefinition]) -> None:
        """Offer `tools`, and no others; those that were refused last are not tried again."""
        functions = _functions(tools)
        if functions != self._refused:
            self._wanted = functions

    def tell(self) -> Functions:
        """Return what a session is made with; it counts as told."""
        self._told = self._wanted
        return self._told

    def tell_change(self) -> Functions | None:
        """Return what the session that there is must be told; None when it knows."""
        return None if self._told == self._wanted else self.tell()

    def session_ready(self) -> None:
        """A session was made with what was told."""
        self._taken = self._told

    def taken(self, tools: Sequence[wire.Function]) -> None:
        """The server took `tools` in place of others."""
        self._taken = tuple(tools)

    def refused(self, reason: str, tools: Sequence[wire.Function] | None = None) -> bool:
        """The server refused `tools` (None: those told last), and keeps what it had.

        Return whether there are others to fall back on, which are offered from now on.
        """
        refused = self._told if tools is None else tuple(tools)
        if refused == self._taken:
            return False
        self._refused = refused
        if self._wanted == refused:
            self._wanted = self._taken
        if self._told == refused:
            self._told = self._taken
        kept = ", ".join(each.name for each in self._taken) or "none"
        logger.warning("the agent's server refused other tools (%s); the agent has: %s", reason, kept)
        return True


def _functions(tools: Sequence[ToolDefinition]) -> Functions:
    return tuple(wire.Function(tool.name, tool.description, tool.parameters) for tool in tools)
