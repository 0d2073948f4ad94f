"""What goes over from one daemon to the next in the same process: a reload forgets nothing that was said."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from pivoice import journal
from pivoice.agent.memory import Memory
from pivoice.audio.capture import Ears
from pivoice.audio.playback import Mouth
from pivoice.chronicle import Chronicle


@dataclass
class Lasting:
    """Event loop only. Times are seconds on the loop's clock."""

    since_s: float | None = None
    """When the first of the daemons began; it writes it."""
    memory: Memory = field(default_factory=Memory)
    """What was said lately, for telling a session that does not remember."""
    chronicle: Chronicle = field(default_factory=lambda: Chronicle(journal.note))
    """Latencies, turns and metrics, of all daemons together."""
    left_behind: list[Ears | Mouth] = field(default_factory=list)
    """Parts whose thread hung when another took their place, or a daemon ended; it may hold a card yet."""
    restarts: Counter[str] = field(default_factory=Counter)
    """How often a part hung, and another took its place: capture, playback, loop."""

    def uptime_s(self, now_s: float) -> float:
        """Return for how long there has been a daemon."""
        return 0.0 if self.since_s is None else round(now_s - self.since_s, 1)
