"""Recognises openwakeword's front end in its .onnx files; takes the weights out in the order that is fast.

Knows the mel spectrogram, and the two embeddings that exist: of openwakeword 0.4.0 and of 0.5.1, which
differ in their first layer. Every operator, shape and constant is checked, as a network that is nearly the
same would hear nothing and say nothing. Any thread; PURE.
"""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pivoice.wake.embedding import BANDS, EMBEDDING_SIZE, FLOOR, LEAK, Convolution
from pivoice.wake.mel import MelFilter
from pivoice.wake.onnx_file import Graph, Node, Value

__all__ = ["UnknownNetworkError", "read_embedding", "read_mel_filter"]

Array = NDArray[Any]

_WINDOW_ROWS = 76
# Kernel (rows, bands), outputs, pool (rows, bands) of each convolution.
_ARCHITECTURE = (
    ((3, 3), 24, (1, 1)), ((1, 3), 24, (1, 1)), ((3, 1), 24, (2, 2)),
    ((1, 3), 48, (1, 1)), ((3, 1), 48, (1, 1)), ((1, 3), 48, (1, 1)), ((3, 1), 48, (1, 2)),
    ((1, 3), 72, (1, 1)), ((3, 1), 72, (1, 1)), ((1, 3), 72, (1, 1)), ((3, 1), 72, (2, 2)),
    ((1, 3), 96, (1, 1)), ((3, 1), 96, (1, 1)), ((1, 3), 96, (1, 1)), ((3, 1), 96, (1, 2)),
    ((1, 3), 96, (1, 1)), ((3, 1), 96, (1, 1)), ((1, 3), 96, (1, 1)), ((3, 1), 96, (2, 2)),
    ((3, 1), EMBEDDING_SIZE, (1, 1)),
)  # fmt: skip


class UnknownNetworkError(ValueError):
    """A model, but not the one that can be run here. Its text says what is different."""


# Operators of the mel spectrogram, without those that only give a constant.
_MEL_OPERATORS = (
    "Unsqueeze Conv Conv Unsqueeze Transpose Unsqueeze Transpose Pow Pow Add MatMul Clip Log Mul Div Sub "
    "ReduceMax Sub Cast Clip"
)
_MEL_CONSTANTS = [1.0, 1.0, 1.0, 2.0, 2.0, 10.0, 2.302585, 0.0, 80.0]
_MEL_WINDOW, _MEL_STEP = 512, 160


def read_mel_filter(graph: Graph) -> MelFilter:
    """Return the window and the filter bank of the mel spectrogram in `graph`.

    Raises:
        UnknownNetworkError: it is another network.
    """
    operators = " ".join(node.op for node in graph.nodes if node.op != "Constant")
    _expect("operators", operators, _MEL_OPERATORS)
    constants = [node.attributes.get("value") for node in graph.nodes if node.op == "Constant"]
    numbers = [round(float(each.reshape(-1)[0]), 6) for each in constants if isinstance(each, np.ndarray)]
    _expect("constants", numbers, _MEL_CONSTANTS)
    by_op = {node.op: node for node in graph.nodes}
    _expect("step", by_op["Conv"].attributes.get("strides"), (_MEL_STEP,))
    bins = _MEL_WINDOW // 2 + 1
    weights = [_weights(graph, node, (bins, 1, _MEL_WINDOW)) for node in graph.nodes if node.op == "Conv"]
    bank = _weights(graph, by_op["MatMul"], (bins, BANDS))
    # One window of noise tells whether the two convolutions are a Fourier transform of what the first row
    # of the cosines, which are all one, says the window is.
    noise = np.frombuffer(Random(1).randbytes(_MEL_WINDOW), np.int8) / 128
    real, imaginary = (each[:, 0] @ noise for each in weights)
    window = weights[0][0, 0].astype(np.float64)
    spectrum = np.fft.rfft(noise * window)
    is_transform = np.allclose(real, spectrum.real, atol=1e-4) and np.allclose(
        np.abs(imaginary), np.abs(spectrum.imag), atol=1e-4
    )
    _expect("convolution a Fourier transform", is_transform, True)
    return MelFilter(window, bank.astype(np.float64))


def _weights(graph: Graph, node: Node, shape: tuple[int, ...]) -> Array:
    """Return the weights of `node`, which must be of `shape`."""
    found = graph.initializers.get(node.inputs[1], np.empty(0))
    _expect(f"shape of the weights of {node.op}", found.shape, shape)
    return found


def read_embedding(graph: Graph) -> tuple[Convolution, ...]:
    """Return the layers of the embedding in `graph`.

    Raises:
        UnknownNetworkError: it is another network.
    """
    chain = _Chain(graph)
    padded = chain.enter()
    layers: list[Convolution] = []
    inputs = 1
    for kernel, outputs, pool in _ARCHITECTURE:
        layers.append(chain.layer((outputs, inputs, *kernel), pool, padded=padded and not layers))
        inputs = outputs
    chain.leave()
    return tuple(layers)


