"""MCP servers by the SDK: programs and addresses, good ones and bad ones, in real time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

import pivoice.tools.mcp_server
from pivoice.config import McpConfig, ToolsConfig
from pivoice.tools import mcp_connection
from pivoice.tools.mcp import McpServers
from pivoice.tools.mcp_process import MAX_LINES_PER_S, Program
from pivoice.tools.registry import Registry
from tests.support import mcp_server

SUPPORT = Path(mcp_server.__file__).parent
ENVIRON = {"PATH": os.environ["PATH"], "ASSEMBLYAI_API_KEY": "the-agents-key", "HOME": "/nonexistent"}


async def eventually(condition: Callable[[], object], within_s: float = 20.0) -> None:
    deadline_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline_s, f"waited {within_s} s in vain"
        await asyncio.sleep(0.01)


class House:
    """Servers, and a registry that has their tools."""

    def __init__(self, state_dir: Path, config: McpConfig, environ: Mapping[str, str] = ENVIRON) -> None:
        tools = ToolsConfig(mcp=[config], most=20)
        self.registry = Registry(tools)
        self.servers = McpServers(tools, environ=environ, state_dir=state_dir, put=self.registry.put)

    async def until(self, state: str, within_s: float = 20.0) -> None:
        await eventually(lambda: self.servers.status()[0]["state"] == state, within_s)

    async def call(self, tool: str, /, **arguments: object) -> str:
        return (await self.registry.run(f"house_{tool}", arguments)).text


@asynccontextmanager
async def house(state_dir: Path, state: str = "connected", **settings: Any) -> AsyncIterator[House]:
    one = House(state_dir, McpConfig(name="house", **settings))
    one.servers.wanted()
    try:
        await one.until(state)
        yield one
    finally:
        await one.servers.close()


def raw(fault: str) -> list[str]:
    return [sys.executable, "-S", str(SUPPORT / "mcp_raw.py"), fault]


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that is over and was not asked after does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children() -> set[int]:
    """Return our processes' numbers."""
    found = Path("/proc/self/task").glob("*/children")
    return {int(pid) for each in found for pid in each.read_text().split() if is_alive(int(pid))}


@pytest.fixture(autouse=True)
def _no_orphans() -> Iterator[None]:
    before = children()
    yield
    deadline_s = time.monotonic() + 5
    while children() - before:
        assert time.monotonic() < deadline_s, "a program is left behind"


# --- programs ---


def test_a_program_by_the_sdk_does_all_that_a_server_does(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pivoice.tools.mcp_server, "LIST_PAUSE_S", 0.1)
    secret = tmp_path / "pin"
    secret.write_text("a-secret-pin\n")
    secret.chmod(0o600)
    settings: dict[str, Any] = {
        "command": [sys.executable, str(SUPPORT / "mcp_server.py"), "stdio"],
        "environment": {"MODE": "day"},
        "secrets": {"PIN": str(secret)},
    }

    async def main() -> None:
        async with house(tmp_path / "state", **settings) as one:
            assert await one.call("add", a=1, b=2) == "3"
            assert json.loads(await one.call("set_light", room={"name": "hall"})) == {
                "room": "hall",
                "level": 100,
            }
            assert "the lamp is broken" in await one.call("fail")
            assert "[an image, image/png, which cannot be shown here]" in await one.call("picture")
            variables = json.loads(await one.call("variable", name=""))["result"].split()
            assert {*variables} - {"LC_CTYPE"} == {"PATH", "HOME", "MODE", "PIN"}
            assert await one.call("variable", name="HOME") == json.dumps({"result": str(tmp_path / "state")})
            assert await one.call("variable", name="PIN") == '{"result": "[secret]"}'
            await one.call("learn")
            await eventually(lambda: "house_bark" in str(one.servers.status()))

    with caplog.at_level(logging.DEBUG):
        asyncio.run(main())

    assert {record.name.partition(".")[0] for record in caplog.records} <= {"pivoice", "asyncio"}


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("garbage", "it writes what is not MCP"),
        ("line", "it wrote a line of more than 2097152 bytes"),
    ],
)
def test_a_program_that_writes_nonsense_is_given_up_and_costs_little(tmp_path: Path, fault: str, why: str):
    async def main() -> tuple[str, float]:
        began_s = time.process_time()
        async with house(tmp_path, "waiting to try again", command=raw(fault)) as one:
            return one.servers.status()[0]["why"], time.process_time() - began_s

    said, cpu_s = asyncio.run(main())

    assert said == why
    assert cpu_s < 3  # the SDK's import is in it


