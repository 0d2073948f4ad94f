"""What all strips and rings on SPI have in common: from a moment to the code of each pixel."""

from __future__ import annotations

from collections.abc import Callable

from pivoice.panel.lights import Moment
from pivoice.panel.patterns import picture

_SHADES = 255


class Shades:
    """Codes of one colour in all its shades, made as needed: a frame of 300 pixels is 300 look-ups."""

    def __init__(self, code: Callable[[Moment, float], bytes]) -> None:
        """`code` makes the bytes of a pixel that is to look that bright, 0 to 1."""
        self._code = code
        self._known: dict[int, bytes] = {}
        self._of: tuple[object, float] = (None, 0.0)

    def of(self, moment: Moment, pixels: int) -> bytes:
        """Return the codes of all pixels, the first one's first."""
        now = (moment.pattern.colour, moment.brightness)
        if now != self._of:
            self._of, self._known = now, {}
        shown = picture(moment.pattern, moment.elapsed_s, moment.level, pixels)
        return b"".join([self._shade(moment, round(_SHADES * part)) for part in shown])

    def _shade(self, moment: Moment, shade: int) -> bytes:
        known = self._known.get(shade)
        if known is None:
            known = self._known[shade] = self._code(moment, shade / _SHADES)
        return known
