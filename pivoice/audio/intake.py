"""From the card to the ring: what the microphone heard, at 16 kHz, made once it is needed. Capture thread.

Owns the ring, the resampler and the echo stage in front of it. While nobody listens (no conversation, the
speaker at rest, the wake word's gate closed) periods are laid by as the card gave them: resampling costs
several times what the gate does. Needed after all, they come through the same resampler and the same stage,
and the ring holds what it would have held, at the same positions, to the sample.
"""

from __future__ import annotations

import math

from pivoice.audio.buffers import EAR_HZ, Ring
from pivoice.audio.pcm import Samples
from pivoice.audio.resample import Resampler
from pivoice.audio.stage import EchoStage, Heard

RING_S = 5.0  # the longest pre-roll (2 s) and a loop that was slow to answer the wake word
_STALE = EAR_HZ // 50  # after a leap so many samples still hold something of before: resampler and stage


class HeardRing:
    """The last 5 s at 16 kHz, by position, for everybody: gate, pre-roll, near misses. One thread.

    Positions count all samples that ever went by: they go on over gaps. What goes up to the agent and what
    the wake word hears are the same sound, but while a canceller runs.
    """

    def __init__(self, *, has_canceller: bool) -> None:
        self._uplink = Ring(round(RING_S * EAR_HZ))
        self._ear = Ring(round(RING_S * EAR_HZ)) if has_canceller else self._uplink
        self._tracks = [self._uplink, self._ear] if has_canceller else [self._uplink]

    @property
    def start(self) -> int:
        """Position of the oldest sample that is still there."""
        return self._uplink.start

    @property
    def end(self) -> int:
        """Position of the next sample."""
        return self._uplink.end

    def append(self, heard: Heard) -> None:
        self._uplink.append(heard.uplink)
        if self._ear is not self._uplink:
            self._ear.append(heard.ear)

    def since(self, position: int) -> Samples:
        """Return a copy of the uplink from `position` (or from the oldest there is) to the end."""
        return self._uplink.since(position)

    def ear(self, start: int, stop: int) -> Samples:
        """Return a copy of what the wake word hears, `start` to `stop`, or what there is of it."""
        return self._ear.since(start)[: max(0, stop - max(start, self.start))]

    def leap(self, frames: int) -> None:
        """So many samples went by unheard; what was before them is forgotten."""
        for track in self._tracks:
            track.leap(frames)


class Intake:
    """The ring, and what is not in it yet."""

    def __init__(self, echo: EchoStage | None) -> None:
        self.ring = HeardRing(has_canceller=echo is not None)
        self._echo = echo
        self.open(EAR_HZ)

    def open(self, rate_hz: int) -> None:
        """The microphone was opened, at `rate_hz`."""
        self._rate_hz = rate_hz
        self._to_ear = Resampler(rate_hz, EAR_HZ)
        self._laid_by = Ring(round(RING_S * rate_hz))
        self._behind = 0
        # What may be left out without the resampler or the stage (10 ms steps) getting out of step.
        self._leap = rate_hz // math.gcd(rate_hz, 100)

    @property
    def is_behind(self) -> bool:
        """Something is laid by."""
        return self._behind > 0

    @property
    def position(self) -> int:
        """16 kHz samples that went by so far, those laid by included."""
        return self.ring.end + self._behind * EAR_HZ // self._rate_hz

    def lay_by(self, sound: Samples) -> None:
        """Keep the next sound, at the card's rate, until somebody needs it."""
        self._laid_by.append(sound)
        self._behind += len(sound)

    def catch_up(self, within_s: float = RING_S) -> None:
        """Bring what was laid by into the ring: the last `within_s` (up to `RING_S`), or all there is."""
        lost = max(0, self._behind - math.ceil(within_s * self._rate_hz))
        lost = -(-lost // self._leap) * self._leap
        sound = self._laid_by.since(self._laid_by.end - self._behind + lost)
        self._behind = 0
        near = self._to_ear.process(sound)
        heard = self._echo.pass_by(near) if self._echo else near
        if lost:
            self.ring.leap(lost * EAR_HZ // self._rate_hz + len(heard[:_STALE]))
            heard = heard[_STALE:]
        self.ring.append(Heard(heard, heard))

    def take(self, sound: Samples, *, start_s: float) -> Heard:
        """Bring the next sound, whose first sample was captured at `start_s`, into the ring; return it."""
        assert not self._behind, "what was laid by comes first"
        near = self._to_ear.process(sound)
        heard = self._echo.process(near, start_s=start_s) if self._echo else Heard(near, near)
        self.ring.append(heard)
        return heard

    def discontinuity(self) -> None:
        """The microphone lost samples."""
        if self._echo:
            self._echo.discontinuity()

    def clear(self) -> None:
        """The microphone was closed: forget what was heard, laid by or not; the position goes on."""
        self.ring.leap(self.position - self.ring.end)
        self._behind = 0
