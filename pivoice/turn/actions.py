"""What can be asked: frozen dataclasses in the imperative, performed by the daemon in order.

PURE: standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Action:
    """Something to do."""


@dataclass(frozen=True)
class Chime(Action):
    """Play an earcon (wake, end, error, mute, unmute, muted, timer), or say why there is no conversation
    (cap, bad_key, no_network)."""

    name: str


@dataclass(frozen=True)
class Connect(Action):
    """Open a session under this serial: resume the lingering one where possible, else a fresh one."""

    session: int


@dataclass(frozen=True)
class End(Action):
    """Send `session.end` and close: nothing is billed after this."""


@dataclass(frozen=True)
class Linger(Action):
    """Close the socket, leaving the session resumable (configuration may turn this into `End`)."""


@dataclass(frozen=True)
class Drop(Action):
    """Silence every reply up to and including serial `reply`, for good, down to the card.

    Whatever arrives for them later is discarded too.
    """

    reply: int


@dataclass(frozen=True)
class OpenUplink(Action):
    """Let the user's voice up from sample `position` on; None: from the next period.

    `preroll`: begin `wake.preroll_ms` before `position`.
    """

    position: int | None
    preroll: bool


@dataclass(frozen=True)
class RunTool(Action):
    """Run a tool; its end is told by `ToolFinished`."""

    session: int
    call_id: str
    name: str
    arguments: dict[str, object]


@dataclass(frozen=True)
class CancelTools(Action):
    """Give up every running tool; their answers are wanted no more."""


@dataclass(frozen=True)
class SendToolResult(Action):
    """Answer one tool call."""

    call_id: str
    result: str
    is_error: bool


@dataclass(frozen=True)
class Say(Action):
    """Have the agent speak now, following `text` (`reply.create`)."""

    text: str


@dataclass(frozen=True)
class AskAgain(Action):
    """The session came back without its memory: put the user's last words to it, quoted as data."""
