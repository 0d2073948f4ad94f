"""WAV files as people have them, and as they should not."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pivoice.audio.wav_file import Wav, WavError, decode_wav, read_wav

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
GUID_REST = bytes.fromhex("000000001000800000aa00389b71")[2:]


def chunk(kind: bytes, content: bytes, size: int | None = None) -> bytes:
    padded = content + b"\0" * (len(content) % 2)
    return kind + struct.pack("<I", len(content) if size is None else size) + padded


def header(
    kind: int, bits: int, *, channels: int = 1, rate_hz: int = 48000, extensible: bool = False
) -> bytes:
    frame_bytes = channels * bits // 8
    outer = EXTENSIBLE if extensible else kind
    plain = struct.pack("<HHIIHH", outer, channels, rate_hz, rate_hz * frame_bytes, frame_bytes, bits)
    return plain + struct.pack("<HHIH", 22, bits, 0, kind) + GUID_REST if extensible else plain


def wav(fmt: bytes, sound: bytes, *between: bytes, promised: int | None = None) -> bytes:
    body = b"WAVE" + chunk(b"fmt ", fmt) + b"".join(between) + chunk(b"data", sound, promised)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def decode(content: bytes, **how: float) -> Wav:
    return decode_wav(io.BytesIO(content), **how)  # type: ignore[arg-type]


def refusal(content: bytes, **how: float) -> str:
    with pytest.raises(WavError) as caught:
        decode(content, **how)
    return str(caught.value)


def encoded(values: NDArray[np.float64], kind: int, bits: int) -> bytes:
    """Return `values` (full scale 1) as samples of that kind."""
    if kind == FLOAT:
        return values.astype("<f4").tobytes()
    whole = np.rint(values * (2 ** (bits - 1) - 1)).astype(np.int64)
    if bits == 8:
        return (whole + 128).astype(np.uint8).tobytes()
    return b"".join(int(value).to_bytes(bits // 8, "little", signed=True) for value in whole)


@pytest.mark.parametrize("extensible", [False, True])
@pytest.mark.parametrize(("kind", "bits"), [(PCM, 8), (PCM, 16), (PCM, 24), (PCM, 32), (FLOAT, 32)])
@pytest.mark.parametrize("channels", [1, 2, 8])
def test_every_sane_kind_of_sample_comes_out_as_loud_as_it_went_in(
    kind: int, bits: int, channels: int, extensible: bool
):
    values = np.random.default_rng(3).uniform(-1, 1, 40 * channels)
    fmt = header(kind, bits, channels=channels, rate_hz=44100, extensible=extensible)

    found = decode(wav(fmt, encoded(values, kind, bits)))

    assert found.rate_hz == 44100
    assert found.frames.shape == (40, channels)
    wanted = (values * 32768).reshape(-1, channels)
    assert np.abs(found.frames - wanted).max() <= (400 if bits == 8 else 2)


def test_other_chunks_before_and_after_the_sound_are_passed_over():
    sound = struct.pack("<3h", 1, -2, 3)
    content = wav(header(PCM, 16), sound, chunk(b"LIST", b"odd"), chunk(b"bext", b"x" * 600))

    assert decode(content + chunk(b"id3 ", b"more")).frames[:, 0].tolist() == [1, -2, 3]


def test_a_float_above_full_scale_is_kept():
    assert decode(wav(header(FLOAT, 32), struct.pack("<f", 1.5))).frames[0, 0] == 1.5 * 32768


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"RIFF", "is no WAV file"),
        (b"\x89PNG\r\n\x1a\n and more", "is no WAV file"),
        (b"OggS and some more", "is no WAV file, but Ogg"),
        (b"\xff\xfb\x90\x00 and some more", "is no WAV file, but MP3"),
        (b"RF64\xff\xff\xff\xffWAVE", "is no WAV file, but RF64"),
        (wav(header(PCM, 16), b"")[:12], "has no sound in it"),
        (wav(header(PCM, 16), b"")[:30], "has a header that is cut off"),
        (b"RIFF\0\0\0\0WAVE" + chunk(b"data", b"1234"), "does not say what its samples are"),
        (wav(header(PCM, 64), b"1" * 80), "is 64-bit PCM; PCM of 8, 16, 24 or 32 bits and 32-bit floats"),
        (wav(header(FLOAT, 64), b"1" * 80), "is 64-bit floats"),
        (wav(header(0x11, 8), b"1" * 80), "is IMA ADPCM"),
        (wav(header(6, 8), b"1" * 80), "is A-law"),
        (wav(header(0x1234, 8), b"1" * 80), "is of format 0x1234"),
        (wav(header(PCM, 16, channels=0), b"1" * 80), "says it has 0 channels"),
        (wav(header(PCM, 16, channels=200), b"1" * 80), "says it has 200 channels"),
        (wav(header(PCM, 16, rate_hz=0), b"1" * 80), "says it has 0 samples a second; 4000 to 192000"),
        (wav(header(PCM, 16, rate_hz=400_000), b"1" * 80), "says it has 400000 samples a second"),
        (wav(header(FLOAT, 32), struct.pack("<2f", 0.5, np.nan)), "holds samples that are no numbers"),
        (wav(header(FLOAT, 32), struct.pack("<2f", 0.5, 3e38)), "holds samples that are no numbers"),
        (wav(header(PCM, 24)[:12] + struct.pack("<HH", 4, 24), b"1" * 80), "24 bits a sample, and 4 bytes"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_says_what_it_is(content: bytes, said: str):
    assert said in refusal(content)


def test_a_file_that_is_cut_off_says_how_much_is_there():
    content = wav(header(PCM, 16, rate_hz=8000), b"\0" * 8000, promised=16000)

    assert refusal(content) == "ends too early: its header promises 1.00 s, 0.50 s are there"
    assert len(decode(content, is_whole=False).frames) == 4000


def test_a_file_that_lasts_too_long_is_refused_before_it_is_read():
    content = wav(header(PCM, 16, rate_hz=8000), b"\0" * 16000)

    assert refusal(content, most_s=0.9) == "lasts 1.0 s; at most 0.9 s are taken"


def test_a_device_is_no_file():
    with pytest.raises(WavError, match="is no file"):
        read_wav(Path("/dev/zero"))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_a_file_holds_it_is_sound_or_refused(data: st.DataObject):
    content = bytearray(
        wav(header(PCM, 24, channels=2, extensible=True), bytes(range(60)), chunk(b"LIST", b"x"))
    )
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))

    try:
        found = decode(bytes(content[:cut]))
    except WavError:
        return
    assert np.isfinite(found.frames).all()
    assert 4000 <= found.rate_hz <= 192_000
