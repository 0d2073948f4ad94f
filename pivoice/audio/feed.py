"""The way up: what the capture thread sends of what it hears, by the valve.

Capture thread only. Reads the ring, writes the Uplink; decides nothing, and never waits.
"""

from __future__ import annotations

import logging

import numpy as np

from pivoice.audio.buffers import EAR_HZ, WIRE_HZ, Uplink
from pivoice.audio.gate import HalfDuplexGate
from pivoice.audio.intake import HeardRing
from pivoice.audio.pcm import Samples
from pivoice.audio.resample import Resampler
from pivoice.audio.undertones import Undertones, faded_between
from pivoice.turn.events import Valve

logger = logging.getLogger(__name__)


class UplinkFeed:
    """Carries 16 kHz from the ring to the Uplink at 24 kHz, each sample at most once."""

    def __init__(
        self, ring: HeardRing, uplink: Uplink, *, gate: HalfDuplexGate | None, preroll_ms: int
    ) -> None:
        self.valve = Valve.CLOSED
        self.end_s = 0.0
        """When the last sample in the ring was captured."""
        self._ring = ring
        self._uplink = uplink
        self._gate = gate
        self._undertones = Undertones(gate) if gate else None
        self._was_live = True
        self._preroll = preroll_ms * EAR_HZ // 1000
        self._stream = Resampler(EAR_HZ, WIRE_HZ)
        self._sent = 0
        """Position up to which the true sound went up; zeros in its place do not count."""
        self._dropped = 0
        self._unfed_s = 0.0

    def set_valve(self, valve: Valve) -> None:
        """Change what happens to periods from now on."""
        if valve is Valve.CLOSED:
            self._uplink.clear()
        elif self.valve is Valve.CLOSED:
            self._begin()
        self.valve = valve

    def open(self, position: int | None, *, preroll: bool) -> None:
        """Send everything from `position` on (minus the pre-roll), and go on live.

        What went up already does not go up again; what was replaced by zeros does.
        """
        if self.valve is Valve.CLOSED:
            self._begin()
        self.valve = Valve.LIVE
        start = self._ring.end if position is None else position
        start = max(start - self._preroll if preroll else start, self._sent)
        if self._gate:
            # The user has the floor from there on. The capture thread may be late (it was checking whose
            # voice that was): periods from before the reply was dropped are still to come, and are theirs.
            self._gate.cut(self.end_s - max(0, self._ring.end - start) / EAR_HZ)
        if start < self._ring.end:
            self._put(self._ring.since(start))
            self._sent = self._ring.end

    def feed(self, near: Samples, *, start_s: float, end_s: float) -> None:
        """Send the period that was just appended to the ring, captured from `start_s` to `end_s`."""
        self.end_s = end_s
        if self.valve is Valve.CLOSED:
            return
        # An earcon by itself is nobody's turn; whoever speaks under it is heard from that period on.
        is_live = not self._undertones or self._undertones.hears_voice(near, start_s)
        was_live, self._was_live = self._was_live, is_live
        silence = np.zeros(len(near), np.int16)
        if self.valve is Valve.SILENT or (self._gate and self._gate.is_closed(start_s, end_s)):
            self._put(silence)
        elif is_live:
            self._put(near if was_live else faded_between(silence, near))
            self._sent = self._ring.end
        else:
            self._put(faded_between(near, silence) if was_live else silence)

    def feed_silence(self, seconds: float) -> None:
        """There was no microphone for `seconds`: the server keeps its sense of time."""
        if self.valve is not Valve.CLOSED:
            self._unfed_s += seconds
            frames = int(self._unfed_s * EAR_HZ)
            self._unfed_s -= frames / EAR_HZ
            self._put(np.zeros(frames, np.int16))

    def abandon(self) -> None:
        """Send nothing any more, to nobody. Any thread, for ours is stuck."""
        self._uplink = Uplink(capacity_s=0.1)

    def _begin(self) -> None:
        self._uplink.clear()
        self._stream.reset()
        self._sent = 0
        self._unfed_s = 0.0
        self._dropped = self._uplink.dropped_frames

    def _put(self, samples: Samples) -> None:
        has_lost = self._uplink.dropped_frames > self._dropped
        self._uplink.put(self._stream.process(samples))
        if not has_lost and self._uplink.dropped_frames > self._dropped:
            logger.warning(
                "uplink: nobody takes the sound; what is older than %.1f s is lost", self._uplink.queued_s
            )
