"""The owner's tools: what keeps one from working is found before somebody asks for it, with the next step."""

from __future__ import annotations

import importlib.util
import socket
import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from pivoice import caller
from pivoice.checks import tools
from pivoice.findings import Finding
from tests.checks.pi import FakePi, only

COMMAND = """
[[tools.command]]
name = "lamp"
description = "Switches the lamp."
argv = ["{argv}"]
"""
SERVER = """
[[tools.mcp]]
name = "home"
url = "{url}"
"""


@pytest.fixture(autouse=True)
def no_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "entry_points", lambda **_: ())


def program(pi: FakePi, place: str, text: str = "#!/bin/sh\n", mode: int = 0o755) -> str:
    pi.write("/bin/sh", "").chmod(0o755)
    pi.write(place, text).chmod(mode)
    return place


def faults(pi: FakePi, toml: str) -> list[Finding]:
    return [each for each in tools.tools(pi.patient(toml)) if each.verdict != "ok"]


def test_a_device_without_tools_of_its_own_has_nothing_to_say(pi: FakePi):
    assert list(tools.tools(pi.patient())) == []


@pytest.mark.parametrize("argv", ["/usr/local/lib/pivoice/lamp", "lamp"])
def test_a_command_whose_program_is_there_is_well(pi: FakePi, argv: str):
    program(pi, "/usr/local/lib/pivoice/lamp")
    program(pi, "/usr/local/bin/lamp")

    found = only(tools.tools, pi.patient(COMMAND.format(argv=argv)))

    assert found.verdict == "ok" and "lamp" in found.text


@pytest.mark.parametrize("argv", ["/usr/local/lib/pivoice/lamp", "lamp"])
def test_a_program_that_is_not_there_is_named(pi: FakePi, argv: str):
    (fault,) = faults(pi, COMMAND.format(argv=argv))

    assert fault.verdict == "fail" and fault.text == f"lamp: there is no program {argv}" and fault.next


def test_tools_that_share_a_fault_share_its_line(pi: FakePi):
    toml = COMMAND.format(argv="/usr/local/lib/pivoice/lamp")

    (fault,) = faults(pi, toml + toml.replace('"lamp"', '"fan"'))

    assert fault.text.startswith("lamp, fan: there is no program")


def test_a_program_that_is_not_executable_has_the_command_that_makes_it_so(pi: FakePi):
    place = program(pi, "/usr/local/lib/pivoice/lamp", mode=0o644)

    (fault,) = faults(pi, COMMAND.format(argv=place))

    assert fault.next == f"sudo chmod +x {place}"


@pytest.mark.parametrize("place", ["/home/pi/lamp", "/tmp/lamp", "/root/lamp"])
def test_a_program_where_the_service_may_not_look_is_to_be_moved(pi: FakePi, place: str):
    pi.serves()
    program(pi, place)

    (fault,) = faults(pi, COMMAND.format(argv=place))

    assert "hidden from the service" in fault.text
    assert fault.next.startswith(f"sudo install -D {place} /usr/local/lib/pivoice/lamp")


def test_where_there_is_no_service_a_program_may_be_at_home(pi: FakePi):
    assert faults(pi, COMMAND.format(argv=program(pi, "/home/pi/lamp"))) == []


@pytest.mark.parametrize(
    "line", ["#!/usr/bin/python9 -I", "#!/usr/bin/env -S python9 -I", "#! /usr/bin/env python9"]
)
def test_a_script_whose_interpreter_is_missing_says_which(pi: FakePi, line: str):
    place = program(pi, "/usr/local/lib/pivoice/lamp", f"{line}\n")

    (fault,) = faults(pi, COMMAND.format(argv=place))

    assert "python9, which is not there" in fault.text


def test_a_directory_that_is_not_there_has_the_command_that_makes_it(pi: FakePi):
    place = program(pi, "/usr/local/lib/pivoice/lamp")

    (fault,) = faults(pi, COMMAND.format(argv=place) + 'directory = "/srv/lamps"')

    assert fault.next == "sudo mkdir -p /srv/lamps"


def test_a_schema_that_the_agents_server_would_choke_on_is_a_fault(pi: FakePi):
    place = program(pi, "/usr/local/lib/pivoice/lamp")

    (fault,) = faults(pi, COMMAND.format(argv=place) + 'parameters = { type = "array" }')

    assert fault.verdict == "fail" and "lamp" in fault.text and "/etc/pivoice/pivoice.toml" in fault.next


# --- secrets ---


def with_secret(pi: FakePi, where: str) -> str:
    place = program(pi, "/usr/local/lib/pivoice/lamp")
    return COMMAND.format(argv=place) + f'secrets = {{ TOKEN = "{where}" }}'


def test_a_secret_that_the_service_may_read_and_others_may_not_is_well(
    pi: FakePi, monkeypatch: pytest.MonkeyPatch
):
    pi.serves()
    pi.write("/etc/pivoice/token", "abcdef").chmod(0o640)
    monkeypatch.setattr(tools.Machine, "may_read", lambda *_: True)

    assert faults(pi, with_secret(pi, "/etc/pivoice/token")) == []


