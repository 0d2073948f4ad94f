"""Operators that multiply by weights: matrix products, convolutions, and pooling's windows. PURE."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pivoice.wake.operators.call import Array, Call, Function, Maker
from pivoice.wake.operators.reductions import softmax


def _gemm(call: Call) -> Function:
    """Multiply two matrices, either of them transposed, and add a third."""
    left, right = call.example(0), call.example(1)
    turn_left, turn_right = bool(call.attribute("transA", 0)), bool(call.attribute("transB", 0))
    if left.ndim != 2 or right.ndim != 2:
        raise call.fault(f"is given shapes {left.shape} and {right.shape}")
    dtype = left.dtype.type
    alpha, beta = dtype(call.attribute("alpha", 1.0)), dtype(call.attribute("beta", 1.0))
    call.bound((left.shape[int(turn_left)], right.shape[1 - int(turn_right)]))
    if call.is_constant(1) and not turn_left and alpha == 1 and beta == 1:
        call.take(1)
        weights = _by_columns(right.T if turn_right else right)
        if not call.has(2):
            return lambda x, *_: x.dot(weights)
        whole = call.take_whole(2, (left.shape[0], weights.shape[1]))
        if whole is not None:
            return lambda x: x.dot(weights) + whole
        return lambda x, shift: x.dot(weights) + shift

    def multiply(x: Array, y: Array, shift: Array | None = None) -> Any:
        product = np.dot(x.T if turn_left else x, y.T if turn_right else y) * alpha
        return product if shift is None else product + shift * beta

    return multiply


def _by_columns(weights: Array) -> Array:
    """Return a matrix whose columns lie together in memory: one row times it is then read in order.

    1 x 1536 times 1536 x 96: 9 us instead of 11, of which a head has one (measured, x86-64, 2026-11).
    torch's own weights lie so already.
    """
    return np.asfortranarray(weights)


def _matmul(call: Call) -> Function:
    left, right = call.example(0).shape, call.example(1).shape
    if len(left) > 1 and len(right) > 1:
        stack = np.broadcast_shapes(left[:-2], right[:-2])
        call.bound((*stack, left[-2], right[-1]))
    if call.is_constant(1) and len(right) == 2 and math.prod(left[:-1]) == left[-2 if len(left) > 1 else -1]:
        weights = _by_columns(call.example(1))
        call.take(1)
        return lambda x: x.dot(weights)
    return np.matmul


def _einsum(call: Call) -> Function:
    equation = str(call.attribute("equation", "")).replace(" ", "")
    inputs, _, output = equation.partition("->")
    if "->" not in equation or "." in equation or len(inputs.split(",")) != len(call.inputs):
        raise call.fault(f"has the equation {equation!r}, which pivoice does not run")
    sizes: dict[str, int] = {}
    for at, letters in enumerate(inputs.split(",")):
        sizes.update(zip(letters, call.example(at).shape, strict=False))
    call.bound([sizes.get(letter, 1) for letter in output])
    # without optimize numpy makes no array but the last; with it, as few as can be
    path = np.einsum_path(equation, *[call.example(at) for at in range(len(call.inputs))])[0]
    return lambda *arrays: np.einsum(equation, *arrays, optimize=path)


def _attention(call: Call) -> Function:
    """Weigh values by how well their keys meet each query: torch's attention from version 23 on."""
    if any(call.has(at) for at in (4, 5, 6)) or len([name for name in call.node.outputs if name]) > 1:
        raise call.fault("keeps keys and values of the past, which pivoice does not run")
    call.refuse(softcap=0.0, left_window_size=-1, right_window_size=-1)
    examples = [call.example(at) for at in (0, 1, 2)]
    if any(each.ndim not in (3, 4) or each.ndim != examples[0].ndim for each in examples):
        raise call.fault(f"is given shapes {[each.shape for each in examples]}")
    flat = examples[0].ndim == 3
    of_queries, of_keys = call.attribute("q_num_heads", 0), call.attribute("kv_num_heads", 0)
    if flat and (of_queries < 1 or of_keys < 1):
        raise call.fault("does not say how many heads it has")

    def apart(x: Array, heads: int) -> Array:
        return x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3) if flat else x

    query, key = apart(examples[0], of_queries), apart(examples[1], of_keys)
    call.bound((*query.shape[:3], key.shape[2]))
    shared = query.shape[1] // key.shape[1]
    dtype = query.dtype.type
    root = dtype(math.sqrt(call.attribute("scale", 1 / math.sqrt(query.shape[3]))))
    ahead = np.zeros((), dtype)
    if call.attribute("is_causal", 0):
        ahead = np.triu(np.full((query.shape[2], key.shape[2]), -np.inf, dtype), 1)

    def attend(q: Array, k: Array, v: Array, mask: Array | None = None, *_: Any) -> Any:
        q, k, v = apart(q, of_queries) * root, apart(k, of_keys) * root, apart(v, of_keys)
        if shared > 1:  # each key serves several queries
            k, v = k.repeat(shared, axis=1), v.repeat(shared, axis=1)
        fit = np.matmul(q, k.swapaxes(2, 3)) + ahead
        if mask is not None:
            fit = fit + (np.where(mask, dtype(0), dtype(-np.inf)) if mask.dtype == np.bool_ else mask)
        found = np.matmul(softmax(fit), v)
        return found.transpose(0, 2, 1, 3).reshape(found.shape[0], found.shape[2], -1) if flat else found

    return attend


