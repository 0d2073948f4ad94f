"""JSON Schemas of tools: whether the agent's server can use one, and whether arguments follow it.

Any thread. `usable` is cheap; whatever looks through jsonschema imports it at first need (half a second of a
small Pi), and so belongs into a thread. Fetches nothing: references within a schema are written out, others
are refused. What a schema can cost is bounded by its size, that of the arguments, and what its patterns may
need (patterns.py): a regular expression at work lets no other thread run, the audio's included.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pivoice.tools.patterns import MOST_MATCHED_CHARS, find_pattern_fault

MAX_SCHEMA_CHARS = 8192
MAX_ARGUMENT_CHARS = 8192
_MAX_DEPTH = 16
_MAX_PARTS = 2000  # of a schema whose references are written out
_MAX_QUOTED_CHARS = 80  # of what the agent said wrong
_MAX_ALLOWED_CHARS = 300

_TYPES = ("string", "number", "integer", "boolean", "array", "object", "null")
_PROPERTY = re.compile(r"[A-Za-z0-9_.-]{1,64}")  # what the models behind such servers take
_ONE = frozenset(
    [
        "items",
        "additionalProperties",
        "additionalItems",
        "contains",
        "not",
        "if",
        "then",
        "else",
        "propertyNames",
        "unevaluatedItems",
        "unevaluatedProperties",
    ]
)
_MANY = frozenset(("allOf", "anyOf", "oneOf", "prefixItems"))
_TABLES = frozenset(("properties", "dependentSchemas"))
_NOT_ABOVE = ("allOf", "anyOf", "oneOf", "not", "enum", "const")
_DEFINITIONS = ("$defs", "definitions")
_FOREIGN = (
    "$dynamicRef",
    "$recursiveRef",
    "$anchor",
    "$dynamicAnchor",
    "$recursiveAnchor",
    "patternProperties",
)


class SchemaError(ValueError):
    """A schema that cannot be used: where in it, and why."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(place, problem)
        self.place = place
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.place}: {self.problem}"


