"""`pivoice ctl tools` and `call`, as they are typed: a real process, a real program, a real MCP server."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bed import Bed
from tests.support.stage import Stage

SERVER = Path(__file__).resolve().parent.parent / "support" / "mcp_server.py"
ECHO = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


@pytest.fixture
def stage(tmp_path: Path, bed: Bed) -> Iterator[Stage]:
    command = {
        "name": "echo",
        "description": "Says it again.",
        "argv": ["echo", "--", "{text}"],
        "parameters": json.dumps(ECHO),
    }
    server = {"name": "lab", "command": [sys.executable, str(SERVER), "stdio"]}
    settings: dict[str, dict[str, object]] = {
        "wake": {"engine": "none"},
        "tools": {"command": [command], "mcp": [server]},
    }
    with Stage(tmp_path, bed=bed, settings=settings) as made:
        yield made.start()


def test_tools_of_every_kind_are_called_by_hand(stage: Stage):
    before = [tool["name"] for tool in stage.ctl("tools")["tools"]]

    own = stage.run_ctl("call", "echo", '{"text": "; rm -rf /"}')
    wrong = stage.run_ctl("call", "echo", '{"text": 3}')
    unknown = stage.run_ctl("call", "ech", "{}")
    lazy = stage.run_ctl("call", "lab_add", '{"a": 2, "b": 3}')  # nobody has asked that server yet

    assert "echo" in before and "lab_add" not in before
    assert (own.returncode, own.stdout.strip()) == (0, '{"result": "-- ; rm -rf /"}')
    assert wrong.returncode == 1 and "text" in json.loads(wrong.stdout)["error"]
    assert unknown.returncode == 1 and "echo" in unknown.stdout
    assert lazy.returncode == 0 and "5" in lazy.stdout, lazy
    lines = [line for line in stage.log().splitlines() if "tool " in line]
    assert any("tool echo (command): done after" in line for line in lines)
    assert not any("rm -rf" in line for line in stage.log().splitlines())
