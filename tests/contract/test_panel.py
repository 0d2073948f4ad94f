"""What every panel keeps, the one on the header and the simulated one: whole hands on its buttons."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import gpiozero
import pytest
from gpiozero.pins.mock import MockFactory, MockPWMPin

from pivoice.clock import Clock
from pivoice.config import ButtonConfig, PanelConfig
from pivoice.hands import Hands
from pivoice.panel.panel import MUTE_SWITCH, Edge, Panel, open_panel
from pivoice.panel.patterns import PATTERNS
from pivoice.panel.simulated import SimulatedPanel
from pivoice.simulation import JumpLoop, run_jumping
from pivoice.turn.events import (
    ButtonPressed,
    HushAsked,
    MuteChanged,
    MuteSwitched,
    TalkPressed,
    TalkReleased,
)

SOON_S = 5.0
CONFIG = PanelConfig(
    button=[
        ButtonConfig(22, press="push_to_talk", pressed="high"),
        ButtonConfig(23, double="hush"),
        ButtonConfig(24, press="volume_up"),
    ],
    mute_switch_pin=25,
)
MAIN, TALK, DOUBLE, VOLUME = range(4)


@dataclass
class Bench:
    """A panel, fingers, and what came of them."""

    panel: Panel
    finger: Callable[[int, bool], None]
    """Moves a button (or the switch) by its index: down, or up."""
    came: asyncio.Queue[object] = field(default_factory=asyncio.Queue)

    async def comes(self) -> object:
        async with asyncio.timeout(SOON_S):
            return await self.came.get()

    async def nothing_comes(self) -> None:
        await asyncio.sleep(3.0)
        assert self.came.empty(), self.came.get_nowait()


def simulated(clock: Clock, take: Callable[[Edge], None]) -> tuple[Panel, Callable[[int, bool], None]]:
    panel = SimulatedPanel(CONFIG, clock=clock, take=take, levels=lambda: (-120.0, -120.0))

    def finger(button: int, is_down: bool) -> None:
        if button == MUTE_SWITCH:
            panel.switch(is_down)
        elif is_down:
            panel.down(button)
        else:
            panel.up(button)

    return panel, finger


def on_pins(
    factory: MockFactory, clock: Clock, take: Callable[[Edge], None]
) -> tuple[Panel, Callable[[int, bool], None]]:
    panel = open_panel(CONFIG, clock=clock, take=take, levels=lambda: (-120.0, -120.0))

    def finger(button: int, is_down: bool) -> None:
        number, level = (25, "low") if button == MUTE_SWITCH else _wiring(button)
        pin = factory.pin(number)
        if pin.function == "input":
            pin.drive_high() if is_down == (level == "high") else pin.drive_low()

    return panel, finger


def _wiring(button: int) -> tuple[int, str]:
    return CONFIG.buttons[button].pin, CONFIG.buttons[button].pressed


Use = Callable[[Callable[[Bench], Awaitable[None]]], None]


@pytest.fixture(params=["simulated", "gpio"])
def use(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Use]:
    """Runs what a test does with a bench, on a loop."""
    factory = MockFactory(pin_class=MockPWMPin)
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "mock")
    monkeypatch.setattr(gpiozero.Device, "pin_factory", factory)
    make: Any = simulated if request.param == "simulated" else functools.partial(on_pins, factory)

    def used(main: Callable[[Bench], Awaitable[None]]) -> None:
        run_jumping(lambda loop: _lived(loop, make, main))

    yield used
    factory.close()


async def _lived(loop: JumpLoop, make: Any, main: Callable[[Bench], Awaitable[None]]) -> None:
    came: asyncio.Queue[object] = asyncio.Queue()
    hands = Hands(
        CONFIG,
        post=came.put_nowait,
        is_ringing=lambda: False,
        is_muted=lambda: False,
        change_volume=came.put_nowait,
        run_tool=lambda name, arguments: None,
    )
    panel, finger = make(loop.clock, lambda edge: loop.call_soon_threadsafe(hands.take, edge))
    try:
        await main(Bench(panel, finger, came))
    finally:
        panel.close()
        hands.close()


async def press(bench: Bench, button: int, for_s: float = 0.1) -> None:
    bench.finger(button, True)
    await asyncio.sleep(for_s)
    bench.finger(button, False)
    await asyncio.sleep(0.1)


def test_a_short_press_is_told_once(use: Use):
    async def main(bench: Bench) -> None:
        await press(bench, MAIN)

        assert await bench.comes() == ButtonPressed()
        await bench.nothing_comes()

    use(main)


def test_a_hold_is_told_once_while_it_lasts_and_is_no_press(use: Use):
    async def main(bench: Bench) -> None:
        bench.finger(MAIN, True)
        assert await bench.comes() == MuteChanged(on=True)
        bench.finger(MAIN, False)

        await bench.nothing_comes()

    use(main)


def test_a_press_after_a_hold_counts(use: Use):
    async def main(bench: Bench) -> None:
        await press(bench, MAIN, 2.0)
        await press(bench, MAIN)

        assert [await bench.comes(), await bench.comes()] == [MuteChanged(on=True), ButtonPressed()]

    use(main)


def test_a_double_press_is_told_and_its_halves_are_not(use: Use):
    async def main(bench: Bench) -> None:
        await press(bench, DOUBLE)
        await press(bench, DOUBLE)

        assert await bench.comes() == HushAsked()
        await bench.nothing_comes()

    use(main)


def test_a_press_that_no_other_follows_is_a_press(use: Use):
    async def main(bench: Bench) -> None:
        await press(bench, DOUBLE)

        assert await bench.comes() == ButtonPressed()
        await bench.nothing_comes()

    use(main)


def test_talking_lasts_from_down_to_up_with_a_button_to_3_volts_too(use: Use):
    async def main(bench: Bench) -> None:
        bench.finger(TALK, True)
        assert await bench.comes() == TalkPressed()
        await bench.nothing_comes()
        bench.finger(TALK, False)

        assert await bench.comes() == TalkReleased()

    use(main)


def test_each_button_does_its_own(use: Use):
    async def main(bench: Bench) -> None:
        await press(bench, VOLUME)
        await press(bench, MAIN)

        assert [await bench.comes(), await bench.comes()] == [1, ButtonPressed()]

    use(main)


def test_a_switch_is_a_level_at_opening_and_later(use: Use):
    async def main(bench: Bench) -> None:
        assert bench.panel.is_switched is False
        bench.finger(MUTE_SWITCH, True)
        assert await bench.comes() == MuteSwitched(on=True)
        await bench.nothing_comes()
        bench.finger(MUTE_SWITCH, False)

        assert await bench.comes() == MuteSwitched(on=False)

    use(main)


def test_every_pattern_can_be_shown_and_replaced(use: Use):
    async def main(bench: Bench) -> None:
        for pattern in PATTERNS.values():
            bench.panel.show(pattern)

    use(main)


def test_closing_twice_and_showing_afterwards_are_harmless(use: Use):
    async def main(bench: Bench) -> None:
        bench.panel.show(PATTERNS["listening"])

        bench.panel.close()
        bench.panel.close()
        bench.panel.show(PATTERNS["muted"])

    use(main)


def test_nothing_is_told_after_closing(use: Use):
    async def main(bench: Bench) -> None:
        bench.panel.close()

        await press(bench, VOLUME)
        bench.finger(MUTE_SWITCH, True)

        await bench.nothing_comes()

    use(main)
