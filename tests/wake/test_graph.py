"""The runner of heads, whole: openwakeword's own and new ones, against onnxruntime."""

from __future__ import annotations

import threading
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from pivoice.wake import models
from pivoice.wake.detector import RATE_HZ
from pivoice.wake.fusion import fuse_normalizations
from pivoice.wake.graph import CannotRunError, Program
from pivoice.wake.onnx_file import Graph, Node, Value, parse_model, read_model
from tests.support.networks import (
    WINDOW,
    Array,
    dense_head,
    model_bytes,
    normalization,
    recurrent_head,
    reference,
    session,
)
from tests.support.old_models import old_models
from tests.support.speech import load_speech

HEADS = sorted(
    path
    for directory in (models.bundled_directory(), old_models())
    for path in directory.glob("*.onnx")
    if path.stem not in ("melspectrogram", "embedding_model", "silero_vad")
)


@cache
def heard_embeddings() -> Array:
    """Return what the package's own networks make of "hey Jarvis" and what a user says then."""
    sound = np.concatenate([load_speech(name).at_rate(RATE_HZ) for name in ("user_wake", "user_wake_time")])
    mel, embedding = (session(path.read_bytes()) for path in models.front_end_models())
    samples = np.concatenate([np.zeros(2 * RATE_HZ, np.int16), sound]).astype(np.float32)[None]
    rows = mel.run(None, {mel.get_inputs()[0].name: samples})[0].reshape(-1, 32) / 10 + 2
    windows = np.stack([rows[at : at + 76] for at in range(0, len(rows) - 75, 8)])[..., None]
    found = embedding.run(None, {embedding.get_inputs()[0].name: windows.astype(np.float32)})[0]
    return np.asarray(found.reshape(-1, 96))


