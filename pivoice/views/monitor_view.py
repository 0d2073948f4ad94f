"""What `pivoice monitor` knows of the daemon: folded from the lines of `ctl watch` and from `ctl status`.

PURE: the caller brings the lines and the time. Believes no line: a field that is missing or of another kind
leaves what was known as it was, and every text is made safe for a terminal before it is kept.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from pivoice.views.meters import SILENCE_DB, duration, safe

Line = Mapping[str, object]

STALE_S = 0.5
"""A level or a score older than that is not one any more: ten come in a second."""
_HELD_S = 1.5  # how long a meter's peak stays
_KEPT = 200  # pieces of the transcript: more than any terminal is high
_MOST_NAMES = 8  # wake words, latencies, faults: a daemon has one to four of each
_NAME = 60

SIDES = ("microphone", "speaker")
LATENCIES = {
    "wake_to_ready": "wake to ready",
    "speech_stopped_to_sound": "answer",
    "first_chunk_to_sound": "to the card",
    "interruption_to_silence": "interruption",
}
"""What the daemon's latencies are called here."""


@dataclass
class Level:
    """One side's meter."""

    rms_db: float = SILENCE_DB
    peak_db: float = SILENCE_DB
    held_db: float = SILENCE_DB
    held_s: float = -math.inf
    clipped: int = 0
    clipped_s: float = -math.inf
    gate_open: bool | None = None
    time_s: float = -math.inf


@dataclass
class Score:
    """One wake word's."""

    score: float = 0.0
    time_s: float = -math.inf
    threshold: float | None = None
    best: float = 0.0
    woke: str = ""
    """"woke", or why not, the last time that it reached the threshold."""
    woke_s: float = -math.inf


@dataclass
class Said:
    """Part of the transcript."""

    who: str
    text: str
    final: bool
    interrupted: bool


