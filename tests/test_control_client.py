"""The callers' side of the control socket, against the real server and against strangers."""

from __future__ import annotations

import asyncio
import socket
import threading
from functools import partial
from pathlib import Path

import pytest

from pivoice.caller import Line, request, watch
from pivoice.errors import PivoiceError
from tests.test_control import SOON_S, Stage, on_stage


def test_request_returns_the_answer(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> Line:
        return await asyncio.to_thread(request, stage.path, {"command": "say", "text": "grüß dich"})

    assert on_stage(tmp_path, scene) == {"said": "grüß dich"}


def test_watch_yields_until_the_daemon_stops(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> list[Line]:
        heard: list[Line] = []
        listener = asyncio.create_task(asyncio.to_thread(lambda: heard.extend(watch(stage.path))))
        caller = await stage.call()
        while not stage.control.watchers:
            await caller.ask({"command": "status"})
        caller = await stage.watcher()
        stage.control.publish({"event": "state", "state": "listening"})
        await caller.receive()
        await stage.control.close()
        await listener
        return heard

    assert on_stage(tmp_path, scene) == [{"event": "watching"}, {"event": "state", "state": "listening"}]


def test_without_a_daemon_the_caller_is_asked_whether_it_runs(tmp_path: Path) -> None:
    path = str(tmp_path / "control.sock")

    for call in (partial(request, path, {}), partial(next, watch(path))):
        with pytest.raises(PivoiceError, match=r"nobody listens at .*; is pivoice running\? \(systemctl"):
            call()


def answering(path: Path, answer: bytes | None) -> threading.Thread:
    """Listen once at `path`; answer whatever comes with `answer` and hang up. None: never answer."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen(1)

    def serve() -> None:
        with server, server.accept()[0] as connection:
            connection.recv(1000)
            if answer is not None:
                connection.sendall(answer)
            else:
                connection.recv(1000)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (b"", "hung up without an answer"),
        (b"HTTP/1.1 400 Bad Request\n", "not pivoice's answer: 'HTTP/1.1 400 Bad Request'"),
        (b"7\n", "not pivoice's answer"),
        (None, "did not answer within 0.2 s"),
    ],
)
def test_what_does_not_answer_as_pivoice_is_told_in_one_sentence(
    tmp_path: Path, answer: bytes | None, sentence: str
) -> None:
    thread = answering(tmp_path / "s", answer)

    with pytest.raises(PivoiceError, match=sentence):
        request(str(tmp_path / "s"), {"command": "status"}, timeout_s=0.2 if answer is None else SOON_S)

    thread.join(SOON_S)
