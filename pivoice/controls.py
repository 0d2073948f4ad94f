"""What the owner turns and presses: volume and gain, buttons and mute switch. Its sounds, too.

Event loop only. Decides nothing about the conversation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from pivoice.audio.volume import Volume
from pivoice.clock import Clock
from pivoice.config import Config
from pivoice.hands import Hands
from pivoice.sound import Sound
from pivoice.turn.events import CaptureFound, Event, PlaybackFound
from pivoice.turn.machine import Turn


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
        record: Path | None,
    ) -> None:
        """`record`: where volume and gain are kept."""
        self._sound = sound
        self.volume = Volume(
            config.audio,
            record=record,
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

    def note(self, event: Event) -> None:
        """Put a card that was found where it was."""
        match event:
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