@pytest.mark.parametrize(
    ("content", "mode", "said", "todo"),
    [
        (None, 0, "there is no file /etc/pivoice/token", "sudo install -m 640 -g pivoice /dev/stdin"),
        ("", 0o640, "is empty", "sudoedit /etc/pivoice/token"),
        ("abcdef", 0o600, "may not read", "sudo chgrp pivoice /etc/pivoice/token"),
        ("abcdef", 0o644, "everybody on this device", "sudo chmod o= /etc/pivoice/token"),
    ],
)
def test_a_secret_that_cannot_be_used_says_why(
    pi: FakePi, content: str | None, mode: int, said: str, todo: str
):
    pi.serves()
    pi.says("id -u pivoice", "987")
    if content is not None:
        pi.write("/etc/pivoice/token", content).chmod(mode)

    (fault,) = faults(pi, with_secret(pi, "/etc/pivoice/token"))

    assert fault.verdict == "fail" and said in fault.text and fault.next.startswith(todo)


@pytest.mark.parametrize(
    "line",
    ["LoadCredential=lamp-token:/etc/x", "LoadCredentialEncrypted=lamp-token", " SetCredential=lamp-token:x"],
)
def test_a_credential_that_the_unit_loads_is_well(pi: FakePi, line: str):
    pi.serves()
    pi.says("systemctl cat pivoice", f"[Service]\n{line}\n")

    assert faults(pi, with_secret(pi, "lamp-token")) == []


def test_a_credential_that_the_unit_does_not_load_is_a_fault(pi: FakePi):
    pi.serves()
    pi.says(
        "systemctl cat pivoice", "[Service]\nLoadCredential=assemblyai-api-key\n# LoadCredential=lamp-token\n"
    )

    (fault,) = faults(pi, with_secret(pi, "lamp-token"))

    assert "'lamp-token'" in fault.text and "LoadCredential=lamp-token:" in fault.next


# --- packages ---


def package(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    """Install a package that is one module, whose entry point is its function `tools`."""
    folder.joinpath("lamps.py").write_text(text)
    info = folder / "lamps-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lamps\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[pivoice.tools]\nlamps = lamps:tools\n")
    monkeypatch.setattr(tools, "entry_points", entry_points)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "lamps", raising=False)


GOOD = """
from pivoice.tools.registry import ToolDefinition
def tools():
    return ToolDefinition("lamp", "Switches.", {"type": "object", "properties": {}}, run=lambda arguments: "")
"""


def test_a_package_that_can_be_loaded_says_what_it_brings(
    pi: FakePi, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
):
    package(monkeypatch, tmp_path_factory.mktemp("python"), GOOD)

    found = only(tools.tools, pi.patient())

    assert found.verdict == "ok" and found.text == "package:lamps: lamp"


def test_a_package_that_cannot_be_loaded_says_why_and_in_one_place(
    pi: FakePi,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    caplog: pytest.LogCaptureFixture,
):
    package(monkeypatch, tmp_path_factory.mktemp("python"), "import a_module_that_is_missing")

    (fault,) = faults(pi, "")

    assert fault.verdict == "fail" and "lamps" in fault.text and "a_module_that_is_missing" in fault.text
    assert not caplog.records


def test_a_package_of_which_the_daemon_knows_nothing_is_a_fault(
    pi: FakePi, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
):
    package(
        monkeypatch, tmp_path_factory.mktemp("python"), "raise AssertionError('the doctor loads nothing')"
    )
    answers(monkeypatch, {"tools": [], "mcp": []})
    patient = pi.patient()
    patient.daemon = "answers"

    *_, fault = tools.tools(patient)

    assert fault.verdict == "fail" and "the package lamps has brought no tool" in fault.text


# --- MCP servers ---


def test_an_mcp_server_needs_its_package(pi: FakePi, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    (fault,) = faults(pi, SERVER.format(url="http://127.0.0.1:1/mcp"))

    assert fault.verdict == "fail" and "./scripts/install --mcp" in fault.next


def test_an_mcp_servers_program_is_looked_for(pi: FakePi):
    (fault,) = faults(pi, '[[tools.mcp]]\nname = "clock"\ncommand = ["/usr/local/lib/pivoice/clock"]')

    assert fault.text.startswith("clock: there is no program")


def test_a_server_that_can_be_reached_is_well(pi: FakePi):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
        found = only(tools.servers, pi.patient(SERVER.format(url=url)))

    assert found.verdict == "ok" and "home" in found.text


def test_a_server_that_cannot_be_reached_is_a_warning_that_names_its_setting(pi: FakePi):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/mcp"

    found = only(tools.servers, pi.patient(SERVER.format(url=url)))

    assert found.verdict == "warn" and "refuses the connection" in found.text
    assert "tools.mcp[1].url" in found.next


def test_a_server_that_is_a_program_is_not_looked_for_on_the_network(pi: FakePi):
    assert list(tools.servers(pi.patient('[[tools.mcp]]\nname = "clock"\ncommand = ["clock"]'))) == []


# --- what is offered ---


def test_the_daemon_says_what_it_offers_and_what_not(pi: FakePi, monkeypatch: pytest.MonkeyPatch):
    listed = [
        {"name": "lamp", "source": "command", "offered": True, "why": ""},
        {"name": "fan", "source": "package:relay", "offered": False, "why": "no room"},
    ]
    answers(monkeypatch, {"tools": listed, "mcp": []})
    patient = pi.patient()
    patient.daemon = "answers"

    offered, left = tools.tools(patient)

    assert offered.text == "offered to the agent: lamp"
    assert left.text == "there, and not offered: fan (no room)" and "tools.offer" in left.next


def answers(monkeypatch: pytest.MonkeyPatch, answer: Mapping[str, object]) -> None:
    def request(place: Path, asked: Mapping[str, object], *, timeout_s: float) -> Mapping[str, object]:
        assert asked == {"command": "tools"}
        return answer

    monkeypatch.setattr(caller, "request", request)
