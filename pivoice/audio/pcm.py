"""The two hardware edges of the audio room, and the table of what implements them.

A PCM belongs to the thread that opened it. Samples are int16 numpy arrays, mono, at the card's own
rate: whatever the card wants else (channels, 24 or 32 bit) is converted inside the implementation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]


@dataclass(frozen=True)
class Format:
    """What the card was opened with."""

    rate_hz: int
    period_frames: int
    buffer_frames: int
    card_channels: int
    card_encoding: str
    """ALSA's name: S16_LE, S24_3LE, S32_LE."""


class Capture(Protocol):
    """A microphone, open."""

    format: Format
    xruns: int
    """Overruns so far."""

    def read(self) -> Samples:
        """Return the next period: `format.period_frames` mono samples.

        Blocks up to one period. The array is yours. Overruns are counted, never raised.

        Raises:
            DeviceError: the card is gone; close, and reopen later.
        """

    def close(self) -> None:
        """Release the card. Safe to call twice, and after an error."""


class Playback(Protocol):
    """A speaker, open."""

    format: Format
    xruns: int
    """Underruns so far, those of a start after a stop not counted."""

    def wait(self) -> None:
        """Block until a period fits without making the card hold more than `buffer_frames`.

        Content should be decided after this returns, so that it is as fresh as can be.
        """

    def write(self, period: Samples) -> None:
        """Hand over one period (`format.period_frames` mono samples). Starts a stopped PCM.

        Raises:
            DeviceError: the card is gone; close, and reopen later.
        """

    def drop(self) -> None:
        """Stop now and lose what the card holds. The next `write` starts it again."""

    def delay_frames(self) -> int:
        """Return how many written frames have not sounded yet."""

    def close(self) -> None:
        """Release the card, losing what it holds. Safe to call twice, and after an error."""
