"""Rings and strips of WS2812 and SK6812 (with white), through the data line of an SPI bus.

Each bit of theirs is four of the bus's, sent at 3.3 MHz, of which a Pi makes 3.23 to 3.29 (310 to 304 ns a
slot): 1000 for a zero, and for a one 1110 (WS2812B) or 1100 (SK6812). Four, because then a byte ends where a
bit of theirs does, low: should the bus pause between bytes, a pause is only a longer low, which the chips
allow; with three it would fall into a pulse. By the data sheets, in ns:

  high for a zero   WS2812B 250-550, its V5 220-380, SK6812 150-450   ours 304-310
  high for a one    WS2812B 650-950, its V5 580-1000, SK6812 450-750  ours 912-930, SK6812 608-620
  low after a zero  WS2812B 700-1000, its V5 580-1000, SK6812 750-1050  ours 912-930
  low after a one   WS2812B 300-600, its V5 from 220, SK6812 450-750  ours 304-310, SK6812 608-620
  low that shows it all  WS2812B from 50 us, its V5 from 280 us, SK6812 from 80 us  ours 300 us

That low is sent before the pixels too, for the line may rest high, and after them, in the one transfer that a
frame must be: spidev cuts longer ones, and the gap shows what is there so far. The rate is right while the
core clock stands still (core_freq_min in config.txt; a Pi 5 needs nothing).
Ours, for pi5neo hides errors of opening, prints, sleeps and sends no low before. The light's thread only.
"""

from __future__ import annotations

from pivoice.config import PanelConfig
from pivoice.errors import DeviceError
from pivoice.panel.dimming import steps
from pivoice.panel.lights import Moment
from pivoice.panel.pixels import Shades
from pivoice.panel.spi import LinuxSpi, OpenSpi

_RATE_HZ = 3_300_000
_QUIET = bytes(-(-300 * _RATE_HZ // 8_000_000))  # 300 us; the bus never runs faster than it is asked to


def _symbols(one: int) -> list[bytes]:
    """Return what each byte is on the wire."""
    pairs = [(one if pair & 2 else 0b1000) << 4 | (one if pair & 1 else 0b1000) for pair in range(4)]
    return [bytes(pairs[byte >> shift & 3] for shift in (6, 4, 2, 0)) for byte in range(256)]


class Ws2812:
    """A ring or a strip: green, red and blue, eight bits each, the highest first."""

    _ONE = 0b1110
    _PARTS = 3

    def __init__(self, config: PanelConfig, *, open_spi: OpenSpi = LinuxSpi) -> None:
        self._pixels = config.pixels
        self._symbols = _symbols(self._ONE)
        self._shades = Shades(self._code)
        self._bus = open_spi(config.spi_device, _RATE_HZ)
        pixel_bytes, most = 4 * self._PARTS, self._bus.most_bytes
        if self._pixels * pixel_bytes + 2 * len(_QUIET) > most:
            self._bus.close()
            raise DeviceError(
                config.spi_device,
                doing="drive lights on",
                reason=f"{self._pixels} pixels do not go out in one piece of {most} bytes",
                advice=f"set panel.pixels to {(most - 2 * len(_QUIET)) // pixel_bytes} at most, or raise "
                "/sys/module/spidev/parameters/bufsiz (spidev.bufsiz=65536 in cmdline.txt, and reboot)",
            )

    def frame(self, moment: Moment) -> bytes:
        return _QUIET + self._shades.of(moment, self._pixels) + _QUIET

    def write(self, frame: bytes) -> None:
        self._bus.write(frame)

    def close(self) -> None:
        self._bus.close()

    def _code(self, moment: Moment, part: float) -> bytes:
        red, green, blue = (steps(each * part, moment.brightness, 255) for each in moment.pattern.colour)
        return b"".join(self._symbols[each] for each in self._order(red, green, blue))

    def _order(self, red: int, green: int, blue: int) -> tuple[int, ...]:
        return green, red, blue


class Sk6812(Ws2812):
    """One with a white light in each pixel: it shows what red, green and blue have in common."""

    _ONE = 0b1100
    _PARTS = 4

    def _order(self, red: int, green: int, blue: int) -> tuple[int, ...]:
        white = min(red, green, blue)
        return green - white, red - white, blue - white, white
