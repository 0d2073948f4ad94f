"""The mel rows, against those of openwakeword's own file on onnxruntime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from pivoice.wake import models
from pivoice.wake.detector import RATE_HZ, Samples
from pivoice.wake.front_end_files import UnknownNetworkError, read_embedding, read_mel_filter
from pivoice.wake.mel import BLOCK_FRAMES, MelFilter, MelStream
from pivoice.wake.onnx_file import Graph, read_model
from tests.support.speech import load_speech

Rows = NDArray[np.float32]


@pytest.fixture(scope="module")
def graph() -> Graph:
    return read_model(models.front_end_models()[0])


@pytest.fixture(scope="module")
def mel(graph: Graph) -> MelFilter:
    return read_mel_filter(graph)


@pytest.fixture(scope="module")
def run_file() -> Callable[[Samples], Rows]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # its threads spin
    session = onnxruntime.InferenceSession(str(models.front_end_models()[0]), options)
    return lambda sound: (
        session.run(None, {"input": sound[None].astype(np.float32)})[0].reshape(8, 32) / 10 + 2
    )


def blocks_of(sound: Samples) -> Samples:
    return sound[: len(sound) // BLOCK_FRAMES * BLOCK_FRAMES].reshape(-1, BLOCK_FRAMES)


def rows_of(stream: MelStream, block: Samples) -> Rows:
    rows = np.full((8, 32), np.nan, np.float32)
    stream.hear(block, rows)
    return rows


def noise(lsb: int) -> Samples:
    return np.random.RandomState(lsb).randint(-lsb, lsb + 1, 2 * RATE_HZ).astype(np.int16)


def difference(mel: MelFilter, run_file: Callable[[Samples], Rows], sound: Samples) -> float:
    """Return by how much the rows differ at most; the file gets 480 samples of the past with each block."""
    stream = MelStream(mel)
    past = np.zeros(480, np.int16)
    largest = 0.0
    for block in blocks_of(sound):
        expected = run_file(np.concatenate([past, block]))
        largest = max(largest, float(np.abs(rows_of(stream, block) - expected).max()))
        past = block[-480:]
    return largest


@pytest.mark.parametrize(
    "sound",
    [
        load_speech("user_wake").at_rate(RATE_HZ),
        noise(1),
        noise(30),
        noise(32000),
        np.zeros(RATE_HZ, np.int16),
    ],
    ids=["speech", "1 LSB", "quiet noise", "full scale", "digital silence"],
)
def test_rows_are_those_of_the_file(
    mel: MelFilter, run_file: Callable[[Samples], Rows], sound: Samples
) -> None:
    assert difference(mel, run_file, sound) < 1e-5


def test_a_pure_tone_is_where_the_file_has_rounding_noise(
    mel: MelFilter, run_file: Callable[[Samples], Rows]
) -> None:
    tone = 20_000 * np.sin(np.arange(RATE_HZ) * 2 * np.pi * 1000 / RATE_HZ)

    assert difference(mel, run_file, tone.astype(np.int16)) < 1e-3


def test_a_restored_stream_goes_on_where_the_other_was(mel: MelFilter) -> None:
    one, other = MelStream(mel), MelStream(mel)
    first, second, *_ = blocks_of(noise(3000))
    rows_of(one, first)

    other.restore(one.state())

    np.testing.assert_array_equal(rows_of(other, second), rows_of(one, second))


def test_a_file_with_another_step_is_refused(graph: Graph) -> None:
    nodes = tuple(
        replace(node, attributes={**node.attributes, "strides": (320,)}) if node.op == "Conv" else node
        for node in graph.nodes
    )

    with pytest.raises(UnknownNetworkError, match=r"its step is \(320,\), expected \(160,\)"):
        read_mel_filter(replace(graph, nodes=nodes))


def test_a_file_whose_convolution_is_no_fourier_transform_is_refused(graph: Graph) -> None:
    name = next(node.inputs[1] for node in graph.nodes if node.op == "Conv")
    weights = graph.initializers[name][::-1]

    with pytest.raises(UnknownNetworkError, match="convolution"):
        read_mel_filter(replace(graph, initializers={**graph.initializers, name: weights}))


def test_a_file_with_another_range_is_refused(graph: Graph) -> None:
    nodes = tuple(
        replace(node, attributes={"value": np.float32(60)})
        if node.op == "Constant" and np.all(node.attributes["value"] == 80)
        else node
        for node in graph.nodes
    )

    with pytest.raises(UnknownNetworkError, match="constants"):
        read_mel_filter(replace(graph, nodes=nodes))


def test_another_model_is_no_mel_spectrogram(graph: Graph) -> None:
    with pytest.raises(UnknownNetworkError, match="operators"):
        read_mel_filter(read_model(models.front_end_models()[1]))
    with pytest.raises(UnknownNetworkError, match="input and output"):
        read_embedding(graph)
