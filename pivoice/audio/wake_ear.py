"""What listens for the wake word, and whose voice it was in. Capture thread.

Feeds the detector from the ring while its gate is open, and what it missed when the gate opens: its scores
are those of a detector that heard all. Never decides what a wake word means: it posts the event.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from pivoice.audio.buffers import EAR_HZ, Pieces, SpokenRing
from pivoice.audio.gate import HalfDuplexGate
from pivoice.audio.intake import HeardRing
from pivoice.audio.pcm import Samples
from pivoice.audio.resample import resampled
from pivoice.clock import Clock
from pivoice.turn.events import Event, WakeHeard

logger = logging.getLogger(__name__)

Post = Callable[[Event], None]
Report = Callable[[str, dict[str, object]], None]

WORD_S = 2.0  # a wake word, and how long ago it may have left the speaker
IN_AIR_S = 1.0  # a reply audible this recently may be what the wake word was heard in
AFTERGLOW_BLOCKS = 4  # of silence after our own words: the detector peaks some blocks after the word
SCORE_REPORTED = 0.05


class Detector(Protocol):
    """What hears the wake word: the wake room's, as far as this room needs to know it."""

    block_frames: int
    memory_blocks: int | None
    models: tuple[str, ...]

    def score(self, block: Samples) -> dict[str, float]: ...
    def replay(self, sound: Samples) -> None: ...
    def reset(self) -> None: ...
    def twin(self) -> Detector: ...


class Policy(Protocol):
    """What makes a decision of scores: the wake room's."""

    def decide(self, scores: Mapping[str, float], now_s: float) -> tuple[str, float] | None: ...
    def twin(self) -> Policy: ...
    def threshold_of(self, model: str) -> float: ...


class Gate(Protocol):
    """What knows a quiet room: the wake room's. Blocks at the microphone's own rate."""

    block_frames: int
    is_open: bool

    def hear(self, block: Samples) -> bool: ...


class NearMisses(Protocol):
    """What says which sound is worth keeping, by position: the wake room's."""

    def hear(self, scores: Mapping[str, float], position: int, *, decided: bool) -> Any: ...
    def close(self, position: int) -> Any: ...
    def forget(self) -> None: ...
    def twin(self) -> NearMisses: ...


@dataclass(frozen=True)
class Listening:
    """What the wake room brings along."""

    detector: Detector | None = None
    """None: the button alone."""
    far_detector: Detector | None = None
    """Hears our own voice, when somebody has to know whose it was."""
    policy: Policy | None = None
    open_gate: Callable[[int], Gate] | None = None
    """Makes the gate for a microphone's rate; None: the detector hears all."""
    near_misses: NearMisses | None = None
    keep: Callable[[Any, Samples], None] | None = None
    """Takes what `near_misses` found, and its sound. Returns at once."""

    def renewed(self) -> Listening:
        """Return the same, having heard nothing; the detectors are others, should these be stuck.

        So is what remembers positions: those of another ear begin anew.
        """
        near, far, policy, misses = self.detector, self.far_detector, self.policy, self.near_misses
        return replace(
            self,
            detector=near and near.twin(),
            far_detector=far and far.twin(),
            policy=policy and policy.twin(),
            near_misses=misses and misses.twin(),
        )


