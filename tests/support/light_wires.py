"""What chips on the wire make of it: written from their data sheets alone, not from what drives them."""

from __future__ import annotations

from dataclasses import dataclass

Wave = list[tuple[int, float]]
"""Level and seconds, in turns."""


@dataclass(frozen=True)
class Sheet:
    """Timing of a chip on one wire: shortest and longest, in ns, and how long a low shows it all."""

    name: str
    zero_high: tuple[float, float]
    one_high: tuple[float, float]
    zero_low: tuple[float, float]
    one_low: tuple[float, float]
    reset_us: float
    colours: str = "GRB"


WS2812B = Sheet("WS2812B", (250, 550), (650, 950), (700, 1000), (300, 600), 50)
WS2812B_V5 = Sheet("WS2812B-V5", (220, 380), (580, 1000), (580, 1000), (220, 1000), 280)
SK6812 = Sheet("SK6812RGBW", (150, 450), (450, 750), (750, 1050), (450, 750), 80, "GRBW")


def shown_on_one_wire(wave: Wave, sheet: Sheet) -> list[dict[str, int]]:
    """Return the colours that a long chain shows after `wave`; every time in it is held against the sheet."""
    before, *pulses = wave
    at_rest_us = (before[1] if before[0] == 0 else pulses.pop(0)[1]) * 1e6
    assert at_rest_us >= sheet.reset_us, f"the chain is not reset first: low for {at_rest_us} us"
    bits = []
    for nth in range(0, len(pulses), 2):
        (high, high_s), (low, low_s) = pulses[nth : nth + 2]
        assert (high, low) == (1, 0)
        is_last = nth + 2 == len(pulses)
        bit = int(high_s * 1e9 > (sheet.zero_high[1] + sheet.one_high[0]) / 2)
        _within(high_s * 1e9, sheet.one_high if bit else sheet.zero_high, sheet, f"high of bit {len(bits)}")
        if is_last:
            assert low_s * 1e6 >= sheet.reset_us, f"what was sent is never shown: low for {low_s * 1e6} us"
        else:
            _within(low_s * 1e9, sheet.one_low if bit else sheet.zero_low, sheet, f"low of bit {len(bits)}")
        bits.append(bit)
    size = 8 * len(sheet.colours)
    assert len(bits) % size == 0, f"{len(bits)} bits are no whole pixels"
    return [
        {
            colour: int("".join(map(str, bits[at + 8 * nth : at + 8 * nth + 8])), 2)
            for nth, colour in enumerate(sheet.colours)
        }
        for at in range(0, len(bits), size)
    ]


def _within(lasted_ns: float, bounds: tuple[float, float], sheet: Sheet, what: str) -> None:
    assert bounds[0] <= lasted_ns <= bounds[1], f"{sheet.name}: {what} lasts {lasted_ns:.0f} ns, not {bounds}"


@dataclass
class Chip:
    """One APA102 in a chain: takes the first pixel after 32 zeros, hands on the rest half a clock late."""

    shown: tuple[int, int, int, int] | None = None
    """Brightness (0-31), red, green, blue."""


def shown_on_two_wires(frame: bytes, chips: int, *, waits_for_zeros: bool) -> list[Chip]:
    """Return a chain of `chips` after `frame` was clocked into it, bit by bit.

    `waits_for_zeros`: they are SK9822, which show a pixel only once 32 more zeros came by.
    """
    bits = [byte >> shift & 1 for byte in frame for shift in range(7, -1, -1)]
    chain = [Chip() for _ in range(chips)]
    assert not any(bits[:32]), "no start: 32 zeros"
    assert bits[32], "more than 32 zeros are a start, and an end too"
    for nth, chip in enumerate(chain):
        word = bits[32 * (nth + 1) : 32 * (nth + 2)]
        if word[:3] != [1, 1, 1]:
            break
        level, blue, green, red = (
            int("".join(map(str, word[begin:end])), 2) for begin, end in ((3, 8), (8, 16), (16, 24), (24, 32))
        )
        # each chip before it held the data back by half a clock, which has to be clocked on
        clocks_after = len(bits) - 32 * (nth + 2) - nth / 2
        if clocks_after >= (32 if waits_for_zeros else 0):
            chip.shown = (level, red, green, blue)
    assert not any(bits[32 * (chips + 1) :]), "a longer strip would show what is no pixel"
    return chain
