"""What cards make of samples: 16 bits, 24 in three bytes or in four, 32; in, one channel of them; out, all.

PURE. Nothing is rounded here: a 24 or 32 bit card's sound comes out as floats, so that what a quiet
microphone gives is still there when it is made louder (conditioning.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pivoice.audio.pcm import Samples

ENCODINGS = {"S16_LE": 2, "S32_LE": 4, "S24_LE": 4, "S24_3LE": 3}
"""Bytes of a sample in the formats understood here, by ALSA's names."""
Wide = NDArray[np.float32]
"""Samples of more than 16 bits: full scale is 32768, as that of `Samples` is."""

_OF_32 = np.float32(2.0**-16)


def decoded(
    content: bytes, encoding: str, channels: int, *, channel: int | slice = slice(None)
) -> Samples | Wide:
    """Return one channel of the card's bytes, or n x channels of them.

    int16 where the card's samples are that, else float32 with all their bits.
    """
    if encoding == "S16_LE":
        return np.frombuffer(content, "<i2").reshape(-1, channels)[:, channel].astype(np.int16)
    if encoding == "S24_3LE":
        octets = np.frombuffer(content, np.uint8).reshape(-1, channels, 3)[:, channel]
        padded = np.zeros((*octets.shape[:-1], 4), np.uint8)
        padded[..., 1:] = octets
        frames = padded.view("<i4")[..., 0]
    else:
        frames = np.frombuffer(content, "<i4").reshape(-1, channels)[:, channel]
        if encoding == "S24_LE":
            frames = frames << 8  # its uppermost byte is the sign on some cards, and rubbish on others
    return frames.astype(np.float32) * _OF_32


def encoded(samples: Samples, encoding: str, channels: int) -> bytes:
    """Return the card's bytes of mono samples, the same in every channel."""
    if encoding == "S16_LE":
        wide = samples.astype("<i2")
    elif encoding == "S24_3LE":
        padded = np.zeros((len(samples), 3), np.uint8)
        padded[:, 1:] = samples.astype("<i2").view(np.uint8).reshape(-1, 2)
        return np.repeat(padded, channels, axis=0).tobytes()
    else:
        wide = samples.astype("<i4") << (8 if encoding == "S24_LE" else 16)
    return np.repeat(wide, channels).tobytes()
