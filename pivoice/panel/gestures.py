"""From edges to gestures: a contact that is still, then a press, a double press, a hold. PURE.

Times are seconds on one clock that never steps, and only compared. Both parts of this file work alike: tell
them what `moved` and, once their `deadline_s` is reached, that it has `passed`; they return what came of it.
A caller that is late changes nothing: what counts is when the contact moved.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

Kind = Literal["press", "double", "hold"]


@dataclass(frozen=True)
class Gesture:
    """What a finger did."""

    kind: Kind
    is_over: bool = False
    """Follows later, or at once: the button is up again. Ends what lasts as long as it is held."""


class Contact:
    """A contact whose bounces are no moves.

    The first change counts at once, and whatever follows within `still_s` only by the level it leaves behind.
    A pin factory that waits for the contact to be still, as lgpio does, loses no time here.
    """

    def __init__(self, still_s: float, *, is_down: bool | None = False) -> None:
        """`is_down`: the level known by now; None: any level is news."""
        self.is_down = is_down
        self.deadline_s: float | None = None
        self._still_s = still_s
        self._raw = is_down
        self._bounces_until_s = float("-inf")

    def moved(self, is_down: bool, time_s: float) -> list[tuple[bool, float]]:
        """Return the levels that it has from now on, each with its time; seldom more than one."""
        changes = self.passed(time_s)
        self._raw = is_down
        if time_s < self._bounces_until_s:
            self.deadline_s = self._bounces_until_s
            return changes
        return [*changes, *self._settle(time_s)]

    def passed(self, time_s: float) -> list[tuple[bool, float]]:
        """Return the level that it was left with, where that is another."""
        if self.deadline_s is None or time_s < self.deadline_s:
            return []
        settled_s, self.deadline_s = self.deadline_s, None
        return self._settle(settled_s)

    def _settle(self, time_s: float) -> list[tuple[bool, float]]:
        if self._raw is None or self._raw == self.is_down:
            return []
        self.is_down = self._raw
        self._bounces_until_s = time_s + self._still_s
        return [(self.is_down, time_s)]


class _Place(Enum):
    """Where a button is between two gestures."""

    UP = "up"
    DOWN = "down, and it may become a hold"
    PRESSED_ONCE = "up, and it may become a double press"
    TOLD = "down, and what it is was told"


class Gestures:
    """One button. Every press is told once: as a press, as half of a double press, or as a hold.

    Where neither a double press nor a hold means anything, a press is told when the button goes down; else
    when it is known to be one: on release, or `double_s` later.
    """

    def __init__(self, *, hold_s: float | None, double_s: float | None) -> None:
        """None: there is no hold, or no double press."""
        self.deadline_s: float | None = None
        self._hold_s = hold_s
        self._double_s = double_s
        self._place = _Place.UP
        self._told: Kind = "press"

    def moved(self, is_down: bool, time_s: float) -> list[Gesture]:
        gestures = self.passed(time_s)
        return [*gestures, *(self._pressed(time_s) if is_down else self._released(time_s))]

    def passed(self, time_s: float) -> list[Gesture]:
        if self.deadline_s is None or time_s < self.deadline_s:
            return []
        self.deadline_s = None
        if self._place is _Place.DOWN:
            return self._tell("hold")
        self._place = _Place.UP
        return [Gesture("press"), Gesture("press", is_over=True)]

    def forget(self) -> None:
        """Whatever was begun comes to nothing."""
        self._place, self.deadline_s = _Place.UP, None

    def _pressed(self, time_s: float) -> list[Gesture]:
        self.deadline_s = None
        if self._place is _Place.PRESSED_ONCE:
            return self._tell("double")
        if self._hold_s is None and self._double_s is None:
            return self._tell("press")
        self._place = _Place.DOWN
        if self._hold_s is not None:
            self.deadline_s = time_s + self._hold_s
        return []

    def _released(self, time_s: float) -> list[Gesture]:
        self.deadline_s = None
        was, self._place = self._place, _Place.UP
        if was is _Place.TOLD:
            return [Gesture(self._told, is_over=True)]
        if was is not _Place.DOWN:
            return []  # it was down before anybody looked
        if self._double_s is None:
            return [Gesture("press"), Gesture("press", is_over=True)]
        self._place, self.deadline_s = _Place.PRESSED_ONCE, time_s + self._double_s
        return []

    def _tell(self, kind: Kind) -> list[Gesture]:
        self._place, self._told = _Place.TOLD, kind
        return [Gesture(kind)]
