"""What a side of the test bed's sound card speaks, and its bytes: the test's own idea of ALSA's formats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]
Encoding = Literal["S16_LE", "S24_3LE", "S24_LE", "S32_LE"]


@dataclass(frozen=True)
class Card:
    """What one side of the sound card speaks: one rate and format, as cheap cards do, or more (`or_*`)."""

    rate_hz: int = 48000
    channels: int = 1
    format: Encoding = "S16_LE"
    or_rates: tuple[int, ...] = ()
    or_channels: tuple[int, ...] = ()
    or_formats: tuple[Encoding, ...] = ()

    @property
    def definition(self) -> str:
        """What ALSA's configuration says of it."""
        rates = " ".join(map(str, (self.rate_hz, *self.or_rates)))
        channels = " ".join(map(str, (self.channels, *self.or_channels)))
        return f'rate "{rates}"; channels "{channels}"; format "{" ".join((self.format, *self.or_formats))}"'

    @property
    def sample_bytes(self) -> int:
        return {"S16_LE": 2, "S24_3LE": 3}.get(self.format, 4)

    @property
    def frame_bytes(self) -> int:
        return self.sample_bytes * self.channels

    def encode(self, frames: Samples) -> bytes:
        """Return the card's bytes of `frames` (n x channels): int16 becomes the upper 16 bits.

        int32 is taken as it is, full scale 2**31, and loses what the card has no bits for.
        """
        wide = frames if frames.dtype == np.int32 else frames.astype(np.int32) << 16
        if self.format == "S24_LE":
            wide = wide >> 8  # its upper byte is sign on some cards, and rubbish on others
        octets = np.ascontiguousarray(wide, "<i4").view(np.uint8).reshape(*wide.shape, 4)
        return octets[..., -self.sample_bytes :].tobytes()

    def decode(self, content: bytes) -> Samples:
        """Return n x channels int16 of the card's bytes: the upper 16 bits."""
        octets = np.frombuffer(content, np.uint8).reshape(-1, self.channels, self.sample_bytes)
        upper = octets[..., 1:3] if self.format == "S24_LE" else octets[..., -2:]
        return np.ascontiguousarray(upper).view("<i2")[..., 0].astype(np.int16)
