"""Machines in the situations that tests begin with. The newest session is 1 and the reply is 1."""

from __future__ import annotations

from pivoice.turn import events as ev
from pivoice.turn.machine import Turn

WAKE = ev.WakeHeard("hey_jarvis", 0.93, 16000)
NEW = ev.SessionReady(1, resumed=False)
RESUMED = ev.SessionReady(1, resumed=True)
DROPPED = ev.LinkDropped(1)
LOST = ev.SessionLost(1, "gone")
SPEECH = ev.SpeechStarted(1)
PAUSE = ev.SpeechStopped(1)
WORDS = ev.UserSaid(1, "what time is it")
STARTED = ev.ReplyStarted(1, 1)
DRAINED = ev.PlaybackDrained(1)
OPEN = (WAKE, NEW)
ASKED = (*OPEN, SPEECH, PAUSE, WORDS)
ANSWERED = (*ASKED, STARTED, ev.ReplyAudible(1))
SENT = (*ANSWERED, ev.ReplyEnded(1, 1))
FOLLOW_UP = (*SENT, DRAINED)
TOOL = ev.ToolCalled(1, 1, "call", "get_time", {})
ANSWER = ev.ToolFinished(1, "call", "noon")
MUTE = ev.MuteChanged(on=True)
UNMUTE = ev.MuteChanged(on=False)
TALK = ev.TalkPressed()
RELEASE = ev.TalkReleased()


def after(*events: ev.Event, half_duplex: bool = False) -> Turn:
    """Return a machine that has seen `events`."""
    turn = Turn(half_duplex=half_duplex)
    for event in events:
        turn.step(event)
    return turn


def pass_deadline(turn: Turn) -> None:
    """Let the deadline that is armed pass."""
    turn.step(ev.DeadlinePassed(turn.deadline_serial))
