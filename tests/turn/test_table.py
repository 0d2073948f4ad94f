"""The table, cell by cell: in this state, this event leads there and asks for that.

A row is an event, a column a state; `_` is a cell where the event is ignored on purpose.
The machine is in the middle of the plainest conversation: the user has asked one thing, and
reply 1 is the answer. What depends on more than the state is in the files beside this one.
"""

from __future__ import annotations

import pytest

from pivoice.turn import events as ev
from pivoice.turn.actions import (
    Action,
    CancelTools,
    Chime,
    Connect,
    Drop,
    End,
    OpenUplink,
    RunTool,
    Say,
)
from pivoice.turn.machine import Link, State, Turn
from tests.turn.situations import ANSWERED, ASKED, MUTE, OPEN, STARTED, TOOL, WAKE, after

IDLE, LISTENING, THINKING, SPEAKING, YIELDING = State

UNMUTED = {
    IDLE: (),
    LISTENING: OPEN,
    THINKING: (*ASKED, STARTED),
    SPEAKING: ANSWERED,
    YIELDING: (*ANSWERED, ev.SpeechStarted(1)),
}
MUTED = {
    IDLE: (MUTE,),
    THINKING: (*ASKED, STARTED, MUTE),
    SPEAKING: (*ANSWERED, MUTE),
}
NO_MICROPHONE = {
    state: (*events, ev.CaptureLost("unplugged"))
    for state, events in UNMUTED.items()
    if state is not YIELDING
}
NO_LINK = {
    IDLE: (),
    SPEAKING: (*ANSWERED, ev.SessionLost(1, "gone")),
}

Cell = tuple[State, list[Action]] | None
_: Cell = None

HANG_UP: list[Action] = [Drop(1), CancelTools(), End()]
HANG_UP_EARLY: list[Action] = [Drop(0), CancelTools(), End()]
LOSE: list[Action] = [Drop(0), CancelTools()]
BARGE: list[Action] = [Drop(1), CancelTools(), OpenUplink(16000, True)]
PRESS: list[Action] = [Drop(1), CancelTools(), OpenUplink(None, False)]
CUT: list[Action] = [Drop(1), CancelTools()]


def chimed(name: str, actions: list[Action] | None = None) -> list[Action]:
    return [*(actions or []), Chime(name)]


def woken(*uplink: object) -> list[Action]:
    return [Chime("wake"), Connect(1), OpenUplink(*uplink)]  # type: ignore[arg-type]


RAN = [RunTool(1, "call", "get_time", {})]

