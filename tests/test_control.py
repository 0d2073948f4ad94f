"""The control socket: honest callers, careless ones, hostile ones, and two daemons at one path."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pivoice.caller import Line
from pivoice.control import Command, Control
from pivoice.errors import ConfigError, PivoiceError

SOON_S = 10.0


def say(message: Line) -> Line:
    if not isinstance(message.get("text"), str):
        raise PivoiceError('say needs "text": what the agent should say')
    return {"said": message["text"]}


async def slowly(_: Line) -> Line:
    await asyncio.sleep(0)
    return {"slow": True}


def broken(_: Line) -> Line:
    raise KeyError("a mistake of ours")


COMMANDS: dict[str, Command] = {
    "status": lambda _: {"state": "idle"},
    "stop": lambda _: {},
    "say": say,
    "metrics": slowly,
    "broken": broken,
}


class Caller:
    """One raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, line: bytes | Line) -> None:
        self.writer.write(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")
        await self.writer.drain()

    async def receive(self) -> Line:
        line: Line = json.loads(await self.reader.readuntil())
        return line

    async def ask(self, line: bytes | Line) -> Line:
        await self.send(line)
        return await self.receive()


class Stage:
    def __init__(self, path: str) -> None:
        self.path = path
        self.control = Control(path, COMMANDS, arguments={"say": ["text"], "broken": ["text"]})
        self._callers: list[Caller] = []

    async def call(self) -> Caller:
        caller = Caller(*await asyncio.open_unix_connection(self.path))
        self._callers.append(caller)
        return caller

    async def watcher(self) -> Caller:
        caller = await self.call()
        assert await caller.ask({"command": "watch"}) == {"event": "watching"}
        return caller

    async def close(self) -> None:
        for caller in self._callers:
            caller.writer.transport.abort()
        await self.control.close()


@asynccontextmanager
async def staged(directory: Path) -> AsyncIterator[Stage]:
    stage = Stage(str(directory / "run" / "control.sock"))
    await stage.control.start()
    try:
        async with asyncio.timeout(SOON_S):
            yield stage
    finally:
        await stage.close()


def on_stage(directory: Path, scene: Callable[[Stage], Awaitable[Any]]) -> Any:
    """Run `scene` with a control socket that listens."""

    async def play() -> Any:
        async with staged(directory) as stage:
            return await scene(stage)

    return asyncio.run(play())


# --- commands ---


def test_a_command_is_answered_with_one_object(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> Line:
        return await (await stage.call()).ask({"command": "status"})

    assert on_stage(tmp_path, scene) == {"state": "idle"}


def test_a_connection_takes_command_after_command_sent_at_once(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> list[Line]:
        caller = await stage.call()
        await caller.send(b'{"command":"status"}\n\n{"command":"metrics"}\n{"command":"stop"}\n')
        return [await caller.receive() for _ in range(3)]

    assert on_stage(tmp_path, scene) == [{"state": "idle"}, {"slow": True}, {"ok": True}]


def test_a_last_line_without_its_newline_counts(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> Line:
        caller = await stage.call()
        await caller.send(b'{"command":"status"}')
        caller.writer.write_eof()
        return await caller.receive()

    assert on_stage(tmp_path, scene) == {"state": "idle"}


# --- garbage ---


@pytest.mark.parametrize(
    ("garbage", "sentence"),
    [
        (b"status\n", '\'status\' is not JSON; send a line such as {"command": "status"}'),
        (b"\x00\xff\xfe\n", "is not JSON"),
        (b"[" * 60000 + b"\n", "is not JSON"),
        (b'["status"]\n', "is not an object"),
        (b"7\n", "'7' is not an object"),
        (b"{}\n", '"command" is missing'),
        (b'{"command": 7}\n', "\"command\" must be text, not '7'"),
        (b'{"command": null}\n', '"command" must be text'),
        (b'{"command": "stats"}\n', "no command 'stats'; did you mean status?"),
        (b'{"command": "dance"}\n', "no command 'dance'; there is broken, metrics, say, status, stop, watch"),
        (b'{"command": "say"}\n', 'say needs "text"'),
        (b'{"command": "say", "text": 7}\n', 'say needs "text"'),
        (b'{"command": "say", "txt": "hello"}\n', "say takes no 'txt'; did you mean text?"),
        (b'{"command": "stop", "now": true}\n', "stop takes no 'now'; there is nothing to add to it"),
    ],
)
def test_garbage_gets_one_sentence_and_the_connection_lives_on(
    tmp_path: Path, garbage: bytes, sentence: str
) -> None:
    async def scene(stage: Stage) -> tuple[Line, Line]:
        caller = await stage.call()
        return await caller.ask(garbage), await caller.ask({"command": "status"})

    answer, after = on_stage(tmp_path, scene)

    assert list(answer) == ["error"]
    assert sentence in answer["error"]
    assert len(answer["error"]) < 200
    assert "\n" not in answer["error"]
    assert after == {"state": "idle"}


def test_a_line_of_a_megabyte_is_answered_before_the_connection_ends(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> tuple[Line, bytes, Line]:
        caller = await stage.call()
        answer = await caller.ask(b"x" * 2**20 + b"\n")
        caller.writer.write_eof()
        return answer, await caller.reader.read(), await (await stage.call()).ask({"command": "status"})

    answer, rest, elsewhere = on_stage(tmp_path, scene)

    assert "a line is at most 65536 bytes" in answer["error"]
    assert rest == b""
    assert elsewhere == {"state": "idle"}


def test_a_command_that_fails_by_our_mistake_is_an_answer_and_a_logged_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(stage: Stage) -> tuple[Line, Line]:
        caller = await stage.call()
        answer = await caller.ask({"command": "broken", "text": "a secret"})
        return answer, await caller.ask({"command": "status"})

    answer, after = on_stage(tmp_path, scene)

    assert answer == {"error": "the command failed: KeyError; the journal has the details"}
    assert after == {"state": "idle"}
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "broken" in caplog.text
    assert "a secret" not in caplog.text


def test_too_many_callers_are_turned_away_in_words(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> Line:
        for _ in range(64):
            await (await stage.call()).ask({"command": "watch"})
        return await (await stage.call()).receive()

    assert "64 callers at once are the most" in on_stage(tmp_path, scene)["error"]


def test_callers_that_say_nothing_keep_nobody_out(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> tuple[Line, Line, bytes]:
        watcher = await stage.call()
        await watcher.ask({"command": "watch"})
        idle = [await stage.call() for _ in range(80)]
        answer = await (await stage.call()).ask({"command": "status"})
        stage.control.publish({"event": "level"})
        return answer, await watcher.receive(), await idle[0].reader.read()

    answer, seen, end = on_stage(tmp_path, scene)

    assert answer == {"state": "idle"}
    assert seen == {"event": "level"}, "a watcher was hung up on"
    assert end == b"", "the first of those that were idle was not"


# --- watching ---


def test_every_watcher_gets_every_event_in_order(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> list[list[Line]]:
        watchers = [await stage.watcher() for _ in range(3)]
        for number in range(5):
            stage.control.publish({"event": "level", "number": number})
        return [[await watcher.receive() for _ in range(5)] for watcher in watchers]

    assert on_stage(tmp_path, scene) == [[{"event": "level", "number": n} for n in range(5)]] * 3


def test_a_watcher_may_still_command(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> list[Line]:
        watcher = await stage.watcher()
        return [await watcher.ask({"command": "status"}), await watcher.ask({"command": "watch"})]

    assert on_stage(tmp_path, scene) == [
        {"state": "idle"},
        {"error": "this connection is watching already"},
    ]


def test_a_watcher_that_does_not_read_holds_nobody_up_and_is_told_what_it_lost(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> tuple[int, list[Line]]:
        slow = await stage.watcher()
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
        event = {"event": "transcript", "text": "x" * 1000}
        for number in range(5000):
            stage.control.publish({**event, "number": number})
            if number % 50 == 0:
                await asyncio.sleep(0)
        status = await (await stage.call()).ask({"command": "status"})
        assert status == {"state": "idle"}
        slow.writer.transport.resume_reading()  # type: ignore[attr-defined]
        heard = [await slow.receive()]
        while heard[-1]["event"] != "lost":
            heard.append(await slow.receive())
        stage.control.publish({"event": "state"})
        return heard.pop()["lines"], [*heard, await slow.receive()]

    lost, heard = on_stage(tmp_path, scene)

    assert lost > 0
    assert len(heard) - 1 + lost == 5000
    assert [line["number"] for line in heard[:-1]] == list(range(len(heard) - 1))
    assert heard[-1] == {"event": "state"}


def test_a_watcher_that_hangs_up_is_forgotten(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> int:
        watcher = await stage.watcher()
        watcher.writer.close()
        caller = await stage.call()
        while stage.control.watchers:
            await caller.ask({"command": "status"})
        stage.control.publish({"event": "state"})
        return stage.control.watchers

    assert on_stage(tmp_path, scene) == 0


def test_an_event_that_json_does_not_know_is_still_told(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> Line:
        watcher = await stage.watcher()
        stage.control.publish({"event": "odd", "path": Path("/x"), "text": "\ud800 é"})
        return await watcher.receive()

    assert on_stage(tmp_path, scene) == {"event": "odd", "path": "/x", "text": "? é"}


def test_a_watcher_that_does_not_read_does_not_hold_up_closing(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> float:
        slow = await stage.watcher()
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
        for _ in range(1000):
            stage.control.publish({"event": "transcript", "text": "x" * 1000})
        began_s = asyncio.get_running_loop().time()
        await stage.control.close()
        return asyncio.get_running_loop().time() - began_s

    assert on_stage(tmp_path, scene) < 1.0


# --- the socket's file ---


def test_the_socket_is_for_owner_and_group_and_its_directory_is_made(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> os.stat_result:
        return await asyncio.to_thread(os.stat, stage.path)

    assert stat.S_IMODE(on_stage(tmp_path, scene).st_mode) == 0o660


def test_closing_tells_watchers_the_last_line_hangs_up_and_removes_the_socket(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> tuple[bytes, str]:
        watcher = await stage.watcher()
        stage.control.publish({"event": "last"})
        await stage.control.close()
        await stage.control.close()
        return await watcher.reader.read(), stage.path

    rest, path = on_stage(tmp_path, scene)

    assert rest == b'{"event": "last"}\n'
    assert not Path(path).exists()


def test_the_socket_of_a_dead_daemon_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / "run" / "control.sock"))
    dead.close()

    async def scene(stage: Stage) -> Line:
        return await (await stage.call()).ask({"command": "status"})

    assert on_stage(tmp_path, scene) == {"state": "idle"}


def test_the_socket_of_a_live_daemon_is_left_alone(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> Line:
        second = Control(stage.path, {})
        with pytest.raises(PivoiceError, match=r"another pivoice is running.*systemctl stop pivoice"):
            await second.start()
        await second.close()
        return await (await stage.call()).ask({"command": "status"})

    assert on_stage(tmp_path, scene) == {"state": "idle"}


def test_a_file_that_is_no_socket_is_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    path.write_text("precious")

    with pytest.raises(ConfigError, match="exists and is not a socket"):
        asyncio.run(Control(str(path), {}).start())

    assert path.read_text() == "precious"


@pytest.mark.parametrize(
    "name", ["/proc/pivoice/control.sock", "/dev/null/control.sock", "/tmp/" + "x" * 200]
)
def test_a_path_where_no_socket_can_be_is_a_fault_of_the_setting(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        asyncio.run(Control(name, {}).start())

    assert str(caught.value).startswith(f"control.socket: cannot listen at {name!r}: ")
    assert "choose a path" in str(caught.value)
