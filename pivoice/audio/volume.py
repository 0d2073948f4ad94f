"""How loud the speaker is and how much the microphone is turned up: one scale each, kept over restarts.

Event loop only; what a card is told, it is told in a thread of its own, one thing at a time, the latest wish
wins. The card's own control does what it can and our samples the rest; all of it, where there is no control,
where it fails (told once) and until it answers. Somebody else's hand on the control is seen when we look.
Never above `audio.max_volume`. With nothing kept and nothing configured, a control stays where it is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pivoice.audio.loudness_scale import FULL, GAIN_PLAIN, gain_factor, level_db, softness
from pivoice.audio.pcm import from_db
from pivoice.audio.ports import Side
from pivoice.audio.volume_side import SideOfCard
from pivoice.clock import Clock, SystemClock
from pivoice.config import AudioConfig
from pivoice.records import Record

logger = logging.getLogger(__name__)

RING_LEAST = 40
"""A timer rings at least so loud (-24 dB), unless audio.max_volume forbids: one that nobody hears is none."""
WRITE_S = 3.0  # a button held writes once; what a power cut takes is no more than that
_FRESH_S = 1.0  # what was changed so lately needs no look before the next step


@dataclass(frozen=True)
class Kept:
    """What volume.json holds; None: nobody ever changed it."""

    volume: int | None = None
    gain: int | None = None


class Volume:
    """See the module."""

    def __init__(
        self,
        audio: AudioConfig,
        *,
        record: Path | None,
        soften: Callable[[float], None],
        amplify: Callable[[float], None],
        turned: Callable[[], None] = lambda: None,
        clock: Clock | None = None,
    ) -> None:
        """`soften` and `amplify` are given factors, of what is played and of what is heard: at once, for
        nothing is known of a card yet, and whenever they change. `turned`: told when the microphone hears
        the speaker louder or softer than before, but not by what is played."""
        self._audio = audio
        self._record = Record(record, Kept, logger=logger, forgets="the volume")
        self._writing: asyncio.TimerHandle | None = None
        self._changed_s = -_FRESH_S
        self._is_ringing = False
        kept = self._record.read() or Kept()
        clock = clock or SystemClock()
        self._speaker = SideOfCard(
            "playback",
            audio.playback,
            audio.mixer,
            clock=clock,
            most=audio.max_volume,
            kept=kept.volume,
            configured=audio.volume,
            factor=_softness,
            tell=soften,
            turned=turned,
        )
        self._microphone = SideOfCard(
            "capture",
            audio.capture,
            audio.capture_mixer,
            clock=clock,
            most=FULL,
            kept=kept.gain,
            plain=GAIN_PLAIN,
            factor=_gain,
            tell=amplify,
            turned=turned,
        )

    @property
    def level(self) -> int:
        """The speaker's volume, 0-100."""
        return self._speaker.level

    @property
    def gain(self) -> int:
        """The microphone's, 0-100: its control's, or in samples, where 50 leaves it alone."""
        return self._microphone.level

    async def set_level(self, level: int) -> int:
        """Make the speaker so loud; return how loud it may be: 0 to audio.max_volume."""
        self._speaker.choose(level)
        return await self._changed(self._speaker)

    async def set_gain(self, gain: int) -> int:
        """Turn the microphone up or down; return what came of it."""
        self._microphone.choose(gain)
        return await self._changed(self._microphone)

    async def step(self, steps: int) -> int:
        """Make the speaker louder or softer by so many steps of audio.volume_step; return how loud it is."""
        if self._now_s() - self._changed_s > _FRESH_S:
            await self._speaker.look()  # from where somebody else left it
        self._speaker.choose(self._speaker.level + steps * self._audio.volume_step)
        return await self._changed(self._speaker)

    def found(self, side: Side, card_no: int | None = None) -> None:
        """A card was opened, on this side: put it where it was. `card_no`: `Format.card_no`."""
        (self._speaker if side == "playback" else self._microphone).found(card_no)

    def ringing(self, is_ringing: bool) -> None:
        """A timer rings, or no more: it must be heard, whatever the volume is."""
        if is_ringing != self._is_ringing:
            self._is_ringing = is_ringing
            self._speaker.least = min(RING_LEAST, self._audio.max_volume) if is_ringing else 0
            self._speaker.place()

    async def look(self) -> None:
        """See what others did with the controls; 2 s at most, and mostly a few ms."""
        before = self._speaker.kept, self._microphone.kept
        await asyncio.gather(self._speaker.look(), self._microphone.look())
        if (self._speaker.kept, self._microphone.kept) != before:
            self._write_soon()

    def status(self) -> dict[str, object]:
        """Return what is known without a look, for people."""
        speaker, microphone = self._speaker, self._microphone
        return {
            "volume": speaker.level,
            "max": self._audio.max_volume,
            "by": speaker.by,
            "gain": microphone.level,
            "gain_by": microphone.by,
        }

    def close(self) -> None:
        """Keep what is not kept yet. A card that is asked something is left to it."""
        self._speaker.close()
        self._microphone.close()
        if self._writing is not None:
            self._write()

    async def _changed(self, side: SideOfCard) -> int:
        self._changed_s = self._now_s()
        self._write_soon()
        await side.settled()
        return side.level

    def _write_soon(self) -> None:
        if self._writing is None:
            self._writing = asyncio.get_running_loop().call_later(WRITE_S, self._write)

    def _write(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None
        self._record.write(Kept(volume=self._speaker.kept, gain=self._microphone.kept))

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()


def _softness(level: int, placed: int | None) -> float:
    """Return the factor for a speaker whose control stands still, at level `placed` (None: it has none)."""
    if placed is None or not level:
        return softness(level)
    return from_db(min(0.0, level_db(level) - level_db(max(1, placed))))


def _gain(level: int, placed: int | None) -> float:
    """Return the same for a microphone."""
    if placed is None:
        return gain_factor(level)
    change_db = level_db(max(1, level)) - level_db(max(1, placed))
    return from_db(max(-30.0, min(30.0, change_db)))
