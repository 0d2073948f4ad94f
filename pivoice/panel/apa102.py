"""Rings and strips of APA102 or SK9822, and the ReSpeaker HATs, which have them: a clock and a data line.

Frames by the data sheets of both: 32 zero bits; for each pixel three ones, five bits of brightness, blue,
green, red; then an end of zeros. The APA102's sheet has an end of 32 ones, which a longer strip than ours
shows as a white pixel; zeros do the same. An SK9822 takes new colours only with the 32 zero bits after them,
and each pixel hands its data on half a clock late, so that n/2 more bits are needed for the last one.
Ours, for of the libraries there are apa102-pi needs Blinka and RPi.GPIO (which fails on a Pi 5).
The light's thread only.
"""

from __future__ import annotations

import contextlib
import math

from pivoice.config import PanelConfig
from pivoice.panel.dimming import GAMMA, steps
from pivoice.panel.lights import Moment
from pivoice.panel.pixels import Shades
from pivoice.panel.spi import LinuxSpi, OpenSpi

_RATE_HZ = 1_000_000  # the chips take 15 MHz and more; slow edges forgive long wires, and a frame is 1 ms
_LEVELS = 31
_RESPEAKER_4MIC_BUS = "/dev/spidev0.1"
_RESPEAKER_4MIC_POWER = 5  # BCM number; high switches its ring on


class Apa102:
    """A ring or a strip."""

    def __init__(self, config: PanelConfig, *, open_spi: OpenSpi = LinuxSpi) -> None:
        self._open_bus(config.spi_device, config.pixels, open_spi)

    def _open_bus(self, path: str, pixels: int, open_spi: OpenSpi) -> None:
        self._pixels = pixels
        self._shades = Shades(pixel_code)
        self._bus = open_spi(path, _RATE_HZ)

    def frame(self, moment: Moment) -> bytes:
        end_bytes = 4 + math.ceil(self._pixels / 16)
        return bytes(4) + self._shades.of(moment, self._pixels) + bytes(end_bytes)

    def write(self, frame: bytes) -> None:
        self._bus.write(frame)

    def close(self) -> None:
        self._bus.close()


class Respeaker2Mic(Apa102):
    """The three lights of the ReSpeaker 2-Mics HAT, v1 and v2. They have no chip select: either does."""

    def __init__(self, config: PanelConfig, *, open_spi: OpenSpi = LinuxSpi) -> None:
        self._open_bus(config.spi_device, 3, open_spi)


class Respeaker4Mic(Apa102):
    """The ring of twelve on the ReSpeaker 4-Mic Array, dark until its power is switched on by a pin."""

    def __init__(self, config: PanelConfig, *, open_spi: OpenSpi = LinuxSpi) -> None:
        from pivoice.panel.gpio_lights import switch_on

        with contextlib.ExitStack() as opened:
            opened.callback(switch_on(_RESPEAKER_4MIC_POWER, "power of the ReSpeaker 4-mic HAT's lights"))
            self._open_bus(_RESPEAKER_4MIC_BUS, 12, open_spi)
            opened.callback(self._bus.close)
            self._opened = opened.pop_all()

    def close(self) -> None:
        self._opened.close()


def pixel_code(moment: Moment, part: float) -> bytes:
    """Return the four bytes of a pixel that is to look `part` bright.

    Dimmed as far as can be by the chip's five bits of brightness, so that by night a colour keeps most of its
    eight bits and stays what it is.
    """
    power = math.pow(moment.brightness, GAMMA)
    level = math.ceil(_LEVELS * power)
    rest = math.pow(power * _LEVELS / level, 1 / GAMMA) if level else 0.0
    red, green, blue = (steps(each * part, rest, 255) for each in moment.pattern.colour)
    return bytes((0b11100000 | level, blue, green, red))
