"""Wake words of the owner's own making: heads of any kind that take 16 embeddings and give one score."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from pivoice.errors import ConfigError
from pivoice.wake import models
from pivoice.wake.detector import RATE_HZ, Samples
from pivoice.wake.openwakeword import BLOCK_FRAMES, OpenWakeWordDetector
from tests.support.networks import WINDOW, dense_head, model_bytes, recurrent_head
from tests.support.speech import load_speech


def saved(content: bytes, path: Path) -> str:
    path.write_bytes(content)
    return str(path)


def blocks() -> Samples:
    sound = load_speech("user_wake").at_rate(RATE_HZ)
    return sound[: len(sound) // BLOCK_FRAMES * BLOCK_FRAMES].reshape(-1, BLOCK_FRAMES)


def head(*nodes: onnx.NodeProto, kind: str = "float32", inputs: int = 1) -> bytes:
    """Return a head that sums its window to "sum", then does `nodes`, up to "score"."""
    total = helper.make_node("ReduceSum", ["window"], ["sum"], keepdims=0)
    windows = {name: np.zeros(WINDOW, kind) for name in ("window", "other")[:inputs]}
    return model_bytes([total, *nodes], inputs=windows, outputs=["score"])


def refusal(name: str) -> str:
    with pytest.raises(ConfigError) as caught:
        OpenWakeWordDetector([name])
    return str(caught.value)


@pytest.mark.parametrize(
    "content",
    [dense_head(), dense_head(verifier=True), recurrent_head()],
    ids=["dense", "verifier", "recurrent"],
)
def test_heads_of_every_kind_score_beside_each_other(content: bytes, tmp_path: Path) -> None:
    detector = OpenWakeWordDetector(["hey_jarvis", saved(content, tmp_path / "hey_pi.onnx")])
    alone = OpenWakeWordDetector(["hey_jarvis"])

    heard = [detector.score(block) for block in blocks()]

    assert detector.models == ("hey_jarvis", "hey_pi")
    assert all(0.0 <= score <= 1.0 for scores in heard for score in scores.values())
    assert len({scores["hey_pi"] for scores in heard}) > 1
    assert [scores["hey_jarvis"] for scores in heard] == [
        alone.score(block)["hey_jarvis"] for block in blocks()
    ]


def test_a_batch_that_is_left_open_is_one(tmp_path: Path) -> None:
    fixed = dense_head()
    model = onnx.load_from_string(fixed)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    names = [saved(fixed, tmp_path / "fixed.onnx"), saved(model.SerializeToString(), tmp_path / "open.onnx")]

    heard = OpenWakeWordDetector(names).score(blocks()[0])

    assert heard["fixed"] == heard["open"]


def test_a_score_may_come_without_dimensions(tmp_path: Path) -> None:
    content = head(helper.make_node("Sigmoid", ["sum"], ["score"]))

    assert 0.0 <= OpenWakeWordDetector([saved(content, tmp_path / "a.onnx")]).score(blocks()[0])["a"] <= 1.0


def test_a_head_without_an_output_is_refused(tmp_path: Path) -> None:
    model = onnx.load_from_string(head(helper.make_node("Sigmoid", ["sum"], ["score"])))
    del model.graph.output[:]
    path = saved(model.SerializeToString(), tmp_path / "mute.onnx")

    assert refusal(path).endswith(f"{path} is a model, but not an openwakeword head: it has no output")


def test_weights_in_a_second_file_are_not_called_damage(tmp_path: Path) -> None:
    path = tmp_path / "hey_pi.onnx"
    model = onnx.load_from_string(dense_head())
    onnx.save(model, path, save_as_external_data=True, location="hey_pi.onnx.data", size_threshold=0)

    sentence = refusal(str(path))

    assert f"{path} keeps its weights in a second file; save it as one file" in sentence
    assert "damaged" not in sentence


def test_a_head_without_a_sigmoid_is_refused_with_what_it_says(tmp_path: Path) -> None:
    path = saved(head(helper.make_node("Abs", ["sum"], ["score"])), tmp_path / "a.onnx")

    assert f"{path} is a model, but not an openwakeword head: its output is " in refusal(path)
    assert "expected one score from 0 to 1" in refusal(path)


def test_a_head_with_a_score_for_each_embedding_is_refused(tmp_path: Path) -> None:
    path = saved(head(helper.make_node("Sigmoid", ["window"], ["score"])), tmp_path / "a.onnx")

    assert "expected one score from 0 to 1" in refusal(path)
    assert len(refusal(path)) < 400


def test_a_head_that_is_not_a_number_in_quiet_is_refused(tmp_path: Path) -> None:
    negative = helper.make_node("Neg", ["square"], ["negative"])
    square = helper.make_node("Mul", ["sum", "sum"], ["square"])
    path = saved(
        head(square, negative, helper.make_node("Log", ["negative"], ["score"])), tmp_path / "a.onnx"
    )

    assert "its output is nan, expected one score from 0 to 1" in refusal(path)


def test_a_head_with_an_operator_that_pivoice_lacks_is_refused_by_the_operators_name(tmp_path: Path) -> None:
    path = saved(head(helper.make_node("Det", ["window"], ["score"])), tmp_path / "a.onnx")

    assert refusal(path) == f"wake.models: {path} uses the operator Det, which pivoice does not run"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (head(helper.make_node("Sigmoid", ["sum"], ["score"]), kind="float64"), "float64 [1, 16, 96]"),
        (
            head(helper.make_node("Sigmoid", ["sum"], ["score"]), inputs=2),
            "float32 [1, 16, 96]; float32 [1, 16, 96]",
        ),
    ],
    ids=["another type", "two inputs"],
)
def test_a_head_that_hears_something_else_is_refused(content: bytes, found: str, tmp_path: Path) -> None:
    sentence = refusal(saved(content, tmp_path / "a.onnx"))

    assert f"its input is {found}, expected float32 [1, 16, 96]" in sentence


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("embedding_model", b"", "is empty"),
        ("melspectrogram", b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        ("embedding_model", dense_head(), "is not the embedding_model of openwakeword 0.4 or 0.5: its input"),
        (
            "melspectrogram",
            dense_head(),
            "is not the melspectrogram of openwakeword 0.4 or 0.5: its operators",
        ),
    ],
)
def test_a_package_whose_front_end_is_another_is_answered_with_the_next_step(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    for path in models.bundled_directory().glob("*.onnx"):
        shutil.copy(path, tmp_path)
    (tmp_path / f"{name}.onnx").write_bytes(content)
    monkeypatch.setattr(models, "bundled_directory", lambda: tmp_path)

    sentence = refusal("hey_jarvis")

    assert sentence.startswith(f"wake.engine: {tmp_path / name}.onnx {said}")
    assert sentence.endswith('run "pip install --no-deps openwakeword==0.5.1 --force-reinstall"')