@pytest.mark.parametrize("fault", ["banner", "endless"])
def test_a_program_with_a_small_fault_is_understood(
    tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(mcp_connection, "MAX_TOOLS", 20)

    async def main() -> str:
        async with house(tmp_path, command=raw(fault)) as one:
            return await one.call("lamp")

    assert asyncio.run(main()) == '{"result": "on"}'


@pytest.mark.parametrize(
    ("fault", "why"), [("crash", "it ended with 3: the roof came down"), ("odd", "is not what MCP says")]
)
def test_what_goes_wrong_in_a_call_is_told(tmp_path: Path, fault: str, why: str):
    async def main() -> str:
        async with house(tmp_path, command=raw(fault)) as one:
            return await one.call("lamp")

    assert why in asyncio.run(main())


def test_a_program_that_talks_without_end_does_not_get_the_processor(tmp_path: Path):
    async def main() -> int:
        program = await Program.start(["yes"], environment=ENVIRON, directory="/")
        lines = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                while lines < 100_000:
                    lines += await program.read_line() == b"y"
        await program.stop()
        return lines

    assert 0 < asyncio.run(main()) < 3 * MAX_LINES_PER_S  # half a second touches two


def test_a_program_that_cannot_be_started_says_so(tmp_path: Path):
    async def main() -> object:
        async with house(tmp_path, "waiting to try again", command=["no-such-program"]) as one:
            return one.servers.status()[0]["why"]

    assert asyncio.run(main()) == "cannot start 'no-such-program': No such file or directory"


@pytest.mark.parametrize("fault", ["deaf", "complaints", "stubborn", "child"])
def test_nothing_is_left_of_a_program_in_less_than_a_second(
    tmp_path: Path, fault: str, caplog: pytest.LogCaptureFixture
):
    async def main() -> float:
        one, pid = House(tmp_path, McpConfig(name="house", command=raw(fault))), 0
        before = children()
        one.servers.wanted()
        if fault in ("stubborn", "child"):
            await one.until("connected")
        await eventually(lambda: children() - before)
        if fault == "child":
            pid = json.loads(await one.call("lamp"))
        began_s = time.monotonic()
        await one.servers.close()
        took_s = time.monotonic() - began_s
        await eventually(lambda: not pid or not is_alive(pid), 2)
        return took_s

    took_s = asyncio.run(main())

    assert took_s < 1
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


# --- addresses ---


@contextlib.contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serve `app` on loopback, in a thread; give its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])), name="mcp server")
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


