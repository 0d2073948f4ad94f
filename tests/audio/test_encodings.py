"""Bytes of cards: what is in them comes out whole, whatever the card leaves around it."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from pivoice.audio.encodings import ENCODINGS, decoded, encoded


def packed(value: int) -> bytes:
    """Return a 24 bit sample as cards pack it into three bytes."""
    return struct.pack("<i", value)[:3]


def test_all_24_bits_of_a_sample_are_kept_in_each_way_of_writing_them():
    values = [0, 1, -1, 255, -256, 0x123456, -0x123456, 0x7FFFFF, -0x800000]
    in_three = b"".join(map(packed, values))
    in_four = b"".join(struct.pack("<i", value) for value in values)
    in_32 = b"".join(struct.pack("<i", value << 8) for value in values)

    heard = [
        decoded(content, encoding, 1, channel=0)
        for content, encoding in ((in_three, "S24_3LE"), (in_four, "S24_LE"), (in_32, "S32_LE"))
    ]

    for each in heard:
        assert each.dtype == np.float32
        assert (each * 256).tolist() == values


def test_what_a_card_leaves_in_the_fourth_byte_of_24_bits_is_not_heard():
    content = bytes.fromhex("563412ff 563412 7f 000080 00".replace(" ", ""))

    heard = decoded(content, "S24_LE", 1, channel=0)

    assert (heard * 256).tolist() == [0x123456, 0x123456, -0x800000]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("channels", [1, 2, 3, 8])
def test_what_is_encoded_is_in_every_channel_and_decodes_to_the_same(encoding: str, channels: int):
    sound = np.random.default_rng(1).integers(-32768, 32768, 500).astype(np.int16)

    content = encoded(sound, encoding, channels)

    assert len(content) == 500 * channels * ENCODINGS[encoding]
    for channel in range(channels):
        assert np.array_equal(decoded(content, encoding, channels, channel=channel), sound)
    assert np.array_equal(decoded(content, encoding, channels), np.repeat(sound[:, None], channels, axis=1))
