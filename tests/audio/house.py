"""A microphone in a room full of sound, and ears on it, in simulated time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pivoice.audio.buffers import SpokenRing, Uplink
from pivoice.audio.capture import Ears, HalfDuplexGate
from pivoice.audio.pcm import Samples
from pivoice.audio.resample import Resampler, resampled
from pivoice.audio.simulated import Microphone, microphone
from pivoice.audio.stage import EchoStage
from pivoice.audio.wake_ear import Detector, Gate, Listening
from pivoice.config import AudioConfig, WakeConfig
from pivoice.simulation import JumpLoop, run_jumping
from pivoice.turn.events import Event
from pivoice.wake.policy import policy_of
from tests.audio.fakes import Diary, MarkDetector, noise, write_wav

EAR_HZ, WIRE_HZ = 16000, 24000
PERIOD_S = 0.02


@dataclass
class House:
    """A microphone in a room full of sound, ears on it, and a diary."""

    folder: Path
    seconds: float = 4.0
    rate_hz: int = 48000
    mark_s: float | None = None
    """When the wake word is spoken."""
    gate: HalfDuplexGate | None = None
    room: Samples | None = None
    """What is to be heard; None: noise."""
    detector: Detector | None = field(default_factory=MarkDetector)
    far_detector: MarkDetector = field(default_factory=MarkDetector)
    wake: WakeConfig = field(default_factory=WakeConfig)
    uplink_s: float = 60.0
    echo: EchoStage | None = None
    open_gate: Callable[[int], Gate] | None = None

    def __post_init__(self) -> None:
        self.sound = noise(self.seconds, self.rate_hz) if self.room is None else self.room
        if self.mark_s is not None:
            begun = round(self.mark_s * self.rate_hz)
            self.sound[begun : begun + self.rate_hz // 10] = MarkDetector.MARK
        self.name = f"simulated:{write_wav(self.folder / 'mic.wav', self.sound, self.rate_hz)}"
        self.diary = Diary()
        self.spoken = SpokenRing()
        self.uplink = Uplink(capacity_s=self.uplink_s)
        self.on_event: Callable[[Event], None] = lambda event: None
        self.begin = self.end = 0

    @property
    def mic(self) -> Microphone:
        return microphone(self.name)

    @property
    def ear_sound(self) -> Samples:
        """What the microphone hears, at 16 kHz: index and position are the same."""
        silence = np.zeros(20 * self.rate_hz, np.int16)
        return Resampler(self.rate_hz, EAR_HZ).process(np.concatenate([self.sound, silence]))

    def run(self, script: Callable[[JumpLoop, Ears], Awaitable[None]]) -> None:
        async def main(loop: JumpLoop) -> None:
            def post(event: Event) -> None:
                self.diary.post(event)
                loop.call_soon_threadsafe(self.on_event, event)

            ears = Ears(
                audio=AudioConfig(capture=self.name),
                preroll_ms=self.wake.preroll_ms,
                listening=Listening(
                    detector=self.detector,
                    far_detector=self.far_detector,
                    policy=policy_of(self.wake),
                    open_gate=self.open_gate,
                ),
                clock=loop.clock,
                post=post,
                report=self.diary.report,
                uplink=self.uplink,
                spoken=self.spoken,
                gate=self.gate,
                echo=self.echo,
            )
            ears.start()
            await script(loop, ears)
            ears.stop()
            await asyncio.sleep(2 * PERIOD_S)

        run_jumping(main)

    def sent(self) -> Samples:
        """Return everything that went up."""
        return self.uplink.take_whole(1).samples

    def expect_sent(self, heard: Samples) -> None:
        """Assert that exactly `heard` (16 kHz) went up: all of it but what the resampler holds back."""
        expected, sent = resampled(heard, EAR_HZ, WIRE_HZ), self.sent()
        assert 0 <= len(expected) - len(sent) <= 40
        assert np.abs(expected[: len(sent) - 40].astype(int) - sent[:-40]).max() <= 1


async def nothing(loop: JumpLoop, ears: Ears) -> None:
    await asyncio.sleep(1.5)
