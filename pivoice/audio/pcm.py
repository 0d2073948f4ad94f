"""The two hardware edges of the audio room, and the table of what implements them.

A PCM belongs to the thread that opened it; only `close` may come from another, for a thread that is stuck.
Samples are int16 numpy arrays, mono, at the card's own
rate: whatever the card wants else (channels, 24 or 32 bit) is converted inside the implementation.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from pivoice.audio.card_faults import no_such_channel
from pivoice.clock import Clock
from pivoice.config import AudioConfig

Samples = NDArray[np.int16]


@dataclass(frozen=True)
class Format:
    """What the card was opened with."""

    rate_hz: int
    period_frames: int
    buffer_frames: int
    card_channels: int
    card_encoding: str
    """ALSA's name: S16_LE, S24_LE, S24_3LE, S32_LE."""
    card_no: int | None = None
    """The kernel's number of the card, for now; None: what was opened is not one card's alone."""


class Capture(Protocol):
    """A microphone, open."""

    format: Format
    xruns: int
    """Overruns so far."""

    def read(self, periods: int = 1) -> Samples:
        """Return the next periods: `format.period_frames` mono samples each.

        Blocks until they are there; several of them are cheaper together. The array is yours. Overruns are
        counted, never raised.

        Raises:
            DeviceError: the card is gone; close, and reopen later.
        """

    def amplify(self, factor: float) -> None:
        """Make what is read from now on so much louder, beside `audio.gain_db`; what is read first at once,
        later changes without a noise. Costs nothing while it stays the same."""

    def close(self) -> None:
        """Release the card. Safe to call twice, after an error, and from another thread: `read` then raises
        DeviceError as soon as it can; while it is stuck in a driver, the card stays open until it returns."""


class Playback(Protocol):
    """A speaker, open."""

    format: Format
    xruns: int
    """Underruns so far, those of a start after a stop not counted."""

    def wait(self) -> None:
        """Block until a period fits without making the card hold more than `buffer_frames`.

        Content should be decided after this returns, so that it is as fresh as can be. On a stopped PCM
        it returns at once.

        Raises:
            DeviceError: the card is gone, even if that happened while the PCM was stopped.
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
        """Release the card, losing what it holds. Safe as `Capture.close` is."""


IMPLEMENTATIONS = {
    "alsa": ("pivoice.audio.alsa:AlsaCapture", "pivoice.audio.alsa:AlsaPlayback"),
    "simulated": ("pivoice.audio.simulated:SimulatedCapture", "pivoice.audio.simulated:SimulatedPlayback"),
}
"""What opens a PCM name, by its prefix: (capture, playback). A name without one of these is ALSA's."""


def open_capture(name: str, audio: AudioConfig, clock: Clock) -> Capture:
    """Open a microphone by its name in the configuration. Capture thread.

    Raises:
        DeviceError: it cannot be opened now.
    """
    return cast(Capture, _implementation(name, 0)(name, audio, clock))


def open_playback(name: str, audio: AudioConfig, clock: Clock) -> Playback:
    """Open a speaker by its name in the configuration. Playback thread.

    Raises:
        DeviceError: it cannot be opened now.
    """
    return cast(Playback, _implementation(name, 1)(name, audio, clock))


def pick_channel(frames: NDArray[np.int16], channel: int, *, device: str) -> Samples:
    """Return one channel of `frames` (n x channels) as an array of its own.

    Raises:
        DeviceError: the card has no such channel.
    """
    channels = frames.shape[1]
    if channel >= channels:
        raise no_such_channel(device, channel, channels)
    return np.ascontiguousarray(frames[:, channel])


def amplified(samples: Samples, gain: float) -> Samples:
    """Return `samples` times `gain`, rounded and clipped; the same array when the gain is 1."""
    if gain == 1.0:
        return samples
    return to_int16(samples * np.float32(gain))


def to_int16(samples: NDArray[np.float32]) -> Samples:
    """Return float samples (full scale 32768) rounded and clipped to int16."""
    return np.clip(np.rint(samples), -32768, 32767).astype(np.int16)


def from_db(level_db: float) -> float:
    """Return the factor that a level in dB stands for."""
    return float(10.0 ** (level_db / 20.0))


def _implementation(name: str, side: int) -> Callable[[str, AudioConfig, Clock], object]:
    prefix = name.partition(":")[0]
    place = IMPLEMENTATIONS.get(prefix, IMPLEMENTATIONS["alsa"])[side]
    module, _, kind = place.partition(":")
    return cast(Callable[[str, AudioConfig, Clock], object], getattr(importlib.import_module(module), kind))
