"""Every operator in every form that exporters write, with random input; and forms that are refused.

onnxruntime runs them all but the refused: test_operators.py compares.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.support.networks import Array, model_bytes

RANDOM = np.random.default_rng(5)


def normal(*shape: int) -> Array:
    return RANDOM.normal(size=shape).astype(np.float32)


def positive(*shape: int) -> Array:
    return (RANDOM.random(size=shape) * 3 + 0.1).astype(np.float32)


def whole(*numbers: int) -> Array:
    return np.array(numbers, np.int64)


def bytes_of(*shape: int, dtype: Any = np.uint8) -> Array:
    limits = np.iinfo(dtype)
    return RANDOM.integers(limits.min, limits.max + 1, size=shape).astype(dtype)


def truths(*shape: int) -> Array:
    return RANDOM.random(size=shape) < 0.5


@dataclass(frozen=True)
class Case:
    """One operator: its inputs (None: left out), which of them are weights, attributes, and versions."""

    op: str
    inputs: tuple[Array | None, ...]
    constant: tuple[int, ...] = ()
    opsets: tuple[int, ...] = (13, 18)
    outputs: int = 1
    attributes: dict[str, Any] = field(default_factory=dict)

    def content(self, opset: int) -> bytes:
        names = ["" if array is None else f"in{at}" for at, array in enumerate(self.inputs)]
        node = helper.make_node(self.op, names, [f"out{at}" for at in range(self.outputs)], **self.attributes)
        return model_bytes(
            [node],
            inputs=self.given(),
            outputs=list(node.output),
            weights={f"in{at}": self.inputs[at] for at in self.constant},
            opset=opset,
        )

    def given(self) -> dict[str, Array]:
        return {
            f"in{at}": np.asarray(array)
            for at, array in enumerate(self.inputs)
            if array is not None and at not in self.constant
        }


def case(
    op: str,
    *inputs: Array | None,
    constant: tuple[int, ...] = (),
    opsets: tuple[int, ...] = (13, 18),
    outputs: int = 1,
    **attributes: Any,
) -> Case:
    return Case(op, inputs, constant, opsets, outputs, attributes)


X = normal(2, 3, 4)
ROW = normal(1, 8)
EXTREME = np.array([[-200, -90, -20, -1, -0.0, 0, 0.3, 1, 20, 90, 200, np.inf, -np.inf, np.nan]], np.float32)
NEWEST = (18, 22)
_2D = normal(2, 4, 7, 9)

ACTIVATIONS = [
    *(
        case(op, normal(2, 3, 40))
        for op in (
            "Abs",
            "Ceil",
            "Cos",
            "Erf",
            "Exp",
            "Floor",
            "HardSigmoid",
            "Neg",
            "Relu",
            "Selu",
            "Sigmoid",
        )
    ),
    *(case(op, EXTREME) for op in ("Exp", "Relu", "Sigmoid", "Tanh", "Erf", "Softsign", "IsNaN", "Sign")),
    *(case(op, 4 * normal(3, 40)) for op in ("Sign", "Sin", "Softplus", "Softsign", "Tanh", "Round", "Elu")),
    *(case(op, positive(3, 40)) for op in ("Log", "Sqrt", "Reciprocal")),
    case("Round", np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5], np.float32)),
    case("Celu", normal(9), alpha=1.7),
    case("Elu", normal(9), alpha=0.3),
    case("Erf", normal(5000) * 3),
    case("Gelu", 3 * normal(50), opsets=(20, 22)),
    case("Gelu", 3 * normal(50), opsets=(20, 22), approximate="tanh"),
    case("HardSigmoid", 4 * normal(30), alpha=0.17, beta=0.4),
    case("HardSwish", 4 * normal(30), opsets=NEWEST),
    case("LeakyRelu", normal(30)),
    case("LeakyRelu", normal(30), alpha=0.2),
    case("Mish", normal(30), opsets=NEWEST),
    case("PRelu", normal(2, 3, 4), normal(3, 1)),
    case("Selu", normal(30), alpha=1.5, gamma=1.1),
    case("Swish", normal(30), opsets=(24,), alpha=1.3),
    case("ThresholdedRelu", normal(30), alpha=0.4),
    case("IsInf", EXTREME, opsets=(18,)),
    case("IsInf", EXTREME, opsets=(18,), detect_negative=0),
    case("IsInf", EXTREME, opsets=(18,), detect_positive=0),
    case("Clip", X, opsets=(7, 9), min=-0.5, max=0.25),
    case("Clip", X, np.float32(-0.5), np.float32(0.25), constant=(1, 2)),
    case("Clip", X, None, np.float32(0.25), constant=(2,)),
    case("Clip", X, np.float32(-0.5), constant=(1,)),
    case("Clip", whole(-5, 1, 9), whole(2)[0], whole(7)[0], constant=(1, 2)),
    case("Identity", X),
    case("Dropout", X),
    case("Dropout", X, opsets=(7, 11), ratio=0.5),
    case("Dropout", X, np.float32(0.5), np.array(False), constant=(1, 2)),
]

SUMS = [
    *(case(op, X, normal(4)) for op in ("Add", "Sub", "Mul", "Div")),
    *(case(op, X, normal(4), constant=(1,)) for op in ("Add", "Sub", "Mul", "Div")),
    *(case(op, normal(4), X, constant=(0,)) for op in ("Add", "Sub", "Mul", "Div")),
    *(case(op, ROW, np.float32(0.3), constant=(1,)) for op in ("Add", "Sub", "Less", "GreaterOrEqual")),
    *(case(op, normal(3, 1), normal(1, 4), constant=(1,)) for op in ("Sub", "Div")),
    case("Sub", X, X),
    case("Div", whole(7, -7, 7, -7, 6), whole(2, 2, -2, -2, 3)),
    case("Mod", whole(7, -7, 7, -7, 6), whole(2, 2, -2, -2, 3)),
    case("Mod", 5 * normal(20), positive(20), fmod=1),
    case("Pow", normal(3, 4), np.float32(2), constant=(1,)),
    case("Pow", positive(3, 4), np.float32(0.5), constant=(1,)),
    case("Pow", positive(3, 4), np.float32(-1.7), constant=(1,)),
    case("Pow", normal(3, 4), np.float32([[[2]]]), constant=(1,)),
    case("Pow", positive(3, 4), normal(4)),
    case("Pow", normal(3, 4), np.int64(3), constant=(1,)),
    *(
        case(
            op,
            RANDOM.integers(-2, 3, (3, 4)).astype(np.float32),
            RANDOM.integers(-2, 3, 4).astype(np.float32),
        )
        for op in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
    ),
    *(case(op, truths(3, 4), truths(4)) for op in ("And", "Or", "Xor")),
    case("Not", truths(9)),
    case("Where", truths(3, 1), normal(3, 4), normal(4)),
    *(case(op, X) for op in ("Max", "Min", "Sum", "Mean")),
    *(case(op, X, normal(4), normal(3, 1)) for op in ("Max", "Min", "Sum", "Mean")),
    case("Max", X, np.float32(0.1), constant=(1,)),
    case("Max", whole(1, 2, 3), whole(2, 2, 2)),
    *(
        case("Cast", 3 * normal(20), to=to)
        for to in (TensorProto.INT64, TensorProto.BOOL, TensorProto.FLOAT16, TensorProto.DOUBLE)
    ),
    case("Cast", whole(0, 1, -4), to=TensorProto.FLOAT),
    case("CastLike", whole(0, 1, -4), normal(1), opsets=(15, 18)),
]

REDUCTIONS = [
    *(
        case(f"Reduce{kind}", X, axes=[-1], opsets=(11, 13))
        for kind in ("Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare")
    ),
    *(
        case(f"Reduce{kind}", X, whole(-1, 0), constant=(1,), opsets=NEWEST, keepdims=0)
        for kind in ("Mean", "Sum", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSumExp")
    ),
    case("ReduceMean", X, opsets=NEWEST),
    case("ReduceMean", X, opsets=NEWEST, noop_with_empty_axes=1),
    case("ReduceMean", X, axes=[1, 2], keepdims=0, opsets=(11, 13)),
    case("ReduceMean", RANDOM.integers(0, 50, (3, 4)), opsets=(13,), axes=[1]),
    case("ReduceSum", X, axes=[0], opsets=(11,)),
    case("ReduceSum", X, whole(1), constant=(1,)),
    case("ReduceLogSumExp", 50 * X, opsets=(13,), axes=[2]),
    *(case(op, normal(2, 3, 4), opsets=(11, 13)) for op in ("Softmax", "LogSoftmax")),
    *(case(op, 40 * normal(2, 3, 4), axis=1, opsets=(11, 13)) for op in ("Softmax", "LogSoftmax")),
    case("ArgMax", X, axis=1),
    case("ArgMin", X, axis=-1, keepdims=0),
    case("CumSum", X, np.int64(1), constant=(1,)),
    case("LayerNormalization", normal(1, 64), normal(64), normal(64), constant=(1, 2), opsets=(17, 18)),
    case("LayerNormalization", normal(1, 64), normal(64), constant=(1,), opsets=(17, 18), epsilon=0.1),
    case("LayerNormalization", normal(1, 64), normal(64), normal(64), opsets=(17,)),
    case("LayerNormalization", 30 * normal(2, 5, 8), normal(5, 8), normal(5, 8), opsets=(17,), axis=-2),
    case(
        "LayerNormalization", 30 * normal(1, 9000), normal(9000), normal(9000), constant=(1, 2), opsets=(17,)
    ),
    case("RMSNormalization", normal(2, 5, 8), normal(8), opsets=(23,)),
    case("InstanceNormalization", normal(2, 3, 9), normal(3), normal(3), epsilon=0.01),
    case(
        "BatchNormalization",
        _2D,
        *(normal(4), normal(4), normal(4), positive(4)),
        constant=(1, 2, 3, 4),
        opsets=(9, 13, 15),
        epsilon=0.01,
    ),
]

ARRANGEMENTS = [
    case("Concat", X, normal(2, 1, 4), X, axis=1),
    case("ConstantOfShape", whole(2, 3), constant=(0,), value=numpy_helper.from_array(whole(7))),
    case("ConstantOfShape", whole(2, 3), constant=(0,)),
    case("Expand", normal(3, 1), whole(2, 3, 4), constant=(1,)),
    case("Expand", normal(3, 4), whole(1, 1), constant=(1,)),
    case("Flatten", X),
    case("Flatten", X, axis=0),
    case("Flatten", X, axis=-1, opsets=(11, 18)),
    case("Flatten", X, axis=3),
    case("Gather", X, np.int64(-1), constant=(1,), axis=1),
    case("Gather", X, whole(2, 0, -3), constant=(1,), axis=1),
    case("Gather", X, np.array([[1, -1], [0, 1]]), axis=0),
    case("Pad", X, opsets=(7, 10), pads=[0, 1, 2, 0, 0, 3], value=0.5),
    case("Pad", X, whole(0, 1, 2, 0, 0, 3), np.float32(0.5), constant=(1, 2)),
    case("Pad", X, whole(0, 1, 2, 0, 0, 1), constant=(1,), mode="reflect"),
    case("Pad", X, whole(0, 1, 2, 0, 0, 3), constant=(1,), mode="edge"),
    case("Pad", X, whole(0, -1, 2, 0, 0, -3), constant=(1,)),
    case("Pad", X, whole(1, 2), None, whole(-1), constant=(1, 3), opsets=NEWEST),
    case("Pad", X, whole(1, 2), None, whole(2), constant=(1, 3), opsets=(19,), mode="wrap"),
    case("Range", np.int64(3), np.int64(11), np.int64(2), constant=(0, 1, 2)),
    case("Range", np.float32(3), np.float32(-1), np.float32(-0.5), constant=(0, 1, 2)),
    case("Reshape", X, whole(0, -1), constant=(1,)),
    case("Reshape", X, whole(4, 3, 2), constant=(1,), opsets=NEWEST, allowzero=1),
    case("Shape", X),
    case("Shape", X, opsets=(15, 18), start=-2),
    case("Shape", X, opsets=(15, 18), start=0, end=-1),
    case("Size", X),
    case("Slice", X, opsets=(9,), starts=[1, -3], ends=[2, 100], axes=[0, 2]),
    case("Slice", X, opsets=(9,), starts=[0, 1], ends=[1, -1]),
    case("Slice", X, whole(-1), whole(-100), whole(2), whole(-2), constant=(1, 2, 3, 4)),
    case("Slice", X, whole(1, 0), whole(2**63 - 1, -1), constant=(1, 2)),
    case("Slice", X, whole(-100), whole(-100), whole(1), whole(-1), constant=(1, 2, 3, 4)),
    case("Slice", X, whole(2), whole(0), whole(1), whole(-1), constant=(1, 2, 3, 4)),
    case("Split", normal(2, 6), outputs=2, axis=1, opsets=(11, 13)),
    case("Split", normal(2, 6), outputs=3, axis=-1, opsets=(11,), split=[1, 2, 3]),
    case("Split", normal(2, 6), whole(1, 5), constant=(1,), outputs=2, axis=1),
    case("Split", normal(2, 7), outputs=3, axis=1, opsets=NEWEST, num_outputs=3),
    case("Squeeze", normal(1, 3, 1), opsets=(11,), axes=[0]),
    case("Squeeze", normal(1, 3, 1), whole(-1), constant=(1,)),
    case("Squeeze", normal(1, 3, 1)),
    case("Tile", normal(2, 3), whole(2, 1), constant=(1,)),
    case("Transpose", X),
    case("Transpose", X, perm=[1, 2, 0]),
    case("Trilu", normal(3, 5), opsets=(14, 18)),
    case("Trilu", normal(3, 5), np.int64(1), constant=(1,), opsets=(14, 18), upper=0),
    case("Unsqueeze", normal(3), opsets=(11,), axes=[0, 2]),
    case("Unsqueeze", normal(3), whole(-1, 0), constant=(1,)),
]

PRODUCTS = [
    *(
        case("Gemm", left, right, normal(5), constant=constant, transA=a, transB=b, alpha=0.7, beta=1.3)
        for left, a in ((normal(3, 4), 0), (normal(4, 3), 1))
        for right, b in ((normal(4, 5), 0), (normal(5, 4), 1))
        for constant in ((), (1, 2))
    ),
    *(
        case("Gemm", normal(1, 40), normal(6, 40), normal(6), constant=c, transB=1)
        for c in ((1, 2), (1,), ())
    ),
    case("Gemm", normal(1, 40), normal(40, 6), constant=(1,)),
    case("Gemm", normal(3, 4), normal(4, 5), normal(3, 1), constant=(1, 2)),
    case("MatMul", normal(2, 3, 4), normal(4, 5), constant=(1,)),
    case("MatMul", normal(2, 3, 4), normal(2, 4, 5)),
    case("MatMul", normal(1, 1, 4), normal(4, 5), constant=(1,)),
    case("MatMul", normal(4), normal(4, 5), constant=(1,)),
    case("MatMul", normal(3, 4), normal(4)),
    case("MatMul", normal(4), normal(4)),
    case("Einsum", normal(2, 3, 4), normal(2, 4, 5), equation="bij,bjk->bik"),
    case("Einsum", normal(2, 3, 4), equation="abc->cab"),
    case("Conv", normal(1, 6, 16), normal(8, 6, 3), normal(8), constant=(1, 2), pads=[1, 1]),
    case("Conv", normal(2, 6, 16), normal(8, 3, 3), constant=(1,), group=2, dilations=[2], strides=[3]),
    case("Conv", normal(1, 6, 16), normal(6, 1, 5), normal(6), constant=(1, 2), group=6, pads=[4, 0]),
    case("Conv", normal(1, 4, 7, 9), normal(5, 4, 3, 2), normal(5), pads=[1, 0, 2, 1], strides=[2, 1]),
    *(
        case("Conv", _2D, normal(5, 4, 3, 2), auto_pad=kind, strides=[2, 2])
        for kind in ("SAME_UPPER", "SAME_LOWER", "VALID")
    ),
    case("MaxPool", _2D, kernel_shape=[2, 2], strides=[2, 2]),
    case("MaxPool", _2D, kernel_shape=[3, 2], pads=[1, 0, 1, 1], dilations=[2, 1]),
    case("MaxPool", _2D, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
    case("MaxPool", normal(1, 3, 5), kernel_shape=[2], strides=[3], pads=[1, 1], ceil_mode=1),
    case("MaxPool", normal(1, 3, 16), kernel_shape=[3], auto_pad="SAME_UPPER"),
    case("MaxPool", bytes_of(1, 2, 9), kernel_shape=[3], pads=[1, 1], opsets=(13,)),
    case("AveragePool", _2D, kernel_shape=[3, 2], pads=[1, 0, 1, 1], strides=[2, 1]),
    case("AveragePool", _2D, kernel_shape=[3, 2], pads=[1, 0, 1, 1], count_include_pad=1),
    case("AveragePool", normal(1, 3, 16), kernel_shape=[3], strides=[2], ceil_mode=1, opsets=(19,)),
    case("GlobalAveragePool", _2D),
    case("GlobalMaxPool", _2D),
    case("Attention", normal(1, 4, 16, 8), normal(1, 4, 16, 8), normal(1, 4, 16, 8), opsets=(23,)),
    case(
        "Attention",
        *(normal(1, 4, 6, 8), normal(1, 2, 9, 8), normal(1, 2, 9, 5), normal(6, 9)),
        opsets=(23,),
        scale=0.2,
    ),
    case(
        "Attention",
        *(normal(1, 6, 32), normal(1, 6, 32), normal(1, 6, 32)),
        opsets=(23,),
        q_num_heads=4,
        kv_num_heads=4,
        is_causal=1,
    ),
]


def recurrent(op: str, gates: int, directions: int, *, state: bool = False, **attributes: Any) -> Case:
    hidden, batch = 5, 2
    states = normal(directions, batch, hidden)
    inputs: list[Array | None] = [
        normal(7, batch, 6),
        normal(directions, gates * hidden, 6),
        normal(directions, gates * hidden, hidden),
        normal(directions, 2 * gates * hidden),
    ]
    if state:
        inputs += [None, states] if op != "LSTM" else [None, states, normal(directions, batch, hidden)]
    outputs = 3 if op == "LSTM" else 2
    return case(
        op, *inputs, constant=(1, 2, 3), opsets=(11, 14), outputs=outputs, hidden_size=hidden, **attributes
    )


RECURRENT = [
    *(
        recurrent(op, gates, 2 if direction == "bidirectional" else 1, state=state, direction=direction)
        for op, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1))
        for direction in ("forward", "reverse", "bidirectional")
        for state in (False, True)
    ),
    recurrent("GRU", 3, 2, direction="bidirectional", linear_before_reset=1, state=True),
    case(
        "LSTM", normal(7, 1, 6), normal(1, 20, 6), normal(1, 20, 5), constant=(1, 2), outputs=3, hidden_size=5
    ),
]

QUANTISED = [
    case("DynamicQuantizeLinear", 3 * normal(1, 200), outputs=3),
    case("DynamicQuantizeLinear", positive(1, 200), outputs=3),
    case("DynamicQuantizeLinear", np.zeros((1, 5), np.float32), outputs=3),
    case("QuantizeLinear", 9 * normal(3, 40), np.float32(0.05), np.uint8(120)),
    case("QuantizeLinear", 9 * normal(3, 40), positive(40) / 9, bytes_of(40, dtype=np.int8), axis=1),
    case("DequantizeLinear", bytes_of(3, 40), np.float32(0.05), np.uint8(120)),
    case("DequantizeLinear", bytes_of(3, 40, dtype=np.int8), positive(3), axis=0),
    case("MatMulInteger", bytes_of(2, 1536), bytes_of(1536, 4), np.uint8(7), np.uint8(200), constant=(1, 3)),
    case(
        "MatMulInteger",
        # weights of 7 bits: with 8 onnxruntime itself overflows on processors without VNNI
        *(bytes_of(2, 30), bytes_of(30, 4, dtype=np.int8) // 2, np.uint8(7), np.int8(0)),
        constant=(1, 3),
    ),
    case("MatMulInteger", bytes_of(2, 30), bytes_of(30, 4)),
    case("MatMulInteger", bytes_of(2, 1536) | 128, bytes_of(1536, 4) | 128, constant=(1,)),
    case("ConvInteger", bytes_of(1, 6, 16), bytes_of(8, 6, 3), np.uint8(9), np.uint8(101), pads=[1, 1]),
]

CASES = [*ACTIVATIONS, *SUMS, *REDUCTIONS, *ARRANGEMENTS, *PRODUCTS, *RECURRENT, *QUANTISED]

REFUSED = [
    case("Reshape", X, whole(4, 6)),  # a shape that is heard
    case(
        "LSTM", normal(7, 1, 6), normal(1, 20, 6), normal(1, 20, 5), constant=(1, 2), hidden_size=5, clip=1.0
    ),
    case(
        "GRU",
        normal(7, 1, 6),
        normal(1, 15, 6),
        normal(1, 15, 5),
        constant=(1, 2),
        activations=["Relu", "Tanh"],
    ),
    case("MaxPool", _2D, kernel_shape=[2, 2], outputs=2),
    case("AveragePool", _2D, kernel_shape=[2, 2], count_include_pad=1, ceil_mode=1),
    case("Dropout", X, np.float32(0.5), np.array(True), constant=(1, 2)),
    case("ArgMax", X, select_last_index=1),
    case("Gather", X, np.int64(2), constant=(1,)),
    case("ConstantOfShape", whole(100_000, 100_000), constant=(0,)),
    case("Expand", X, whole(1_000_000, 1, 1, 1), constant=(1,)),
    case("Tile", X, whole(1000, 1000, 1000), constant=(1,)),
    case("Pad", X, whole(0, 0, 2**40, 0, 0, 0), constant=(1,)),
    case("Range", np.int64(0), np.int64(2**60), np.int64(1), constant=(0, 1, 2)),
    case("MatMul", normal(5000, 1), normal(1, 5000), constant=(0, 1)),
    case("Add", normal(5000, 1), normal(1, 5000), constant=(0, 1)),
]