def windows_for(program: Program, count: int) -> list[Array]:
    """Return what a head of any length may be given: real windows, noise, and noise like embeddings."""
    (value,) = program.inputs
    assert value.shape is not None
    embeddings, random = heard_embeddings(), np.random.default_rng(8)
    _, length, width = (int(size or 0) for size in value.shape)
    starts = range(len(embeddings) - length)
    real = [embeddings[at : at + length][None] for at in starts]
    spread = embeddings.std(), embeddings.mean()
    made = [
        (random.normal(size=(1, length, width)) * size + mean).astype(np.float32)
        for size, mean in ((1, 0), (spread[0], spread[1]), (50, 0), (0.01, 0))
        for _ in range((count - len(real)) // 4 + 1)
    ]
    return [*real, *made]


@pytest.mark.parametrize("path", HEADS, ids=lambda path: f"{path.parents[3].name}-{path.stem}")
def test_a_head_of_openwakeword_scores_as_on_onnxruntime(path: Path) -> None:
    program = Program(read_model(path))
    theirs = session(path.read_bytes())
    name = program.inputs[0].name
    windows = windows_for(program, 200)

    ours = [program.run({name: window})[0] for window in windows]

    expected = [theirs.run(None, {name: window})[0] for window in windows]
    assert len(windows) >= 200
    assert {score.shape for score in ours} == {score.shape for score in expected}
    np.testing.assert_allclose(ours, expected, rtol=0, atol=3e-6)


def test_hey_jarvis_is_judged_by_both_its_networks_on_real_speech() -> None:
    program = Program(read_model(models.find_model("hey_jarvis")))
    name = program.inputs[0].name

    scores = [float(program.run({name: window})[0].item()) for window in windows_for(program, 0)]

    assert max(scores) > 0.9  # the second network's verdict
    assert min(scores) < 0.01


MADE = {
    "dense": dense_head(3),
    "dense, newer": dense_head(3, opset=17),
    "dense with a verifier": dense_head(4, verifier=True),
    "dense with another verifier": dense_head(6, verifier=True),
    "recurrent": recurrent_head(3),
}


@pytest.mark.parametrize("name", MADE)
def test_a_head_of_any_exporter_scores_as_on_onnxruntime(name: str) -> None:
    program = Program(parse_model(MADE[name]))
    windows = windows_for(program, 200)

    ours = [program.run({"window": window})[0] for window in windows]

    theirs = session(MADE[name])
    expected = [theirs.run(None, {"window": window})[0] for window in windows]
    assert np.std(expected) > 0.01  # a head that says the same of all would prove nothing
    np.testing.assert_allclose(ours, expected, rtol=0, atol=2e-6)


def test_a_verifier_is_asked_above_one_half_and_not_below() -> None:
    program = Program(parse_model(MADE["dense with a verifier"]))
    alone = Program(parse_model(dense_head(4)))
    windows = windows_for(program, 200)

    first = np.array([alone.run({"window": window})[0].item() for window in windows])
    both = np.array([program.run({"window": window})[0].item() for window in windows])

    assert (first >= 0.5).any() and (first < 0.5).any()
    assert (both[first < 0.5] == first[first < 0.5]).all()
    assert (both[first >= 0.5] != first[first >= 0.5]).all()


def test_what_it_takes_and_returns_is_known_before_the_first_run() -> None:
    program = Program(parse_model(dense_head()))

    assert program.inputs == (Value("window", np.dtype(np.float32), WINDOW),)
    assert program.outputs == (Value("score", np.dtype(np.float32), (1, 1)),)


def chain(*nodes: Node, opset: int = 13, shape: tuple[int | str | None, ...] | None = (1, 4)) -> Graph:
    x = Value("x", np.dtype(np.float32), shape)
    return Graph(nodes, {}, (x,), (Value("y", None, None),), opset)


def node(op: str, inputs: str, outputs: str, *, domain: str = "", **attributes: object) -> Node:
    return Node(op, domain, tuple(inputs.split()), tuple(outputs.split()), attributes, "")


def test_sizes_left_open_are_one_unless_the_caller_says() -> None:
    graph = chain(node("Relu", "x", "y"), shape=("batch", None, 96))

    assert Program(graph).outputs[0].shape == (1, 1, 96)
    assert Program(graph, {"x": (2, 16, 96)}).outputs[0].shape == (2, 16, 96)


@pytest.mark.parametrize("shape", [(1, 5), (1, 4, 1), (-1, 4)])
def test_a_size_that_the_file_does_not_leave_open_cannot_be_chosen(shape: tuple[int, ...]) -> None:
    with pytest.raises(CannotRunError, match=r"input 'x' of shape \(1, 4\), where"):
        Program(chain(node("Relu", "x", "y")), {"x": shape})


def test_shapes_that_are_computed_from_an_open_size_are_worked_out_beforehand() -> None:
    names = ("shape", "batch", "row", "wanted")
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "first"], ["batch"]),
        helper.make_node("Unsqueeze", ["batch", "axes"], ["row"]),
        helper.make_node("Concat", ["row", "rest"], ["wanted"], axis=0),
        helper.make_node("Reshape", ["x", "wanted"], ["y"]),
    ]
    weights = {"first": np.array(0), "axes": np.array([0]), "rest": np.array([-1])}
    given = {"x": np.arange(24, dtype=np.float32).reshape(2, 3, 4)}
    content = model_bytes(nodes, inputs=given, outputs=["y"], weights=weights)

    made = Program(parse_model(content)).run(given)[0]

    assert len(names) == 4 and made.shape == (2, 12)
    np.testing.assert_array_equal(made, reference(content, given)[0])


