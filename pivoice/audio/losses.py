"""What is said of a card that is lost and found again: each loss once, and again where its cause is another.

One thread: that which owns the card. Opens nothing, posts nothing.
"""

from __future__ import annotations

import logging

from pivoice.errors import DeviceError

STEADY_S = 10.0  # a card that was there for so long and is lost is news; one that flaps is not
_LASTING = 3  # failures in a row, 1.5 to 6 s: then even a card that flaps is gone


class LossLog:
    """Whether a card is lost, and what was told of it."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self.is_lost = False
        self._cause = ""  # of this loss, or of the last one
        self._failures = 0
        self.is_abandoned = False
        """Nobody cares any more: nothing is told."""
        self._is_told = True  # this loss was; the first time that a card is found is told, too

    def lost(self, error: DeviceError | str, *, is_news: bool = True) -> bool:
        """Note that the card is not to be had; return whether that, or why, is new.

        `is_news`: not one more time of a card that comes and goes. Such a loss is told only if it lasts.
        """
        if self.is_abandoned:
            return False
        cause = error.cause if isinstance(error, DeviceError) else error
        is_loss, is_other = not self.is_lost, cause != self._cause
        if is_loss:
            self.is_lost, self._failures, self._is_told = True, 0, False
        self._cause = cause
        self._failures += 1
        if is_other or (not self._is_told and (is_news or self._failures >= _LASTING)):
            self._is_told = True
            self._logger.error("%s", error)
        elif is_loss:
            self._logger.debug("! %s", error)
        return is_loss or is_other

    def found(self, line: str, *arguments: object) -> None:
        """Note that the card is there, and say so where its loss was told."""
        self._logger.log(logging.INFO if self._is_told else logging.DEBUG, line, *arguments)
        self.is_lost = self._is_told = False
