"""A small file that outlives the process: read once, written whole, never half.

Any one thread at a time. A file that cannot be read or written is told once, and stops nobody. What is found
and cannot be understood is put aside, not lost.
"""

from __future__ import annotations

import errno
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class Record(Generic[T]):
    """One value of `kind` (whatever msgspec can write) in the JSON file at `path`; None: in memory only."""

    def __init__(
        self, path: Path | None, kind: type[T], *, logger: logging.Logger, forgets: str, advice: str = ""
    ) -> None:
        """`forgets`: what a restart forgets where it cannot be written, such as "the day's minutes".
        `advice`: what to do then."""
        self.path = path
        self._kind = kind
        self._logger = logger
        self._forgets = forgets
        self._advice = f"; {advice}" if advice else ""
        self._has_warned = False

    def read(self) -> T | None:
        """Return what the file holds; None when there is none. One that is something else is put aside.

        What is no file at all (a directory, /dev/null) is somebody else's, and stays.
        """
        if self.path is None:
            return None
        kept = "left where it is"
        try:
            self._check_is_file(self.path)
            return msgspec.json.decode(self.path.read_bytes(), type=self._kind)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, UnicodeError, RecursionError) as error:
            with suppress(OSError):
                self._check_is_file(self.path)
                kept = f"kept as {self.path.replace(self.path.with_name(self.path.name + '.bad'))}"
            told = "cannot use %s (%s; %s); %s begin anew"
            self._logger.warning(told, self.path, error, kept, self._forgets)
            return None

    def write(self, value: T) -> bool:
        """Put `value` into the file, in one step, readable to us alone; return whether it is there.

        A failure is told once. No fsync: it may take the loop's time on a bad card.
        """
        if self.path is None:
            return True
        beside = self.path.with_name(self.path.name + ".new")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._check_is_file(self.path)
            with open(beside, "wb", opener=_open_private) as file:
                file.write(msgspec.json.encode(value))
            beside.replace(self.path)
        except OSError as error:
            if not self._has_warned:
                self._has_warned = True
                told = "cannot write %s: %s; a restart forgets %s%s"
                self._logger.warning(told, self.path, error.strerror, self._forgets, self._advice)
            return False
        self._has_warned = False
        return True

    @staticmethod
    def _check_is_file(path: Path) -> None:
        """Raise an OSError where `path` is there and no file: it must be neither read nor replaced."""
        if path.exists() and not path.is_file():
            raise OSError(errno.EINVAL, "it is not a file")


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
