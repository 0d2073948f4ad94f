"""Operators that move numbers about and compute none: reshape, slice, concatenate, pad. PURE.

What says where to (shapes, axes, indices of a slice) must be the same in every run; then most of these
are a view, and cost a microsecond.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pivoice.wake.operators.call import Array, Call, Function, Maker


def _into(shape: Sequence[int]) -> Function:
    fixed = tuple(shape)
    return lambda x: x.reshape(fixed)


def _reshape(call: Call) -> Function:
    old = call.example(0).shape
    wanted = call.take_integers(1, "shape")
    if wanted is None:
        raise call.fault("does not say which shape")
    if not call.attribute("allowzero", 0):
        wanted = [old[at] if size == 0 and at < len(old) else size for at, size in enumerate(wanted)]
    if min(wanted, default=0) < -1:
        raise call.fault(f"has the shape {wanted}")
    return _into(call.example(0).reshape(wanted).shape)


def _flatten(call: Call) -> Function:
    shape = call.example(0).shape
    axis = call.attribute("axis", 1)
    if not -len(shape) <= axis <= len(shape):
        raise call.fault(f"has the axis {axis} of an array of {len(shape)} axes")
    if axis < 0:
        axis += len(shape)
    return _into((math.prod(shape[:axis]), math.prod(shape[axis:])))


def _squeeze(call: Call) -> Function:
    shape = call.example(0).shape
    given = call.take_integers(1, "axes")
    if given is None:
        return _into([size for size in shape if size != 1])
    axes = {call.axis(axis, len(shape)) for axis in given}
    if any(shape[axis] != 1 for axis in axes):
        raise call.fault(f"cannot leave out axes {sorted(axes)} of a shape {shape}")
    return _into([size for at, size in enumerate(shape) if at not in axes])


def _unsqueeze(call: Call) -> Function:
    shape = list(call.example(0).shape)
    given = call.take_integers(1, "axes")
    if given is None:
        raise call.fault("does not say which axes")
    rank = len(shape) + len(given)
    for axis in sorted(call.axis(axis, rank) for axis in given):
        shape.insert(axis, 1)
    return _into(shape)


def _transpose(call: Call) -> Function:
    rank = call.example(0).ndim
    order = tuple(call.attribute("perm", range(rank)[::-1]))
    if sorted(order) != list(range(rank)):
        raise call.fault(f"has the order {order} of {rank} axes")
    return lambda x: x.transpose(order)


def _concat(call: Call) -> Function:
    axis = call.axis(call.attribute("axis", 0), call.example(0).ndim)
    call.bound([sum(call.example(at).size for at in range(len(call.inputs)))])
    return lambda *arrays: np.concatenate(arrays, axis=axis)


def _split(call: Call) -> Function:
    size_of = call.example(0).shape
    axis = call.axis(call.attribute("axis", 0), len(size_of))
    sizes = call.take_integers(1, "split")
    count, whole = len(call.node.outputs), size_of[axis]
    if sizes is None:
        part = -(-whole // count)  # the last may be smaller
        sizes = [part] * (count - 1) + [whole - part * (count - 1)]
    if sum(sizes) != whole or min(sizes) < 0 or len(sizes) != count:
        raise call.fault(f"cannot cut {whole} into {sizes}")
    ends = np.cumsum(sizes).tolist()
    cuts = [(slice(None),) * axis + (slice(end - size, end),) for size, end in zip(sizes, ends, strict=True)]
    return lambda x: tuple(x[cut] for cut in cuts)


def _slice(call: Call) -> Function:
    shape = call.example(0).shape
    if call.opset < 10:
        rows = [call.attribute("starts"), call.attribute("ends"), call.attribute("axes"), None]
    else:
        rows = [call.take_integers(at, "") for at in (1, 2, 3, 4)]
    starts, ends, given, steps = rows
    if starts is None or ends is None:
        raise call.fault("does not say from where to where")
    axes = [call.axis(axis, len(shape)) for axis in (range(len(starts)) if given is None else given)]
    steps = [1] * len(starts) if steps is None else steps
    cuts = [slice(None)] * len(shape)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if not step:
            raise call.fault("has a step of 0")
        # Python's own rules are ONNX's, but for what a backward slice means by a place before the first
        whole = shape[axis]
        if step < 0 and start < -whole:
            start = -whole
        cuts[axis] = slice(start, None if step < 0 and end < -whole else end, step)
    fixed = tuple(cuts)
    return lambda x: x[fixed]


def _gather(call: Call) -> Function:
    shape = call.example(0).shape
    axis = call.axis(call.attribute("axis", 0), len(shape))
    if not call.is_constant(1):
        call.bound((*shape[:axis], *call.example(1).shape, *shape[axis + 1 :]))
        # wrap: a row counted from the end is legal, and none can be out of reach
        return lambda x, rows: x.take(rows, axis=axis, mode="wrap")
    rows = call.take(1)
    assert rows is not None
    call.bound((*shape[:axis], *rows.shape, *shape[axis + 1 :]))
    if rows.size and (rows.min() < -shape[axis] or rows.max() >= shape[axis]):
        raise call.fault(f"reads row {rows.max()} of {shape[axis]}")
    if rows.ndim == 0:  # one row is a view
        one = (slice(None),) * axis + (int(rows),)
        return lambda x: x[one]
    return lambda x: x.take(rows, axis=axis)


def _expand(call: Call) -> Function:
    wanted = call.take_integers(1, "") or []
    if min(wanted, default=0) < 0:
        raise call.fault(f"has the shape {wanted}")
    shape = call.bound(np.broadcast_shapes(call.example(0).shape, call.bound(wanted)))
    if shape == call.example(0).shape:
        return lambda x: x
    return lambda x: np.broadcast_to(x, shape)


def _tile(call: Call) -> Function:
    repeats = call.take_integers(1, "") or []
    shape = call.example(0).shape
    if len(repeats) != len(shape):
        raise call.fault(f"repeats {len(repeats)} axes of {len(shape)}")
    call.bound([size * times for size, times in zip(shape, repeats, strict=True)])
    return lambda x: np.tile(x, repeats)


def _pad(call: Call) -> Function:
    shape = call.example(0).shape
    if call.opset < 11:
        pads, filling = call.attribute("pads"), call.attribute("value", 0.0)
        axes = None
    else:
        pads, axes = call.take_integers(1, ""), call.take_integers(3, "")
        given = call.take(2)
        filling = 0 if given is None else given.item()
    at = [call.axis(axis, len(shape)) for axis in (range(len(shape)) if axes is None else axes)]
    if pads is None or len(pads) != 2 * len(at):
        raise call.fault(f"has {len(pads or ())} sizes for {len(at)} axes")
    before, after = [0] * len(shape), [0] * len(shape)
    for number, axis in enumerate(at):
        before[axis], after[axis] = pads[number], pads[number + len(at)]
    call.bound([size + first + last for size, first, last in zip(shape, before, after, strict=True)])
    mode = call.attribute("mode", "constant")
    if mode not in ("constant", "reflect", "edge", "wrap"):
        raise call.fault(f"has mode {mode!r}, which pivoice does not run")
    # a negative size cuts off instead
    crop = tuple(
        slice(max(-first, 0), size - max(-last, 0))
        for size, first, last in zip(shape, before, after, strict=True)
    )
    widths = [(max(first, 0), max(last, 0)) for first, last in zip(before, after, strict=True)]
    options: dict[str, Any] = {"constant_values": filling} if mode == "constant" else {}
    return lambda x: np.pad(x[crop], widths, mode=mode, **options)


def _constant_of_shape(call: Call) -> Function:
    wanted = call.take_integers(0, "") or []
    given = call.attribute("value", np.zeros(1, np.float32))
    filled = np.full(call.bound(wanted), given.ravel()[0], given.dtype)
    return lambda: filled


def _range(call: Call) -> Function:
    taken = [call.take(at) for at in (0, 1, 2)]
    start, limit, step = (call.example(at).item() for at in range(3) if taken[at] is not None)
    if not step:
        raise call.fault("has a step of 0")
    (count,) = call.bound([max(math.ceil((limit - start) / step), 0)])
    row = (start + np.arange(count) * step).astype(call.example(0).dtype)
    return lambda: row


def _triangle(call: Call) -> Function:
    found = call.take(1)
    offset = 0 if found is None else int(found.item())
    triangle = np.triu if call.attribute("upper", 1) else np.tril
    return lambda x: triangle(x, offset)


def _shape(call: Call) -> Function:
    shape = call.example(0).shape
    row = np.array(shape[call.attribute("start", 0) : call.attribute("end")], np.int64)
    return lambda _: row


def _size(call: Call) -> Function:
    size = np.array(call.example(0).size, np.int64)
    return lambda _: size


def _same(call: Call) -> Function:
    if len([name for name in call.node.outputs if name]) > 1:
        raise call.fault("has more than one output, which pivoice does not run")
    if call.node.op == "Dropout":
        call.take(1)  # how much it would drop
        training = call.take(2)
        if training is not None and training.any():
            raise call.fault("was exported while training, and drops at random; call model.eval() before")
    return lambda x: x


def _constant(call: Call) -> Function:
    for name, value in call.node.attributes.items():
        if name == "value":
            array: Array = value
        elif name in ("value_int", "value_ints"):
            array = np.array(value, np.int64)
        elif name in ("value_float", "value_floats"):
            array = np.array(value, np.float32)
        else:
            break
        return lambda: array
    raise call.fault("holds no numbers")


MAKERS: dict[str, Maker] = {
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Dropout": _same,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Identity": _same,
    "Pad": _pad,
    "Range": _range,
    "Reshape": _reshape,
    "Shape": _shape,
    "Size": _size,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Trilu": _triangle,
    "Unsqueeze": _unsqueeze,
}
SHAPES_ONLY = frozenset({"Shape", "Size"})
"""These look at the shape of an input alone, which is known before any run."""
