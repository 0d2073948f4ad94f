"""What of the events the log says at once: that somebody must act, or what somebody will look for.

Event loop only. What a whole turn came to is turn_log.py's.
"""

from __future__ import annotations

import logging

from pivoice.turn import events

logger = logging.getLogger("pivoice.daemon")


class Announcements:
    """See the module."""

    def __init__(self) -> None:
        self._obstacle = ""
        """Why the last attempt to connect came to nothing."""

    def connecting(self) -> None:
        """Another attempt begins."""
        self._obstacle = ""

    def observe(self, kind: str, facts: dict[str, object]) -> None:
        """Keep in mind what stands in the way of a session."""
        if kind == "session":
            self._obstacle = str(facts.get("reason", self._obstacle))

    def no_conversation(self, waited_s: float | None) -> None:
        """The agent was not ready in time."""
        why = f": {self._obstacle}" if self._obstacle else ""
        logger.error("no conversation: the agent was not ready in %g s%s", waited_s, why)

    def tell(self, event: events.Event) -> None:
        """Log `event`, where it is worth it."""
        match event:
            case events.SessionLost(_, reason, ""):
                logger.info("the conversation is over: %s", reason)
            case events.SessionLost(_, reason, "cap"):
                logger.warning("no conversation: %s", reason)  # as the owner asked for; says what to do
            case events.SessionLost(_, reason):
                logger.error("no conversation: %s", reason)
            case events.MuteChanged(on) | events.MuteSwitched(on):
                by = " by the switch" if isinstance(event, events.MuteSwitched) else ""
                logger.info("muted%s" if on else "unmuted%s", by)
            case events.TimerRang(label):
                logger.info("a timer rings")
                logger.debug("= it is %r", label)
