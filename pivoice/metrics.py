"""Counters and histograms since the process started, and what is so now: the makings of `ctl metrics`.

PURE. Event loop only. Counts what the observations tell, and adds what the daemon's parts have counted
themselves. No label ever holds what anybody said, or what a server sent: each has a handful of values.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pivoice.turn_log import OUTCOMES

Line = Mapping[str, Any]
Labels = tuple[str, ...]
Buckets = list[tuple[str, float]]
"""Upper bound, and how many values were not above it."""

WIRE_HZ = 24_000
_STATES = ("idle", "listening", "thinking", "speaking", "yielding")
_LINKS = ("down", "connecting", "up")
_FAULTS = ("no_microphone", "no_speaker", "no_network", "bad_key", "refused", "cap")
_PARTS = ("capture", "playback", "loop")
_SECONDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
_FLUSH = (0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5)
_SCORES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_HISTOGRAMS = {
    "speech_stopped_to_sound": "pivoice_time_to_first_audio_seconds",
    "wake_to_ready": "pivoice_connect_seconds",
    "interruption_to_silence": "pivoice_flush_seconds",
    "first_chunk_to_sound": "pivoice_playback_start_seconds",
}


@dataclass(frozen=True)
class Readings:
    """What the daemon's parts know themselves."""

    counters: Mapping[str, Any] = field(default_factory=dict)
    """Counted since that daemon began; numbers, or mappings of them."""
    now: Mapping[str, Any] = field(default_factory=dict)
    """As `status` has it."""


@dataclass(frozen=True)
class Family:
    """One metric with all its samples; of a histogram, with its buckets and the sum of all values."""

    name: str
    kind: str
    help: str
    labels: Labels = ()
    samples: tuple[tuple[Labels, float], ...] = ()
    histograms: tuple[tuple[Labels, Buckets, float], ...] = ()


