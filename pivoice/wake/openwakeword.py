"""Runs openwakeword's models as a stream, in numpy alone, with exactly the package's scores.

Owns what was heard of one microphone: 30 ms of sound, the rows that the embedding looks back on, and the last
16 embeddings. Made on any thread, then used by one (the capture thread); `twin` makes another ear that
shares the weights. Never imports openwakeword or onnxruntime, never downloads.

    1280 samples (80 ms), 480 older ones before them -> 8 mel rows   (mel.py)
    8 mel rows, 68 older ones in the network's state -> 1 embedding  (embedding.py)
    the last 16 embeddings (2 s of sound in all)     -> 1 score      (graph.py; one head per wake word)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pivoice.config import WakeConfig
from pivoice.errors import ConfigError, Fault
from pivoice.wake import models
from pivoice.wake.detector import Samples
from pivoice.wake.embedding import EMBEDDING_SIZE, Convolution, EmbeddingStream
from pivoice.wake.front_end_files import UnknownNetworkError, read_embedding, read_mel_filter
from pivoice.wake.graph import CannotRunError, Program
from pivoice.wake.mel import BLOCK_FRAMES, MelFilter, MelStream
from pivoice.wake.onnx_file import Graph, NotAModelError, Value, read_model

__all__ = ["BLOCK_FRAMES", "MEMORY_BLOCKS", "OpenWakeWordDetector"]

MEMORY_BLOCKS = 26
"""A score is of 16 embeddings, each of 76 rows (9.5 blocks), and their first rows hear 30 ms of one more."""

_EMBEDDINGS = 16
_HEAD_SHAPE = (1, _EMBEDDINGS, EMBEDDING_SIZE)
_KEPT_EMBEDDINGS = 64  # a window of 16 slides over them, and starts anew every 49 blocks

# What an ear that has heard nothing remembers must be a quiet room. Zeros are not: alexa and hey_mycroft
# score 1.0 on them; the package's loud random noise woke once in 120 resets (measured).
_QUIET_BLOCKS = 30  # more than a score remembers
_QUIET_LSB = 20
_QUIET_SEED = 80

Array = NDArray[np.float32]
_Part = TypeVar("_Part")


class OpenWakeWordDetector:
    """openwakeword's scores for `names`: bundled names, or paths of .onnx heads trained for it.

    Raises:
        ConfigError: with a fault for each model that is missing or is not one.
    """

    block_frames = BLOCK_FRAMES
    memory_blocks: int | None = MEMORY_BLOCKS

    def __init__(self, names: Sequence[str]) -> None:
        front_end = _load_front_end()
        self._hear_with(front_end, _load_heads(names, front_end.quiet.embeddings))

    def score(self, block: Samples) -> dict[str, float]:
        # Floats in [-1, 1] would score about 0 for ever, without an error.
        assert block.dtype == np.int16 and block.shape == (BLOCK_FRAMES,), (
            f"a block is {BLOCK_FRAMES} int16 samples, not {block.dtype} {block.shape}"
        )
        embeddings = self._ear.hear(block)
        return {name: head.score(embeddings) for name, head in self._heads.items()}

    def replay(self, sound: Samples) -> None:
        # Block by block, though several at once would take a sixth less: BLAS adds in another order then, and
        # a score after a replay is to be the same number as without the gap before it.
        assert sound.dtype == np.int16 and sound.ndim == 1 and len(sound) % BLOCK_FRAMES == 0, (
            f"a replay is whole blocks of {BLOCK_FRAMES} int16 samples, not {sound.dtype} {sound.shape}"
        )
        for block in sound.reshape(-1, BLOCK_FRAMES):
            self._ear.hear(block)

    def reset(self) -> None:
        self._ear.restore(self._front_end.quiet)

    def twin(self) -> OpenWakeWordDetector:
        other = object.__new__(type(self))
        other._hear_with(self._front_end, self._heads)
        return other

    def _hear_with(self, front_end: _FrontEnd, heads: Mapping[str, _Head]) -> None:
        self._front_end = front_end
        self._heads = heads
        self.models: tuple[str, ...] = tuple(heads)
        self._ear = _Ear(front_end.mel, front_end.layers)
        self._ear.restore(front_end.quiet)


@dataclass(frozen=True)
class _Memory:
    """All that an ear remembers."""

    sound: NDArray[np.float64]
    rows: tuple[Array, ...]
    embeddings: Array


class _Ear:
    """Sound to embeddings: what all wake words share. One thread."""

    def __init__(self, mel: MelFilter, layers: Sequence[Convolution]) -> None:
        self._mel = MelStream(mel)
        self._stream = EmbeddingStream(layers)
        self._embeddings: Array = np.zeros((1, _KEPT_EMBEDDINGS, EMBEDDING_SIZE), np.float32)
        self._end = _EMBEDDINGS

    def hear(self, block: Samples) -> Array:
        """Return the last 16 embeddings, 1 x 16 x 96, oldest first: what a head looks at."""
        self._mel.hear(block, self._stream.rows)
        kept = self._embeddings[0]
        if self._end == _KEPT_EMBEDDINGS:
            kept[:_EMBEDDINGS] = kept[-_EMBEDDINGS:]
            self._end = _EMBEDDINGS
        kept[self._end] = self._stream.advance()
        self._end += 1
        return self._embeddings[:, self._end - _EMBEDDINGS : self._end]

    def memory(self) -> _Memory:
        """Return a copy of all that it remembers, for `restore`: of this or of another ear."""
        last = self._embeddings[:, self._end - _EMBEDDINGS : self._end].copy()
        return _Memory(self._mel.state(), self._stream.state(), last)

    def restore(self, memory: _Memory) -> None:
        """Go on as if what led to `memory` had been heard."""
        self._mel.restore(memory.sound)
        self._stream.restore(memory.rows)
        self._end = _EMBEDDINGS
        self._embeddings[:, : self._end] = memory.embeddings


@dataclass(frozen=True)
class _FrontEnd:
    """What the ears of one detector and its twins share."""

    mel: MelFilter
    layers: tuple[Convolution, ...]
    quiet: _Memory
    """That of an ear which has heard a quiet room."""


class _Head:
    """One wake word. Input names differ from head to head; the shape does not. Any thread."""

    def __init__(self, path: Path, quiet: Array) -> None:
        """`quiet` is what a quiet room looks like: it is scored once, to see that a score comes out.

        Raises:
            ConfigError: the file is not a model, or not one of this kind.
        """
        graph = _read(path)
        if len(graph.inputs) != 1 or not _is_head_input(graph.inputs[0]):
            found = "; ".join(_describe(value) for value in graph.inputs)
            raise models.fault(
                f"{path} is a model, but not an openwakeword head: its input is {found}, "
                f"expected float32 {list(_HEAD_SHAPE)}"
            )
        self._input_name = graph.inputs[0].name
        try:
            self._program = Program(graph, {self._input_name: _HEAD_SHAPE})
        except CannotRunError as error:
            raise models.fault(f"{path} {error}") from error
        if not self._program.outputs:
            raise models.fault(f"{path} is a model, but not an openwakeword head: it has no output")
        output = self._program.run({self._input_name: quiet})[0]
        if output.size != 1 or not 0.0 <= float(output.item()) <= 1.0:
            found = str(output.tolist())[:80]
            raise models.fault(
                f"{path} is a model, but not an openwakeword head: its output is {found}, "
                "expected one score from 0 to 1"
            )

    def score(self, embeddings: Array) -> float:
        return float(self._program.run({self._input_name: embeddings})[0].item())


def _load_front_end() -> _FrontEnd:
    mel_path, embedding_path = models.front_end_models()
    mel = _read_part(mel_path, read_mel_filter)
    layers = _read_part(embedding_path, read_embedding)
    ear = _Ear(mel, layers)
    # Not numpy.random, which costs 6 MB and is needed for nothing else.
    noise = np.frombuffer(Random(_QUIET_SEED).randbytes(_QUIET_BLOCKS * BLOCK_FRAMES), np.uint8)
    quiet = (noise % (2 * _QUIET_LSB + 1)).astype(np.int16) - np.int16(_QUIET_LSB)
    for block in quiet.reshape(-1, BLOCK_FRAMES):
        ear.hear(block)
    return _FrontEnd(mel, layers, ear.memory())


def _read_part(path: Path, recognised: Callable[[Graph], _Part]) -> _Part:
    """Return what `recognised` makes of a file of openwakeword's own."""
    try:
        return recognised(read_model(path))
    except (NotAModelError, OSError) as error:
        problem = f"{path} {models.describe_content(path)} ({error})"
    except UnknownNetworkError as error:
        problem = f"{path} is not the {path.stem} of openwakeword 0.4 or 0.5: {error}"
    raise models.fault(f'{problem}; run "{models.INSTALL} --force-reinstall"', key="wake.engine")


