"""Runs openwakeword's models on onnxruntime, with buffers of our own instead of the package's code.

Owns the sliding windows: samples -> mel rows -> embeddings -> one score per wake word. Made on any
thread, then used by one (the capture thread). Never imports openwakeword, never downloads, never
writes to stderr (onnxruntime would).

    1280 samples (80 ms), 480 older ones before them -> 8 mel rows   (melspectrogram.onnx)
    the last 76 mel rows                             -> 1 embedding  (embedding_model.onnx)
    the last 16 embeddings (2 s of sound in all)     -> 1 score      (one head per wake word)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pivoice.errors import ConfigError, Fault
from pivoice.wake import models
from pivoice.wake.detector import Samples

BLOCK_FRAMES = 1280
_CARRIED_FRAMES = 480  # a 400-sample window every 160 samples needs this much of the past for 8 rows a block
_MEL_ROWS, _MEL_BANDS, _NEW_ROWS = 76, 32, 8
_EMBEDDINGS, _EMBEDDING_SIZE = 16, 96
_HEAD_SHAPE = [1, _EMBEDDINGS, _EMBEDDING_SIZE]

# The windows of a detector that has heard nothing must look like a quiet room. Zeros do not: alexa and
# hey_mycroft score 1.0 on them; the package's loud random noise woke once in 120 resets (measured).
_QUIET_BLOCKS = 30  # more than the 26 that reach into a score
_QUIET_LSB = 20
_QUIET_SEED = 80

Array = NDArray[np.float32]


class OpenWakeWordDetector:
    """openwakeword's scores for `names`: bundled names, or paths of .onnx heads trained for it.

    Raises:
        ConfigError: with a fault for each model that is missing or is not one.
    """

    block_frames = BLOCK_FRAMES

    def __init__(self, names: Sequence[str]) -> None:
        self._front_end = _FrontEnd()
        self._heads = _load_all(names, self._front_end.embeddings)
        self.models: tuple[str, ...] = tuple(self._heads)

    def score(self, block: Samples) -> dict[str, float]:
        # Floats in [-1, 1] would score about 0 for ever, without an error.
        assert block.dtype == np.int16 and block.shape == (BLOCK_FRAMES,), (
            f"a block is {BLOCK_FRAMES} int16 samples, not {block.dtype} {block.shape}"
        )
        self._front_end.hear(block)
        return {name: head.score(self._front_end.embeddings) for name, head in self._heads.items()}

    def reset(self) -> None:
        self._front_end.reset()


class _FrontEnd:
    """Sound to embeddings: the part that all wake words share."""

    def __init__(self) -> None:
        mel_path, embedding_path = models.front_end_models()
        self._mel = _Network(mel_path)
        self._embedding = _Network(embedding_path)
        self._samples: Array = np.zeros((1, _CARRIED_FRAMES + BLOCK_FRAMES), np.float32)
        self._rows: Array = np.ones((1, _MEL_ROWS, _MEL_BANDS, 1), np.float32)
        self.embeddings: Array = np.zeros((1, _EMBEDDINGS, _EMBEDDING_SIZE), np.float32)
        """The last 16, oldest first: what a head looks at. Overwritten by `hear`."""
        noise = np.random.RandomState(
            _QUIET_SEED
        )  # the generator whose stream numpy promises never to change
        for _ in range(_QUIET_BLOCKS):
            self.hear(noise.randint(-_QUIET_LSB, _QUIET_LSB + 1, BLOCK_FRAMES).astype(np.int16))
        self._quiet = (self._samples.copy(), self._rows.copy(), self.embeddings.copy())

    def hear(self, block: Samples) -> None:
        """Slide every window on by one block."""
        samples, rows, embeddings = self._samples[0], self._rows[0, :, :, 0], self.embeddings[0]
        samples[:_CARRIED_FRAMES] = samples[BLOCK_FRAMES:]
        samples[_CARRIED_FRAMES:] = block
        rows[:-_NEW_ROWS] = rows[_NEW_ROWS:]
        # /10 + 2 brings this file's decibels to the scale that the embedding was trained on
        rows[-_NEW_ROWS:] = self._mel.run(self._samples).reshape(_NEW_ROWS, _MEL_BANDS) / 10 + 2
        embeddings[:-1] = embeddings[1:]
        embeddings[-1] = self._embedding.run(self._rows).reshape(_EMBEDDING_SIZE)

    def reset(self) -> None:
        self._samples[:], self._rows[:], self.embeddings[:] = self._quiet


class _Network:
    """One .onnx file, loaded: one input, one output that matters."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigError when the file is not a model that onnxruntime can run."""
        self._session = _open_session(path)
        self.inputs = [(each.name, each.type, list(each.shape)) for each in self._session.get_inputs()]
        self._input_name = self.inputs[0][0]

    def run(self, array: Array) -> Array:
        result: Array = self._session.run(None, {self._input_name: array})[0]
        return result


