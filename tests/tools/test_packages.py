"""Tools of Python packages: what is right is loaded, what is wrong is one warning."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pivoice.config import ToolsConfig
from pivoice.tools.packages import open_packages
from pivoice.tools.registry import Registry

CODE = """
from pivoice.tools.registry import ToolDefinition

SCHEMA = {"type": "object", "properties": {"on": {"type": "boolean"}}, "required": ["on"]}

async def switch(arguments):
    return {"on": arguments["on"]}

def look(arguments):
    import threading
    return threading.current_thread().name

def tool(name, run=switch, parameters=SCHEMA):
    return ToolDefinition(name, "Does it.", parameters, run)

one = tool("one")
two = [tool("two"), tool("three", parameters={})]
def made(): return [tool("made")]
import threading
FREE = threading.Event()

plain = tool("plain", look, {})
stuck = tool("stuck", lambda _: FREE.wait(60) and "", {})
wrong = [tool("wrong", parameters={"type": "object", "properties": {"a": {"type": "text"}}}), tool("right")]
nothing = 3
def fails(): raise KeyError("no relay")
def leaves(): raise SystemExit(1)
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Install a distribution `lamps` with these entry points, as pip would leave it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "pivoice_lamps.py").write_text(CODE)
    meta = tmp_path / "lamps-1.0.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: lamps\nVersion: 1.0\n")

    def write(*points: str) -> None:
        lines = "".join(f"{point.partition(':')[2]} = {point}\n" for point in points)
        (meta / "entry_points.txt").write_text(f"[pivoice.tools]\n{lines}")

    yield write
    monkeypatch.delitem(__import__("sys").modules, "pivoice_lamps", raising=False)


def test_an_entry_point_is_a_tool_or_several_or_makes_them(install):
    install("pivoice_lamps:one", "pivoice_lamps:two", "pivoice_lamps:made")

    tools = open_packages()

    assert [(tool.name, tool.source) for tool in tools] == [
        ("made", "package:lamps"),
        ("one", "package:lamps"),
        ("two", "package:lamps"),
        ("three", "package:lamps"),
    ]


def test_a_tool_of_a_package_is_called_like_any_other(install):
    install("pivoice_lamps:one")
    registry = Registry(ToolsConfig())
    registry.put("package:lamps", open_packages())

    told = [asyncio.run(registry.run("one", {"on": value})) for value in (True, "yes")]

    assert json.loads(told[0].text) == {"on": True}
    assert told[1].is_error


def test_a_plain_function_holds_nobody_up(install):
    install("pivoice_lamps:plain")

    (tool,) = open_packages()

    assert asyncio.run(tool.run({})) != threading.current_thread().name


def test_plain_functions_that_hang_hold_up_their_own_calls_and_nothing_else(install):
    install("pivoice_lamps:stuck")
    registry = Registry(ToolsConfig(timeout_s=0.2))
    registry.put("package:lamps", open_packages())

    async def main() -> object:
        try:
            await asyncio.gather(*(registry.run("stuck", {}) for _ in range(40)))
            async with asyncio.timeout(5):
                return await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 80)
        finally:
            __import__("pivoice_lamps").FREE.set()

    assert asyncio.run(main())


@pytest.mark.parametrize(
    ("point", "said"),
    [
        ("pivoice_lamps:fails", "KeyError: 'no relay'"),
        ("pivoice_lamps:leaves", "SystemExit: 1"),
        ("pivoice_lamps:nothing", "pivoice_lamps:nothing is neither a ToolDefinition nor a list"),
        ("pivoice_lamps:absent", "AttributeError"),
        ("pivoice_nobody:one", "No module named 'pivoice_nobody'"),
        (
            "pivoice_lamps:wrong",
            "the tool 'wrong' of the package lamps is left out: parameters.properties.a.type",
        ),
    ],
)
def test_what_is_wrong_is_one_warning_and_the_others_go_on(
    point: str, said: str, install, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.WARNING)
    install(point, "pivoice_lamps:one")

    tools = open_packages()

    assert "one" in [tool.name for tool in tools]
    assert [
        record for record in caplog.records if said in record.getMessage() and "lamps" in record.getMessage()
    ]
    assert len(caplog.records) == 1


def test_where_there_are_none_there_are_none():
    assert open_packages() == []
