"""What waited while the session was made arrives whole, in order, and no faster than it is taken."""

from __future__ import annotations

import asyncio
import contextlib
from itertools import pairwise

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection, serve

from pivoice.agent import wire
from pivoice.agent.connection import Faults, open_connection
from pivoice.agent.pacing import Sender
from pivoice.agent.simulated import Plan, Turn
from pivoice.audio.buffers import Uplink
from pivoice.simulation import JumpLoop, run_jumping
from pivoice.turn import events
from tests.agent.scene import PERIOD, RATE_HZ, Scene, noise, scene, settle, tone


@pytest.mark.parametrize("ready_s", [0.0, 0.4, 2.0, 5.0])
def test_every_sample_from_the_first_on_arrives(ready_s: float):
    async def main(loop: JumpLoop) -> None:
        s = Scene(loop, Plan(turns=[Turn(tone(1.0))], ready_delay_s=ready_s, deaf=True), {})
        await s.set_up()
        spoken = noise(6.0)
        s.session.open(1)

        s.speak(spoken)
        await settle(14.0)

        received = s.received()
        await s.tear_down()
        assert np.array_equal(received[: len(spoken)], spoken)
        assert not received[len(spoken) :].any()
        assert s.uplink.dropped_frames == 0

    run_jumping(main)


@scene(ready_delay_s=3.0, deaf=True)
async def test_a_backlog_is_sent_at_the_catch_up_rate_and_then_live(s: Scene):
    s.session.open(1)
    s.speak(noise(10.0))
    await s.event(events.SessionReady)
    began_s = s.loop.time()

    await settle(6.0)

    in_first_two_s = sum(size for time_s, size in s.agent.session.arrivals if time_s < began_s + 2.0)
    in_last_two_s = sum(size for time_s, size in s.agent.session.arrivals if time_s >= began_s + 4.0)
    assert in_first_two_s / 2 / RATE_HZ == pytest.approx(4.0, abs=0.1)  # 2 x real time
    assert in_last_two_s / 2 / RATE_HZ == pytest.approx(2.0, abs=0.1)
    assert s.uplink.queued_s < 0.08


@scene(ready_delay_s=0.2, deaf=True, config={"catch_up_rate": 4.0})
async def test_the_catch_up_rate_is_a_setting(s: Scene):
    for _ in range(200):
        s.uplink.put(noise(0.02))
    s.session.open(1)
    await s.event(events.SessionReady)
    began_s = s.loop.time()

    await settle(0.5)

    assert len(s.received()) / RATE_HZ == pytest.approx(2.0, abs=0.1)
    assert s.agent.session.arrivals[-1][0] < began_s + 0.51


@scene(ready_delay_s=0.1, deaf=True)
async def test_live_audio_goes_out_within_a_chunk(s: Scene):
    await s.ready()

    s.speak(noise(3.0))
    await settle(3.0)

    times = [time_s for time_s, _ in s.agent.session.arrivals]
    assert all(later - earlier == pytest.approx(0.04, abs=0.001) for earlier, later in pairwise(times))
    assert {size for _, size in s.agent.session.arrivals} == {2 * 2 * PERIOD}


