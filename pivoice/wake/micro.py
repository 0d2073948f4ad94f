"""The second engine: pymicro-wakeword's models, small enough for a microcontroller.

Owns one front end (pymicro-features) for all words, a network per word (tflite.py), and the mean over
each word's last probabilities. Uses the package's models, its TensorFlow Lite library and its features; not
its code, which crashes on a file that is no model, writes to stderr, and lets what is too loud for 8 bits
wrap around to silence. Made on any thread, then used by one (the capture thread). No threads of its own,
nothing on stderr.

    160 samples (10 ms)              -> 40 features  (of 30 ms; leveled against noise heard before)
    3 rows of features               -> 1 probability
    the mean of the last 5           -> 1 score a block: the highest in it

The front end remembers noise, and the network its layers' past, so no number of blocks is enough to
start over with: `memory_blocks` is None, and the energy gate stays open.
"""

from __future__ import annotations

import difflib
import importlib.util
import json
import math
import os
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pivoice.config import WakeConfig
from pivoice.errors import ConfigError, Fault
from pivoice.wake import models
from pivoice.wake.detector import Samples
from pivoice.wake.tflite import Library, Model, ModelError, Network

BLOCK_FRAMES = 1280
_STEP_FRAMES = 160
_FEATURES = 40

_PACKAGE = "pymicro-wakeword>=2.5,<3"
_INSTALLED = "/opt/pivoice/"  # where scripts/install puts us, and keeps what it was told to add
_JUST_BELOW = math.nextafter(0.5, 0.0)

Features = NDArray[np.float64]


class MicroDetector:
    """pymicro-wakeword's scores for `names`: bundled names, or paths of models trained for microWakeWord.

    Each model has a probability from which on it is meant to count; that is a score of 0.5, what lies below
    and above is stretched to 0 and 1. At 0.5 it hears exactly what the package does.

    Raises:
        ConfigError: the package is missing, or with a fault for each model that is missing or is not one.
    """

    block_frames = BLOCK_FRAMES
    memory_blocks: int | None = None

    def __init__(self, names: Sequence[str]) -> None:
        self.models = WakeConfig(models=list(names)).called
        self._words = _load_all(names)
        self._features = _open_front_end()

    def score(self, block: Samples) -> dict[str, float]:
        features = self._hear(block)
        return {name: word.score(features) for name, word in zip(self.models, self._words, strict=True)}

    def replay(self, sound: Samples) -> None:
        assert len(sound) % BLOCK_FRAMES == 0, f"{len(sound)} samples are not whole blocks of {BLOCK_FRAMES}"
        for start in range(0, len(sound), BLOCK_FRAMES):
            self.score(sound[start : start + BLOCK_FRAMES])

    def reset(self) -> None:
        self._features.reset()
        for word in self._words:
            word.reset()

    def twin(self) -> MicroDetector:
        """Return another ear for the same words, which has heard nothing; the weights are shared."""
        other = MicroDetector.__new__(MicroDetector)
        other.models = self.models
        other._words = [word.twin() for word in self._words]
        other._features = _open_front_end()
        return other

    def _hear(self, block: Samples) -> Features:
        assert block.dtype == np.int16 and block.shape == (BLOCK_FRAMES,), (
            f"a block is {BLOCK_FRAMES} int16 samples, not {block.dtype} {block.shape}"
        )
        sound = block.tobytes()
        rows = []
        for start in range(0, len(sound), 2 * _STEP_FRAMES):
            # the first two steps after a reset give no row: a window is three long
            row = self._features.process_samples(sound[start : start + 2 * _STEP_FRAMES]).features
            if row:
                rows.append(row)
        return np.array(rows).reshape(-1, _FEATURES)


@dataclass(frozen=True)
class _Description:
    """What is written beside a model."""

    model: Path
    cutoff: float
    """The probability above which it is the wake word."""
    window: int
    """How many probabilities are averaged."""


class _Word:
    """One wake word: its network, and its last probabilities."""

    def __init__(self, description: _Description, model: Model) -> None:
        """Raises ModelError: it is not one of these."""
        self._description = description
        self._model = model
        self._network = Network(model)
        self._rows = _rows_of(self._network)
        limits = np.iinfo(self._network.input.dtype)
        self._lowest, self._highest = limits.min, limits.max
        self._waiting: list[NDArray[Any]] = []
        self._probabilities: deque[float] = deque(maxlen=description.window)
        self._last = 0.0

    def twin(self) -> _Word:
        return _Word(self._description, self._model)

    def score(self, features: Features) -> float:
        """Return the highest score within the block that `features` are of."""
        tensor = self._network.input
        # Held to what 8 bits can say: the package lets what is louder wrap around to silence.
        levels = np.round(features / tensor.scale + tensor.zero_point).clip(self._lowest, self._highest)
        self._waiting.extend(levels.astype(tensor.dtype))
        means = []
        while len(self._waiting) >= self._rows:
            rows = np.concatenate(self._waiting[: self._rows])
            del self._waiting[: self._rows]
            self._probabilities.append(self._network.run(rows))
            means.append(self._mean())
        self._last = max(means, default=self._last)
        return _as_score(self._last, self._description.cutoff)

    def reset(self) -> None:
        self._network.reset()
        self._waiting.clear()
        self._probabilities.clear()
        self._last = 0.0

    def _mean(self) -> float:
        if len(self._probabilities) < self._description.window:
            return 0.0
        return math.fsum(self._probabilities) / len(self._probabilities)


