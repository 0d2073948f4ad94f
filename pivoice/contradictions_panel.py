"""What settings of [panel] may not be, though each for itself is right: pins used twice, unknown actions.

PURE. A part of contradictions.py.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pivoice.button_actions import SLOTS, act_of, does_anything
from pivoice.errors import Fault

if TYPE_CHECKING:
    from pivoice.config import PanelConfig

SPI_LIGHTS = ("apa102", "ws2812", "sk6812", "respeaker_2mic", "respeaker_4mic")
"""Lights on an SPI bus; all others are on pins."""
_OWN_SPI_DEVICE = {"respeaker_4mic": "/dev/spidev0.1"}
_POWER_PIN = 5  # of the ReSpeaker 4-mic HAT's lights
_SPI_PINS = {  # by bus: data, clock, and the chip select of each device; the others' need not be the bus's
    "0": ((10, 11), (8, 7)),
    "1": ((20, 21), (18, 17, 16)),
}
_SPIDEV = re.compile(r".*spidev(\d{1,3})\.(\d{1,3})")
_PULLED_UP = (2, 3)  # 1.8 kOhm to 3.3 V on every board, for I2C


def panel_contradictions(panel: PanelConfig) -> Iterator[Fault]:
    """Yield what no single field of [panel] can know."""
    yield from _actions(panel)
    yield from _lights(panel)
    yield from _pulls(panel)
    yield from _pins(panel)
    yield from _colours(panel)
    yield from _night(panel)


def lines_taken(panel: PanelConfig) -> list[tuple[int, str]]:
    """Return the GPIO lines that `panel` takes, each with what it is for: "panel.led_pin"."""
    return [*_button_pins(panel), *_light_pins(panel)]


def _button_pins(panel: PanelConfig) -> Iterator[tuple[int, str]]:
    own = list(panel.button)
    for button in panel.buttons:
        if does_anything(button):
            number = next((n for n, each in enumerate(own, 1) if each is button), 0)
            yield button.pin, f"panel.button[{number}].pin" if number else "panel.button_pin"
    if panel.mute_switch_pin is not None:
        yield panel.mute_switch_pin, "panel.mute_switch_pin"


def _light_pins(panel: PanelConfig) -> Iterator[tuple[int, str]]:
    if panel.led_pin is not None and {"led", "pwm"} & set(panel.lights):
        yield panel.led_pin, "panel.led_pin"
    if "rgb" in panel.lights:
        for name in ("red_pin", "green_pin", "blue_pin"):
            if (pin := getattr(panel, name)) is not None:
                yield pin, f"panel.{name}"
    if "respeaker_4mic" in panel.lights:
        yield _POWER_PIN, "the power of respeaker_4mic"


def _spi_device(panel: PanelConfig, light: str) -> str:
    return _OWN_SPI_DEVICE.get(light, panel.spi_device)


def _bus(device: str) -> str:
    """Return the number of the bus of an spidev; its whole name where it does not tell."""
    found = _SPIDEV.fullmatch(device)
    return found[1] if found else device


def _spi_pins(device: str) -> dict[int, str]:
    """Return what `device` is wired to, and what each pin is; nothing of a bus that is not known."""
    found = _SPIDEV.fullmatch(device)
    if not found or found[1] not in _SPI_PINS:
        return {}
    (data, clock), selects = _SPI_PINS[found[1]]
    select = {selects[int(found[2])]: "CE" + found[2]} if int(found[2]) < len(selects) else {}
    return {data: "MOSI", clock: "SCLK", **select}


def _actions(panel: PanelConfig) -> Iterator[Fault]:
    for number, button in enumerate(panel.button, 1):
        key = f"panel.button[{number}]"
        for slot in SLOTS:
            try:
                act_of(getattr(button, slot))
            except ValueError as error:
                yield Fault(f"{key}.{slot}", str(error))
        if button.press == "push_to_talk":
            for slot in ("double", "hold"):
                if text := getattr(button, slot):
                    problem = f"{text!r} cannot be told from talking; remove it, or give press another action"
                    yield Fault(f"{key}.{slot}", problem)


def _lights(panel: PanelConfig) -> Iterator[Fault]:
    named = [panel.light] if isinstance(panel.light, str) else list(panel.light)
    legs = (panel.red_pin, panel.green_pin, panel.blue_pin)
    if any(leg is not None for leg in legs) and None in legs:
        yield Fault("panel.red_pin", "red_pin, green_pin and blue_pin go together; set all three or none")
    elif "rgb" in named and None in legs:
        yield Fault("panel.light", '"rgb" needs red_pin, green_pin and blue_pin; set all three')
    if "none" in named and len(named) > 1:
        yield Fault("panel.light", '"none" stands beside other lights; remove it, or them')
    on_one_pin = sorted({"led", "pwm"} & set(panel.lights))
    if on_one_pin and panel.led_pin is None:
        yield Fault("panel.light", f'"{on_one_pin[0]}" needs led_pin')
    if len(on_one_pin) > 1:
        yield Fault("panel.light", '"led" and "pwm" are both the LED on led_pin; remove one of them')
    buses: dict[str, str] = {}
    for light in panel.lights:
        if light in SPI_LIGHTS and (bus := _bus(_spi_device(panel, light))) in buses:
            problem = f'"{buses[bus]}" and "{light}" share the SPI bus of {_spi_device(panel, light)}'
            yield Fault(
                "panel.light", f"{problem}; what is sent to one would be seen on the other: remove one"
            )
        elif light in SPI_LIGHTS:
            buses[bus] = light


def _pulls(panel: PanelConfig) -> Iterator[Fault]:
    wrong = 'has a resistor to 3.3 V on the board, so it is never "low" by itself; choose another pin'
    for number, button in enumerate(panel.button, 1):
        if button.pin in _PULLED_UP and button.pressed == "high" and does_anything(button):
            yield Fault(f"panel.button[{number}].pressed", f'"high": pin {button.pin} {wrong}')
    if panel.mute_switch_pin in _PULLED_UP and panel.mute_switch_level == "high":
        yield Fault("panel.mute_switch_level", f'"high": pin {panel.mute_switch_pin} {wrong}')


def _pins(panel: PanelConfig) -> Iterator[Fault]:
    uses: dict[int, list[str]] = {}
    for pin, use in lines_taken(panel):
        uses.setdefault(pin, []).append(use)
    for light in panel.lights:
        if light in SPI_LIGHTS:
            device = _spi_device(panel, light)
            for pin, name in _spi_pins(device).items():
                if pin in uses:
                    uses[pin].append(f"{name} of {device} ({light})")
    for pin, users in sorted(uses.items()):
        if len(users) > 1:
            problem = f"pin {pin} is used twice, by {' and by '.join(users)}; give each its own"
            yield Fault("panel", problem)


def _colours(panel: PanelConfig) -> Iterator[Fault]:
    if not panel.colours:
        return
    from pivoice.panel.patterns import PATTERNS  # pure, and rarely needed

    names = sorted(set(PATTERNS) - {"muted"})
    for name, colour in panel.colours.items():
        key = f"panel.colours.{name}"
        if name == "muted":
            yield Fault(key, "muted is red, and nothing else is: remove it")
        elif name not in names:
            near = difflib.get_close_matches(name, names, 1)
            meant = f"did you mean {near[0]}? " if near else ""
            yield Fault(key, f"there is no such light; {meant}There are {', '.join(names)}")
        if not re.fullmatch("#[0-9a-fA-F]{6}", colour):
            yield Fault(key, f'{colour[:40]!r} is not allowed; it must be "#rrggbb", such as "#00ffff"')


def _night(panel: PanelConfig) -> Iterator[Fault]:
    times = {"night_from": panel.night_from, "night_until": panel.night_until}
    for name, text in times.items():
        if text and not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text):
            yield Fault(f"panel.{name}", f'{text[:40]!r} is not allowed; it must be HH:MM, such as "22:00"')
    missing = [name for name, text in times.items() if not text]
    if len(missing) == 1:
        given = next(name for name, text in times.items() if text)
        yield Fault(f"panel.{missing[0]}", f"is missing; {given} needs it")
    elif not missing and panel.night_from == panel.night_until:
        yield Fault("panel.night_until", f"{panel.night_until!r} is night_from too; a night needs two times")
