"""Ears, mouth and canceller on simulated cards in a room: all that lies between a reply and the uplink.

    box = Duplex(tmp_path, Room(0, "strong"))
    box.reply(words, at_s=1.0)
    box.user(other_words, 0.0, at_s=4.0)
    box.run(8.0)
    box.uplink                          # what went up, 16 kHz

The product's own threads in time that jumps; the two cards' clocks are 100 ppm apart, and both threads come
late now and then. Nobody decides anything here: there is no turn machine that ducks or cuts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pivoice.audio import simulated
from pivoice.audio.buffers import EAR_HZ, WIRE_HZ, SpokenRing, Uplink
from pivoice.audio.capture import Ears
from pivoice.audio.gate import HalfDuplexGate
from pivoice.audio.playback import Mouth
from pivoice.audio.reference import Reference
from pivoice.audio.resample import resampled
from pivoice.audio.simulated import Microphone, Speaker
from pivoice.audio.stage import open_stage
from pivoice.audio.wake_ear import Listening
from pivoice.config import AudioConfig, WakeConfig
from pivoice.simulation import JumpLoop, run_jumping
from pivoice.turn.events import CaptureLost, Event, PlaybackLost, WakeHeard
from pivoice.wake.detector import Detector
from pivoice.wake.gate import EnergyGate
from pivoice.wake.policy import policy_of
from tests.audio.fakes import write_wav
from tests.support.rooms import RATE_HZ, LiveRoom, Room, Samples, lateness

SPEAKER_PPM, MICROPHONE_PPM = 60.0, -40.0


def furnish(room: Room, microphone: Microphone, speaker: Speaker, *, stalls: bool = True) -> LiveRoom:
    """Put two cards, not opened yet, into a room: each with its own quartz, both served late at times."""
    microphone.ppm, speaker.ppm = MICROPHONE_PPM, SPEAKER_PPM
    if stalls:
        microphone.lateness = lateness(2 * room.seed)
        speaker.lateness = lateness(2 * room.seed + 1)
    return LiveRoom(room, microphone, speaker)


class RecordedCanceller:
    """What AEC3 was given and what it left of it, before the gate and the warm-up, which would flatter it."""

    def __init__(self, canceller: Any) -> None:
        self._canceller = canceller
        self._pieces: list[tuple[Samples, Samples, Samples]] = []

    def process(self, near: Samples, far: Samples) -> Samples:
        left: Samples = self._canceller.process(near, far)
        self._pieces.append((near.copy(), far.copy(), left.copy()))
        return left

    def recorded(self) -> tuple[Samples, Samples, Samples]:
        """Return near, far and what was left, 16 kHz, from the speaker's first start on."""
        near, far, left = zip(*self._pieces, strict=True)
        return np.concatenate(near), np.concatenate(far), np.concatenate(left)