@scene(ready_delay_s=4.0, deaf=True, max_rate=1.0)
async def test_a_server_that_drops_what_comes_too_fast_gets_it_again(s: Scene):
    spoken = noise(8.0)
    s.session.open(1)

    s.speak(spoken)
    await settle(25.0)

    received = s.received()
    assert s.session.status()["sent_again"] == 1
    assert contains(received, spoken[: RATE_HZ // 2])
    missing = [at for at in range(0, len(spoken), 960) if not contains(received, spoken[at : at + 960])]
    assert not missing, f"{len(missing)} chunks never arrived"


@scene(ready_delay_s=4.0, deaf=True, max_rate=1.0)
async def test_the_lag_that_such_a_server_leaves_is_worked_off_in_the_pauses(s: Scene):
    first, second = noise(3.0, seed=1), noise(1.0, seed=2)
    pause = np.zeros(12 * RATE_HZ, np.int16)
    s.session.open(1)

    s.speak(np.concatenate([first, pause, second]))
    await settle(3.0 + 12.0 + 1.0 + 0.7)

    received = s.received()
    assert contains(received, second), "the words after the pause are late still"
    assert contains(received, first[-960:])
    assert s.session.status()["sent_again"] >= 1


@scene(ready_delay_s=0.1, deaf=True)
async def test_after_a_stall_nothing_is_sent_in_a_burst(s: Scene):
    await s.ready()
    s.speak(noise(1.0))
    await settle(1.0)
    for _ in range(100):  # two seconds at once: a thread that was held up
        s.uplink.put(noise(0.02))
    began_s = s.loop.time()

    await settle(0.5)

    sent = sum(size for time_s, size in s.agent.session.arrivals if time_s >= began_s)
    assert sent / 2 / RATE_HZ <= 0.5 * 2.0 + 0.1


@scene(deaf=True)
async def test_no_audio_leaves_before_the_session_is_ready_or_after_it_ended(s: Scene):
    s.speak(noise(5.0))
    s.session.open(1)
    await s.event(events.SessionReady)
    await settle(1.0)

    s.session.end()
    await settle(2.0)

    assert s.agent.kinds("client") == ["session.update", "session.end"]  # a violation would fail the scene
    assert s.uplink.queued_s > 1.0  # nobody takes it: the valve is the daemon's to close


def contains(haystack: np.ndarray, needle: np.ndarray) -> bool:
    return needle.tobytes() in haystack.tobytes()


@scene(deaf=True)
async def test_audio_of_another_thread_wakes_the_sender(s: Scene):
    await s.ready()
    await settle(1.0)

    await asyncio.to_thread(s.uplink.put, noise(0.2))
    await settle(0.2)

    assert len(s.received()) == round(0.2 * RATE_HZ)


class DeadLink:
    """A connection that swallows everything after `alive_bytes` without a word."""

    def __init__(self, alive_bytes: int) -> None:
        self.got: list[bytes] = []
        self._alive_bytes = alive_bytes
        self._sent = 0

    async def send(self, message: wire.InputAudio) -> None:
        self.got.append(message.audio)
        self._sent += len(message.audio)

    def progress(self) -> tuple[int, int]:
        return self._sent, min(self._sent, self._alive_bytes)


def test_what_a_dead_link_swallowed_is_sent_again_on_the_next_one():
    async def main(loop: JumpLoop) -> None:
        uplink, spoken = Uplink(capacity_s=10), noise(4.0)
        sender = Sender(uplink, catch_up_rate=8.0, now_s=loop.time)
        uplink.on_ready = sender.wake
        dead, alive = DeadLink(alive_bytes=RATE_HZ * 2), DeadLink(alive_bytes=10**9)
        for link, part in ((dead, spoken[: 3 * RATE_HZ]), (alive, spoken[3 * RATE_HZ :])):
            uplink.put(part)
            sending = asyncio.create_task(sender.run(link))  # type: ignore[arg-type]
            await settle(2.0)
            sending.cancel()
            sender.lose_link()
        assert b"".join(alive.got) == spoken[RATE_HZ:].tobytes()

    run_jumping(main)


def test_bytes_that_the_other_end_does_not_take_are_not_acknowledged():
    async def main(_: JumpLoop) -> tuple[int, int]:
        async def deaf(socket: ServerConnection) -> None:
            await asyncio.sleep(60)

        async with serve(deaf, "127.0.0.1", 0, max_queue=1) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            link = await open_connection(f"ws://127.0.0.1:{port}", key="", token_url="", faults=Faults())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    while True:
                        await link.send(wire.InputAudio(bytes(48_000)))
            progress = link.progress()
            link.abort()
        return progress

    sent, acknowledged = run_jumping(main)

    assert 0 < acknowledged < sent