@dataclass(frozen=True)
class Windows:
    """Where the windows of a convolution or a pooling lie on what they slide over."""

    kernel: tuple[int, ...]
    steps: tuple[int, ...]
    spread: tuple[int, ...]
    before: tuple[int, ...]
    outside: tuple[int, ...]
    """Size with the edges added, and beyond them what the last window needs."""
    output: tuple[int, ...]
    sizes: tuple[int, ...]

    def padded(self, x: Array, filling: float) -> Array:
        """Return `x`, in one piece, with edges of `filling`."""
        if self.outside == self.sizes:
            return np.ascontiguousarray(x)
        wide = np.full((*x.shape[:2], *self.outside), filling, x.dtype)
        inside = [slice(at, at + size) for at, size in zip(self.before, self.sizes, strict=True)]
        wide[(slice(None), slice(None), *inside)] = x
        return wide

    def view(self, wide: Array) -> Array:
        """Return a view of `wide` with axes batch, channel, those of the kernel, those of the output."""
        strides = wide.strides[2:]
        within = tuple(stride * spread for stride, spread in zip(strides, self.spread, strict=True))
        along = tuple(stride * step for stride, step in zip(strides, self.steps, strict=True))
        # as_strided does the same and takes five times as long; this one checks the bounds besides
        return np.ndarray(
            (*wide.shape[:2], *self.kernel, *self.output),
            wide.dtype,
            wide,
            0,
            (*wide.strides[:2], *within, *along),
        )


def windows_of(call: Call, kernel: tuple[int, ...]) -> Windows:
    """Return the windows that `call` describes, for its first input."""
    sizes = call.example(0).shape[2:]
    rank = len(sizes)
    if len(kernel) != rank or not rank or min(kernel) < 1:
        raise call.fault(f"has a kernel of {kernel} for {rank} axes")
    steps = tuple(call.attribute("strides", (1,) * rank))
    spread = tuple(call.attribute("dilations", (1,) * rank))
    if len(steps) != rank or len(spread) != rank or min(steps + spread) < 1:
        raise call.fault(f"has strides {steps} and dilations {spread} for {rank} axes")
    reach = [(width - 1) * gap + 1 for width, gap in zip(kernel, spread, strict=True)]
    before, after = _edges(call, sizes, steps, reach)
    rounded = math.ceil if call.attribute("ceil_mode", 0) else math.floor
    output = []
    for at in range(rank):
        room = sizes[at] + before[at] + after[at]
        count = rounded((room - reach[at]) / steps[at]) + 1
        if (count - 1) * steps[at] >= sizes[at] + before[at]:
            count -= 1  # rounded up into nothing but edge
        if count < 1:
            raise call.fault(f"has windows of {kernel} on sizes of {sizes}")
        output.append(count)
    outside = [
        max(sizes[at] + before[at] + after[at], (output[at] - 1) * steps[at] + reach[at])
        for at in range(rank)
    ]
    call.bound((*call.example(0).shape[:2], *outside))
    call.bound((*call.example(0).shape[:2], *kernel, *output))
    return Windows(kernel, steps, spread, tuple(before), tuple(outside), tuple(output), sizes)


