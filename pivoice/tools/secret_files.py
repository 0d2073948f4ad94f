"""Secrets that tools need, from files that their settings name. Reads; keeps and shows nothing.

Any thread. They are read anew at each use, so that a changed one needs no restart.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Mapping
from pathlib import Path

from pivoice.errors import ToolError

_MOST_BYTES = 16384  # of a token or a private key; a name that leads to something else is noticed, not read


def read_secrets(named: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return what each name stands for: a path from / holds it, or a systemd credential of that name.

    Raises:
        ToolError: one cannot be read, or others can read it.
    """
    return {name: _read(name, where, environ) for name, where in named.items()}


def _read(name: str, where: str, environ: Mapping[str, str]) -> str:
    directory = environ.get("CREDENTIALS_DIRECTORY", "")
    if where.startswith("/"):
        path, told = Path(where), repr(where)
    elif directory and "/" not in where and where not in ("", ".", ".."):
        # not shown: somebody may have written the secret itself there
        path, told = Path(directory, where), "the systemd credential that the settings name"
    else:
        why = "its settings name no file" + (
            "" if directory else ", and credentials there are in a service alone"
        )
        raise ToolError(f"the secret {name} cannot be read: {why}")
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise ToolError(f"the secret {name} cannot be read: {told} is not a file")
            if mode & (stat.S_IROTH | stat.S_IWOTH):
                mend = f"chmod o= {shlex.quote(str(path))}"
                raise ToolError(f"the secret {name} in {told} can be read by other users; run: {mend}")
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ToolError(f"the secret {name} cannot be read from {told}: {error.strerror}") from None
    if len(content) > _MOST_BYTES:
        raise ToolError(f"the secret {name} in {told} is longer than {_MOST_BYTES} bytes")
    try:
        text = content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ToolError(f"the secret {name} in {told} is not text") from None  # the error holds it
    if not text or "\0" in text:
        raise ToolError(f"the secret {name} in {told} is {'not text' if text else 'empty'}")
    return text


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe without a writer would be waited for
