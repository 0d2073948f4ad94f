"""Schemas: what the agent's server would choke on is refused with its place; arguments are explained."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from pivoice.tools.patterns import MOST_MATCHED_CHARS, find_pattern_fault
from pivoice.tools.schemas import MAX_ARGUMENT_CHARS, Rules, SchemaError, check, usable

KITCHEN: dict[str, Any] = {
    "type": "object",
    "properties": {
        "minutes": {"type": "number", "minimum": 1, "exclusiveMaximum": 600},
        "count": {"type": "integer"},
        "unit": {"type": "string", "enum": ["s", "min"]},
        "room": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
        "code": {"type": "string", "pattern": "^[a-z]{3}"},
        "days": {"type": "array", "items": {"type": "string", "format": "date"}, "maxItems": 3},
    },
    "required": ["minutes"],
    "additionalProperties": False,
}


def with_property(rule: object) -> dict[str, object]:
    return {"type": "object", "properties": {"city": rule}}


def fault(**arguments: object) -> str:
    return Rules(usable(KITCHEN)).find_fault(arguments)


# --- schemas ---


@pytest.mark.parametrize(
    ("schema", "place", "said"),
    [
        ([], "parameters", "must be a table"),
        ({"type": "array"}, "parameters.type", "'array'"),
        ({"properties": {}}, "parameters.type", 'must be "object"'),
        ({"type": "object", "properties": ["city"]}, "parameters.properties", "table of schemas"),
        ({"type": "object", "properties": {"city": "text"}}, "parameters.properties.city", "'text'"),
        ({"type": "object", "properties": {"straße": {}}}, "parameters.properties", "'straße'"),
        ({"type": "object", "properties": {}, "required": ["city"]}, "parameters.required", "'city'"),
        ({"type": "object", "required": "city"}, "parameters.required", "list of names"),
        ({"type": "object", "anyOf": [{}]}, "parameters.anyOf", "top of a schema"),
        (
            with_property({"type": "text"}),
            "parameters.properties.city.type",
            "'text' is no type; there are string",
        ),
        (with_property({"type": []}), "parameters.properties.city.type", "no type"),
        (with_property({"enum": []}), "parameters.properties.city.enum", "at least one"),
        (with_property({"pattern": "("}), "parameters.properties.city.pattern", "no regular expression"),
        (with_property({"pattern": "^(a+)+$"}), "parameters.properties.city.pattern", "too many ways"),
        (
            with_property({"$ref": "https://example.com/a.json"}),
            "parameters.properties.city.$ref",
            "lies elsewhere",
        ),
        (with_property({"$ref": "#/$defs/nobody"}), "parameters.properties.city.$ref", "there is no"),
        (with_property({"$dynamicRef": "#a"}), "parameters.properties.city.$dynamicRef", "not taken"),
        (
            with_property({"patternProperties": {}}),
            "parameters.properties.city.patternProperties",
            "not taken",
        ),
        (with_property({"anyOf": []}), "parameters.properties.city.anyOf", "list of schemas"),
        (with_property({"items": 3}), "parameters.properties.city.items", "must be a schema"),
        (with_property({"default": {1: 2}}), "parameters.properties.city.default", "not JSON"),
        (with_property({"default": float("nan")}), "parameters.properties.city.default", "not JSON"),
        (with_property({"description": "x" * 9000}), "parameters", "too large"),
    ],
)
def test_a_schema_that_the_server_would_choke_on_is_refused_with_its_place(
    schema: object, place: str, said: str
):
    with pytest.raises(SchemaError) as caught:
        usable(schema)

    assert caught.value.place == place
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("rule", "said"),
    [({"minimum": "one"}, "minimum"), ({"maxLength": -1}, "maxLength"), ({"uniqueItems": 3}, "unique")],
)
def test_a_schema_that_breaks_the_rules_of_json_schema_is_refused(rule: object, said: str):
    with pytest.raises(SchemaError, match=said):
        check(usable(with_property(rule)))


def test_no_schema_at_all_takes_no_arguments():
    assert usable({}) == {"type": "object", "properties": {}}


def test_references_within_a_schema_are_written_out():
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "from": {"$ref": "#/$defs/place", "description": "Where it begins."},
            "to": {"$ref": "#/$defs/place"},
        },
        "$defs": {
            "place": {"type": "object", "properties": {"town": {"$ref": "#/$defs/name"}}},
            "name": {"type": "string"},
        },
    }

    made = usable(schema)

    place = {"type": "object", "properties": {"town": {"type": "string"}}}
    assert made == {
        "type": "object",
        "properties": {"from": {**place, "description": "Where it begins."}, "to": place},
    }


def test_a_schema_that_holds_itself_is_refused():
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}

    with pytest.raises(SchemaError, match="holds itself"):
        usable({"type": "object", "properties": {"list": {"$ref": "#/$defs/node"}}, "$defs": {"node": node}})


def test_a_small_schema_that_is_huge_written_out_is_refused_soon():
    bomb = {f"a{n}": {"anyOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 10} for n in range(20)} | {"a20": {}}
    began_s = time.process_time()

    with pytest.raises(SchemaError, match="too large"):
        usable({**with_property({"$ref": "#/$defs/a0"}), "$defs": bomb})

    assert time.process_time() - began_s < 1.0


def test_a_schema_as_deep_as_the_sea_is_refused():
    schema: dict[str, object] = {"type": "string"}
    for _ in range(2000):
        schema = {"type": "array", "items": schema}

    with pytest.raises(SchemaError, match="too deep"):
        usable(with_property(schema))


def test_what_others_check_themselves_is_left_out_rather_than_refused():
    schema = {
        "type": "object",
        "anyOf": [{"required": ["city"]}],
        "properties": {"city": {"type": "string", "pattern": "^\\p{L}+$", "$comment": "a town"}},
        "patternProperties": {"^x-": {}},
        "additionalProperties": False,
    }

    assert usable(schema, is_lenient=True) == {"type": "object", "properties": {"city": {"type": "string"}}}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "properties", "items", "anyOf", "required", "$ref", "enum", "pattern", "not", "a"]
            )
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(rule=JSON, arguments=JSON, is_lenient=st.booleans())
@settings(deadline=None, max_examples=150)
def test_whatever_a_schema_is_it_is_refused_or_answers_for_any_arguments(
    rule: object, arguments: object, is_lenient: bool
):
    try:
        schema = usable(with_property(rule), is_lenient=is_lenient)
    except SchemaError:
        return

    assert isinstance(Rules(schema).find_fault({"city": arguments}), str)
    json.dumps(schema, allow_nan=False)


# --- patterns ---


@pytest.mark.parametrize(
    "pattern",
    [
        r"^\d{1,2}:\d{2}$",
        r"^(\d{1,3}\.){3}\d{1,3}$",
        r"^.+@.+\..+$",
        r"^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2})?)?$",
        r"^(\+\d+ )?\d+( \d+)?$",
        r"\d+:\d+",
        "^(on|off|dim)$",
    ],
)
def test_ordinary_patterns_may_be_used(pattern: str):
    assert find_pattern_fault(pattern) == ""


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$",
        "^(a|a)*$",
        "^(a|ab|b)*c",
        "^(?:a?){30}a{30}$",
        r"^(\w+\s?)*$",
        "^.*.*.*.*x",
        "(?m)^.*a.*b.*c",
        ".*a.*b.*c",
        "^(?>a+)+b",
        "^(?=(a+)+b)c",
        "^(?:(?:a{0,9}){0,9}){0,9}$",
    ],
)
def test_a_pattern_that_could_stop_the_device_is_refused(pattern: str):
    assert "too many ways" in find_pattern_fault(pattern)


@pytest.mark.parametrize("pattern", ["^.*a.*a.*ax", "^(a?){19}x", "^(?:a|a.){15}x", ".*a.*ax"])
def test_the_worst_pattern_that_is_taken_is_soon_done(pattern: str):
    assert find_pattern_fault(pattern) == ""
    rules = Rules(usable(with_property({"type": "string", "pattern": pattern})))
    rules.find_fault({"city": "x"})
    began_s = time.process_time()

    rules.find_fault({"city": "a" * MOST_MATCHED_CHARS})

    assert time.process_time() - began_s < 2.0


# --- arguments ---


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "the argument 'minutes' is missing"),
        ({"minutes": "three"}, "the argument 'minutes' must be of type number, not 'three'"),
        ({"minutes": True}, "must be of type number, not True"),
        ({"minutes": None}, "must be of type number, not None"),
        ({"minutes": 0}, "less than the minimum of 1 (minimum: 1)"),
        ({"minutes": 600}, "(exclusiveMaximum: 600)"),
        ({"minutes": 1, "unit": "h"}, "must be one of 's', 'min', not 'h'"),
        ({"minutes": 1, "count": 3.5}, "must be of type integer, not 3.5"),
        ({"minutes": 1, "room": {}}, "the argument 'room.name' is missing"),
        ({"minutes": 1, "room": {"name": 3}}, "the argument 'room.name' must be of type string"),
        ({"minutes": 1, "days": ["a", 2]}, "the argument 'days.1' must be of type string"),
        ({"minutes": 1, "days": ["a"] * 4}, "maxItems: 3"),
        ({"minutes": 1, "code": "ABC"}, "of the form ^[a-z]{3}, not 'ABC'"),
        ({"minutes": 1, "city": "Rome"}, "there is no argument 'city'; there are: minutes, count"),
        ({"minutes": float("nan")}, "are not JSON"),
    ],
)
def test_wrong_arguments_are_explained_by_name_fault_and_what_is_allowed(
    arguments: dict[str, object], said: str
):
    assert said in fault(**arguments)


def test_of_several_arguments_the_one_that_is_missing_is_named():
    both = {**with_property({"type": "string"}), "required": ["city", "day"]}
    both["properties"] = {"city": {}, "day": {}}

    assert Rules(usable(both)).find_fault({"city": "Rome"}) == "the argument 'day' is missing"


def test_a_schema_may_hold_any_number_that_json_has():
    rule = {"type": "number", "multipleOf": 0.5, "default": -1.5, "maximum": 1e308, "minimum": -3}

    assert usable(with_property(rule))["properties"] == {"city": rule}


def test_right_arguments_have_no_fault():
    assert (
        fault(minutes=3, count=3.0, unit="s", room={"name": "x", "more": 1}, code="abc", days=["today"]) == ""
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"minutes": 1, "room": {"name": "x" * MAX_ARGUMENT_CHARS}}, "are too long: 8"),
        ({"minutes": 1, "code": "abc" + "\n" * 300}, "of at most 256 characters"),
    ],
)
def test_arguments_have_a_length_that_costs_little_to_check(arguments: dict[str, object], said: str):
    assert said in fault(**arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"minutes": "x" * 7000},
        {"minutes": 1, "unit": "x" * 7000},
        {"minutes": 1, "code": "x" * 7000},
        {"minutes": 1, "x" * 7000: 1},
        {"minutes": 1, "days": ["x" * 1000] * 7},
        {"minutes": "x" * 10 * MAX_ARGUMENT_CHARS},
    ],
)
def test_a_fault_is_told_at_bounded_length(arguments: dict[str, object]):
    assert 0 < len(fault(**arguments)) < 700


def test_no_reference_is_left_for_anybody_to_fetch():
    far: dict[str, object] = {"$ref": "https://example.com/a.json"}
    dialect = Draft202012Validator.VALIDATORS.keys() | {"then", "else"}
    tables = {"properties", "patternProperties", "dependentSchemas"}

    for keyword in dialect - {"$ref", "enum", "const"}:  # these two hold data
        for form in ({"a": far},) if keyword in tables else (far, [far]):
            for is_lenient in (False, True):
                try:
                    made = usable(with_property({keyword: form}), is_lenient=is_lenient)
                    check(made)
                except SchemaError:
                    continue
                assert "$ref" not in json.dumps(made), (keyword, form)


def test_the_checker_is_not_imported_before_it_is_needed():
    script = (
        "import sys, pivoice.daemon; from pivoice.tools.schemas import Rules, usable; "
        "assert Rules(usable({})).hold_at_once({}); print('jsonschema' in sys.modules)"
    )

    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert told.stdout == "False\n"