class Histogram:
    """How often a value was at most each of `bounds`."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect.bisect_left(self.bounds, value)] += 1
        self.sum += value

    def buckets(self) -> Buckets:
        names = [*(str(float(bound)) for bound in self.bounds), "+Inf"]
        return [(name, float(sum(self.counts[: place + 1]))) for place, name in enumerate(names)]


_BOUNDS: dict[str, tuple[Sequence[float], str]] = {
    "pivoice_time_to_first_audio_seconds": (_SECONDS, "From the end of the user's speech to audible reply."),
    "pivoice_connect_seconds": (_SECONDS, "From the wake word to a session that takes audio."),
    "pivoice_flush_seconds": (_FLUSH, "From the server's word that a reply was interrupted to silence."),
    "pivoice_playback_start_seconds": (_SECONDS, "From the first chunk of a reply to its first sample."),
}
_WAKE_SCORE = "pivoice_wake_score"

_COUNTED: dict[str, tuple[str, Labels]] = {
    "pivoice_wakes_total": ("Wake words that were acted upon.", ("model",)),
    "pivoice_false_wakes_total": ("Wake words after which nobody said a word.", ()),
    "pivoice_conversations_total": ("Conversations, by what began them.", ("by",)),
    "pivoice_conversation_seconds_total": ("Seconds in conversation.", ()),
    "pivoice_turns_total": ("Turns of the user, by how they ended.", ("outcome",)),
    "pivoice_interruptions_total": ("Replies that the server cut because the user spoke.", ()),
    "pivoice_reply_underruns_total": ("Times that a reply ran dry in mid-sentence.", ()),
    "pivoice_connects_total": ("Connections on which a session was ready.", ()),
    "pivoice_reconnects_total": ("Of these, those after a link that broke.", ()),
    "pivoice_connect_failures_total": ("Attempts to connect that failed.", ()),
    "pivoice_link_drops_total": ("Links that broke in a session.", ()),
    "pivoice_sessions_total": ("Sessions begun.", ()),
    "pivoice_sessions_lost_total": ("Sessions that were over against our will.", ()),
    "pivoice_resumes_total": ("Resumes, by the server's answer.", ("answer",)),
    "pivoice_session_open_seconds_total": ("Seconds in which a session took audio.", ()),
    "pivoice_agent_errors_total": ("Errors that the agent's server told.", ()),
    "pivoice_faults_total": ("Faults, by what somebody must mend.", ("fault",)),
    "pivoice_restarts_total": ("Restarts of a part that was stuck.", ("part",)),
}
_ALWAYS: dict[str, tuple[Labels, ...]] = {
    "pivoice_turns_total": tuple((each,) for each in OUTCOMES),
    "pivoice_faults_total": tuple((each,) for each in _FAULTS),
    "pivoice_restarts_total": tuple((each,) for each in _PARTS),
    "pivoice_resumes_total": (("accepted",), ("refused",)),
    "pivoice_wakes_total": (),
    "pivoice_conversations_total": (),
}
"""What stands there at 0 from the start, so that a rate can be told from the first."""

_READ: tuple[tuple[str, str, Labels, tuple[tuple[tuple[str, ...], Labels, float], ...]], ...] = (
    (
        "pivoice_xruns_total",
        "Over- and underruns of the sound cards.",
        ("side",),
        ((("capture_xruns",), ("capture",), 1.0), (("playback_xruns",), ("playback",), 1.0)),
    ),
    (
        "pivoice_wake_blocks_scored_total",
        "Blocks of sound that the wake word's detector was asked about.",
        (),
        ((("wake", "blocks_scored"), (), 1.0),),
    ),
    (
        "pivoice_wake_gate_openings_total",
        "Times that something was heard in a quiet room.",
        (),
        ((("wake", "gate_openings"), (), 1.0),),
    ),
    (
        "pivoice_wake_near_misses_total",
        "Sounds that were nearly taken for the wake word.",
        (),
        ((("wake", "near_misses"), (), 1.0),),
    ),
    (
        "pivoice_wakes_in_own_voice_total",
        "Wake words that the agent said, ignored.",
        (),
        ((("wake", "in_own_voice"), (), 1.0),),
    ),
    (
        "pivoice_uplink_dropped_seconds_total",
        "Seconds of the user's sound lost because the event loop stood still.",
        (),
        ((("uplink_dropped_frames",), (), 1 / WIRE_HZ),),
    ),
    (
        "pivoice_dead_reply_seconds_total",
        "Seconds of sound that came for replies that were over.",
        (),
        ((("dead_reply_s",), (), 1.0),),
    ),
    (
        "pivoice_ducks_total",
        "Times that a reply was ducked, by who heard the user: the device or the server.",
        ("heard_by",),
        ((("ducks", "on_suspicion"), ("device",), 1.0), (("ducks", "on_word"), ("server",), 1.0)),
    ),
    (
        "pivoice_ducks_confirmed_total",
        "Of those by the device, the ones that the server confirmed.",
        (),
        ((("ducks", "confirmed"), (), 1.0),),
    ),
    (
        "pivoice_duck_ends_total",
        "What became of ducked replies.",
        ("end",),
        tuple((("ducks", each), (each,), 1.0) for each in ("came_back", "cut", "played_out")),
    ),
    (
        "pivoice_says_lost_total",
        "Requests to speak that came to nothing.",
        (),
        ((("says_lost",), (), 1.0),),
    ),
)


class Metrics:
    """See the module. Goes from one daemon to the next, so that a reload resets nothing."""

    def __init__(self) -> None:
        self._counts: defaultdict[str, defaultdict[Labels, float]] = defaultdict(lambda: defaultdict(float))
        self._histograms = {name: Histogram(bounds) for name, (bounds, _) in _BOUNDS.items()}
        self._scores: dict[str, Histogram] = {}
        self._kept: Mapping[str, Any] = {}
        self._faults: frozenset[str] = frozenset()
        self._open_since_s: float | None = None
        self._was_dropped = False

    def observe(self, line: Line) -> None:
        """Take one observation."""
        match line["event"]:
            case "wake" if not line.get("ignored"):
                model = str(line["model"])
                self._add("pivoice_wakes_total", model)
                self._scores.setdefault(model, Histogram(_SCORES)).add(float(line["score"]))
            case "latency" if line["name"] in _HISTOGRAMS:
                self._histograms[_HISTOGRAMS[line["name"]]].add(float(line["ms"]) / 1000)
            case "session":
                self._see_session(str(line["state"]), float(line["time_s"]))
            case "state":
                faults = frozenset(line.get("conditions", ())) & frozenset(_FAULTS)
                for each in faults - self._faults:
                    self._add("pivoice_faults_total", each)
                self._faults = faults
            case "conversation":
                self._add("pivoice_conversations_total", str(line["by"]))
                self._add("pivoice_conversation_seconds_total", by=float(line["seconds"]))
                self._add("pivoice_false_wakes_total", by=float(line["is_false_wake"]))
            case "turn":
                self._add("pivoice_turns_total", str(line["outcome"]))
            case "interrupted":
                self._add("pivoice_interruptions_total")
            case "playback" if line["what"] == "underrun":
                self._add("pivoice_reply_underruns_total")
            case "error":
                self._add("pivoice_agent_errors_total")
            case "restart" if line["part"] in _PARTS:
                self._add("pivoice_restarts_total", str(line["part"]))

    def keep(self, readings: Readings) -> None:
        """Count on from `readings`, those of a daemon that ends."""
        self._kept = self.totals(readings)

    def totals(self, readings: Readings) -> dict[str, Any]:
        """Return the counters of `readings` and of every daemon before."""
        return _sum(self._kept, readings.counters)

    def families(self, readings: Readings, *, time_s: float) -> list[Family]:
        """Return all there is at `time_s` on the loop's clock."""
        counted, open_s = self._counts, "pivoice_session_open_seconds_total"
        families = [*_gauges(readings.now)]
        for name, (about, labels) in _COUNTED.items():
            found = {**dict.fromkeys(_ALWAYS.get(name, ((),)), 0.0), **counted.get(name, {})}
            if name == open_s and self._open_since_s is not None:
                found[()] += time_s - self._open_since_s
            families.append(Family(name, "counter", about, labels, tuple(found.items())))
        families += _read(self.totals(readings))
        for name, histogram in self._histograms.items():
            found_in = ((), histogram.buckets(), histogram.sum)
            families.append(Family(name, "histogram", _BOUNDS[name][1], (), (), (found_in,)))
        scores = tuple(((model,), each.buckets(), each.sum) for model, each in self._scores.items())
        about = "Scores at which wake words were decided upon."
        return [*families, Family(_WAKE_SCORE, "histogram", about, ("model",), (), scores)]

    def _add(self, name: str, *labels: str, by: float = 1.0) -> None:
        self._counts[name][labels] += by

    def _see_session(self, state: str, time_s: float) -> None:
        if state in ("ready", "resumed"):
            self._add("pivoice_connects_total")
            self._add("pivoice_reconnects_total", by=float(self._was_dropped))
            self._was_dropped = False
            if state == "ready":
                self._add("pivoice_sessions_total")
            else:
                self._add("pivoice_resumes_total", "accepted")
            if self._open_since_s is None:
                self._open_since_s = time_s
            return
        if state in ("dropped", "lost", "ended", "lingering"):
            if self._open_since_s is not None:
                self._add("pivoice_session_open_seconds_total", by=time_s - self._open_since_s)
            self._open_since_s, self._was_dropped = None, state == "dropped"
        match state:
            case "refused":
                self._add("pivoice_resumes_total", "refused")
            case "retrying":
                self._add("pivoice_connect_failures_total")
            case "dropped":
                self._add("pivoice_link_drops_total")
            case "lost":
                self._add("pivoice_sessions_lost_total")


