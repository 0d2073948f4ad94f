"""What a sound card can do: its own rates, formats and channels, before anybody converts anything.

Asked of the card itself, which is opened for a moment and neither played to nor recorded from; of a USB card
that is in use, read out of what the kernel knows. Any thread.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pivoice.audio import alsa
from pivoice.audio.cards import PROC
from pivoice.audio.ports import Port, Side

RATES_HZ = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000, 176400, 192000)
"""Those that are told of a card that takes any."""
_MOST_CHANNELS = 32  # of a card; a plug-in takes as many as there are numbers
_BLOCK = re.compile(r"^(Playback|Capture):$", re.MULTILINE)
_FACT = re.compile(r"^\s+(Format|Channels|Rates): *(.*?) *$", re.MULTILINE)
_RANGE = re.compile(r"(\d+) - (\d+)")


@dataclass(frozen=True)
class Abilities:
    """What a card takes, or gives; not every combination of it, maybe."""

    rates_hz: tuple[int, ...]
    encodings: tuple[str, ...]
    """ALSA's names: S16_LE, S24_3LE, S32_LE."""
    channels: tuple[int, ...]

    def __str__(self) -> str:
        rates = ", ".join(f"{rate_hz / 1000:g}" for rate_hz in self.rates_hz)
        first, last = self.channels[0], self.channels[-1]
        if len(self.channels) > 2 and last - first == len(self.channels) - 1:
            channels = f"{first} to {last}"
        else:
            channels = " or ".join(map(str, self.channels))
        plural = "" if self.channels == (1,) else "s"
        return f"{rates} kHz; {', '.join(self.encodings)}; {channels} channel{plural}"


def asked(pcm: str, side: Side) -> Abilities:
    """Return what the card behind `pcm` says of itself. Give it a `Port.bare`: a plug-in says everything.

    Raises:
        DeviceError: it does not open now.
    """
    rates, formats, channels = alsa.constraints(pcm, side)
    return Abilities(
        rates_hz=_rates(rates),
        encodings=tuple(formats),
        channels=tuple(each for each in channels if each <= _MOST_CHANNELS) or tuple(channels[:1]),
    )


def told(port: Port, *, proc: Path = PROC) -> Abilities | None:
    """Return what the kernel knows of a USB card, also while it is in use; None of any other card."""
    try:
        text = (proc / f"card{port.number}" / f"stream{port.device}").read_text(errors="replace")
    except OSError:
        return None
    parts = _BLOCK.split(text)
    wanted = "Capture" if port.side == "capture" else "Playback"
    facts: dict[str, list[str]] = {"Format": [], "Channels": [], "Rates": []}
    for title, block in zip(parts[1::2], parts[2::2], strict=True):
        if title == wanted:
            for name, value in _FACT.findall(block):
                facts[name].append(value)
    rates = sorted({rate_hz for value in facts["Rates"] for rate_hz in _told_rates(value)})
    channels = sorted({int(value) for value in facts["Channels"] if value.isdecimal()})
    if not rates or not channels or not facts["Format"]:
        return None
    return Abilities(tuple(rates), tuple(dict.fromkeys(facts["Format"])), tuple(channels))


def _told_rates(value: str) -> tuple[int, ...]:
    if spread := _RANGE.match(value):
        return _within(int(spread[1]), int(spread[2]))
    return tuple(int(each) for each in re.findall(r"\d+", value))


def _rates(rates: int | tuple[int, int] | list[int]) -> tuple[int, ...]:
    """Return the rates of what pyalsaaudio gives: one, the ends of a range, or those of the usual ones."""
    if isinstance(rates, int):
        return (rates,)
    return _within(*rates) if isinstance(rates, tuple) else tuple(rates)


def _within(lowest_hz: int, highest_hz: int) -> tuple[int, ...]:
    usual = [rate_hz for rate_hz in RATES_HZ if lowest_hz <= rate_hz <= highest_hz]
    return tuple(usual) or (lowest_hz, highest_hz)
