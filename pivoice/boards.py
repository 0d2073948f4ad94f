"""I2S sound boards and their device-tree overlays, and which overlays a Pi's boot configuration loads.

Pure data and a reader of config.txt; any thread; changes nothing (scripts/i2s.py does). Standard library
alone, so that the installer can use it with the system's Python, before there is an environment.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

BOOT_CONFIGS = (Path("/boot/firmware/config.txt"), Path("/boot/config.txt"))
"""Where it is from bookworm on, and where it was before."""


@dataclass(frozen=True)
class Overlay:
    """A board, and the line of config.txt that makes it a sound card."""

    name: str
    """What `install --i2s` calls it."""
    overlay: str
    """The device-tree overlay's name, that of its .dtbo file."""
    parameters: str
    """What follows the name in config.txt, after a comma; "" for nothing."""
    card_id: str
    """ALSA's: `plughw:CARD=ID,DEV=0`."""
    what: str
    """The boards it serves, for people."""
    capture: bool
    playback: bool
    other_names: tuple[str, ...] = ()
    """What owners call it, too."""
    maker: str = ""
    """Who gives out the overlay where the kernel does not carry it; "" where it does."""

    @property
    def line(self) -> str:
        """What config.txt must say."""
        return f"dtoverlay={self.overlay}" + (f",{self.parameters}" if self.parameters else "")


# From the kernel's own overlays and card drivers (raspberrypi/linux: arch/arm/boot/dts/overlays,
# sound/soc/bcm/rpi-simple-soundcard.c), read in 2026-11. ALSA makes an id of 15 characters of a card's name.
# Each of these overlays switches I2S on by itself, so dtparam=i2s=on is not needed; behind another dtoverlay
# line it would be taken for that overlay's parameter. One I2S bus is one card: no two of these go together.
OVERLAYS = (
    Overlay(
        "googlevoicehat",
        "googlevoicehat-soundcard",
        "",
        "sndrpigooglevoi",
        "I2S microphones (INMP441, ICS-43434, SPH0645), with or without a MAX98357A; Google AIY Voice HAT",
        capture=True,
        playback=True,
        other_names=(
            "googlevoicehat-soundcard",
            "voicehat",
            "aiy",
            "inmp441",
            "ics43434",
            "ics43432",
            "sph0645",
        ),
    ),
    Overlay(
        "max98357a",
        "max98357a",
        # The bare breakout: its SD pin is left alone. Given a GPIO, the driver would switch it.
        "no-sdmode",
        "MAX98357A",
        "MAX98357A amplifier alone (with a USB microphone)",
        capture=False,
        playback=True,
        other_names=("max98357",),
    ),
    Overlay(
        "hifiberry-dac",
        "hifiberry-dac",
        "",
        "sndrpihifiberry",
        "PCM5102A and other DACs that need no set-up, alone (with a USB microphone); HiFiBerry DAC",
        capture=False,
        playback=True,
        other_names=("pcm5102", "pcm5102a", "uda1334a"),
    ),
    Overlay(
        "adau7002-simple",
        "adau7002-simple",
        "",
        "adau7002",
        "two PDM microphones behind an ADAU7002: Pimoroni Pirate Audio Dual Mic",
        capture=True,
        playback=False,
        other_names=("adau7002", "pirate-audio-dual-mic"),
    ),
    Overlay(
        "wm8960",
        "wm8960-soundcard",
        "",
        "wm8960soundcard",
        "codec WM8960: first ReSpeaker 2-Mics Pi HAT, KEYESTUDIO 2-mic HAT, Waveshare WM8960 Audio HAT",
        capture=True,
        playback=True,
        other_names=("wm8960-soundcard", "respeaker-2mic", "respeaker-2mic-v1", "seeed-2mic-voicecard"),
    ),
    Overlay(
        "respeaker-2mic-v2",
        "respeaker-2mic-v2_0",
        "",
        "seeed2micvoicec",
        "ReSpeaker 2-Mics Pi HAT v2.0 (codec TLV320AIC3104)",
        capture=True,
        playback=True,
        other_names=("respeaker-2mic-v2_0",),
        maker="Seeed (github.com/Seeed-Studio/seeed-linux-dtoverlays)",
    ),
    Overlay(
        "respeaker-4mic",
        "seeed-4mic-voicecard",
        "",
        "seeed4micvoicec",
        "ReSpeaker 4-Mic Array for Raspberry Pi (codec AC108)",
        capture=True,
        playback=False,
        other_names=("seeed-4mic-voicecard",),
        maker="github.com/HinTak/seeed-voicecard",
    ),
)


class Line(NamedTuple):
    """A dtoverlay line of config.txt that is not commented out."""

    number: int
    """From 1."""
    overlay: str
    section: str
    """The filter it stands under, lower case; "all" for none."""


def find(name: str) -> Overlay | None:
    """Return the board of that name, by any of its names."""
    wanted = name.strip().lower()
    return next((one for one in OVERLAYS if wanted in (one.name, *one.other_names)), None)


def of_card(card_id: str) -> Overlay | None:
    """Return the board whose sound card has that id."""
    return next((one for one in OVERLAYS if one.card_id == card_id), None)


def nearest(name: str) -> str:
    """Return the name that was probably meant, "" if there is none like it."""
    known = [known for one in OVERLAYS for known in (one.name, *one.other_names)]
    return next(iter(difflib.get_close_matches(name.strip().lower(), known, n=1)), "")


def boot_config() -> Path | None:
    """Return the file that the Pi's firmware reads; None on other machines."""
    return next((path for path in BOOT_CONFIGS if path.is_file()), None)


def overlays_in(text: str) -> list[str]:
    """Return the overlays that a config.txt of that `text` loads, or may load: on one model of Pi, say."""
    return [line.overlay for line in lines_in(text) if line.section != "none"]


def lines_in(text: str) -> Iterator[Line]:
    """Yield every dtoverlay line of `text`. Files that it includes are not looked into."""
    section = "all"
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if line.startswith("[") and "]" in line:
            section = line[1 : line.index("]")].strip().lower()
        elif line.startswith(("dtoverlay=", "device_tree_overlay=")):
            overlay = line.partition("=")[2].partition(",")[0].strip().removesuffix(".dtbo")
            if overlay:  # an empty one ends the one before it
                yield Line(number, overlay.rpartition("/")[2], section)
