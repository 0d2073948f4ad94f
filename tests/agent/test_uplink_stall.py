"""A link that takes nothing: the voice waits, bounded, and goes up once it can."""

from __future__ import annotations

import asyncio
import base64
import json
import logging

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection, serve

from pivoice.agent import wire
from pivoice.agent.connection import Faults, open_connection
from pivoice.agent.pacing import BACKLOG_S, CHUNK_FRAMES, CHUNK_S, IN_FLIGHT_BYTES, Sender
from pivoice.audio.buffers import Uplink
from pivoice.simulation import JumpLoop, run_jumping
from tests.agent.utterances import RATE_HZ, noise


class Tap:
    """A connection that can be turned off: then `send` waits, or the network just takes no more."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.arrived: int | None = None

    async def send(self, message: wire.InputAudio) -> None:
        await self.is_open.wait()
        self.got.append(message.audio)

    def progress(self) -> tuple[int, int]:
        sent = sum(map(len, self.got))
        return sent, sent if self.arrived is None else self.arrived


async def speak(uplink: Uplink, samples: np.ndarray) -> None:
    for start in range(0, len(samples), CHUNK_FRAMES):
        uplink.put(samples[start : start + CHUNK_FRAMES])
        await asyncio.sleep(CHUNK_S)


def make_sender(loop: JumpLoop, uplink: Uplink) -> Sender:
    sender = Sender(uplink, catch_up_rate=4.0, now_s=loop.time)
    uplink.on_ready = sender.wake
    return sender


async def run(sender: Sender, tap: Tap, seconds: float) -> None:
    sending = asyncio.create_task(sender.run(tap))  # type: ignore[arg-type]
    await asyncio.sleep(seconds)
    sending.cancel()
    await asyncio.wait([sending])


@pytest.mark.parametrize("away_s", [12.0, 25.0])
def test_a_long_connect_loses_nothing(away_s: float):
    async def main(loop: JumpLoop) -> None:
        uplink, tap = Uplink(capacity_s=6.3), Tap()
        sender, spoken = make_sender(loop, uplink), noise(away_s)

        await speak(uplink, spoken)
        await run(sender, tap, away_s)

        assert b"".join(tap.got) == spoken.tobytes()
        assert uplink.dropped_frames == sender.dropped_frames == 0

    run_jumping(main)


def test_a_blocked_send_loses_nothing():
    async def main(loop: JumpLoop) -> None:
        uplink, tap = Uplink(capacity_s=6.3), Tap()
        sender, spoken = make_sender(loop, uplink), noise(25.0)
        sending = asyncio.create_task(run(sender, tap, 60.0))
        await speak(uplink, spoken[: RATE_HZ * 2])

        tap.is_open.clear()
        await speak(uplink, spoken[RATE_HZ * 2 :])
        stalled = len(tap.got)
        tap.is_open.set()
        await sending

        assert stalled <= 51
        assert b"".join(tap.got) == spoken.tobytes()
        assert uplink.dropped_frames == sender.dropped_frames == 0

    run_jumping(main)


def test_what_the_network_does_not_take_waits_here_and_not_in_the_socket():
    async def main(loop: JumpLoop) -> None:
        uplink, tap = Uplink(capacity_s=6.3), Tap()
        sender = make_sender(loop, uplink)
        tap.arrived = 0
        sending = asyncio.create_task(run(sender, tap, 40.0))

        await speak(uplink, noise(20.0))

        assert sum(map(len, tap.got)) <= IN_FLIGHT_BYTES + CHUNK_FRAMES * 2
        tap.arrived = None
        await sending
        assert len(tap.got) == 500

    run_jumping(main)


def test_a_stall_without_end_loses_silence_first_then_the_oldest_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.WARNING)

    async def main(loop: JumpLoop) -> None:
        uplink, tap = Uplink(capacity_s=6.3), Tap()
        sender = make_sender(loop, uplink)
        first, second = noise(10.0, seed=1), noise(30.0, seed=2)

        await speak(uplink, first)
        await speak(uplink, np.zeros(10 * RATE_HZ, np.int16))
        await speak(uplink, second[: 15 * RATE_HZ])
        assert sender.dropped_frames == 0
        assert sender.dropped_silence_frames == 5 * RATE_HZ
        await speak(uplink, second[15 * RATE_HZ :])

        assert sender.status()["waiting_s"] == BACKLOG_S
        assert sender.dropped_frames > 0
        await run(sender, tap, 20.0)
        kept = b"".join(tap.got)
        assert kept.endswith(second[RATE_HZ:].tobytes())
        lost_s = (sender.dropped_frames + sender.dropped_silence_frames) / RATE_HZ
        assert lost_s == pytest.approx(50.0 - BACKLOG_S)

    run_jumping(main)

    assert len([record for record in caplog.records if "takes no sound" in record.message]) == 1


def test_a_peer_that_reads_nothing_for_a_while_gets_everything_in_the_end():
    async def main(loop: JumpLoop) -> None:
        may_read, got = asyncio.Event(), bytearray()

        async def deaf(socket: ServerConnection) -> None:
            await may_read.wait()
            async for frame in socket:
                got.extend(wire_audio(frame))

        async with serve(deaf, "127.0.0.1", 0, max_queue=1) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            link = await open_connection(f"ws://127.0.0.1:{port}", key="", token_url="", faults=Faults())
            uplink = Uplink(capacity_s=6.3)
            sender, spoken = make_sender(loop, uplink), noise(20.0)
            sending = asyncio.create_task(sender.run(link))
            await speak(uplink, spoken[: 4 * RATE_HZ])
            may_read.set()  # before the link is given up as dead
            await speak(uplink, spoken[4 * RATE_HZ :])
            await asyncio.sleep(1.0)
            sending.cancel()
            link.abort()
        assert bytes(got) == spoken.tobytes()
        assert uplink.dropped_frames == sender.dropped_frames == 0

    run_jumping(main)


def wire_audio(frame: str | bytes) -> bytes:
    return base64.b64decode(json.loads(frame)["audio"])
