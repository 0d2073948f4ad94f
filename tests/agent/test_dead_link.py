"""A link that dies without a word, and frames that a link should not have to carry."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import Opcode

from pivoice.agent import wire
from pivoice.agent.connection import Connection, Faults, open_connection
from pivoice.errors import LinkError
from pivoice.simulation import JumpLoop, run_jumping

FOUND_WITHIN_S = 10.0
CHUNK = wire.InputAudio(bytes(1920))


class Wall:
    """A way to a server that can fall silent: nothing passes any more, and no socket closes."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._pipes: list[asyncio.Task[None]] = []
        self._transports: list[asyncio.Transport] = []

    async def stand(self) -> int:
        self._server = await asyncio.start_server(self._admit, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    def fall_silent(self) -> None:
        for pipe in self._pipes:
            pipe.cancel()
        for transport in self._transports:
            transport.pause_reading()

    def go(self) -> None:
        self.fall_silent()
        for transport in self._transports:
            transport.abort()
        self._server.close()

    async def _admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        self._transports += [writer.transport, back.transport]
        self._pipes += [
            asyncio.create_task(self._carry(reader, back)),
            asyncio.create_task(self._carry(there, writer)),
        ]

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while piece := await source.read(65536):
            target.write(piece)


Server = Callable[[ServerConnection], Awaitable[None]]
Test = Callable[[Connection, Wall, Faults], Awaitable[None]]


def linked(server: Server, test: Test) -> None:
    """Run a test with a connection to a server behind a wall, in time that jumps."""

    async def main(_: JumpLoop) -> None:
        faults = Faults()
        options = {"ping_interval": None, "compression": None, "max_size": None}
        async with serve(server, "127.0.0.1", 0, close_timeout=0.1, **options) as listening:
            wall = Wall(next(iter(listening.sockets)).getsockname()[1])
            url = f"ws://127.0.0.1:{await wall.stand()}/"
            connection = await open_connection(url, key="key", token_url="", faults=faults)
            try:
                await test(connection, wall, faults)
            finally:
                await connection.close()
                wall.go()
                await asyncio.sleep(0.5)
        left = [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert not [name for name in left if name.startswith("agent")], left

    run_jumping(main)


async def listen(socket: ServerConnection) -> None:
    async for _ in socket:
        pass


async def talk(socket: ServerConnection) -> None:
    while True:
        await socket.send('{"type":"reply.audio","data":"AAAA"}')
        await asyncio.sleep(0.01)


async def found_dead_after(connection: Connection) -> float:
    """Return how long it takes until `receive` says that the link is dead."""
    began_s = asyncio.get_running_loop().time()
    while await connection.receive() is not None:
        pass
    return asyncio.get_running_loop().time() - began_s


@pytest.mark.parametrize("server", [listen, talk])
@pytest.mark.parametrize("alive_s", [0.0, 3.9, 4.1, 60.0])
def test_a_link_that_falls_silent_is_found_within_ten_seconds(server: Server, alive_s: float):
    async def test(connection: Connection, wall: Wall, _: Faults) -> None:
        receiving = asyncio.create_task(found_dead_after(connection))
        await asyncio.sleep(alive_s)

        wall.fall_silent()

        assert await receiving - alive_s <= FOUND_WITHIN_S
        assert connection.close_code == 1006
        assert connection.close_reason == "no sign of life for 6 s"

    linked(server, test)


def test_a_last_word_just_after_the_ping_does_not_put_it_off():
    async def speak_once(socket: ServerConnection) -> None:
        send = socket.protocol.send_frame
        socket.protocol.send_frame = lambda frame: None if frame.opcode is Opcode.PONG else send(frame)
        await asyncio.sleep(4.1)
        await socket.send('{"type": "input.speech.started"}')
        await socket.wait_closed()

    async def test(connection: Connection, _: Wall, faults: Faults) -> None:
        assert await connection.receive() == wire.SpeechStarted()

        assert await found_dead_after(connection) <= FOUND_WITHIN_S

    linked(speak_once, test)


@pytest.mark.parametrize("pause_s", [0.04, 0.0])
def test_it_is_found_as_soon_while_audio_goes_up(pause_s: float):
    async def send(connection: Connection) -> None:
        with pytest.raises(LinkError):
            while True:  # without a pause the buffers are full at once, and sending waits
                await connection.send(CHUNK)
                await asyncio.sleep(pause_s)

    async def test(connection: Connection, wall: Wall, _: Faults) -> None:
        wall.fall_silent()
        sending = asyncio.create_task(send(connection))

        assert await found_dead_after(connection) <= FOUND_WITHIN_S
        await sending

    linked(listen, test)


def test_a_link_that_is_only_quiet_lives_on():
    async def test(connection: Connection, _: Wall, faults: Faults) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await connection.receive()

        await connection.send(wire.SessionEnd())

    linked(listen, test)


def test_a_link_with_a_slow_round_trip_lives_on():
    async def slow(socket: ServerConnection) -> None:
        while True:
            await asyncio.sleep(8.5)  # never in time for one ping, always in time for the limit
            await socket.send('{"type": "input.speech.started"}')

    async def test(connection: Connection, _: Wall, faults: Faults) -> None:
        heard = [await connection.receive() for _ in range(10)]

        assert heard == [wire.SpeechStarted()] * 10

    linked(slow, test)


def test_closing_a_dead_link_does_not_wait_for_it():
    async def test(connection: Connection, wall: Wall, _: Faults) -> None:
        wall.fall_silent()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                while True:  # until the buffers are full
                    await connection.send(CHUNK)
        began_s = asyncio.get_running_loop().time()

        await connection.close()

        assert asyncio.get_running_loop().time() - began_s <= 1.0
        assert await connection.receive() is None

    linked(listen, test)


def test_a_link_that_talks_is_not_pinged():
    pings: list[float] = []

    async def watched(socket: ServerConnection) -> None:
        def count(*_: object) -> None:
            pings.append(asyncio.get_running_loop().time())

        take = socket.protocol.recv_frame
        socket.protocol.recv_frame = lambda frame: (  # type: ignore[method-assign]
            count() if frame.opcode is Opcode.PING else None,
            take(frame),
        )[1]
        for _ in range(60):
            await socket.send('{"type":"input.speech.started"}')
            await asyncio.sleep(0.5)
        await socket.wait_closed()

    async def test(connection: Connection, _: Wall, __: Faults) -> None:
        receiving = asyncio.create_task(found_dead_after(connection))
        await asyncio.sleep(29.0)
        while_it_talked = list(pings)
        await asyncio.sleep(12.0)
        receiving.cancel()

        assert not while_it_talked
        assert pings

    linked(watched, test)


def test_an_oversized_frame_is_skipped_and_the_session_lives_on():
    async def shout(socket: ServerConnection) -> None:
        await socket.send(json.dumps({"type": "transcript.user", "text": "x" * (2**24 + 1)}))
        await socket.send('{"type": "input.speech.started"}')
        await socket.wait_closed()

    async def test(connection: Connection, _: Wall, faults: Faults) -> None:
        assert await connection.receive() == wire.SpeechStarted()
        assert faults.counts == {"oversized frame": 1}

    linked(shout, test)


@pytest.mark.parametrize(
    ("frame", "code", "kind"),
    [
        ("x" * (2**25 + 1), 1009, "oversized frame"),
        (b"\xff\xfe", 1007, "text that is not UTF-8"),
    ],
    ids=["larger than any memory should be", "not even text"],
)
def test_what_the_library_must_close_for_is_counted_and_a_drop(frame: str | bytes, code: int, kind: str):
    async def shout(socket: ServerConnection) -> None:
        await socket.send(frame, text=True)
        await socket.wait_closed()

    async def test(connection: Connection, _: Wall, faults: Faults) -> None:
        assert await connection.receive() is None
        assert connection.close_code == code
        assert faults.counts == {kind: 1}

    linked(shout, test)


def test_odd_frames_are_counted_and_survived():
    frames: list[str | bytes] = ["{", "[]", b"\x00", '{"type": "new"}', '{"type": "tool.call"}']

    async def babble(socket: ServerConnection) -> None:
        for frame in frames * 2:
            await socket.send(frame)
        await socket.send('{"type": "input.speech.started"}')
        await socket.wait_closed()

    async def test(connection: Connection, _: Wall, faults: Faults) -> None:
        assert await connection.receive() == wire.SpeechStarted()
        assert set(faults.counts.values()) == {2}
        assert len(faults.counts) == len(frames)

    linked(babble, test)
