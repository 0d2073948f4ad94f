"""The settings of [panel]: buttons and lights. A part of sections.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

Pin = Annotated[int, Meta(ge=0, le=27)]  # BCM numbers on the 40-pin header
Percent = Annotated[int, Meta(ge=0, le=100)]
LightName = Literal[
    "auto", "none", "led", "pwm", "rgb", "apa102", "ws2812", "sk6812", "respeaker_2mic", "respeaker_4mic"
]
HoldSeconds = Annotated[float, Meta(ge=0.3, le=10)]
DebounceMs = Annotated[int, Meta(ge=0, le=300)]


@dataclass(frozen=True)
class ButtonConfig:
    """One [[panel.button]]."""

    pin: Pin
    """BCM number of its pin; the other leg goes to ground."""
    press: str = "wake_or_stop"
    """What a short press does: wake_or_stop, mute, hush (silence the reply, keep the session), stop (end the
    conversation), volume_up, volume_down, push_to_talk (the microphone is live while it is held), or a tool:
    "tool:NAME", with arguments "tool:NAME {...}" as JSON; "" does nothing."""
    double: str = ""
    """What two presses in a row do; with one set, a single press is known panel.double_press_s later."""
    hold: str = ""
    """What holding it does."""
    hold_s: HoldSeconds | None = None
    """Seconds that make a hold; unset: panel.long_press_s."""
    debounce_ms: DebounceMs | None = None
    """ms a contact must be still; unset: panel.debounce_ms."""
    pressed: Literal["low", "high"] = "low"
    """Level of the pin while it is pressed; "high" is for a button to 3.3 V (the Pi pulls the other way)."""


@dataclass(frozen=True)
class PanelConfig:
    driver: Literal["gpio", "simulated", "none"] = "gpio"
    """Buttons and lights on the header, kept in memory, or none."""
    button_pin: Pin | None = 17
    """BCM number of the button's pin, the other leg to ground: a press is wake_or_stop, holding it mute. More
    buttons, or other uses, by [[panel.button]], which on the same pin takes its place (one with press = ""
    leaves the pin alone)."""
    button: list[ButtonConfig] = field(default_factory=list)
    """Buttons, each a [[panel.button]] with its own settings."""
    long_press_s: HoldSeconds = 1.0
    """Seconds a button is held to mute or unmute, or what else its hold does."""
    double_press_s: Annotated[float, Meta(ge=0.1, le=2)] = 0.4
    """Seconds within which a second press makes a double one, where a button has one."""
    debounce_ms: DebounceMs = 20
    """ms a button's contact must be still before it counts; cheap ones chatter for 5 to 20."""
    mute_switch_pin: Pin | None = None
    """BCM number of a mute switch that stays where it is put; while it mutes, nothing else unmutes. One that
    cannot be read mutes."""
    mute_switch_level: Literal["low", "high"] = "low"
    """Level of its pin that mutes; "low": closed to ground, "high": closed to 3.3 V."""
    light: LightName | list[LightName] = "auto"
    """The light, or a list of lights: "led" (on and off), "pwm" (an LED that is dimmed), "rgb", "apa102"
    (also SK9822), "ws2812", "sk6812" (with white), "respeaker_2mic", "respeaker_4mic", "none"; "auto" is rgb
    where its three pins are set, else pwm where led_pin is."""
    led_pin: Pin | None = 27
    """BCM number of a single LED, for "led" and "pwm"."""
    red_pin: Pin | None = None
    """BCM number of an RGB LED's red leg; set all three or none."""
    green_pin: Pin | None = None
    """BCM number of its green leg."""
    blue_pin: Pin | None = None
    """BCM number of its blue leg."""
    common_anode: bool = False
    """true: the RGB LED's common leg goes to 3.3 V, not to ground."""
    pixels: Annotated[int, Meta(ge=1, le=300)] = 12
    """How many lights a ring or strip on SPI has; the ReSpeaker HATs know their own number."""
    spi_device: Annotated[str, Meta(min_length=1)] = "/dev/spidev0.0"
    """The SPI bus that it hangs on; the ReSpeaker 4-mic HAT is on /dev/spidev0.1 by itself."""
    brightness: Percent = 100
    """Brightness of all lights, 1-100; 0 is dark."""
    night_brightness: Percent = 20
    """Brightness between night_from and night_until; 0 is as faint as can be, never dark."""
    night_from: str = ""
    """Time of day from which the lights are dimmed, such as "22:00"; "" never dims them."""
    night_until: str = ""
    """Time of day until which they are dimmed, such as "07:00"."""
    idle: Literal["dark", "breath"] = "dark"
    """What the light does while it waits: nothing, or a faint breath."""
    colours: dict[str, str] = field(default_factory=dict)
    """Other colours for single states, as "#rrggbb" ({ listening = "#00ffff" }); the names are those of
    README's picture. Red stays muted's."""

    @property
    def buttons(self) -> tuple[ButtonConfig, ...]:
        """Every button there is, the short form's first."""
        short = [ButtonConfig(self.button_pin, hold="mute")] if self.button_pin is not None else []
        return (*(each for each in short if each.pin not in {b.pin for b in self.button}), *self.button)

    @property
    def lights(self) -> tuple[LightName, ...]:
        """The names of the lights there are, "auto" resolved, each once."""
        named = [self.light] if isinstance(self.light, str) else self.light
        auto: LightName = "rgb" if self.red_pin is not None else "pwm" if self.led_pin is not None else "none"
        found = dict.fromkeys(auto if name == "auto" else name for name in named)
        return tuple(name for name in found if name != "none")
