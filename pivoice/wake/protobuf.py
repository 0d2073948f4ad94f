"""Protobuf's wire format, as far as .onnx files use it: fields, numbers and text. PURE.

Knows nothing of ONNX. Never trusts what it reads: every size is checked before it is believed, and the
parts are counted, so that a small hostile message cannot cost a long time. Views, never copies.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PARTS_LIMIT = 2_000_000  # fields and numbers in all, about 2 s; openwakeword's largest file has 3,000
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5  # 3 and 4 were groups, long gone
_FOREIGN = "is damaged: not in the format of ONNX files"

Found = tuple[int, int, Any]
"""Field number, wire type, and what was there: an int, unsigned, or a memoryview."""


class MessageError(ValueError):
    """What was read is no such message. Its text is the reason, as the end of a sentence."""


class Wire:
    """One reading of one message and all within it."""

    def __init__(self) -> None:
        self._parts_left = _PARTS_LIMIT

    def fields(self, view: memoryview) -> Iterator[Found]:
        """Yield the fields of one message, in their order. Raises MessageError, here and below."""
        at, end = 0, len(view)
        while at < end:
            self.count()
            key, at = _varint(view, at)
            number, wire = key >> 3, key & 7
            if not 0 < number < 2**29:
                raise MessageError(_FOREIGN)
            if wire == _VARINT:
                found, at = _varint(view, at)
                yield number, wire, found
                continue
            if wire == _LENGTH:
                size, at = _varint(view, at)
            elif wire in (_FOUR_BYTES, _EIGHT_BYTES):
                size = 4 if wire == _FOUR_BYTES else 8
            else:
                raise MessageError(_FOREIGN)
            if size > end - at:
                raise MessageError("is damaged or cut short: a part of it goes past its end")
            yield number, wire, view[at : at + size]
            at += size

    def integers(self, wire: int, found: Any) -> list[int]:
        """Return whole numbers, unsigned: one, or a packed row of them."""
        if wire == _VARINT:
            return [found]
        row = part(wire, found)
        at, numbers = 0, []
        while at < len(row):
            self.count()
            number, at = _varint(row, at)
            numbers.append(number)
        return numbers

    def floats(self, wire: int, found: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return floating-point numbers of 4 or 8 bytes: one, or a packed row of them. A view."""
        single = _FOUR_BYTES if dtype.itemsize == 4 else _EIGHT_BYTES
        if wire not in (single, _LENGTH) or len(found) % dtype.itemsize:
            raise MessageError("is damaged: numbers of the wrong size")
        return np.frombuffer(found, dtype.newbyteorder("<"))

    def count(self, parts: int = 1) -> None:
        """Note that so many more parts were read, and stop when they are too many."""
        self._parts_left -= parts
        if self._parts_left < 0:
            raise MessageError(f"has more than {_PARTS_LIMIT} parts, which no wake word has")


def signed(number: int) -> int:
    """Return the 64 bits of `number` as a signed one."""
    return number - 2**64 if number >= 2**63 else number


def integer(wire: int, found: Any) -> int:
    """Return the one whole number of a field, signed."""
    if wire != _VARINT:
        raise MessageError(_FOREIGN)
    return signed(found)


def part(wire: int, found: Any) -> memoryview:
    """Return the bytes of a field: a message, a text, a packed row."""
    if wire != _LENGTH:
        raise MessageError(_FOREIGN)
    assert isinstance(found, memoryview)
    return found


def text(wire: int, found: Any) -> str:
    """Return the text of a field."""
    try:
        return str(part(wire, found), "utf-8")
    except UnicodeDecodeError as error:
        raise MessageError("is damaged: a name in it is not text") from error


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    """Return the number written at `at`, 64 bits unsigned, and where the next thing begins."""
    number = shift = 0
    while shift < 70:
        if at >= len(view):
            raise MessageError("is damaged or cut short: it ends within a number")
        byte = view[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number & (2**64 - 1), at
        shift += 7
    raise MessageError("is damaged: a number of more than 10 bytes")
