"""What [panel] may not say: each mistake is named by its key, with the value and the next step."""

from __future__ import annotations

import pytest

from pivoice.config import parse
from pivoice.errors import ConfigError


def faults(text: str) -> dict[str, str]:
    try:
        parse(f"[panel]\n{text}")
    except ConfigError as error:
        return {fault.key: fault.problem for fault in error.faults}
    return {}


BUTTON = "[[panel.button]]\npin = 22\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        'light = "none"',
        'light = ["pwm", "apa102"]',
        'light = "led"',
        "red_pin = 5\ngreen_pin = 6\nblue_pin = 13\nmute_switch_pin = 27",
        BUTTON + "press = 'tool:lamp'\ndouble = 'mute'\nhold = 'stop'",
        BUTTON + "press = '''tool:set_timer {\"minutes\": 5, \"name\": \"tea\"}'''",
        BUTTON + "press = 'push_to_talk'",
        BUTTON + "hold = 'push_to_talk'\ndouble = 'mute'",
        "[[panel.button]]\npin = 17\npress = 'hush'",
        "led_pin = 17\n[[panel.button]]\npin = 17\npress = ''",  # a button for nothing frees the pin
        "light = 'none'\nmute_switch_pin = 27",
        "[panel.colours]\nlistening = '#00ffFF'",
        "night_from = '22:00'\nnight_until = '07:00'",
        "light = 'apa102'\n[[panel.button]]\npin = 7",
        "light = ['apa102', 'respeaker_4mic']\nspi_device = '/dev/spidev1.0'",
        "[[panel.button]]\npin = 3\npressed = 'low'",
    ],
)
def test_what_can_be_is_taken(text: str):
    assert faults(text) == {}


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        (BUTTON + "press = 'wake_or_stp'", "panel.button[1].press", "did you mean wake_or_stop?"),
        (BUTTON + "double = 'shutdown'", "panel.button[1].double", "one of wake_or_stop, mute"),
        (BUTTON + "hold = 'tool:'", "panel.button[1].hold", "tool:NAME"),
        (BUTTON + "hold = 'tool:two words'", "panel.button[1].hold", "not JSON"),
        (BUTTON + "press = 'tool:lamp {5}'", "panel.button[1].press", "not JSON"),
        (BUTTON + "press = 'tool:lamp [5]'", "panel.button[1].press", "must be a JSON object"),
        (BUTTON + "press = 'push_to_talk'\nhold = 'mute'", "panel.button[1].hold", "cannot be told from"),
        (BUTTON + "press = 'push_to_talk'\ndouble = 'mute'", "panel.button[1].double", "cannot be told from"),
        ("mute_switch_pin = 17", "panel", "pin 17 is used twice, by panel.button_pin and by panel.mute_sw"),
        (BUTTON + BUTTON, "panel", "pin 22 is used twice, by panel.button[1].pin and by panel.button[2].pin"),
        ("[[panel.button]]\npin = 27", "panel", "panel.button[1].pin and by panel.led_pin"),
        ("red_pin = 5\ngreen_pin = 6\nblue_pin = 5", "panel", "panel.red_pin and by panel.blue_pin"),
        ("light = 'apa102'\n[[panel.button]]\npin = 10", "panel", "MOSI of /dev/spidev0.0 (apa102)"),
        ("light = 'ws2812'\n[[panel.button]]\npin = 11", "panel", "SCLK of /dev/spidev0.0 (ws2812)"),
        ("light = 'apa102'\n[[panel.button]]\npin = 8", "panel", "CE0 of /dev/spidev0.0"),
        ("light = 'respeaker_4mic'\n[[panel.button]]\npin = 7", "panel", "CE1 of /dev/spidev0.1"),
        ("light = 'respeaker_4mic'\n[[panel.button]]\npin = 5", "panel", "the power of respeaker_4mic"),
        ("light = ['apa102', 'ws2812']", "panel.light", '"apa102" and "ws2812" share the SPI bus'),
        ("light = 'rgb'", "panel.light", "needs red_pin, green_pin and blue_pin"),
        ("light = ['rgb', 'pwm']\nred_pin = 5\ngreen_pin = 6", "panel.red_pin", "set all three or none"),
        ("light = ['led', 'pwm']", "panel.light", "remove one of them"),
        ("light = ['none', 'pwm']", "panel.light", "stands beside other lights"),
        ("[panel.colours]\nmuted = '#00ff00'", "panel.colours.muted", "muted is red"),
        ("[panel.colours]\nlistning = '#00ff00'", "panel.colours.listning", "did you mean listening?"),
        ("[panel.colours]\nlistening = 'cyan'", "panel.colours.listening", '"#rrggbb"'),
        ("[panel.colours]\nlistening = '#00ff0'", "panel.colours.listening", "'#00ff0' is not allowed"),
        ("night_from = '22:00'", "panel.night_until", "is missing; night_from needs it"),
        ("night_until = '07:00'", "panel.night_from", "is missing; night_until needs it"),
        ("night_from = '24:00'\nnight_until = '07:00'", "panel.night_from", "HH:MM"),
        ("night_from = '7:00'\nnight_until = '08:00'", "panel.night_from", "HH:MM"),
        ("night_from = '07:00'\nnight_until = '07:00'", "panel.night_until", "two times"),
        ("[[panel.button]]\npin = 2\npressed = 'high'", "panel.button[1].pressed", "choose another pin"),
        ("mute_switch_pin = 3\nmute_switch_level = 'high'", "panel.mute_switch_level", "choose another pin"),
    ],
)
def test_what_cannot_be_is_named_with_the_next_step(text: str, key: str, said: str):
    found = faults(text)

    assert list(found) == [key]
    assert said in found[key]
