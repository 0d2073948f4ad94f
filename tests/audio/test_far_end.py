"""What the canceller is told of the speaker: what the card took, sample for sample, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from pivoice.audio.buffers import SpokenRing
from pivoice.audio.pcm import Samples
from pivoice.audio.playback import RUN_ON_S, Mouth
from pivoice.audio.reference import Reference
from pivoice.audio.simulated import Speaker, speaker
from pivoice.config import AudioConfig
from pivoice.simulation import JumpLoop, run_jumping
from tests.audio.fakes import Diary, noise

WIRE_HZ, CARD_HZ = 24_000, 48_000


class Listening(Reference):
    """Remembers what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[float, Samples, bool]] = []
        self.calls: list[str] = []

    def open(self, rate_hz: int) -> None:
        self.calls.append("open")
        super().open(rate_hz)

    def push(self, samples: Samples, begins_s: float, *, has_broken: bool = False) -> None:
        self.told.append((begins_s, samples.copy(), has_broken))
        super().push(samples, begins_s, has_broken=has_broken)

    def stop(self) -> None:
        self.calls.append("stop")
        super().stop()


def play(
    folder: Path, script: Callable[[Mouth, Speaker], Awaitable[None]], *, volume: int = 60
) -> tuple[Listening, Speaker]:
    """Run `script` beside a mouth; return what its canceller was told, and the card."""
    audio = AudioConfig(playback=f"simulated:{folder / 'speaker.wav'}", max_volume=volume)
    reference, diary, card = Listening(), Diary(), speaker(audio.playback)

    async def main(loop: JumpLoop) -> None:
        mouth = Mouth(
            audio=audio,
            clock=loop.clock,
            post=diary.post,
            report=diary.report,
            spoken=SpokenRing(),
            gate=None,
            reference=reference,
        )
        mouth.start()
        await asyncio.sleep(0.01)  # opened
        await script(mouth, card)
        mouth.stop()
        await asyncio.sleep(0.1)

    run_jumping(main)
    return reference, card


def say(mouth: Mouth, reply: int, seconds: float) -> None:
    mouth.play(reply, noise(seconds, WIRE_HZ))
    mouth.end(reply)


def sounded_at(card: Speaker, begins_s: float, frames: int) -> Samples:
    begin = card.frame_at(begins_s)
    return card.heard(begin, begin + frames)


async def everything(mouth: Mouth, _: Speaker) -> None:
    """Have a reply ducked, chimed over and cut while it is ducked, another come back up, and one run dry."""
    say(mouth, 1, 3.0)
    await asyncio.sleep(0.5)
    mouth.set_ducked(True)
    await asyncio.sleep(0.3)
    mouth.chime("wake")
    await asyncio.sleep(0.1)
    mouth.drop(1)
    await asyncio.sleep(0.3)
    say(mouth, 2, 1.0)
    await asyncio.sleep(0.3)
    mouth.set_ducked(False)
    await asyncio.sleep(1.0)
    mouth.play(3, noise(0.4, WIRE_HZ))
    await asyncio.sleep(1.0)


@pytest.mark.parametrize("volume", [60, 100])
def test_all_that_the_card_took_is_told_sample_for_sample_where_it_sounds(tmp_path: Path, volume: int):
    reference, card = play(tmp_path, everything, volume=volume)

    told = reference.told[:-3]  # what the card still held when it was stopped never sounded
    assert sum(bool(samples.any()) for _, samples, _ in told) * 0.02 > 2.0
    for begins_s, samples, _ in told:
        assert np.array_equal(sounded_at(card, begins_s, len(samples)), samples)
    ends_s = [begins_s + len(samples) / CARD_HZ for begins_s, samples, _ in told]
    assert [begins_s for begins_s, *_ in told[1:]] == pytest.approx(ends_s[:-1], abs=1e-4)
    first, last = card.frame_at(told[0][0]), card.frame_at(ends_s[-1])
    assert not card.heard(0, first).any() and not card.heard(last, last + CARD_HZ).any()


def test_what_the_card_refused_is_not_told(tmp_path: Path):
    asked = 0

    async def script(mouth: Mouth, card: Speaker) -> None:
        def late_s() -> float:
            nonlocal asked
            asked += 1
            if asked == 21:  # by the look for the card, then in turns by what waits for room and what writes
                card.unplug()
            return 0.001 if asked == 21 else 0.0

        card.lateness = late_s
        say(mouth, 1, 2.0)
        await asyncio.sleep(1.0)

    reference, _ = play(tmp_path, script)

    assert asked == 21
    assert len(reference.told) == 9
    assert reference.calls == ["open", "stop"]


def test_a_card_that_ran_dry_and_one_that_was_opened_anew_are_told(tmp_path: Path):
    async def script(mouth: Mouth, card: Speaker) -> None:
        say(mouth, 1, 1.0)
        await asyncio.sleep(0.5)
        card.request_xrun()
        await asyncio.sleep(0.2)
        card.unplug()
        card.replug()
        await asyncio.sleep(2.0)
        say(mouth, 2, 0.5)
        await asyncio.sleep(0.5)

    reference, _ = play(tmp_path, script)

    assert [has_broken for *_, has_broken in reference.told].count(True) == 1
    assert reference.calls[:3] == ["open", "stop", "open"]
    assert reference.breaks == 3


def test_five_seconds_after_the_last_sound_there_is_nothing_to_cancel(tmp_path: Path):
    is_running: list[bool] = []

    async def script(mouth: Mouth, _: Speaker) -> None:
        reference = mouth._reference
        assert reference
        say(mouth, 1, 0.3)
        for wait_s in (RUN_ON_S, 0.5):
            await asyncio.sleep(wait_s)
            is_running.append(reference.is_running)

    play(tmp_path, script)

    assert is_running == [True, False]