class Duplex:
    """`events`: (when, what) was posted. `reports`: (kind, facts) of what was observed."""

    def __init__(
        self,
        folder: Path,
        room: Room,
        *,
        detectors: tuple[Detector, Detector] | None = None,
        echo: str = "webrtc",
        stalls: bool = True,
        mic_hz: int = RATE_HZ,
    ) -> None:
        """`echo`: "webrtc", or "none" for a device without a canceller."""
        folder.mkdir(exist_ok=True)
        silence = write_wav(folder / "room.wav", np.zeros(0, np.int16), mic_hz)
        self.audio = AudioConfig(
            capture=f"simulated:{silence}", playback=f"simulated:{folder / 'speaker.wav'}", jitter_ms=20
        )
        self.mic = simulated.microphone(self.audio.capture)
        self.speaker = simulated.speaker(self.audio.playback)
        self.live = furnish(room, self.mic, self.speaker, stalls=stalls)
        self.events: list[tuple[float, Event]] = []
        self.reports: list[tuple[str, dict[str, object]]] = []
        self._detectors = detectors or (None, None)
        self._acts: list[tuple[float, Callable[[Mouth], None]]] = []
        self._replies = 0
        self.put_s: list[tuple[float, int]] = []
        """(when, how many samples had gone up by then, 24 kHz)"""
        self._pieces: list[Samples] = []
        self._up = Uplink(capacity_s=60)
        self._gate = HalfDuplexGate()
        self._reference = Reference() if echo == "webrtc" else None
        self.stage = open_stage(echo, self._reference, self._gate) if self._reference else None
        self.canceller: RecordedCanceller | None = None
        if self.stage:
            self.canceller = RecordedCanceller(self.stage._canceller)  # type: ignore[attr-defined]
            self.stage._canceller = self.canceller  # type: ignore[attr-defined]

    def reply(self, words: Samples, *, at_s: float) -> None:
        """Have the agent say something, 24 kHz."""
        self._replies += 1
        serial = self._replies

        def say(mouth: Mouth) -> None:
            mouth.play(serial, words.copy())
            mouth.end(serial)

        self._acts.append((at_s, say))

    def chime(self, name: str, *, at_s: float) -> None:
        self._acts.append((at_s, lambda mouth: mouth.chime(name)))

    def user(self, words: Samples, near_echo_db: float, *, at_s: float) -> tuple[float, float]:
        """Have the user say something, 16 kHz, so much louder than the agent; return (start, end)."""
        self.mic.say(self.live.user(words, near_echo_db), at_s=at_s)
        return at_s, at_s + len(words) / RATE_HZ

    def run(self, seconds: float) -> None:
        """Live for so long, with the uplink open."""
        try:
            run_jumping(lambda loop: self._live(loop, seconds))
        finally:
            for name in (self.audio.capture, self.audio.playback):
                simulated.forget(name)

    async def _live(self, loop: JumpLoop, seconds: float) -> None:
        def post(event: Event) -> None:
            self.events.append((loop.clock.monotonic(), event))

        def report(kind: str, facts: dict[str, object]) -> None:
            self.reports.append((kind, facts))

        room: dict[str, Any] = {"clock": loop.clock, "post": post, "report": report, "audio": self.audio}
        room |= {"spoken": SpokenRing(), "gate": self._gate}
        wake = WakeConfig()
        ears = Ears(
            preroll_ms=wake.preroll_ms,
            listening=Listening(*self._detectors, policy=policy_of(wake), open_gate=EnergyGate),
            uplink=self._up,
            echo=self.stage,
            **room,
        )
        mouth = Mouth(reference=self._reference, **room)
        self._up.on_ready = lambda: self._take(loop.clock.monotonic())
        self._take(0.0)
        mouth.start()
        ears.start()
        ears.open_uplink(None, False)
        for at_s, act in self._acts:
            loop.call_at(at_s, act, mouth)
        await asyncio.sleep(seconds)
        mouth.stop()
        ears.stop()
        await asyncio.sleep(0.2)
        lost = [event for _, event in self.events if isinstance(event, CaptureLost | PlaybackLost)]
        assert not lost, lost
        self.ignored_wakes = ears.wake_counts["in_own_voice"]
        self.xruns = mouth.xruns

    def _take(self, now_s: float) -> None:
        """Take what just went up; capture thread."""
        self._pieces.append(self._up.take_whole(1).samples)
        self.put_s.append((now_s, self.put_s[-1][1] + len(self._pieces[-1]) if self.put_s else 0))

    @property
    def wire(self) -> Samples:
        """Everything that went up, 24 kHz."""
        return np.concatenate(self._pieces)

    @property
    def uplink(self) -> Samples:
        """Everything that went up, 16 kHz: sample k is the microphone's k-th, but for the stage's delay."""
        return resampled(self.wire, WIRE_HZ, EAR_HZ)

    @property
    def wakes_s(self) -> list[float]:
        """When a wake word was heard that was not the agent's own."""
        return [time_s for time_s, event in self.events if isinstance(event, WakeHeard)]

    def status(self) -> dict[str, object]:
        return self.stage.status() if self.stage else {}
