"""The layers: no room knows another, and third parties are wrapped in one file each."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "pivoice"
ROOMS = ("audio", "wake", "agent", "panel", "tools")
LOWER = {
    "pivoice",
    "errors",
    "clock",
    "config",
    "button_actions",
    "records",
    "secrecy",
    "templates",
    "turn.events",
}

WRAPPED = {
    "alsaaudio": {"audio/alsa.py"},
    "ctypes": {"audio/card_mixer.py", "audio/chatter.py", "audio/tap.py", "wake/tflite.py"},
    "pywebrtc_audio": {"audio/echo.py"},
    "samplerate": {"audio/resample.py", "agent/simulated_voice.py"},
    "pymicro_features": {"wake/micro.py"},
    "pymicro_wakeword": set(),  # these lend their files alone, or are the tests'
    "openwakeword": set(),
    "onnxruntime": set(),
    "onnx": set(),
    "scipy": set(),
    "sklearn": set(),
    "gpiozero": {"panel/gpio.py", "panel/gpio_buttons.py", "panel/gpio_lights.py"},
    "spidev": {"panel/spi.py"},
    "jsonschema": {"tools/schemas.py"},
    "mcp": {"tools/mcp_connection.py"},
    "systemd": {"journal.py"},
    "prometheus_client": {"exposition.py"},
}


@functools.cache  # read for every package that is asked about
def imports_of(path: Path) -> set[str]:
    """Return the dotted names that a file imports, those of pivoice without the prefix."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def modules_of(path: Path) -> set[str]:
    """Return the modules of pivoice that a file imports: `turn.events`, `config`."""
    found = set()
    for name in imports_of(path):
        if name.startswith("pivoice"):
            parts = name.split(".")[1:]
            while parts and not (
                PACKAGE.joinpath(*parts).is_dir() or PACKAGE.joinpath(*parts).with_suffix(".py").exists()
            ):
                parts.pop()
            found.add(".".join(parts) or "pivoice")
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_itself_and_what_lies_below(room: str):
    for path in (PACKAGE / room).glob("*.py"):
        strange = {m for m in modules_of(path) if m.split(".")[0] != room} - LOWER

        assert not strange, f"{path.relative_to(PACKAGE)} imports {strange}"


def test_the_turn_machine_imports_nothing_but_itself_and_no_clock():
    for path in (PACKAGE / "turn").glob("*.py"):
        assert not {m for m in modules_of(path) if not m.startswith("turn")}
        assert not {n.split(".")[0] for n in imports_of(path)} & {"asyncio", "threading", "time", "logging"}


@pytest.mark.parametrize(
    "module",
    [
        "errors",
        "clock",
        "button_actions",
        "simulation",
        "latency",
        "records",
        "secrecy",
        "templates",
        "folding",
        "turn_log",
    ],
)
def test_the_lowest_layer_imports_nothing_of_ours(module: str):
    assert not modules_of(PACKAGE / f"{module}.py")


def test_the_settings_are_imported_through_the_configuration():
    users = {
        p.relative_to(PACKAGE).as_posix()
        for p in PACKAGE.rglob("*.py")
        if any(module.startswith("sections") for module in modules_of(p))
    }

    assert users == {"config.py", "sections.py"}


@pytest.mark.parametrize("module", ["config", "control", "service"])
def test_the_middle_layers_do_not_import_the_daemon(module: str):
    assert not modules_of(PACKAGE / f"{module}.py") & {"daemon", "cli"}


@pytest.mark.parametrize("folder", ["checks", "views"])
def test_what_looks_at_the_daemon_from_outside_does_not_import_it(folder: str):
    for path in (PACKAGE / folder).glob("*.py"):
        assert not modules_of(path) & {"daemon", "supervisor", "cli"}, path.name


@pytest.mark.parametrize("package", WRAPPED)
def test_a_third_party_is_imported_only_where_it_is_wrapped(package: str):
    users = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if any(name.split(".")[0] == package for name in imports_of(path))
    }

    assert users <= WRAPPED[package]


def test_nothing_leans_on_the_echo_canceller():
    """It is found by its table alone, so that the device is whole without its file, and those it needs."""
    own = {"audio.echo", "audio.tap", "audio.onset", "audio.delay"}
    files = {PACKAGE / f"{module.replace('.', '/')}.py" for module in own}
    users = [path.name for path in PACKAGE.rglob("*.py") if path not in files and modules_of(path) & own]

    assert users == []


def test_nothing_waits_outside_the_injected_clock():
    for path in PACKAGE.rglob("*.py"):
        if path.name != "clock.py":
            assert "time.sleep" not in imports_of(path) and "time.sleep(" not in path.read_text(), path
