"""How often and how soon a connection is tried. PURE: the caller brings time and chance."""

from __future__ import annotations

RESUME_WINDOW_S = 25.0  # the server keeps a dropped session for 30 s; a later attempt is only refused
MAX_RECONNECTS = 5  # a client without a cap made nine attempts in 2.4 s, each of them billed
# Five attempts, spread over the window: 0.25, 0.9, 2.4, 6.3 and 16 s after the drop where each fails at once.
# A Wi-Fi that is lost is back within seconds, a router that restarts is not.
BACKOFF_S = 0.25
BACKOFF_FACTOR = 2.5
MAX_BACKOFF_S = 10.0
HELD_S = RESUME_WINDOW_S / MAX_RECONNECTS  # a link that breaks sooner was worth nothing


class Attempts:
    """One conversation's. Bounded once it had a session; before that, somebody else has a deadline."""

    def __init__(self, *, dropped_s: float | None) -> None:
        self.dropped_s = dropped_s
        """When the link was lost, or left to linger; None while it holds, and before it was there."""
        self.was_ready = False
        self._failed = 0
        self._ready_s = 0.0
        self._has_replied = False

    def failed(self) -> int:
        """One came to nothing; return how many in a row."""
        self._failed += 1
        return self._failed

    def ready(self, now_s: float) -> None:
        """One got there. After a drop that proves little yet: a storm of reconnects would be billed."""
        if not self.was_ready:
            self._failed = 0
        self.was_ready, self.dropped_s = True, None
        self._ready_s, self._has_replied = now_s, False

    def replied(self) -> None:
        """A reply came over the link, which is worth something if it also holds: a server may die of each."""
        self._has_replied = True

    def broke(self, now_s: float) -> None:
        """The link broke; those before it count no more if it was worth something."""
        if self._has_replied and now_s - self._ready_s >= HELD_S:
            self._failed = 0
        self.failed()

    def is_enough(self, now_s: float) -> bool:
        """Whether to give up."""
        if not self.was_ready or self.dropped_s is None:
            return False
        return self._failed > MAX_RECONNECTS or self.window_s(now_s) == 0.0

    def window_s(self, now_s: float) -> float | None:
        """Return for how long a resume makes sense; None when there is nothing to come back to."""
        if self.dropped_s is None:
            return None
        return max(0.0, self.dropped_s + RESUME_WINDOW_S - now_s)

    def backoff_s(self, chance: float) -> float:
        """Return how long to wait before the next; `chance` is 0 to 1."""
        if not self._failed:
            return 0.0
        return min(BACKOFF_S * BACKOFF_FACTOR ** min(self._failed - 1, 8), MAX_BACKOFF_S) * (
            0.75 + 0.5 * chance
        )
