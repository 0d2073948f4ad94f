"""Operators that sum up along axes: means, normalisations, softmax. PURE."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pivoice.wake.operators.call import Array, Call, Function, Maker


def _axes(call: Call, *, input_since: int) -> tuple[int, ...] | None:
    """Return the axes to reduce, counted from the front; None when there is nothing to do."""
    rank = call.example(0).ndim
    given = call.take_integers(1, "axes") if call.opset >= input_since else call.attribute("axes")
    if given:
        return tuple(sorted({call.axis(axis, rank) for axis in given}))
    return None if call.attribute("noop_with_empty_axes", 0) else tuple(range(rank))


def _reduce(kind: str, *, input_since: int = 18) -> Maker:
    """Return the maker of a reduction. `input_since`: the version in which the axes became an input."""

    def make(call: Call) -> Function:
        add: Any = np.add.reduce
        axes = _axes(call, input_since=input_since)
        keep = bool(call.attribute("keepdims", 1))
        example = call.example(0)
        if axes is None:
            axes = ()
        size = math.prod(example.shape[axis] for axis in axes)
        if kind == "Mean":
            # np.mean would take four times as long
            share = example.dtype.type(1 / max(size, 1)) if example.dtype.kind == "f" else None
            if share is None:
                return lambda x: add(x, axis=axes, keepdims=keep) // size
            return lambda x: add(x, axis=axes, keepdims=keep) * share
        reduce = _REDUCTIONS[kind]
        return lambda x: reduce(x, axes, keep)

    return make


def _log_sum_exp(x: Array, axes: tuple[int, ...], keep: bool) -> Any:
    largest = np.maximum.reduce(x, axis=axes, keepdims=True)
    total = np.log(np.add.reduce(np.exp(x - largest), axis=axes, keepdims=True)) + largest
    return total if keep else np.squeeze(total, axis=axes)


_REDUCTIONS: dict[str, Any] = {
    "L1": lambda x, axes, keep: np.add.reduce(np.abs(x), axis=axes, keepdims=keep),
    "L2": lambda x, axes, keep: np.sqrt(np.add.reduce(x * x, axis=axes, keepdims=keep)),
    "LogSumExp": _log_sum_exp,
    "Max": lambda x, axes, keep: np.maximum.reduce(x, axis=axes, keepdims=keep),
    "Min": lambda x, axes, keep: np.minimum.reduce(x, axis=axes, keepdims=keep),
    "Prod": lambda x, axes, keep: np.multiply.reduce(x, axis=axes, keepdims=keep),
    "Sum": lambda x, axes, keep: np.add.reduce(x, axis=axes, keepdims=keep),
    "SumSquare": lambda x, axes, keep: np.add.reduce(x * x, axis=axes, keepdims=keep),
}


def softmax(x: Array, axis: int = -1) -> Array:
    """Return exp(x), scaled to a sum of 1 along `axis`."""
    powers = np.exp(x - np.maximum.reduce(x, axis=axis, keepdims=True))
    shares: Array = powers / np.add.reduce(powers, axis=axis, keepdims=True)
    return shares


def _log_softmax(x: Array, axis: int = -1) -> Array:
    lower = x - np.maximum.reduce(x, axis=axis, keepdims=True)
    logarithms: Array = lower - np.log(np.add.reduce(np.exp(lower), axis=axis, keepdims=True))
    return logarithms


def _softmax(call: Call) -> Function:
    function = softmax if call.node.op == "Softmax" else _log_softmax
    shape = call.example(0).shape
    if call.opset >= 13:
        axis = call.axis(call.attribute("axis", -1), len(shape))
        return lambda x: function(x, axis)
    # older: along everything from the axis on
    axis = call.axis(call.attribute("axis", 1), len(shape))
    flat = (math.prod(shape[:axis]), math.prod(shape[axis:]))
    return lambda x: function(x.reshape(flat)).reshape(shape)


def _arg(call: Call) -> Function:
    axis = call.axis(call.attribute("axis", 0), call.example(0).ndim)
    keep = bool(call.attribute("keepdims", 1))
    call.refuse(select_last_index=0)
    find: Any = np.argmax if call.node.op == "ArgMax" else np.argmin
    return lambda x: find(x, axis=axis, keepdims=keep)


def _cumulative_sum(call: Call) -> Function:
    found = call.take(1)
    axis = call.axis(0 if found is None else int(found.item()), call.example(0).ndim)
    call.refuse(exclusive=0, reverse=0)
    return lambda x: np.cumsum(x, axis=axis, dtype=x.dtype)


def _layer_normalization(call: Call) -> Function:
    """Subtract the mean and divide by the deviation of all from one axis on; then scale and shift."""
    example = call.example(0)
    first = call.axis(call.attribute("axis", -1), example.ndim)
    axes = tuple(range(first, example.ndim))
    dtype = example.dtype.type
    share = dtype(1 / max(math.prod(example.shape[first:]), 1))
    epsilon = dtype(call.attribute("epsilon", 1e-5))
    if len(call.node.outputs) > 1:
        raise call.fault("has more than one output, which pivoice does not run")
    call.bound(np.broadcast_shapes(example.shape, *[call.example(at).shape for at in (1, 2) if call.has(at)]))
    if example.ndim == 2 and example.shape[0] == 1 and epsilon > 0 and call.has(2):
        fast = _one_row_normalization(call, float(epsilon))
        if fast is not None:
            return fast
    add = np.add.reduce

    def normalize(x: Array, scale: Array, shift: Array | None = None) -> Any:
        off = x - add(x, axis=axes, keepdims=True) * share
        off *= np.reciprocal(np.sqrt(add(off * off, axis=axes, keepdims=True) * share + epsilon))
        scaled = off * scale
        return scaled if shift is None else scaled + shift

    return normalize


def _one_row_normalization(call: Call, epsilon: float) -> Function | None:
    """Return the same for one row with constant scale and shift: 5 us instead of 11."""
    shape = call.example(0).shape
    if any(not call.is_constant(at) or call.example(at).shape != shape[1:] for at in (1, 2)):
        return None
    scale, shift = call.take_whole(1, shape), call.take_whole(2, shape)
    share = 1 / shape[1]
    column = np.full((shape[1], 1), share, call.example(0).dtype)

    def normalize(x: Array) -> Any:
        off = x - x.dot(column)
        off *= (off.dot(off.T).item() * share + epsilon) ** -0.5
        off *= scale
        off += shift
        return off

    return normalize if scale is not None and shift is not None else None  # None: a very long row


def _rms_normalization(call: Call) -> Function:
    example = call.example(0)
    first = call.axis(call.attribute("axis", -1), example.ndim)
    axes = tuple(range(first, example.ndim))
    dtype = example.dtype.type
    share = dtype(1 / max(math.prod(example.shape[first:]), 1))
    epsilon = dtype(call.attribute("epsilon", 1e-5))
    call.bound(np.broadcast_shapes(example.shape, call.example(1).shape))
    add = np.add.reduce
    return lambda x, scale: x / np.sqrt(add(x * x, axis=axes, keepdims=True) * share + epsilon) * scale


def _instance_normalization(call: Call) -> Function:
    example = call.example(0)
    axes = tuple(range(2, example.ndim))
    share = np.float32(1 / max(math.prod(example.shape[2:]), 1))
    epsilon = np.float32(call.attribute("epsilon", 1e-5))
    column = (-1,) + (1,) * len(axes)
    add = np.add.reduce

    def normalize(x: Array, scale: Array, shift: Array) -> Any:
        off = x - add(x, axis=axes, keepdims=True) * share
        deviation = np.sqrt(add(off * off, axis=axes, keepdims=True) * share + epsilon)
        return off / deviation * scale.reshape(column) + shift.reshape(column)

    return normalize


def _batch_normalization(call: Call) -> Function:
    """Scale and shift each channel: what training averaged is one factor and one summand here."""
    call.refuse(training_mode=0, spatial=1)
    if len([name for name in call.node.outputs if name]) > 1:
        raise call.fault("has more than one output, which pivoice does not run")
    taken = [call.take(at) for at in (1, 2, 3, 4)]
    for at in (1, 2, 3, 4):
        call.example(at)  # all four must be there
    scale, shift, mean, variance = (np.asarray(each, np.float64) for each in taken)
    factor = scale / np.sqrt(variance + call.attribute("epsilon", 1e-5))
    dtype = call.example(0).dtype
    column = (-1,) + (1,) * (call.example(0).ndim - 2)
    factors = factor.astype(dtype).reshape(column)
    summands = (shift - mean * factor).astype(dtype).reshape(column)
    call.bound(np.broadcast_shapes(call.example(0).shape, factors.shape))
    return lambda x: x * factors + summands


MAKERS: dict[str, Maker] = {
    "ArgMax": _arg,
    "ArgMin": _arg,
    "BatchNormalization": _batch_normalization,
    "CumSum": _cumulative_sum,
    "InstanceNormalization": _instance_normalization,
    "LayerNormalization": _layer_normalization,
    "LogSoftmax": _softmax,
    "RMSNormalization": _rms_normalization,
    "ReduceMean": _reduce("Mean"),
    "ReduceSum": _reduce("Sum", input_since=13),
    "Softmax": _softmax,
    **{f"Reduce{kind}": _reduce(kind) for kind in _REDUCTIONS if kind != "Sum"},
}
