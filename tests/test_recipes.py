"""Every recipe of config/recipes is loaded and run for real, with something local for the world outside."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pivoice import boards, config
from pivoice.config import ToolsConfig
from pivoice.secrecy import Secrets
from pivoice.tools.commands import open_commands
from pivoice.tools.mcp import McpServers
from pivoice.tools.packages import open_packages
from pivoice.tools.registry import Registry
from tests.support.bed import wait_until
from tests.support.web import Web

ROOT = Path(__file__).resolve().parent.parent
RECIPES = ROOT / "config/recipes"
INSTALLED = "/usr/local/lib/pivoice"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.aGFzcy10b2tlbg.c2lnbmF0dXJl"


@pytest.fixture
def web() -> Iterator[Web]:
    web = Web()
    yield web
    web.close()


def read(name: str, **instead: str) -> config.Config:
    """Return the recipe as configuration; `instead`: texts of the file, and what stands in for them."""
    text = (RECIPES / name).read_text().replace(f'"{INSTALLED}/', f'"{RECIPES}/')
    for old, new in instead.items():
        assert old in text
        text = text.replace(old, new)
    return config.parse(text)


def registry(tools: ToolsConfig, tmp_path: Path) -> Registry:
    found = Registry(tools, secrets=Secrets())
    found.put("command", open_commands(tools, {}, tmp_path))
    return found


def call(tools: Registry, name: str, arguments: dict[str, object]) -> tuple[Any, bool]:
    """Return what the agent is told, and whether it is an error."""
    answer = asyncio.run(tools.run(name, arguments))
    return json.loads(answer.text), answer.is_error


# --- all of them ---


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_a_recipe_says_what_it_needs_and_names_no_file_that_is_not_there(recipe: Path):
    config.parse(recipe.read_text())
    comment = [line for line in recipe.read_text().splitlines() if line.startswith("#")]

    assert len(comment) >= 3
    for place in re.findall(r"(?:config/recipes/|\./scripts/)[\w-]+", "\n".join(comment)):
        assert (ROOT / place).exists(), place


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_a_recipe_goes_into_the_file_that_is_installed(recipe: Path):
    """Its [[tables]] at the end, the settings of its [sections] below the line that is there already."""
    whole = (ROOT / "config/pivoice.toml").read_text()
    for part in re.split(r"^(?=\[)", recipe.read_text(), flags=re.MULTILINE)[1:]:
        head, _, settings = part.partition("\n")
        is_there = not head.startswith("[[") and f"\n{head}\n" in whole
        whole = whole.replace(f"\n{head}\n", f"\n{head}\n{settings}\n") if is_there else f"{whole}\n{part}"

    assert config.parse(whole) == config.parse(recipe.read_text())


# --- commands ---


def place(state: str, latitude: float, **more: str) -> dict[str, object]:
    about = {"country": "United States", "country_code": "US", "latitude": latitude, "longitude": -90.0}
    return {"name": "Springfield", "admin1": state, **about, **more}


PLACES = [place("Missouri", 37.2), place("Illinois", 39.8)]
FORECAST = {
    "current_units": {"temperature_2m": "°C", "relative_humidity_2m": "%"},
    "current": {"weather_code": 61, "temperature_2m": 7.6, "relative_humidity_2m": 91},
    "daily_units": {"temperature_2m_max": "°C", "precipitation_probability_max": "%"},
    "daily": {
        "time": ["2026-11-23"],
        "weather_code": [3],
        "temperature_2m_max": [8.0],
        "precipitation_probability_max": [None],
    },
}


@pytest.fixture
def weather(web: Web, tmp_path: Path) -> Registry:
    web.answers = {"/search": (200, {"results": PLACES}), "/forecast": (200, FORECAST)}
    tools = read("weather.toml").tools
    urls = {"GEOCODING_URL": f"{web.url}/search", "FORECAST_URL": f"{web.url}/forecast"}
    command = dataclasses.replace(tools.command[0], environment={**tools.command[0].environment, **urls})
    return registry(dataclasses.replace(tools, command=[command]), tmp_path)


def test_the_weather_of_the_place_that_was_meant_is_told_in_words(weather: Registry, web: Web):
    told, is_error = call(weather, "weather", {"days": 1, "place": "Springfield, Illinois"})

    assert not is_error
    assert told["place"] == "Springfield, Illinois, United States"
    assert told["now"] == {"weather": "light rain", "temperature": "7.6 °C", "humidity": "91 %"}
    assert told["days"] == [{"day": "Monday, 23 November", "weather": "overcast", "high": "8 °C"}]
    assert "name=Springfield&" in web.asked[0][1]
    assert "latitude=39.8&longitude=-90.0" in web.asked[1][1] and "forecast_days=1" in web.asked[1][1]


def test_the_weather_is_that_of_here_where_no_place_was_named(weather: Registry, web: Web):
    web.answers["/search"] = (200, {"results": [place("Berlin", 52.5, name="Berlin", country="Germany")]})

    told, _ = call(weather, "weather", {"days": 1})

    assert told["place"].startswith("Berlin") and "name=Berlin&" in web.asked[0][1]


@pytest.mark.parametrize(
    ("place", "answer", "said"),
    [
        ("Springfield, Kenya", (200, {"results": PLACES}), "there is Springfield, Missouri"),
        ("Nowhere", (200, {}), "larger town"),
        ("Berlin", (503, {}), "cannot be asked"),
    ],
)
def test_what_the_weather_service_cannot_say_is_told_as_a_sentence(
    weather: Registry, web: Web, place: str, answer: tuple[int, object], said: str
):
    web.answers["/search"] = answer

    told, is_error = call(weather, "weather", {"days": 1, "place": place})

    assert is_error and said in told["error"]


def test_something_is_looked_up(web: Web, tmp_path: Path):
    page = {"query": {"pages": [{"title": "Ada Lovelace", "extract": "English mathematician."}]}}
    web.answers = {"/w/api.php": (200, page)}
    tools = registry(read("encyclopaedia.toml", **{"https://en.wikipedia.org": web.url}).tools, tmp_path)

    told, is_error = call(tools, "look_up", {"subject": "Ada Lovelace & co"})

    assert not is_error and told == page
    assert "gsrsearch=Ada%20Lovelace%20%26%20co&" in web.asked[0][1]
    assert web.asked[0][2]["User-Agent"].startswith("pivoice")


@pytest.fixture
def house(web: Web, tmp_path: Path) -> Registry:
    secret = tmp_path / "home-assistant.token"
    secret.write_text(f"{TOKEN}\n")
    secret.chmod(0o640)
    instead = {
        "http://homeassistant.local:8123": web.url,
        "/etc/pivoice/home-assistant.token": str(secret),
    }
    return registry(read("home-assistant.toml", **instead).tools, tmp_path)


@pytest.mark.parametrize(
    ("tool", "arguments", "service", "body"),
    [
        ("switch_lights", {"room": "bedroom", "state": "on"}, "turn_on", {"area_id": "bedroom"}),
        ("switch_lights", {"room": "kitchen", "state": "off"}, "turn_off", {"area_id": "kitchen"}),
        (
            "dim_lights",
            {"room": "kitchen", "percent": 9},
            "turn_on",
            {"area_id": "kitchen", "brightness_pct": 9},
        ),
    ],
)
def test_lights_are_switched_by_their_room(
    house: Registry, web: Web, tool: str, arguments: dict[str, object], service: str, body: object
):
    path = f"/api/services/light/{service}"
    web.answers = {path: (200, [{"entity_id": "light.lamp", "state": "on"}])}

    told, is_error = call(house, tool, arguments)

    assert not is_error and "light.lamp" in json.dumps(told)
    method, asked, headers, sent = web.asked[0]
    assert (method, asked, json.loads(sent)) == ("POST", path, body)
    assert headers["Authorization"] == f"Bearer {TOKEN}" and headers["Content-Type"] == "application/json"


def test_a_sensor_is_read(house: Registry, web: Web):
    path = "/api/states/sensor.outdoor_temperature"
    web.answers = {path: (200, {"state": "4.5", "attributes": {"unit_of_measurement": "°C"}})}

    told, is_error = call(house, "read_sensor", {"sensor": "sensor.outdoor_temperature"})

    assert not is_error and told["state"] == "4.5"
    assert web.asked[0][:2] == ("GET", path)


def test_a_room_that_there_is_not_never_reaches_the_house(house: Registry, web: Web):
    told, is_error = call(house, "switch_lights", {"room": "cellar", "state": "on"})

    assert is_error and "kitchen" in told["error"]
    assert web.asked == []


def test_the_token_is_on_no_command_line(house: Registry, web: Web):
    web.answers = {"/api/services/light/turn_on": (200, [])}

    call(house, "switch_lights", {"room": "kitchen", "state": "on"})

    assert any("curl" in line for line in web.command_lines)
    assert not any(TOKEN in line for line in web.command_lines)


def test_the_token_never_reaches_the_agent(house: Registry, web: Web):
    web.answers = {"/api/services/light/turn_on": (200, {"token": TOKEN})}

    told, _ = call(house, "switch_lights", {"room": "kitchen", "state": "on"})

    assert TOKEN not in json.dumps(told)


def test_a_token_that_is_refused_is_an_error_that_says_so(house: Registry, web: Web):
    web.answers = {"/api/services/light/turn_on": (401, {})}

    told, is_error = call(house, "switch_lights", {"room": "kitchen", "state": "on"})

    assert is_error and "401" in told["error"]


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


# --- boards ---


@pytest.mark.parametrize(
    ("recipe", "board"), [("respeaker-2mic", "respeaker-2mic"), ("respeaker-4mic", "respeaker-4mic")]
)
def test_a_hats_recipe_names_the_card_that_its_overlay_makes(recipe: str, board: str):
    text, overlay = (RECIPES / f"{recipe}.toml").read_text(), boards.find(board)
    audio = config.parse(text).audio

    assert overlay is not None and f"--i2s {board}" in text
    assert audio.capture == f"plughw:CARD={overlay.card_id},DEV=0"


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
    secret = tmp_path / "home-assistant.token"
    secret.write_text(f"{TOKEN}\n")
    secret.chmod(0o640)
    instead = {
        "http://homeassistant.local:8123": f"http://127.0.0.1:{port}",
        "/etc/pivoice/home-assistant.token": str(secret),
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