TABLE: dict[str, tuple[ev.Event, list[Cell]]] = {
    # event: IDLE, LISTENING, THINKING, SPEAKING, YIELDING
    "WakeHeard": (
        WAKE,
        [(LISTENING, woken(16000, True)), _, (LISTENING, BARGE), (LISTENING, BARGE), (LISTENING, BARGE)],
    ),
    "WakeAsked": (
        ev.WakeAsked(),
        [(LISTENING, woken(None, False)), _, (LISTENING, PRESS), (LISTENING, PRESS), (LISTENING, PRESS)],
    ),
    "ButtonPressed": (
        ev.ButtonPressed(),
        [
            (LISTENING, woken(None, False)),
            (IDLE, chimed("end", HANG_UP_EARLY)),
            (LISTENING, PRESS),
            (LISTENING, PRESS),
            (LISTENING, PRESS),
        ],
    ),
    "TalkPressed": (
        ev.TalkPressed(),
        [
            (LISTENING, woken(None, False)),
            (LISTENING, [OpenUplink(None, False)]),
            (LISTENING, PRESS),
            (LISTENING, PRESS),
            (LISTENING, PRESS),
        ],
    ),
    "TalkReleased": (ev.TalkReleased(), [_, _, _, _, _]),
    "OnsetHeard": (ev.OnsetHeard(), [_, _, _, (YIELDING, []), _]),
    "SpeechStarted": (
        ev.SpeechStarted(1),
        [_, (LISTENING, []), (LISTENING, []), (YIELDING, []), (YIELDING, [])],
    ),
    "UserSaid": (
        ev.UserSaid(1, "words"),
        [_, (LISTENING, []), (THINKING, []), (SPEAKING, []), (YIELDING, [])],
    ),
    "ReplyStarted": (
        ev.ReplyStarted(1, 2),
        [(IDLE, [Drop(2)]), (LISTENING, []), (THINKING, []), (SPEAKING, []), (YIELDING, [])],
    ),
    "ReplyAudible": (
        ev.ReplyAudible(1),
        [(IDLE, [Drop(1)]), (LISTENING, [Drop(1)]), (SPEAKING, []), _, _],
    ),
    "ReplyEnded": (ev.ReplyEnded(1, 1), [_, _, (THINKING, []), (SPEAKING, []), (YIELDING, [])]),
    "ReplyInterrupted": (
        ev.ReplyInterrupted(1, 1),
        [_, (LISTENING, CUT), (THINKING, CUT), (LISTENING, CUT), (LISTENING, CUT)],
    ),
    "ReplySilent": (
        ev.ReplySilent(1, 1),
        [
            _,
            (LISTENING, [Drop(1)]),
            (LISTENING, [Drop(1), *chimed("error")]),
            (SPEAKING, []),
            (YIELDING, []),
        ],
    ),
    "PlaybackDrained": (
        ev.PlaybackDrained(1),
        [_, _, (LISTENING, []), (LISTENING, []), (LISTENING, [])],
    ),
    "ToolCalled": (TOOL, [_, (THINKING, RAN), (THINKING, RAN), (SPEAKING, RAN), (YIELDING, RAN)]),
    "ToolFinished, not called": (ev.ToolFinished(1, "call", "noon"), [_, _, _, _, _]),
    "SessionReady, while up": (ev.SessionReady(1, resumed=True), [(IDLE, [End()]), _, _, _, _]),
    "LinkDropped": (
        ev.LinkDropped(1),
        [_, (LISTENING, []), (THINKING, [Drop(1)]), (SPEAKING, []), (SPEAKING, [])],
    ),
    "SessionLost": (
        ev.SessionLost(1, "gone"),
        [
            _,
            (IDLE, chimed("no_network", LOSE)),
            (IDLE, chimed("no_network", CUT)),
            (SPEAKING, [CancelTools()]),
            (SPEAKING, [CancelTools()]),
        ],
    ),
    "GoodbyeAsked": (
        ev.GoodbyeAsked(1),
        [_, (IDLE, chimed("end", HANG_UP_EARLY)), (THINKING, []), (SPEAKING, []), (YIELDING, [])],
    ),
    "SayAsked": (
        ev.SayAsked("tea"),
        [
            (THINKING, [Connect(1)]),
            (THINKING, [Say("tea")]),
            (THINKING, []),
            (SPEAKING, []),
            (YIELDING, []),
        ],
    ),
    "MuteChanged(on)": (
        MUTE,
        [
            (IDLE, chimed("mute")),
            (IDLE, chimed("mute", HANG_UP_EARLY)),
            (THINKING, chimed("mute")),
            (SPEAKING, chimed("mute")),
            (SPEAKING, chimed("mute")),
        ],
    ),
    "MuteChanged(off), while unmuted": (ev.MuteChanged(on=False), [_, _, _, _, _]),
    "StopAsked": (
        ev.StopAsked(),
        [
            _,
            (IDLE, chimed("end", HANG_UP_EARLY)),
            (IDLE, chimed("end", HANG_UP)),
            (IDLE, chimed("end", HANG_UP)),
            (IDLE, chimed("end", HANG_UP)),
        ],
    ),
    "HushAsked": (
        ev.HushAsked(),
        [_, _, (LISTENING, [Drop(1)]), (LISTENING, [Drop(1)]), (LISTENING, [Drop(1)])],
    ),
    "CaptureLost": (
        ev.CaptureLost("unplugged"),
        [(IDLE, []), (LISTENING, []), (THINKING, []), (SPEAKING, []), (SPEAKING, [])],
    ),
    "PlaybackLost": (
        ev.PlaybackLost("unplugged"),
        [(IDLE, []), (IDLE, HANG_UP_EARLY), (IDLE, HANG_UP), (IDLE, HANG_UP), (IDLE, HANG_UP)],
    ),
    "TimerRang": (
        ev.TimerRang(),
        [(state, chimed("timer")) for state in State],
    ),
    "RingDue, while nothing rings": (ev.RingDue(), [_, _, _, _, _]),
    "RingSilenced, while nothing rings": (ev.RingSilenced(), [_, _, _, _, _]),
    "MuteSwitched(off), while it was": (ev.MuteSwitched(on=False), [_, _, _, _, _]),
    "a stale session's event": (ev.SpeechStarted(0), [_, _, _, _, _]),
    "a stale deadline": (ev.DeadlinePassed(-1), [_, _, _, _, _]),
}

