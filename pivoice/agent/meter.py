"""How long sessions were open today: what the server bills. PURE: the caller brings time and date."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

LINGER_BILLED_S = 30.0  # a socket closed without `session.end` is billed this much longer


class Meter:
    """Counts open seconds per local day; in memory, so a restart forgets."""

    def __init__(self, *, daily_minutes: float, today: Callable[[], date]) -> None:
        self._limit_s = daily_minutes * 60
        self._today = today
        self._day = today()
        self._spent_s = 0.0
        self._since_s: float | None = None

    def start(self, now_s: float) -> None:
        if self._since_s is None:
            self._since_s = now_s

    def stop(self, now_s: float, *, tail_s: float = 0.0) -> None:
        """The session is closed; the server bills `tail_s` more."""
        if self._since_s is not None:
            self._roll()
            self._spent_s += now_s - self._since_s + tail_s
            self._since_s = None

    def give_back(self, seconds: float) -> None:
        """A tail was not used up: the session was resumed."""
        self._spent_s = max(0.0, self._spent_s - seconds)

    def spent_s(self, now_s: float) -> float:
        self._roll()
        return self._spent_s + (now_s - self._since_s if self._since_s is not None else 0.0)

    def is_spent(self, now_s: float) -> bool:
        """Whether the day's cap is reached; never without a cap."""
        return self._limit_s > 0 and self.spent_s(now_s) >= self._limit_s

    def _roll(self) -> None:
        if (today := self._today()) != self._day:
            self._day, self._spent_s = today, 0.0
