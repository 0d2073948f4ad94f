"""No light but muted's stands still: every driver, by day and dimmed far, soft voices and loud."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from gpiozero.pins.mock import MockFactory, MockPWMPin

from pivoice.config import PanelConfig
from pivoice.panel.apa102 import Apa102
from pivoice.panel.gpio_lights import DimmedLed, Lamp, RgbLed
from pivoice.panel.lights import Light, Lights, Moment
from pivoice.panel.patterns import PATTERNS
from pivoice.panel.spi import SimulatedSpi
from pivoice.panel.ws2812 import Sk6812, Ws2812
from pivoice.simulation import JumpClock, JumpLoop, run_jumping

DRIVERS: dict[str, Callable[[PanelConfig], Light]] = {
    "led": lambda config: Lamp(config, factory=MockFactory(pin_class=MockPWMPin)),
    "pwm": lambda config: DimmedLed(config, factory=MockFactory(pin_class=MockPWMPin)),
    "rgb": lambda config: RgbLed(config, factory=MockFactory(pin_class=MockPWMPin)),
    "apa102": lambda config: Apa102(config, open_spi=SimulatedSpi),
    "ws2812": lambda config: Ws2812(config, open_spi=SimulatedSpi),
    "sk6812": lambda config: Sk6812(config, open_spi=SimulatedSpi),
}
MOVING = sorted(name for name, each in PATTERNS.items() if each.style not in ("off", "solid"))
STILL_S = 4.0  # a fault's flashes come that often, and nothing moves less


@dataclass
class Watched:
    """A light, and when it changed."""

    light: Light
    clock: JumpClock
    changed_s: list[float] = field(default_factory=list)

    def frame(self, moment: Moment) -> bytes:
        return self.light.frame(moment)

    def write(self, frame: bytes) -> None:
        self.light.write(frame)
        self.changed_s.append(self.clock.now_s)

    def close(self) -> None:
        self.light.close()


def changes(config: PanelConfig, driver: str, name: str, level_db: float) -> list[float]:
    """Return when a light changed in a quarter of a minute of one pattern."""

    async def main(loop: JumpLoop) -> list[float]:
        watched: list[Watched] = []

        def opened(given: PanelConfig) -> Light:
            watched.append(Watched(DRIVERS[driver](given), loop.clock))
            return watched[-1]

        lights = Lights(
            config, clock=loop.clock, levels=lambda: (level_db, level_db), devices={driver: opened}
        )
        lights.show(PATTERNS[name])
        await asyncio.sleep(15)
        lights.close()
        return watched[0].changed_s

    return run_jumping(main)


@pytest.mark.parametrize("level_db", [-60.0, -25.0, -10.0])
@pytest.mark.parametrize("brightness", [100, 20, 10, 1])
@pytest.mark.parametrize("driver", sorted(DRIVERS))
def test_what_is_not_muted_moves_however_far_it_is_dimmed(
    driver: str, brightness: int, level_db: float
) -> None:
    config = PanelConfig(
        light=driver,  # type: ignore[arg-type]
        brightness=brightness,
        red_pin=5,
        green_pin=6,
        blue_pin=13,
    )

    for name in MOVING:
        times = [0.0, *changes(config, driver, name, level_db), 15.0]

        longest_s = max(after - before for before, after in itertools.pairwise(times))
        assert longest_s <= STILL_S + 0.1, f"{name} stands still for {longest_s:.1f} s"


def test_a_state_whose_colour_is_nearly_dark_moves() -> None:
    config = PanelConfig(light="rgb", red_pin=5, green_pin=6, blue_pin=13, colours={"listening": "#200000"})

    times = [0.0, *changes(config, "rgb", "listening", -60.0), 15.0]

    assert max(after - before for before, after in itertools.pairwise(times)) < STILL_S
