"""`pivoice monitor` in a real terminal, on a real daemon."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bed import Bed, wait_until
from tests.support.stage import Stage

WHOLE, BACK = b"\x1b[?1049h", b"\x1b[?1049l"
HIDDEN, SHOWN = b"\x1b[?25l", b"\x1b[?25h"


@pytest.fixture
def stage(tmp_path: Path, bed: Bed) -> Iterator[Stage]:
    settings: dict[str, dict[str, object]] = {"wake": {"engine": "none"}, "turn": {"no_speech_s": 60}}
    with Stage(tmp_path, bed=bed, settings=settings) as made:
        yield made.start()


class Terminal:
    """A pseudo-terminal with `pivoice monitor` in it."""

    def __init__(self, config: Path, **environment: str) -> None:
        self.ours, theirs = pty.openpty()
        self.resize(80, 24)
        self.found = termios.tcgetattr(theirs)
        self.written = b""
        os.set_blocking(self.ours, False)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pivoice", "monitor", "--config", str(config)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=os.environ | {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"} | environment,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self.theirs = theirs

    def resize(self, columns: int, rows: int) -> None:
        """Let the terminal be so large."""
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def wait(self, text: str, timeout_s: float = 20.0) -> None:
        """Wait until `text` was drawn after what was waited for before."""
        begun = len(self.written)

        def is_drawn() -> bool:
            self.read()
            return text.encode() in self.written[begun:]

        wait_until(is_drawn, timeout_s, f"{text!r}; there is {self.written[-2000:]!r}")

    def read(self) -> None:
        try:
            self.written += os.read(self.ours, 1 << 16)
        except OSError:  # nothing there now, or nobody any more
            return

    def end(self) -> int:
        """Wait for the end; return the exit code."""
        deadline_s = time.monotonic() + 20
        while self.process.poll() is None and time.monotonic() < deadline_s:
            self.read()
        code = self.process.wait(1)
        self.read()
        return code

    def is_as_found(self) -> bool:
        """Return whether the terminal works again as it did before."""
        return termios.tcgetattr(self.theirs) == self.found


@pytest.fixture
def terminals(stage: Stage) -> Iterator[list[Terminal]]:
    """Return a list; what is put into it is ended."""
    made: list[Terminal] = []
    yield made
    for each in made:
        each.process.kill()
        each.process.wait()
        os.close(each.ours)
        os.close(each.theirs)


def test_the_daemon_is_seen_and_the_terminal_given_back(stage: Stage, terminals: list[Terminal]):
    terminals.append(terminal := Terminal(stage.directory / "pivoice.toml"))
    terminal.wait("idle")
    terminal.wait("hears; waiting for the button")
    terminal.wait("gate ")  # which comes with the levels
    stage.ctl("wake")
    terminal.wait("listening")
    terminal.resize(40, 12)
    stage.ctl("mute")
    terminal.wait("muted")
    narrow = terminal.written.rpartition(b"\x1b[H")[2]
    assert stage.daemon
    stage.daemon.send_signal(signal.SIGTERM)
    stage.daemon.wait(10)
    terminal.wait("waiting for pivoice")
    stage.start_daemon()
    terminal.wait("idle")

    os.write(terminal.ours, b"q")
    code = terminal.end()

    assert code == 0
    assert terminal.is_as_found()
    assert narrow.count(b"\n") <= 12
    assert terminal.written.count(WHOLE) == terminal.written.count(BACK) == 1
    assert terminal.written.rindex(SHOWN) > terminal.written.rindex(HIDDEN)
    assert b"Traceback" not in terminal.written


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_however_it_is_stopped_the_terminal_is_given_back(
    stage: Stage, terminals: list[Terminal], number: signal.Signals
):
    terminals.append(terminal := Terminal(stage.directory / "pivoice.toml", NO_COLOR="1"))
    terminal.wait("hears")

    terminal.process.send_signal(number)
    code = terminal.end()

    assert code == 0
    assert terminal.is_as_found()
    assert terminal.written.endswith(SHOWN) or terminal.written.rindex(SHOWN) > terminal.written.rindex(
        HIDDEN
    )
    assert b"\x1b[3" not in terminal.written, "a colour, though none was wanted"
    assert b"Traceback" not in terminal.written


def test_a_monitor_put_aside_hands_the_terminal_back_meanwhile(stage: Stage, terminals: list[Terminal]):
    terminals.append(terminal := Terminal(stage.directory / "pivoice.toml"))
    terminal.wait("hears")

    terminal.process.send_signal(signal.SIGTSTP)
    wait_until(lambda: state_of(terminal.process.pid) == "T", 10, "it to stand still")
    terminal.read()
    aside = terminal.is_as_found(), terminal.written.count(BACK)
    terminal.process.send_signal(signal.SIGCONT)
    stage.ctl("wake")
    terminal.wait("listening")
    os.write(terminal.ours, b"q")

    assert terminal.end() == 0
    assert aside == (True, 1)
    assert terminal.is_as_found()
    assert terminal.written.count(WHOLE) == terminal.written.count(BACK) == 2


def state_of(pid: int) -> str:
    """Return the letter that ps shows."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def test_a_pipe_that_is_closed_ends_it_quietly(stage: Stage):
    config = str(stage.directory / "pivoice.toml")
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m pivoice monitor --config {config} <&- | head -n 1"],
        capture_output=True,
        timeout=30,
        check=False,
    )

    assert b"pivoice is there" in done.stdout
    assert done.stderr == b""


def test_a_pipe_gets_a_line_for_each_change(stage: Stage):
    config = str(stage.directory / "pivoice.toml")
    out = (stage.directory / "seen.txt").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "pivoice", "monitor", "--config", config], stdout=out, stdin=subprocess.DEVNULL
    )

    def seen() -> str:
        return (stage.directory / "seen.txt").read_text()

    wait_until(lambda: "state idle, light idle, link down" in seen(), 20, "the state")
    stage.ctl("wake")
    wait_until(lambda: "state listening" in seen(), 20, "the change")
    process.send_signal(signal.SIGINT)

    code = process.wait(10)

    assert code == 0
    assert seen().replace("\n", "").isprintable()
