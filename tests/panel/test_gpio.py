"""The panel on gpiozero's mock pins: edges, holding, and what the LED's pins really get."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

import pytest
from gpiozero import PWMLED, GPIOZeroError
from gpiozero.pins.mock import MockFactory, MockPWMPin

from pivoice.config import PanelConfig
from pivoice.errors import DeviceError
from pivoice.panel.gpio import GpioPanel
from pivoice.panel.patterns import PATTERNS
from pivoice.turn.events import ButtonPressed, Event

SOON_S = 5.0
RGB = PanelConfig(led_pin=None, red_pin=5, green_pin=6, blue_pin=13)


class Header:
    """A mock header, and what was told from it."""

    def __init__(self) -> None:
        self.factory = MockFactory(pin_class=MockPWMPin)
        self.posted: queue.Queue[Event] = queue.Queue()
        self.held = threading.Event()
        self.panels: list[GpioPanel] = []

    def open(self, config: PanelConfig) -> GpioPanel:
        panel = GpioPanel(config, post=self.posted.put, on_long_press=self.held.set, pin_factory=self.factory)
        self.panels.append(panel)
        return panel

    def pin(self, number: int) -> MockPWMPin:
        return self.factory.pin(number)

    def levels(self, *numbers: int) -> list[float]:
        return [self.pin(number).state for number in numbers]


@pytest.fixture
def header() -> Iterator[Header]:
    made = Header()
    yield made
    for panel in made.panels:
        panel.close()
    made.factory.close()


def test_a_short_press_is_posted_on_release(header: Header) -> None:
    header.open(PanelConfig())

    header.pin(17).drive_low()
    assert header.posted.empty()
    header.pin(17).drive_high()

    assert header.posted.get(timeout=SOON_S) == ButtonPressed()
    assert not header.held.is_set()


def test_a_long_press_is_told_while_still_held_and_its_release_is_not_a_press(header: Header) -> None:
    header.open(PanelConfig(long_press_s=0.3))

    header.pin(17).drive_low()
    assert header.held.wait(SOON_S)
    header.pin(17).drive_high()

    assert header.posted.empty()


def test_a_button_that_was_down_from_the_start_is_not_a_press(header: Header) -> None:
    header.open(PanelConfig()).close()
    header.pin(17).drive_low()
    header.open(PanelConfig())

    header.pin(17).drive_high()

    assert header.posted.empty()


def test_steady_and_dark_reach_the_pin_at_once(header: Header) -> None:
    panel = header.open(PanelConfig())

    panel.show(PATTERNS["muted"])
    assert header.levels(27) == [1.0]
    panel.show(PATTERNS["idle"])

    assert header.levels(27) == [0.0]


def test_an_rgb_led_shows_mute_in_red(header: Header) -> None:
    panel = header.open(RGB)

    panel.show(PATTERNS["muted"])

    assert header.levels(5, 6, 13) == [1.0, 0.0, 0.0]


class Recording(MockPWMPin):  # type: ignore[misc]
    """A pin that tells every level it is set to."""

    def _set_state(self, value: float) -> None:
        super()._set_state(value)
        self.__dict__.setdefault("levels", queue.Queue()).put(value)


def test_a_moving_light_swells_and_ends_with_the_next_pattern(header: Header) -> None:
    header.factory.pin_class = Recording
    panel = header.open(PanelConfig(button_pin=None))
    levels: queue.Queue[float] = header.pin(27).levels

    panel.show(PATTERNS["thinking"])
    seen = [levels.get(timeout=SOON_S) for _ in range(6)]
    panel.show(PATTERNS["muted"])

    assert seen[0] == 0.0
    assert seen[1:] == sorted(set(seen[1:]))
    assert header.levels(27) == [1.0]


def test_a_panel_without_a_light_shows_nothing_and_keeps_its_button(header: Header) -> None:
    panel = header.open(PanelConfig(led_pin=None))

    panel.show(PATTERNS["listening"])
    header.pin(17).drive_low()
    header.pin(17).drive_high()

    assert header.posted.get(timeout=SOON_S) == ButtonPressed()


def test_a_taken_pin_is_named_and_nothing_stays_open(header: Header) -> None:
    other = PWMLED(27, pin_factory=header.factory)

    with pytest.raises(DeviceError, match=r"cannot open 'LED on GPIO 27'.*panel\.driver"):
        header.open(PanelConfig())
    other.close()

    header.open(PanelConfig())


def test_a_light_that_fails_later_warns_once_and_never_raises(
    header: Header, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(MockPWMPin):  # type: ignore[misc]
        is_broken = False

        def _set_state(self, value: float) -> None:
            if self.is_broken:
                raise GPIOZeroError("the line is gone")
            super()._set_state(value)

    header.factory.pin_class = Broken
    panel = header.open(PanelConfig(button_pin=None))
    header.pin(27).is_broken = True

    panel.show(PATTERNS["muted"])
    panel.show(PATTERNS["idle"])

    assert [record.getMessage() for record in caplog.records] == [
        "panel: the light fails: the line is gone; check its wiring"
    ]


def test_closing_leaves_the_light_dark_and_the_pins_free(header: Header) -> None:
    panel = header.open(PanelConfig())
    panel.show(PATTERNS["listening"])

    panel.close()

    assert header.levels(27) == [0.0]
    header.open(PanelConfig())
