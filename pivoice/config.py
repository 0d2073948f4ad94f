"""The configuration: TOML in, all faults out at once.

Owns the reading; the settings themselves are in sections.py, and are imported from here by everybody else.
Bounds are msgspec constraints, and msgspec does the checking; this file adds only what it lacks:
reporting every fault instead of the first, "did you mean", and never showing what may hold a key.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import re
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from pivoice.contradictions import MAY_HOLD_A_KEY, contradictions
from pivoice.errors import ConfigError, Fault
from pivoice.sections import (
    AgentConfig,
    AudioConfig,
    Config,
    ControlConfig,
    EarconsConfig,
    LogConfig,
    TurnConfig,
    TurnDetectionConfig,
    WakeConfig,
)
from pivoice.sections_panel import ButtonConfig, PanelConfig
from pivoice.sections_tools import CommandConfig, McpConfig, ToolsConfig

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = [
    "AgentConfig",
    "AudioConfig",
    "ButtonConfig",
    "CommandConfig",
    "Config",
    "ControlConfig",
    "EarconsConfig",
    "LogConfig",
    "McpConfig",
    "PanelConfig",
    "Setting",
    "ToolsConfig",
    "TurnConfig",
    "TurnDetectionConfig",
    "WakeConfig",
    "changed",
    "find_path",
    "load",
    "parse",
    "salvaged",
    "settings",
    "shown",
    "state_path",
]

_Section = TypeVar("_Section", bound="DataclassInstance")
_AT_FAULT = object()

DEFAULT_PATH = "/etc/pivoice/pivoice.toml"
_STATE = "/var/lib/pivoice"  # nobody's home: systemd's own place for us


def find_path(option: str | None) -> str:
    """Return the configuration file's path: `--config`, else $PIVOICE_CONFIG, else the system's."""
    return option or os.environ.get("PIVOICE_CONFIG") or DEFAULT_PATH


def state_path(name: str, environ: Mapping[str, str]) -> Path:
    """Return where what outlives a restart is kept: in systemd's directory for us, else in the user's."""
    if directories := environ.get("STATE_DIRECTORY"):
        return Path(directories.split(":")[0]) / name
    home = environ.get("HOME")
    return (Path(home, ".local/state/pivoice") if home else Path(_STATE)) / name


def load(path: str) -> Config:
    """Read `path`. A missing file means all defaults.

    Raises:
        ConfigError: with every fault in the file.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return Config()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Fault("", f"cannot be read: {error}")], path=path) from error
    return parse(text, path=path)