def test_an_address_is_a_server_as_well(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    secret = tmp_path / "token"
    secret.write_text("a-secret-token\n")
    secret.chmod(0o600)
    headers = {"X-Token": "Bearer {TOKEN}"}

    async def main(url: str) -> None:
        async with house(tmp_path, url=url, headers=headers, secrets={"TOKEN": str(secret)}) as one:
            assert await one.call("add", a=1, b=2) == "3"
            assert await one.call("header", name="x-token") == '{"result": "Bearer [secret]"}'
            calls = [asyncio.create_task(one.call("wait", seconds=0.3)) for _ in range(5)]
            assert {await call for call in calls} == {'{"result": "done"}'}

    with caplog.at_level(logging.DEBUG), serving(mcp_server.server.streamable_http_app()) as address:
        asyncio.run(main(f"{address}/mcp"))

    ours = [record for record in caplog.records if not record.name.startswith("sse_starlette")]
    assert {record.name.partition(".")[0] for record in ours} <= {"pivoice", "asyncio"}
    assert "a-secret-token" not in str([record.getMessage() for record in ours])


def forgetful(calls: list[str]) -> Any:
    """Return an MCP server that forgets its first session."""

    def answer(method: str, session: str) -> object:
        if method == "initialize":
            about = {"name": "raw", "version": "1"}
            return {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": about}
        if method == "tools/list":
            return {"tools": [{"name": "lamp", "inputSchema": {"type": "object"}}]}
        calls.append(session)
        return {"content": [{"type": "text", "text": "on"}]} if session != "1" else None

    sessions = itertools.count(1)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        headers, status, result = dict(scope["headers"]), 405 if scope["method"] == "GET" else 202, None
        session = headers.get(b"mcp-session-id", b"").decode()
        message = json.loads((await receive())["body"] or b"{}")
        if "id" in message:
            session = session or str(next(sessions))
            result = answer(message["method"], session)
            status = 200 if result else 404
        body = json.dumps({"jsonrpc": "2.0", "id": message.get("id"), "result": result}) if result else ""
        told = [(b"content-type", b"application/json"), (b"mcp-session-id", session.encode())]
        await send({"type": "http.response.start", "status": status, "headers": told})
        await send({"type": "http.response.body", "body": body.encode()})

    return app


def test_a_server_that_was_started_anew_is_called_again(tmp_path: Path):
    calls: list[str] = []

    async def main(url: str) -> str:
        async with house(tmp_path, url=url) as one:
            return await one.call("lamp")

    with serving(forgetful(calls)) as address:
        assert asyncio.run(main(f"{address}/mcp")) == '{"result": "on"}'

    assert calls == ["1", "2"]


Answer = tuple[int, list[tuple[bytes, bytes]], bytes]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((401, [], b""), "it answers HTTP 401 Unauthorized; check its headers and secrets"),
        ((500, [], b"oops"), "it answers HTTP 500 Internal Server Error"),
        ((200, [(b"content-type", b"text/html")], b"<html>Welcome to the hotel"), "it says what is not MCP"),
        ((200, [(b"content-type", b"application/json")], b"{" * 2**23), "it says what is not MCP"),
        (
            (302, [(b"location", b"http://else.where/mcp")], b""),
            "it answers HTTP 302 Found, it is elsewhere; check its url, and a / at its end",
        ),
        ((404, [], b""), "it answers HTTP 404; check its url"),
    ],
)
def test_an_address_that_is_no_server_says_why(tmp_path: Path, answer: Answer, why: str):
    status, headers, body = answer

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    async def main(url: str) -> object:
        async with house(tmp_path, "waiting to try again", url=url) as one:
            why = one.servers.status()[0]["why"]
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}, "something of the SDK's still waits for it"
        return why

    with serving(app) as address:
        assert asyncio.run(main(f"{address}/mcp?token=hidden-token")) == why


def test_an_address_where_nobody_answers_does_not_delay_a_stop(tmp_path: Path):
    async def main() -> float:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}/mcp"
            one = House(tmp_path, McpConfig(name="house", url=url))
            one.servers.wanted()
            await asyncio.sleep(0.3)
            assert one.servers.status()[0]["state"] == "connecting"
            began_s = time.monotonic()
            await one.servers.close()
            took_s = time.monotonic() - began_s
            await asyncio.sleep(0)
            assert asyncio.all_tasks() == {asyncio.current_task()}
            return took_s

    assert asyncio.run(main()) < 1


# --- what it costs ---


def test_the_sdk_is_imported_when_a_server_is_wanted_and_not_before(tmp_path: Path):
    program = f"""
import asyncio, sys
from pathlib import Path
from pivoice.config import McpConfig, ToolsConfig
from pivoice.tools.mcp import McpServers

def loaded():
    return [name for name in ("mcp", "httpx", "anyio", "pydantic", "jsonschema") if name in sys.modules]

async def main():
    config = ToolsConfig(mcp=[McpConfig(name="house", command=["no-such-program"])])
    servers = McpServers(config, environ={{}}, state_dir=Path({str(tmp_path)!r}), put=lambda *_: None)
    print(loaded())
    servers.wanted()
    while servers.status()[0]["state"] == "connecting":
        await asyncio.sleep(0.01)
    print("mcp" in loaded(), sys.getswitchinterval())

asyncio.run(main())
"""

    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert run.stdout.splitlines() == ["[]", "True 0.005"]