def test_a_choice_that_is_always_the_same_leaves_the_other_branch_alone() -> None:
    """Exporters write such: the branch for another shape could not even run."""
    possible = Graph((node("Relu", "x", "a"),), {}, (), (Value("a", None, None),), 13)
    impossible = Graph((node("Squeeze", "x axes", "b"),), {}, (), (Value("b", None, None),), 13)
    graph = Graph(
        (node("If", "yes", "y", then_branch=possible, else_branch=impossible),),
        {"yes": np.array(True), "axes": np.array([1])},
        (Value("x", np.dtype(np.float32), (1, 4)),),
        (Value("y", None, None),),
        13,
    )

    made = Program(graph).run({"x": np.float32([[-1, 2, -3, 4]])})[0]

    np.testing.assert_array_equal(made, [[0, 2, 0, 4]])


def test_a_branch_within_a_branch_sees_the_names_of_both_graphs_around_it() -> None:
    inner = helper.make_graph(
        [helper.make_node("Sub", ["twice", "opposite"], ["thrice"])], "inner", [], [onnx_value("thrice")]
    )
    same = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["once"])], "same", [], [onnx_value("once")]
    )
    outer = helper.make_graph(
        [
            helper.make_node("Add", ["x", "x"], ["twice"]),
            helper.make_node("If", ["large"], ["inside"], then_branch=inner, else_branch=same),
        ],
        "outer",
        [],
        [onnx_value("inside")],
    )
    none = helper.make_graph([helper.make_node("Neg", ["x"], ["minus"])], "none", [], [onnx_value("minus")])
    nodes = [
        helper.make_node("Neg", ["x"], ["opposite"]),
        helper.make_node("Greater", ["x", "zero"], ["positive"]),
        helper.make_node("Greater", ["x", "ten"], ["large"]),
        helper.make_node("If", ["positive"], ["y"], then_branch=outer, else_branch=none),
    ]
    weights = {"zero": np.float32([0]), "ten": np.float32([10])}
    inputs = {"x": np.zeros(1, np.float32)}
    program = Program(parse_model(model_bytes(nodes, inputs=inputs, outputs=["y"], weights=weights)))

    made = [program.run({"x": np.float32([number])})[0].item() for number in (-4, 4, 40)]

    assert made == [4, 4, 120]


def onnx_value(name: str) -> object:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])


