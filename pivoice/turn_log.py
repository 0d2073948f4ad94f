"""Tells of conversations in the log: some five lines a turn, one of them with what the turn came to.

PURE but for its logger. Event loop only. Knows nothing but the observations that go to watchers, and gives
two of its own: `turn` and `conversation`. No word that was said is ever in a line of it.

A turn is what the user says and the reply to it. The first one begins when somebody takes the floor, each
further one when the user speaks again; a conversation is what lies between two states of idle.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

logger = logging.getLogger(__name__)

Line = Mapping[str, Any]
Told = dict[str, object]

_SILENT_S = 1.0  # after an interruption the card has fallen silent, or nothing was to be silenced
_SPOKEN = ("speaking", "yielding")
_CALLERS = {
    "WakeAsked": "ctl wake",
    "SayAsked": "ctl say",
    "ButtonPressed": "button",
    "TalkPressed": "button",
}
_LATENCIES = {
    "wake_to_ready": "wake to ready",
    "speech_stopped_to_sound": "speech to sound",
    "first_chunk_to_sound": "first chunk to sound",
    "interruption_to_silence": "interruption to silence",
}

OUTCOMES = (
    "answered",
    "interrupted",
    "stopped",
    "no_speech",
    "no_answer",
    "error",
    "no_speaker",
    "too_long",
    "shut_down",
)
"""How a turn can end. `stopped` is by the owner: button, mute, `ctl stop`, `ctl hush`."""
_OWNER = {"StopAsked", "HushAsked", "ButtonPressed", "TalkPressed", "TalkReleased", "MuteChanged"}
_OWNER |= {"WakeAsked", "SayAsked"}
_BARGE_IN = {"ReplyInterrupted", "WakeHeard", "SpeechStarted", "UserSaid", "ReplyStarted", "OnsetHeard"}


@dataclass
class _Turn:
    """What is known of one turn."""

    number: int
    has_words: bool = False
    has_failed: bool = False
    speech_s: tuple[float, float | None] | None = None
    """When the user began, and stopped, last."""
    audible_s: float | None = None
    """Since when the reply is heard."""
    spoke_since: bool = False
    """The user did, since the reply was heard to begin; `said_since`: in words."""
    said_since: bool = False
    ms: dict[str, float] = field(default_factory=dict)


@dataclass
class _Conversation:
    """What is known of one conversation."""

    by: str
    began_s: float
    turns: int = 0
    was_ready: bool = False
    has_words: bool = False


@dataclass
class _Ended:
    """A turn that is over, and whose last latency may still come: how soon it fell silent."""

    turn: _Turn
    outcome: str
    at_s: float
    reply_s: float | None


class TurnLog:
    """See the module. Lives as long as the process: turns are numbered on across reloads."""

    def __init__(self, note: Callable[..., None] = lambda **fields: None) -> None:
        """`note`: as `journal.note`; told turn, session and state as they change."""
        self._note = note
        self._state = "idle"
        self._count = 0
        self._turn: _Turn | None = None
        self._ended: _Ended | None = None
        self._conversation: _Conversation | None = None
        self._wake: Line = {}
        self._time_s = 0.0

    def observe(self, line: Line) -> list[Told]:
        """Take one observation; return those that it completes."""
        told: list[Told] = []
        self._time_s = float(line["time_s"])
        if self._ended is not None and (
            line["event"] == "state" or self._time_s - self._ended.at_s > _SILENT_S
        ):
            told += self._sum_up()
        match line["event"]:
            case "state":
                told += self._see_state(str(line["state"]), str(line.get("cause", "")))
            case "wake" if not line.get("ignored"):
                self._wake = line
            case "session":
                self._see_session(line)
            case "speech":
                self._hear(is_start=line["state"] == "started")
            case "transcript" if line["who"] == "user" and str(line["text"]).strip():
                self._hear_words()
            case "error" if self._turn is not None:
                self._turn.has_failed = True
            case "latency":
                self._take_latency(str(line["name"]), float(line["ms"]))
        if self._ended is not None and line["event"] == "playback" and line["what"] == "silence":
            told += self._sum_up()
        return told

    def close(self) -> list[Told]:
        """The daemon ends, or begins anew: so does what was open."""
        told = self._sum_up()
        if self._turn is not None:
            self._end_turn("shut_down")
            told += self._sum_up()
        told += self._end_conversation("the daemon ends")
        self._state = "idle"
        self._note(PIVOICE_TURN=None, PIVOICE_SESSION=None, PIVOICE_STATE=None)
        return told

    # --- the state ---

    def _see_state(self, state: str, cause: str) -> list[Told]:
        told: list[Told] = []
        before, self._state = self._state, state
        self._note(PIVOICE_STATE=state)
        if state == before:
            return told
        if self._turn is None and self._conversation is not None and state in ("thinking", "speaking"):
            self._begin_turn()  # the agent was asked to speak, or does so unasked
        if before == "idle":
            self._begin(state, cause)
        elif state == "thinking" and self._turn is not None and before not in _SPOKEN:
            self._tell("heard", "%s -> thinking (%s)", before, self._how_long_the_user_spoke(cause))
        elif state == "speaking" and self._turn is not None and self._turn.audible_s is None:
            self._turn.audible_s = self._time_s
            self._turn.spoke_since = self._turn.said_since = False
            self._tell("reply", "%s -> speaking (%s)", before, self._how_soon())
        if self._turn is not None and (outcome := self._outcome(before, state, cause)):
            self._end_turn(outcome)
            if outcome != "interrupted":
                told += self._sum_up()
            elif state == "thinking":
                self._tell("heard", "%s -> thinking (%s)", before, self._how_long_the_user_spoke(cause))
        if state == "idle":
            told += self._end_conversation(_words(cause))
        return told

    def _begin(self, state: str, cause: str) -> None:
        by = "wake word" if cause == "WakeHeard" else _CALLERS.get(cause, _words(cause))
        self._conversation = _Conversation(by, self._time_s)
        self._begin_turn()
        facts: dict[str, object] = {}
        if cause == "WakeHeard" and self._wake:
            by = f'wake word "{self._wake["model"]}" {self._wake["score"]:.2f}'
            facts = {"PIVOICE_MODEL": self._wake["model"], "PIVOICE_SCORE": self._wake["score"]}
        event = "wake" if cause == "WakeHeard" else "begin"
        self._tell(event, "idle -> %s (%s)", state, by, PIVOICE_CAUSE=cause, **facts)

    def _begin_turn(self) -> None:
        self._count += 1
        self._turn = _Turn(self._count)
        if self._conversation is not None:
            self._conversation.turns += 1
        self._note(PIVOICE_TURN=self._count)

    def _outcome(self, before: str, state: str, cause: str) -> str:
        """Return how the turn ended by this change of state; "" if it goes on."""
        turn = self._turn
        assert turn is not None, "asked of a turn that is open"
        if before in _SPOKEN and state not in _SPOKEN:
            if cause == "PlaybackDrained" and state == "thinking" and not turn.spoke_since:
                turn.audible_s = None  # it called a tool; the answer is still to come
                return ""
            return _how_a_reply_ended(cause)
        if state == "idle":
            return self._how_it_was_given_up(cause)
        if before == "thinking" and state == "listening" and cause in ("ReplySilent", "DeadlinePassed"):
            return self._how_it_was_given_up(cause)
        return ""

    def _how_it_was_given_up(self, cause: str) -> str:
        """Return how a turn ended of which no reply was heard."""
        turn, conversation = self._turn, self._conversation
        assert turn is not None and conversation is not None, "asked of a turn that is open"
        if cause in _OWNER:
            return "stopped"
        if cause == "GoodbyeAsked":
            return "answered"
        if cause == "PlaybackLost":
            return "no_speaker"
        if cause in ("SessionLost", "LinkDropped") or turn.has_failed or not conversation.was_ready:
            return "error"
        return "no_answer" if turn.has_words else "no_speech"

    # --- what is heard ---

    def _see_session(self, line: Line) -> None:
        state = str(line["state"])
        if state in ("ready", "resumed"):
            if self._conversation is not None:
                self._conversation.was_ready = True
            self._note(PIVOICE_SESSION=line.get("id"))
            ms = self._turn.ms.get("wake_to_ready") if self._turn is not None else None
            after = f", {ms:.0f} ms after the wake word" if ms is not None else ""
            if self._conversation is not None:
                self._tell("session", "session %s %s%s", line.get("id", ""), state, after, PIVOICE_LINK=state)
        elif state in ("ended", "lingering", "lost", "refused"):
            self._note(PIVOICE_SESSION=None)

    def _take_latency(self, name: str, ms: float) -> None:
        is_of_end = self._ended is not None and name == "interruption_to_silence"
        turn = self._ended.turn if self._ended is not None and is_of_end else self._turn
        if turn is not None:
            turn.ms[name] = ms

    def _hear(self, *, is_start: bool) -> None:
        if self._turn is None and is_start and self._conversation is not None:
            self._begin_turn()
        turn = self._turn
        if turn is None:
            return
        if is_start:
            turn.speech_s = self._time_s, None
            turn.spoke_since = True
        elif turn.speech_s is not None:
            turn.speech_s = turn.speech_s[0], self._time_s

    def _hear_words(self) -> None:
        if self._conversation is None:
            return
        if self._turn is None:
            self._begin_turn()
        assert self._turn is not None
        self._conversation.has_words = True
        self._turn.has_words = self._turn.spoke_since = self._turn.said_since = True

    def _how_long_the_user_spoke(self, cause: str) -> str:
        spoken = self._turn.speech_s if self._turn is not None else None
        if spoken is None or spoken[1] is None:
            return _words(cause)
        return f"the user spoke for {spoken[1] - spoken[0]:.1f} s"

    def _how_soon(self) -> str:
        ms = self._turn.ms.get("speech_stopped_to_sound") if self._turn is not None else None
        return "the reply is heard" if ms is None else f"{ms:.0f} ms after the user stopped"

    # --- the end ---

    def _end_turn(self, outcome: str) -> None:
        turn, self._turn = self._turn, None
        assert turn is not None, "a turn ends once"
        reply_s = None if turn.audible_s is None else self._time_s - turn.audible_s
        self._ended = _Ended(turn, outcome, self._time_s, reply_s)
        if turn.spoke_since and outcome == "interrupted" and self._state != "idle":
            self._begin_turn()  # what cut the reply is the next turn's
            assert self._turn is not None
            self._turn.speech_s, self._turn.has_words = turn.speech_s, turn.said_since

    def _sum_up(self) -> list[Told]:
        """Write the line of the turn that is over, and return it as an observation."""
        ended, self._ended = self._ended, None
        if ended is None:
            return []
        turn, reply_s = ended.turn, ended.reply_s
        words = ended.outcome.replace("_", " ")
        if reply_s is not None:
            words += (", " if ended.outcome == "answered" else " after ") + f"{reply_s:.1f} s of reply"
        shown = [f"{label} {turn.ms[name]:.0f} ms" for name, label in _LATENCIES.items() if name in turn.ms]
        fields = {f"PIVOICE_MS_{name.upper()}": f"{ms:.0f}" for name, ms in turn.ms.items()}
        fields |= {
            "PIVOICE_TURN": str(turn.number),
            "PIVOICE_EVENT": "turn",
            "PIVOICE_OUTCOME": ended.outcome,
        }
        logger.info("turn %d: %s%s", turn.number, words, "; " * bool(shown) + ", ".join(shown), extra=fields)
        told: Told = {"event": "turn", "time_s": self._time_s, "turn": turn.number, "outcome": ended.outcome}
        if reply_s is not None:
            told["reply_s"] = round(reply_s, 2)
        return [{**told, "latencies_ms": dict(turn.ms)}]

    def _end_conversation(self, why: str) -> list[Told]:
        conversation, self._conversation = self._conversation, None
        if conversation is None:
            return []
        told = self._sum_up()
        seconds, turns = self._time_s - conversation.began_s, conversation.turns
        is_false_wake = (
            conversation.by == "wake word" and conversation.was_ready and not conversation.has_words
        )
        text = "conversation over (%s): %d turn%s, %.0f s" + ", a false wake" * is_false_wake
        extra = {"PIVOICE_EVENT": "end", "PIVOICE_FALSE_WAKE": str(int(is_false_wake))}
        logger.info(text, why, turns, "s" * (turns != 1), seconds, extra=extra)
        self._wake = {}
        self._note(PIVOICE_TURN=None)
        conversation_told: Told = {
            "event": "conversation",
            "time_s": self._time_s,
            "by": conversation.by,
            "turns": turns,
            "seconds": round(seconds, 1),
            "is_false_wake": is_false_wake,
        }
        return [*told, conversation_told]

    def _tell(self, event: str, text: str, *arguments: object, **facts: object) -> None:
        extra = {"PIVOICE_EVENT": event, **{name: str(value) for name, value in facts.items()}}
        logger.info("turn %d: " + text, self._count, *arguments, extra=extra)


def _how_a_reply_ended(cause: str) -> str:
    if cause in _BARGE_IN:
        return "interrupted"
    if cause in _OWNER:
        return "stopped"
    return {"PlaybackLost": "no_speaker", "DeadlinePassed": "too_long"}.get(cause, "answered")


def _words(cause: str) -> str:
    """Return an event's name as words: `SpeechStopped` -> speech stopped."""
    if cause == "DeadlinePassed":
        return "time ran out"
    return _CALLERS.get(cause) or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", cause).lower() or "begin"