def _edges(
    call: Call, sizes: tuple[int, ...], steps: tuple[int, ...], reach: list[int]
) -> tuple[list[int], list[int]]:
    """Return how much is added before and after each axis."""
    kind, rank = call.attribute("auto_pad", "NOTSET"), len(sizes)
    if kind in ("SAME_UPPER", "SAME_LOWER"):
        needed = [
            max((-(-size // step) - 1) * step + width - size, 0)
            for size, step, width in zip(sizes, steps, reach, strict=True)
        ]
        less, more = [each // 2 for each in needed], [each - each // 2 for each in needed]
        return (less, more) if kind == "SAME_UPPER" else (more, less)
    pads = [0] * (2 * rank) if kind == "VALID" else list(call.attribute("pads", (0,) * (2 * rank)))
    if len(pads) != 2 * rank or min(pads) < 0:
        raise call.fault(f"has edges of {pads}")
    return pads[:rank], pads[rank:]


def convolution(call: Call, weights_shape: tuple[int, ...]) -> tuple[Windows, Function]:
    """Return the windows, and a function of an edged input and the weights."""
    batch, channels = call.example(0).shape[:2]
    groups = call.attribute("group", 1)
    made, each = weights_shape[:2]
    if groups < 1 or each * groups != channels or made % groups:
        raise call.fault(f"has weights of {weights_shape} for {channels} channels in {groups} groups")
    windows = windows_of(call, weights_shape[2:])
    depth, places = each * math.prod(windows.kernel), math.prod(windows.output)
    shape = call.bound((batch, made, *windows.output))

    def convolve(wide: Array, weights: Array) -> Any:
        columns = windows.view(wide).reshape(batch, groups, depth, places)
        return np.matmul(weights.reshape(groups, made // groups, depth), columns).reshape(shape)

    return windows, convolve


def _conv(call: Call) -> Function:
    if tuple(call.attribute("kernel_shape", call.example(1).shape[2:])) != call.example(1).shape[2:]:
        raise call.fault("has weights of another shape than its kernel")
    windows, convolve = convolution(call, call.example(1).shape)
    column = (-1,) + (1,) * len(windows.kernel)

    def conv(x: Array, weights: Array, shift: Array | None = None) -> Any:
        product = convolve(windows.padded(x, 0), weights)
        return product if shift is None else product + shift.reshape(column)

    return conv


def _max_pool(call: Call) -> Function:
    call.refuse(storage_order=0)
    if len([name for name in call.node.outputs if name]) > 1:
        raise call.fault("has more than one output, which pivoice does not run")
    windows = windows_of(call, tuple(call.attribute("kernel_shape", ())))
    dtype = call.example(0).dtype
    lowest = -np.inf if dtype.kind == "f" else np.iinfo(dtype).min
    return lambda x: _over_kernel(np.maximum, windows, windows.padded(x, lowest))


def _average_pool(call: Call) -> Function:
    windows = windows_of(call, tuple(call.attribute("kernel_shape", ())))
    with_edges = bool(call.attribute("count_include_pad", 0))
    if with_edges and call.attribute("ceil_mode", 0):
        raise call.fault("has ceil_mode with count_include_pad, which pivoice does not run")
    ones = np.ones((1, 1, *windows.sizes), call.example(0).dtype)
    counts = _over_kernel(np.add, windows, windows.padded(ones, float(with_edges)))
    return lambda x: _over_kernel(np.add, windows, windows.padded(x, 0)) / counts


def _over_kernel(function: Callable[[Array, Array], Array], windows: Windows, wide: Array) -> Array:
    """Fold all places of a kernel into one. numpy's own reduction takes ten times as long on such a view."""
    view = windows.view(wide)
    places = (view[(slice(None), slice(None), *place)] for place in np.ndindex(windows.kernel))
    return functools.reduce(function, places)


def _global_pool(call: Call) -> Function:
    axes = tuple(range(2, call.example(0).ndim))
    if call.node.op == "GlobalMaxPool":
        return lambda x: np.maximum.reduce(x, axis=axes, keepdims=True)
    share = call.example(0).dtype.type(1 / max(math.prod(call.example(0).shape[2:]), 1))
    return lambda x: np.add.reduce(x, axis=axes, keepdims=True) * share


MAKERS: dict[str, Maker] = {
    "Attention": _attention,
    "AveragePool": _average_pool,
    "Conv": _conv,
    "Einsum": _einsum,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_pool,
    "GlobalMaxPool": _global_pool,
    "MatMul": _matmul,
    "MaxPool": _max_pool,
}
