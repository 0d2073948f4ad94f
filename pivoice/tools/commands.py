"""The owner's own tools: [[tools.command]], each a program that is run with arguments, never a shell's line.

`open_commands` looks through the settings (any thread, not the event loop's); a call runs on the event loop,
and the program in a process group of its own (processes.py).
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pivoice.config import CommandConfig, ToolsConfig
from pivoice.errors import ConfigError, Fault, ToolError
from pivoice.templates import Place, Template, parse, spelled
from pivoice.tools.answers import as_json, clipped
from pivoice.tools.processes import Outcome, Program, run_program
from pivoice.tools.registry import MAX_DESCRIPTION_CHARS, RefusedError, ToolDefinition
from pivoice.tools.schemas import SchemaError, check, usable
from pivoice.tools.secret_files import read_secrets
from pivoice.tools.surroundings import Concealment, environment_for

logger = logging.getLogger(__name__)

_MAX_ELEMENT_CHARS = 32768  # the kernel takes 128 kB in one argument
_MAX_REASON_CHARS = 300
# A colour, a cursor's jump, a bell: for terminals, noise for the agent.
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")


def open_commands(
    config: ToolsConfig, environ: Mapping[str, str], state_dir: Path | None
) -> list[ToolDefinition]:
    """Return the tools of `config.command`, looked through; a program that is not there is a warning.

    `state_dir`: where they run, if they say nothing else; None: /.

    Raises:
        ConfigError: with every fault in them.
    """
    faults: list[Fault] = []
    tools = []
    for number, command in enumerate(config.command, 1):
        key = f"tools.command[{number}]"
        found = [
            Fault(f"{key}.{where}", f"{problem} (the tool {command.name})")
            for where, problem in _faults(command)
        ]
        if found:
            faults += found
            continue
        tool = Command(command, dict(environ), state_dir)
        tools.append(tool.definition())
        if tool.find_program() is None:
            logger.warning(
                "the tool %s: there is no program %s; install it, or mend %s.argv",
                command.name,
                command.argv[0],
                key,
            )
    if faults:
        raise ConfigError(faults)
    return tools


def _faults(command: CommandConfig) -> Iterator[tuple[str, str]]:
    """Yield where something is wrong, and what."""
    if not command.description.strip():
        yield "description", "is empty; it must say what the tool does and when to use it"
    if len(command.description) > MAX_DESCRIPTION_CHARS:
        yield "description", f"is too long; at most {MAX_DESCRIPTION_CHARS} characters are taken"
    try:
        check(schema_of(command))
    except SchemaError as error:
        yield error.place, error.problem


def schema_of(command: CommandConfig) -> dict[str, object]:
    """Return the JSON Schema of a command's arguments.

    Raises:
        SchemaError: it has none that can be used.
    """
    schema: object = command.parameters
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except (ValueError, RecursionError) as error:
            raise SchemaError("parameters", f"is not JSON: {error}") from error
    return usable(schema)


@dataclass(frozen=True)
class _Prepared:
    """A call, ready to be run."""

    program: Program
    concealment: Concealment


class Command:
    """One [[tools.command]] without faults."""

    def __init__(self, config: CommandConfig, environ: Mapping[str, str], state_dir: Path | None) -> None:
        self._config = config
        self._environ = environ
        self._state_dir = state_dir
        self._schema = schema_of(config)
        self._argv = tuple(parse(element) for element in config.argv)

    def definition(self) -> ToolDefinition:
        return ToolDefinition(
            name=self._config.name,
            description=self._config.description.strip(),
            parameters=self._schema,
            run=self.run,
            source="command",
            timeout_s=self._config.timeout_s,
            most_chars=self._config.output_chars,
        )

    def find_program(self) -> str | None:
        """Return the path of its program, if it is there."""
        environment = environment_for(self._environ, self._config.environment)
        return shutil.which(self._argv[0].filled({}), path=environment["PATH"])

    async def run(self, arguments: Mapping[str, object]) -> str:
        """Run the program; return what it wrote.

        Raises:
            ToolError: it cannot be run, or failed; without its secrets.
        """
        prepared = await asyncio.to_thread(self._prepare, arguments)
        most = self._config.output_chars
        outcome = await run_program(prepared.program, most_bytes=4 * most + 4096)
        text = _plain(outcome.output)
        if outcome.was_cut:
            text = prepared.concealment.without_part(text)
        text = prepared.concealment.scrub(text)
        if fault := _fault_of(outcome):
            line = prepared.concealment.scrub(_last_line(_plain(outcome.complaint))) or _last_line(text)
            line = clipped(line, _MAX_REASON_CHARS)
            raise ToolError(f"{fault}: {line}" if line else f"{fault}, and said nothing")
        return as_json(text, most, was_cut=True) if outcome.was_cut and len(text) <= most else text

    def _prepare(self, arguments: Mapping[str, object]) -> _Prepared:
        """Look for everything that the call needs. Reads files."""
        argv = self._filled(arguments)
        program = self.find_program()
        if program is None:
            raise ToolError(f"there is no program {argv[0]!r} on the device, or it is not executable")
        secrets = read_secrets(self._config.secrets, self._environ)
        environment = environment_for(self._environ, {**self._config.environment, **secrets})
        return _Prepared(
            Program(program, argv, environment, self._found_directory()), Concealment(secrets.values())
        )

    def _found_directory(self) -> str:
        if self._config.directory:
            if not Path(self._config.directory).is_dir():
                raise ToolError(f"its directory {self._config.directory!r} is not there")
            return self._config.directory
        if self._state_dir is None:
            return "/"
        with suppress(OSError):  # then nothing can be kept there, and most programs need not
            self._state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return str(self._state_dir) if self._state_dir.is_dir() else "/"

    def _filled(self, arguments: Mapping[str, object]) -> list[str]:
        """Return the program's arguments."""
        values = {**_defaults(self._schema), **arguments}
        argv: list[str] = []
        for template in self._argv:
            if len(template.parts) == 1 and template.names and template.names[0] not in values:
                continue  # an argument that may be left out, and was
            argv.append(_checked(template, values, is_open="--" in argv))
        return argv


