"""What becomes of the observations besides being watched: latencies, the log's account of each turn, metrics.

Event loop only. Lives as long as the process and goes from one daemon to the next at a reload.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pivoice.latency import Latencies
from pivoice.metrics import Metrics, Readings
from pivoice.turn_log import TurnLog

Told = dict[str, object]


class Chronicle:
    """See the module."""

    def __init__(self, note: Callable[..., None] = lambda **fields: None) -> None:
        """`note`: as `journal.note`; gives every line of the log the turn and the session it belongs to."""
        self.latencies = Latencies()
        self.metrics = Metrics()
        self._turns = TurnLog(note)

    def observe(self, line: Mapping[str, object]) -> list[Told]:
        """Take one observation; return what follows from it, for whoever watches: `latency`, `turn` and
        `conversation`."""
        told: list[Told] = [
            {"event": "latency", "time_s": line["time_s"], **each} for each in self.latencies.observe(line)
        ]
        for each in (*told, line):
            told += self._turns.observe(each)
        for each in (line, *told):
            self.metrics.observe(each)
        return told

    def close(self, readings: Readings) -> list[Told]:
        """A daemon ends: its open turn does, and what it counted itself is kept. Return what follows."""
        told = self._turns.close()
        for each in told:
            self.metrics.observe(each)
        self.metrics.keep(readings)
        return told
