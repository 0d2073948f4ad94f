"""PURE: the state diagram, drawn by stepping the machine: it cannot disagree with the table.

Owns no knowledge of the table. Each state is visited in its plain situation, where every event is
tried; and in a few special situations, of which only what differs from the plain one is drawn.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pivoice.turn import events as ev
from pivoice.turn.machine import State, Turn

_WAKE = ev.WakeHeard("hey_jarvis", 0.9, 0)
_OPEN = (_WAKE, ev.SessionReady(1, resumed=False))
_ASKED = (*_OPEN, ev.SpeechStarted(1), ev.SpeechStopped(1), ev.UserSaid(1, "words"))
_ANSWERED = (*_ASKED, ev.ReplyStarted(1, 1), ev.ReplyAudible(1))
_SENT = (*_ANSWERED, ev.ReplyEnded(1, 1))
_FOLLOW_UP = (*_SENT, ev.PlaybackDrained(1))
_SUSPECTED = (*_ANSWERED, ev.OnsetHeard())
_TALKED_OVER = (*_ANSWERED, ev.SpeechStarted(1))


@dataclass(frozen=True)
class Situation:
    """A way into a state, and what is special about it ("" for the plain one)."""

    name: str
    history: tuple[ev.Event, ...]


SITUATIONS = (
    Situation("", ()),
    Situation("muted", (ev.MuteChanged(on=True),)),
    Situation("", _OPEN),
    Situation("connecting", (_WAKE,)),
    Situation("speaking", (*_OPEN, ev.SpeechStarted(1))),
    Situation("after a reply", _FOLLOW_UP),
    Situation("button held", (ev.TalkPressed(), ev.SessionReady(1, resumed=False))),
    Situation("greeting", (*_OPEN, ev.ReplyStarted(1, 1))),
    Situation("", (*_ASKED, ev.ReplyStarted(1, 1))),
    Situation("connecting", (*_ASKED, ev.LinkDropped(1))),
    Situation("nothing was said", (*_OPEN, ev.SpeechStarted(1), ev.SpeechStopped(1))),
    Situation("muted", (*_ASKED, ev.MuteChanged(on=True))),
    Situation(
        "an uh-huh", (*_TALKED_OVER, ev.SpeechStopped(1), ev.UserSaid(1, "uh-huh"), ev.PlaybackDrained(1))
    ),
    Situation("", _ANSWERED),
    Situation("muted", (*_ANSWERED, ev.MuteChanged(on=True))),
    Situation("goodbye", (*_ANSWERED, ev.GoodbyeAsked(1))),
    Situation("a tool runs", (*_ANSWERED, ev.ToolCalled(1, 1, "a", "tool", {}))),
    Situation("", _TALKED_OVER),
    Situation("on suspicion", _SUSPECTED),
    Situation("all of it sent", (*_SENT, ev.SpeechStarted(1), ev.SpeechStopped(1))),
)


def diagram() -> str:
    """Return the machine as mermaid's `stateDiagram-v2`."""
    plain: dict[State, dict[str, State]] = {}
    edges: dict[tuple[State, State], list[str]] = {}
    for situation in SITUATIONS:
        state, moves = _moves(situation.history)
        usual = plain.setdefault(state, moves)
        for label, target in moves.items():
            if situation.name and usual.get(label, state) is target:
                continue
            name = f"{label} ({situation.name})" if situation.name else label
            labels = edges.setdefault((state, target), [])
            if target is not state and name not in labels:
                labels.append(name)
    lines = ["stateDiagram-v2", f"    [*] --> {_name(State.IDLE)}"]
    for (source, target), names in sorted(edges.items(), key=lambda edge: _place(edge[0])):
        if names:
            lines.append(f"    {_name(source)} --> {_name(target)}: {'<br/>'.join(names)}")
    return "\n".join(lines) + "\n"


def _moves(history: tuple[ev.Event, ...]) -> tuple[State, dict[str, State]]:
    """Return where `history` leads, and where each event leads from there, by the event's name."""
    start = _after(history)
    moves = {}
    for event in _every_event(start):
        turn = _after(history)
        turn.step(event)
        moves[_label(start, event)] = turn.state
    return start.state, moves


def _after(history: tuple[ev.Event, ...]) -> Turn:
    turn = Turn()
    for event in history:
        turn.step(event)
    return turn


def _every_event(turn: Turn) -> list[ev.Event]:
    """Return one of each kind of event that can move the floor, as it would come in this situation."""
    session = turn.session
    current = max(turn.memory.replies, default=turn.highest + 1)
    return [
        _WAKE,
        ev.ButtonPressed(),
        ev.TalkPressed(),
        ev.TalkReleased(),
        ev.WakeAsked(),
        ev.SayAsked("words"),
        ev.OnsetHeard(),
        ev.SpeechStarted(session),
        ev.SpeechStopped(session),
        ev.UserSaid(session, "words"),
        ev.ReplyAudible(current),
        ev.ReplySilent(session, current),
        ev.ReplyInterrupted(session, current),
        ev.ToolCalled(session, current, "b", "tool", {}),
        ev.PlaybackDrained(current),
        ev.HushAsked(),
        ev.GoodbyeAsked(session),
        ev.StopAsked(),
        ev.MuteChanged(on=not turn.muted),
        ev.LinkDropped(session),
        ev.SessionLost(session, "gone"),
        ev.CaptureLost("unplugged"),
        ev.PlaybackLost("unplugged"),
        ev.DeadlinePassed(turn.deadline_serial),
    ]


def _label(turn: Turn, event: ev.Event) -> str:
    if isinstance(event, ev.DeadlinePassed):
        return f"{turn.deadline.value}_s passed" if turn.deadline else "deadline passed"
    if isinstance(event, ev.MuteChanged):
        return "mute" if event.on else "unmute"
    return re.sub(r"(?<!^)([A-Z])", r" \1", type(event).__name__).lower()


def _name(state: State) -> str:
    return state.value.upper()


def _place(edge: tuple[State, State]) -> tuple[int, int]:
    order = list(State)
    return order.index(edge[0]), order.index(edge[1])
