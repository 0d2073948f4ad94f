"""The settings of [tools]: what the agent may ask the device to do. A part of sections.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from msgspec import Meta

Seconds = Annotated[float, Meta(gt=0, le=3600)]
Text = Annotated[str, Meta(min_length=1)]


@dataclass(frozen=True)
class CommandConfig:
    """One [[tools.command]]."""

    name: Text
    """What the agent calls it: lower case, digits and underscores."""
    description: Text
    """What it does and when to use it, for the agent."""
    argv: Annotated[list[Text], Meta(min_length=1)]
    """The program and its arguments, never a shell's line; {city} is replaced by the argument of that name,
    {city:url} written for an address, {city:json} as JSON."""
    parameters: dict[str, Any] | str = field(default_factory=dict)
    """JSON Schema of its arguments: a table, or text that holds JSON; {} takes none."""
    timeout_s: Seconds | None = None
    """Seconds it may take; unset: tools.timeout_s."""
    output_chars: Annotated[int, Meta(ge=1, le=20000)] = 4000
    """Characters of its output that the agent gets; the rest is cut, and said so."""
    environment: dict[str, str] = field(default_factory=dict)
    """Variables it gets, besides PATH, LANG, TZ and HOME."""
    secrets: dict[str, str] = field(default_factory=dict)
    """Variables that it gets from files, by path from / or by the name of a systemd credential; what they
    hold is taken out of whatever the agent is told."""
    directory: str = ""
    """Directory it runs in; "" is the one of pivoice's records."""


@dataclass(frozen=True)
class McpConfig:
    """One [[tools.mcp]]: a server of the Model Context Protocol."""

    name: Text
    """What its tools are called by: NAME_tool."""
    command: list[Text] = field(default_factory=list)
    """The program that is the server, and its arguments (stdio); or url."""
    url: str = ""
    """The server's address (streamable HTTP); or command."""
    tools: list[Text] = field(default_factory=list)
    """Which of its tools are offered, by their own names, * stands for anything; [] offers all, in its
    order."""
    timeout_s: Seconds | None = None
    """Seconds a call may take; unset: tools.timeout_s."""
    environment: dict[str, str] = field(default_factory=dict)
    """Variables that the program gets, besides PATH, LANG, TZ and HOME."""
    headers: dict[str, str] = field(default_factory=dict)
    """HTTP headers that are sent to url; {NAME} stands for one of secrets."""
    secrets: dict[str, str] = field(default_factory=dict)
    """As those of a command."""


@dataclass(frozen=True)
class ToolsConfig:
    timeout_s: Seconds = 20.0
    """Seconds a tool may take before the agent is told that it failed."""
    working_s: Seconds = 1.5
    """Seconds after which a quiet sound tells that a tool is still at work."""
    started_s: Seconds = 6.0
    """Seconds after which the agent is told that a tool has started, and hears of its outcome later."""
    most: Annotated[int, Meta(ge=1, le=64)] = 10
    """How many tools the agent is offered; its server takes about ten."""
    offer: list[Text] = field(default_factory=list)
    """Which tools are offered, by name, the most important first, * stands for anything; [] offers the
    owner's own, then those of pivoice, then those of MCP servers, as far as there is room. end_conversation
    always is."""
    ring_minutes: Annotated[float, Meta(ge=0.1, le=15)] = 15.0
    """Minutes a timer rings if nobody stops it."""
    notes: Annotated[int, Meta(ge=0, le=1000)] = 100
    """How many things the agent may remember for the user; 0 leaves out the tools remember and recall."""
    command: list[CommandConfig] = field(default_factory=list)
    """The owner's own tools, each a [[tools.command]] with its own settings."""
    mcp: list[McpConfig] = field(default_factory=list)
    """MCP servers, each a [[tools.mcp]] with its own settings (they need: install --mcp)."""
