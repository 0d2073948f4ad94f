"""PURE: the words the turn machine thinks in: states, deadlines, and the memory of one conversation.

Owns no behaviour but the length of a deadline. Any thread may read the enums; the rest belongs
to the machine. Never imports anything but the standard library.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from pivoice.turn.actions import SendToolResult


class State(enum.Enum):
    """Who has the floor."""

    IDLE = "idle"
    """Nobody; no socket."""
    LISTENING = "listening"
    """The user."""
    THINKING = "thinking"
    """Nobody yet: the agent owes an answer."""
    SPEAKING = "speaking"
    """The agent: its answer is audible."""
    YIELDING = "yielding"
    """The agent, but the user may be interrupting: the reply is ducked and plays on."""


class Link(enum.Enum):
    """What connects us with the agent."""

    DOWN = "down"
    CONNECTING = "connecting"
    UP = "up"


class Deadline(enum.Enum):
    """What is being waited for. Exactly one while a conversation is open, none in IDLE."""

    CONNECT = "connect"
    RECONNECT = "reconnect"
    NO_SPEECH = "no_speech"
    FOLLOW_UP = "follow_up"
    LONG_SPEECH = "long_speech"
    NO_REPLY = "no_reply"
    GOODBYE = "goodbye"
    TOOL = "tool"
    LONG_REPLY = "long_reply"
    ONSET = "onset"
    YIELD = "yield"
    YIELD_SHORT = "yield_short"


@dataclass(frozen=True)
class Deadlines:
    """How long each deadline is, in seconds."""

    follow_up_s: float = 8.0
    """After a reply, for the user to speak again without the wake word."""
    no_speech_s: float = 8.0
    """After the wake word, for the user's first word."""
    long_speech_s: float = 30.0
    """For one utterance; also for a push-to-talk button that is stuck."""
    no_reply_s: float = 15.0
    """For the agent's answer to become audible."""
    goodbye_s: float = 5.0
    """For the goodbye to begin, once the agent has asked to hang up; it may have nothing left to say.
    A reply to a tool's answer starts within 3 s (measured live by others, 2026-09)."""
    long_reply_s: float = 120.0
    """For one reply to play out."""
    onset_s: float = 0.7
    """For the server to hear what the device took for the user's voice."""
    yield_s: float = 2.5
    """For the server to confirm an interruption."""
    yield_short_s: float = 1.0
    """The same, once the user has fallen silent."""
    connect_s: float = 12.0
    """For the server to be reached."""
    reconnect_s: float = 25.0
    """For it to be reached again after a drop: as long as a resume makes sense."""
    tool_s: float = 20.0
    """For a tool to finish; `no_reply_s` for the answer to its result comes on top."""

    def seconds(self, deadline: Deadline) -> float:
        """Return the length of `deadline`."""
        return {
            Deadline.CONNECT: self.connect_s,
            Deadline.RECONNECT: self.reconnect_s,
            Deadline.NO_SPEECH: self.no_speech_s,
            Deadline.FOLLOW_UP: self.follow_up_s,
            Deadline.LONG_SPEECH: self.long_speech_s,
            Deadline.NO_REPLY: self.no_reply_s,
            Deadline.GOODBYE: min(self.goodbye_s, self.no_reply_s),
            Deadline.TOOL: self.tool_s + self.no_reply_s,
            Deadline.LONG_REPLY: self.long_reply_s,
            Deadline.ONSET: self.onset_s,
            Deadline.YIELD: self.yield_s,
            Deadline.YIELD_SHORT: self.yield_short_s,
        }[deadline]


@dataclass(slots=True)
class Reply:
    """A reply that has started, and has been neither dropped nor heard to its end."""

    ended: bool = False
    """All of its audio was sent: the server can interrupt it no more."""
    knows_words: bool = False
    """The words that it answers have arrived: final words that come now are new ones."""
    spoken_over: bool = False
    """Somebody started to speak after it had started."""
    overtaken: bool = False
    """... and the words have arrived: they are not the ones that this reply answers."""


@dataclass(slots=True)
class Memory:
    """What the machine knows about the conversation that is open. Reset on entering IDLE."""

    invited: bool = False
    """The user took the floor by wake word, button or command: only then may their voice go up."""
    push_to_talk: bool = False
    """The voice goes up only while the button is held."""
    talking: bool = False
    """The push-to-talk button is held."""
    was_up: bool = False
    """The session was ready before: the next `SessionReady` ends a drop."""

    user_speaking: bool = False
    announced: int = 0
    """How often speech was announced whose final words have not come: 0, 1, or more (2)."""
    user_said: bool = False
    """Words of the user have arrived that no audible reply has answered."""
    user_had_turn: bool = False
    """Words of the user have arrived at all."""
    goodbye: bool = False
    """The agent hangs up once it has finished speaking."""

    replies: dict[int, Reply] = field(default_factory=dict)
    """By serial, oldest first. At most one is audible, and every older one is gone."""
    audible: int = 0
    """The serial of the reply that sounds; 0 for none."""
    suspicions: int = 0
    """How often in a row this reply was ducked on the device's own suspicion, the server hearing nobody."""
    kills_next: bool = False
    """The next reply to start was dropped before it had a serial."""

    tools: dict[str, int] = field(default_factory=dict)
    """Running tools: call id -> the reply that called."""
    kept: list[SendToolResult] = field(default_factory=list)
    """Answers of tools that wait for the link."""
    owed: bool = False
    """A tool's answer (or the old question) was sent, and the reply to it has not started."""
    says: list[str] = field(default_factory=list)
    """What the owner asked to have said, oldest first, until its reply has started."""
    say_sent: bool = False
    """The oldest of `says` is with the server."""

    @property
    def has_floor(self) -> bool:
        """Whether the user is in the middle of something."""
        return self.user_speaking or self.talking

    @property
    def awaits_tool(self) -> bool:
        """Whether a tool runs, or its answer is on its way to the server or back."""
        return bool(self.tools or self.kept or self.owed)

    def snapshot(self) -> tuple[object, ...]:
        """Return all of it as a comparable value."""
        return (
            (self.invited, self.push_to_talk, self.talking, self.was_up),
            (self.user_speaking, self.announced, self.user_said, self.user_had_turn, self.goodbye),
            tuple(
                (serial, r.ended, r.knows_words, r.spoken_over, r.overtaken)
                for serial, r in self.replies.items()
            ),
            (self.audible, self.suspicions, self.kills_next, tuple(self.tools.items()), tuple(self.kept)),
            (self.owed, tuple(self.says), self.say_sent),
        )
