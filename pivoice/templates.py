"""Text with places for values: "https://wttr.in/{city:url}". PURE; what the owner writes, never the agent.

{name} is the value as it is, {name:url} written for an address, {name:json} as JSON; {{ and }} are braces.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

_FORMS = ("", "url", "json")
_TOKEN = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_.-]*)(?::([a-z]*))?\}|[{}]")


class TemplateError(ValueError):
    """A text that is no template; says why, in a few words."""


@dataclass(frozen=True)
class Place:
    """Where a value goes."""

    name: str
    form: str = ""

    def __str__(self) -> str:
        return f"{{{self.name}:{self.form}}}" if self.form else f"{{{self.name}}}"


@dataclass(frozen=True)
class Template:
    """One text, taken apart."""

    parts: tuple[str | Place, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The values that it needs, in order."""
        return tuple(part.name for part in self.parts if isinstance(part, Place))

    def filled(self, values: Mapping[str, object]) -> str:
        """Return the text with its values; one that is not there leaves nothing in its place."""
        return "".join(
            spelled(values[part.name], part.form) if isinstance(part, Place) else part
            for part in self.parts
            if isinstance(part, str) or part.name in values
        )


def parse(text: str) -> Template:
    """Take `text` apart.

    Raises:
        TemplateError: a brace that stands alone, or a form that is none.
    """
    parts: list[str | Place] = []
    end = 0
    for found in _TOKEN.finditer(text):
        parts.append(text[end : found.start()])
        end = found.end()
        token, name, form = found.group(0), found.group(1), found.group(2)
        if token in ("{{", "}}"):
            parts.append(token[0])
        elif name is None:
            raise TemplateError(f"the {token} in {text!r} stands alone; write {token * 2} for a brace")
        elif (form or "") not in _FORMS or form == "":
            raise TemplateError(f"{token} is no place; write {{{name}}}, {{{name}:url}} or {{{name}:json}}")
        else:
            parts.append(Place(name, form or ""))
    parts.append(text[end:])
    return Template(tuple(part for part in parts if part != ""))


def spelled(value: object, form: str) -> str:
    """Return `value` as text: a string as it is, all else as JSON has it, whole numbers without a point."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if form == "json" or not isinstance(value, str):
        value = json.dumps(value, ensure_ascii=False)
    return quote(value, safe="") if form == "url" else value