class _Head:
    """One wake word. Input names differ from head to head; the shape does not."""

    def __init__(self, path: Path, quiet: Array) -> None:
        """`quiet` is what a quiet room looks like: it is scored once, to see that a score comes out.

        Raises:
            ConfigError: the file is not a model, or not one of this kind.
        """
        self._network = _Network(path)
        found = "; ".join(f"{kind} {shape}" for _, kind, shape in self._network.inputs)
        shapes = [shape for _, _, shape in self._network.inputs]
        if [_as_head_shape(shape) for shape in shapes] != [_HEAD_SHAPE] or "tensor(float)" not in found:
            raise models.fault(
                f"{path} is a model, but not an openwakeword head: its input is {found}, "
                f"expected tensor(float) {_HEAD_SHAPE}"
            )
        output = self._network.run(quiet)
        if output.size != 1 or not 0.0 <= float(output.flat[0]) <= 1.0:
            raise models.fault(
                f"{path} is a model, but not an openwakeword head: its output is {output.tolist()}, "
                "expected one score from 0 to 1"
            )

    def score(self, embeddings: Array) -> float:
        return float(self._network.run(embeddings).flat[0])


def _as_head_shape(shape: list[Any]) -> list[Any]:
    """Take a batch size left open ("batch", None) for the 1 it will be."""
    return [1, *shape[1:]] if shape and not isinstance(shape[0], int) else shape


def _load_all(names: Sequence[str], quiet: Array) -> dict[str, _Head]:
    """Return the heads of `names`, by what each is called: its own name, or its file's without the ending."""
    heads: dict[str, _Head] = {}
    faults: list[Fault] = []
    for name in dict.fromkeys(names):
        try:
            path = models.find_model(name)
            head = _Head(path, quiet)
        except ConfigError as error:
            faults += error.faults
            continue
        short = path.stem if "/" in name or name.endswith(path.suffix) else name
        heads[name if short in heads else short] = head
    if faults:
        raise ConfigError(faults)
    return heads


def _open_session(path: Path) -> Any:
    """Return an onnxruntime session that computes on the calling thread alone, silently."""
    runtime = _import_runtime()
    options = runtime.SessionOptions()
    # onnxruntime's own threads spin while they wait for work: 44-63 ms of CPU per paced block (measured).
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = False  # the windows are small; an arena only holds memory
    options.log_severity_level = 4
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except _session_errors() as error:
        reason = str(error).rpartition("failed:")[2].strip()
        raise models.fault(
            f"{path} {models.describe_content(path)}; expected an ONNX model of one wake word, "
            f"such as openwakeword's hey_jarvis_v0.1.onnx (onnxruntime: {reason})"
        ) from error


def _import_runtime() -> Any:
    try:
        import onnxruntime  # here, so that "button only" needs neither the package nor its memory
    except ImportError as error:
        raise models.fault(
            f"onnxruntime, which runs the wake words, cannot be imported ({error}); "
            'run "pip install onnxruntime", or set wake.engine = "none" for the button alone',
            key="wake.engine",
        ) from error
    onnxruntime.set_default_logger_severity(4)  # fatal only: its warnings go to stderr, unasked
    return onnxruntime


def _session_errors() -> tuple[type[Exception], ...]:
    """Return what onnxruntime raises for a file it cannot use: a dozen classes without a common base."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return tuple(
        each for each in vars(state).values() if isinstance(each, type) and issubclass(each, Exception)
    )
