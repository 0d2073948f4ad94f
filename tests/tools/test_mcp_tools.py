"""MCP tools as the agent gets them: names, choice, schemas."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest

from pivoice.tools.mcp_tools import Offered, choose, make_plain, plain_schema
from pivoice.tools.schemas import SchemaError, usable

NOTHING: dict[str, object] = {"type": "object", "properties": {}}


def offered(*names: str) -> list[Offered]:
    return [Offered(name, "", NOTHING) for name in names]


def names(server: str, *tools: str) -> dict[str, str]:
    made, faults = make_plain(server, offered(*tools))
    assert not faults
    return {each.own_name: each.name for each in made}


@pytest.mark.parametrize(
    ("server", "tool", "name"),
    [
        ("house", "lamp", "house_lamp"),
        ("house", "setLight", "house_set_light"),
        ("house", "HassTurnOn", "house_hass_turn_on"),
        ("house", "a.b/c-d", "house_a_b_c_d"),
        ("house", "Tür öffnen", "house_t_r_ffnen"),
        ("house", "", "house"),
        ("9", "lamp", "mcp_9_lamp"),
        ("", "灯", "mcp"),
    ],
)
def test_a_name_is_one_that_the_agents_server_takes(server: str, tool: str, name: str):
    assert names(server, tool)[tool].rstrip("_") == name


def test_a_long_name_is_cut_and_still_its_own():
    one, other = "a" * 100, "a" * 99 + "b"

    made = names("house", one, other)

    assert len(set(made.values())) == 2
    assert all(re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name) for name in made.values())


def test_names_that_are_alike_are_told_apart_the_same_way_in_every_order():
    tools = ["setLight", "set_light", "Set-Light", "door"]

    made = [names("house", *order) for order in itertools.permutations(tools)]

    assert all(each == made[0] for each in made)
    assert len(set(made[0].values())) == 4
    assert made[0]["set_light"] == "house_set_light"  # whose name it is to the letter


@pytest.mark.parametrize(
    ("patterns", "chosen"),
    [
        ([], ["lamp", "door", "get.lamp"]),
        (["*"], ["lamp", "door", "get.lamp"]),
        (["door", "*lamp"], ["door", "lamp", "get.lamp"]),
        (["l?mp", "[d]oor", "get_lamp"], []),
        (["door", "door"], ["door"]),
    ],
)
def test_the_setting_names_tools_in_its_own_order(patterns: list[str], chosen: list[str]):
    assert [each.name for each in choose(offered("lamp", "door", "get.lamp"), patterns)] == chosen


ROOM = {"title": "Room", "type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
PLAIN_ROOM = {key: value for key, value in ROOM.items() if key != "title"} | {"description": "Where."}


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ({"type": "integer", "title": "Level"}, {"type": "integer"}),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None}, {"type": "integer"}),
        ({"anyOf": [{"type": "null"}, {"$ref": "#/$defs/Room"}], "description": "Where."}, PLAIN_ROOM),
        ({"oneOf": [{"type": "integer"}, {"type": "string"}]}, {"type": "integer"}),
        ({"allOf": [{"$ref": "#/$defs/Room"}], "description": "Where."}, PLAIN_ROOM),
        ({"type": ["number", "null"]}, {"type": "number"}),
        ({"type": ["null", "string"], "enum": ["a", None]}, {"type": "string", "enum": ["a"]}),
        ({"const": 3}, {"type": "integer", "enum": [3]}),
        ({"enum": ["on", "off"]}, {"type": "string", "enum": ["on", "off"]}),
        ({"default": True}, {"type": "boolean", "default": True}),
        ({"minimum": 3}, {"type": "number", "minimum": 3}),
        ({}, {"type": "string"}),
        ({"type": "array"}, {"type": "array", "items": {"type": "string"}}),
        ({"items": {"anyOf": [{"type": "integer"}]}}, {"type": "array", "items": {"type": "integer"}}),
        ({"type": "object", "additionalProperties": {}},
         {"type": "object", "additionalProperties": {"type": "string"}, "properties": {}}),
    ],
)  # fmt: skip
def test_a_schema_is_said_plainly(given: dict[str, Any], plain: dict[str, Any]):
    schema = {
        "type": "object",
        "properties": {"a": given},
        "$defs": {"Room": ROOM},
        "required": ["a", "gone"],
    }

    made = plain_schema(schema | {"required": ["a"]})

    assert made == {"type": "object", "properties": {"a": plain}, "required": ["a"]}
    assert usable(made) == made  # the registry takes it as it takes the owner's own


@pytest.mark.parametrize(
    "schema", [{}, {"properties": {}}, {"type": "object"}, {"$schema": "x", "title": "T"}]
)
def test_a_schema_of_nothing_is_an_object_without_properties(schema: dict[str, Any]):
    assert plain_schema(schema) == {"type": "object", "properties": {}, "required": []}


@pytest.mark.parametrize(
    "part",
    [
        {"$ref": "https://else.where/schema"},
        {"$ref": "#/$defs/Gone"},
        {"$ref": "#/$defs/Tree"},
        {"type": "colour"},
        "string",
    ],
)
def test_a_schema_that_cannot_be_made_plain_leaves_out_that_tool_alone(part: object):
    tree = {"type": "object", "properties": {"child": {"$ref": "#/$defs/Tree"}}}
    bad = {"type": "object", "properties": {"a": part}, "$defs": {"Tree": tree}}

    made, faults = make_plain("house", [Offered("bad", "", bad), *offered("good")])

    assert [each.own_name for each in made] == ["good"]
    assert list(faults) == ["bad"]


@pytest.mark.parametrize("schema", [None, [], "x", {"type": "array"}, {"type": "object", "properties": []}])
def test_what_is_no_schema_is_a_fault_and_no_error(schema: Any):
    with pytest.raises(SchemaError):
        plain_schema(schema)


def test_descriptions_have_an_end():
    schema = {"properties": {"a": {"type": "string", "description": "long " * 500}}}

    (made,), _ = make_plain("house", [Offered("lamp", "long " * 5000, schema)])

    hints: Any = made.parameters["properties"]
    assert len(made.description) <= 1000 and made.description.endswith("...")
    assert len(hints["a"]["description"]) <= 300
