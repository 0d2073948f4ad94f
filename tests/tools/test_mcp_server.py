"""An MCP server's lives, in simulated time: wanted, there, lost, tried again, left. Without the SDK."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pivoice.config import McpConfig, ToolsConfig
from pivoice.contradictions_tools import tool_contradictions
from pivoice.errors import ToolError
from pivoice.simulation import JumpLoop, run_jumping
from pivoice.tools import mcp
from pivoice.tools.mcp import McpServers
from pivoice.tools.mcp_server import CONNECT_S, IDLE_S, LIST_PAUSE_S, LIST_S, PING_S, LostError, Place
from pivoice.tools.mcp_tools import Offered
from pivoice.tools.registry import Registry, ToolDefinition

SCHEMA = {"type": "object", "properties": {"room": {"type": "string"}}}
LAMP, DOOR = Offered("lamp", "Lights a lamp.", SCHEMA), Offered("door", "Opens a door.", SCHEMA)


async def forever() -> None:
    await asyncio.Event().wait()


class Fake:
    """A server, and the one connection to it."""

    def __init__(self) -> None:
        self.tools = [LAMP]
        self.connected_s: list[float] = []
        self.places: list[Place] = []
        self.calls: list[tuple[str, Mapping[str, object]]] = []
        self.lists = self.pings = self.left = 0
        self.leaving_s = 0.0
        self.refusal = ""
        self.hangs: set[str] = set()
        self.forgets = 0
        self.answer: Callable[[], Awaitable[str]] | str = "on"
        self.change: Callable[[], None] = lambda: None

    @asynccontextmanager
    async def connect(self, place: Place, on_change: Callable[[], None]) -> AsyncIterator[Fake]:
        self.connected_s.append(asyncio.get_running_loop().time())
        self.places.append(place)
        if "connect" in self.hangs:
            await forever()
        if self.refusal:
            raise LostError(self.refusal)
        self.change = on_change
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        try:
            yield self
        finally:
            self.left += 1
            if not self.lost.done():
                self.lost.set_result("it was left")
            await asyncio.sleep(self.leaving_s)
            while "leave" in self.hangs:
                try:
                    await forever()
                except asyncio.CancelledError:
                    continue

    async def list_tools(self) -> list[Offered]:
        self.lists += 1
        if "list" in self.hangs:
            await forever()
        return list(self.tools)

    async def call(self, name: str, arguments: Mapping[str, object]) -> str:
        if self.lost.done():
            raise LostError(self.lost.result())
        self.calls.append((name, arguments))
        if self.forgets:
            self.forgets -= 1
            raise LostError("Session terminated", was_forgotten=True)
        if "call" in self.hangs:
            await forever()
        return self.answer if isinstance(self.answer, str) else await self.answer()

    async def ping(self) -> None:
        self.pings += 1
        if "ping" in self.hangs:
            await forever()


class Scene:
    def __init__(self, loop: JumpLoop, **settings: Any) -> None:
        self.loop, self.fake = loop, Fake()
        self.puts: list[tuple[str, Sequence[ToolDefinition]]] = []
        config = McpConfig(**{"name": "house", "url": "http://house/mcp", **settings})
        self.config = ToolsConfig(mcp=[config])
        self.registry = Registry(self.config)
        self.servers = McpServers(
            self.config, environ={}, state_dir=Path("/"), put=self.put, connect=self.fake.connect
        )

    def put(self, source: str, tools: Sequence[ToolDefinition]) -> None:
        self.puts.append((source, tools))
        self.registry.put(source, tools)

    async def there(self) -> None:
        self.servers.wanted()
        await settle()

    async def call(self, name: str = "house_lamp") -> tuple[str, float]:
        """Return the answer, and how long it took."""
        began_s = self.loop.time()
        answer = await self.registry.run(name, {})
        return answer.text, self.loop.time() - began_s

    @property
    def state(self) -> object:
        return self.servers.status()[0]["state"]


async def settle(seconds: float = 0.1) -> None:
    await asyncio.sleep(seconds)


def scene(**settings: Any) -> Callable[[Callable[..., Coroutine[Any, Any, None]]], Callable[..., None]]:
    def decorate(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
        def run(caplog: pytest.LogCaptureFixture) -> None:
            async def main(loop: JumpLoop) -> None:
                with caplog.at_level(logging.INFO, logger="pivoice.tools.mcp_server"):
                    s = Scene(loop, **settings)
                    await (test(s, caplog) if test.__code__.co_argcount == 2 else test(s))
                    await s.servers.close()

            run_jumping(main)

        run.__name__ = test.__name__
        return run

    return decorate


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.endswith("mcp_server")]


@scene()
async def test_nothing_is_connected_before_a_conversation_begins(s: Scene):
    await settle(3600)

    assert s.fake.connected_s == [] and s.state == "at rest"


@scene()
async def test_its_tools_are_there_once_it_is_wanted_and_are_kept(s: Scene):
    await s.there()
    await s.there()

    assert len(s.fake.connected_s) == 1
    assert [(source, [tool.name for tool in tools]) for source, tools in s.puts] == [
        ("mcp:house", ["house_lamp"])
    ]
    assert await s.call() == ('{"result": "on"}', 0.0)
    assert s.fake.calls == [("lamp", {})]


@scene()
async def test_a_dead_server_is_tried_later_each_time_and_then_not_at_all(
    s: Scene, caplog: pytest.LogCaptureFixture
):
    s.fake.refusal = "no route to host"

    await s.there()
    await settle(3600)

    pauses = [b - a for a, b in zip(s.fake.connected_s, s.fake.connected_s[1:], strict=False)]
    assert pauses == pytest.approx([2, 4, 8], abs=0.01)
    assert len(told(caplog)) == 1 and "no route to host" in told(caplog)[0]


@scene()
async def test_a_day_of_conversations_with_a_dead_server_is_no_storm(
    s: Scene, caplog: pytest.LogCaptureFixture
):
    s.fake.refusal = "no route to host"

    for _ in range(24 * 60):
        s.servers.wanted()
        await settle(60)

    assert len(s.fake.connected_s) < 24 * 3600 / 299 + 20
    assert len(told(caplog)) == 1


@scene()
async def test_one_line_when_it_is_lost_and_one_when_it_is_back(s: Scene, caplog: pytest.LogCaptureFixture):
    await s.there()
    caplog.clear()

    s.fake.lost.set_result("it ended with 3")
    await settle(10)

    assert [line.split(":")[0] for line in told(caplog)] == [
        "the MCP server house cannot be reached",
        "the MCP server house is back; it has 1 tools",
    ]
    assert len(s.puts) == 1  # the same tools: the agent need not be told


@scene()
async def test_a_server_that_keeps_breaking_is_tried_less_and_less(s: Scene):
    for _ in range(200):
        await s.there()
        if s.state == "connected":
            s.fake.lost.set_result("it broke")
        await settle(10)

    assert len(s.fake.connected_s) < 20


@scene()
async def test_a_call_while_it_is_lost_is_answered_at_once(s: Scene):
    await s.there()
    s.fake.refusal = "no route to host"
    s.fake.lost.set_result("it broke")
    await settle()

    text, took_s = await s.call()

    assert "house cannot be reached: it broke" in text and took_s == 0


@scene()
async def test_a_call_connects_what_was_left_idle(s: Scene):
    await s.there()
    await settle(IDLE_S + 20)
    left = (s.fake.left, s.state)

    answer = await s.call()

    assert left == (1, "at rest")
    assert answer[0] == '{"result": "on"}' and len(s.fake.connected_s) == 2
    assert [tool.name for tool in s.registry.offered] == ["house_lamp"]


@scene()
async def test_a_call_while_it_is_being_left_connects_anew(s: Scene):
    await s.there()
    s.fake.leaving_s = 1.0
    await settle(IDLE_S)
    was_left = s.fake.left

    text, took_s = await s.call()

    assert was_left == 1
    assert text == '{"result": "on"}' and took_s < 1.1


@scene()
async def test_a_conversation_that_begins_while_it_is_being_left_has_it(s: Scene):
    await s.there()
    s.fake.leaving_s = 1.0
    await settle(IDLE_S)

    s.servers.wanted()
    await settle(2.0)

    assert s.fake.left == 1 and s.state == "connected"


@scene(timeout_s=2000)
async def test_it_is_not_left_while_it_works(s: Scene):
    async def slow() -> str:
        await asyncio.sleep(IDLE_S * 2)
        return "done"

    await s.there()
    s.fake.answer = slow

    text, _ = await s.call()

    assert text == '{"result": "done"}' and s.fake.left == 0


@pytest.mark.parametrize(("what", "within_s"), [("connect", CONNECT_S), ("list", LIST_S)])
def test_a_server_that_hangs_is_given_up(what: str, within_s: float, caplog: pytest.LogCaptureFixture):
    @scene()
    async def run(s: Scene) -> None:
        s.fake.hangs.add(what)
        s.servers.wanted()
        await settle(within_s - 0.5)
        before = s.state

        await settle(1)

        assert (before, s.state) == ("connecting", "waiting to try again")
        assert s.servers.status()[0]["why"].startswith("it does not")

    run(caplog)


@scene()
async def test_its_tools_are_looked_at_again_when_they_change_but_not_without_pause(s: Scene):
    await s.there()
    s.fake.tools = [LAMP, DOOR]

    for _ in range(200):
        s.fake.change()
        await settle(0.1)
    await settle(LIST_PAUSE_S)

    assert [tool.name for tool in s.puts[-1][1]] == ["house_lamp", "house_door"]
    assert len(s.puts) == 2 and s.fake.lists <= 2 + 20 / LIST_PAUSE_S


@scene(timeout_s=5)
async def test_a_server_that_hangs_in_a_call_is_begun_anew(s: Scene):
    await s.there()
    s.fake.hangs |= {"call", "ping"}

    text, took_s = await s.call()
    await settle(PING_S + 1)
    s.fake.hangs.clear()
    await settle(10)

    assert "took longer than 5 s" in text and took_s == pytest.approx(5)
    assert s.fake.left == 1 and s.state == "connected"


@scene(timeout_s=5)
async def test_a_call_that_nobody_waits_for_any_more_is_no_reason_to_doubt_it(s: Scene):
    await s.there()
    s.fake.hangs |= {"call", "ping"}

    call = asyncio.create_task(s.call())
    await settle(1)
    call.cancel()
    await settle(30)

    assert s.fake.pings == 0 and s.state == "connected"


@scene()
async def test_a_server_that_forgot_the_session_is_asked_again_once(
    s: Scene, caplog: pytest.LogCaptureFixture
):
    await s.there()
    s.fake.forgets = 1
    caplog.clear()

    text, _ = await s.call()

    assert text == '{"result": "on"}'
    assert len(s.fake.connected_s) == 2 and told(caplog) == []


@scene()
async def test_a_server_that_forgets_every_time_is_an_error(s: Scene):
    await s.there()
    s.fake.forgets = 100

    text, _ = await s.call()

    assert "cannot be reached" in text and len(s.fake.connected_s) <= 3


@scene()
async def test_a_call_is_waited_for_while_it_connects(s: Scene):
    await s.there()
    s.fake.lost.set_result("it broke")
    await settle(2.1)

    assert (await s.call())[0] == '{"result": "on"}'


@scene()
async def test_closing_takes_less_than_a_second_whatever_hangs(s: Scene):
    await s.there()
    s.fake.hangs.add("leave")
    began_s = s.loop.time()

    await s.servers.close()

    assert s.loop.time() - began_s < 1
    s.fake.hangs.clear()
    await s.servers.close()


@scene(tools=["door", "garage*", "l*"])
async def test_its_setting_chooses_the_tools_and_says_which_are_not_there(
    s: Scene, caplog: pytest.LogCaptureFixture
):
    s.fake.tools = [LAMP, Offered("window", "", SCHEMA), DOOR]

    await s.there()

    assert [tool.name for tool in s.puts[0][1]] == ["house_door", "house_lamp"]
    assert [line for line in told(caplog) if "garage*" in line and "lamp, window, door" in line]


@scene()
async def test_a_tool_that_cannot_be_used_is_told_once_and_the_others_are_there(
    s: Scene, caplog: pytest.LogCaptureFixture
):
    bad = Offered("bad", "", {"type": "object", "properties": {"a": {"$ref": "https://else.where/schema"}}})
    s.fake.tools = [bad, LAMP]
    await s.there()
    s.fake.tools = [bad, LAMP, DOOR]
    s.fake.change()
    await settle(10)

    assert [tool.name for tool in s.puts[-1][1]] == ["house_lamp", "house_door"]
    assert len([line for line in told(caplog) if "bad" in line and "else.where" in line]) == 1


def test_what_a_server_says_is_told_without_secrets(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    secret = tmp_path / "token"
    secret.write_text("hunter2hunter2\n")
    secret.chmod(0o600)

    @scene(secrets={"TOKEN": str(secret)}, headers={"Authorization": "Bearer {TOKEN}"})
    async def run(s: Scene) -> None:
        async def fail() -> str:
            raise ToolError("no user has hunter2hunter2")

        spoken = {"type": "string", "description": "use hunter2hunter2", "enum": ["hunter2hunter2"]}
        schema = {"type": "object", "properties": {"key": spoken}}
        s.fake.tools = [Offered("lamp", "Lights a lamp for hunter2hunter2.", schema)]
        s.fake.answer = "you said hunter2hunter2"
        await s.there()
        assert "hunter2" not in str(s.registry.offered)
        answer, _ = await s.call()
        s.fake.answer = fail
        failure, _ = await s.call()
        s.fake.lost.set_result("hunter2hunter2 is expired")
        await settle()
        status = s.servers.status()
        secret.write_text("another-secret")  # a new one needs no restart
        await settle(30)

        assert "[secret]" in answer and "[secret]" in failure
        assert "hunter2" not in answer + failure + str(status) + caplog.text
        assert [place.headers["Authorization"] for place in s.fake.places] == [
            "Bearer hunter2hunter2",
            "Bearer another-secret",
        ]

    run(caplog)


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("Bearer {TOKEN}", "Bearer a/b-secret"),
        ("{{x}} {TOKEN:url}", "{x} a%2Fb-secret"),
        ("{{TOKEN}}", "{TOKEN}"),
    ],
)
def test_a_header_is_read_as_its_settings_are_checked(written: str, sent: str, tmp_path: Path):
    secret = tmp_path / "token"
    secret.write_text("a/b-secret\n")
    secret.chmod(0o600)
    config = McpConfig(
        name="house",
        url="http://house/mcp",
        headers={"Authorization": written},
        secrets={"TOKEN": str(secret)},
    )

    place = mcp.find_place(config, {}, tmp_path)

    assert list(tool_contradictions(ToolsConfig(mcp=[config]))) == []
    assert place.headers == {"Authorization": sent}


@scene(headers={"Authorization": "Bearer {TOKEN}"}, secrets={"TOKEN": "/nowhere/token"})
async def test_a_secret_that_cannot_be_read_is_why_it_is_not_there(s: Scene):
    await s.there()

    why = s.servers.status()[0]["why"]
    assert why == "the secret TOKEN cannot be read from '/nowhere/token': No such file or directory"


def test_where_the_sdk_is_not_installed_one_line_says_how_and_nothing_else_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(mcp, "_is_installed", lambda: False)
    config = ToolsConfig(mcp=[McpConfig(name="house", command=["x"]), McpConfig(name="shed", command=["x"])])

    async def main(_: JumpLoop) -> None:
        servers = McpServers(config, environ={}, state_dir=Path("/"), put=lambda *_: None)
        servers.wanted()
        await settle(60)
        await servers.close()

    run_jumping(main)

    (record,) = caplog.records
    assert "house, shed" in record.getMessage() and "sudo ./scripts/install --mcp" in record.getMessage()
