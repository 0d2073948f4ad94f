"""What the audio room's tests hold in their hands instead of a house."""

from __future__ import annotations

import threading
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pivoice.audio.pcm import Samples
from pivoice.turn.events import Event


class StepClock:
    """Time that passes only while somebody waits: for tests that call a PCM in their own thread."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    def wait(self, event: threading.Event, timeout_s: float | None = None) -> bool:
        if not event.is_set():
            assert timeout_s is not None, "nobody would ever set this"
            self.now_s += timeout_s
        return event.is_set()

    def start_thread(self, target: Callable[[], None], *, name: str) -> threading.Thread:
        raise AssertionError(f"no thread {name} here; use a JumpLoop")

    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds


class Diary:
    """A `post` and a `report` that remember."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.reports: list[tuple[str, dict[str, object]]] = []

    def post(self, event: Event) -> None:
        self.events.append(event)

    def report(self, kind: str, facts: dict[str, object]) -> None:
        self.reports.append((kind, facts))

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    def told(self, kind: str, **wanted: object) -> list[dict[str, object]]:
        """Return the facts of every report of that kind that holds `wanted`."""
        return [facts for each, facts in self.reports if each == kind and wanted.items() <= facts.items()]


class MarkDetector:
    """Hears a wake word where a block holds at least `ENOUGH` samples of the value `MARK`."""

    MARK = 12345
    ENOUGH = 300
    block_frames = 1280
    memory_blocks: int | None = None
    models = ("hey_mark",)

    def __init__(self) -> None:
        self.blocks: list[Samples] = []
        self.resets = 0

    def score(self, block: Samples) -> dict[str, float]:
        self.blocks.append(block.copy())
        near = np.abs(block.astype(np.int32) - self.MARK) < 200
        return {"hey_mark": 0.9 if near.sum() >= self.ENOUGH else 0.01}

    def replay(self, sound: Samples) -> None:
        self.blocks.extend(sound.reshape(-1, self.block_frames))

    def reset(self) -> None:
        self.resets += 1
        self.blocks.clear()

    def twin(self) -> MarkDetector:
        return MarkDetector()


def noise(seconds: float, rate_hz: int, *, seed: int = 7, peak: int = 20000) -> Samples:
    """Return sound that is like itself at no other place, and nowhere silent."""
    generator = np.random.default_rng(seed)
    size = round(seconds * rate_hz)
    return (generator.integers(2000, peak, size) * generator.choice([-1, 1], size)).astype(np.int16)


def tone(seconds: float, rate_hz: int, *, hz: float = 440.0, peak: int = 10000) -> Samples:
    return np.rint(peak * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)).astype(
        np.int16
    )


def write_wav(path: Path, samples: Samples, rate_hz: int, *, channels: int = 1, width: int = 2) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate_hz)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def find(needle: Samples, haystack: Samples) -> int:
    """Return where `needle` begins in `haystack`, to the sample.

    Raises:
        AssertionError: it is not there, not whole, or not exactly.
    """
    for start in np.flatnonzero(haystack == needle[0]):
        if np.array_equal(haystack[start : start + len(needle)], needle):
            return int(start)
    raise AssertionError(f"{len(needle)} samples not found in {len(haystack)}")
