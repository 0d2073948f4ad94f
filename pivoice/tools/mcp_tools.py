"""The tools of an MCP server as the agent gets them: which ones, under which names, with which schemas.

PURE. A server's author wrote for other clients than this one, so what can be said more plainly is: a choice
between schemas becomes its first that is not null, a missing type what it most likely is. Whatever follows
the plain schema follows the server's own as well, or the server says what is wrong with it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pivoice.tools.schemas import SchemaError, usable

MAX_NAME_CHARS = 64
MAX_DESCRIPTION_CHARS = 1000
_MAX_HINT_CHARS = 300  # of what is said of one argument
_NEEDLESS = frozenset(
    ("title", "examples", "nullable", "deprecated", "readOnly", "writeOnly", "$id", "$schema")
)
_KINDS = ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"))


@dataclass(frozen=True)
class Offered:
    """One tool, by its server's own words."""

    name: str
    description: str
    schema: Mapping[str, object]


@dataclass(frozen=True)
class Plain:
    """One tool as the agent gets it; `own_name` is what the server knows it by."""

    own_name: str
    name: str
    description: str
    parameters: dict[str, object]


def choose(tools: Sequence[Offered], patterns: Sequence[str]) -> list[Offered]:
    """Return the tools that `patterns` name, in their order; all of them where there are none."""
    chosen: dict[str, Offered] = {}
    for pattern in patterns or ["*"]:
        wanted = _compiled(pattern)
        for tool in tools:
            if wanted.fullmatch(tool.name):
                chosen.setdefault(tool.name, tool)
    return list(chosen.values())


def idle_patterns(tools: Sequence[Offered], patterns: Sequence[str]) -> list[str]:
    """Return those of `patterns` that name no tool."""
    return [each for each in patterns if not any(_compiled(each).fullmatch(tool.name) for tool in tools)]


def make_plain(server: str, tools: Iterable[Offered]) -> tuple[list[Plain], dict[str, str]]:
    """Return the tools of `server` that can be used, and why which others cannot."""
    made: list[Plain] = []
    faults: dict[str, str] = {}
    for tool in tools:
        try:
            schema = plain_schema(tool.schema)
        except SchemaError as error:
            faults[tool.name] = str(error)
            continue
        words = _bounded(tool.description.strip() or f"{tool.name}, of {server}.", MAX_DESCRIPTION_CHARS)
        made.append(Plain(tool.name, _spelled(server, tool.name), words, schema))
    names = [each.name for each in made]
    return [
        replace(each, name=_apart(each.name, each.own_name))
        if names.count(each.name) > 1 and each.name != f"{server}_{each.own_name}"
        else each
        for each in made
    ], faults


def plain_schema(schema: Mapping[str, object]) -> dict[str, object]:
    """Return `schema` without references, choices and gaps.

    Raises:
        SchemaError: that cannot be.
    """
    typed = {"type": "object", **schema} if isinstance(schema, Mapping) else schema
    plain = _plain(usable(typed, is_lenient=True))
    properties: Any = plain["properties"]
    plain["required"] = [each for each in _listed(plain.get("required")) if each in properties]
    return plain


# --- names ---


def _spelled(server: str, tool: str) -> str:
    """Return a name that the agent's server takes, and that is said the same way every time."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", f"{server}_{tool}")
    name = re.sub(r"[^a-z0-9]+", "_", apart.lower()).strip("_")
    if not name[:1].isalpha():
        name = f"mcp_{name}"
    return name if len(name) <= MAX_NAME_CHARS else _apart(name, tool)


def _apart(name: str, tool: str) -> str:
    """Return `name` with a mark that depends on the tool alone, and not on those beside it."""
    mark = hashlib.sha256(tool.encode()).hexdigest()[:4]
    return f"{name[: MAX_NAME_CHARS - 5].rstrip('_')}_{mark}"


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)


# --- schemas ---


def _plain(schema: Mapping[str, Any]) -> dict[str, Any]:
    whole = _decided(schema)
    if "const" in whole:
        whole["enum"] = [whole.pop("const")]
    if isinstance(enum := whole.get("enum"), list):
        whole["enum"] = [each for each in enum if each is not None] or enum
    whole["type"] = _kind(whole)
    if whole.get("default", "") is None:
        del whole["default"]
    if isinstance(hint := whole.get("description"), str):
        whole["description"] = _bounded(hint, _MAX_HINT_CHARS)
    for key in ("items", "additionalProperties"):
        if isinstance(whole.get(key), Mapping):
            whole[key] = _plain(whole[key])
    if whole["type"] == "array" and not isinstance(whole.get("items"), Mapping):
        whole["items"] = {"type": "string"}
    if whole["type"] == "object":
        listed: Any = whole.get("properties") or {}
        whole["properties"] = {
            name: _plain(each if isinstance(each, Mapping) else {}) for name, each in listed.items()
        }
    return whole


def _decided(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return `schema` with one of its choices taken, and all of its parts put together."""
    whole = {key: value for key, value in schema.items() if key not in _NEEDLESS}
    for key in ("anyOf", "oneOf"):
        choices = [each for each in _listed(whole.pop(key, None)) if isinstance(each, Mapping)]
        real = [each for each in choices if each.get("type") != "null"]
        if real:
            whole = _joined(whole, _decided(real[0]))
    for part in _listed(whole.pop("allOf", None)):
        if isinstance(part, Mapping):
            whole = _joined(whole, _decided(part))
    return whole


def _joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return what both say; where they differ, `one` is right."""
    joined = other | one
    if "properties" in one and "properties" in other:
        joined["properties"] = other["properties"] | one["properties"]
    if "required" in one and "required" in other:
        joined["required"] = list(dict.fromkeys([*_listed(one["required"]), *_listed(other["required"])]))
    return joined


def _kind(schema: Mapping[str, Any]) -> str:
    given = schema.get("type")
    kinds = [each for each in (given if isinstance(given, list) else [given]) if each not in (None, "null")]
    if kinds:
        return str(kinds[0])
    if "properties" in schema or "additionalProperties" in schema:
        return "object"
    if "items" in schema:
        return "array"
    example = next(iter(_listed(schema.get("enum"))), schema.get("default"))
    if any(key in schema for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")):
        return "number"
    return next((name for kind, name in _KINDS if isinstance(example, kind)), "string")


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _bounded(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3].rstrip() + "..."
