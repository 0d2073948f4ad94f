"""The terminal that `pivoice monitor` and `pivoice devices --listen` draw in: a screen, or plain lines.

One thread, the caller's. A pipe, a dumb terminal or a file gets no escape code at all; colours are left out
where NO_COLOR asks for it. Whatever happens, the terminal is left as it was found.
"""

from __future__ import annotations

import os
import stat
import sys
import termios
import tty
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

_SIZE = (80, 24)  # of a terminal that does not know, such as a serial console


class Screen:
    """A context manager; `show` redraws where `is_live`, `say` prints a line where it is not."""

    def __init__(self, out: TextIO | None = None, *, whole: bool = True) -> None:
        """`whole`: take the whole terminal, and give it back at the end; else draw below what is there."""
        self._out = out if out is not None else sys.stdout
        if reconfigure := getattr(self._out, "reconfigure", None):
            reconfigure(errors="replace")  # a terminal of another alphabet
        is_dumb = os.environ.get("TERM", "") in ("", "dumb", "unknown")
        self.is_live = self._out.isatty() and not is_dumb
        self.is_plain = "utf" not in (self._out.encoding or "").lower()
        """Nothing but ASCII can be drawn."""
        self._whole = whole
        self._console = Console(
            file=self._out, force_terminal=self.is_live, highlight=False, markup=False, emoji=False
        )
        self._live: Live | None = None
        self._found: list[Any] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows, as they are now."""
        try:
            size = os.get_terminal_size(self._out.fileno())
        except (OSError, ValueError):
            return _SIZE
        return size.columns or _SIZE[0], size.lines or _SIZE[1]

    def __enter__(self) -> Self:
        if self.is_live:
            if self._whole:
                self._read_keys()
            self._live = Live(
                console=self._console,
                screen=self._whole,
                auto_refresh=False,
                transient=not self._whole,
                redirect_stdout=False,
                redirect_stderr=False,
                vertical_overflow="crop",
            )
            self._live.start()
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        try:
            if self._live:
                self._live.stop()
        finally:
            self._live = None
            if self._found is not None:
                termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._found)
                self._found = None

    @property
    def has_keys(self) -> bool:
        """Whether single keys can be read from standard input now."""
        return self._found is not None

    @property
    def pipe(self) -> int | None:
        """The descriptor of the pipe that is written to; None where it is none."""
        try:
            descriptor = self._out.fileno()
            return descriptor if stat.S_ISFIFO(os.fstat(descriptor).st_mode) else None
        except (OSError, ValueError):
            return None

    def show(self, rows: Sequence[Text]) -> None:
        """Draw `rows`, which must fit into `size`."""
        assert self._live, "a screen is shown on inside its `with`, and only where it is live"
        width, height = self.size
        self._console.size = (width, height)  # rich would look at stdin as well
        self._live.update(Group(*rows), refresh=True)

    def say(self, line: str) -> None:
        """Print one line that stays."""
        print(line, file=self._out, flush=True)

    def _read_keys(self) -> None:
        """Let keys come one by one and unseen, where somebody is at the keyboard."""
        try:
            descriptor = sys.stdin.fileno()
            if os.tcgetpgrp(descriptor) != os.getpgrp():
                return  # in the background: to touch the terminal would stop us
            self._found = termios.tcgetattr(descriptor)
            tty.setcbreak(descriptor)
        except (OSError, ValueError, termios.error, AttributeError):  # no terminal, or none at all
            self._found = None
