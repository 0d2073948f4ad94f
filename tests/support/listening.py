"""A recording through the daemon's ears: what it would have heard of it, in simulated time.

    heard = listen(tmp_path, sound)                 # 16 kHz; rate_hz=48_000 for another card
    heard.wakes["hey_jarvis"]                       # when it fired, in seconds
    heard.scores                                    # of every block that was scored, by when it ended

The product's own capture thread, gate, ring and policy on a simulated card, the speaker at rest: everything
between the microphone and the decision, as `pivoice run` has it at default settings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pivoice.audio import simulated
from pivoice.audio.buffers import EAR_HZ, SpokenRing, Uplink
from pivoice.audio.capture import Ears, HalfDuplexGate
from pivoice.audio.reference import Reference
from pivoice.audio.stage import open_stage
from pivoice.audio.wake_ear import Listening
from pivoice.config import AudioConfig, WakeConfig
from pivoice.simulation import JumpLoop, run_jumping
from pivoice.turn.events import CaptureLost, Event
from pivoice.wake.detector import open_detector
from pivoice.wake.gate import EnergyGate
from pivoice.wake.policy import policy_of
from tests.audio.fakes import write_wav

Samples = NDArray[np.int16]

BLOCK_S = 0.08


@dataclass
class Heard:
    """What became of a recording."""

    seconds: float
    scores: dict[float, dict[str, float]] = field(default_factory=dict)
    """Of each block that was scored, by when it ended."""
    wakes: dict[str, list[float]] = field(default_factory=dict)
    """When each model fired."""

    @property
    def open_percent(self) -> float:
        """How much of it was scored."""
        return 100 * len(self.scores) * BLOCK_S / self.seconds

    def has(self, model: str, start_s: float, end_s: float) -> bool:
        """Return whether `model` fired in between."""
        return any(start_s < at_s < end_s for at_s in self.wakes[model])


class _Witness:
    """Satisfies `wake_ear.Policy`: writes everything down. Each model decides by itself, as if alone."""

    def __init__(self, models: Sequence[str], heard: Heard) -> None:
        self._policies = {model: policy_of(WakeConfig(models=[model])) for model in models}
        self._heard = heard
        heard.wakes |= {model: [] for model in models}

    def twin(self) -> _Witness:
        return self

    def decide(self, scores: Mapping[str, float], now_s: float) -> None:
        self._heard.scores[now_s] = dict(scores)
        for model, score in scores.items():
            if self._policies[model].decide({model: score}, now_s):
                self._heard.wakes[model].append(now_s)

    def threshold_of(self, model: str) -> float:
        return self._policies[model].threshold_of(model)


def listen(
    folder: Path,
    sound: Samples,
    *,
    rate_hz: int = EAR_HZ,
    models: Sequence[str] = ("hey_jarvis",),
    gated: bool = True,
) -> Heard:
    """Return what the ears make of `sound`; `gated` False: of a daemon whose engine hears everything."""
    detector = open_detector(WakeConfig(models=list(models)))
    assert detector is not None, "there is an engine by default"
    heard = Heard(len(sound) / rate_hz)
    listening = Listening(
        detector=detector,
        policy=_Witness(detector.models, heard),
        open_gate=EnergyGate if gated else None,
    )
    name = f"simulated:{write_wav(folder / 'microphone.wav', sound, rate_hz)}"
    try:
        run_jumping(lambda loop: _live(loop, name, listening, heard.seconds))
    finally:
        simulated.forget(name)
    return heard


async def _live(loop: JumpLoop, name: str, listening: Listening, seconds: float) -> None:
    lost: list[Event] = []

    def post(event: Event) -> None:
        if isinstance(event, CaptureLost):
            lost.append(event)

    gate = HalfDuplexGate()
    ears = Ears(
        audio=AudioConfig(capture=name),
        preroll_ms=WakeConfig().preroll_ms,
        listening=listening,
        clock=loop.clock,
        post=post,
        report=lambda kind, facts: None,
        uplink=Uplink(capacity_s=1),
        spoken=SpokenRing(),
        gate=gate,
        echo=open_stage("webrtc", Reference(), gate),
    )
    ears.start()
    await asyncio.sleep(seconds)
    ears.stop()
    await asyncio.sleep(2 * BLOCK_S)
    assert not lost, lost
