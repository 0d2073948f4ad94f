"""Buttons and switch on gpiozero's mock pins: each opened for itself, told by edges, and let go of."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import gpiozero
import pytest
from gpiozero.pins.mock import MockFactory, MockPWMPin

from pivoice.clock import SystemClock
from pivoice.config import ButtonConfig, PanelConfig
from pivoice.errors import DeviceError
from pivoice.panel import gpio, gpio_buttons, lines
from pivoice.panel.gpio_buttons import GpioButtons
from pivoice.panel.panel import MUTE_SWITCH, Edge


class Header:
    """A mock header, and what was told from it."""

    def __init__(self) -> None:
        self.factory = MockFactory(pin_class=MockPWMPin)
        self.told: list[Edge] = []
        self._opened: list[GpioButtons] = []

    def open(self, config: PanelConfig) -> GpioButtons:
        buttons = GpioButtons(config, clock=SystemClock(), take=self.told.append, factory=self.factory)
        self._opened.append(buttons)
        return buttons

    @property
    def moves(self) -> list[tuple[int, bool]]:
        return [(edge.button, edge.is_down) for edge in self.told]

    def pin(self, number: int) -> MockPWMPin:
        return self.factory.pin(number)

    def close(self) -> None:
        for buttons in self._opened:
            buttons.close()
        self.factory.close()


@pytest.fixture
def header() -> Iterator[Header]:
    made = Header()
    yield made
    made.close()


def test_edges_are_told_with_the_buttons_index_and_the_time(header: Header):
    header.open(PanelConfig(button=[ButtonConfig(22), ButtonConfig(23, pressed="high")]))
    before_s = SystemClock().monotonic()

    header.pin(17).drive_low()
    header.pin(23).drive_high()
    header.pin(17).drive_high()
    header.pin(23).drive_low()

    assert header.moves == [(0, True), (2, True), (0, False), (2, False)]
    times = [edge.time_s for edge in header.told]
    assert before_s <= times[0] and times == sorted(times) and times[-1] <= SystemClock().monotonic()


def test_each_pin_is_pulled_to_where_nobody_presses(header: Header):
    header.open(
        PanelConfig(button=[ButtonConfig(23, pressed="high")], mute_switch_pin=24, mute_switch_level="high")
    )

    assert [header.pin(number).pull for number in (17, 23, 24)] == ["up", "down", "down"]


def test_the_contact_is_waited_for_as_long_as_is_set(header: Header):
    buttons = [ButtonConfig(22, debounce_ms=50), ButtonConfig(23, debounce_ms=0), ButtonConfig(24)]

    header.open(PanelConfig(button_pin=None, button=buttons, debounce_ms=5, mute_switch_pin=25))

    assert [header.pin(number).bounce for number in (22, 23, 24, 25)] == [0.05, None, 0.005, 0.005]


def test_a_button_that_was_down_from_the_start_tells_only_that_it_comes_up(header: Header):
    header.open(PanelConfig()).close()
    pin = header.pin(17)
    pin._set_pull = lambda value: None  # what a finger holds down, no resistor pulls up
    pin.drive_low()
    header.open(PanelConfig())

    pin.drive_high()

    assert header.moves == [(0, False)]


@pytest.mark.parametrize(("level", "is_muting"), [("low", False), ("high", False)])
def test_an_open_switch_does_not_mute(header: Header, level: str, is_muting: bool):
    buttons = header.open(PanelConfig(mute_switch_pin=24, mute_switch_level=level))

    assert buttons.is_switched is is_muting


@pytest.mark.parametrize("level", ["low", "high"])
def test_the_switch_counts_as_it_stands_when_it_is_opened(header: Header, level: str):
    pin = header.pin(24)
    pin._set_pull = lambda value: None
    pin.drive_high() if level == "high" else pin.drive_low()

    buttons = header.open(PanelConfig(mute_switch_pin=24, mute_switch_level=level))

    assert buttons.is_switched is True
    pin.drive_low() if level == "high" else pin.drive_high()
    assert header.moves == [(MUTE_SWITCH, False)]


def test_without_a_switch_there_is_none(header: Header):
    assert header.open(PanelConfig()).is_switched is None


def test_a_button_for_nothing_leaves_its_pin_alone(header: Header):
    header.open(PanelConfig(button=[ButtonConfig(17, press="")]))

    gpiozero.LED(17, pin_factory=header.factory).close()


def test_a_button_that_cannot_be_had_is_named_and_leaves_the_others(
    header: Header, caplog: pytest.LogCaptureFixture
):
    relay = gpiozero.LED(22, pin_factory=header.factory)

    header.open(PanelConfig(button=[ButtonConfig(22), ButtonConfig(23)]))
    header.pin(17).drive_low()
    header.pin(23).drive_low()
    relay.close()

    assert header.moves == [(0, True), (2, True)]
    (warning,) = caplog.records
    assert warning.levelno == logging.WARNING
    assert "cannot open 'button on GPIO 22'" in warning.getMessage()
    assert "going on without this button" in warning.getMessage()


def test_a_switch_that_cannot_be_read_mutes_and_says_so(header: Header, caplog: pytest.LogCaptureFixture):
    relay = gpiozero.LED(24, pin_factory=header.factory)

    buttons = header.open(PanelConfig(mute_switch_pin=24))
    relay.close()

    assert buttons.is_switched is True
    (error,) = caplog.records
    assert error.levelno == logging.ERROR and "the mute switch cannot be read" in error.getMessage()
    assert "remove panel.mute_switch_pin" in error.getMessage()


def test_where_there_are_no_pins_that_is_one_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def no_pins() -> None:
        raise DeviceError("GPIO", doing="open", reason="this machine has no GPIO")

    monkeypatch.setattr(gpio_buttons, "open_factory", no_pins)

    GpioButtons(PanelConfig(button=[ButtonConfig(22)]), clock=SystemClock(), take=print).close()

    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "this machine has no GPIO; going on without buttons" in caplog.text


def test_without_a_button_nothing_is_opened(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gpio_buttons, "open_factory", lambda: pytest.fail("opened"))

    GpioButtons(PanelConfig(button_pin=None), clock=SystemClock(), take=print).close()


def test_closing_frees_the_pins_and_tells_nothing_more(header: Header):
    buttons = header.open(PanelConfig(mute_switch_pin=24))

    buttons.close()
    buttons.close()
    for number in (17, 24):
        header.pin(number).drive_low()
        header.pin(number).drive_high()

    assert header.moves == []
    gpiozero.LED(24, pin_factory=header.factory).close()


def test_an_edge_that_is_on_its_way_while_the_pins_are_let_go_is_not_told(header: Header):
    buttons = header.open(PanelConfig())
    told_late = buttons._inputs[0].when_activated

    buttons.close()
    told_late()

    assert header.told == []


def test_buttons_work_when_they_are_opened_again(header: Header):
    header.open(PanelConfig()).close()
    header.open(PanelConfig())

    header.pin(17).drive_low()

    assert header.moves == [(0, True)]


class LgpioLike(MockFactory):  # type: ignore[misc]
    """Pins as gpiozero's lgpio has them: closing one neither forgets it nor who watched it."""

    _handle = 7


