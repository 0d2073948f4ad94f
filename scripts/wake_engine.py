"""One wake-word engine in a process of its own: the measured half of `scripts/bench wake`'s costs.

    PYTHON wake_engine.py ENGINE SOUND.npy       (16 kHz mono int16)

Imports what the engine needs and no more: its memory is read from outside. Says "ready", then answers each
line on its standard input ("hot 25", "paced 50") with one line of JSON: CPU ms of the whole process a block.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

BLOCK_FRAMES = 1280
BLOCK_S = 0.08
WORD = "hey_jarvis"

Hear = Callable[[np.ndarray], object]


def models_of_the_package() -> Path:
    """Return where openwakeword's model files are, without importing it."""
    spec = importlib.util.find_spec("openwakeword")
    assert spec and spec.submodule_search_locations, "it is installed here"
    return Path(spec.submodule_search_locations[0], "resources", "models")


def openwakeword() -> Hear:
    """The package itself on onnxruntime, which it gives one thread."""
    from openwakeword.model import Model

    head = models_of_the_package() / f"{WORD}_v0.1.onnx"
    model = Model(wakeword_models=[str(head)], inference_framework="onnx")
    return lambda block: model.predict(block)


def pyopen_wakeword() -> Hear:
    """TensorFlow Lite on the same package's files."""
    from pyopen_wakeword import OpenWakeWord, OpenWakeWordFeatures

    files = models_of_the_package()
    features = OpenWakeWordFeatures.from_builtin(models_dir=files)
    head = OpenWakeWord.from_model(files / f"{WORD}_v0.1.tflite")

    def hear(block: np.ndarray) -> None:
        for embeddings in features.process_streaming(block.tobytes()):
            for _ in head.process_streaming(embeddings):
                pass

    # It begins with eight seconds of silence to catch up with; that is no block's cost.
    hear(np.zeros(BLOCK_FRAMES, np.int16))
    return hear


def pymicro_wakeword() -> Hear:
    from pymicro_wakeword import MicroWakeWord, MicroWakeWordFeatures, Model

    features, word = MicroWakeWordFeatures(), MicroWakeWord.from_builtin(Model.HEY_JARVIS)

    def hear(block: np.ndarray) -> None:
        for part in features.process_streaming(block.tobytes()):
            word.process_streaming(part)

    return hear


def pivoice() -> Hear:
    """This engine, behind no gate."""
    return _detector().score


def pivoice_gated() -> Hear:
    """This engine behind its gate: closed, it only keeps the sound."""
    detector = _detector()
    from pivoice.wake.gate import EnergyGate

    gate, missed = EnergyGate(), deque[np.ndarray](maxlen=detector.memory_blocks)

    def hear(block: np.ndarray) -> None:
        was_open = gate.is_open
        if gate.hear(block):
            if not was_open:
                detector.replay(np.concatenate(missed))
            detector.score(block)
        missed.append(block)

    return hear


def _detector():  # type: ignore[no-untyped-def]  # of a package that the other environment has not
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from pivoice.config import WakeConfig
    from pivoice.wake.detector import open_detector

    return open_detector(WakeConfig(models=[WORD]))


ENGINES = {
    each.__name__: each for each in (openwakeword, pyopen_wakeword, pymicro_wakeword, pivoice, pivoice_gated)
}


def hot(hear: Hear, blocks: Iterable[np.ndarray]) -> float:
    """Return CPU ms of the median block, back to back."""
    costs_s = []
    for block in blocks:
        begun_s = time.process_time()
        hear(block)
        costs_s.append(time.process_time() - begun_s)
    return 1000 * float(np.median(costs_s))


def paced(hear: Hear, blocks: Iterable[np.ndarray]) -> float:
    """Return CPU ms a block of the whole process, with a live microphone's pauses between blocks."""
    count, begun_s, at_s = 0, time.process_time(), time.monotonic()
    for block in blocks:
        at_s += BLOCK_S
        time.sleep(max(0.0, at_s - time.monotonic()))
        hear(block)
        count += 1
    return 1000 * (time.process_time() - begun_s) / count


def main() -> None:
    hear = ENGINES[sys.argv[1]]()
    sound = np.load(sys.argv[2])
    blocks = sound[: len(sound) // BLOCK_FRAMES * BLOCK_FRAMES].reshape(-1, BLOCK_FRAMES)
    for block in blocks[:100]:  # the windows are full, what is made at the first call is made
        hear(block)
    print("ready", flush=True)
    position = 100
    for line in sys.stdin:
        kind, count = line.split()
        chosen = [blocks[(position + n) % len(blocks)] for n in range(int(count))]
        position += int(count)
        print(json.dumps((hot if kind == "hot" else paced)(hear, chosen)), flush=True)


if __name__ == "__main__":
    main()
