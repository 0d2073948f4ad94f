"""Writes a threshold into the owner's configuration file, and leaves every other byte as it is.

A line is put in or changed by every way there is to write the setting, and the first text that reads as the
old settings with the one change is taken: what TOML means is always tomllib's word. That is why this is
no library (tomlkit): one setting, and a check that a library would need too. A file that defies every way
is left alone, and the owner told what to write. Main thread; replaces the file in one step.
"""

from __future__ import annotations

import contextlib
import copy
import os
import re
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pivoice import config
from pivoice.errors import PivoiceError

_WAKE = re.compile(r"\s*\[\s*wake\s*\]")
_THRESHOLDS = re.compile(r"\s*\[\s*wake\s*\.\s*thresholds\s*\]")
_COMMENTED = re.compile(r"\s*#+\s*thresholds\s*=")
_INLINE = re.compile(r"(\s*(?:wake\s*\.\s*)?thresholds\s*=\s*)\{")


def write_thresholds(path: str, thresholds: Mapping[str, float]) -> None:
    """Set `wake.thresholds` of some models in the file at `path`, which is made if it is not there.

    Comments, order, mode and owner stay. What is written is read and checked as at the daemon's start.

    Raises:
        PivoiceError: it cannot be written; says what to write by hand. Nothing has changed.
        ConfigError: the file had mistakes.
    """
    file = Path(path).resolve()
    try:
        text = file.read_bytes().decode() if file.exists() else ""
        for model, threshold in thresholds.items():
            text = with_threshold(text, model, threshold)
        config.parse(text, path=path)
        _replace(file, text)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        sudo = "; run it with sudo" if isinstance(error, PermissionError) else ""
        raise PivoiceError(
            f"cannot write {path}: {reason}{sudo}, or write there yourself, in the section [wake]:\n"
            f"thresholds = {shown_thresholds(thresholds)}"
        ) from error


def with_threshold(text: str, model: str, threshold: float) -> str:
    """Return `text` (TOML) with the threshold of `model`.

    Raises:
        ValueError: no way was found to write it; or it is not TOML.
    """
    wanted: dict[str, Any] = copy.deepcopy(tomllib.loads(text))
    section = wanted.setdefault("wake", {})
    table = section.setdefault("thresholds", {}) if isinstance(section, dict) else None
    if not isinstance(table, dict):
        raise ValueError("wake.thresholds is no table in it")
    table[model] = threshold
    for candidate in _candidates(text.splitlines(keepends=True), model, threshold, table):
        with contextlib.suppress(tomllib.TOMLDecodeError):
            if tomllib.loads(candidate) == wanted:
                return candidate
    raise ValueError("wake.thresholds is written in it in a way that pivoice does not know")


def shown_thresholds(thresholds: Mapping[str, float]) -> str:
    """Return `thresholds` as TOML says it."""
    return "{ " + ", ".join(f"{_key(model)} = {value}" for model, value in thresholds.items()) + " }"


def _candidates(lines: list[str], model: str, threshold: float, table: Mapping[str, float]) -> Iterator[str]:
    """Yield every way to write it, the one that changes least first; most of them are no TOML, or wrong."""
    end = "\r\n" if any(line.endswith("\r\n") for line in lines) else "\n"
    if lines and not lines[-1].endswith("\n"):
        lines = [*lines[:-1], lines[-1] + end]
    key, inline = _key(model), shown_thresholds(table)
    number = re.compile(
        rf"(\s*(?:wake\s*\.\s*)?(?:thresholds\s*\.\s*)?{_any_key(model)}\s*=\s*)[^\s#]+(.*)$", re.S
    )
    one, whole = f"{key} = {threshold}{end}", f"thresholds = {inline}{end}"

    def replaced(at: int, line: str) -> str:
        return "".join([*lines[:at], line, *lines[at + 1 :]])

    def inserted(at: int, line: str) -> str:
        return "".join([*lines[:at], line, *lines[at:]])

    for at, line in enumerate(lines):
        if found := number.match(line):
            yield replaced(at, f"{found[1]}{threshold}{found[2]}")
    for at, line in enumerate(lines):
        if found := _INLINE.match(line):
            yield replaced(at, f"{found[1]}{inline}{line[_table_end(line) :]}")
    for pattern, new in (
        (_THRESHOLDS, one),
        (_COMMENTED, whole),
        (_WAKE, whole),
        (_WAKE, f"thresholds.{one}"),
    ):
        for at, line in enumerate(lines):
            if pattern.match(line):
                yield inserted(at + 1, new)
    blank = end if lines else ""
    yield inserted(len(lines), f"{blank}[wake]{end}{whole}")
    yield inserted(0, f"wake.thresholds.{one}")


def _table_end(line: str) -> int:
    """Return where the inline table in `line` ends; a brace may also stand in a name, or in a comment."""
    for brace in re.finditer("}", line):
        with contextlib.suppress(tomllib.TOMLDecodeError):
            tomllib.loads(line[: brace.end()])
            return brace.end()
    return len(line)


def _key(model: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_-]+", model):
        return model
    return '"' + "".join(_escaped(char) for char in model) + '"'


def _escaped(char: str) -> str:
    return "\\" + char if char in '"\\' else char if char.isprintable() else f"\\U{ord(char):08X}"


def _any_key(model: str) -> str:
    """Return a pattern for the ways to write a model's name."""
    return "(?:" + "|".join(re.escape(key) for key in (_key(model), f'"{model}"', f"'{model}'")) + ")"


def _replace(file: Path, text: str) -> None:
    """Put `text` in the place of `file` in one step; whoever reads it sees the old or the new."""
    file.parent.mkdir(parents=True, exist_ok=True)
    before = file.stat() if file.exists() else None
    if before and not os.access(file, os.W_OK):
        raise PermissionError(13, "Permission denied")
    handle, beside = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as new:
            new.write(text.encode())
            if before and (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(new.fileno(), before.st_uid, before.st_gid)
            os.fchmod(new.fileno(), before.st_mode & 0o7777 if before else 0o644)
            new.flush()
            os.fsync(new.fileno())
        Path(beside).replace(file)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
