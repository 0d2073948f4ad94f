"""Operators that treat every number alike: sums, comparisons, activations. PURE."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from pivoice.wake.onnx_file import tensor_type
from pivoice.wake.operators.call import Array, Call, Function, Maker


def _each(function: Callable[..., Any]) -> Maker:
    """Return the maker of an operator that is a numpy function of arrays of any one shape."""

    def make(call: Call) -> Function:
        shapes = [call.example(at).shape for at in range(len(call.inputs))]
        shape = call.bound(np.broadcast_shapes(*shapes))
        if len(shapes) == 2 and shapes[0] == shape and (second := call.take_whole(1, shape)) is not None:
            return lambda x: function(x, second)
        if len(shapes) == 2 and shapes[1] == shape and (first := call.take_whole(0, shape)) is not None:
            return lambda x: function(first, x)
        return function

    return make


def _several(function: Callable[[Array, Array], Any], *, mean: bool = False) -> Maker:
    """Return the maker of an operator that folds any number of arrays with a function of two."""

    def make(call: Call) -> Function:
        count = len(call.inputs)
        call.bound(np.broadcast_shapes(*[call.example(at).shape for at in range(count)]))
        if mean:
            return lambda *arrays: functools.reduce(function, arrays) / arrays[0].dtype.type(count)
        return function if count == 2 else lambda *arrays: functools.reduce(function, arrays)

    return make


def _with(function: Callable[..., Any], **defaults: float) -> Maker:
    """Return the maker of an activation with constants: attributes of these names."""

    def make(call: Call) -> Function:
        dtype = call.example(0).dtype.type
        return functools.partial(
            function, **{name: dtype(call.attribute(name, usual)) for name, usual in defaults.items()}
        )

    return make


def sigmoid(x: Array) -> Array:
    """Return the logistic function. Too large for exp is 0, as it should be."""
    result: Array = np.reciprocal(np.exp(-x) + x.dtype.type(1))
    return result


def _sigmoid(call: Call) -> Function:
    example = call.example(0)
    ones = np.ones(example.shape if example.size <= 4096 else (), example.dtype)
    return lambda x: np.reciprocal(np.exp(-x) + ones)


def softplus(x: Array) -> Array:
    """Return log(1 + exp(x)) without exp's overflow."""
    result: Array = np.log1p(np.exp(-np.abs(x))) + np.maximum(x, x.dtype.type(0))
    return result


def erf(x: Array) -> Array:
    """Return the error function, within 1.2e-7: Numerical Recipes' erfcc, in double precision."""
    if x.dtype == np.float64:
        exact: Array = np.vectorize(math.erf, otypes=[np.float64])(x)
        return exact
    size = np.abs(x, dtype=np.float64)
    t = 1.0 / (1.0 + 0.5 * size)
    series = np.polyval(_ERFCC, t)
    complement = t * np.exp(series - size * size)
    result: Array = np.copysign(1.0 - complement, x).astype(x.dtype)
    return result


_ERFCC = (
    0.17087277,
    -0.82215223,
    1.48851587,
    -1.13520398,
    0.27886807,
    -0.18628806,
    0.09678418,
    0.37409196,
    1.00002368,
    -1.26551223,
)


def _gelu(call: Call) -> Function:
    half, one = np.float32(0.5), np.float32(1)
    if call.attribute("approximate", "none") == "tanh":
        scale, cubic = np.float32(math.sqrt(2 / math.pi)), np.float32(0.044715)
        return lambda x: half * x * (one + np.tanh(scale * (x + cubic * x * x * x)))
    root = np.float32(math.sqrt(0.5))
    return lambda x: half * x * (one + erf(x * root))


def _pow(call: Call) -> Function:
    dtype = call.example(0).dtype
    call.bound(np.broadcast_shapes(call.example(0).shape, call.example(1).shape))
    if call.is_constant(1) and call.example(1).size == 1:
        exponent = float(call.example(1).item())
        if call.example(1).ndim <= call.example(0).ndim:
            if exponent == 2:
                call.take(1)
                return lambda x: x * x
            if exponent == 0.5:
                call.take(1)
                return np.sqrt
    return lambda x, y: np.power(x, y).astype(dtype, copy=False)