def parse(text: str, *, path: str = "") -> Config:
    """Return the configuration that `text` (TOML) describes; `path` is only named in errors.

    Raises:
        ConfigError: with every fault in the text.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([Fault("", f"is not TOML: {error}")], path=path) from error
    config, faults = _checked(table)
    if faults:
        raise ConfigError(faults, path=path)
    return config


def salvaged(path: str) -> Config:
    """Return what of the file at `path` can be used, whatever is wrong with the rest, which has its default.

    For the doctor alone: settings that contradict each other are still in it.
    """
    try:
        return _checked(tomllib.loads(Path(path).read_text(encoding="utf-8")))[0]
    except (OSError, ValueError):  # not there, not text, not TOML
        return Config()


def changed(config: Config, key: str, value: object) -> Config:
    """Return `config` with the setting `key` ("agent.volume") at `value`, checked as the file is.

    None unsets a setting that may be unset.

    Raises:
        ConfigError: there is no such setting, or it cannot have that value beside the others.
    """
    path = key.split(".")
    table: dict[str, Any] = {path[-1]: value}
    for name in reversed(path[:-1]):
        table = {name: table}
    faults = _Faults()
    asked = _section(Config, table, "", faults)
    if faults:
        raise ConfigError(faults)
    new = _grafted(config, asked, path)
    if clashes := list(contradictions(new)):
        raise ConfigError(clashes)
    return new


def shown(config: Config) -> dict[str, Any]:
    """Return `config` for people to see: without what follows the ? of token_url, which may be a secret."""
    sections = dataclasses.asdict(config)
    address, query, _ = config.agent.token_url.partition("?")
    sections["agent"]["token_url"] = address + query + ("..." if query else "")
    return sections


@dataclass(frozen=True)
class Setting:
    """One line of documentation, derived from one field."""

    key: str
    default: object
    """None: unset by default."""
    allowed: str
    table: str = ""
    """The list of sections that it belongs to, such as panel.button, written as [[panel.button]]."""
    is_required: bool = False


def settings() -> Iterator[Setting]:
    """Yield every setting in the order of the file."""
    yield from _settings(Config, "")


def _settings(section: type, prefix: str) -> Iterator[Setting]:
    hints = typing.get_type_hints(section, include_extras=True)
    defaults = section()
    for each in dataclasses.fields(section):
        key, default = prefix + each.name, getattr(defaults, each.name)
        if dataclasses.is_dataclass(default):
            yield from _settings(type(default), key + ".")
            continue
        if not _section_in(hints[each.name]):
            yield Setting(key, default, _allowed(hints[each.name]))
    for each in dataclasses.fields(section):
        if item := _section_in(hints[each.name]):
            yield from _settings_of_one(item, prefix + each.name)


def _settings_of_one(section: type, table: str) -> Iterator[Setting]:
    """Yield what one [[table]] may hold."""
    hints = typing.get_type_hints(section, include_extras=True)
    for each in dataclasses.fields(section):
        default = each.default if each.default_factory is dataclasses.MISSING else each.default_factory()
        is_required = default is dataclasses.MISSING
        yield Setting(
            f"{table}.{each.name}",
            None if is_required else default,
            _allowed(hints[each.name]),
            table=table,
            is_required=is_required,
        )


def _section_in(hint: Any) -> type | None:
    """Return the section that `hint` is a list of, if it is one."""
    if typing.get_origin(hint) is list and dataclasses.is_dataclass(item := typing.get_args(hint)[0]):
        return typing.cast(type, item)
    return None


def _checked(table: dict[str, Any]) -> tuple[Config, list[Fault]]:
    """Return the configuration in `table`, and all that is wrong with it."""
    faults = _Faults()
    config = _section(Config, table, "", faults)
    # What is at fault has its default by now, or is left out, where it is one of a list and lacks something.
    found = [Fault(faults.counted(each.key), faults.counted(each.problem)) for each in contradictions(config)]
    return config, [*faults, *found]


class _Faults(list[Fault]):
    """What is wrong, and the numbers in the file of those [[sections]] that could be used."""

    def __init__(self) -> None:
        super().__init__()
        self.used: dict[str, list[int]] = {}

    def counted(self, text: str) -> str:
        """Return `text`, which counts the sections that could be used, with their numbers in the file."""
        for key, numbers in self.used.items():
            in_file = {f"{key}[{number}]": f"{key}[{each}]" for number, each in enumerate(numbers, 1)}
            places = rf"{re.escape(key)}\[\d+\]"
            text = re.sub(places, lambda found: in_file.get(found[0], found[0]), text)  # noqa: B023
        return text


def _grafted(section: _Section, asked: _Section, path: Sequence[str]) -> _Section:
    """Return `section` with the one field at `path` taken from `asked`."""
    name, *rest = path
    given, had = getattr(asked, name), getattr(section, name)
    if rest:
        given = {**had, **given} if isinstance(had, dict) else _grafted(had, given, rest)
    return dataclasses.replace(section, **{name: given})


def _section(section: type[_Section], table: dict[str, Any], prefix: str, faults: _Faults) -> _Section:
    """Build one section from its table, appending to `faults`; what is at fault keeps its default."""
    hints = typing.get_type_hints(section, include_extras=True)
    values: dict[str, object] = {}
    for name, value in table.items():
        key, hint = prefix + name, hints.get(name)
        if hint is None:
            faults.append(Fault(key, "no such setting" + _did_you_mean(name, prefix)))
        elif dataclasses.is_dataclass(hint):
            if isinstance(value, dict):
                values[name] = _section(typing.cast(type, hint), value, key + ".", faults)
            else:
                faults.append(Fault(key, f"is a section; write [{key}] and its settings below it"))
        elif item := _section_in(hint):
            values[name] = list(_sections(item, key, value, faults))
        elif typing.get_origin(hint) is dict and isinstance(value, dict):
            kind = typing.get_args(hint)[1]
            items = {each: _value(f"{key}.{each}", value[each], kind, faults) for each in value}
            values[name] = {each: item for each, item in items.items() if item is not _AT_FAULT}
        elif (one := _value(key, value, hint, faults)) is not _AT_FAULT:
            values[name] = one
    required = [each.name for each in dataclasses.fields(section) if _is_required(each)]
    for name in required:
        if name not in values:
            if name not in table:
                faults.append(Fault(prefix + name, "is missing"))
            raise _IncompleteError
    return section(**values)


class _IncompleteError(Exception):
    """A section lacks what it cannot be without; told already."""


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _sections(item: type[_Section], key: str, value: object, faults: _Faults) -> Iterator[_Section]:
    """Yield each [[key]] that can be used, appending to `faults`. They are counted from 1, as people do."""
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        faults.append(Fault(key, f"is a list of sections; write [[{key}]] and the settings of one below it"))
        return
    used = faults.used.setdefault(key, [])
    for number, table in enumerate(value, 1):
        try:
            section = _section(item, table, f"{key}[{number}].", faults)
        except _IncompleteError:
            continue
        used.append(number)
        yield section


def _value(key: str, value: object, hint: Any, faults: list[Fault]) -> object:
    """Return what `value` is as `hint` says; `_AT_FAULT` when it is not allowed, which is told."""
    try:
        if isinstance(value, float) and not math.isfinite(value):
            raise msgspec.ValidationError
        if isinstance(value, str) and "\0" in value:
            raise msgspec.ValidationError
        return msgspec.convert(value, hint, strict=True)
    except msgspec.ValidationError:
        told = "what is there" if key in MAY_HOLD_A_KEY else repr(value)[:80]
        faults.append(Fault(key, f"{told} is not allowed; it must be {_allowed(hint)}"))
        return _AT_FAULT


def _did_you_mean(name: str, prefix: str) -> str:
    known = [setting.key for setting in settings()]
    prefix = re.sub(r"\[\d+\]", "", prefix)
    known += sorted({key.rsplit(".", 1)[0] for key in known})
    leaves = {key.rsplit(".", 1)[-1]: key for key in reversed(known)}
    near = difflib.get_close_matches(prefix + name, known, 1, 0.75)
    near = near or [leaves[leaf] for leaf in difflib.get_close_matches(name, leaves, 1, 0.75)]
    return f"; did you mean {near[0]}?" if near else "; see config/pivoice.toml for all there are"


_KINDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def _allowed(hint: Any) -> str:
    """Say in words what a field takes."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return ", or ".join(_allowed(part) for part in typing.get_args(hint) if part is not type(None))
    if origin is Literal:
        return "one of " + ", ".join(f'"{choice}"' for choice in typing.get_args(hint))
    if origin is dict:
        kind = typing.get_args(hint)[1]
        return "a table" if kind is Any else f"a table, each {_allowed(kind)}"
    if origin is list:
        return f"a list, each {_allowed(typing.get_args(hint)[0])}"
    if origin is Annotated:
        kind, *metas = typing.get_args(hint)
        if typing.get_origin(kind) is list:
            return f"{_allowed(kind)}, not empty"
        return _bounded(_KINDS[kind], metas[0])
    return _KINDS[hint]


def _bounded(kind: str, meta: Meta) -> str:
    if meta.min_length and meta.max_length is None:
        return f"{kind}, not empty"
    if meta.max_length is not None:
        return f"{kind} of {meta.min_length or 0} to {meta.max_length} characters"
    low = f"from {meta.ge}" if meta.ge is not None else f"above {meta.gt}"
    high = f"to {meta.le}" if meta.le is not None else f"and below {meta.lt}"
    return f"{kind} {low} {high}"
