"""The network that turns mel rows into embeddings, run as a stream: 8 rows (80 ms) in, one embedding out.

Owns the weights of openwakeword's embedding_model.onnx (Google's speech_embedding) and the rows that its
convolutions keep from the past. Made on any thread, used by one. Numpy alone; never reads a file.

The file takes 76 rows and gives one embedding, which the package computes anew for each block. But none of
the 20 convolutions is padded in time, and the pools turn the 8 rows of a block into exactly one: so each of
the 11 that look back keeps its last 2 rows, and a block costs 5.6 million multiplications, not 42. The
result is the file's, to rounding (tests/wake/test_embedding.py).

A block is a list of 123 numpy calls on views that were made once. As measured in place on one x86-64 server
core (2026-11; the calls in `EmbeddingStream.calls` one by one, 20th percentile of 4,000 blocks), in us:

    convolutions 0; 1-2; 3-6; 7-10; 11-14; 15-19, with all that follows them: 11, 49, 69, 75, 53, 47 = 305
    20 np.dot 189; 38 copies of windows and of carried rows 49; 65 activations and pools 67

 - np.dot does 30 multiplications a nanosecond, of the 39 this core can. np.matmul takes 0.5 us longer to
   begin. Several blocks at once save a sixth, but BLAS then adds in another order, to other numbers;
 - a call on contiguous arrays takes 1 us, with a strided one among them 2.5. Hence no zero bands around the
   arrays, and windows in such an order that the halves a pool compares lie one after the other;
 - a bias that is one more row of the weights is free; as a call of its own it takes 1.2 us;
 - pools come before activations, which never decrease: the same result, of a half or a quarter as many.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

__all__ = ["BANDS", "EMBEDDING_SIZE", "ROWS", "Convolution", "EmbeddingStream"]

ROWS, BANDS = 8, 32
"""What a block of 80 ms is: mel rows, and bands in each."""
EMBEDDING_SIZE = 96
LEAK, FLOOR = 0.2, -0.4
"""Of the activation: max(x, leak x, floor)."""

Array = NDArray[np.float32]
_PAST = 2  # rows that a kernel of 3 rows looks back


@dataclass(frozen=True)
class Convolution:
    """One layer: a convolution, what follows it, and the pool after that. Shared, never written to.

    All but the last end in max(leaky ReLU, floor); its outputs are the embedding.
    """

    kernel: tuple[int, int]
    """Rows and bands: (3, 3) or (1, 3), with a zero band on each side, or (3, 1)."""
    weights: Array
    """A row for each number in a window (by row, band, channel) and one for the bias; a column per output."""
    pool: tuple[int, int] = (1, 1)
    """The maximum of so many rows and bands is kept."""
    norm: tuple[Array, Array] | None = None
    """Factor and summand of each output, after a ReLU, before anything else."""

    @property
    def outputs(self) -> int:
        return int(self.weights.shape[1])


class EmbeddingStream:
    """A block's mel rows in, an embedding out, as long as the sound goes on. One thread."""

    def __init__(self, layers: Sequence[Convolution]) -> None:
        self.calls: list[Callable[[], Any]] = []
        """What a block is, in order. To be measured; `advance` calls them."""
        self._past: list[Array] = []
        self._windows: dict[tuple[bool, int, int], Array] = {}
        self._rows, self._bands, self._channels = ROWS, BANDS, 1  # of what the layer being built reads
        most = ROWS * BANDS * max(layers[0].outputs, layers[1].outputs)
        self._sums, self._activations = np.zeros(most, np.float32), np.zeros(most, np.float32)
        # A number as an operand is read one at a time by np.maximum, an array eight at a time.
        self._floors = np.full(most, FLOOR, np.float32)
        first = np.zeros((_PAST + ROWS, 1 + BANDS + 1), np.float32)
        self.rows: Array = first[_PAST:, 1:-1]
        """Write the 8 x 32 numbers of the next block here, then `advance`."""
        source = first
        for layer, following in pairwise(layers):
            source = self._build(layer, source, following)
        self._embedding = self._convolve(layers[-1], source)

    def advance(self) -> Array:
        """Return the embedding of the 76 rows that end with those in `rows`. The next call overwrites it."""
        for call in self.calls:
            call()
        return self._embedding

    def state(self) -> tuple[Array, ...]:
        """Return a copy of all that it remembers, for `restore`: of this or of another such stream."""
        return tuple(rows.copy() for rows in self._past)

    def restore(self, state: tuple[Array, ...]) -> None:
        """Go on from `state` as if what led to it had been heard."""
        for rows, kept in zip(self._past, state, strict=True):
            rows[...] = kept

    def _build(self, layer: Convolution, source: Array, following: Convolution) -> Array:
        """Add the calls of `layer`; return where the following one reads what they computed."""
        sums = self._convolve(layer, source)
        if layer.norm is not None:
            factors, summands = (np.tile(each, sums.size // layer.outputs) for each in layer.norm)
            self._call(np.maximum, sums, np.zeros_like(sums), out=sums)
            self._call(np.multiply, sums, factors, sums)
            self._call(np.add, sums, summands, sums)
        pool_rows, pool_bands = layer.pool
        while sums.size > self._rows * self._bands * layer.outputs // (pool_rows * pool_bands):
            half = sums.size // 2  # before the activation, which never decreases: fewer numbers, same result
            self._call(np.maximum, sums[:half], sums[half:], out=sums[:half])
            sums = sums[:half]
        self._rows, self._bands = self._rows // pool_rows, self._bands // pool_bands
        self._channels = layer.outputs
        leaky = self._activations[: sums.size]
        target, result = leaky, leaky
        if following.kernel[0] > 1:
            result = np.zeros((_PAST + self._rows) * self._bands * self._channels, np.float32)
            target = result[-sums.size :]
        self._call(np.multiply, sums, np.array(LEAK, np.float32), leaky)
        self._call(np.maximum, sums, leaky, out=leaky)
        self._call(np.maximum, leaky, self._floors[: sums.size], out=target)
        return result

    def _convolve(self, layer: Convolution, source: Array) -> Array:
        """Add the calls that convolve; return where the sums will be.

        They are in the order of rows, bands, outputs; with a pool, those come first whose rows and bands
        are the first of their pool, and so on: it compares the first half with the second, then again.
        """
        positions = self._rows * self._bands
        windows = {(3, 3): self._first_windows, (1, 3): self._band_windows, (3, 1): self._row_windows}
        matrix = windows[layer.kernel](layer, source)
        sums = self._sums[: positions * layer.outputs]
        self._call(np.dot, matrix, layer.weights, sums.reshape(positions, layer.outputs))
        return sums

    def _first_windows(self, layer: Convolution, source: Array) -> Array:
        """3 rows by 3 bands of one channel: a row for each number of a window, as bands lie side by side."""
        positions, width = self._rows * self._bands, source.shape[1]
        matrix = np.ones((len(layer.weights), positions), np.float32)
        to = (3 * positions, positions, self._bands, 1)
        self._copy(matrix, to, source, (width, 1, width, 1), shape=(3, 3, self._rows, self._bands))
        self._carry(source.reshape(-1), _PAST * width)
        return matrix.T

    def _band_windows(self, layer: Convolution, source: Array) -> Array:
        """3 bands: three in a row are one window already, but for the zero bands before and after all."""
        rows, bands, channels = self._rows, self._bands, self._channels
        matrix = self._matrix(layer)
        width = matrix.shape[1]
        if bands > 2:
            inner = (rows, bands - 2, 3 * channels)
            to, of = (bands * width, width, 1), (bands * channels, channels, 1)
            self._copy(matrix.reshape(-1)[width:], to, source, of, shape=inner)
        # The first window has the first two bands on its right, the last one the last two on its left.
        to = (bands * width, (bands - 1) * width - channels, 1)
        of = (bands * channels, (bands - 2) * channels, 1)
        self._copy(matrix.reshape(-1)[channels:], to, source, of, shape=(rows, 2, 2 * channels))
        return matrix

    def _row_windows(self, layer: Convolution, source: Array) -> Array:
        """3 rows, 2 of them of the past; in the order that the pool wants."""
        (pool_rows, pool_bands), channels = layer.pool, self._channels
        rows, bands, row = self._rows // pool_rows, self._bands // pool_bands, self._bands * channels
        matrix = self._matrix(layer)
        width = matrix.shape[1]
        part = rows * bands * width
        to = (pool_bands * part, part, bands * width, width, channels, 1)
        of = (row, channels, pool_rows * row, pool_bands * channels, row, 1)
        self._copy(matrix, to, source, of, shape=(pool_rows, pool_bands, rows, bands, 3, channels))
        self._carry(source, _PAST * row)
        return matrix

    def _matrix(self, layer: Convolution) -> Array:
        """Return the windows of `layer`, side by side, each with a one for the bias.

        Layers of one shape share one, which stays in the cache; but the zeros of the outer bands stay too.
        """
        shape = (self._rows * self._bands, len(layer.weights))
        key = (layer.kernel[1] > 1, *shape)
        if key not in self._windows:
            self._windows[key] = np.zeros(shape, np.float32)
            self._windows[key][:, -1] = 1
        return self._windows[key]

    def _copy(
        self, to: Array, to_steps: Sequence[int], of: Array, of_steps: Sequence[int], *, shape: Sequence[int]
    ) -> None:
        """Add the call that copies numbers in `shape`; steps are counted in numbers."""
        self._call(np.copyto, _stepped(to, shape, to_steps), _stepped(of, shape, of_steps))

    def _carry(self, rows: Array, past: int) -> None:
        """Add the call that makes the last `past` numbers the past of the next block: all have been read."""
        self._past.append(rows[:past])
        self._call(np.copyto, rows[:past], rows[-past:])

    def _call(self, function: Callable[..., Any], *arrays: Array, **out: Array) -> None:
        """Add a call. The last array is for the result; `out` is 0.15 us slower, but np.maximum wants it."""
        self.calls.append(partial(function, *arrays, **out))


def _stepped(array: Array, shape: Sequence[int], steps: Sequence[int]) -> Array:
    """Return a view, its last numbers side by side; dimensions of one are dropped, as they cost time."""
    kept = [(size, step * array.itemsize) for size, step in zip(shape, steps, strict=True) if size > 1]
    return as_strided(array, [size for size, _ in kept], [stride for _, stride in kept])
