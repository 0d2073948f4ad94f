"""How loud it is, in the whole device: what the light is told, and a part that takes another's place."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from pivoice.audio.meter import DIGITAL_SILENCE_DB
from tests.audio.fakes import tone
from tests.support.world import World, answering, live

SILENCE = DIGITAL_SILENCE_DB, DIGITAL_SILENCE_DB
TONE = tone(0.5, 24_000, peak=1000)
BUTTON = '[wake]\nengine = "none"\n'


async def loudest(world: World, seconds: float) -> tuple[float, float]:
    """Return the loudest that the light is told of microphone and speaker in that time."""
    found = []
    for _ in range(round(seconds / 0.05)):
        found.append(world.daemon.sound.levels())
        await asyncio.sleep(0.05)
    return max(each[0] for each in found), max(each[1] for each in found)


def test_the_light_is_told_how_loud_both_ends_are_while_a_conversation_is_open(tmp_path: Path):
    async def main(world: World) -> None:
        await asyncio.sleep(1)
        assert await loudest(world, 0.5) == SILENCE

        await world.ask("wake")
        await world.reach("listening")
        world.say("user_weather", at_s=world.loop.time() + 2)
        await asyncio.sleep(2)
        microphone_db, speaker_db = await loudest(world, 1)
        assert -40 < microphone_db < 0
        assert speaker_db == DIGITAL_SILENCE_DB

        await world.reach("speaking")
        assert -40 < (await loudest(world, 1))[1] < 0

        await world.ask("stop")
        await world.reach("idle")
        assert world.daemon.sound.levels() == SILENCE

    live(main, tmp_path, toml=BUTTON, plan=answering("agent_short"))


def test_ears_and_a_mouth_that_take_the_place_of_others_are_as_loud(tmp_path: Path):
    async def main(world: World) -> None:
        sound = world.daemon.sound
        await world.ask("volume", value=40)
        await asyncio.sleep(1)
        sound._renew_mouth(15.0)
        await asyncio.sleep(1)
        said_s = world.loop.time()
        sound.mouth.chime("wake")
        await asyncio.sleep(1)
        peak = int(np.abs(world.heard(said_s, said_s + 1).astype(int)).max())
        assert 0 < peak <= 0.4**3 * 32768

        heard = []
        for gain in (50, 80):
            await world.ask("gain", value=gain)
            await world.ask("wake")
            await world.reach("listening")
            sound._renew_ears(15.0)
            await world.until(lambda: world.daemon.seen.hears, 5)
            world.say(TONE)
            heard.append((await loudest(world, 1))[0])
            await world.ask("stop")
            await world.reach("idle")
        assert heard[1] - heard[0] == pytest.approx(18, abs=0.5)

    live(main, tmp_path, toml=BUTTON)
