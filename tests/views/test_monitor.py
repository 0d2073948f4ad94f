"""The monitor on a control socket: real ones, in simulated time."""

from __future__ import annotations

import asyncio
import io
import json
import re
import socket as sockets
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from pivoice.control import Control
from pivoice.simulation import JumpLoop, run_jumping
from pivoice.views.monitor import Monitor
from pivoice.views.screen import Screen
from tests.views.test_monitor_view import STATUS


class Watched:
    """A monitor that prints lines, and the place where its daemon may be."""

    def __init__(self, directory: Path) -> None:
        self.socket = str(directory / "control.sock")
        self.out = io.StringIO()
        self.monitor = Monitor(self.socket, Screen(self.out))

    @property
    def lines(self) -> list[str]:
        """What it printed, without the times."""
        return [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in self.out.getvalue().splitlines()]

    async def until(self, line: str, times: int = 1) -> None:
        """Let time pass until it printed `line` so often."""
        await self.so(lambda: self.lines.count(line) >= times, line)

    async def watches(self, daemon: Control) -> None:
        """Let time pass until it watches `daemon`."""
        await self.so(lambda: daemon.watchers == 1, "watcher")

    async def so(self, is_so: Callable[[], bool], what: str = "that") -> None:
        """Let time pass until `is_so`."""
        for _ in range(2000):
            if is_so():
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"no {what!r} in {self.lines}")

    async def answering(self, answer: Callable[[bytes], bytes]) -> asyncio.Server:
        """Let somebody listen there who answers each line as it likes."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while line := await reader.readline():
                writer.write(answer(line))
            writer.close()

        return await asyncio.start_unix_server(serve, self.socket)


def live(directory: Path, main: Callable[[Watched], Coroutine[Any, Any, None]]) -> Watched:
    """Run `main` beside a monitor, in simulated time."""
    watched = Watched(directory)

    async def run(loop: JumpLoop) -> None:
        running = asyncio.create_task(watched.monitor.run())
        try:
            await main(watched)
        finally:
            watched.monitor.leave()
            await running

    run_jumping(run)
    return watched


def a_daemon(socket: str, **status: object) -> Control:
    """Return the daemon's own side of a socket, with a status."""
    return Control(socket, {"status": lambda _: {**STATUS, **status}})


def test_a_daemon_is_waited_for_and_then_shown(tmp_path: Path):
    async def main(watched: Watched) -> None:
        await watched.until(
            f"waiting for pivoice: nobody listens at {watched.socket} (systemctl status pivoice)"
        )
        daemon = a_daemon(watched.socket)
        await daemon.start()
        await watched.until("state idle, light idle, link down")
        await watched.watches(daemon)
        daemon.publish({"event": "transcript", "who": "user", "text": "Hello?", "final": True})
        await watched.until("user: Hello?")
        await daemon.close()

    live(tmp_path, main)


def test_a_daemon_that_stops_and_comes_back_is_found_again(tmp_path: Path):
    gone = f"waiting for pivoice: nobody listens at {tmp_path}/control.sock (systemctl status pivoice)"

    async def main(watched: Watched) -> None:
        for round_ in (1, 2, 3):
            daemon = a_daemon(watched.socket)
            await daemon.start()
            await watched.until("pivoice is there", times=round_)
            await watched.watches(daemon)
            daemon.publish({"event": "restart", "part": "capture"})
            await watched.until("the part capture was stuck and is restarted", times=round_)
            await daemon.close()
            await watched.until(gone, times=round_)

    watched = live(tmp_path, main)

    assert watched.lines.count("pivoice is there") == 3


def test_a_daemon_that_stops_is_missed_at_once(tmp_path: Path):
    async def main(watched: Watched) -> None:
        daemon = a_daemon(watched.socket)
        await daemon.start()
        await watched.watches(daemon)
        await watched.until("state idle, light idle, link down")
        await daemon.close()
        closed_s = asyncio.get_running_loop().time()

        await watched.so(lambda: any(line.startswith("waiting") for line in watched.lines))

        assert asyncio.get_running_loop().time() - closed_s < 0.1

    live(tmp_path, main)


