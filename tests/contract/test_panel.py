"""What every panel keeps, the one on the header and the simulated one."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from gpiozero.pins.mock import MockFactory, MockPWMPin

from pivoice.config import PanelConfig
from pivoice.panel.gpio import GpioPanel
from pivoice.panel.panel import Panel
from pivoice.panel.patterns import PATTERNS
from pivoice.panel.simulated import SimulatedPanel
from pivoice.turn.events import ButtonPressed, Event

CONFIG = PanelConfig(long_press_s=0.3)
SOON_S = 5.0


@dataclass
class Bench:
    """A panel, fingers, and what they caused."""

    panel: Panel
    press: Callable[[], None]
    hold: Callable[[], None]
    posted: queue.Queue[Event] = field(default_factory=queue.Queue)
    long_presses: queue.Queue[None] = field(default_factory=queue.Queue)


def simulated_bench() -> Bench:
    posted: queue.Queue[Event] = queue.Queue()
    held: queue.Queue[None] = queue.Queue()
    panel = SimulatedPanel(CONFIG, post=posted.put, on_long_press=lambda: held.put(None))
    return Bench(panel, panel.press, panel.hold, posted, held)


def gpio_bench() -> Bench:
    factory = MockFactory(pin_class=MockPWMPin)
    posted: queue.Queue[Event] = queue.Queue()
    held: queue.Queue[None] = queue.Queue()
    was_held = threading.Event()

    def on_long_press() -> None:
        held.put(None)
        was_held.set()

    panel = GpioPanel(CONFIG, post=posted.put, on_long_press=on_long_press, pin_factory=factory)

    def move(up: bool) -> None:
        pin = factory.pin(17)
        if pin.function == "input":
            pin.drive_high() if up else pin.drive_low()

    def press() -> None:
        move(False)
        move(True)

    def hold() -> None:
        move(False)
        was_held.wait(SOON_S)
        move(True)

    return Bench(panel, press, hold, posted, held)


@pytest.fixture(params=[simulated_bench, gpio_bench], ids=["simulated", "gpio"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    made: Bench = request.param()
    yield made
    made.panel.close()


def test_a_short_press_is_posted_once(bench: Bench) -> None:
    bench.press()

    assert bench.posted.get(timeout=SOON_S) == ButtonPressed()
    assert bench.posted.empty()
    assert bench.long_presses.empty()


def test_a_long_press_is_told_once_and_posts_nothing(bench: Bench) -> None:
    bench.hold()

    bench.long_presses.get(timeout=SOON_S)
    assert bench.long_presses.empty()
    assert bench.posted.empty()


def test_a_short_press_after_a_long_one_counts(bench: Bench) -> None:
    bench.hold()

    bench.press()

    assert bench.posted.get(timeout=SOON_S) == ButtonPressed()


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_every_pattern_can_be_shown_and_replaced(bench: Bench, name: str) -> None:
    bench.panel.show(PATTERNS[name])
    bench.panel.show(PATTERNS["idle"])


def test_closing_twice_and_showing_afterwards_are_harmless(bench: Bench) -> None:
    bench.panel.show(PATTERNS["listening"])

    bench.panel.close()
    bench.panel.close()
    bench.panel.show(PATTERNS["muted"])


def test_a_press_after_closing_is_not_posted(bench: Bench) -> None:
    bench.panel.close()

    bench.press()

    assert bench.posted.empty()
