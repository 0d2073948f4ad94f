"""Every operator, on its own, against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from pivoice.wake.graph import CannotRunError, Program
from pivoice.wake.onnx_file import parse_model
from pivoice.wake.operators import MAKERS
from tests.support.networks import model_bytes, reference
from tests.support.operator_cases import CASES, REFUSED, Case, normal


@pytest.mark.parametrize(
    ("case", "opset"),
    [
        pytest.param(each, opset, id=f"{at}-{each.op}-{opset}")
        for at, each in enumerate(CASES)
        for opset in each.opsets
    ],
)
def test_an_operator_makes_what_onnxruntime_makes(case: Case, opset: int) -> None:
    content = case.content(opset)
    program = Program(parse_model(content))

    made = program.run(case.given())

    expected = reference(content, case.given())
    assert [(each.dtype, each.shape) for each in made] == [(each.dtype, each.shape) for each in expected]
    assert [(each.dtype, each.shape) for each in made] == [
        (each.dtype, each.shape) for each in program.outputs
    ]
    for ours, theirs in zip(made, expected, strict=True):
        if ours.dtype.kind == "f":
            np.testing.assert_allclose(ours, theirs, rtol=4e-6, atol=2e-6)
        else:
            np.testing.assert_array_equal(ours, theirs)


def test_every_operator_of_the_table_is_compared() -> None:
    compared = {each.op for each in CASES}

    assert set(MAKERS) - compared == {"Constant"}


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("value", numpy_helper.from_array(normal(2, 3))),
        ("value_int", 7),
        ("value_ints", [7, 8]),
        ("value_float", 0.1),
        ("value_floats", [0.1, 0.2]),
    ],
)
def test_a_constant_may_be_written_in_five_ways(name: str, meaning: Any) -> None:
    nodes = [
        helper.make_node("Constant", [], ["constant"], **{name: meaning}),
        helper.make_node("Cast", ["constant"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["float", "x"], ["y"]),
    ]
    given = {"x": normal(1)}
    content = model_bytes(nodes, inputs=given, outputs=["y"])

    (made,) = Program(parse_model(content)).run(given)

    np.testing.assert_array_equal(made, reference(content, given)[0])


@pytest.mark.parametrize(
    "op", ["MatMulInteger", "DynamicQuantizeLinear", "Sigmoid", "Gemm", "LayerNormalization"]
)
def test_an_input_is_never_written_into(op: str) -> None:
    chosen = next(each for each in CASES if each.op == op)
    given = chosen.given()
    before = {name: array.copy() for name, array in given.items()}
    program = Program(parse_model(chosen.content(chosen.opsets[-1])))

    program.run(given)

    for name, array in given.items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize(
    "case", [pytest.param(each, id=f"{at}-{each.op}") for at, each in enumerate(REFUSED)]
)
def test_a_form_that_cannot_be_run_is_refused_when_it_is_loaded_and_named(case: Case) -> None:
    graph = parse_model(case.content(case.opsets[-1]))

    with pytest.raises(CannotRunError, match=f"operator {case.op}"):
        Program(graph)
