"""What listens for the wake word, and whose voice it was in. Capture thread.

Never decides what a wake word means: it posts the event.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from pivoice.audio.buffers import EAR_HZ, SpokenRing
from pivoice.audio.gate import HalfDuplexGate
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
    models: tuple[str, ...]

    def score(self, block: Samples) -> dict[str, float]: ...
    def reset(self) -> None: ...


class Policy(Protocol):
    """What makes a decision of scores: the wake room's."""

    def decide(self, scores: Mapping[str, float], now_s: float) -> tuple[str, float] | None: ...


class WakeEar:
    """The wake word on 16 kHz sound: blocks, scores, decisions. Capture thread."""

    def __init__(
        self,
        detector: Detector | None,
        policy: Policy,
        own_voice: OwnVoice,
        *,
        clock: Clock,
        post: Post,
        report: Report,
    ) -> None:
        self.models = detector.models if detector else ()
        self.watching = False
        self.ignored = 0
        """Hits that were our own voice."""
        self._detector = detector
        self._own_voice = own_voice
        self._clock = clock
        self._post = post
        self._report = report
        self._policy = policy
        self._rest = np.zeros(0, np.int16)

    def reset(self) -> None:
        """There was a gap in the sound."""
        self._rest = np.zeros(0, np.int16)
        if self._detector:
            self._detector.reset()

    def hear(self, near: Samples, *, position: int, end_s: float) -> None:
        """Take sound that ends at `position`, and at `end_s` on the clock."""
        if self._detector is None:
            return
        sound = np.concatenate([self._rest, near])
        size = self._detector.block_frames
        used = len(sound) - len(sound) % size
        self._rest = sound[used:]
        for start in range(0, used, size):
            block_end = position - (len(sound) - start - size)
            self._judge(self._detector.score(sound[start : start + size]), block_end, end_s=end_s)

    def _judge(self, scores: dict[str, float], position: int, *, end_s: float) -> None:
        if self.watching:
            for model, score in scores.items():
                if score > SCORE_REPORTED:
                    self._report("score", {"model": model, "score": round(score, 3), "position": position})
        hit = self._policy.decide(scores, position / EAR_HZ)
        if hit is None:
            return
        model, score = hit
        facts: dict[str, object] = {"model": model, "score": round(score, 3), "position": position}
        facts["time_s"] = self._clock.monotonic()
        if self._own_voice.says(model, end_s):
            self.ignored += 1
            logger.info("wake word %r heard in the agent's own voice: ignored", model)
            self._report("wake", facts | {"ignored": True})
        else:
            self._report("wake", facts)
            self._post(WakeHeard(model, score, position))


class OwnVoice:
    """Tells the agent saying the wake word from the user saying it over the agent. Capture thread.

    The check takes 0.1 s of computing (x86-64; perhaps 0.8 s on a Zero 2 W, not measured) for the last 2 s;
    the card's buffer keeps what is heard meanwhile.
    """

    def __init__(
        self, detector: Detector | None, spoken: SpokenRing, gate: HalfDuplexGate | None, threshold: float
    ) -> None:
        self._detector = detector
        self._spoken = spoken
        self._gate = gate
        self._threshold = threshold

    def says(self, model: str, heard_s: float) -> bool:
        """Return whether what the speaker played lately scores for `model` by itself."""
        if self._detector is None or self._gate is None or not self._gate.was_audible(heard_s - IN_AIR_S):
            return False
        sound, rate_hz = self._spoken.last()
        sound = sound[-round(WORD_S * rate_hz) :]
        size = self._detector.block_frames
        silence = np.zeros(AFTERGLOW_BLOCKS * size, np.int16)
        sound = np.concatenate([resampled(sound, rate_hz, EAR_HZ), silence])
        self._detector.reset()
        for start in range(len(sound) % size, len(sound), size):
            if self._detector.score(sound[start : start + size]).get(model, 0.0) >= self._threshold:
                return True
        return False
