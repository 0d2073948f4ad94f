"""Time's part of a ring: again every few seconds, until somebody stops it, or its minutes are over.

Event loop only. Decides nothing else: that something rings, and when it may sound, is the turn machine's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pivoice.turn.events import Event, RingDue, RingSilenced

EVERY_S = 4.0  # from one ring to the next: there is a pause to say the wake word in
PAUSE_S = 2.0  # and at least so long a one after a sound of the owner's, which may last half a minute


class Ringing:
    """See the module. `follow` it after every step of the turn machine."""

    def __init__(
        self,
        post: Callable[[Event], None],
        *,
        limit_s: float,
        over: Callable[[], None],
        sound_s: float = 0.0,
    ) -> None:
        """`over`: called once whenever the ringing has ended, by whomever. `sound_s`: of one ring."""
        self._post = post
        self._limit_s = limit_s
        self._over = over
        self._every_s = max(EVERY_S, sound_s + PAUSE_S)
        self._next: asyncio.TimerHandle | None = None
        self._end: asyncio.TimerHandle | None = None

    def rang(self) -> None:
        """A timer has just begun to ring: the minutes count from now."""
        if self._end:
            self._end.cancel()
        self._end = asyncio.get_running_loop().call_later(self._limit_s, self._post, RingSilenced())

    def follow(self, is_ringing: bool) -> None:
        """Keep time while something rings."""
        if is_ringing and self._next is None:
            self._arm()
        elif not is_ringing and self._next is not None:
            self.close()
            self._over()

    def close(self) -> None:
        """Keep no time any more."""
        for timer in (self._next, self._end):
            if timer:
                timer.cancel()
        self._next = self._end = None

    def _arm(self) -> None:
        self._next = asyncio.get_running_loop().call_later(self._every_s, self._due)

    def _due(self) -> None:
        self._arm()
        self._post(RingDue())
