"""Reads .onnx files: the graph of operators, the weights, and what goes in and comes out.

Knows ONNX's field numbers (onnx.proto3, IR 3 to 13); `protobuf.py` knows the bytes. The packages `onnx`
and `protobuf` would do the same and cost some 30 MB of memory on a device that needs 20 for everything
else, so they are the tests' oracle instead. Any thread; nothing is kept open.

Never trusts the file: it is the owner's own, found on some page. Whatever is damaged, cut short, foreign or
malicious ends in `NotAModelError`, in time and memory that follow from the size of the file. Never runs
anything, never reads a second file (weights kept "externally"), never knows what an operator means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pivoice.wake import protobuf

_SIZE_LIMIT = 64 * 2**20  # bytes; a wake word's network has 0.1 to 5 MB
_DEPTH_LIMIT = 8  # graphs within graphs (the branches of an If); openwakeword's go to 2

Array = NDArray[Any]


class NotAModelError(ValueError):
    """The file is no ONNX model that pivoice can use. Its text is why, as the end of a sentence."""


@dataclass(frozen=True)
class Value:
    """An input or an output of a graph, as the file declares it."""

    name: str
    dtype: np.dtype[Any] | None
    """None: not declared, or not a tensor of numbers."""
    shape: tuple[int | str | None, ...] | None
    """A name or None where a size is left open; None altogether when not declared."""


@dataclass(frozen=True)
class Node:
    """One operator, and the names of what it reads and writes. An empty name is an optional one left out."""

    op: str
    domain: str
    """Empty for ONNX's own operators."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    """int, float, str (bytes when not UTF-8), array, Graph, or a tuple of one of these."""
    name: str


@dataclass(frozen=True)
class Graph:
    """A network, or a branch of one."""

    nodes: tuple[Node, ...]
    initializers: Mapping[str, Array]
    """The weights. Read-only, aligned, and no view into the file."""
    inputs: tuple[Value, ...]
    """Without those that are initializers."""
    outputs: tuple[Value, ...]
    opset: int
    """The version of ONNX's operators that is meant: some changed."""


