"""Every recipe of config/recipes is loaded and run for real, with something local for the world outside."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pivoice import boards, config
from pivoice.audio.earcons import Earcons
from pivoice.config import PanelConfig
from pivoice.hands import Hands
from pivoice.panel.panel import MUTE_SWITCH, Edge
from pivoice.secrecy import Secrets
from pivoice.simulation import JumpLoop, run_jumping
from pivoice.tools.registry import Registry
from pivoice.tools.timer_tools import timer_tools
from pivoice.tools.timers import Timers
from pivoice.turn.events import HushAsked, MuteSwitched, TalkPressed, TalkReleased
from tests.support.recipes import RECIPES, ROOT, TOKEN, call, keep_token, read, registry
from tests.support.web import Web


@pytest.fixture
def web() -> Iterator[Web]:
    web = Web()
    yield web
    web.close()


# --- all of them ---


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_a_recipe_says_what_it_needs_and_names_no_file_that_is_not_there(recipe: Path):
    config.parse(recipe.read_text())
    comment = [line for line in recipe.read_text().splitlines() if line.startswith("#")]

    assert len(comment) >= 3
    for place in re.findall(r"(?:config/recipes/|\./scripts/)[\w-]+", "\n".join(comment)):
        assert (ROOT / place).exists(), place


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_readme_shows_a_recipe_whole(recipe: Path):
    assert recipe.read_text() in (ROOT / "README.md").read_text()


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
    instead = {
        "http://homeassistant.local:8123": web.url,
        "/etc/pivoice/home-assistant.token": str(keep_token(tmp_path)),
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


# --- boards ---


@pytest.mark.parametrize(
    ("recipe", "board"), [("respeaker-2mic", "respeaker-2mic"), ("respeaker-4mic", "respeaker-4mic")]
)
def test_a_hats_recipe_names_the_card_that_its_overlay_makes(recipe: str, board: str):
    text, overlay = (RECIPES / f"{recipe}.toml").read_text(), boards.find(board)
    found = config.parse(text)

    assert overlay is not None and f"--i2s {board}" in text
    assert found.panel.lights == (board.replace("-", "_"),)
    assert found.audio.capture == f"plughw:CARD={overlay.card_id},DEV=0"


# --- hands and sounds ---


def handled(panel: PanelConfig, *edges: tuple[int, bool, float]) -> list[object]:
    """Return what comes of moving buttons (by their pins) and the switch, each for so many seconds."""
    came: list[object] = []
    by_pin = {button.pin: index for index, button in enumerate(panel.buttons)} | {MUTE_SWITCH: MUTE_SWITCH}

    async def main(loop: JumpLoop) -> None:
        hands = Hands(
            panel,
            post=came.append,
            is_ringing=lambda: False,
            is_muted=lambda: False,
            change_volume=came.append,
            run_tool=lambda name, arguments: came.append((name, arguments)),
        )
        for pin, is_down, pause_s in edges:
            hands.take(Edge(by_pin[pin], is_down, loop.time()))
            await asyncio.sleep(pause_s)
        hands.close()

    run_jumping(main)
    return came


def test_the_buttons_talk_set_a_timer_hush_and_mute():
    panel = config.parse((RECIPES / "buttons.toml").read_text()).panel

    assert handled(panel, (22, True, 2.0), (22, False, 1.0)) == [TalkPressed(), TalkReleased()]
    assert handled(panel, (23, True, 1.5), (23, False, 1.0)) == [HushAsked()]
    assert handled(panel, (MUTE_SWITCH, True, 1.0)) == [MuteSwitched(on=True)]


def test_the_tools_button_sets_a_timer_for_real():
    panel = config.parse((RECIPES / "buttons.toml").read_text()).panel
    ((name, arguments),) = handled(panel, (23, True, 0.2), (23, False, 1.0))
    timers = Timers(None, ring=lambda _: None, hush=lambda: None)
    tools = Registry(config.ToolsConfig(), secrets=Secrets())
    tools.put("pivoice", timer_tools(timers))

    told, is_error = call(tools, name, arguments)

    assert not is_error and told["status"] == "set" and "tea" in json.dumps(timers.status())


def test_sounds_that_were_written_to_begin_with_are_taken(tmp_path: Path):
    subprocess.run([sys.executable, ROOT / "scripts/earcons.py", tmp_path], check=True, capture_output=True)

    earcons = Earcons(read("earcons.toml", **{"/etc/pivoice/sounds": str(tmp_path)}).audio.earcons)

    assert len(earcons.sound("wake", 48_000)) and len(earcons.sound("timer", 48_000))
    assert not len(earcons.sound("end", 48_000))