def _as_score(probability: float, cutoff: float) -> float:
    """Return 0 for 0, 0.5 for `cutoff`, 1 for 1; 0.5 is reached only above `cutoff`."""
    if probability > cutoff:
        return min(1.0, 0.5 + 0.5 * (probability - cutoff) / (1.0 - cutoff))
    return min(_JUST_BELOW, max(0.0, 0.5 * probability / cutoff))


def _rows_of(network: Network) -> int:
    """Return how many rows of features a network takes at once.

    Raises:
        ModelError: it does not take features, or gives more than one number.
    """
    taken, given = network.input.shape, network.output.shape
    if len(taken) != 3 or taken[0] != 1 or taken[1] < 1 or taken[2] != _FEATURES or math.prod(given) != 1:
        raise ModelError(
            f"is a model, but not a microWakeWord one: {list(taken)} -> {list(given)}, "
            f"expected [1, n, {_FEATURES}] -> one number"
        )
    return int(taken[1])


def _load_all(names: Sequence[str]) -> list[_Word]:
    directory = _package_directory()
    library = _open_library(directory)
    words: list[_Word] = []
    faults: list[Fault] = []
    for name in dict.fromkeys(names):
        try:
            words.append(_load(library, directory / "models", name))
        except ConfigError as error:
            faults += error.faults
    if faults:
        raise ConfigError(faults)
    return words


def _load(library: Library, bundled: Path, name: str) -> _Word:
    path = _find(bundled, name)
    description = _read_description(path)
    try:
        return _Word(description, Model(library, description.model))
    except ModelError as error:
        raise models.fault(
            f"{description.model} {error}; name the .json file of a microWakeWord model"
        ) from error


def _find(bundled: Path, name: str) -> Path:
    """Return the .json file of a bundled name, or of a path."""
    names = sorted(path.stem for path in bundled.glob("*.json"))
    if "/" in name or name.endswith((".json", ".tflite", ".onnx")):
        path = Path(name)
        if path.suffix == ".onnx":
            raise models.fault(f'{name!r} is for wake.engine = "openwakeword"; micro takes .json files')
        if path.suffix == ".tflite":
            path = path.with_suffix(".json")  # says from which probability on the model counts
        instead = f"a model's .json file, its .tflite file beside it, or one of {', '.join(names)}"
        return models.file_at(path, otherwise=lambda: f"give the path of {instead}")
    if name in names:
        return bundled / f"{name}.json"
    near = difflib.get_close_matches(name.lower().replace(" ", "_").replace("-", "_"), names, 1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise models.fault(
        f"no wake word {name!r} in {bundled}; {hint}The engine micro has {', '.join(names)}; "
        "your own is given by the path of its .json file"
    )


def _read_description(path: Path) -> _Description:
    try:
        read = json.loads(path.read_text())
        micro = read["micro"]
        model, cutoff = read["model"], float(micro["probability_cutoff"])
        window, step_ms = int(micro["sliding_window_size"]), micro.get("feature_step_size", 10)
        if not isinstance(model, str) or not 0.0 < cutoff < 1.0 or not 1 <= window <= 100 or step_ms != 10:
            raise ValueError(f"model {model!r}, cutoff {cutoff}, window {window}, step {step_ms} ms")
    except OSError as error:
        raise models.fault(f"{path} cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise models.fault(
            f"{path} does not describe a microWakeWord model of version 2 ({type(error).__name__}: {error}); "
            'expected "model", and in "micro" a "probability_cutoff" between 0 and 1, '
            'a "sliding_window_size", and a "feature_step_size" of 10'
        ) from error
    return _Description(path.parent / model, cutoff, window)


def _package_directory() -> Path:
    """Return the directory of pymicro-wakeword, without importing it."""
    spec = importlib.util.find_spec("pymicro_wakeword")
    if spec is None or not spec.submodule_search_locations:
        raise _missing("is not installed")
    return Path(spec.submodule_search_locations[0])


def _open_library(directory: Path) -> Library:
    found = sorted((directory / "lib").glob("*tensorflowlite_c.so*"))
    if not found:
        raise _missing("has no TensorFlow Lite library for this system inside")
    try:
        return Library(found[0])
    except OSError as error:
        raise _missing(f"has a library that does not load here ({error})") from error


def _open_front_end() -> Any:
    try:
        from pymicro_features import MicroFrontend
    except ImportError as error:
        raise _missing(f"lacks pymicro-features ({error})") from error
    return MicroFrontend()


def _missing(what: str) -> ConfigError:
    """Return the error that says how to install the package, for the environment that runs."""
    sudo = "" if os.access(sys.prefix, os.W_OK) else "sudo "
    command = f'{sudo}{sys.prefix}/bin/python -m pip install "{_PACKAGE}"'
    if sys.prefix.startswith(_INSTALLED):
        command = "sudo ./scripts/install --micro"
    return ConfigError(
        [
            Fault(
                "wake.engine",
                f'the package pymicro-wakeword, which "micro" needs, {what}; run: {command}; '
                'or set wake.engine = "openwakeword"',
            )
        ]
    )
