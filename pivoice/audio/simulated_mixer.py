"""A card's volume control without a card, for PCMs called "simulated:...": none, until one is fitted.

Any thread. Tests hold a `Fitting` to turn it by another hand, to pull the card, to let it fail or hang.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from pivoice.audio.loudness_scale import Scale
from pivoice.audio.ports import Side
from pivoice.errors import DeviceError


@dataclass
class Fitting:
    """One control of a simulated card. `step`: what it moves by, in dB; without `has_db` a part of 1."""

    name: str
    scale: Scale
    step: float = 1.0
    value: float = 0.0
    is_on: bool = True
    fault: str = ""
    """What the card says to everything, as strerror does; "" works."""
    on_use: Callable[[], None] = lambda: None
    """Called by whoever asks the card or moves it, in that thread: it may take its time."""
    writes: list[float] = field(default_factory=list)
    """Where it was moved by us."""


_fittings: dict[tuple[str, Side], Fitting] = {}


def fit(pcm: str, fitting: Fitting) -> Fitting:
    """Give the simulated card behind `pcm` a control."""
    _fittings[pcm, fitting.scale.side] = fitting
    return fitting


def remove(pcm: str) -> None:
    """Take the controls of that card away."""
    _fittings.pop((pcm, "playback"), None)
    _fittings.pop((pcm, "capture"), None)


def is_fitted(pcm: str, side: Side) -> bool:
    """Return whether the card behind `pcm` has a control."""
    return (pcm, side) in _fittings


def open_control(pcm: str, side: Side, wanted: str, card_no: int | None) -> SimulatedControl | None:
    """Return the control of a simulated card; see controls.open_control."""
    fitting = _fittings.get((pcm, side))
    if fitting is None:
        return None
    if wanted not in ("auto", fitting.name):
        raise DeviceError(pcm, doing=f"find the mixer {wanted!r} of", reason=f"it has {fitting.name!r}")
    return SimulatedControl(pcm, fitting)


class SimulatedControl:
    """Satisfies `controls.Control`."""

    def __init__(self, pcm: str, fitting: Fitting) -> None:
        self.label = f"mixer {fitting.name!r} of card {pcm.rpartition('/')[2].rpartition(':')[2]}"
        self.scale = fitting.scale
        self._fitting = fitting

    def read(self) -> float | None:
        self._answer("ask")
        return self._fitting.value if self._fitting.is_on else None

    def write(self, value: float) -> None:
        self._answer("move")
        steps = math.ceil(round((value - self.scale.lowest) / self._fitting.step, 6))
        moved = self.scale.lowest + steps * self._fitting.step
        self._fitting.value = max(self.scale.lowest, min(self.scale.highest, moved))
        self._fitting.is_on = True
        self._fitting.writes.append(self._fitting.value)

    def close(self) -> None:
        pass

    def _answer(self, doing: str) -> None:
        self._fitting.on_use()
        if self._fitting.fault:
            raise DeviceError(self.label, doing=doing, reason=self._fitting.fault)
