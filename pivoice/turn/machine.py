"""PURE: the turn machine: who has the floor, and what follows from it.

Owns the dispatch of events to the table's rows, and what is dropped before it reaches them.
Runs on the event loop only. Never waits, logs or looks at a clock: the daemon arms one timer with
`deadline_s` whenever `deadline_serial` has changed, and posts `DeadlinePassed(serial)`.

The table has one function per row and one `case` per cell: what the user does is in user_rows.py,
what the agent's session tells in agent_rows.py, sound cards, timers and time in device_rows.py.
The moves that the cells are made of are in floor.py, the words in states.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from pivoice.turn import agent_rows, device_rows, user_rows
from pivoice.turn.actions import Action, End
from pivoice.turn.ducks import Ducks
from pivoice.turn.events import Event, ReplyAudible, ReplyInterrupted, ReplyStarted, SessionReady
from pivoice.turn.floor import SUSPICIONS, Floor, Row
from pivoice.turn.states import Deadline, Deadlines, Link, State

__all__ = ["Deadline", "Deadlines", "Link", "State", "Turn"]


class Turn(Floor):
    """The turn machine."""

    rows: Mapping[type[Event], Row] = {**user_rows.ROWS, **agent_rows.ROWS, **device_rows.ROWS}
    """The table."""

    def __init__(
        self,
        deadlines: Deadlines | None = None,
        *,
        half_duplex: bool = False,
        suspicions: int = SUSPICIONS,
    ) -> None:
        super().__init__(deadlines, half_duplex=half_duplex, suspicions=suspicions)
        self.ignored: Counter[str] = Counter()
        """Events that changed nothing and asked for nothing, by name."""
        self.ducks = Ducks()

    def step(self, event: Event) -> list[Action]:
        """Return what is to be done about `event`, in order."""
        before, state, deadline = self.snapshot(), self.state, self.deadline
        if self.state is State.IDLE:
            self._silence_stray(event)
        if not self._is_stale(event):
            self.rows[type(event)](self, event)
        elif isinstance(event, ReplyInterrupted) and self._is_of_this_session(event):
            agent_rows.void_calls(self, event.reply)  # of a silent one, which was dropped at its end
        self.ducks.note(event, state, self.state, deadline, self.deadline)
        actions, self.asked = self.asked, []
        if not actions and self.snapshot() == before:
            self.ignored[type(event).__name__] += 1
        return actions

    def _is_stale(self, event: Event) -> bool:
        """Whether `event` belongs to a session that is over, or to a reply that is dead."""
        # 0: a tool called outside any reply.
        reply = getattr(event, "reply", 0)
        return 0 < reply <= self.dead or not self._is_of_this_session(event)

    def _is_of_this_session(self, event: Event) -> bool:
        session = getattr(event, "session", None)
        return session is None or (self.link is not Link.DOWN and session == self.session)

    def _silence_stray(self, event: Event) -> None:
        """Undo what a session does after we left it: IDLE means that nothing is open or sounds."""
        if isinstance(event, SessionReady):
            self.ask(End())
        elif isinstance(event, (ReplyStarted, ReplyAudible)) and event.reply > self.dead:
            self.highest = max(self.highest, event.reply)
            self.drop(event.reply)

    def status(self) -> dict[str, object]:
        """Return what `ctl status` tells of the turn."""
        return {
            "state": self.state.value,
            "link": self.link.value,
            "muted": self.muted,
            "uplink": self.uplink.value,
            "deadline": self.deadline.value if self.deadline else None,
            "deadline_s": self.deadline_s,
            "conversation_open": self.conversation_open,
            "session": self.session if self.conversation_open else None,
            "push_to_talk": self.memory.push_to_talk,
            "conditions": sorted(self.conditions),
            "says_queued": len(self.memory.says),
            "says_lost": self.says_lost,
            "events_ignored": self.ignored.total(),
        }
