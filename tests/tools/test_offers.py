"""Which tools the agent is offered, and what becomes of a call."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping

import pytest

from pivoice.config import McpConfig, ToolsConfig
from pivoice.errors import ConfigError, ToolError
from pivoice.secrecy import Secrets
from pivoice.simulation import run_jumping
from pivoice.tools.registry import Registry, ToolDefinition

KEY = "k3y-of-the-house"


async def answer_well(_: Mapping[str, object]) -> str:
    return "well"


def tool(name: str, **given: object) -> ToolDefinition:
    fields: dict[str, object] = {"description": "Does it.", "parameters": {}, "run": answer_well} | given
    return ToolDefinition(name=name, **fields)  # type: ignore[arg-type]


def tools(names: str) -> list[ToolDefinition]:
    return [tool(name) for name in names.split()]


def registry_of(config: ToolsConfig = ToolsConfig(), **sources: str) -> Registry:
    registry = Registry(config)
    for source, names in sources.items():
        registry.put(source.replace("_", ":"), tools(names))
    return registry


def offered(registry: Registry) -> str:
    return " ".join(tool.name for tool in registry.offered)


# --- the choice ---


def test_the_owners_own_go_before_those_of_pivoice_and_these_before_servers():
    servers = [McpConfig("a", url="https://a"), McpConfig("b", url="https://b")]
    registry = registry_of(
        ToolsConfig(mcp=servers),
        mcp_b="b1",
        mcp_a="a1 a2",
        pivoice="get_time",
        package_x="x1",
        command="relay",
    )

    assert offered(registry) == "relay x1 get_time a1 a2 b1"


def test_no_more_are_offered_than_there_is_room_for(caplog: pytest.LogCaptureFixture):
    registry = registry_of(
        ToolsConfig(most=3), command="relay lamp", pivoice="get_time note end_conversation"
    )

    assert offered(registry) == "relay lamp end_conversation"
    assert [record.getMessage() for record in caplog.records] == [
        "not offered to the agent for want of room: get_time, note; tools.most is 3, and tools.offer says "
        "which are more important"
    ]


def test_the_choice_is_told_once_as_long_as_it_is_the_same(caplog: pytest.LogCaptureFixture):
    registry = registry_of(ToolsConfig(most=1), command="relay lamp")
    _ = registry.offered

    registry.put("mcp:x", [])
    _ = registry.offered, registry.listed()

    assert len(caplog.records) == 1


def test_the_owner_says_which_are_offered_and_in_which_order():
    config = ToolsConfig(offer=["note", "l*", "nobody"], most=4)

    registry = registry_of(config, command="relay lamp light", pivoice="get_time note")

    assert offered(registry) == "note lamp light"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (ToolsConfig(offer=["relay"]), "relay end_conversation"),
        (ToolsConfig(offer=["*"], most=1), "end_conversation"),
        (ToolsConfig(offer=["end_conversation", "relay"]), "end_conversation relay"),
    ],
)
def test_the_agent_can_always_hang_up(config: ToolsConfig, expected: str):
    assert offered(registry_of(config, command="relay", pivoice="end_conversation")) == expected


def test_of_two_with_one_name_the_owners_own_counts(caplog: pytest.LogCaptureFixture):
    registry = registry_of(pivoice="get_time", command="get_time")

    assert [each.source for each in registry.offered] == ["command"]
    assert "the tool get_time of command stands in for that of pivoice" in caplog.text


def test_a_source_that_puts_again_has_only_those():
    changes: list[str] = []
    registry = registry_of(pivoice="get_time", mcp_x="a b")
    registry.on_change = lambda: changes.append(offered(registry))

    registry.put("mcp:x", tools("b c"))
    registry.put("mcp:x", [])

    assert changes == ["get_time b c", "get_time"]


def test_the_list_says_of_each_why_it_is_not_offered():
    registry = registry_of(ToolsConfig(offer=["relay", "lamp"], most=1), command="relay", pivoice="lamp note")
    registry.put("mcp:x", [tool("relay"), tool("bad", description="")])

    listed = {(line["source"], line["name"]): line for line in registry.listed()}

    assert listed["command", "relay"] == {
        "name": "relay",
        "source": "command",
        "description": "Does it.",
        "offered": True,
        "why": "",
    }
    assert "tools.most is 1" in str(listed["pivoice", "lamp"]["why"])
    assert "tools.offer" in str(listed["pivoice", "note"]["why"])
    assert "command has its name" in str(listed["mcp:x", "relay"]["why"])
    assert "description" in str(listed["mcp:x", "bad"]["why"])
    assert sum(bool(line["offered"]) for line in listed.values()) == 1


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (tool("Küche"), "name"),
        (tool("x" * 65), "name"),
        (tool(""), "name"),
        (tool("lamp", description=" "), "description"),
        (tool("lamp", description="x" * 2000), "description"),
        (tool("lamp", parameters={"type": "array"}), "parameters.type"),
        (tool("good"), "has its name"),
    ],
)
def test_what_the_server_would_choke_on_is_refused_and_of_others_left_out(
    bad: ToolDefinition, said: str, caplog: pytest.LogCaptureFixture
):
    registry = Registry(ToolsConfig())

    with pytest.raises(ConfigError, match=said):
        registry.put("command", [tool("good"), bad])
    registry.put("package:x", [tool("good"), bad])

    assert offered(registry) == "good"
    assert said in caplog.text


# --- calls ---


def run(registry: Registry, name: str, arguments: Mapping[str, object] = {}, **by: str) -> dict[str, object]:
    given = run_jumping(lambda _: registry.run(name, arguments, **by))  # type: ignore[arg-type]
    told = json.loads(given.text)
    assert given.is_error == ("error" in told)
    return told  # type: ignore[no-any-return]


def test_the_agent_may_use_what_it_is_offered_and_the_owner_all_there_is():
    registry = registry_of(ToolsConfig(offer=["relay"]), command="relay lamp")

    assert run(registry, "relay") == {"result": "well"}
    assert "no tool 'lamp'; there are: relay." in str(run(registry, "lamp")["error"])
    assert run(registry, "lamp", by="owner") == {"result": "well"}


@pytest.mark.parametrize("said", [f"the key is {KEY}", json.dumps({"key": KEY}), ToolError(f"bad {KEY}")])
def test_no_answer_holds_a_secret(said: str | ToolError):
    async def tell(_: Mapping[str, object]) -> str:
        if isinstance(said, ToolError):
            raise said
        return said

    registry = Registry(ToolsConfig(), secrets=Secrets(KEY))
    registry.put("package:x", [tool("tell", run=tell)])

    told = run(registry, "tell")

    assert KEY not in str(told)
    assert "[secret]" in str(told)


def test_a_secret_is_taken_out_before_the_answer_is_cut():
    async def tell(_: Mapping[str, object]) -> str:
        return "x" * 95 + KEY

    registry = Registry(ToolsConfig(), secrets=Secrets(KEY))
    registry.put("command", [tool("tell", run=tell, most_chars=100)])

    assert KEY[:4] not in str(run(registry, "tell")["result"])


@pytest.mark.parametrize(("result", "told"), [({"a": 1}, {"a": 1}), (None, None), (["x"], ["x"])])
def test_a_tool_may_return_what_can_be_json(result: object, told: object):
    async def give(_: Mapping[str, object]) -> object:
        return result

    registry = Registry(ToolsConfig())
    registry.put("package:x", [tool("give", run=give)])

    assert json.loads(run_jumping(lambda _: registry.run("give", {})).text) == told


def test_a_tool_that_will_not_end_is_answered_all_the_same():
    async def cling(_: Mapping[str, object]) -> str:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                if asyncio.get_running_loop().time() > 60:
                    raise

    async def main(loop: asyncio.AbstractEventLoop) -> tuple[str, float]:
        registry = Registry(ToolsConfig())
        registry.put("package:x", [tool("cling", run=cling, timeout_s=5.0)])
        answer = await registry.run("cling", {})
        answered_s = loop.time()
        await asyncio.sleep(100)
        return answer.text, answered_s

    text, answered_s = run_jumping(main)

    assert "took longer than 5 s" in text
    assert answered_s == pytest.approx(5.0, abs=0.1)


def test_a_tool_cannot_end_the_device():
    async def leave(_: Mapping[str, object]) -> str:
        raise SystemExit(3)

    registry = Registry(ToolsConfig())
    registry.put("package:x", [tool("leave", run=leave)])

    assert "failed unexpectedly" in str(run(registry, "leave")["error"])


def test_calls_begin_in_their_order_though_they_are_looked_at_elsewhere():
    begun: list[object] = []

    async def note(arguments: Mapping[str, object]) -> str:
        begun.append(arguments["n"])
        return "noted"

    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    registry = Registry(ToolsConfig())
    registry.put("pivoice", [tool("note", run=note, parameters=schema)])

    async def main(_: object) -> None:
        await asyncio.gather(*(registry.run("note", {"n": n}) for n in range(20)))

    run_jumping(main)

    assert begun == list(range(20))


def test_each_call_is_one_line_with_its_outcome_and_how_long_it_took(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    schema = {"type": "object", "properties": {"s": {"type": "number"}}, "required": ["s"]}

    async def wait(arguments: Mapping[str, object]) -> str:
        await asyncio.sleep(float(str(arguments["s"])))
        return "my diary"

    async def fail(_: Mapping[str, object]) -> str:
        raise ToolError("my diary")

    registry = Registry(ToolsConfig())
    registry.put(
        "command", [tool("wait", run=wait, parameters=schema, timeout_s=9.0), tool("fail", run=fail)]
    )

    async def main(_: object) -> None:
        for arguments in ({"s": 2.5}, {"s": 60}, {"s": "my diary"}):
            await registry.run("wait", arguments)
        await registry.run("fail", {}, by="owner")
        await registry.run("my diary", {})
        task = asyncio.create_task(registry.run("wait", {"s": 5}))
        await asyncio.sleep(1.5)
        task.cancel()
        await asyncio.wait({task})

    run_jumping(main)

    assert [record.getMessage() for record in caplog.records] == [
        "tool wait (command): done after 2.50 s",
        "tool wait (command): timed out after 9.00 s",
        "tool wait (command): refused after 0.00 s",
        "tool fail (command): failed after 0.00 s, called by hand",
        "a call of a tool that there is not: answered so",
        "tool wait (command): cancelled after 1.50 s",
    ]
