"""When a live session is left by our own decision: too old, about to expire, deaf, or the day's money spent.

PURE: the caller brings time and facts, once a second.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass

from pivoice.agent.ledger import LINGER_BILLED_S
from pivoice.errors import AgentError, AuthError, LinkError

RENEW_AHEAD_S = 120.0  # before the expiry, a quiet moment is looked for; at most a quarter of what is left
LAST_CALL_S = 10.0  # and from here on no longer waited for; at most a tenth
MIN_EXPIRY_S = 60.0  # believed; a server that said less, every time, would be asked for sessions for ever


class OverError(AgentError):
    """The session ended as it should, or by a mistake of ours: nothing for the owner to mend."""


class CapError(AgentError):
    """The day's minutes are used up."""


_FAULTS: tuple[tuple[type[AgentError], str], ...] = (
    (AuthError, "bad_key"),
    (LinkError, "no_network"),
    (CapError, "cap"),
    (OverError, ""),
    (AgentError, "refused"),
)


def fault_of(error: AgentError) -> str:
    """Return what `turn.events.SessionLost` calls the thing that the owner must mend."""
    return next(fault for kind, fault in _FAULTS if isinstance(error, kind))


def mistake(error: Exception) -> AgentError:
    """Return how a session ends that a mistake of ours has cost."""
    return OverError(f"pivoice made a mistake: {error!r}", advice="please report it")


@dataclass
class Stay:
    """What we hold of the server's session. Outlives its connections, and a linger."""

    id: str = ""
    """Resumable as long as it is not empty."""
    began_s: float = math.inf
    """When the conversation, or the one it resumed, first got a session; inf before. Neither a resume nor
    a fresh session in its midst begins a new age: it is money that the age stands for."""
    renew_s: float = math.inf
    """When to look for a quiet moment to leave it, before the server ends it, on our own clock."""
    last_call_s: float = math.inf
    """When to leave it at the latest."""

    def ready(self, session_id: str, now_s: float, *, expires_in_s: float | None, is_fresh: bool) -> None:
        """The server took us in. What it says of its expiry is believed when it can be true."""
        self.id = session_id
        self.began_s = min(self.began_s, now_s)
        if is_fresh:
            self.renew_s = self.last_call_s = math.inf
        if expires_in_s is not None and MIN_EXPIRY_S <= expires_in_s < math.inf:
            expires_s = now_s + expires_in_s
            self.renew_s = expires_s - min(RENEW_AHEAD_S, expires_in_s / 4)
            self.last_call_s = expires_s - min(LAST_CALL_S, expires_in_s / 10)

    def forget(self) -> None:
        """It was another conversation's, and is not to be had any more."""
        self.id, self.began_s, self.renew_s, self.last_call_s = "", math.inf, math.inf, math.inf


@dataclass(frozen=True)
class Leave:
    """Why a session is left. `error` None: another one takes its place."""

    why: str
    error: AgentError | None = None


@dataclass(frozen=True)
class Left:
    """A session whose socket is closed and which the server still keeps."""

    stay: Stay
    since_s: float
    lapse: asyncio.TimerHandle

    def unused_s(self, now_s: float) -> float:
        """Return how much of what was charged for the waiting is still to come."""
        return max(0.0, self.since_s + LINGER_BILLED_S - now_s)


class Guards:
    """One conversation's. 0 switches a guard off."""

    def __init__(self, stay: Stay, *, session_minutes: float, half_dead_s: float) -> None:
        self._stay = stay
        self._session_s = session_minutes * 60 or math.inf
        self._half_dead_s = half_dead_s or math.inf
        self._was_deaf = False

    def judge(self, now_s: float, *, unheard_s: float, is_quiet: bool, is_spent: bool) -> Leave | None:
        """Return why to leave now; None to stay.

        `unheard_s`: seconds of voice sent without a sign that the server hears.
        """
        stay = self._stay
        if is_spent:
            return Leave("the day's minutes", spent())
        if now_s - stay.began_s >= self._session_s:
            told = f"the session was open for {self._session_s / 60:g} minutes"
            return Leave("its age", OverError(told, advice="start another, or raise agent.session_minutes"))
        if unheard_s >= self._half_dead_s:
            return self._leave_deaf()
        if now_s >= stay.last_call_s or (now_s >= stay.renew_s and is_quiet):
            return Leave("it is about to expire")
        return None

    def _leave_deaf(self) -> Leave:
        why = f"the server does not hear: {self._half_dead_s:g} s of voice without a sign of life"
        if self._was_deaf:
            advice = "check agent.url, and that the microphone is heard by another program"
            return Leave(why, LinkError("the server hears nothing, twice in a row", advice=advice))
        self._was_deaf = True
        return Leave(why)


def spent() -> CapError:
    """Return the error of a day whose minutes are used up."""
    return CapError(
        "the day's minutes are used up", advice="wait until tomorrow or raise agent.daily_minutes"
    )
