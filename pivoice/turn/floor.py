"""PURE: the floor itself: the joint state, and the moves that the table's cells are made of.

Owns every change of `state`, `link` and deadline. The cells (user_rows.py, agent_rows.py,
device_rows.py) say *when* to move; what a move entails is written here, once.
Called on the event loop only. Knows no clock: a deadline is a number of seconds and a serial.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pivoice.turn.actions import (
    Action,
    CancelTools,
    Chime,
    Connect,
    Drop,
    End,
    Linger,
    OpenUplink,
    Say,
)
from pivoice.turn.events import Valve
from pivoice.turn.states import Deadline, Deadlines, Link, Memory, Reply, State

NO_MICROPHONE = "no_microphone"
NO_SPEAKER = "no_speaker"
NO_NETWORK = "no_network"
BAD_KEY = "bad_key"
REFUSED = "refused"
CAP = "cap"
RINGING = "ringing"

SUSPICIONS = 3
"""How often in a row a reply ducks on the device's own suspicion; the server's word starts the count anew.

Onsets come once a second. A server that heard nobody for that long will not, and what fires on (a fan, a
rattling speaker) would have the reply go up and down to its end.
"""

SAYS = 4
"""How many `ctl say` may wait; a later one is refused and counted in `says_lost`."""


class Floor:
    """The joint state, its projections, and the moves between states."""

    def __init__(
        self,
        deadlines: Deadlines | None = None,
        *,
        half_duplex: bool = False,
        suspicions: int = SUSPICIONS,
    ) -> None:
        self.deadlines = deadlines or Deadlines()
        self.half_duplex = half_duplex
        self.suspicions = suspicions
        self.state = State.IDLE
        self.link = Link.DOWN
        self.mute_asked = False
        """By a button, by voice, by command; kept while a switch mutes as well."""
        self.mute_switched = False
        """A switch stands where it mutes."""
        self.faults: set[str] = set()
        self.ringing = False
        self.memory = Memory()
        self.session = 0
        """The serial of the newest session; it is open unless the link is DOWN."""
        self.highest = 0
        """The newest reply known."""
        self.dead = 0
        """Every reply up to this one was dropped, and stays silent whatever is told of it."""
        self.deadline: Deadline | None = None
        self.deadline_serial = 0
        self.says_lost = 0
        self.asked: list[Action] = []

    # --- projections: what follows from the joint state is computed, never stored ---

    @property
    def deadline_s(self) -> float | None:
        """The length of the deadline; None in IDLE. Re-arm whenever `deadline_serial` changed."""
        return None if self.deadline is None else self.deadlines.seconds(self.deadline)

    @property
    def muted(self) -> bool:
        """Whether the microphone is closed, by whichever hand."""
        return self.mute_asked or self.mute_switched

    @property
    def uplink(self) -> Valve:
        """What a period captured from now on becomes.

        Half duplex is not decided here: the capture thread zeroes what was captured while the
        playback cursor was audible.
        """
        memory = self.memory
        if self.state is State.IDLE or self.link is Link.DOWN:
            return Valve.CLOSED
        # A session opened by `ctl say` alone carries zeros: nothing leaves the device before the
        # wake word or the button.
        if self.muted or not memory.invited or (memory.push_to_talk and not memory.talking):
            return Valve.SILENT
        return Valve.LIVE

    @property
    def is_audible(self) -> bool:
        """Whether a reply sounds."""
        return self.state in (State.SPEAKING, State.YIELDING)

    @property
    def is_ducked(self) -> bool:
        """Whether the reply is to be played 15 dB lower."""
        return self.state is State.YIELDING

    @property
    def wants_microphone(self) -> bool:
        """Whether the capture PCM is to be open."""
        return not self.muted

    @property
    def conversation_open(self) -> bool:
        """Whether a session is open, or being opened, and billed."""
        return self.link is not Link.DOWN

    @property
    def conditions(self) -> frozenset[str]:
        """What the light shows besides the state, by name."""
        return frozenset(self.faults | {RINGING}) if self.ringing else frozenset(self.faults)

    @property
    def hears(self) -> bool:
        """Whether the user could be heard if they had the floor."""
        return not self.muted and NO_MICROPHONE not in self.faults

    @property
    def is_deaf(self) -> bool:
        """Whether every "-> LISTENING" reads "-> IDLE"."""
        return not self.hears or not self.memory.invited

    @property
    def patience(self) -> Deadline:
        """The deadline for the user's next word after a reply: a greeting must not hang up on them."""
        return Deadline.FOLLOW_UP if self.memory.user_had_turn else Deadline.NO_SPEECH

    @property
    def connect_patience(self) -> Deadline:
        """The deadline for the link: a session that is there already is worth a longer wait."""
        return Deadline.RECONNECT if self.memory.was_up else Deadline.CONNECT

    # --- small moves ---

    def ask(self, action: Action) -> None:
        """Have `action` performed, after those asked before."""
        self.asked.append(action)

    def arm(self, deadline: Deadline | None) -> None:
        """Start `deadline` (None: disarm); the one before is void."""
        self.deadline = deadline
        self.deadline_serial += 1

    def connect(self) -> None:
        """Open a session under a new serial."""
        self.session += 1
        self.link = Link.CONNECTING
        self.memory.was_up = False
        self.faults -= {CAP, NO_NETWORK, REFUSED}
        self.ask(Connect(self.session))

    def drop(self, through: int) -> None:
        """Silence every reply up to `through`, for good."""
        memory = self.memory
        self.ask(Drop(through))
        self.dead = max(self.dead, through)
        self.forget(through)
        if memory.audible <= through:
            memory.audible = 0

    def forget(self, through: int) -> None:
        """Strike replies off the list that sound no more."""
        for serial in [serial for serial in self.memory.replies if serial <= through]:
            del self.memory.replies[serial]

    def cancel_tools(self) -> None:
        """Give up every tool; answers under way count for nothing."""
        self.ask(CancelTools())
        self.memory.tools.clear()
        self.memory.kept.clear()
        self.memory.owed = False

    def silence(self) -> None:
        """Drop what sounds, what waits, and the answer that has no serial yet."""
        memory = self.memory
        answer_due = self.state is State.THINKING and not memory.replies
        answer_due = answer_due or memory.awaits_tool or memory.say_sent
        self.drop(self.highest)
        memory.kills_next = memory.kills_next or (answer_due and self.link is not Link.DOWN)
        memory.owed = False
        memory.user_said = False
        self.say_started()

    def say_started(self) -> None:
        """Take the `say` that the server has off the list: it was answered, or dropped."""
        memory = self.memory
        if memory.say_sent:
            memory.says.pop(0)
            memory.say_sent = False

    def begin(self, serial: int) -> bool:
        """Note that a reply has started; return False when it was dropped before it had a serial."""
        memory = self.memory
        self.highest = serial
        memory.owed = False
        self.say_started()
        if memory.kills_next:
            memory.kills_next = False
            self.drop(serial)
            return False
        memory.replies[serial] = Reply(knows_words=memory.user_said)
        return True

    # --- moves between states ---

    def take_floor(self, position: int | None, *, preroll: bool, talking: bool = False) -> None:
        """Give the user the floor because they asked for it, from wherever we are.

        The voice is let up from `position` on. Where it has been going up all along the capture
        thread, which alone knows what went up as zeros, sends nothing twice.
        """
        memory = self.memory
        if self.state is State.IDLE:
            self.ask(Chime("wake"))
        else:
            self.silence()
            self.cancel_tools()
        memory.invited = True
        memory.push_to_talk = memory.talking = talking
        if self.link is Link.DOWN:
            self.connect()
        self.ask(OpenUplink(position, preroll))
        self.listen(Deadline.NO_SPEECH)

    def listen(self, patience: Deadline) -> None:
        """-> LISTENING, for as long as `patience` unless there is more to wait for; deaf: -> IDLE."""
        if self.is_deaf or self.link is Link.DOWN:
            self.hang_up()
            return
        self.state = State.LISTENING
        self.memory.goodbye = False
        self.arm_listening(patience)

    def arm_listening(self, patience: Deadline) -> None:
        """Start the deadline of LISTENING.

        The link comes first, other than in the table: while it is CONNECTING nobody can tell us
        that the user has stopped, so a long_speech would only delay the error chime.
        """
        if self.link is Link.CONNECTING:
            self.arm(self.connect_patience)
        elif self.memory.has_floor:
            self.arm(Deadline.LONG_SPEECH)
        else:
            self.arm(patience)

    def think(self, patience: Deadline | None = None) -> None:
        """-> THINKING: the agent owes an answer. None: as long as a tool and an answer take."""
        if self.link is Link.DOWN:
            self.hang_up()
            return
        memory = self.memory
        self.state = State.THINKING
        memory.user_speaking = False
        patience = patience or (Deadline.TOOL if memory.tools else Deadline.NO_REPLY)
        if self.link is Link.CONNECTING:
            patience = self.connect_patience
        elif patience is Deadline.NO_REPLY and memory.goodbye and not memory.replies:
            patience = Deadline.GOODBYE
        self.arm(patience)

    def speak(self) -> None:
        """-> SPEAKING, at full level."""
        self.state = State.SPEAKING
        self.arm(Deadline.LONG_REPLY)

    def duck(self, patience: Deadline = Deadline.YIELD) -> None:
        """-> YIELDING: the reply plays on, ducked, until the server has decided."""
        self.state = State.YIELDING
        self.arm(patience)

    def hang_up(self, chime: str = "", *, linger: bool = False) -> None:
        """-> IDLE: silence, no tools, no session, no deadline. The chime comes after the silence."""
        self.drop(self.highest)
        self.ask(CancelTools())
        if self.link is not Link.DOWN:
            self.ask(Linger() if linger else End())
        self.says_lost += len(self.memory.says)
        self.memory = Memory()
        self.state = State.IDLE
        self.link = Link.DOWN
        self.arm(None)
        if chime:
            self.ask(Chime(chime))

    def stop_ringing(self) -> bool:
        """Ring no more; return whether it rang: then whoever stopped it wanted nothing else."""
        was_ringing, self.ringing = self.ringing, False
        return was_ringing

    def user_goes_on(self) -> bool:
        """Whether the user is in the middle of something that can be heard; if it cannot, it is over."""
        if self.is_deaf:
            self.memory.user_speaking = self.memory.talking = False
        return self.memory.has_floor

    def answer_words(self) -> None:
        """Go where the user's words over a reply lead, once that reply is gone.

        They take back a goodbye, too: "wait, one more thing" over "goodbye!" must not be
        answered and then hung up on.
        """
        self.memory.goodbye = False
        if self.user_goes_on():
            self.listen(Deadline.LONG_SPEECH)
        else:
            self.think()

    def pass_on(self) -> None:
        """Go where the floor goes when a reply has been heard to its end."""
        memory = self.memory
        memory.audible = 0
        if self.say_next():
            return
        # A goodbye waits for a reply that has started and not sounded: it is the "goodbye!" itself.
        if memory.goodbye and not memory.replies:
            self.hang_up("cap" if CAP in self.faults else "")
        # Before the tools, other than in the table: the floor is the user's, and nothing is lost,
        # for a tool runs on and answers in LISTENING as well.
        elif self.user_goes_on():
            self.listen(Deadline.LONG_SPEECH)
        elif memory.replies or memory.awaits_tool:
            self.think()
        elif memory.user_said:
            # An "uh-huh" that the server does not answer must not end in an error.
            self.think(Deadline.YIELD)
        else:
            self.listen(self.patience)

    def say_next(self) -> bool:
        """Have the next queued `say` spoken if nothing is in flight; return whether it was sent."""
        memory = self.memory
        busy = memory.replies or memory.awaits_tool or memory.has_floor or memory.user_said
        if not memory.says or memory.say_sent or busy or self.link is not Link.UP:
            return False
        # What was dropped before it had a serial cannot be told from what is asked for now.
        memory.kills_next = False
        memory.say_sent = True
        self.ask(Say(memory.says[0]))
        self.think()
        return True

    def queue_say(self, text: str) -> None:
        """Keep `text` until nothing is in flight."""
        if len(self.memory.says) < SAYS:
            self.memory.says.append(text)
        else:
            self.says_lost += 1

    def snapshot(self) -> tuple[object, ...]:
        """Return the whole joint state as a comparable value; the deadline's serial included."""
        return (
            (self.state, self.link, self.deadline, self.deadline_serial),
            (self.mute_asked, self.mute_switched, frozenset(self.faults), self.ringing, self.says_lost),
            (self.session, self.highest, self.dead),
            self.memory.snapshot(),
        )


Row = Callable[[Floor, Any], None]
"""One row of the table: what one kind of event does, in every state."""
