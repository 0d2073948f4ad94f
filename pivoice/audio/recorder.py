"""A microphone with all its channels, to measure it by: the rest of the house hears one of them.

The thread that opened it. Neither offset nor gain is touched: what comes is what the card gives.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pivoice.audio import alsa
from pivoice.audio.encodings import Wide
from pivoice.audio.negotiation import bare_name
from pivoice.audio.pcm import Capture, open_capture
from pivoice.clock import Clock
from pivoice.config import AudioConfig
from pivoice.errors import DeviceError

MOST_CHANNELS = 16
"""The configuration can name no more. A plug-in that says it has more makes them up."""


class Recorder:
    """Opens on construction.

    Raises (on construction):
        DeviceError: it cannot be opened now.
    """

    def __init__(self, name: str, audio: AudioConfig, clock: Clock) -> None:
        plain = replace(audio, capture=name, channel=0, gain_db=0.0)
        self._pcm: Capture | alsa.AlsaCapture
        if name.startswith("simulated:"):
            self._pcm = open_capture(name, plain, clock)
            self.channels = 1
        else:
            self._pcm = alsa.AlsaCapture(name, replace(plain, channel=channels_of(name) - 1), clock)
            self.channels = self._pcm.format.card_channels
        self.rate_hz = self._pcm.format.rate_hz

    def read(self) -> Wide:
        """Return the next period, n x channels; full scale is 32768.

        Raises:
            DeviceError: the card is gone.
        """
        if isinstance(self._pcm, alsa.AlsaCapture):
            return self._pcm.read_channels()
        return self._pcm.read().astype(np.float32)[:, None]

    def close(self) -> None:
        """Release the card."""
        self._pcm.close()


def channels_of(name: str) -> int:
    """Return how many channels the microphone behind `name` has; 1 where that cannot be known.

    Raises:
        DeviceError: it cannot be opened now.
    """
    try:
        channels = alsa.constraints(bare_name(name, "capture") or name, "capture")[2]
    except DeviceError:
        channels = alsa.constraints(name, "capture")[2]
    return max(channels) if channels and max(channels) <= MOST_CHANNELS else 1