MUTED_TABLE: dict[str, tuple[ev.Event, dict[State, Cell]]] = {
    "WakeHeard": (WAKE, {IDLE: _, THINKING: _, SPEAKING: _}),
    "WakeAsked": (ev.WakeAsked(), {s: (s, chimed("muted")) for s in MUTED}),
    "ButtonPressed": (
        ev.ButtonPressed(),
        {IDLE: (IDLE, chimed("muted")), THINKING: (IDLE, HANG_UP), SPEAKING: (IDLE, HANG_UP)},
    ),
    "TalkPressed": (
        ev.TalkPressed(),
        {
            IDLE: (IDLE, chimed("muted")),
            THINKING: (IDLE, chimed("muted", HANG_UP)),
            SPEAKING: (IDLE, chimed("muted", HANG_UP)),
        },
    ),
    "OnsetHeard": (ev.OnsetHeard(), {IDLE: _, THINKING: _, SPEAKING: _}),
    "SpeechStarted": (ev.SpeechStarted(1), {IDLE: _, THINKING: _, SPEAKING: _}),
    "ReplyAudible": (ev.ReplyAudible(1), {THINKING: (SPEAKING, [])}),
    "ReplyInterrupted": (
        ev.ReplyInterrupted(1, 1),
        {THINKING: (THINKING, CUT), SPEAKING: (IDLE, [*CUT, *HANG_UP])},
    ),
    "ReplySilent": (ev.ReplySilent(1, 1), {THINKING: (IDLE, [Drop(1), *chimed("error", HANG_UP)])}),
    "PlaybackDrained": (ev.PlaybackDrained(1), {SPEAKING: (IDLE, HANG_UP)}),
    "HushAsked": (
        ev.HushAsked(),
        {s: (IDLE, [Drop(1), *HANG_UP]) for s in (THINKING, SPEAKING)},
    ),
    "MuteChanged(on), again": (MUTE, {IDLE: _, THINKING: _, SPEAKING: _}),
    "MuteChanged(off)": (ev.MuteChanged(on=False), {s: (s, chimed("unmute")) for s in MUTED}),
}

NO_MICROPHONE_TABLE: dict[str, tuple[ev.Event, dict[State, Cell]]] = {
    "WakeAsked": (ev.WakeAsked(), {s: (s, chimed("error")) for s in NO_MICROPHONE}),
    "ButtonPressed": (
        ev.ButtonPressed(),
        {
            IDLE: (IDLE, chimed("error")),
            LISTENING: (IDLE, chimed("end", HANG_UP_EARLY)),
            THINKING: (IDLE, HANG_UP),
            SPEAKING: (IDLE, HANG_UP),
        },
    ),
    "TalkPressed": (
        ev.TalkPressed(),
        {
            IDLE: (IDLE, chimed("error")),
            LISTENING: (LISTENING, chimed("error")),
            THINKING: (IDLE, chimed("error", HANG_UP)),
            SPEAKING: (IDLE, chimed("error", HANG_UP)),
        },
    ),
    "PlaybackDrained": (ev.PlaybackDrained(1), {SPEAKING: (IDLE, HANG_UP)}),
    "CaptureFound": (ev.CaptureFound(), {s: (s, []) for s in NO_MICROPHONE}),
}

NO_LINK_TABLE: dict[str, tuple[ev.Event, dict[State, Cell]]] = {
    "WakeHeard": (
        WAKE,
        {SPEAKING: (LISTENING, [Drop(1), CancelTools(), Connect(2), OpenUplink(16000, True)])},
    ),
    "ButtonPressed": (
        ev.ButtonPressed(),
        {SPEAKING: (LISTENING, [Drop(1), CancelTools(), Connect(2), OpenUplink(None, False)])},
    ),
    "PlaybackDrained": (ev.PlaybackDrained(1), {SPEAKING: (IDLE, CUT)}),
    "HushAsked": (ev.HushAsked(), {SPEAKING: (IDLE, [Drop(1), *CUT])}),
    "SessionReady, late": (ev.SessionReady(1, resumed=True), {IDLE: (IDLE, [End()]), SPEAKING: _}),
}


def cells():
    sections = [("", UNMUTED, {n: (e, dict(zip(State, c, strict=True))) for n, (e, c) in TABLE.items()})]
    sections += [("muted", MUTED, MUTED_TABLE), ("no microphone", NO_MICROPHONE, NO_MICROPHONE_TABLE)]
    sections += [("no link", NO_LINK, NO_LINK_TABLE)]
    for section, situations, table in sections:
        for row, (event, columns) in table.items():
            for state, cell in columns.items():
                name = f"{row} in {state.name}" + (f", {section}" if section else "")
                yield pytest.param(situations[state], state, event, cell, id=name)


@pytest.mark.parametrize(("history", "state", "event", "cell"), list(cells()))
def test_the_table(history: tuple[ev.Event, ...], state: State, event: ev.Event, cell: Cell) -> None:
    turn = after(*history)
    assert turn.state is state, "the situation is not what it says"
    ignored = turn.ignored.total()

    actions = turn.step(event)

    if cell is None:
        assert (turn.state, actions) == (state, [])
        assert turn.ignored.total() == ignored + 1
    else:
        assert (turn.state, actions) == cell


def test_every_kind_of_event_has_a_row() -> None:
    kinds = {kind for kind in vars(ev).values() if isinstance(kind, type) and issubclass(kind, ev.Event)}

    assert set(Turn.rows) == kinds - {ev.Event}


@pytest.mark.parametrize("state", [LISTENING, SPEAKING])
def test_the_situations_have_the_link_they_name(state: State) -> None:
    assert after(*UNMUTED[state]).link is Link.UP
    assert after(*NO_LINK[SPEAKING]).link is Link.DOWN
