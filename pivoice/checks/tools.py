"""The owner's tools: programs, secrets, packages and MCP servers, as the service will find them.

No tool is run, and no MCP server is started or asked. The files are looked at as the service sees them: its
sandbox hides the homes of people and has a /tmp of its own (systemd/pivoice.service).
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from pivoice import caller
from pivoice.agent.obstacles import explain_failure
from pivoice.agent.rest import open_stream
from pivoice.checks.live import ANSWER_S
from pivoice.checks.machine import Machine
from pivoice.checks.patient import SERVICE, Patient
from pivoice.config import CommandConfig, McpConfig
from pivoice.errors import AgentError, ConfigError, PivoiceError
from pivoice.findings import Finding
from pivoice.tools.surroundings import DEFAULT_PATH

REACH_S = 2.0
_ROOM = "pivoice.tools"  # also the group of entry points
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")
_OURS = "/usr/local/lib/pivoice"  # a place that the service may read, and where README puts such things
_CREDENTIAL = re.compile(r"^\s*(?:Load|Set|Import)Credential(?:Encrypted)?=([^:\s]+)", re.MULTILINE)


def tools(patient: Patient) -> Iterator[Finding]:
    """Whether each tool of the owner's can work, and which the agent is offered."""
    config = patient.config.tools
    faults = list(_schema_faults(patient))
    for number, command in enumerate(config.command, 1):
        faults += _command_faults(patient, command, f"tools.command[{number}], {command.name}")
    for number, server in enumerate(config.mcp, 1):
        faults += _server_faults(patient, server, f"tools.mcp[{number}], {server.name}")
    yield from faults
    if config.command and not faults:
        yield Finding("tools", "ok", f"commands: {', '.join(each.name for each in config.command)}")
    if patient.daemon == "answers":
        yield from _offered(patient)
    else:
        yield from _packages()


def servers(patient: Patient) -> Iterator[Finding]:
    """Whether the MCP servers on the network can be reached."""
    for number, server in enumerate(patient.config.tools.mcp, 1):
        if server.url:
            yield _reached(server, f"tools.mcp[{number}].url")


# --- inside ---


def _schema_faults(patient: Patient) -> Iterator[Finding]:
    """What keeps the daemon from beginning at all."""
    if not patient.config.tools.command:
        return
    from pivoice.tools.commands import open_commands

    try:
        with _what_is_warned():  # of programs that are not there: they are looked for below
            open_commands(patient.config.tools, {}, None)
    except ConfigError as error:
        for fault in error.faults:
            yield Finding("tools", "fail", str(fault), f"mend it in {patient.path}")


def _command_faults(patient: Patient, command: CommandConfig, name: str) -> Iterator[Finding]:
    yield from _program_faults(patient, command.argv[0], name)
    yield from _secret_faults(patient, command.secrets, name)
    if command.directory and not patient.machine.path(command.directory).is_dir():
        text = f"{name}: its directory {command.directory} is not there"
        yield Finding("tools", "fail", text, f"sudo mkdir -p {command.directory}")


def _server_faults(patient: Patient, server: McpConfig, name: str) -> Iterator[Finding]:
    if importlib.util.find_spec("mcp") is None:
        text = f"{name}: the package for MCP servers is not installed"
        yield Finding("tools", "fail", text, "sudo ./scripts/install --mcp, in pivoice's directory")
    if server.command:
        yield from _program_faults(patient, server.command[0], name)
    yield from _secret_faults(patient, server.secrets, name)


def _program_faults(patient: Patient, program: str, name: str) -> Iterator[Finding]:
    place = _found(patient.machine, program)
    if place is None:
        todo = "install it, or write its whole path"
        yield Finding("tools", "fail", f"{name}: there is no program {program}", todo)
    elif patient.is_installed and place.startswith(tuple(f"{each}/" for each in _HIDDEN)):
        text = f"{name}: {place} is hidden from the service, which sees no homes and no /tmp of others"
        yield Finding(
            "tools", "fail", text, f"sudo install -D {place} {_OURS}/{Path(place).name}, and name that"
        )
    elif not patient.machine.path(place).stat().st_mode & 0o111:
        yield Finding("tools", "fail", f"{name}: {place} is not executable", f"sudo chmod +x {place}")
    elif (interpreter := _interpreter(patient.machine, place)) and not _found(patient.machine, interpreter):
        text = f"{name}: {place} asks for {interpreter}, which is not there"
        yield Finding("tools", "fail", text, "install that, or mend the script's first line")


def _found(machine: Machine, program: str) -> str | None:
    """Return where a program is, as an absolute path."""
    places = [program] if "/" in program else [f"{folder}/{program}" for folder in DEFAULT_PATH.split(":")]
    return next((place for place in places if machine.path(place).is_file()), None)


def _interpreter(machine: Machine, place: str) -> str:
    """Return what a script is run by; "" for another kind of program."""
    with machine.path(place).open("rb") as file:
        line = file.readline(256)
    words = line[2:].decode("utf-8", "replace").split() if line.startswith(b"#!") else []
    if words and words[0].endswith("/env"):
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    return words[0] if words else ""