def read_model(path: Path) -> Graph:
    """Return the graph of the .onnx file at `path`.

    Raises:
        NotAModelError: it is something else, damaged, or needs what no wake word needs.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(_SIZE_LIMIT + 1)
    if len(content) > _SIZE_LIMIT:
        raise NotAModelError(f"is larger than {_SIZE_LIMIT // 2**20} MB, which no wake word is")
    return parse_model(content)


def parse_model(content: bytes) -> Graph:
    """Return the graph of an .onnx file's content.

    Raises:
        NotAModelError: as `read_model`.
    """
    try:
        return _Reader().model(memoryview(content))
    except protobuf.MessageError as error:
        raise NotAModelError(str(error)) from error


# TensorProto.DataType -> the type, and the field that holds the numbers when raw_data does not
_FLOATS, _INT32S, _INT64S, _DOUBLES, _UINT64S, _RAW = 4, 5, 7, 10, 11, 9
_TYPES: dict[int, tuple[np.dtype[Any], int]] = {
    1: (np.dtype(np.float32), _FLOATS),
    2: (np.dtype(np.uint8), _INT32S),
    3: (np.dtype(np.int8), _INT32S),
    4: (np.dtype(np.uint16), _INT32S),
    5: (np.dtype(np.int16), _INT32S),
    6: (np.dtype(np.int32), _INT32S),
    7: (np.dtype(np.int64), _INT64S),
    9: (np.dtype(np.bool_), _INT32S),
    10: (np.dtype(np.float16), _INT32S),  # as the bits of a 16-bit number
    11: (np.dtype(np.float64), _DOUBLES),
    12: (np.dtype(np.uint32), _UINT64S),
    13: (np.dtype(np.uint64), _UINT64S),
}
_UNREAD_TYPES = {8: "string", 14: "complex64", 15: "complex128", 16: "bfloat16"}


def tensor_type(number: int) -> np.dtype[Any]:
    """Return the numpy type of ONNX's number for it, as the operator Cast carries it.

    Raises:
        NotAModelError: there is none, or it is not one that pivoice computes with.
    """
    if number not in _TYPES:
        raise NotAModelError(
            f"has numbers of type {_UNREAD_TYPES.get(number, number)}, which pivoice does not read"
        )
    return _TYPES[number][0]


class _Reader:
    """One reading of one file."""

    def __init__(self) -> None:
        self._wire = protobuf.Wire()
        self._opset = 0

    def model(self, view: memoryview) -> Graph:
        graph: memoryview | None = None
        for number, wire, found in self._wire.fields(view):
            if number == 7:
                graph = protobuf.part(wire, found)
            elif number == 8:
                self._opset_import(protobuf.part(wire, found))
        if graph is None:
            raise NotAModelError("has no graph of operators in it")
        if not self._opset:
            raise NotAModelError("does not say which version of ONNX's operators it uses")
        return self._graph(graph, depth=0)

    def _opset_import(self, view: memoryview) -> None:
        domain, version = "", 0
        for number, wire, found in self._wire.fields(view):
            if number == 1:
                domain = protobuf.text(wire, found)
            elif number == 2:
                version = protobuf.integer(wire, found)
        if domain in ("", "ai.onnx"):
            self._opset = version

    def _graph(self, view: memoryview, *, depth: int) -> Graph:
        if depth > _DEPTH_LIMIT:
            raise NotAModelError(f"has graphs within graphs, {depth} deep and more")
        nodes: list[Node] = []
        initializers: dict[str, Array] = {}
        inputs: list[Value] = []
        outputs: list[Value] = []
        for number, wire, found in self._wire.fields(view):
            if number == 1:
                nodes.append(self._node(protobuf.part(wire, found), depth=depth))
            elif number == 5:
                name, array = self._tensor(protobuf.part(wire, found))
                initializers[name] = array
            elif number == 11:
                inputs.append(self._value(protobuf.part(wire, found)))
            elif number == 12:
                outputs.append(self._value(protobuf.part(wire, found)))
            elif number == 15:
                raise NotAModelError("has sparse weights, which pivoice does not read")
        return Graph(
            nodes=tuple(nodes),
            initializers=MappingProxyType(initializers),
            inputs=tuple(value for value in inputs if value.name not in initializers),
            outputs=tuple(outputs),
            opset=self._opset,
        )

    def _node(self, view: memoryview, *, depth: int) -> Node:
        inputs: list[str] = []
        outputs: list[str] = []
        attributes: dict[str, Any] = {}
        texts = {3: "", 4: "", 7: ""}
        for number, wire, found in self._wire.fields(view):
            if number == 1:
                inputs.append(protobuf.text(wire, found))
            elif number == 2:
                outputs.append(protobuf.text(wire, found))
            elif number == 5:
                name, meaning = self._attribute(protobuf.part(wire, found), depth=depth)
                attributes[name] = meaning
            elif number in texts:
                texts[number] = protobuf.text(wire, found)
        domain = "" if texts[7] == "ai.onnx" else texts[7]
        return Node(
            op=texts[4],
            domain=domain,
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            attributes=MappingProxyType(attributes),
            name=texts[3],
        )

    def _attribute(self, view: memoryview, *, depth: int) -> tuple[str, Any]:
        """Return an attribute's name and what it says. Which field that is in follows from its type."""
        name, kind = "", 0
        found_by_number: dict[int, list[Any]] = {}
        for number, wire, found in self._wire.fields(view):
            if number == 1:
                name = protobuf.text(wire, found)
            elif number == 20:
                kind = protobuf.integer(wire, found)
            else:
                read = self._attribute_field(number, wire, found, depth=depth)
                if read is not None:
                    found_by_number.setdefault(number, []).extend(read)
        if not kind:  # older than IR 2, where only the fields tell
            kind = next((kind for kind, at in _ATTRIBUTE_FIELDS.items() if at in found_by_number), 0)
        if kind not in _ATTRIBUTE_FIELDS:
            raise NotAModelError(
                f"has an attribute {name[:60]!r} of kind {kind}, which pivoice does not read"
            )
        several = found_by_number.get(_ATTRIBUTE_FIELDS[kind], [])
        if kind in _SEVERAL:
            return name, tuple(several)
        if several:
            return name, several[-1]
        if kind in _DEFAULTS:
            return name, _DEFAULTS[kind]
        raise NotAModelError(f"has an attribute {name[:60]!r} without its content")

    def _attribute_field(self, number: int, wire: int, found: Any, *, depth: int) -> list[Any] | None:
        if number in (2, 7):
            numbers = self._wire.floats(wire, found, np.dtype(np.float32))
            self._wire.count(numbers.size)
            return list(numbers.tolist())
        if number in (3, 8):
            return [protobuf.signed(each) for each in self._wire.integers(wire, found)]
        if number in (4, 9):
            part = protobuf.part(wire, found)
            try:
                return [str(part, "utf-8")]
            except UnicodeDecodeError:
                return [bytes(part)]
        if number in (5, 10):
            return [self._tensor(protobuf.part(wire, found))[1]]
        if number in (6, 11):
            return [self._graph(protobuf.part(wire, found), depth=depth + 1)]
        if number == 21:
            raise NotAModelError("has an attribute that refers to another, outside of a function")
        return None

    def _value(self, view: memoryview) -> Value:
        name, dtype, shape = "", None, None
        for number, wire, found in self._wire.fields(view):
            if number == 1:
                name = protobuf.text(wire, found)
            elif number == 2:
                for kind, kind_wire, tensor in self._wire.fields(protobuf.part(wire, found)):
                    if kind == 1:
                        dtype, shape = self._tensor_shape(protobuf.part(kind_wire, tensor))
        return Value(name, dtype, shape)

    def _tensor_shape(
        self, view: memoryview
    ) -> tuple[np.dtype[Any] | None, tuple[int | str | None, ...] | None]:
        dtype, shape = None, None
        for number, wire, found in self._wire.fields(view):
            if number == 1:
                kind = protobuf.integer(wire, found)
                dtype = _TYPES[kind][0] if kind in _TYPES else None
            elif number == 2:
                shape = tuple(
                    self._dimension(protobuf.part(dim_wire, dim))
                    for dim_number, dim_wire, dim in self._wire.fields(protobuf.part(wire, found))
                    if dim_number == 1
                )
        return dtype, shape

    def _dimension(self, view: memoryview) -> int | str | None:
        size: int | str | None = None
        for number, wire, found in self._wire.fields(view):
            if number == 1:
                size = protobuf.integer(wire, found)
            elif number == 2:
                size = protobuf.text(wire, found) or None
        return size

    def _tensor(self, view: memoryview) -> tuple[str, Array]:
        name, kind, shape = "", 0, list[int]()
        contents: dict[int, list[tuple[int, Any]]] = {}
        for number, wire, found in self._wire.fields(view):
            if number == 1:
                shape += [protobuf.signed(each) for each in self._wire.integers(wire, found)]
            elif number == 2:
                kind = protobuf.integer(wire, found)
            elif number == 8:
                name = protobuf.text(wire, found)
            elif number == 13 or (number == 14 and found):
                raise NotAModelError(
                    "keeps its weights in a second file; save it as one file "
                    "(in Python: onnx.save(onnx.load(old), new))"
                )
            else:
                contents.setdefault(number, []).append((wire, found))
        dtype = tensor_type(kind)
        flat = self._tensor_numbers(dtype, _TYPES[kind][1], contents)
        return name, _shaped(flat, shape, name)

    def _tensor_numbers(
        self, dtype: np.dtype[Any], field: int, contents: dict[int, list[tuple[int, Any]]]
    ) -> Array:
        """Return all numbers of a tensor in one row, in memory of their own."""
        if _RAW in contents:
            wire, found = contents[_RAW][-1]
            raw = protobuf.part(wire, found)
            if len(raw) % dtype.itemsize:
                raise NotAModelError(f"is damaged: {len(raw)} bytes are no whole number of {dtype}")
            return np.frombuffer(raw, dtype.newbyteorder("<")).astype(dtype)
        pieces = contents.get(field, [])
        if field in (_FLOATS, _DOUBLES):
            rows = [self._wire.floats(wire, found, dtype) for wire, found in pieces]
            return np.concatenate([np.empty(0, dtype), *rows]).astype(dtype)
        # a number too large for its type is cut to its low bits, as a cast in C would
        bits = [each for wire, found in pieces for each in self._wire.integers(wire, found)]
        words = np.array(bits, np.uint64)
        if dtype == np.float16:
            return words.astype(np.uint16).view(np.float16)
        return words != 0 if dtype == np.bool_ else words.astype(dtype)


# AttributeProto.AttributeType -> its field: float, int, string, tensor, graph, and rows of each
_ATTRIBUTE_FIELDS = {1: 2, 2: 3, 3: 4, 4: 5, 5: 6, 6: 7, 7: 8, 8: 9, 9: 10, 10: 11}
_SEVERAL = frozenset({6, 7, 8, 9, 10})
_DEFAULTS: dict[int, Any] = {1: 0.0, 2: 0, 3: ""}  # protobuf may leave these unwritten


def _shaped(flat: Array, shape: list[int], name: str) -> Array:
    """Return `flat` in `shape`, read-only, once it is certain that the one fits the other."""
    claimed = "x".join(str(size) for size in shape[:8]) or "1"
    if any(size < 0 for size in shape):  # -1 would mean "the rest" to numpy
        raise NotAModelError(f"is damaged: weights {name[:60]!r} of size {claimed}")
    try:
        array = flat.reshape(shape)
    except (ValueError, OverflowError) as error:
        raise NotAModelError(
            f"is damaged: {flat.size} numbers for weights {name[:60]!r} of size {claimed}"
        ) from error
    array.flags.writeable = False
    return array