def _checked(template: Template, values: Mapping[str, object], *, is_open: bool) -> str:
    """Return an argument that the kernel takes, and nobody for an option. `is_open`: it follows a --."""
    text = template.filled(values)
    first = template.parts[0] if template.parts else ""
    if isinstance(first, Place) and text.startswith("-") and not is_open:
        raise RefusedError(f"the argument {first.name!r} must not begin with -")
    for part in template.parts:
        if isinstance(part, Place) and "\0" in spelled(values.get(part.name, ""), part.form):
            raise RefusedError(f"the argument {part.name!r} holds a character that no program takes")
    if len(text) > _MAX_ELEMENT_CHARS:
        raise RefusedError(f"an argument is too long: {len(text)} characters, {_MAX_ELEMENT_CHARS} at most")
    return text.encode("utf-8", "replace").decode()


def _defaults(schema: Mapping[str, object]) -> dict[str, object]:
    """Return the arguments that have a value when they are not given."""
    properties = schema["properties"]
    assert isinstance(properties, Mapping)
    return {
        name: each["default"]
        for name, each in properties.items()
        if isinstance(each, Mapping) and "default" in each
    }


def _fault_of(outcome: Outcome) -> str:
    if outcome.was_flood or outcome.exit_code == 0:
        return ""
    if outcome.exit_code < 0:
        return f"its program was ended by signal {-outcome.exit_code}"
    return f"its program failed with exit code {outcome.exit_code}"


def _plain(output: bytes) -> str:
    return _ESCAPES.sub("", output.decode("utf-8", "replace").replace("\r\n", "\n")).strip()


def _last_line(text: str) -> str:
    return text.splitlines()[-1].strip() if text else ""
