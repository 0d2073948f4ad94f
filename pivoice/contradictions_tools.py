"""What settings of [tools] may not be, though each for itself is right. A part of contradictions.py.

PURE, and cheap: schemas themselves are looked through where the tools are opened (tools/commands.py). Never
shows what may hold a key: of environments, headers and addresses only the names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pivoice.errors import Fault
from pivoice.templates import TemplateError, parse

if TYPE_CHECKING:
    from pivoice.config import CommandConfig, McpConfig, ToolsConfig

HANG_UP = "end_conversation"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_SERVER_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_CREDENTIAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]*")
_AGENT_KEY = "assemblyai-api-key"


def tool_contradictions(tools: ToolsConfig) -> Iterator[Fault]:
    """Yield what no single field can know."""
    yield from _twice("tools.command", [command.name for command in tools.command])
    yield from _twice("tools.mcp", [server.name for server in tools.mcp])
    for number, command in enumerate(tools.command, 1):
        yield from _command(command, f"tools.command[{number}]")
    for number, server in enumerate(tools.mcp, 1):
        yield from _server(server, f"tools.mcp[{number}]")


def _twice(key: str, names: Sequence[str]) -> Iterator[Fault]:
    for number, name in enumerate(names):
        if name in names[:number]:
            first = names.index(name) + 1
            yield Fault(f"{key}[{number + 1}].name", f"{name!r} is the name of {key}[{first}] already")


def _command(command: CommandConfig, key: str) -> Iterator[Fault]:
    if not _NAME.fullmatch(command.name):
        allowed = "it must be 1 to 64 lower-case letters, digits and _, a letter first"
        yield Fault(f"{key}.name", f"{command.name[:80]!r} is not allowed; {allowed}")
    elif command.name == HANG_UP:
        yield Fault(f"{key}.name", f"{HANG_UP} is pivoice's own, by which the agent hangs up; choose another")
    program = command.argv[0]
    if not program.startswith("/") and not re.fullmatch(r"[A-Za-z0-9_.+-]+", program):
        problem = f"{program[:80]!r} is no program; write its path from /, or the name of one that is in PATH"
        yield Fault(f"{key}.argv", f"{problem}, and what follows it as elements of their own")
    for element in command.argv:
        yield from _places(element, _properties(command), f"{key}.argv")
    if command.argv and program.startswith("/") and "{" in program:
        yield Fault(f"{key}.argv", "the program itself must not depend on an argument")
    yield from _surroundings(command.environment, command.secrets, key)
    if command.directory and not command.directory.startswith("/"):
        yield Fault(f"{key}.directory", f"{command.directory!r} must be a path from /")


def _places(element: str, properties: Mapping[str, object] | None, key: str) -> Iterator[Fault]:
    try:
        names = parse(element).names
    except TemplateError as error:
        yield Fault(key, str(error))
        return
    for name in names:
        if properties is not None and name not in properties:
            there = ", ".join(properties) or "none"
            yield Fault(key, f"{{{name}}} is not one of its parameters; there are: {there[:300]}")


def _properties(command: CommandConfig) -> Mapping[str, object] | None:
    """Return the arguments that there are; None: `parameters` is at fault, which is told elsewhere."""
    schema: object = command.parameters
    try:
        schema = json.loads(schema) if isinstance(schema, str) else schema
    except (ValueError, RecursionError):
        return None
    if not isinstance(schema, Mapping) or "$ref" in schema:
        return None
    properties = schema.get("properties", {})
    return properties if isinstance(properties, Mapping) else None


def _surroundings(environment: Mapping[str, str], secrets: Mapping[str, str], key: str) -> Iterator[Fault]:
    for section, names in (("environment", environment), ("secrets", secrets)):
        for name in names:
            if not _VARIABLE.fullmatch(name):
                yield Fault(f"{key}.{section}", f"{name[:80]!r} is no name of a variable")
    for name in environment.keys() & secrets.keys():
        yield Fault(f"{key}.secrets", f"{name} is in environment too; remove it there")
    for name, place in secrets.items():
        if place == _AGENT_KEY:
            yield Fault(f"{key}.secrets", f"{name}: {place} is the agent's own key, which no tool is given")
        elif not place.startswith("/") and not _CREDENTIAL.fullmatch(place):
            # not shown: it may well be the secret itself
            problem = "must be the path, from /, of a file that holds it, or the name of a systemd credential"
            yield Fault(f"{key}.secrets", f"{name}: what is there {problem}")


def _server(server: McpConfig, key: str) -> Iterator[Fault]:
    if not _SERVER_NAME.fullmatch(server.name):
        allowed = "it must be 1 to 32 lower-case letters, digits and _, a letter first"
        yield Fault(f"{key}.name", f"{server.name[:80]!r} is not allowed; {allowed}")
    if bool(server.command) == bool(server.url):
        which = "both" if server.url else "neither"
        yield Fault(key, f"has {which} of command and url; a server is a program, or has an address")
        return
    yield from _surroundings(server.environment, server.secrets, key)
    if server.command:
        program = server.command[0]
        if not program.startswith("/") and not re.fullmatch(r"[A-Za-z0-9_.+-]+", program):
            problem = "write its path from /, or the name of one that is in PATH"
            yield Fault(f"{key}.command", f"{program[:80]!r} is no program; {problem}")
        if server.headers:
            yield Fault(
                f"{key}.headers", "are for a server with a url; a program gets environment and secrets"
            )
        return
    if server.environment:
        yield Fault(f"{key}.environment", "is for a server that is a program; one with a url gets headers")
    if not _is_address(server.url):
        yield Fault(
            f"{key}.url", "what is there is not allowed; it must be https://HOST/PATH or http://HOST/PATH"
        )
    for name, value in server.headers.items():
        yield from _header(name, value, server.secrets, f"{key}.headers")


def _header(name: str, value: str, secrets: Mapping[str, str], key: str) -> Iterator[Fault]:
    if not _HEADER.fullmatch(name):
        yield Fault(key, f"{name[:80]!r} is no name of a header")
    if not value.isprintable():
        yield Fault(key, f"{name}: what is there is more than one line")
    try:
        names = parse(value).names
    except TemplateError:
        yield Fault(
            key, f"{name}: a brace stands alone; write {{{{ or }}}} for one, and {{NAME}} for a secret"
        )
        return
    for each in names:
        if each not in secrets:
            yield Fault(
                key, f"{name}: {{{each}}} is not one of secrets; there are: {', '.join(secrets) or 'none'}"
            )


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        is_plain = url.isascii() and url.isprintable() and " " not in url
        return parts.scheme in ("https", "http") and bool(parts.hostname) and parts.port != 0 and is_plain
    except ValueError:  # a bracket left open, a port beyond 65535
        return False