def test_several_threads_may_run_one_program_at_once() -> None:
    program = Program(parse_model(MADE["recurrent"]))
    windows = windows_for(program, 100)[:100]
    expected = [program.run({"window": window})[0].item() for window in windows]
    made: dict[int, list[float]] = {}

    def run(order: int) -> None:
        made[order] = [program.run({"window": window})[0].item() for window in windows[::order]]

    threads = [threading.Thread(target=run, args=(order,)) for order in (1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert made == {1: expected, -1: expected[::-1]}


@pytest.mark.parametrize("name", MADE)
def test_no_input_makes_a_run_fail_or_warn(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    program = Program(parse_model(MADE[name]))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in (np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45):
            (score,) = program.run({"window": np.full(WINDOW, number, np.float32)})
            assert score.shape == (1, 1)

    assert capfd.readouterr().err == ""


def test_what_does_not_fit_the_input_is_the_callers_mistake() -> None:
    program = Program(parse_model(dense_head()))

    with pytest.raises(AssertionError, match=r"window is float32 \(1, 16, 96\), not float64 \(16, 96\)"):
        program.run({"window": np.zeros((16, 96))})


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (chain(node("Frobnicate", "x", "y")), "uses the operator Frobnicate, which pivoice does not run"),
        (
            chain(node("Loop", "x", "a"), node("Gelu", "a", "y", domain="com.microsoft")),
            "uses the operators Loop, com.microsoft.Gelu, which",
        ),
        (chain(node("Evil\x1b[2J", "x", "y")), r"operator 'Evil\\x1b\[2J', which"),
        (
            chain(node("If", "x", "y", then_branch=chain(node("Scan", "x", "z")))),
            "uses the operator Scan, which pivoice does not run",
        ),
        (chain(node("Relu", "x", "y"), opset=6), "version 6 of ONNX's operators.*opset_version=18"),
        (chain(node("Relu", "x", "y"), opset=99), "version 99"),
        (chain(node("Add", "x later", "y"), node("Relu", "y", "later")), "reads 'later' before"),
        (chain(node("Relu", "y", "y")), "reads 'y' before"),
        (chain(node("Relu", "x", "z")), "reads 'y' before"),
        (chain(node("Relu", "x", "y"), node("Relu", "x", "y")), "'y' is made twice"),
        (chain(node("Relu", "x", "x")), "'x' is made twice"),
        (chain(node("Gemm", "x x", "y")), "its operator Gemm failed"),
        (chain(node("Relu", "", "y")), "operator Relu is without its input 1"),
        (chain(node("If", "x", "y")), "operator If is without a branch"),
        (chain(node("Relu", "x", "y"), shape=None), "does not say what its input 'x' is"),
        (chain(node("Relu", "x", "y"), shape=(2**31, 2**31)), "input 'x' of shape"),
        (chain(node("Split", "x", "y z", axis=1, split=(3, 3)), opset=11), "operator Split cannot cut 4"),
        (
            chain(
                node("Greater", "x x", "c"),
                node(
                    "If",
                    "c",
                    "y",
                    then_branch=Graph((node("Relu", "x", "a"),), {}, (), (Value("a", None, None),), 13),
                    else_branch=Graph((node("Shape", "x", "b"),), {}, (), (Value("b", None, None),), 13),
                ),
            ),
            "operator If has branches that make different shapes",
        ),
    ],
)
def test_a_graph_that_cannot_run_is_refused_in_one_sentence(graph: Graph, reason: str) -> None:
    with pytest.raises(CannotRunError, match=reason) as caught:
        Program(graph)

    assert "\n" not in str(caught.value)


def test_the_memory_of_a_run_has_an_end() -> None:
    ones = Graph((), {"ones": np.ones((1, 2**22), np.float32)}, (), (), 13).initializers
    nodes = tuple(node("Add", f"a{at} ones", f"a{at + 1}") for at in range(40))
    x = Value("a0", np.dtype(np.float32), (1, 1))
    graph = Graph(nodes, ones, (x,), (Value("a40", None, None),), 13)

    with pytest.raises(CannotRunError, match="needs more than 256 MB"):
        Program(graph)


def test_a_normalisation_of_nine_operators_becomes_one() -> None:
    graph = parse_model(dense_head())

    fused = fuse_normalizations(graph)

    operators = [each.op for each in fused.nodes if each.op != "Constant"]
    assert operators == ["Flatten", "Gemm", "LayerNormalization", "Relu", "Gemm", "Sigmoid", "Identity"]


def spelled_out(*, scale: Array, read: str | None = None) -> bytes:
    nodes = [*normalization("x", "scale", "shift", "normal")]
    nodes.append(helper.make_node("Add", ["normal", read or "normal"], ["y"]))
    return model_bytes(
        nodes,
        inputs={"x": np.zeros((1, 8), np.float32)},
        outputs=["y"],
        weights={"scale": scale, "shift": np.ones(8, np.float32)},
        opset=13,
    )


@pytest.mark.parametrize(
    "content",
    [
        spelled_out(scale=np.full(8, 2, np.float32), read="normal_off"),
        spelled_out(scale=np.full(8, 2, np.float32), read="normal_root"),
        spelled_out(scale=np.full((3, 8), 2, np.float32)),
    ],
    ids=["the difference is read elsewhere", "the deviation is read elsewhere", "a scale of more rows"],
)
def test_nine_operators_that_are_something_else_stay_what_they_are(content: bytes) -> None:
    graph = parse_model(content)
    given = {"x": np.random.default_rng(2).normal(size=(1, 8)).astype(np.float32)}

    made = Program(graph).run(given)[0]

    assert fuse_normalizations(graph).nodes == graph.nodes
    np.testing.assert_allclose(made, reference(content, given)[0], rtol=1e-6, atol=1e-6)