def usable(schema: object, *, is_lenient: bool = False) -> dict[str, object]:
    """Return `schema` as the agent is given it: whole in itself, and nothing in it that its server chokes on.

    `is_lenient`: rather leave out what cannot be used, where whoever runs the tool checks for itself.

    Raises:
        SchemaError: it cannot be used.
    """
    if not isinstance(schema, Mapping):
        raise SchemaError("parameters", f"must be a table, not {_quoted(schema)}")
    whole = _Copy(schema, is_lenient=is_lenient).made()
    try:
        size = len(json.dumps(whole, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise SchemaError("parameters", f"is not JSON: {error}") from error
    if size > MAX_SCHEMA_CHARS:
        raise SchemaError(
            "parameters", f"is too large: {size} characters of JSON, {MAX_SCHEMA_CHARS} at most"
        )
    return whole


def check(schema: Mapping[str, object]) -> None:
    """Look through a `usable` schema by the rules of JSON Schema itself. Not for the event loop.

    Raises:
        SchemaError: it breaks one.
    """
    from jsonschema import Draft202012Validator as Dialect
    from jsonschema.exceptions import best_match

    if fault := best_match(Dialect(Dialect.META_SCHEMA).iter_errors(schema)):
        place = ".".join(["parameters", *map(str, fault.absolute_path)])
        raise SchemaError(place, _clipped(fault.message, _MAX_ALLOWED_CHARS))


class Rules:
    """What a tool's arguments must be, by its `usable` schema."""

    def __init__(self, schema: Mapping[str, object]) -> None:
        self._schema = schema
        self._dialect: Any = None

    def hold_at_once(self, arguments: Mapping[str, object]) -> bool:
        """Return whether the arguments are right without a look: there are none, and none are needed."""
        return (
            not arguments
            and self._schema.keys()
            <= {
                "type",
                "properties",
                "additionalProperties",
                "description",
                "title",
                "required",
            }
            and not self._schema.get("required")
        )

    def find_fault(self, arguments: Mapping[str, object]) -> str:
        """Return what is wrong with `arguments`, in words for the agent; "" when nothing is.

        Not for the event loop.
        """
        from jsonschema.exceptions import best_match

        try:
            size = len(json.dumps(arguments, allow_nan=False))
        except (TypeError, ValueError, RecursionError):
            return "its arguments are not JSON"
        if size > MAX_ARGUMENT_CHARS:
            return f"its arguments are too long: {size} characters of JSON, {MAX_ARGUMENT_CHARS} at most"
        if self._dialect is None:
            try:
                check(self._schema)
            except SchemaError as error:
                return f"its schema cannot be used ({error})"
            self._dialect = _dialect()(self._schema)
        fault = best_match(self._dialect.iter_errors(dict(arguments)))
        return _said(fault) if fault else ""


def _dialect() -> Any:
    """Return JSON Schema as we read it: patterns meet short texts alone."""
    from jsonschema import Draft202012Validator, ValidationError, validators

    def pattern(_: object, expression: str, value: object, __: object) -> Iterator[ValidationError]:
        if not isinstance(value, str):
            return
        if len(value) > MOST_MATCHED_CHARS:
            yield ValidationError(f"is too long; at most {MOST_MATCHED_CHARS} characters are allowed")
        elif not re.search(expression, value):
            yield ValidationError("has another form")

    return validators.extend(Draft202012Validator, {"pattern": pattern})


def _said(fault: Any) -> str:
    """Return what jsonschema found as one sentence: which argument, what is wrong, what is allowed."""
    path, rule = list(fault.absolute_path), fault.validator
    allowed, value = fault.validator_value, fault.instance
    name = f"the argument {_spelled_path(path)}" if path else "the call"
    if rule == "required":
        missing = next((each for each in allowed if each not in value), allowed[0])
        return f"the argument {_spelled_path([*path, missing])} is missing"
    if rule == "additionalProperties" and allowed is False:
        known = fault.schema.get("properties", {})
        strange = next((each for each in value if each not in known), "")
        there = _clipped(", ".join(known) or "none", _MAX_ALLOWED_CHARS)
        return f"there is no argument {_spelled_path([*path, strange])}; there are: {there}"
    if rule == "type":
        kinds = allowed if isinstance(allowed, str) else " or ".join(allowed)
        return f"{name} must be of type {kinds}, not {_quoted(value)}"
    if rule in ("enum", "const"):
        choices = ", ".join(map(repr, allowed)) if rule == "enum" else repr(allowed)
        return f"{name} must be one of {_clipped(choices, _MAX_ALLOWED_CHARS)}, not {_quoted(value)}"
    if rule == "pattern":
        form = _clipped(str(allowed), _MAX_ALLOWED_CHARS)
        most = f"of at most {MOST_MATCHED_CHARS} characters"
        return f"{name} must be text {most} of the form {form}, not {_quoted(value)}"
    bound = _clipped(json.dumps(allowed, ensure_ascii=False), _MAX_ALLOWED_CHARS)
    return f"{name} is not allowed, {_quoted(value)}: {_clipped(fault.message, 120)} ({rule}: {bound})"


def _spelled_path(path: list[Any]) -> str:
    return _quoted(".".join(map(str, path)))


class _Copy:
    """A schema written out: its references replaced by what they stand for. Used once."""

    def __init__(self, schema: Mapping[str, object], *, is_lenient: bool) -> None:
        self._schema = schema
        self._is_lenient = is_lenient
        self._parts = 0
        self._within: list[str] = []
        """The references that are being written out."""

    def made(self) -> dict[str, object]:
        made = self._table(self._schema, ("parameters",))
        if not made:
            made = {"type": "object", "properties": {}}
        if made.get("type") != "object":
            raise SchemaError("parameters.type", f'must be "object", not {_quoted(made.get("type"))}')
        for name in _NOT_ABOVE:
            if name in made and not self._is_lenient:
                raise SchemaError(
                    f"parameters.{name}", "is not taken at the top of a schema; put it into a property"
                )
            made.pop(name, None)
        properties = made.setdefault("properties", {})
        assert isinstance(properties, dict)
        required = made.get("required", [])
        assert isinstance(required, list)
        for name in required:
            if name not in properties:
                raise SchemaError("parameters.required", f"names {_quoted(name)}, which is not in properties")
        return made

    def _table(self, schema: Mapping[Any, Any], place: tuple[str, ...]) -> dict[str, object]:
        self._parts += 1
        if len(place) > 2 * _MAX_DEPTH or self._parts > _MAX_PARTS:
            raise self._fault(place[:4], "is too deep, or too large once its references are written out")
        if "$ref" in schema:
            return self._referred(schema, place)
        made: dict[str, object] = {}
        for key, value in schema.items():
            if not isinstance(key, str):
                raise self._fault(place, f"the key {_quoted(key)} is not text")
            if key in _DEFINITIONS or key in ("$schema", "$id", "$comment"):
                continue
            if key in _FOREIGN:
                if not self._is_lenient:
                    raise self._fault((*place, key), "is not taken by the agent's server; write it without")
                continue
            if (part := self._part(key, value, (*place, key))) is not None:
                made[key] = part
        if "patternProperties" in schema:
            made.pop("additionalProperties", None)
        return made

    def _part(self, key: str, value: object, place: tuple[str, ...]) -> object:
        """Return what stands at one keyword; None: nothing, it is left out."""
        if key in _ONE:
            return self._one(value, place)
        if key in _MANY:
            if not isinstance(value, list) or not value:
                raise self._fault(place, "must be a list of schemas")
            return [self._one(each, (*place, str(number))) for number, each in enumerate(value)]
        if key in _TABLES:
            if not isinstance(value, Mapping):
                raise self._fault(place, f"must be a table of schemas, not {_quoted(value)}")
            return {name: self._one(each, (*place, str(name))) for name, each in self._named(value, place)}
        self._check(key, value, place)
        if key == "pattern" and (fault := find_pattern_fault(value)):
            if not self._is_lenient:
                raise self._fault(place, fault)
            return None
        return _as_data(value, place)

    def _named(self, table: Mapping[Any, object], place: tuple[str, ...]) -> Iterator[tuple[str, object]]:
        for name, each in table.items():
            if not isinstance(name, str) or not _PROPERTY.fullmatch(name):
                problem = "must be 1 to 64 letters without accents, digits, _, - or ."
                raise self._fault(place, f"the name {_quoted(name)} {problem}")
            yield name, each

    def _one(self, value: object, place: tuple[str, ...]) -> object:
        if isinstance(value, bool):
            return value
        if not isinstance(value, Mapping):
            raise self._fault(place, f"must be a schema, which is a table, not {_quoted(value)}")
        return self._table(value, place)

    def _check(self, key: str, value: object, place: tuple[str, ...]) -> None:
        """Refuse at one keyword what servers are known to choke on; the rest is for `check`."""
        match key:
            case "type":
                kinds = value if isinstance(value, list) else [value]
                if not kinds or not all(isinstance(kind, str) and kind in _TYPES for kind in kinds):
                    raise self._fault(place, f"{_quoted(value)} is no type; there are {', '.join(_TYPES)}")
            case "required":
                if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
                    raise self._fault(place, f"must be a list of names, not {_quoted(value)}")
            case "enum":
                if not isinstance(value, list) or not value:
                    raise self._fault(place, f"must be a list of at least one value, not {_quoted(value)}")
            case "description" | "title" | "format":
                if not isinstance(value, str):
                    raise self._fault(place, f"must be text, not {_quoted(value)}")

    def _referred(self, schema: Mapping[Any, Any], place: tuple[str, ...]) -> dict[str, object]:
        """Return what `$ref` stands for, with what stands beside it."""
        name = schema["$ref"]
        place = (*place, "$ref")
        if not isinstance(name, str) or not name.startswith("#/"):
            raise self._fault(
                place, f"{_quoted(name)} lies elsewhere; only what is in the schema itself is used"
            )
        if name in self._within:
            raise self._fault(place, f"{_quoted(name)} holds itself; write it out as deep as it is needed")
        found: Any = self._schema
        for step in name[2:].split("/"):
            step = step.replace("~1", "/").replace("~0", "~")
            found = found.get(step) if isinstance(found, Mapping) else None
        if not isinstance(found, Mapping):
            raise self._fault(place, f"there is no {_quoted(name)}")
        self._within.append(name)
        made = self._table(found, place)
        self._within.pop()
        return made | self._table({key: schema[key] for key in schema if key != "$ref"}, place)

    @staticmethod
    def _fault(place: tuple[str, ...], problem: str) -> SchemaError:
        return SchemaError(".".join(place), problem)


def _as_data(value: object, place: tuple[str, ...]) -> object:
    """Return a copy of `value`, which is JSON."""
    if len(place) > 3 * _MAX_DEPTH:
        raise SchemaError(".".join(place[:4]), "is too deep")
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _as_data(each, (*place, key)) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_as_data(each, (*place, str(number))) for number, each in enumerate(value)]
    is_finite = not isinstance(value, float) or value - value == 0
    if value is None or (isinstance(value, str | int | float) and is_finite):
        return value
    raise SchemaError(".".join(place), f"{_quoted(value)} is not JSON; write it as text")


def _quoted(value: object) -> str:
    return _clipped(repr(value), _MAX_QUOTED_CHARS)


def _clipped(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