class _Chain:
    """The operators of a graph, one after the other, each on what the one before it gave."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._nodes = list(reversed(graph.nodes))
        self._layers = 0
        shapes = [_sizes(value) for value in (*graph.inputs, *graph.outputs)]
        self._expect("input and output", shapes, [(_WINDOW_ROWS, BANDS, 1), (1, 1, EMBEDDING_SIZE)])
        self._value = graph.inputs[0].name

    def enter(self) -> bool:
        """Take what is done to the input; return whether it then has a zero band on each side already."""
        is_padded = self._next_is("Pad")
        if is_padded:
            node = self._take("Pad")
            self._expect("padding", self._numbers(node, 1), [0, 0, 1, 0, 0, 0, 1, 0])
        width = BANDS + 2 * is_padded
        self._expect("shape", self._numbers(self._take("Reshape"), 1), [-1, 1, _WINDOW_ROWS, width])
        return is_padded

    def layer(self, shape: tuple[int, ...], pool: tuple[int, int], *, padded: bool) -> Convolution:
        """Take a convolution whose weights are of `shape`, and what follows it up to the next."""
        node = self._take("Conv")
        weights = self._constant(node, 1, shape)
        bias = self._constant(node, 2, shape[:1]) if len(node.inputs) > 2 else np.zeros(shape[0])
        kernel = (shape[2], shape[3])
        side = int(kernel[1] == 3 and not padded)
        self._expect_attributes(node, kernel_shape=kernel, pads=(0, side, 0, side))
        rows = weights.transpose(2, 3, 1, 0).reshape(-1, shape[0])
        self._layers += 1
        is_last = self._layers == len(_ARCHITECTURE)
        norm = None if is_last else self._activation(shape[0])
        if pool != (1, 1):
            self._expect_attributes(self._take("MaxPool"), kernel_shape=pool, strides=pool)
        together = np.ascontiguousarray(np.vstack([rows, bias]), np.float32)
        return Convolution(kernel, together, pool=pool, norm=norm)

    def leave(self) -> None:
        """Take what is done to the output: it must be all that is left."""
        self._expect("shape", self._numbers(self._take("Reshape"), 1), [-1, 1, 1, EMBEDDING_SIZE])
        self._expect("rest", [node.op for node in self._nodes], [])
        self._expect("output", self._value, self._graph.outputs[0].name)

    def _activation(self, outputs: int) -> tuple[Array, Array] | None:
        """Take max(leaky ReLU, -0.4), and the ReLU and normalisation that may be before it."""
        norm = None
        if self._layers == 1 and self._next_is("Relu"):
            self._take("Relu")
            node = self._take("BatchNormalization")
            scale, shift, mean, variance = (
                self._constant(node, index, (outputs,)).astype(np.float64) for index in range(1, 5)
            )
            factors = scale / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
            norm = (factors.astype(np.float32), (shift - mean * factors).astype(np.float32))
        leak = self._take("LeakyRelu").attributes.get("alpha", 0.01)
        floor = self._numbers(self._take("Max"), 1)
        self._expect("activation", _single(leak, *floor), _single(LEAK, FLOOR))
        return norm

    def _next_is(self, op: str) -> bool:
        return bool(self._nodes) and self._nodes[-1].op == op

    def _take(self, op: str) -> Node:
        """Return the next operator, which must be `op` and work on what the last one gave."""
        self._expect("operator", self._nodes[-1].op if self._nodes else None, op)
        node = self._nodes.pop()
        self._expect(f"first input of {op}", node.inputs[:1], (self._value,))
        self._value = node.outputs[0]
        return node

    def _constant(self, node: Node, index: int, shape: tuple[int, ...]) -> Array:
        found = self._graph.initializers.get(node.inputs[index]) if index < len(node.inputs) else None
        self._expect(f"shape of input {index} of {node.op}", None if found is None else found.shape, shape)
        assert found is not None
        self._expect(f"type of input {index} of {node.op}", found.dtype, np.dtype(np.float32))
        return found

    def _numbers(self, node: Node, index: int) -> list[Any]:
        found = self._graph.initializers.get(node.inputs[index]) if index < len(node.inputs) else None
        return [] if found is None else list(found.reshape(-1).tolist())

    def _expect_attributes(self, node: Node, **expected: tuple[int, ...]) -> None:
        """Take attributes that are not given for what ONNX says they are then."""
        usual = {
            "strides": (1, 1),
            "dilations": (1, 1),
            "pads": (0, 0, 0, 0),
            "auto_pad": "NOTSET",
            "group": 1,
        }
        usual |= {"ceil_mode": 0, "storage_order": 0}
        wanted = usual | expected
        given = usual | dict(node.attributes)
        self._expect(f"{node.op}", given, wanted)

    def _expect(self, what: str, found: object, wanted: object) -> None:
        _expect(what + (f" after {self._layers} convolutions" if self._layers else ""), found, wanted)


def _expect(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise UnknownNetworkError(f"its {what} is {found}, expected {wanted}")


def _sizes(value: Value) -> tuple[int | str | None, ...] | None:
    """Return the shape of a value, without the number of windows that may be given at once."""
    return None if value.shape is None else value.shape[1:]


def _single(*numbers: float) -> list[float]:
    """Return numbers as a file keeps them."""
    return [float(each) for each in np.array(numbers, np.float32)]
