"""Counts the samples a card lost, and says so now and then. One thread: that which owns the card.

A card that loses them all the time is given up by the PCM itself (card_faults.py).
"""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)

WARNING_S = 60.0


class XrunLog:
    """The xruns of one side of the house, over all the times that its card was opened."""

    def __init__(self, side: str) -> None:
        self.total = 0
        self._side = side
        self._warned_s = -WARNING_S
        self._warned_of = 0

    def add(self, count: int, now_s: float) -> None:
        """`count` more happened."""
        self.total += count
        if now_s - self._warned_s >= WARNING_S:
            self._warned_s = now_s
            new, self._warned_of = self.total - self._warned_of, self.total
            logger.warning("%s: %d new xruns; if they go on, try audio.period_ms = 40", self._side, new)
