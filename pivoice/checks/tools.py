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
from typing import Any, TypeAlias

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
Fault: TypeAlias = tuple[str, str]
"""What is wrong, and what to do about it."""
_ROOM = "pivoice.tools"  # also the group of entry points
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")
_OURS = "/usr/local/lib/pivoice"  # a place that the service may read, and where README puts such things
_CREDENTIAL = re.compile(r"^\s*(?:Load|Set|Import)Credential(?:Encrypted)?=([^:\s]+)", re.MULTILINE)


def tools(patient: Patient) -> Iterator[Finding]:
    """Whether each tool of the owner's can work, and which the agent is offered."""
    config = patient.config.tools
    faults = list(_schema_faults(patient))
    faults += _folded(
        [(each.name, _command_faults(patient, each)) for each in config.command]
        + [(each.name, _server_faults(patient, each)) for each in config.mcp]
    )
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


def _folded(tools: Sequence[tuple[str, Iterator[Fault]]]) -> Iterator[Finding]:
    """Tell of each fault once, with all tools that have it: several may share a script and its secret."""
    names: dict[Fault, list[str]] = {}
    for name, faults in tools:
        for fault in faults:
            names.setdefault(fault, []).append(name)
    for (problem, todo), whose in names.items():
        yield Finding("tools", "fail", f"{', '.join(whose)}: {problem}", todo)


def _command_faults(patient: Patient, command: CommandConfig) -> Iterator[Fault]:
    yield from _program_faults(patient, command.argv[0])
    yield from _secret_faults(patient, command.secrets)
    if command.directory and not patient.machine.path(command.directory).is_dir():
        yield f"its directory {command.directory} is not there", f"sudo mkdir -p {command.directory}"


def _server_faults(patient: Patient, server: McpConfig) -> Iterator[Fault]:
    if importlib.util.find_spec("mcp") is None:
        todo = "sudo ./scripts/install --mcp, in pivoice's directory"
        yield "the package for MCP servers is not installed", todo
    if server.command:
        yield from _program_faults(patient, server.command[0])
    yield from _secret_faults(patient, server.secrets)


def _program_faults(patient: Patient, program: str) -> Iterator[Fault]:
    machine, place = patient.machine, _found(patient.machine, program)
    if place is None and "/" in program:
        yield f"there is no program {program}", f"put it there, or mend its path in {patient.path}"
    elif place is None:
        todo = f"install it (sudo apt install {program}?), or write its path from /"
        yield f"there is no program {program}", todo
    elif patient.is_installed and place.startswith(tuple(f"{each}/" for each in _HIDDEN)):
        todo = f"sudo install -D {place} {_OURS}/{Path(place).name}, and name that"
        yield f"{place} is hidden from the service, which sees no homes and no /tmp of others", todo
    elif not machine.path(place).stat().st_mode & 0o111:
        yield f"{place} is not executable", f"sudo chmod +x {place}"
    elif (interpreter := _interpreter(machine, place)) and not _found(machine, interpreter):
        todo = "install that, or mend the script's first line"
        yield f"{place} asks for {interpreter}, which is not there", todo


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


def _secret_faults(patient: Patient, secrets: Mapping[str, str]) -> Iterator[Fault]:
    user = patient.user
    for name, where in secrets.items():
        if not where.startswith("/"):
            yield from _credential_faults(patient, name, where)
            continue
        path = patient.machine.path(where)
        try:
            status = path.stat()
        except FileNotFoundError:
            todo = f"sudo install -m 640 -g {user or 'pivoice'} /dev/stdin {where}, paste it, Enter, Ctrl-D"
            yield f"{name}: there is no file {where}", todo
            continue
        except OSError:  # not ours to look into
            continue
        if not status.st_size:
            yield f"{name}: {where} is empty", f"sudoedit {where}"
        elif user and not patient.machine.may_read(path, user):
            todo = f"sudo chgrp {user} {where} && sudo chmod 640 {where}"
            yield f"{name}: {user}, whom the service runs as, may not read {where}", todo
        elif status.st_mode & 0o006:  # then it is not used
            yield f"{name}: everybody on this device may read {where}, or write it", f"sudo chmod o= {where}"


def _credential_faults(patient: Patient, name: str, credential: str) -> Iterator[Fault]:
    if patient.is_installed:
        unit = patient.machine.run("systemctl", "cat", SERVICE)
        if unit.is_well and credential not in _CREDENTIAL.findall(unit.text):
            line = f"LoadCredential={credential}:/etc/credstore/{credential}"
            todo = f"sudo systemctl edit {SERVICE}, and below [Service]: {line}"
            yield f"{name}: the service is given no credential {credential!r}", todo


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
