"""WAV files as people have them: PCM of 8 to 32 bits and floats, at any rate, of any number of channels.

Any thread; reads, and keeps nothing. Python's own `wave` knows no floats, and before 3.12 none of the headers
(WAVE_FORMAT_EXTENSIBLE) that most programs write for more than 16 bits or two channels. What a file promises
is checked before its sound is read: a header is no reason to take a gigabyte of memory.
"""

from __future__ import annotations

import math
import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import numpy as np

from pivoice.audio.encodings import Wide, decoded
from pivoice.audio.pcm import Samples, to_int16

RATES_HZ = (4_000, 192_000)
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_COMPRESSED = {
    2: "Microsoft ADPCM",
    6: "A-law",
    7: "mu-law",
    0x11: "IMA ADPCM",
    0x31: "GSM 6.10",
    0x50: "MPEG",
    0x55: "MP3",
}  # the registry of RFC 2361
_OTHERS = {
    b"OggS": "Ogg",
    b"fLaC": "FLAC",
    b"ID3": "MP3",
    b"\xff\xfb": "MP3",
    b"FORM": "AIFF",
    b"RF64": "RF64",
    b"RIFX": "big-endian RIFX",
    b".snd": "AU",
    b"caff": "CAF",
}  # what else people call .wav, by its first bytes
_MOST_CHUNKS = 1000
_MOST_CHANNELS = 32


class WavError(ValueError):
    """A file that cannot be used; its text follows the file's name in a sentence: "is no WAV file"."""


@dataclass(frozen=True)
class Wav:
    """The sound of a file."""

    frames: Samples | Wide
    """n x channels; full scale is 32768, whatever the file has."""
    rate_hz: int

    def as_int16(self) -> Samples:
        """Return the frames in 16 bits: the same ones where they have no more."""
        if self.frames.dtype == np.int16:
            return cast(Samples, self.frames)
        return to_int16(self.frames.astype(np.float32, copy=False))


@dataclass(frozen=True)
class _Layout:
    """What the header says."""

    encoding: str
    channels: int
    rate_hz: int
    frame_bytes: int


def read_wav(path: Path, *, most_s: float = math.inf, is_whole: bool = True) -> Wav:
    """Return the sound of the file at `path`, all of it.

    `is_whole` False: of a file that ends before its header says so, what there is.

    Raises:
        WavError: it is no WAV file, or not one of those above, or lasts longer than `most_s`.
        OSError: it cannot be read.
    """
    with open(path, "rb", opener=_open_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise WavError("is no file")
        return decode_wav(file, most_s=most_s, is_whole=is_whole)


def decode_wav(file: IO[bytes], *, most_s: float = math.inf, is_whole: bool = True) -> Wav:
    """Return the sound of an open file, as `read_wav` does."""
    _check_kind(file.read(12))
    layout, promised = _find_sound(file)
    begins = file.tell()
    there = min(promised, file.seek(0, os.SEEK_END) - begins)
    file.seek(begins)
    if is_whole and there < promised:
        per_s = layout.rate_hz * layout.frame_bytes
        promised_s, there_s = promised / per_s, there / per_s
        raise WavError(f"ends too early: its header promises {promised_s:.2f} s, {there_s:.2f} s are there")
    count = there // layout.frame_bytes
    if count > most_s * layout.rate_hz:
        raise WavError(f"lasts {count / layout.rate_hz:.1f} s; at most {most_s:g} s are taken")
    return Wav(_frames(file.read(count * layout.frame_bytes), layout), layout.rate_hz)


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe would wait for somebody to write


def _check_kind(head: bytes) -> None:
    if not head:
        raise WavError("is empty")
    if head[:4] == b"RIFF" and head[8:] == b"WAVE":
        return
    other = next((kind for beginning, kind in _OTHERS.items() if head.startswith(beginning)), "")
    raise WavError(f"is no WAV file, but {other}" if other else "is no WAV file")


def _find_sound(file: IO[bytes]) -> tuple[_Layout, int]:
    """Return what the samples are and how many bytes of them are promised; `file` is at the first."""
    layout: _Layout | None = None
    for _ in range(_MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            break
        kind, size = struct.unpack("<4sI", head)
        if kind == b"data":
            if layout is None:
                raise WavError("does not say what its samples are before they come")
            return layout, size
        ends = file.tell() + size + size % 2
        if kind == b"fmt ":
            layout = _layout(file.read(min(size, 40)))
        file.seek(ends)
    raise WavError("has no sound in it: it ends within its header")


def _layout(header: bytes) -> _Layout:
    if len(header) < 16:
        raise WavError("has a header that is cut off")
    kind, channels, rate_hz, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", header)
    if kind == _EXTENSIBLE and len(header) >= 26:
        (kind,) = struct.unpack_from("<H", header, 24)  # the first bytes of the sub-format's GUID
    if not 1 <= channels <= _MOST_CHANNELS:
        raise WavError(f"says it has {channels} channels")
    if not RATES_HZ[0] <= rate_hz <= RATES_HZ[1]:
        raise WavError(f"says it has {rate_hz} samples a second; {RATES_HZ[0]} to {RATES_HZ[1]} are taken")
    if frame_bytes * 8 != channels * bits:  # of 24 bits in four bytes nobody knows which three they are
        raise WavError(f"says it has {bits} bits a sample, and {frame_bytes} bytes for {channels} of them")
    encoding = {
        (_PCM, 8): "U8",
        (_PCM, 16): "S16_LE",
        (_PCM, 24): "S24_3LE",
        (_PCM, 32): "S32_LE",
        (_FLOAT, 32): "FLOAT",
    }.get((kind, bits))
    if encoding is None:
        plain = {_PCM: f"{bits}-bit PCM", _FLOAT: f"{bits}-bit floats"}
        found = plain.get(kind) or _COMPRESSED.get(kind, f"of format {kind:#06x}")
        raise WavError(f"is {found}; PCM of 8, 16, 24 or 32 bits and 32-bit floats are taken")
    return _Layout(encoding, channels, rate_hz, frame_bytes)


def _frames(content: bytes, layout: _Layout) -> Samples | Wide:
    if layout.encoding == "U8":
        octets = np.frombuffer(content, np.uint8).astype(np.int16)
        return ((octets - 128) * 256).reshape(-1, layout.channels)
    if layout.encoding == "FLOAT":
        with np.errstate(over="ignore"):  # what overflows is no number either
            floats = np.frombuffer(content, "<f4").astype(np.float32) * np.float32(32768)
        if not np.isfinite(floats).all():
            raise WavError("holds samples that are no numbers")
        return floats.reshape(-1, layout.channels)
    return decoded(content, layout.encoding, layout.channels)
