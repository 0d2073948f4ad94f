"""Sounds of the device's own that the owner switched off, in the whole device."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pivoice.audio.earcons import NAMES
from pivoice.turn.events import TimerRang
from tests.support.world import World, live
from tests.world.test_hands import panel_of

OFF = "[audio.earcons]\n" + "".join(f'{name} = "off"\n' for name in NAMES)


def test_nothing_sounds_where_every_sound_is_switched_off(tmp_path: Path):
    async def main(world: World) -> None:
        await asyncio.sleep(1)
        begun_s = world.loop.time()
        for command in ("wake", "stop", "mute", "wake", "unmute"):
            await world.ask(command)
            await asyncio.sleep(0.6)
        await world.ask("volume", value=90)
        world.daemon.post(TimerRang("eggs"))
        await asyncio.sleep(9)
        assert panel_of(world).shown[-1].name == "ringing"

        assert not world.heard(begun_s, world.loop.time() - 0.1).any()

    live(main, tmp_path, toml=OFF)
