"""Simulated time: jumps, threads, sockets."""

from __future__ import annotations

import asyncio
import threading

from pivoice.simulation import JumpLoop, run_jumping


def test_a_simulated_day_passes_without_being_waited_for():
    """Waiting for it would end in the time-out of the test."""

    async def main(loop: JumpLoop) -> float:
        await asyncio.sleep(86_400)
        return loop.time()

    assert run_jumping(main) >= 86_400


def test_threads_and_timers_happen_in_the_order_of_their_times():
    seen: list[tuple[str, float]] = []

    async def main(loop: JumpLoop) -> None:
        never = threading.Event()

        def ticking() -> None:
            for _ in range(3):
                loop.clock.wait(never, 0.02)
                seen.append(("tick", round(loop.clock.monotonic(), 3)))

        loop.clock.start_thread(ticking, name="ticking")
        await asyncio.sleep(0.03)
        seen.append(("timer", round(loop.time(), 3)))
        await asyncio.sleep(0.05)

    run_jumping(main)

    assert seen == [("tick", 0.02), ("timer", 0.03), ("tick", 0.04), ("tick", 0.06)]


def test_an_event_set_by_the_loop_wakes_a_thread_without_time_passing():
    async def main(loop: JumpLoop) -> float:
        door, woken = threading.Event(), asyncio.Event()
        woken_at: list[float] = []

        def sleeping() -> None:
            loop.clock.wait(door)
            woken_at.append(loop.clock.monotonic())
            loop.call_soon_threadsafe(woken.set)

        loop.clock.start_thread(sleeping, name="sleeping")
        await asyncio.sleep(5)
        door.set()
        await woken.wait()
        return woken_at[0]

    assert run_jumping(main) == 5.0


def test_a_loopback_socket_works_while_time_jumps():
    async def main(loop: JumpLoop) -> tuple[bytes, float]:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            line = await reader.readline()
            await asyncio.sleep(10)
            writer.write(line.upper())
            writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"hello\n")
        answer = await reader.readline()
        writer.close()
        server.close()
        return answer, loop.time()

    answer, seconds = run_jumping(main)

    assert answer == b"HELLO\n"
    assert 10 <= seconds < 11


def test_two_that_wait_for_less_than_the_clock_can_tell_do_not_wait_for_ever():
    """asyncio fires a timer a nanosecond early while anything else is ready: they keep each other so."""

    async def until(loop: JumpLoop, due_s: float) -> None:
        while loop.time() < due_s:  # noqa: ASYNC110 - that is what is tested
            await asyncio.sleep(due_s - loop.time())

    async def main(loop: JumpLoop) -> float:
        await asyncio.sleep(5.0)
        first = asyncio.create_task(until(loop, 5.0 + 4e-10))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # out of step: while one waits, the other is ready
        await until(loop, 5.0 + 5e-10)
        await first
        return loop.time()

    assert 5.0 < run_jumping(main) < 5.1


def test_a_thread_that_waits_alone_does_not_overtake_what_the_loop_waits_for():
    seen: list[tuple[str, float]] = []

    async def main(loop: JumpLoop) -> None:
        never, asked = threading.Event(), asyncio.Event()

        def ticking() -> None:
            for number in range(5):
                loop.clock.wait(never, 1.0)
                seen.append(("tick", loop.clock.monotonic()))
                if number == 2:
                    loop.call_soon_threadsafe(asked.set)

        loop.clock.start_thread(ticking, name="ticking")
        await asked.wait()
        seen.append(("asked", loop.time()))
        await asyncio.sleep(1.5)
        seen.append(("timer", loop.time()))

    run_jumping(main)

    ticks = [("tick", 1.0), ("tick", 2.0), ("tick", 3.0)]
    assert seen == [*ticks, ("asked", 3.0), ("tick", 4.0), ("timer", 4.5)]


def test_no_time_passes_for_a_thread_while_real_work_is_done_elsewhere():
    async def main(loop: JumpLoop) -> float:
        never, door, is_over = threading.Event(), threading.Event(), threading.Event()

        def ticking() -> None:
            loop.clock.wait(door)
            while not is_over.is_set():
                loop.clock.wait(never, 1.0)

        loop.clock.start_thread(ticking, name="ticking")
        await asyncio.sleep(0.5)
        door.set()
        await loop.run_in_executor(None, threading.Event().wait, 0.05)
        is_over.set()
        return loop.time()

    assert run_jumping(main) == 0.5