def _gauges(now: Mapping[str, Any]) -> Iterator[Family]:
    """Yield what is so now; only what is known."""

    def one_of(name: str, about: str, label: str, known: Sequence[str], holds: Iterable[str]) -> Family:
        found = frozenset(holds)
        return Family(
            name, "gauge", about, (label,), tuple(((each,), float(each in found)) for each in known)
        )

    yield Family(
        "pivoice_build_info",
        "gauge",
        "Which pivoice this is.",
        ("version",),
        (((str(now.get("version", "")),), 1.0),),
    )
    yield one_of("pivoice_state", "Who has the floor.", "state", _STATES, [str(now.get("state"))])
    yield one_of("pivoice_link", "What connects with the agent.", "link", _LINKS, [str(now.get("link"))])
    faults = now.get("conditions", ())
    yield one_of("pivoice_fault", "Whether somebody must mend this now.", "fault", _FAULTS, faults)
    session: Mapping[str, Any] = now.get("session", {})
    for name, about, value in (
        ("pivoice_hears", "Whether the microphone is open and heard.", now.get("hears")),
        ("pivoice_muted", "Whether the microphone was closed by its owner.", now.get("muted")),
        ("pivoice_uptime_seconds", "Since the process was ready.", now.get("uptime_s")),
        (
            "pivoice_session_today_seconds",
            "Seconds of sessions that are billed.",
            session.get("seconds_today"),
        ),
        ("pivoice_session_cost_today", "At agent.price_per_hour.", session.get("cost_today")),
    ):
        if value is not None:
            yield Family(name, "gauge", about, (), (((), float(value)),))


def _read(counters: Mapping[str, Any]) -> Iterator[Family]:
    """Yield what the daemon's parts counted."""
    for name, about, labels, samples in _READ:
        found = []
        for path, values, factor in samples:
            value: Any = counters
            for key in path:
                value = value.get(key, 0) if isinstance(value, Mapping) else 0
            found.append((values, float(value) * factor))
        yield Family(name, "counter", about, labels, tuple(found))
    for key, name, about, label in (
        ("echo", "pivoice_echo_events_total", "What the echo canceller went through.", "what"),
        (
            "ignored_events",
            "pivoice_ignored_events_total",
            "Events that came when they meant nothing.",
            "what",
        ),
    ):
        events = tuple(((str(what),), float(count)) for what, count in counters.get(key, {}).items())
        yield Family(name, "counter", about, (label,), events)


def _sum(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sum of two trees of numbers."""
    total: dict[str, Any] = {}
    for key in {**one, **other}:
        left, right = one.get(key), other.get(key)
        if isinstance(left or right, Mapping):
            total[key] = _sum(left or {}, right or {})
        else:
            total[key] = (left or 0) + (right or 0)
    return total
