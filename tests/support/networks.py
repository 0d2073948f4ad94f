"""Small networks as .onnx files, made at test time with random weights, and what onnxruntime says of them.

The oracle of pivoice's own reader and operators: `onnx` writes, `onnxruntime` runs, neither is a
dependency of the product.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
WINDOW = (1, 16, 96)


def model_bytes(
    nodes: Sequence[onnx.NodeProto],
    *,
    inputs: Mapping[str, Array],
    outputs: Sequence[str],
    weights: Mapping[str, Array] | None = None,
    opset: int = 17,
) -> bytes:
    """Return an .onnx file whose inputs look like `inputs`; the types of the outputs are left open."""
    graph = helper.make_graph(
        nodes,
        "network",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in inputs.items()
        ],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (weights or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return bytes(onnx.shape_inference.infer_shapes(model).SerializeToString())


def reference(content: bytes, inputs: Mapping[str, Array]) -> list[Array]:
    """Return what onnxruntime makes of it."""
    return list(session(content).run(None, dict(inputs)))


def session(content: bytes) -> Any:
    """Return onnxruntime's session: one thread, silent, and no operator rewritten."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def dense_head(seed: int = 1, *, opset: int = 13, width: int = 24, verifier: bool = False) -> bytes:
    """Return a head like openwakeword's: dense layers with normalisation, spelled out in nine operators.

    `verifier`: as in hey_jarvis, a second network judges what the first one scores at 0.5 and more.
    """
    random = np.random.default_rng(seed)
    weights: dict[str, Array] = {}
    nodes = _dense(random, weights, "first", width, opset)
    if not verifier:
        nodes.append(helper.make_node("Identity", ["first_score"], ["score"]))
    else:
        branch = helper.make_graph(
            _dense(random, weights, "second", width, opset), "then", [], [_value("second_score")]
        )
        same = helper.make_node("Identity", ["first_score"], ["first_again"])
        other = helper.make_graph([same], "else", [], [_value("first_again")])
        nodes += [
            _constant("half", 0.5),
            helper.make_node("GreaterOrEqual", ["first_score", "half"], ["near"]),
            helper.make_node("Cast", ["near"], ["is_near"], to=TensorProto.BOOL),
            helper.make_node("If", ["is_near"], ["score"], then_branch=branch, else_branch=other),
        ]
    return model_bytes(
        nodes,
        inputs={"window": np.zeros(WINDOW, np.float32)},
        outputs=["score"],
        weights=weights,
        opset=opset,
    )


def recurrent_head(seed: int = 1, *, hidden: int = 12) -> bytes:
    """Return a head with a bidirectional LSTM, as openwakeword's and livekit's training make."""
    random = np.random.default_rng(seed)
    weights = {
        "W": _normal(random, 2, 4 * hidden, 96, scale=0.05),
        "R": _normal(random, 2, 4 * hidden, hidden, scale=0.3),
        "B": _normal(random, 2, 8 * hidden, scale=0.1),
        "w": _normal(random, 1, 2 * hidden),
        "b": _normal(random, 1),
        "last": np.array(-1),
        "flat": np.array([0, 0, -1]),
    }
    nodes = [
        helper.make_node("Transpose", ["window"], ["steps"], perm=[1, 0, 2]),
        helper.make_node(
            "LSTM", ["steps", "W", "R", "B"], ["states"], hidden_size=hidden, direction="bidirectional"
        ),
        helper.make_node("Transpose", ["states"], ["by_step"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["by_step", "flat"], ["rows"]),
        helper.make_node("Gather", ["rows", "last"], ["row"], axis=0),
        helper.make_node("Gemm", ["row", "w", "b"], ["sum"], transB=1),
        helper.make_node("Sigmoid", ["sum"], ["score"]),
    ]
    window = {"window": np.zeros(WINDOW, np.float32)}
    return model_bytes(nodes, inputs=window, outputs=["score"], weights=weights)


def _dense(
    random: np.random.Generator, weights: dict[str, Array], prefix: str, width: int, opset: int
) -> list[onnx.NodeProto]:
    """Flatten, a dense layer, normalisation, ReLU, a dense layer to one number, sigmoid."""

    def name(of: str) -> str:
        return f"{prefix}_{of}"

    weights |= {
        name("w1"): _normal(random, width, 1536, scale=0.05),
        name("b1"): _normal(random, width),
        name("scale"): _normal(random, width),
        name("shift"): _normal(random, width),
        name("w2"): _normal(random, 1, width),
        name("b2"): _normal(random, 1),
    }
    return [
        helper.make_node("Flatten", ["window"], [name("flat")], axis=1),
        helper.make_node("Gemm", [name("flat"), name("w1"), name("b1")], [name("sums")], transB=1),
        *normalization(name("sums"), name("scale"), name("shift"), name("normal")),
        helper.make_node("Relu", [name("normal")], [name("lit")]),
        helper.make_node("Gemm", [name("lit"), name("w2"), name("b2")], [name("sum")], transB=1),
        helper.make_node("Sigmoid", [name("sum")], [name("score")]),
    ]


def normalization(source: str, scale: str, shift: str, made: str) -> list[onnx.NodeProto]:
    """Return a layer's normalisation as exporters spelled it out before version 17."""

    def name(of: str) -> str:
        return f"{made}_{of}"

    return [
        helper.make_node("ReduceMean", [source], [name("mean")], axes=[-1]),
        helper.make_node("Sub", [source, name("mean")], [name("off")]),
        _constant(name("two"), 2.0),
        helper.make_node("Pow", [name("off"), name("two")], [name("squared")]),
        helper.make_node("ReduceMean", [name("squared")], [name("variance")], axes=[-1]),
        _constant(name("epsilon"), 1e-5),
        helper.make_node("Add", [name("variance"), name("epsilon")], [name("widened")]),
        helper.make_node("Sqrt", [name("widened")], [name("root")]),
        helper.make_node("Div", [name("off"), name("root")], [name("divided")]),
        helper.make_node("Mul", [name("divided"), scale], [name("scaled")]),
        helper.make_node("Add", [name("scaled"), shift], [made]),
    ]


def _constant(name: str, number: float) -> onnx.NodeProto:
    return helper.make_node(
        "Constant", [], [name], value=numpy_helper.from_array(np.array(number, np.float32))
    )


def _value(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1])


def _normal(random: np.random.Generator, *shape: int, scale: float = 0.5) -> Array:
    return (random.normal(size=shape) * scale).astype(np.float32)
