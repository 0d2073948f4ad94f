"""What the wake word's engine makes of a stretch of sound, block by block, with the gate in front of it.

For `pivoice tune`: a microphone, or a WAV file, heard as the daemon hears it while the speaker is silent.
One thread, the caller's. Keeps no sound but what the engine has yet to hear; decides nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pivoice.audio.buffers import EAR_HZ
from pivoice.audio.pcm import open_capture, pick_channel
from pivoice.audio.resample import Resampler, resampled
from pivoice.audio.simulated import load_frames
from pivoice.clock import Clock
from pivoice.config import AudioConfig
from pivoice.errors import DeviceError, PivoiceError
from pivoice.wake.detector import Detector
from pivoice.wake.gate import EnergyGate

Samples = NDArray[np.int16]

_FULL_SCALE = 32760  # some converters stop a little short of 32767
_LEAD_S, _TAIL_S = 1.0, 0.5  # the gate is open for its first second; a score peaks 0.1 s after the word
_QUIET_LSB, _QUIET_SEED = 20, 80  # what engines take for a quiet room; some take zeros for their word


@dataclass(frozen=True)
class Block:
    """What was made of one block, 80 ms."""

    end_s: float
    """When it ended, counted in samples."""
    level_dbfs: float
    floor_dbfs: float
    is_open: bool
    """The gate."""
    scores: dict[str, float]
    """Of each model; none while the gate is closed: the daemon does not score either."""


@dataclass
class Loudness:
    """What the microphone gave at all."""

    peak: int = 0
    """The largest sample."""
    clipped: int = 0
    """Samples as large as can be."""
    samples: int = 0

    def add(self, sound: Samples) -> None:
        size = np.abs(sound.astype(np.int32))
        self.peak = max(self.peak, int(size.max(initial=0)))
        self.clipped += int(np.count_nonzero(size >= _FULL_SCALE))
        self.samples += len(sound)

    @property
    def peak_dbfs(self) -> float:
        return 20 * float(np.log10(max(self.peak, 0.33) / 32768))


@dataclass
class TuneEar:
    """Gate and engine on sound at `rate_hz`, in pieces of any size."""

    detector: Detector
    rate_hz: int
    loudness: Loudness = field(default_factory=Loudness)

    def __post_init__(self) -> None:
        self.detector.reset()
        self._gate = EnergyGate(self.rate_hz)
        self._to_ear = Resampler(self.rate_hz, EAR_HZ)
        self._rest = np.zeros(0, np.int16)  # of the microphone's samples
        self._ear_rest = np.zeros(0, np.int16)  # of the engine's
        self._missed: deque[Samples] = deque(maxlen=self.detector.memory_blocks)
        self._position = 0

    def hear(self, sound: Samples) -> Iterator[Block]:
        """Yield what was made of each block that `sound` completes."""
        self.loudness.add(sound)
        sound = np.concatenate([self._rest, sound])
        size = self._gate.block_frames
        used = len(sound) - len(sound) % size
        self._rest = sound[used:]
        for start in range(0, used, size):
            block = sound[start : start + size]
            is_open = self._gate.hear(block)
            yield from self._score(self._to_ear.process(block), is_open=is_open)

    def _score(self, sound: Samples, *, is_open: bool) -> Iterator[Block]:
        sound = np.concatenate([self._ear_rest, sound])
        size = self.detector.block_frames
        used = len(sound) - len(sound) % size
        self._ear_rest = sound[used:]
        for start in range(0, used, size):
            block = sound[start : start + size]
            self._position += size
            scores = self._scores(block, is_open=is_open)
            end_s, gate = self._position / EAR_HZ, self._gate
            yield Block(end_s, gate.level_dbfs, gate.floor_dbfs, gate.is_open, scores)

    def _scores(self, block: Samples, *, is_open: bool) -> dict[str, float]:
        if self.detector.memory_blocks is None:
            return self.detector.score(block)  # depends on all that it ever heard: never gated
        if not is_open:
            self._missed.append(block)
            return {}
        if self._missed:
            self.detector.replay(np.concatenate(list(self._missed)))
            self._missed.clear()
        return self.detector.score(block)


def hear_microphone(
    audio: AudioConfig, detector: Detector, clock: Clock, loudness: Loudness
) -> Generator[Block, None, None]:
    """Yield what is made of the microphone, without end; closing the generator closes the card.

    Raises:
        DeviceError: the card cannot be had; a busy one says what to stop.
    """
    try:
        pcm = open_capture(audio.capture, audio, clock)
    except DeviceError as error:
        if "busy" in error.reason:
            error.advice = f"stop the service first: sudo systemctl stop pivoice ({error.advice})"
        raise
    try:
        ear = TuneEar(detector, pcm.format.rate_hz, loudness)
        while True:
            yield from ear.hear(pcm.read())
    finally:
        pcm.close()


def hear_file(path: Path, audio: AudioConfig, detector: Detector) -> list[Block]:
    """Return what is made of a WAV file, as if the room had been quiet before and after it.

    Any rate; of several channels audio.channel is taken, or the first.

    Raises:
        PivoiceError: it is no WAV file of those that wav_file.py takes.
    """
    try:
        frames, rate_hz = load_frames(str(path), str(path))
    except DeviceError as error:
        raise PivoiceError(
            f"cannot tune by {path}: {error.reason}; WAV files are needed (sox FILE OUT.wav)"
        ) from error
    if not len(frames):
        raise PivoiceError(f"cannot tune by {path}: there is no sound in it")
    sound = pick_channel(frames, min(audio.channel, frames.shape[1] - 1), device=str(path))
    noise = np.random.RandomState(_QUIET_SEED)
    lead, tail = (
        noise.randint(-_QUIET_LSB, _QUIET_LSB + 1, round(length_s * EAR_HZ)).astype(np.int16)
        for length_s in (_LEAD_S, _TAIL_S)
    )
    ear = TuneEar(detector, EAR_HZ)
    whole = np.concatenate([lead, resampled(sound, rate_hz, EAR_HZ), tail])
    return list(ear.hear(np.concatenate([whole, np.zeros(-len(whole) % detector.block_frames, np.int16)])))
