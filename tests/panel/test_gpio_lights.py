"""LEDs on gpiozero's mock pins: what the legs really get."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from gpiozero import PWMLED, GPIOZeroError
from gpiozero.pins.mock import MockFactory, MockPWMPin

from pivoice.config import PanelConfig
from pivoice.errors import DeviceError
from pivoice.panel.gpio_lights import DimmedLed, Lamp, RgbLed
from pivoice.panel.lights import Light, Moment
from pivoice.panel.patterns import PATTERNS, Pattern

LEGS = {"red_pin": 5, "green_pin": 6, "blue_pin": 13}
MUTED = Moment(PATTERNS["muted"])
DARK = Moment(PATTERNS["idle"])


@pytest.fixture
def header() -> Iterator[MockFactory]:
    factory = MockFactory(pin_class=MockPWMPin)
    yield factory
    factory.close()


def show(light: Light, moment: Moment) -> None:
    light.write(light.frame(moment))


def states(header: MockFactory, *pins: int) -> list[float]:
    return [header.pin(pin).state for pin in pins]


def percents(header: MockFactory, *pins: int) -> list[int]:
    """What gpiozero makes of the levels for lgpio: it cuts off whatever is behind the point."""
    return [int(state * 100) for state in states(header, *pins)]


def test_an_led_is_dimmed_as_an_eye_sees_it(header: MockFactory) -> None:
    light = DimmedLed(PanelConfig(), factory=header)
    course = []

    for elapsed_s in (0.0, 0.2, 0.4):
        show(light, Moment(PATTERNS["connecting"], elapsed_s=elapsed_s / 2))
        course += percents(header, 27)

    assert course == [0, 22, 100]


def test_every_percent_arrives_as_it_is_with_a_common_anode_too(header: MockFactory) -> None:
    cathode = DimmedLed(PanelConfig(), factory=header)
    anode = RgbLed(PanelConfig(common_anode=True, **LEGS), factory=header)
    arrived = []

    for step in range(101):
        cathode.write(bytes((step,)))
        anode.write(bytes((step, 0, 100)))
        arrived.append((*percents(header, 27), *percents(header, 5, 6, 13)))

    assert arrived == [(step, 100 - step, 100, 0) for step in range(101)]


def test_a_leg_that_stands_still_is_not_pulsed(header: MockFactory) -> None:
    light = RgbLed(PanelConfig(**LEGS), factory=header)
    pulsed = []

    for frame in ((0, 0, 0), (100, 40, 0), (40, 100, 1), (100, 0, 0)):
        light.write(bytes(frame))
        pulsed.append(tuple(header.pin(pin).frequency for pin in (5, 6, 13)))

    assert pulsed == [(None, None, None), (None, 100, None), (100, None, 100), (None, None, None)]
    assert states(header, 5, 6, 13) == [1.0, 0.0, 0.0]


def test_a_common_anode_is_pulsed_without_end_for_each_beginning_would_flash(header: MockFactory) -> None:
    light = RgbLed(PanelConfig(common_anode=True, **LEGS), factory=header)

    show(light, MUTED)

    assert [header.pin(pin).frequency for pin in (5, 6, 13)] == [100, 100, 100]


@pytest.mark.parametrize(("common_anode", "legs"), [(False, [1.0, 0.0, 0.0]), (True, [0.0, 1.0, 1.0])])
def test_an_rgb_led_shows_mute_in_red_and_is_dark_afterwards(
    header: MockFactory, common_anode: bool, legs: list[float]
) -> None:
    light = RgbLed(PanelConfig(common_anode=common_anode, **LEGS), factory=header)

    show(light, MUTED)
    red = states(header, 5, 6, 13)
    show(light, DARK)

    assert red == legs
    assert states(header, 5, 6, 13) == [float(common_anode)] * 3


def test_a_lamp_knows_on_and_off_and_the_rhythm(header: MockFactory) -> None:
    light = Lamp(PanelConfig(), factory=header)
    course = []

    for nth in range(20):
        show(light, Moment(PATTERNS["no_microphone"], elapsed_s=nth * 0.1, brightness=0.01))
        course += states(header, 27)

    assert "".join("x" if state else "." for state in course) == "xx..x..............."


@pytest.mark.parametrize("driver", [DimmedLed, RgbLed, Lamp])
def test_by_night_what_is_muted_is_still_to_be_seen_and_0_is_dark(
    header: MockFactory, driver: type[DimmedLed] | type[RgbLed] | type[Lamp]
) -> None:
    light = driver(PanelConfig(**LEGS), factory=header)

    assert light.frame(Moment(PATTERNS["muted"], brightness=0.01))[0] == 1
    assert not any(light.frame(Moment(PATTERNS["muted"], brightness=0.0)))


def test_an_rgb_led_takes_its_colour_as_people_write_it(header: MockFactory) -> None:
    light = RgbLed(PanelConfig(**LEGS), factory=header)

    show(light, Moment(Pattern("test", (1.0, 0x80 / 255, 0.0), "solid")))

    assert percents(header, 5, 6, 13) == [100, 22, 0]


@pytest.mark.parametrize("driver", [DimmedLed, RgbLed, Lamp])
def test_closing_frees_the_pins(
    header: MockFactory, driver: type[DimmedLed] | type[RgbLed] | type[Lamp]
) -> None:
    light = driver(PanelConfig(**LEGS), factory=header)

    light.close()

    driver(PanelConfig(**LEGS), factory=header).close()


@pytest.mark.parametrize(
    ("driver", "pin", "named"), [(RgbLed, 13, "RGB LED on GPIO 5, 6, 13"), (Lamp, 27, "LED on")]
)
def test_a_taken_pin_is_named_and_nothing_stays_open(
    header: MockFactory, driver: type[RgbLed] | type[Lamp], pin: int, named: str
) -> None:
    other = PWMLED(pin, pin_factory=header)

    with pytest.raises(DeviceError, match=rf"cannot open '{named}"):
        driver(PanelConfig(**LEGS), factory=header)
    other.close()

    driver(PanelConfig(**LEGS), factory=header)


class Broken(MockPWMPin):  # type: ignore[misc]
    """A pin whose line is lost."""

    is_broken = False

    def _set_state(self, value: float) -> None:
        if self.is_broken:
            raise GPIOZeroError("the line is gone")
        super()._set_state(value)


@pytest.mark.parametrize("driver", [DimmedLed, Lamp])
def test_a_light_that_fails_later_says_so(header: MockFactory, driver: type[DimmedLed] | type[Lamp]) -> None:
    header.pin_class = Broken
    light = driver(PanelConfig(), factory=header)
    header.pin(27).is_broken = True

    with pytest.raises(
        DeviceError, match="cannot light 'LED on GPIO 27': the line is gone; check its wiring"
    ):
        show(light, MUTED)
    light.close()