def _secret_faults(patient: Patient, secrets: Mapping[str, str], name: str) -> Iterator[Finding]:
    user = patient.user
    for variable, where in secrets.items():
        if not where.startswith("/"):
            yield from _credential_faults(patient, where, f"{name}: {variable}")
            continue
        path = patient.machine.path(where)
        try:
            is_empty = not path.stat().st_size
        except FileNotFoundError:
            todo = f"sudo install -m 640 -g {user or 'pivoice'} /dev/stdin {where}, paste it, Enter, Ctrl-D"
            yield Finding("tools", "fail", f"{name}: {variable}: there is no file {where}", todo)
            continue
        except OSError:  # not ours to look into
            continue
        if is_empty:
            yield Finding("tools", "fail", f"{name}: {variable}: {where} is empty", f"sudoedit {where}")
        elif user and not patient.machine.may_read(path, user):
            text = f"{name}: {variable}: {user}, whom the service runs as, may not read {where}"
            yield Finding("tools", "fail", text, f"sudo chgrp {user} {where} && sudo chmod 640 {where}")
        elif path.stat().st_mode & 0o006:  # then it is not used
            text = f"{name}: {variable}: everybody on this device may read {where}, or write it"
            yield Finding("tools", "fail", text, f"sudo chmod o= {where}")


def _credential_faults(patient: Patient, credential: str, name: str) -> Iterator[Finding]:
    if patient.is_installed:
        unit = patient.machine.run("systemctl", "cat", SERVICE)
        if unit.is_well and credential not in _CREDENTIAL.findall(unit.text):
            text = f"{name}: the service is given no credential {credential!r}"
            line = f"LoadCredential={credential}:/etc/credstore/{credential}"
            todo = f"sudo systemctl edit {SERVICE}, and below [Service]: {line}"
            yield Finding("tools", "fail", text, todo)


def _packages() -> Iterator[Finding]:
    """Load the packages as the daemon would, and say which cannot be."""
    if not (points := entry_points(group=_ROOM)):
        return
    from pivoice.tools.packages import open_packages

    for point in points:
        with _what_is_warned() as warnings:
            loaded = open_packages([point])
        for warning in warnings:
            yield Finding("tools", "fail", warning, f"mend it, then: sudo systemctl restart {SERVICE}")
        if loaded:
            yield Finding("tools", "ok", f"{loaded[0].source}: {', '.join(each.name for each in loaded)}")


@contextlib.contextmanager
def _what_is_warned() -> Iterator[list[str]]:
    """Collect what the tools' room warns of, which the daemon would log."""
    logger, told = logging.getLogger(_ROOM), _Kept()
    logger.addHandler(told)
    was_passed_on, logger.propagate = logger.propagate, False
    try:
        yield told.sentences
    finally:
        logger.propagate = was_passed_on
        logger.removeHandler(told)


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.sentences: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.sentences.append(record.getMessage())


def _offered(patient: Patient) -> Iterator[Finding]:
    """What the daemon says that it offers, and what it had to leave out."""
    try:
        answer = caller.request(patient.config.control.socket, {"command": "tools"}, timeout_s=ANSWER_S)
    except PivoiceError:
        return  # the daemon's own check says what there is to say
    known: Sequence[Mapping[str, Any]] = answer.get("tools", [])
    offered = [str(each["name"]) for each in known if each["offered"]]
    left = [f"{each['name']} ({each['why']})" for each in known if not each["offered"]]
    yield Finding("tools", "ok", f"offered to the agent: {', '.join(offered) or 'none'}")
    if left:
        text = f"there, and not offered: {'; '.join(left)}"
        yield Finding("tools", "ok", text, "tools.offer chooses, and tools.most says how many")
    yield from _missing_packages(known)


def _missing_packages(known: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """What is installed, and brought no tool when the daemon began."""
    sources = {each["source"] for each in known}
    for package in sorted({point.dist.name for point in entry_points(group=_ROOM) if point.dist}):
        if f"package:{package}" not in sources:
            text = f"the package {package} has brought no tool"
            todo = (
                f"journalctl -u {SERVICE} -b | grep {package}; if it is new: sudo systemctl restart {SERVICE}"
            )
            yield Finding("tools", "fail", text, todo)


def _reached(server: McpConfig, setting: str) -> Finding:
    try:
        asyncio.run(_knock(server.url))
    except AgentError as error:
        return Finding("MCP", "warn", f"{server.name}: {error.reason}", error.advice)
    except (OSError, ValueError) as error:
        told = explain_failure(error, server.url, setting=setting, timeout_s=REACH_S)
        return Finding("MCP", "warn", f"{server.name}: {told.reason}", told.advice)
    return Finding("MCP", "ok", f"{server.name}: can be reached")


async def _knock(url: str) -> None:
    async with asyncio.timeout(REACH_S):
        _, writer = await open_stream(url)
        writer.transport.abort()
