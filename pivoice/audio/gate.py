"""Half duplex: when the agent was audible in the room, by the playback cursor.

Told by the playback thread (what sounds when), and by the event loop (the user took the floor); asked
by the capture thread about the time a period was captured. PURE but for its lock.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

TAIL_S = 0.3  # a living room's echo falls by 55 dB in 0.08-0.36 s (RT60 0.2-0.6 s, measured 2026-07)
TONE_TAIL_S = 0.4  # its echo, and AEC3 holds a voice down for 0.2-0.3 s after it (measured 2026-11)
_KEPT_S = 10.0  # longer than any period can lie in the card unread


@dataclass
class _Stretch:
    """One time in which the agent was audible."""

    start_s: float
    end_s: float
    tail_s: float

    @property
    def clear_s(self) -> float:
        return self.end_s + self.tail_s


class HalfDuplexGate:
    """Closed while the agent is audible and `tail_s` after its last audible sample. Any thread."""

    def __init__(self, *, tail_s: float = TAIL_S) -> None:
        self.tail_s = tail_s
        self._lock = threading.Lock()
        self._stretches: deque[_Stretch] = deque()
        self._chimed_s = 0.0
        self._tone = _Stretch(0.0, 0.0, 0.0)

    def heard_until(self, end_s: float, *, since_s: float) -> None:
        """The agent is audible from `since_s` to `end_s`, usually a period of the near future."""
        with self._lock:
            while self._stretches and self._stretches[0].clear_s < since_s - _KEPT_S:
                self._stretches.popleft()
            latest = self._stretches[-1] if self._stretches else None
            if latest and latest.tail_s and since_s <= latest.clear_s:
                latest.end_s = max(latest.end_s, end_s)
            else:
                self._stretches.append(_Stretch(since_s, end_s, self.tail_s))

    def chimed(self, end_s: float, *, since_s: float, is_tonal: bool) -> None:
        """An earcon sounds from `since_s` to `end_s`. That closes nothing: the user may speak under it.

        `is_tonal`: nobody takes it for a voice.
        """
        self._chimed_s = end_s
        if is_tonal:
            tone = self._tone  # replaced, never changed: others may be reading it
            begins_s = tone.start_s if since_s <= tone.clear_s else since_s
            self._tone = _Stretch(begins_s, end_s, TONE_TAIL_S)

    def cut(self, time_s: float) -> None:
        """The user took the floor at `time_s`: open from then on, without a tail."""
        with self._lock:
            for stretch in self._stretches:
                if stretch.clear_s > time_s:
                    stretch.end_s = min(stretch.end_s, time_s)
                    stretch.tail_s = max(0.0, min(stretch.tail_s, time_s - stretch.end_s))

    def is_closed(self, start_s: float, end_s: float) -> bool:
        """Return whether anything captured from `start_s` to `end_s` may hold the agent's voice."""
        with self._lock:
            return any(each.start_s < end_s and start_s < each.clear_s for each in self._stretches)

    def was_audible(self, since_s: float) -> bool:
        """Return whether the agent was audible at any time since `since_s`."""
        with self._lock:
            return any(each.end_s > since_s for each in self._stretches)

    def is_toned(self, start_s: float, end_s: float) -> bool:
        """Return whether a tonal earcon, or what a canceller makes of it, is in what was captured then."""
        return self._tone.start_s < end_s and start_s < self._tone.clear_s

    def was_heard(self, since_s: float) -> bool:
        """Return whether anything of ours, an earcon included, sounded at any time since `since_s`."""
        return self._chimed_s > since_s or self.was_audible(since_s)
