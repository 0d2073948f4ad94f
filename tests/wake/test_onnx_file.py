"""The reader of .onnx files: what the package onnx writes comes out, and nothing else gets through."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from pivoice.wake import models
from pivoice.wake.graph import Program
from pivoice.wake.onnx_file import Graph, NotAModelError, Value, parse_model, read_model
from tests.support.networks import dense_head, recurrent_head

BUNDLED = sorted(models.bundled_directory().glob("*.onnx"))

# dense_head's content is 160 KB of weights; this one is all structure
SMALL = dense_head(width=1, verifier=True)


def network(*nodes: onnx.NodeProto, weights: list[onnx.TensorProto] | None = None, **fields: Any) -> bytes:
    graph = helper.make_graph(
        list(nodes) or [helper.make_node("Relu", ["x"], ["y"])],
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", None, 16, 96])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        weights or [],
    )
    return bytes(helper.make_model(graph, **fields).SerializeToString())


def same_graph(ours: Graph, theirs: onnx.GraphProto) -> bool:
    """Compare everything that a `Graph` has with what the package onnx reads."""
    weights = {each.name: numpy_helper.to_array(each) for each in theirs.initializer}
    assert ours.initializers.keys() == weights.keys()
    for name, array in weights.items():
        assert ours.initializers[name].dtype == array.dtype
        np.testing.assert_array_equal(ours.initializers[name], array)
    inputs = [each.name for each in theirs.input if each.name not in weights]
    assert [each.name for each in ours.inputs] == inputs
    assert [each.name for each in ours.outputs] == [each.name for each in theirs.output]
    assert len(ours.nodes) == len(theirs.node)
    for node, expected in zip(ours.nodes, theirs.node, strict=True):
        assert (node.op, node.name) == (expected.op_type, expected.name)
        assert (node.inputs, node.outputs) == (tuple(expected.input), tuple(expected.output))
        assert node.attributes.keys() == {each.name for each in expected.attribute}
        for each in expected.attribute:
            assert same_meaning(node.attributes[each.name], helper.get_attribute_value(each))
    return True


def same_meaning(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, onnx.GraphProto):
        return same_graph(ours, theirs)
    if isinstance(theirs, onnx.TensorProto):
        return bool(np.array_equal(ours, numpy_helper.to_array(theirs)))
    if isinstance(theirs, bytes):
        return bool(ours == theirs.decode())
    if isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(same_meaning, ours, theirs))
    return bool(ours == theirs)


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.stem)
def test_every_file_of_openwakeword_is_read_as_onnx_reads_it(path: Path) -> None:
    assert same_graph(read_model(path), onnx.load(path).graph)


def test_inputs_and_outputs_carry_their_types_and_the_sizes_left_open() -> None:
    graph = parse_model(network())

    assert graph.inputs == (Value("x", np.dtype(np.float32), ("batch", None, 16, 96)),)
    assert graph.outputs == (Value("y", np.dtype(np.float32), None),)


def test_the_version_of_the_operators_is_that_of_onnx_itself() -> None:
    imports = [helper.make_opsetid("ai.onnx.ml", 3), helper.make_opsetid("", 12), helper.make_opsetid("z", 4)]

    assert parse_model(network(opset_imports=imports)).opset == 12


@pytest.mark.parametrize(
    "meaning",
    [
        0.25,
        -3,
        0,
        0.0,
        "",
        "text",
        [1, -2],
        [0.5, 2.0],
        ["a", "b"],
        [],
        np.float32([[1, 2]]),
        "\N{GREEK SMALL LETTER MU}",
    ],
    ids=repr,
)
def test_an_attribute_of_any_kind_comes_out(meaning: Any) -> None:
    tensor = numpy_helper.from_array(meaning) if isinstance(meaning, np.ndarray) else meaning
    node = helper.make_node("Relu", ["x"], ["y"])
    node.attribute.append(
        helper.make_attribute(
            "it", tensor, attr_type=7 if isinstance(meaning, list) and not meaning else None
        )
    )

    (read,) = parse_model(network(node)).nodes

    assert same_meaning(read.attributes["it"], helper.get_attribute_value(node.attribute[0]))


def test_text_that_is_not_unicode_comes_out_as_bytes() -> None:
    node = helper.make_node("Relu", ["x"], ["y"], it=b"\xff\xfe")

    assert parse_model(network(node)).nodes[0].attributes["it"] == b"\xff\xfe"


def test_an_attribute_without_its_kind_is_known_by_its_field() -> None:
    node = helper.make_node("Relu", ["x"], ["y"], axis=-1)
    node.attribute[0].ClearField("type")

    assert parse_model(network(node)).nodes[0].attributes["axis"] == -1


TYPES = {
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "float16": TensorProto.FLOAT16,
    "bool": TensorProto.BOOL,
    **{
        f"{sign}int{bits}": getattr(TensorProto, f"{sign}int{bits}".upper())
        for sign in ("", "u")
        for bits in (8, 16, 32, 64)
    },
}


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "typed"])
@pytest.mark.parametrize("name", TYPES)
def test_weights_of_any_type_come_out_however_they_are_written(name: str, raw: bool) -> None:
    dtype = np.dtype(name)
    numbers = np.array([0, 1, 1, 0, 100, 3], np.float64).astype(dtype)
    if dtype.kind == "i":
        numbers[2:4] = np.iinfo(dtype).min, -1
    elif dtype.kind == "f":
        numbers[2:4] = -0.75, np.inf
    content = numbers.tobytes() if raw else numbers
    tensor = helper.make_tensor("w", TYPES[name], (2, 3), content, raw=raw)

    read = parse_model(network(weights=[tensor])).initializers["w"]

    assert read.dtype == dtype
    np.testing.assert_array_equal(read, numbers.reshape(2, 3))


def test_numbers_written_one_by_one_come_out_as_packed_ones() -> None:
    # name "w", two sizes, float32, then each number with a tag of its own
    tensor = b"\x42\x01w" + b"\x08\x01\x08\x02" + b"\x10\x01"
    tensor += b"\x25" + np.float32(1.5).tobytes() + b"\x25" + np.float32(-2).tobytes()
    graph = b"\x2a" + bytes([len(tensor)]) + tensor
    content = b"\x3a" + bytes([len(graph)]) + graph + b"\x42\x02\x10\x0d"

    read = parse_model(content).initializers["w"]

    np.testing.assert_array_equal(read, np.float32([[1.5, -2]]))


def test_weights_are_aligned_read_only_and_do_not_hold_the_file_in_memory() -> None:
    weights = parse_model(dense_head()).initializers.values()

    assert all(array.flags.aligned and not array.flags.writeable for array in weights)
    bases = [array if array.base is None else array.base for array in weights]
    assert all(
        isinstance(base, np.ndarray) and base.nbytes == array.nbytes
        for base, array in zip(bases, weights, strict=True)
    )


def external() -> bytes:
    tensor = helper.make_tensor("w", TensorProto.FLOAT, (1,), [1.0])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    return network(weights=[tensor])


def claiming(*sizes: int, kind: int = TensorProto.FLOAT, numbers: int = 2) -> bytes:
    tensor = TensorProto(name="w", data_type=kind, dims=sizes, raw_data=bytes(4 * numbers))
    return network(weights=[tensor])


def nested(depth: int) -> bytes:
    """Return a graph in an attribute of an operator in a graph, and so on: deeper than onnx itself writes."""

    def field(number: int, content: bytes) -> bytes:
        size = bytes([len(content) & 0x7F | 0x80, len(content) >> 7 & 0x7F | 0x80, len(content) >> 14])
        return bytes([number << 3 | 2]) + size + content

    graph = field(1, field(4, b"Relu"))
    for _ in range(depth):
        graph = field(1, field(4, b"If") + field(5, field(1, b"then_branch") + field(6, graph)))
    return field(7, graph) + field(8, b"\x10\x0d")


def sparse() -> bytes:
    model = onnx.ModelProto.FromString(network())
    model.graph.sparse_initializer.add()
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no graph"),
        (b"hello, I am a text about wake words\n" * 9, "is damaged"),
        (b"\x1c\x00\x00\x00TFL3" + bytes(100), "is damaged"),
        (b"PK\x03\x04" + bytes(100), "is damaged"),
        (bytes(1000), "is damaged"),
        (b"\xff" * 1000, "is damaged"),
        (b"\x3a\x00", "which version"),
        (b"\x3a\xff\xff\xff\xff\x0f", "past its end"),
        (b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "past its end"),
        (b"\x08\x80", "within a number"),
        (b"\x08" + b"\x80" * 11, "more than 10 bytes"),
        (external(), "second file.*onnx.save"),
        (sparse(), "sparse"),
        (claiming(3), "2 numbers for weights 'w' of size 3"),
        (claiming(-1, 2), "size -1x2"),
        (claiming(2**40, 2**40), "of size"),
        (claiming(0, 2**62, 2**62, numbers=0), "of size"),
        (claiming(*[1] * 5000), "of size"),
        (claiming(1, kind=TensorProto.BFLOAT16), "bfloat16"),
        (claiming(1, kind=TensorProto.STRING), "string"),
        (claiming(1, kind=99), "type 99"),
        (nested(200), "graphs within graphs"),
        (network(helper.make_node("Relu", ["x"], ["y"], it=helper.make_tensor_type_proto(1, []))), "kind 13"),
    ],
)
def test_what_is_no_usable_model_is_refused_with_its_reason(content: bytes, reason: str) -> None:
    with pytest.raises(NotAModelError, match=reason):
        parse_model(content)


def test_branches_within_branches_are_read_to_a_depth_that_exporters_reach() -> None:
    assert parse_model(nested(3)).nodes


def test_a_small_file_with_endless_parts_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pivoice.wake.protobuf._PARTS_LIMIT", 5000)

    with pytest.raises(NotAModelError, match="more than 5000 parts"):
        parse_model(b"\x70\x00" * 6000)
    with pytest.raises(NotAModelError, match="more than 5000 parts"):
        parse_model(network(helper.make_node("Relu", ["x"], ["y"], it=[0.5] * 6000)))
    with pytest.raises(NotAModelError, match="more than 5000 parts"):
        parse_model(network(weights=[helper.make_tensor("w", TensorProto.INT64, (6000,), [1] * 6000)]))


def test_a_file_larger_than_any_wake_word_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pivoice.wake.onnx_file._SIZE_LIMIT", 2**20)
    path = tmp_path / "large.onnx"
    path.write_bytes(bytes(2**20 + 1))

    with pytest.raises(NotAModelError, match="larger than 1 MB"):
        read_model(path)


def test_claims_of_a_small_file_cost_no_memory() -> None:
    tracemalloc.start()
    try:
        for content in (claiming(2**31, 2**31), claiming(2**60), b"\x3a\xff\xff\xff\xff\x0f"):
            with pytest.raises(NotAModelError):
                parse_model(content)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 100_000


def survives(content: bytes) -> None:
    """A file is read and made ready to run, or refused with a sentence: nothing else ever."""
    try:
        graph = parse_model(content)
        program = Program(graph)
    except NotAModelError as error:
        assert str(error)
        return
    program.run({each.name: np.ones(each.shape, each.dtype) for each in program.inputs})


def without_weights(content: bytes) -> bytes:
    """Return a model whose rows of weights are short, so that chance meets its structure."""
    model = onnx.ModelProto.FromString(content)
    for node in model.graph.node:
        if node.op_type == "Flatten":
            node.attribute[0].i = 2
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.size > 100:
            tensor.CopyFrom(numpy_helper.from_array(array[:, :96].copy(), tensor.name))
    return bytes(model.SerializeToString())


def test_a_file_cut_short_at_any_length_is_refused_or_whole() -> None:
    content = without_weights(SMALL)

    for length in range(len(content)):
        survives(content[:length])


@pytest.mark.parametrize("content", [without_weights(SMALL), recurrent_head(hidden=1)], ids=["dense", "lstm"])
def test_a_file_with_wrong_bytes_is_refused_or_runs(content: bytes) -> None:
    chance = random.Random(3)

    for _ in range(1500):
        wrong = bytearray(content)
        for _ in range(chance.choice((1, 1, 2, 8))):
            wrong[chance.randrange(len(wrong))] = chance.choice(
                (0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256))
            )
        survives(bytes(wrong))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
@example(b"\x3a\x02\x0a\x00\x42\x02\x10\x0d")
def test_any_bytes_at_all_are_refused_or_run(content: bytes) -> None:
    survives(content)
    survives(b"\x3a" + bytes([len(content) & 0x7F]) + content + b"\x42\x02\x10\x0d")
