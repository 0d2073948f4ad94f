"""Mistakes of our own: the daemon ends, and no session is left open behind it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pivoice.turn.events import HushAsked, WakeAsked
from pivoice.turn.states import State
from tests.support.world import World, live

TOML = '[wake]\nengine = "none"\n'


class MistakeError(Exception):
    pass


async def in_a_conversation(world: World) -> None:
    await world.ask("wake")
    await world.until(lambda: world.has("session", state="ready"), 10)


def ended_properly(world: World) -> bool:
    return world.agent.kinds("client")[-1] == "session.end"


def test_a_turn_machine_that_fails_ends_the_session_and_the_daemon(tmp_path: Path):
    seen: list[bool] = []

    async def main(world: World) -> None:
        await in_a_conversation(world)

        def step(event: object) -> None:
            raise MistakeError

        world.daemon.turn.step = step  # type: ignore[method-assign, assignment]
        world.daemon.post(HushAsked())
        await asyncio.wait([world._running], timeout=5)

        seen.extend([ended_properly(world), world.agent.open_sockets == 0, world._running.done()])

    with pytest.raises(MistakeError):
        live(main, tmp_path, toml=TOML)
    assert seen == [True, True, True]


def test_a_watchdog_that_fails_ends_the_session_and_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    seen: list[bool] = []

    async def feed(_: object) -> None:
        await asyncio.sleep(5)
        raise MistakeError

    monkeypatch.setattr("pivoice.watchdog.PartsWatch.run", feed)

    async def main(world: World) -> None:
        await in_a_conversation(world)
        await asyncio.wait([world._running], timeout=10)
        seen.extend([ended_properly(world), world.agent.open_sockets == 0])

    with pytest.raises(MistakeError):
        live(main, tmp_path, toml=TOML)
    assert seen == [True, True]


def test_a_daemon_that_is_cancelled_ends_the_session(tmp_path: Path):
    seen: list[bool] = []

    async def main(world: World) -> None:
        await in_a_conversation(world)
        world._running.cancel()
        await asyncio.wait([world._running], timeout=5)
        seen.extend([ended_properly(world), world.agent.open_sockets == 0])

    with pytest.raises(asyncio.CancelledError):
        live(main, tmp_path, toml=TOML)
    assert seen == [True, True]


def test_a_room_that_cannot_even_be_silenced_does_not_keep_the_session_open(tmp_path: Path):
    seen: list[bool] = []

    async def main(world: World) -> None:
        await in_a_conversation(world)
        mouth, stop = world.daemon.mouth, world.daemon.mouth.stop

        def fail() -> None:
            stop()
            world.daemon.ears.stop()
            raise MistakeError

        mouth.stop = fail  # type: ignore[method-assign]
        world.supervisor.stop()
        await asyncio.wait([world._running], timeout=10)
        seen.extend([ended_properly(world), world.agent.open_sockets == 0])

    with pytest.raises(MistakeError):
        live(main, tmp_path, toml=TOML)
    assert seen == [True, True]


def test_a_wake_word_heard_while_everything_closes_opens_no_session(tmp_path: Path):
    async def main(world: World) -> None:
        mouth, stop = world.daemon.mouth, world.daemon.mouth.stop

        def stop_and_hear() -> None:
            stop()
            world.daemon.post(WakeAsked())

        mouth.stop = stop_and_hear  # type: ignore[method-assign]
        world.supervisor.stop()
        await world._running

        assert world.daemon.turn.state is State.IDLE
        assert not world.agent.connections

    live(main, tmp_path, toml=TOML)
