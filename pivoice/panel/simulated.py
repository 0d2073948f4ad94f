"""A panel in memory: tests press its button and look at its light."""

from __future__ import annotations

from collections.abc import Callable

from pivoice.config import PanelConfig
from pivoice.panel.panel import Post
from pivoice.panel.patterns import Pattern
from pivoice.turn.events import ButtonPressed


class SimulatedPanel:
    """Remembers every pattern it was shown. Presses are posted in the caller's thread."""

    def __init__(self, config: PanelConfig, *, post: Post, on_long_press: Callable[[], None]) -> None:
        del config
        self.shown: list[Pattern] = []
        self.is_closed = False
        self._post = post
        self._on_long_press = on_long_press

    def show(self, pattern: Pattern) -> None:
        if not self.is_closed:
            self.shown.append(pattern)

    def press(self) -> None:
        """Press the button shortly."""
        if not self.is_closed:
            self._post(ButtonPressed())

    def hold(self) -> None:
        """Press the button long enough, and release it."""
        if not self.is_closed:
            self._on_long_press()

    def close(self) -> None:
        self.is_closed = True
