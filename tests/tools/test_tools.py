"""Tools: every call has an answer."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping

import pytest

from pivoice.config import ToolsConfig
from pivoice.errors import ToolError
from pivoice.simulation import run_jumping
from pivoice.tools.builtin import end_conversation_tool, get_time_tool
from pivoice.tools.registry import MAX_ANSWER_CHARS, Answer, Registry, Run, ToolDefinition

SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {"minutes": {"type": "number"}, "unit": {"type": "string", "enum": ["s", "min"]}},
    "required": ["minutes"],
}


def registry_with(*tools: ToolDefinition, config: ToolsConfig = ToolsConfig()) -> Registry:
    registry = Registry(config)
    registry.put("pivoice", tools)
    return registry


def registry_of(run: Run) -> Registry:
    return registry_with(ToolDefinition("wait", "Waits.", SCHEMA, run))


async def echo(arguments: Mapping[str, object]) -> str:
    return json.dumps(dict(arguments))


def answer(registry: Registry, name: str, arguments: Mapping[str, object]) -> Answer:
    return run_jumping(lambda _: registry.run(name, arguments))


def test_a_call_with_good_arguments_is_run():
    assert answer(registry_of(echo), "wait", {"minutes": 3}) == Answer('{"minutes": 3}')


def test_an_unknown_tool_is_answered_with_the_known_ones():
    told = answer(registry_of(echo), "dance", {})

    assert told.is_error
    assert "'dance'" in told.text
    assert "wait" in told.text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "'minutes' is missing"),
        ({"minutes": "three"}, "must be of type number"),
        ({"minutes": True}, "must be of type number"),
        ({"minutes": 3, "unit": "h"}, "must be one of 's', 'min'"),
    ],
)
def test_bad_arguments_are_explained_and_not_run(arguments: dict[str, object], said: str):
    told = answer(registry_of(echo), "wait", arguments)

    assert told.is_error
    assert said in told.text


def test_what_the_agent_said_wrong_is_quoted_at_bounded_length():
    told = answer(registry_of(echo), "wait", {"minutes": "x" * 100_000})

    assert len(told.text) < 500
    assert len(answer(registry_of(echo), "y" * 100_000, {}).text) < 500


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("sunny", {"result": "sunny"}),
        ('{"weather": "sunny"}', {"weather": "sunny"}),
        ("", {"result": ""}),
        ("NaN", {"result": "NaN"}),
        ('"\ud800"', "?"),
        ("[" * 3000, {"result": "[" * 3000}),
    ],
)
def test_an_answer_is_json_whatever_the_tool_returned(said: str, told: object):
    async def run(_: Mapping[str, object]) -> str:
        return said

    given = answer(registry_of(run), "wait", {"minutes": 1})

    assert not given.is_error
    assert json.loads(given.text) == told
    given.text.encode("utf-8")


@pytest.mark.parametrize(
    "said",
    ["word " * 20_000, "[" + "1, " * 20_000 + "1]", "[" * 100_000, "\0" * 100_000, '"' * 100_000, "ü" * 9000],
)
def test_too_long_an_answer_is_cut_and_says_so_and_still_is_json(said: str):
    async def run(_: Mapping[str, object]) -> str:
        return said

    text = answer(registry_of(run), "wait", {"minutes": 1}).text

    told = json.loads(text)
    assert len(text) <= 2 * MAX_ANSWER_CHARS + 200
    assert said.startswith(told["result"])
    assert f"only the beginning, {len(told['result'])} characters" in told["cut"]


def test_every_failure_is_told_as_json_with_what_to_do_about_it():
    async def fail(_: Mapping[str, object]) -> str:
        raise ToolError("the lamp is off")

    for name, arguments, said in (
        ("dance", {}, "there are: wait"),
        ("wait", {}, "Ask the user"),
        ("wait", {"minutes": 1}, "Tell the user"),
    ):
        given = answer(registry_of(fail), name, arguments)

        assert given.is_error
        assert said in json.loads(given.text)["error"]


def test_a_tool_whose_own_work_was_cancelled_is_still_answered():
    async def give_up(_: Mapping[str, object]) -> str:
        raise asyncio.CancelledError

    assert answer(registry_of(give_up), "wait", {"minutes": 1}).is_error


def test_a_call_that_we_cancel_ends():
    async def sleep(_: Mapping[str, object]) -> str:
        await asyncio.sleep(3600)
        return "done"

    async def main(_: object) -> bool:
        task = asyncio.create_task(registry_of(sleep).run("wait", {"minutes": 1}))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert run_jumping(main)


def test_what_a_failing_tool_was_asked_is_not_logged_above_debug(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)

    async def fail(arguments: Mapping[str, object]) -> str:
        raise KeyError(arguments["unit"])

    answer(registry_of(fail), "wait", {"minutes": 1, "unit": "min", "secret": "my diary"})
    answer(registry_of(fail), "my diary", {})

    assert "failed unexpectedly (KeyError)" in caplog.text
    assert "min'" not in caplog.text
    assert "my diary" not in caplog.text


def test_a_tool_that_takes_too_long_is_given_up():
    async def sleep(_: Mapping[str, object]) -> str:
        await asyncio.sleep(3600)
        return "done"

    told = answer(registry_of(sleep), "wait", {"minutes": 1})

    assert told.is_error
    assert "took longer than 20 s" in told.text


@pytest.mark.parametrize(
    ("error", "said"), [(ToolError("the lamp is off"), "the lamp is off"), (KeyError("x"), "KeyError")]
)
def test_a_tool_that_fails_tells_the_agent(error: Exception, said: str):
    async def fail(_: Mapping[str, object]) -> str:
        raise error

    told = answer(registry_of(fail), "wait", {"minutes": 1})

    assert told.is_error
    assert said in told.text


def test_definitions_are_what_the_agent_is_told():
    registry = registry_with(get_time_tool(), end_conversation_tool(lambda: None))

    assert [tool.name for tool in registry.offered] == ["get_time", "end_conversation"]
    assert all(tool.parameters["type"] == "object" for tool in registry.offered)
