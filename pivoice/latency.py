"""How long things took, worked out from the observations the rooms report.

PURE. Times are seconds on the event loop's clock, which is CLOCK_MONOTONIC; results are ms.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

_KEPT = 200  # latest measurements of each kind: days of talk, and bounded


@dataclass(frozen=True)
class _Span:
    """From the last observation that looks like `start` to the first `end` after it."""

    name: str
    start: Mapping[str, object]
    end: Mapping[str, object]


_SPANS = (
    _Span("wake_to_ready", {"event": "wake"}, {"event": "session", "state": "ready"}),
    _Span("wake_to_ready", {"event": "wake"}, {"event": "session", "state": "resumed"}),
    _Span(
        "speech_stopped_to_sound",
        {"event": "speech", "state": "stopped"},
        {"event": "playback", "what": "first_audible"},
    ),
    _Span(
        "first_chunk_to_sound",
        {"event": "reply", "state": "first_audio"},
        {"event": "playback", "what": "first_sample"},
    ),
    _Span("interruption_to_silence", {"event": "interrupted"}, {"event": "playback", "what": "silence"}),
)


class Latencies:
    """Measures every span of the table above, over and over."""

    def __init__(self) -> None:
        self._open: dict[str, float] = {}
        self._is_ready = False
        self._measured: dict[str, deque[float]] = {}

    def observe(self, line: Mapping[str, object]) -> list[dict[str, object]]:
        """Take one observation; return the latencies that it completes: {"name", "ms"}."""
        if line.get("ignored"):
            return []
        done: list[dict[str, object]] = []
        time_s = line["time_s"]
        assert isinstance(time_s, float | int), f"an observation without a time: {line}"
        for span in _SPANS:
            if span.end.items() <= line.items() and span.name in self._open:
                ms = round(1000 * (time_s - self._open.pop(span.name)), 1)
                self._measured.setdefault(span.name, deque(maxlen=_KEPT)).append(ms)
                done.append({"name": span.name, "ms": ms})
        self._follow(line)
        for span in _SPANS:
            if span.start.items() <= line.items() and not (line["event"] == "wake" and self._is_ready):
                self._open[span.name] = time_s
        return done

    def _follow(self, line: Mapping[str, object]) -> None:
        """Keep in mind whether there is a conversation: nothing is measured from one to the next."""
        if line["event"] == "session":
            self._is_ready = line["state"] in ("ready", "resumed")
        elif line["event"] == "state" and line["state"] == "idle":
            self._is_ready = False
            self._open.clear()

    def summary(self) -> dict[str, dict[str, float]]:
        """Return, for each kind measured, how many there were, their median and their worst."""
        return {
            name: {"count": len(all_ms), "median": median(all_ms), "worst": max(all_ms)}
            for name, all_ms in self._measured.items()
        }
