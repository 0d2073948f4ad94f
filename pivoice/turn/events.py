"""What can happen: frozen dataclasses in the past tense, posted to the turn machine.

PURE: standard library only. Rooms may import this module, and nothing else of `turn`.

`session` is the serial that the `Connect` action carried: an event of any other session is stale.
`reply` is a serial too: the agent room numbers replies 1, 2, 3 ... over the whole life of the
process, so a smaller number is an older reply, whichever session it belonged to.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Valve(enum.Enum):
    """What the capture thread does with a period, decided when the period is captured."""

    CLOSED = "closed"
    """Nothing leaves the ring."""
    SILENT = "silent"
    """Zeros go up, so that the server's turn detection keeps its sense of time."""
    LIVE = "live"
    """The user's voice goes up (kept while the link is still being made)."""


@dataclass(frozen=True)
class Event:
    """Something that happened."""


# --- the user's hands and voice, on the device ---


@dataclass(frozen=True)
class WakeHeard(Event):
    """A wake word was decided upon. Capture thread."""

    model: str
    score: float
    position: int
    """Sample position (16 kHz, counted since the capture thread started) of the decision."""


@dataclass(frozen=True)
class ButtonPressed(Event):
    """The button was pressed: down, or released where holding it means something else. `position` as in
    `WakeHeard`; None: from now on."""

    position: int | None = None


@dataclass(frozen=True)
class TalkPressed(Event):
    """The push-to-talk button went down."""


@dataclass(frozen=True)
class TalkReleased(Event):
    """The push-to-talk button came up: the user's turn is over."""


@dataclass(frozen=True)
class OnsetHeard(Event):
    """A canceller's local detector heard the user start over a reply."""


@dataclass(frozen=True)
class MuteChanged(Event):
    """The owner muted (`on`) or unmuted the microphone."""

    on: bool


@dataclass(frozen=True)
class MuteSwitched(Event):
    """A switch that stays where it is put mutes (`on`), or no more. No `MuteChanged` goes against it."""

    on: bool


@dataclass(frozen=True)
class StopAsked(Event):
    """End the conversation (`ctl stop`)."""


@dataclass(frozen=True)
class HushAsked(Event):
    """Stop talking, keep the session (`ctl hush`)."""


@dataclass(frozen=True)
class WakeAsked(Event):
    """Start listening as if the wake word had been heard (`ctl wake`)."""


@dataclass(frozen=True)
class SayAsked(Event):
    """Have the agent speak now, following `text` (`ctl say`)."""

    text: str


@dataclass(frozen=True)
class TimerRang(Event):
    """A timer ran out: ring until a button, the wake word or a stop silences it."""

    label: str = ""


@dataclass(frozen=True)
class RingDue(Event):
    """The pause after a ring is over: posted by the daemon while the condition `ringing` stands."""


@dataclass(frozen=True)
class RingSilenced(Event):
    """Stop ringing, and nothing else: a hand, the agent's tool, `ctl`, or its time is up."""


# --- the agent: session.py ---


@dataclass(frozen=True)
class SessionReady(Event):
    """The server takes audio. `resumed`: it remembers the conversation."""

    session: int
    resumed: bool


@dataclass(frozen=True)
class LinkDropped(Event):
    """The socket died; the session is being resumed."""

    session: int


@dataclass(frozen=True)
class SessionLost(Event):
    """The session is over against our will, and nothing more will be tried."""

    session: int
    reason: str
    fault: str = "no_network"
    """What the owner must mend: "no_network" (not reached, or it went away), "bad_key" (the key was
    refused), "refused" (the settings were), "cap" (the day's minutes are used up); "": nothing."""


@dataclass(frozen=True)
class SpeechStarted(Event):
    """The server's turn detector heard somebody start."""

    session: int


@dataclass(frozen=True)
class SpeechStopped(Event):
    """The server's turn detector heard somebody stop."""

    session: int


@dataclass(frozen=True)
class UserSaid(Event):
    """A final transcript of the user."""

    session: int
    text: str


@dataclass(frozen=True)
class ReplyStarted(Event):
    """The agent takes a turn. Sound may follow much later, or never."""

    session: int
    reply: int


@dataclass(frozen=True)
class ReplyEnded(Event):
    """All of a reply's audio was *sent* (some of it audible); the tail may still play for long."""

    session: int
    reply: int


@dataclass(frozen=True)
class ReplySilent(Event):
    """A reply ended with nothing audible in it, or failed."""

    session: int
    reply: int


@dataclass(frozen=True)
class ReplyInterrupted(Event):
    """The server cut a reply: the user took the floor."""

    session: int
    reply: int


@dataclass(frozen=True)
class ToolCalled(Event):
    """The agent asks for a tool."""

    session: int
    reply: int
    call_id: str
    name: str
    arguments: dict[str, object]


@dataclass(frozen=True)
class ToolFinished(Event):
    """A tool has its answer, or its error, as text for the agent."""

    session: int
    call_id: str
    result: str
    is_error: bool = False


@dataclass(frozen=True)
class GoodbyeAsked(Event):
    """The agent ended the conversation (`end_conversation`)."""

    session: int


# --- sound ---


@dataclass(frozen=True)
class ReplyAudible(Event):
    """The first audible sample of a reply leaves for the card. Playback thread."""

    reply: int


@dataclass(frozen=True)
class PlaybackDrained(Event):
    """The last sample of an ended reply has sounded, the echo tail of half duplex included.

    Not told while a newer reply is queued. Playback thread.
    """

    reply: int


@dataclass(frozen=True)
class CaptureLost(Event):
    """The microphone is gone; the capture thread retries."""

    reason: str


@dataclass(frozen=True)
class CaptureFound(Event):
    """The microphone works (again)."""


@dataclass(frozen=True)
class PlaybackLost(Event):
    """The speaker is gone; the playback thread retries."""

    reason: str


@dataclass(frozen=True)
class PlaybackFound(Event):
    """The speaker works (again)."""


# --- time ---


@dataclass(frozen=True)
class DeadlinePassed(Event):
    """The one deadline passed. A serial that is not the current one is stale."""

    serial: int
