"""Where the API key comes from. Reads files and the environment it is given; keeps and logs nothing."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Mapping
from pathlib import Path

from pivoice.config import AgentConfig
from pivoice.errors import ConfigError, Fault

CREDENTIAL = "assemblyai-api-key"
VARIABLE = "ASSEMBLYAI_API_KEY"

_KEY = "agent.api_key_file"
_MOST_BYTES = 4096  # a key has a few dozen; a name that leads to something else is noticed, not read


def find_key(config: AgentConfig, environ: Mapping[str, str]) -> str:
    """Return the API key: systemd's credential, else the environment's, else the file's.

    "" when `agent.token_url` is set: then no key lives on the device.

    Raises:
        ConfigError: there is none, or it cannot be used.
    """
    if config.token_url:
        return ""
    directory = environ.get("CREDENTIALS_DIRECTORY")
    if directory and (credential := Path(directory) / CREDENTIAL).exists():
        return _read(credential, what=f"the systemd credential {CREDENTIAL!r}")
    if key := environ.get(VARIABLE, "").strip():
        return _checked(key, what=f"${VARIABLE}")
    if config.api_key_file:
        return _read_private(Path(config.api_key_file))
    raise _fault(
        f"no API key; give one in a systemd credential (LoadCredential={CREDENTIAL}:/path/of/the/key), "
        f"in ${VARIABLE}, or in a file that agent.api_key_file names; "
        "an installed pivoice is given it by: sudo ./scripts/install --key-file FILE (or without: it asks)"
    )


def _read_private(path: Path) -> str:
    """Read a key file that no stranger may read or write.

    The group may read one that is not ours: that is how root gives a service its key (root:pivoice, 640).
    One of our own needs no group: most users share theirs with somebody, as ssh knows.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise _fault(f"cannot read {str(path)!r}: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):
        raise _fault(f"{str(path)!r} is not a file; name the file that holds the API key")
    is_ours = found.st_uid == os.geteuid()
    forbidden = stat.S_IROTH | stat.S_IWOTH | (stat.S_IRGRP | stat.S_IWGRP if is_ours else 0)
    if found.st_mode & forbidden:
        mend = f"chmod {'600' if is_ours else 'o='} {shlex.quote(str(path))}"
        raise _fault(f"{str(path)!r} holds a secret that other users can read; run: {mend}")
    return _read(path, what=repr(str(path)))


def _read(path: Path, *, what: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise _fault(f"cannot read {what}: {error.strerror}") from error
    if len(content) > _MOST_BYTES:
        raise _fault(f"{what} does not hold an API key: it is longer than {_MOST_BYTES} bytes")
    try:
        key = content.decode("ascii").strip()
    except UnicodeDecodeError:
        # not "from": the error holds the content
        raise _fault(f"{what} does not hold an API key: it is not plain text") from None
    return _checked(key, what=what)


def _checked(key: str, *, what: str) -> str:
    """Refuse what could not travel in a header, without ever showing it."""
    if not key:
        raise _fault(f"{what} is empty; it must hold the API key and nothing else")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise _fault(f"{what} does not hold an API key: one line, no spaces, is expected")
    return key


def _fault(problem: str) -> ConfigError:
    return ConfigError([Fault(_KEY, problem)])