def test_garbage_between_lines_is_counted_and_skipped(tmp_path: Path):
    good = json.dumps({"event": "wake", "model": "hey_jarvis", "score": 0.9}).encode()
    garbage = [
        b"\xff\xfe\x00",
        b"[1, 2]",
        b"{",
        b"[" * 100_000,
        b'"text"',
        b"null",
        b"1e999",
        b'{"event": {}}',
    ]

    def answer(line: bytes) -> bytes:
        if b"watch" in line:
            return b"\n".join([*garbage, good]) + b"\n"
        return json.dumps(STATUS).encode() + b"\n"

    async def main(watched: Watched) -> None:
        server = await watched.answering(answer)
        await watched.until("wake word hey_jarvis 0.90")
        assert watched.monitor.view.garbage == 7
        server.close()

    live(tmp_path, main)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "what listens at {} is not pivoice"),
        (b"x" * (2**20 + 5000), "what listens at {} is not pivoice"),
        (
            b'{"error": "64 callers at once are the most; hang up"}\n',
            "64 callers at once are the most; hang up",
        ),
        (b"", "it does not answer at {}; journalctl -u pivoice may say why"),
    ],
)
def test_what_does_not_speak_like_pivoice_is_said_and_asked_again(tmp_path: Path, answer: bytes, said: str):
    async def main(watched: Watched) -> None:
        stranger = await watched.answering(lambda _: answer)
        await watched.until(f"waiting for pivoice: {said.format(watched.socket)}")
        stranger.close()
        daemon = a_daemon(watched.socket)
        await daemon.start()
        await watched.until("pivoice is there")
        await daemon.close()

    live(tmp_path, main)


def test_a_socket_that_may_not_be_used_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(asyncio, "open_unix_connection", refuse)

    async def main(watched: Watched) -> None:
        place = watched.socket
        await watched.until(
            f"waiting for pivoice: no permission for {place}; use sudo, or join its group (ls -l {place})"
        )

    live(tmp_path, main)


def test_nobody_watches_once_the_monitor_has_ended(tmp_path: Path):
    counts: list[int] = []

    async def main(watched: Watched) -> None:
        daemon = a_daemon(watched.socket)
        daemon.on_watchers = counts.append
        await daemon.start()
        await watched.so(lambda: counts == [1])
        watched.monitor.leave()
        await watched.so(lambda: counts == [1, 0])
        await daemon.close()

    live(tmp_path, main)

    assert counts == [1, 0]


def test_a_pipe_gets_lines_without_any_escape_code(tmp_path: Path):
    async def main(watched: Watched) -> None:
        daemon = a_daemon(watched.socket, status="\x1b[31mred")
        await daemon.start()
        await watched.watches(daemon)
        daemon.publish(
            {"event": "transcript", "who": "agent", "text": "\x1b]0;mine\x07\n\x9b2J", "final": True}
        )
        await watched.until("agent: \ufffd]0;mine\ufffd \ufffd2J")
        await daemon.close()

    watched = live(tmp_path, main)

    assert watched.out.getvalue().replace("\n", "").isprintable()


@pytest.mark.parametrize("term", ["dumb", "unknown", ""])
def test_a_terminal_that_can_do_nothing_gets_plain_lines(term: str, monkeypatch: pytest.MonkeyPatch):
    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", term)
    dumb = Screen(Terminal())
    monkeypatch.setenv("TERM", "vt220")
    old = Screen(Terminal())

    assert (dumb.is_live, old.is_live) == (False, True)


def test_an_abandoned_socket_file_is_not_a_daemon(tmp_path: Path):
    left = sockets.socket(sockets.AF_UNIX)
    left.bind(str(tmp_path / "control.sock"))
    left.close()

    async def main(watched: Watched) -> None:
        await watched.until(
            f"waiting for pivoice: nobody listens at {watched.socket} (systemctl status pivoice)"
        )

    live(tmp_path, main)