def _divide(call: Call) -> Function:
    call.bound(np.broadcast_shapes(call.example(0).shape, call.example(1).shape))
    if call.example(0).dtype.kind == "f":
        return np.divide
    # whole numbers are cut off towards zero, where numpy's // goes down
    return lambda x, y: (np.abs(x) // np.abs(y)) * (np.sign(x) * np.sign(y))


def _modulo(call: Call) -> Function:
    call.bound(np.broadcast_shapes(call.example(0).shape, call.example(1).shape))
    return np.fmod if call.attribute("fmod", 0) else np.mod


def _clip(call: Call) -> Function:
    dtype = call.example(0).dtype
    if call.opset < 11:
        low, high = (call.attribute(name) for name in ("min", "max"))
    else:
        low, high = (found.item() if (found := call.take(at)) is not None else None for at in (1, 2))

    def clip(x: Array) -> Any:
        if low is not None:
            x = np.maximum(x, dtype.type(low))
        # a minimum above the maximum gives the maximum: ONNX's order
        return x if high is None else np.minimum(x, dtype.type(high))

    return clip


def _cast(call: Call) -> Function:
    dtype = call.example(1).dtype if call.node.op == "CastLike" else tensor_type(call.attribute("to", 0))
    if call.example(0).dtype == dtype:
        return lambda x, *_: x
    return lambda x, *_: x.astype(dtype)


def _isinf(call: Call) -> Function:
    up, down = call.attribute("detect_positive", 1), call.attribute("detect_negative", 1)
    return lambda x: np.isinf(x) & ((x > 0) & bool(up) | (x < 0) & bool(down))


def _prelu(call: Call) -> Function:
    call.bound(np.broadcast_shapes(call.example(0).shape, call.example(1).shape))
    return lambda x, slope: np.where(x < 0, x * slope, x)


def _relu(call: Call) -> Function:
    example = call.example(0)
    zeros = np.zeros(example.shape if example.size <= 4096 else (), example.dtype)
    return lambda x: np.maximum(x, zeros)


def _hard_sigmoid(x: Array, *, alpha: Any, beta: Any) -> Any:
    return np.minimum(np.maximum(x * alpha + beta, x.dtype.type(0)), x.dtype.type(1))


_SIXTH, _HALF = np.float32(1 / 6), np.float32(0.5)

MAKERS: dict[str, Maker] = {
    "Abs": _each(np.abs),
    "Add": _each(np.add),
    "And": _each(np.logical_and),
    "Cast": _cast,
    "CastLike": _cast,
    "Ceil": _each(np.ceil),
    "Celu": _with(lambda x, alpha: np.maximum(x, 0) + np.minimum(alpha * np.expm1(x / alpha), 0), alpha=1.0),
    "Clip": _clip,
    "Cos": _each(np.cos),
    "Div": _divide,
    "Elu": _with(lambda x, alpha: np.where(x < 0, alpha * np.expm1(x), x), alpha=1.0),
    "Equal": _each(np.equal),
    "Erf": _each(erf),
    "Exp": _each(np.exp),
    "Floor": _each(np.floor),
    "Gelu": _gelu,
    "Greater": _each(np.greater),
    "GreaterOrEqual": _each(np.greater_equal),
    "HardSigmoid": _with(_hard_sigmoid, alpha=0.2, beta=0.5),
    "HardSwish": _each(lambda x: x * _hard_sigmoid(x, alpha=_SIXTH, beta=_HALF)),
    "IsInf": _isinf,
    "IsNaN": _each(np.isnan),
    "LeakyRelu": _with(lambda x, alpha: np.where(x < 0, x * alpha, x), alpha=0.01),
    "Less": _each(np.less),
    "LessOrEqual": _each(np.less_equal),
    "Log": _each(np.log),
    "Max": _several(np.maximum),
    "Mean": _several(np.add, mean=True),
    "Min": _several(np.minimum),
    "Mish": _each(lambda x: x * np.tanh(softplus(x))),
    "Mod": _modulo,
    "Mul": _each(np.multiply),
    "Neg": _each(np.negative),
    "Not": _each(np.logical_not),
    "Or": _each(np.logical_or),
    "PRelu": _prelu,
    "Pow": _pow,
    "Reciprocal": _each(np.reciprocal),
    "Relu": _relu,
    "Round": _each(np.rint),
    "Selu": _with(
        lambda x, alpha, gamma: gamma * np.where(x > 0, x, alpha * np.expm1(x)),
        alpha=1.67326319217681884765625,
        gamma=1.05070102214813232421875,
    ),
    "Sigmoid": _sigmoid,
    "Sign": _each(np.sign),
    "Sin": _each(np.sin),
    "Softplus": _each(softplus),
    "Softsign": _each(lambda x: x / (np.abs(x) + x.dtype.type(1))),
    "Sqrt": _each(np.sqrt),
    "Sub": _each(np.subtract),
    "Sum": _several(np.add),
    "Swish": _with(lambda x, alpha: x * sigmoid(x * alpha), alpha=1.0),
    "Tanh": _each(np.tanh),
    "ThresholdedRelu": _with(lambda x, alpha: np.where(x > alpha, x, x.dtype.type(0)), alpha=1.0),
    "Where": _each(np.where),
    "Xor": _each(np.logical_xor),
}
