"""A detector whose code never returns: another ear takes its place, and hears what the first one heard."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pivoice.simulation import JumpLoop, run_jumping
from tests.support.soak.ground import SoakWorld, wake_word
from tests.support.soak.promises import Promises
from tests.support.world import answering


def test_an_ear_that_took_the_place_of_one_that_hung_hears_the_wake_word_at_once(tmp_path: Path):
    async def main(loop: JumpLoop) -> None:
        promises = Promises(loop.time)
        world = SoakWorld(loop, tmp_path, seed=1, plan=answering("agent_short"), promises=promises)
        await world.set_up()
        await asyncio.sleep(60)
        world.speak(wake_word())
        await world.reach("listening", 3)  # decided, at a position that the new ear has yet to reach
        await world.reach("idle", 20)

        world.jam.arm()
        world.speak(wake_word())
        await world.becomes(lambda: world.restarts == 1, 30)
        await world.becomes(lambda: world.hears, 5)
        await asyncio.sleep(2)
        world.speak(wake_word())

        assert await world.becomes(lambda: world.state == "listening", 3)
        world.jam.release()
        await world.tear_down()

    run_jumping(main)


def test_a_reload_while_a_detector_hangs_does_not_leave_the_card_to_the_thread_that_hangs(tmp_path: Path):
    async def main(loop: JumpLoop) -> None:
        promises = Promises(loop.time)
        world = SoakWorld(loop, tmp_path, seed=1, plan=answering("agent_short"), promises=promises)
        await world.set_up()
        await asyncio.sleep(60)
        before = world.daemon
        world.jam.arm()
        world.speak(wake_word())
        await world.becomes(lambda: world.jam.has_struck, 5)

        await world.ask("reload")
        await world.becomes(lambda: world.daemon is not before, 10)
        hears = await world.becomes(lambda: world.hears, 5)

        world.jam.release()
        await world.tear_down()
        assert hears, "the microphone is busy for as long as the old thread hangs"

    run_jumping(main)
