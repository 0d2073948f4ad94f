"""The streamed embedding, against openwakeword's own files on whole windows of 76 rows on onnxruntime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from pivoice.wake import models
from pivoice.wake.embedding import BANDS, EMBEDDING_SIZE, ROWS, Convolution, EmbeddingStream
from pivoice.wake.front_end_files import UnknownNetworkError, read_embedding
from pivoice.wake.onnx_file import Graph, Node, read_model
from tests.support.old_models import old_models

Array = NDArray[np.float32]

FULL_BLOCKS = 10
"""After so many, all of the file's 76 rows are of the stream."""


@pytest.fixture(scope="module", params=["0.5.1", "0.4.0"])
def path(request: pytest.FixtureRequest) -> Path:
    directory = models.bundled_directory() if request.param == "0.5.1" else old_models()
    return directory / "embedding_model.onnx"


@pytest.fixture(scope="module")
def graph(path: Path) -> Graph:
    return read_model(path)


@pytest.fixture(scope="module")
def layers(graph: Graph) -> tuple[Convolution, ...]:
    return read_embedding(graph)


def some_rows(blocks: int, *, seed: int = 1) -> Array:
    """Return rows in the range that mel rows have."""
    rows = np.random.RandomState(seed).normal(0, 2, (blocks * ROWS, BANDS))
    return rows.clip(-8, 12).astype(np.float32)


def embeddings_of(stream: EmbeddingStream, rows: Array) -> Array:
    found = []
    for block in rows.reshape(-1, ROWS, BANDS):
        stream.rows[:] = block
        found.append(stream.advance().reshape(EMBEDDING_SIZE).copy())
    return np.array(found)


def test_each_block_gives_the_embedding_that_the_file_gives_for_the_last_76_rows(
    path: Path, layers: tuple[Convolution, ...]
) -> None:
    rows = some_rows(40)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # its threads spin
    session = onnxruntime.InferenceSession(str(path), options)
    ends = range(FULL_BLOCKS * ROWS, len(rows) + 1, ROWS)
    windows = np.stack([rows[end - 76 : end, :, None] for end in ends])
    expected = session.run(None, {"input_1": windows})[0].reshape(-1, EMBEDDING_SIZE)

    found = embeddings_of(EmbeddingStream(layers), rows)[FULL_BLOCKS - 1 :]

    assert np.abs(expected).max() > 10
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_the_same_rows_give_the_same_bits_whatever_was_before(layers: tuple[Convolution, ...]) -> None:
    rows = some_rows(FULL_BLOCKS + 5)
    fresh, other = EmbeddingStream(layers), EmbeddingStream(layers)
    embeddings_of(other, some_rows(7, seed=2) * 3)

    found, expected = embeddings_of(other, rows), embeddings_of(fresh, rows)

    np.testing.assert_array_equal(found[FULL_BLOCKS - 1 :], expected[FULL_BLOCKS - 1 :])
    assert np.any(found[FULL_BLOCKS - 2] != expected[FULL_BLOCKS - 2])  # nine blocks do not make 76 rows


def test_a_restored_stream_goes_on_where_the_other_was(layers: tuple[Convolution, ...]) -> None:
    one, other = EmbeddingStream(layers), EmbeddingStream(layers)
    rows = some_rows(8)
    embeddings_of(one, some_rows(12, seed=3))

    other.restore(one.state())

    np.testing.assert_array_equal(embeddings_of(other, rows), embeddings_of(one, rows))


def test_a_state_stays_what_it_was_when_the_stream_goes_on(layers: tuple[Convolution, ...]) -> None:
    stream = EmbeddingStream(layers)
    rows = some_rows(3)
    embeddings_of(stream, some_rows(12, seed=3))
    state = stream.state()
    expected = embeddings_of(stream, rows)

    stream.restore(state)

    np.testing.assert_array_equal(embeddings_of(stream, rows), expected)


def changed(graph: Graph, op: str, *, nth: int = 0, **attributes: Any) -> Graph:
    """Return the graph with other attributes in the nth operator of that kind."""
    chosen = [node for node in graph.nodes if node.op == op][nth]
    return with_node(graph, chosen, replace(chosen, attributes={**chosen.attributes, **attributes}))


def with_node(graph: Graph, old: Node, *new: Node) -> Graph:
    at = graph.nodes.index(old)
    return replace(graph, nodes=(*graph.nodes[:at], *new, *graph.nodes[at + 1 :]))


def with_weights(graph: Graph, op: str, change: Callable[[Any], Any], *, nth: int = 0) -> Graph:
    name = [node for node in graph.nodes if node.op == op][nth].inputs[1]
    return replace(graph, initializers={**graph.initializers, name: change(graph.initializers[name])})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda g: changed(g, "Conv", nth=3, strides=(1, 2)), r"Conv after 3 convolutions is"),
        (lambda g: changed(g, "Conv", nth=19, group=2), "Conv after 19 convolutions is"),
        (lambda g: changed(g, "Conv", nth=1, pads=(0, 0, 0, 0)), "Conv after 1 convolutions is"),
        (lambda g: changed(g, "MaxPool", ceil_mode=1), "MaxPool after 3 convolutions is"),
        (lambda g: changed(g, "LeakyRelu", nth=4, alpha=0.1), "activation after 5 convolutions is"),
        (lambda g: with_weights(g, "Max", lambda floor: floor * 2), "activation after 1 convolutions"),
        (lambda g: with_weights(g, "Conv", lambda each: each[:-1]), r"expected \(24, 1, 3, 3\)"),
        (lambda g: with_weights(g, "Conv", lambda each: each.astype(float)), "expected float32"),
        (lambda g: replace(g, nodes=g.nodes[:-2]), "operator after 19 convolutions is None"),
        (lambda g: replace(g, nodes=(*g.nodes, g.nodes[-1])), "rest after 20 convolutions is"),
        (lambda g: replace(g, inputs=g.inputs * 2), "input and output is"),
    ],
)  # fmt: skip
def test_a_network_that_is_nearly_the_same_is_refused(
    graph: Graph, change: Callable[[Graph], Graph], reason: str
) -> None:
    with pytest.raises(UnknownNetworkError, match=reason):
        read_embedding(change(graph))


def test_an_operator_that_reads_something_else_than_the_one_before_is_refused(graph: Graph) -> None:
    leaky = [node for node in graph.nodes if node.op == "LeakyRelu"][2]
    elsewhere = replace(leaky, inputs=("input_1",))

    with pytest.raises(UnknownNetworkError, match="first input of LeakyRelu after 3 convolutions"):
        read_embedding(with_node(graph, leaky, elsewhere))


def test_bands_that_are_padded_on_one_side_alone_are_refused() -> None:
    padded = read_model(old_models() / "embedding_model.onnx")

    with pytest.raises(UnknownNetworkError, match="padding is"):
        read_embedding(with_weights(padded, "Pad", lambda _: np.array([0, 0, 0, 0, 0, 0, 2, 0])))
