"""Operators on 8-bit numbers, as onnxruntime's quantisation writes them. PURE.

Products of whole numbers are computed in floating point, where there is a fast matrix product, and are
still exact: float32 holds whole numbers up to 2**24, float64 up to 2**53.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pivoice.wake.operators.call import Array, Call, Function, Maker
from pivoice.wake.operators.products import convolution

_LARGEST_PRODUCT = 255 * 255


def _exact(count: int) -> Any:
    """Return the smaller type that adds up `count` products of 8-bit numbers without rounding."""
    return np.float32 if count * _LARGEST_PRODUCT < 2**24 else np.float64


def _centred(numbers: Array, zero: Array | None, dtype: Any) -> Array:
    whole = numbers.astype(dtype)
    return whole if zero is None else whole - zero.astype(dtype)


def _dynamic_quantize(call: Call) -> Function:
    """Spread what is there over 0 to 255; 0 itself must come out exactly."""

    def quantize(x: Array) -> Any:
        low = min(float(x.min(initial=0)), 0.0)
        high = max(float(x.max(initial=0)), 0.0)
        scale = (np.float32(high) - np.float32(low)) / np.float32(255)
        if not scale > 0 or not np.isfinite(scale):
            scale = np.float32(1)
        zero = np.uint8(np.rint(np.clip(np.float32(-low) / scale, 0, 255)))
        # fmin, fmax: what is not a number becomes one, whichever
        spread = np.fmin(np.fmax(np.rint(x / scale) + np.float32(zero), 0), 255)
        return spread.astype(np.uint8), np.asarray(scale, np.float32), np.asarray(zero)

    return quantize


def _quantize(call: Call) -> Function:
    zero = call.example(2) if call.has(2) else np.zeros((), np.uint8)
    if zero.dtype not in (np.uint8, np.int8):
        raise call.fault(f"makes {zero.dtype}, which pivoice does not run")
    call.refuse(block_size=0, output_dtype=0)
    shape = _along(call)
    low, high = np.iinfo(zero.dtype).min, np.iinfo(zero.dtype).max

    def quantize(x: Array, scale: Array, zero: Array | None = None) -> Any:
        spread = np.rint(x / scale.reshape(shape))
        if zero is not None:
            spread = spread + zero.reshape(shape).astype(x.dtype)
        return np.fmin(np.fmax(spread, low), high).astype(np.uint8 if zero is None else zero.dtype)

    return quantize


def _dequantize(call: Call) -> Function:
    call.refuse(block_size=0, output_dtype=0)
    shape = _along(call)

    def dequantize(x: Array, scale: Array, zero: Array | None = None) -> Any:
        centred = x.astype(np.int32)
        if zero is not None:
            centred = centred - zero.reshape(shape).astype(np.int32)
        return centred.astype(scale.dtype) * scale.reshape(shape)

    return dequantize


def _along(call: Call) -> tuple[int, ...]:
    """Return the shape in which a scale meets what it scales: one for all, or one for each row of an axis."""
    example, scale = call.example(0), call.example(1)
    if scale.size == 1:
        return ()
    axis = call.axis(call.attribute("axis", 1), example.ndim)
    if scale.shape != (example.shape[axis],):
        raise call.fault(f"has scales of {scale.shape} for {example.shape}")
    return (-1,) + (1,) * (example.ndim - 1 - axis)


def _matmul_integer(call: Call) -> Function:
    left, right = call.example(0), call.example(1)
    if left.ndim < 2 or right.ndim != 2 or right.shape[0] != left.shape[-1]:
        raise call.fault(f"is given shapes {left.shape} and {right.shape}")
    call.bound((*left.shape[:-1], right.shape[1]))
    dtype = _exact(right.shape[0])
    right_zero_known = not call.has(3) or call.is_constant(3)
    if not call.is_constant(1) or not right_zero_known:
        return lambda x, y, x_zero=None, y_zero=None: np.matmul(
            _centred(x, x_zero, dtype), _centred(y, y_zero, dtype)
        ).astype(np.int32)
    weights = np.asfortranarray(_centred(right, call.take(3), dtype))
    call.take(1)
    return lambda x, x_zero=None, *_: _centred(x, x_zero, dtype).dot(weights).astype(np.int32)


def _conv_integer(call: Call) -> Function:
    shape = call.example(1).shape
    dtype = _exact(math.prod(shape[1:]))
    windows, convolve = convolution(call, shape)

    def conv(x: Array, weights: Array, x_zero: Array | None = None, zero: Array | None = None) -> Any:
        if zero is not None and zero.size > 1:
            zero = zero.reshape(-1, *(1,) * (weights.ndim - 1))
        wide = windows.padded(_centred(x, x_zero, dtype), 0)
        return convolve(wide, _centred(weights, zero, dtype)).astype(np.int32)

    return conv


MAKERS: dict[str, Maker] = {
    "ConvInteger": _conv_integer,
    "DequantizeLinear": _dequantize,
    "DynamicQuantizeLinear": _dynamic_quantize,
    "MatMulInteger": _matmul_integer,
    "QuantizeLinear": _quantize,
}
