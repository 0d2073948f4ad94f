"""Recipes that are more than a command: the package, installed as README says, and MCP servers."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pivoice.config import ToolsConfig
from pivoice.secrecy import Secrets
from pivoice.tools.mcp import McpServers
from pivoice.tools.packages import open_packages
from pivoice.tools.registry import Registry
from tests.support.bed import wait_until
from tests.support.recipes import RECIPES, TOKEN, call, keep_token, read

# --- a package ---


@pytest.fixture(scope="module")
def installed_relay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, installed the way README says."""
    source, target = tmp_path_factory.mktemp("relay") / "source", tmp_path_factory.mktemp("python")
    shutil.copytree(RECIPES / "relay", source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-index"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--target", target, source], check=True)
    return target


@pytest.fixture
def relay(installed_relay: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    import gpiozero
    from gpiozero.pins.mock import MockFactory, MockPWMPin

    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "mock")
    monkeypatch.setattr(gpiozero.Device, "pin_factory", MockFactory(pin_class=MockPWMPin))
    monkeypatch.syspath_prepend(installed_relay)
    found = Registry(ToolsConfig(), secrets=Secrets())
    tools = open_packages()
    for source in {tool.source for tool in tools}:
        found.put(source, [tool for tool in tools if tool.source == source])
    yield found
    gpiozero.Device.pin_factory.reset()
    sys.modules.pop("pivoice_relay", None)


def test_a_relay_is_switched_and_holds(relay: Registry):
    import gpiozero

    pin = gpiozero.Device.pin_factory.pin(26)
    _, is_error = call(relay, "switch_relay", {"name": "lamp", "on": True})

    assert not is_error and pin.function == "output" and pin.state
    assert call(relay, "relay_states", {})[0] == {"lamp": "on", "fan": "off"}

    call(relay, "switch_relay", {"name": "lamp", "on": False})

    assert not pin.state


def test_a_relay_on_a_pin_that_is_taken_says_which(relay: Registry):
    import gpiozero

    with gpiozero.Button(26):
        told, is_error = call(relay, "switch_relay", {"name": "lamp", "on": True})

    assert is_error and "lamp on GPIO 26" in told["error"]


def test_relays_that_nobody_calls_open_no_pin(relay: Registry):
    import gpiozero

    told, _ = call(relay, "relay_states", {})

    assert told == {"lamp": "off", "fan": "off"} and not gpiozero.Device.pin_factory.pins


# --- MCP servers ---


STAND_IN = '''
import sys
from mcp.server.fastmcp import Context, FastMCP

server = FastMCP("stand-in", port=int(sys.argv[1]), streamable_http_path="/api/mcp", log_level="CRITICAL")

@server.tool()
def get_current_time(timezone: str) -> str:
    """Tells the time."""
    return "now"

@server.tool()
def convert_time(source_timezone: str, time: str, target_timezone: str) -> str:
    """Converts a time."""
    return f"{time} in {source_timezone}, asked with {sys.argv[2:]}"

@server.tool()
def HassTurnOn(name: str, context: Context) -> str:
    """Turns on."""
    return f"{name} is on, by {context.request_context.request.headers['Authorization']}"

@server.tool()
def HassNevermind() -> str:
    """Does nothing."""
    return ""

server.run("streamable-http" if int(sys.argv[1]) else "stdio")
'''


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN)
    return script


async def called(
    tools: ToolsConfig, tmp_path: Path, name: str, arguments: dict[str, object]
) -> tuple[list[str], Any]:
    """Connect as at the begin of a conversation; return the tools there are, and what one says."""
    found, is_there = Registry(tools, secrets=Secrets()), asyncio.Event()
    found.on_change = is_there.set
    servers = McpServers(tools, environ={}, state_dir=tmp_path, put=found.put)
    servers.wanted()
    try:
        async with asyncio.timeout(20):
            while not found.offered:
                await is_there.wait()
                is_there.clear()
        answer = await found.run(name, arguments)
        return [tool.name for tool in found.offered], json.loads(answer.text)
    finally:
        await servers.close()


def test_a_server_on_the_device_is_begun_and_brings_what_was_chosen(stand_in: Path, tmp_path: Path):
    tools = read("mcp-time.toml").tools
    program, *rest = tools.mcp[0].command
    server = dataclasses.replace(tools.mcp[0], command=[sys.executable, str(stand_in), "0", *rest])
    asked = {"source_timezone": "Asia/Tokyo", "time": "09:00", "target_timezone": "America/Toronto"}

    names, told = asyncio.run(
        called(dataclasses.replace(tools, mcp=[server]), tmp_path, "clock_convert_time", asked)
    )

    assert Path(program).is_relative_to(RECIPES)
    assert names == ["clock_convert_time"]
    assert "09:00 in Asia/Tokyo, asked with ['--local-timezone', 'Europe/Berlin']" in json.dumps(told)


def test_home_assistants_server_is_asked_with_the_token_which_the_agent_does_not_see(
    stand_in: Path, tmp_path: Path
):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    instead = {
        "http://homeassistant.local:8123": f"http://127.0.0.1:{port}",
        "/etc/pivoice/home-assistant.token": str(keep_token(tmp_path)),
    }
    home = subprocess.Popen([sys.executable, stand_in, str(port)])
    try:
        wait_until(lambda: is_open(port), 20, "the server listens")
        tools = read("mcp-home-assistant.toml", **instead).tools
        names, told = asyncio.run(called(tools, tmp_path, "home_hass_turn_on", {"name": "lamp"}))
    finally:
        home.kill()
        home.wait()

    assert names == ["home_hass_turn_on"]
    assert "lamp is on" in json.dumps(told) and "Bearer" in json.dumps(told) and TOKEN not in json.dumps(told)


def is_open(port: int) -> bool:
    with socket.socket() as knocking:
        return knocking.connect_ex(("127.0.0.1", port)) == 0
