"""The panel of the header, on gpiozero's mock pins, in the whole device."""

from __future__ import annotations

import asyncio
from pathlib import Path

import gpiozero
import pytest
from gpiozero.pins.mock import MockFactory, MockPWMPin

from pivoice.panel.header import HeaderPanel
from pivoice.panel.panel import PANELS
from tests.support.world import World, live


def test_pins_work_after_a_reload_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    header = MockFactory(pin_class=MockPWMPin)
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "mock")
    monkeypatch.setattr(gpiozero.Device, "pin_factory", header)
    monkeypatch.setitem(PANELS, "simulated", PANELS["gpio"])

    async def press_and_see(world: World) -> None:
        assert isinstance(world.daemon.panel, HeaderPanel)
        header.pin(17).drive_low()
        await asyncio.sleep(0.1)
        header.pin(17).drive_high()
        await world.reach("listening")
        await asyncio.sleep(1.0)
        assert header.pin(27).state > 0
        await world.ask("stop")
        await world.reach("idle")
        await asyncio.sleep(1.0)
        assert header.pin(27).state == 0

    async def main(world: World) -> None:
        await press_and_see(world)
        before = world.daemon
        assert "error" not in await world.ask("reload")
        await world.until(lambda: world.daemon is not before and world.daemon.ears.beats > 0, 10)
        await press_and_see(world)

        header.pin(24).drive_low()
        await asyncio.sleep(1.0)

        assert not world.daemon.ears.is_open
        assert header.pin(27).state == 1.0

    live(main, tmp_path, toml="[panel]\nmute_switch_pin = 24\n")
    header.close()