@dataclass
class View:
    """Everything shown. `observe` and `take_status` write it, the page reads it."""

    since_s: float
    is_there: bool = False
    waiting: str = "not asked yet"
    """Why there is nobody to look at, while there is not."""
    lost_s: float = -math.inf
    state: str = ""
    link: str = ""
    muted: bool = False
    light: str = ""
    colour: tuple[float, float, float] = (0.0, 0.0, 0.0)
    style: str = ""
    conditions: list[str] = field(default_factory=list)
    sentence: str = ""
    levels: dict[str, Level] = field(default_factory=lambda: {side: Level() for side in SIDES})
    scores: dict[str, Score] = field(default_factory=dict)
    transcript: deque[Said] = field(default_factory=lambda: deque(maxlen=_KEPT))
    latencies_ms: dict[str, float] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    status: dict[str, object] = field(default_factory=dict)
    """The newest answer to `status`."""
    wakes: int = 0
    note: str = ""
    """The last thing worth a line that has no place of its own."""
    note_s: float = -math.inf
    garbage: int = 0

    # --- what comes in ---

    def found(self, now_s: float) -> str:
        """A daemon answers. Return the line to print about it."""
        self.is_there, self.waiting = True, ""
        return self._noted("pivoice is there", now_s)

    def lost(self, reason: str, now_s: float) -> str:
        """Nobody answers (any more). Return the line to print about it, "" where it is no news."""
        reason = safe(reason, longest=300)
        was, self.waiting = self.waiting, reason
        if self.is_there:
            self.is_there, self.lost_s = False, now_s
            self.levels = {side: Level() for side in SIDES}
            self.faults.clear()
        return "" if was == reason else f"waiting for pivoice: {reason}"

    def take_garbage(self) -> None:
        """A line came that is not pivoice's."""
        self.garbage += 1

    def take_status(self, answer: Line, now_s: float) -> str:
        """Take an answer to `status`. Return the line to print about it, "" where it is no news."""
        if "state" not in answer:
            return ""
        self.status = dict(answer)
        news = self._state(answer, now_s)
        self.sentence = _text(answer.get("status"), 300)
        faults = answer.get("faults")
        if isinstance(faults, Mapping):
            self.faults = {
                _text(part, _NAME): _text(why, 300) for part, why in list(faults.items())[:_MOST_NAMES]
            }
        for model in _text(answer.get("wake"), 500).split(", "):
            if model and " " not in model:  # "the button" is none
                self._score(model)
        thresholds = answer.get("thresholds")
        if isinstance(thresholds, Mapping):
            for model, threshold in thresholds.items():
                if score := self._score(_text(model, _NAME)):
                    score.threshold = _number(threshold)
        return news

    def observe(self, line: Line, now_s: float) -> str:
        """Take one line of `watch`. Return the line to print about it, "" for what is only drawn."""
        kind = line.get("event")
        take = _TAKES.get(kind) if isinstance(kind, str) else None
        return take(self, line, now_s) if take else ""

    # --- each kind of line ---

    def _watching(self, line: Line, now_s: float) -> str:
        return ""

    def _state(self, line: Line, now_s: float) -> str:
        before = (self.state, self.link, self.muted, self.light)
        self._take_state(line)
        if before == (self.state, self.link, self.muted, self.light):
            return ""
        words = [f"state {self.state}", f"light {self.light}", f"link {self.link}"]
        return ", ".join([*words, *(["muted"] if self.muted else []), *self.conditions])

    def _take_state(self, line: Line) -> None:
        self.state = _text(line.get("state"), _NAME) or self.state
        self.link = _text(line.get("link"), _NAME) or self.link
        if isinstance(muted := line.get("muted"), bool):
            self.muted = muted
        if isinstance(conditions := line.get("conditions"), list):
            self.conditions = [_text(each, _NAME) for each in conditions[:_MOST_NAMES]]
        if isinstance(light := line.get("light"), Mapping):
            self.light = _text(light.get("pattern"), _NAME)
            self.style = _text(light.get("style"), _NAME)
            colour = light.get("colour")
            parts = [_number(each) for each in colour] if isinstance(colour, list) else []
            if len(parts) == 3:
                red, green, blue = (min(1.0, max(0.0, each or 0.0)) for each in parts)
                self.colour = (red, green, blue)

    def _level(self, line: Line, now_s: float) -> str:
        side, rms_db, peak_db = line.get("side"), _number(line.get("rms_db")), _number(line.get("peak_db"))
        if side not in SIDES or rms_db is None or peak_db is None:
            return ""
        level = self.levels[str(side)]
        level.rms_db, level.peak_db, level.time_s = rms_db, peak_db, now_s
        if level.peak_db >= level.held_db or now_s - level.held_s > _HELD_S:
            level.held_db, level.held_s = level.peak_db, now_s
        if clipped := _number(line.get("clipped")):
            level.clipped, level.clipped_s = int(clipped), now_s
        if isinstance(gate := line.get("gate_open"), bool):
            level.gate_open = gate
        return ""

    def _scored(self, line: Line, now_s: float) -> str:
        score, value = self._score(_text(line.get("model"), _NAME)), _number(line.get("score"))
        if score and value is not None:
            score.score, score.time_s = value, now_s
            score.best = max(score.best, score.score)
        return ""

    def _woke(self, line: Line, now_s: float) -> str:
        model, value = _text(line.get("model"), _NAME), _number(line.get("score"))
        score = self._score(model)
        if not score or value is None:
            return ""
        is_ignored = bool(line.get("ignored"))
        score.score, score.time_s = value, now_s
        score.best = max(score.best, score.score)
        score.woke, score.woke_s = "ignored: the agent's own voice" if is_ignored else "woke", now_s
        self.wakes += not is_ignored
        return f"wake word {model} {score.score:.2f}" + (f", {score.woke}" if is_ignored else "")

    def _transcript(self, line: Line, now_s: float) -> str:
        text = _text(line.get("text"), 2000)
        who = _text(line.get("who"), _NAME)
        if not text or not who:
            return ""
        said = Said(who, text, bool(line.get("final", True)), bool(line.get("interrupted")))
        for index in range(len(self.transcript) - 1, max(-1, len(self.transcript) - 5), -1):
            if self.transcript[index].who == who:
                if not self.transcript[index].final:
                    del self.transcript[index]  # the same words, more of them
                break
        self.transcript.append(said)
        if not said.final:
            return ""
        return f"{who}: {text}" + (" (interrupted)" if said.interrupted else "")

    def _latency(self, line: Line, now_s: float) -> str:
        name, ms = _text(line.get("name"), _NAME), _number(line.get("ms"))
        is_full = name not in self.latencies_ms and len(self.latencies_ms) >= _MOST_NAMES
        if not name or ms is None or is_full:
            return ""
        self.latencies_ms[name] = ms
        return f"latency {LATENCIES.get(name, name)} {ms:.0f} ms"

    def _session(self, line: Line, now_s: float) -> str:
        state, reason = _text(line.get("state"), _NAME), _text(line.get("reason"), 200)
        return self._noted(f"session {state}" + (f": {reason}" if reason else ""), now_s) if state else ""

    def _error(self, line: Line, now_s: float) -> str:
        what = _text(line.get("code"), _NAME) or _text(line.get("message"), 200)
        return self._noted(f"the agent: {what}" if what else "an error", now_s)

    def _fault(self, line: Line, now_s: float) -> str:
        part, state = _text(line.get("part"), _NAME), _text(line.get("state"), _NAME)
        reason = _text(line.get("reason"), 300)
        if not part:
            return ""
        if state == "lost":
            if part in self.faults or len(self.faults) < _MOST_NAMES:
                self.faults[part] = reason or "lost"
        else:
            self.faults.pop(part, None)
        return self._noted(f"{part} {state}" + (f": {reason}" if reason else ""), now_s)

    def _restart(self, line: Line, now_s: float) -> str:
        return self._noted(f"the part {_text(line.get('part'), _NAME)} was stuck and is restarted", now_s)

    def _interrupted(self, line: Line, now_s: float) -> str:
        return self._noted("the user interrupted", now_s)

    def _lost_lines(self, line: Line, now_s: float) -> str:
        return self._noted(f"{_number(line.get('lines')) or 0:.0f} lines were lost: too slow", now_s)

    # --- private ---

    def _noted(self, note: str, now_s: float) -> str:
        self.note, self.note_s = note, now_s
        return note

    def _score(self, model: str) -> Score | None:
        if not model or (model not in self.scores and len(self.scores) >= _MOST_NAMES):
            return None
        return self.scores.setdefault(model, Score())

    # --- what the page asks ---

    def number(self, *path: str) -> float | None:
        """Return the number at `path` in the last status; None where there is none."""
        found: object = self.status
        for name in path:
            found = found.get(name) if isinstance(found, Mapping) else None
        return _number(found)

    @property
    def version(self) -> str:
        """Of the daemon."""
        return _text(self.status.get("version"), _NAME)

    @property
    def reload(self) -> str:
        """What waits for the end of the conversation."""
        return _text(self.status.get("reload"), 200)

    @property
    def echo_fault(self) -> str:
        """Why the wake word is seldom heard over a reply."""
        return _text(self.status.get("echo_fault"), 300)

    def counters(self) -> list[str]:
        """Return the figures to show, most wanted first."""
        shown = []
        if (minutes := self.number("session", "minutes_today")) is not None:
            cap, cost = self.number("session", "daily_minutes"), self.number("session", "cost_today")
            shown.append(f"today {minutes:.1f}{f' of {cap:g}' if cap else ''} min")
            shown += [f"cost {cost:.2f}"] if cost else []
        if (sessions := self.number("session", "sessions_today")) is not None:
            shown.append(f"sessions {sessions:.0f}")
        shown.append(f"wakes {self.wakes}")
        xruns = [
            (name, self.number(side, "xruns")) for name, side in (("mic", "capture"), ("spk", "playback"))
        ]
        if known := [f"{name} {count:.0f}" for name, count in xruns if count is not None]:
            shown.append(f"xruns {', '.join(known)}")
        restarts = self.status.get("restarts")
        if isinstance(restarts, Mapping):
            shown.append(f"restarts {sum(_number(each) or 0 for each in restarts.values()):.0f}")
        return shown

    def uptime(self) -> str:
        """Return how long the daemon has been there; "" where it does not say."""
        uptime_s = self.number("uptime_s")
        return "" if uptime_s is None else f"up {duration(uptime_s)}"


_TAKES = {
    "watching": View._watching,
    "state": View._state,
    "level": View._level,
    "score": View._scored,
    "wake": View._woke,
    "transcript": View._transcript,
    "latency": View._latency,
    "session": View._session,
    "error": View._error,
    "fault": View._fault,
    "restart": View._restart,
    "interrupted": View._interrupted,
    "lost": View._lost_lines,
}


def _number(value: object) -> float | None:
    """Return a number that can be reckoned with; None for all else."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:  # JSON's integers have no end
        return None
    return number if math.isfinite(number) else None


def _text(value: object, longest: int) -> str:
    return safe(value, longest=longest) if isinstance(value, str) else ""