LgpioLike.__name__ = "LGPIOFactory"


class StickyPin(MockPWMPin):  # type: ignore[misc]
    def close(self) -> None:
        self.function = "input"


def test_with_lgpio_a_line_is_freed_and_watched_anew(header: Header, monkeypatch: pytest.MonkeyPatch):
    freed: list[tuple[int, int]] = []
    lgpio = type("lgpio", (), {"gpio_free": staticmethod(lambda *line: freed.append(line))})
    monkeypatch.setitem(sys.modules, "lgpio", lgpio)
    header.factory = LgpioLike(pin_class=StickyPin)
    first = header.open(PanelConfig())
    before = header.pin(17)

    first.close()

    assert freed == [(7, 17)]
    assert before._when_changed is None  # a reference to who is gone counts as being watched
    assert header.pin(17) is not before


def test_who_has_a_busy_line_is_told_with_the_error(monkeypatch: pytest.MonkeyPatch):
    asked: list[list[int]] = []

    def users_of(pins: Iterator[int]) -> dict[int, str]:
        asked.append(list(pins))
        return {6: "w1-gpio"}

    monkeypatch.setattr(lines, "users_of", users_of)

    with (
        pytest.raises(DeviceError, match="GPIO busy: GPIO 6 is used by w1-gpio; stop it") as caught,
        gpio.explained("RGB LED on GPIO 5, 6, 13"),
    ):
        raise OSError("'GPIO busy'")

    assert asked == [[5, 6, 13]]
    assert caught.value.reason == "GPIO busy: GPIO 6 is used by w1-gpio"


def test_a_busy_line_of_which_nobody_knows_says_how_to_find_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lines, "users_of", lambda pins: {})

    with pytest.raises(DeviceError, match="gpioinfo"), gpio.explained("button on GPIO 17"):
        raise OSError("'GPIO busy'")


def test_a_pin_that_was_taken_can_be_had_once_it_is_free(header: Header, monkeypatch: pytest.MonkeyPatch):
    """gpiozero reserves a pin before it has it, for as long as anybody remembers the attempt."""

    class Taken(MockPWMPin):  # type: ignore[misc]
        def __init__(self, *arguments: object) -> None:
            raise OSError("'GPIO busy'")

    header.factory.pin_class = Taken
    failed = header.open(PanelConfig())
    header.factory.pin_class = MockPWMPin

    assert [fault.reason for fault in failed.faults] == ["GPIO busy"]
    assert header.open(PanelConfig()).faults == []


def test_the_chip_is_the_headers_not_the_one_that_gpiozero_guesses(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    opened: list[int | None] = []
    modules = {
        "lgpio": SimpleNamespace(gpiochip_open=None, error=OSError),
        "gpiozero.pins.lgpio": SimpleNamespace(LGPIOFactory=lambda chip: opened.append(chip)),
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(gpio, "_chips", lambda: [tmp_path])
    monkeypatch.setattr(gpiozero.Device, "pin_factory", None)
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "lgpio")

    monkeypatch.setattr(lines, "header_chip", lambda: Path("/dev/gpiochip4"))
    gpio.open_factory()
    monkeypatch.setattr(lines, "header_chip", lambda: None)
    gpio.open_factory()

    assert opened == [4, None]
