"""What the doctor reads of the machine: files below a root, the output of commands, who we are, the time.

Any thread. The only file of the checks that touches the machine itself, so that a test can hand over another
one. Changes nothing; nothing here raises: what cannot be read is None, a command that cannot run says so.
"""

from __future__ import annotations

import grp
import os
import platform
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pivoice import boards

COMMAND_S = 3.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # iw is in sbin, which a user has not
_NOT_FOUND = 127
_NO_ANSWER = 124  # as timeout(1) says it
_MOST_BYTES = 2**20


@dataclass(frozen=True)
class Outcome:
    """What a command said."""

    code: int
    text: str = ""
    """Standard output; never shown as it is: it may be a secret."""
    error: str = ""

    @property
    def is_missing(self) -> bool:
        """Whether there is no such command."""
        return self.code == _NOT_FOUND

    @property
    def is_well(self) -> bool:
        return self.code == 0


Run = Callable[[Sequence[str], str, float], Outcome]
"""Takes the command, its standard input, and for how long it may run, in seconds."""


def run_command(command: Sequence[str], given: str, timeout_s: float) -> Outcome:
    """Run `command` without a shell, in the C locale."""
    environ = {**os.environ, "LC_ALL": "C", "PATH": f"{os.environ.get('PATH', '')}:{_PATH}"}
    try:
        done = subprocess.run(
            command,
            input=given,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
            env=environ,
        )
    except FileNotFoundError:
        return Outcome(_NOT_FOUND)
    except subprocess.TimeoutExpired:
        return Outcome(_NO_ANSWER, error=f"no answer within {timeout_s:g} s")
    except OSError as error:
        return Outcome(_NOT_FOUND, error=error.strerror or "")
    return Outcome(done.returncode, done.stdout, done.stderr)


@dataclass
class Machine:
    """This one, unless a test says otherwise."""

    root: Path = Path("/")
    runs: Run = run_command
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    now_s: Callable[[], float] = time.time
    """Seconds since 1970, as this device believes."""
    is_root: bool = field(default_factory=lambda: os.geteuid() == 0)
    bits: int = 8 * struct.calcsize("P")
    architecture: str = field(default_factory=platform.machine)
    python: tuple[int, int, int] = field(default_factory=lambda: sys.version_info[:3])

    def path(self, place: str) -> Path:
        """Return where `place`, an absolute path, is on this machine."""
        return self.root / place.lstrip("/")

    def read(self, place: str) -> str | None:
        """Return the text of a file, without the zero bytes that the kernel ends its own with."""
        try:
            with self.path(place).open("rb") as file:
                content = file.read(_MOST_BYTES)
        except OSError:
            return None
        return content.decode("utf-8", "replace").replace("\0", "")

    def run(self, *command: str, given: str = "", timeout_s: float = COMMAND_S) -> Outcome:
        """Run a command and return what it said."""
        return self.runs(command, given, timeout_s)

    def facts(self, *command: str) -> dict[str, str]:
        """Return what a command that answers in lines of NAME=VALUE said; nothing where it failed."""
        outcome = self.run(*command)
        lines = outcome.text.splitlines() if outcome.is_well else []
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def groups_of(self, user: str) -> frozenset[str] | None:
        """Return the groups of `user`, "" for our own; None where that user is not there."""
        outcome = self.run("id", "-nG", *([user] if user else []))
        return frozenset(outcome.text.split()) if outcome.is_well else None

    def may_read(self, path: Path, user: str) -> bool:
        """Return whether the mode of a file lets `user` read it; True where that cannot be known."""
        try:
            status = path.stat()
        except OSError:
            return True
        if status.st_mode & 0o004 or user == "root":
            return True
        number, groups = self.run("id", "-u", user), self.groups_of(user)
        if groups is None or not number.is_well:
            return True
        if number.text.strip() == str(status.st_uid):
            return bool(status.st_mode & 0o400)
        return bool(status.st_mode & 0o040) and _group_name(status.st_gid) in groups

    @property
    def boot_config(self) -> tuple[str, str]:
        """The path of the file that a Pi's firmware reads, and its text; twice "" where there is none."""
        for place in map(str, boards.BOOT_CONFIGS):
            if (text := self.read(place)) is not None:
                return place, text
        return "", ""

    @property
    def is_boot_config_newer(self) -> bool:
        """Whether that file was changed after the start: what it says holds from the next one on."""
        path, _ = self.boot_config
        up_s = float((self.read("/proc/uptime") or "inf").split()[0])
        return bool(path) and self.path(path).stat().st_mtime > self.now_s() - up_s

    @property
    def model(self) -> str:
        """The board as it calls itself, "Raspberry Pi Zero 2 W Rev 1.0"; "" where it has no name."""
        return (self.read("/proc/device-tree/model") or "").strip()

    @property
    def is_pi(self) -> bool:
        return "raspberry pi" in self.model.lower()


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