def _load_heads(names: Sequence[str], quiet: Array) -> dict[str, _Head]:
    """Return the heads of `names`, by what the settings call each."""
    heads: dict[str, _Head] = {}
    faults: list[Fault] = []
    for name, called in zip(dict.fromkeys(names), WakeConfig(models=list(names)).called, strict=True):
        try:
            heads[called] = _Head(models.find_model(name), quiet)
        except ConfigError as error:
            faults += error.faults
    if faults:
        raise ConfigError(faults)
    return heads


def _read(path: Path) -> Graph:
    try:
        return read_model(path)
    except (NotAModelError, OSError) as error:
        what, why = models.describe_content(path), ""
        if isinstance(error, NotAModelError):
            is_more = what == models.UNKNOWN_CONTENT and not str(error).startswith("is damaged")
            what, why = (str(error), "") if is_more else (what, f" ({error})")
        raise models.fault(
            f"{path} {what}; expected an ONNX model of one wake word, "
            f"such as openwakeword's hey_jarvis_v0.1.onnx{why}"
        ) from error


def _is_head_input(value: Value) -> bool:
    """Take a size left open, as the batch's often is, for what it will be."""
    sizes = value.shape or ()
    return (
        value.dtype == np.float32
        and len(sizes) == len(_HEAD_SHAPE)
        and all(
            found in (wanted, None) or isinstance(found, str)
            for found, wanted in zip(sizes, _HEAD_SHAPE, strict=True)
        )
    )


def _describe(value: Value) -> str:
    shape: Any = "of no declared shape" if value.shape is None else list(value.shape)
    return f"{value.dtype} {shape}"
