"""What the owner turns and presses: volume and gain, buttons and mute. It is kept where it was left.

Event loop only. Decides nothing about the conversation.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from pivoice.audio.volume import Volume
from pivoice.clock import Clock
from pivoice.config import Config
from pivoice.equipment import Equipment
from pivoice.hands import Hands
from pivoice.records import Record
from pivoice.sound import Sound
from pivoice.turn.events import CaptureFound, Event, MuteChanged, PlaybackFound
from pivoice.turn.machine import Turn

logger = logging.getLogger(__name__)


class Controls:
    """See the module."""

    def __init__(
        self,
        config: Config,
        sound: Sound,
        turn: Turn,
        *,
        clock: Clock,
        post: Callable[[Event], None],
        run_tool: Callable[[str, dict[str, object]], None],
        equipment: Equipment,
    ) -> None:
        self._sound = sound
        self._turn = turn
        path = equipment.record("mute.json")
        self._mute = Record(path, dict[str, bool], logger=logger, forgets="that the microphone was muted")
        self.volume = Volume(
            config.audio,
            record=equipment.record("volume.json"),
            soften=sound.soften,
            amplify=sound.amplify,
            turned=sound.turned,
            clock=clock,
        )
        self.hands = Hands(
            config.panel,
            post=post,
            is_ringing=lambda: turn.ringing,
            is_muted=lambda: turn.muted,
            change_volume=self._step,
            run_tool=run_tool,
        )
        self._steps: set[asyncio.Task[None]] = set()

    @property
    def was_muted(self) -> bool:
        """Whether it was muted when the process before this one ended: none but the owner unmutes."""
        return (self._mute.read() or {}).get("muted", False)

    def note(self, event: Event) -> None:
        """Put a card that was found where it was; keep that the owner muted."""
        match event:
            case MuteChanged():
                self._mute.write({"muted": self._turn.mute_asked})
            case PlaybackFound():
                opened = self._sound.mouth.opened
                self.volume.found("playback", opened.card_no if opened else None)
            case CaptureFound():
                opened = self._sound.ears.opened
                self.volume.found("capture", opened.card_no if opened else None)

    async def set_volume(self, level: int) -> int:
        """Make the speaker so loud, and let it be heard; return how loud it is."""
        level = await self.volume.set_level(level)
        self._sound.mouth.chime("volume")
        return level

    def close(self) -> None:
        """Let go of every button, and keep what is not kept yet."""
        self.hands.close()
        for step in self._steps:
            step.cancel()
        self.volume.close()

    def _step(self, steps: int) -> None:
        async def change() -> None:
            await self.volume.step(steps)
            self._sound.mouth.chime("volume")

        task = asyncio.get_running_loop().create_task(change(), name="volume")
        self._steps.add(task)
        task.add_done_callback(self._steps.discard)