class WakeEar:
    """The wake word on the ring: blocks, scores, decisions. Capture thread."""

    def __init__(
        self,
        listening: Listening,
        ring: HeardRing,
        own_voice: OwnVoice,
        *,
        clock: Clock,
        post: Post,
        report: Report,
    ) -> None:
        self._detector = listening.detector
        self.models = self._detector.models if self._detector else ()
        self.watching = False
        self.ignored = 0
        """Hits that were our own voice."""
        self.scored = 0
        """Blocks that the detector was asked about."""
        self.openings = 0
        """How often something was heard in a quiet room."""
        self.near_misses = 0
        """How many were given away to be kept."""
        self._policy = listening.policy
        self._open_gate = listening.open_gate
        self._near = listening.near_misses
        self._keep = listening.keep
        self._ring = ring
        self._own_voice = own_voice
        self._clock = clock
        self._post = post
        self._report = report
        self._gate: Gate | None = None
        self._unsensed = Pieces()
        self._rate_hz = EAR_HZ
        self._next = 0  # where the next block begins
        self._heard = 0  # up to where the detector has heard

    @property
    def thresholds(self) -> dict[str, float]:
        """What score makes a wake word of which model."""
        return {name: self._policy.threshold_of(name) for name in self.models} if self._policy else {}

    @property
    def is_quiet(self) -> bool:
        """Nothing that the detector should hear goes on."""
        return self._detector is None or (self._gate is not None and not self._gate.is_open)

    @property
    def blind_s(self) -> float:
        """How much more sound, in seconds, must come before it is known whether it still `is_quiet`."""
        return (self._gate.block_frames - self._unsensed.frames) / self._rate_hz if self._gate else math.inf

    def open(self, rate_hz: int) -> None:
        """The microphone was opened, at `rate_hz`: there was a gap in the sound."""
        self._rate_hz = rate_hz
        self._next = self._heard = self._ring.end
        self._unsensed = Pieces()
        if self._near:
            self._near.forget()
        if self._detector:
            self._detector.reset()
            is_gated = self._open_gate is not None and self._detector.memory_blocks is not None
            self._gate = self._open_gate(rate_hz) if self._open_gate and is_gated else None

    def sense(self, sound: Samples) -> None:
        """Take the next sound as the card gave it, whether or not it goes to the ring now."""
        if self._gate:
            self._unsensed.append(sound)
            while self._unsensed.frames >= self._gate.block_frames:
                was_open = self._gate.is_open
                is_open = self._gate.hear(self._unsensed.take(self._gate.block_frames))
                self.openings += is_open and not was_open
                if was_open and not is_open and self._near:
                    self._keep_near_miss(self._near.close(self._ring.end))

    def skip(self) -> None:
        """What is in the ring by now was quiet: nothing of it needs to be scored."""
        if self._detector:
            self._next += max(0, self._ring.end - self._next) // self._block_frames * self._block_frames

    def listen(self, *, end_s: float) -> None:
        """Score what is new in the ring, which ends at `end_s` on the clock, unless it is quiet."""
        detector = self._detector
        if detector is None:
            return
        if self.is_quiet:
            self.skip()
            return
        size = detector.block_frames
        while self._next + size <= self._ring.end:
            start, self._next = self._next, self._next + size
            if self._heard < start:
                self._bridge(detector, start)
            self.scored += 1
            self._judge(detector.score(self._ring.ear(start, self._next)), self._next, end_s=end_s)
            self._heard = self._next

    def abandon(self) -> None:
        """Decide nothing any more. Any thread, for ours is stuck."""
        self._post = lambda event: None
        self._report = lambda kind, facts: None
        self._keep = None

    def _bridge(self, detector: Detector, start: int) -> None:
        """Have the detector hear what it missed up to `start`, as far back as it can remember."""
        size = detector.block_frames
        since = max(self._heard, start - (detector.memory_blocks or 0) * size)
        if since < self._ring.start:  # sound is missing: as good as a microphone just opened
            detector.reset()
            since = start - (start - self._ring.start) // size * size
        detector.replay(self._ring.ear(since, start))
        self._heard = start

    @property
    def _block_frames(self) -> int:
        assert self._detector
        return self._detector.block_frames

    def _judge(self, scores: dict[str, float], position: int, *, end_s: float) -> None:
        if self.watching:
            for model, score in scores.items():
                if score > SCORE_REPORTED:
                    self._report("score", {"model": model, "score": round(score, 3), "position": position})
        assert self._policy
        hit = self._policy.decide(scores, position / EAR_HZ)
        self._look_for_near_misses(scores, position, end_s=end_s, decided=hit is not None)
        if hit is None:
            return
        model, score = hit
        facts: dict[str, object] = {"model": model, "score": round(score, 3), "position": position}
        facts["time_s"] = self._clock.monotonic()
        if self._own_voice.says(model, self._policy.threshold_of(model), end_s):
            self.ignored += 1
            logger.info("wake word %r heard in the agent's own voice: ignored", model)
            self._report("wake", facts | {"ignored": True})
        else:
            self._report("wake", facts)
            self._post(WakeHeard(model, score, position))

    def _look_for_near_misses(
        self, scores: dict[str, float], position: int, *, end_s: float, decided: bool
    ) -> None:
        if not self._near or not self._keep:
            return
        if self._own_voice.was_heard(end_s):
            self._near.forget()  # what nearly woke is our own
            return
        self._keep_near_miss(self._near.hear(scores, position, decided=decided))

    def _keep_near_miss(self, clip: Any) -> None:
        if clip and self._keep:
            self.near_misses += 1
            self._keep(clip, self._ring.ear(clip.start, clip.stop))


class OwnVoice:
    """Tells the agent saying the wake word from the user saying it over the agent. Capture thread.

    The check computes for some 15 ms here, for the last 2 s; the card's buffer keeps what is heard meanwhile.
    """

    def __init__(self, detector: Detector | None, spoken: SpokenRing, gate: HalfDuplexGate | None) -> None:
        self._detector = detector
        self._spoken = spoken
        self._gate = gate

    def was_heard(self, heard_s: float) -> bool:
        """Return whether what was heard at `heard_s` may be our own voice, as far as that is known."""
        return self._gate is not None and self._gate.was_audible(heard_s - IN_AIR_S)

    def says(self, model: str, threshold: float, heard_s: float) -> bool:
        """Return whether what the speaker played lately scores for `model` by itself."""
        if self._detector is None or self._gate is None or not self._gate.was_heard(heard_s - IN_AIR_S):
            return False
        sound, rate_hz = self._spoken.last()
        sound = sound[-round(WORD_S * rate_hz) :]
        size = self._detector.block_frames
        silence = np.zeros(AFTERGLOW_BLOCKS * size, np.int16)
        sound = np.concatenate([resampled(sound, rate_hz, EAR_HZ), silence])
        self._detector.reset()
        for start in range(len(sound) % size, len(sound), size):
            if self._detector.score(sound[start : start + size]).get(model, 0.0) >= threshold:
                return True
        return False
