"""Ears that come back: from storms, from cards that flap, from a thread that hangs."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest

from pivoice.audio.capture import Ears
from pivoice.audio.meter import DIGITAL_SILENCE_DB
from pivoice.audio.pcm import Samples
from pivoice.simulation import JumpClock, JumpLoop
from pivoice.turn.events import CaptureFound, CaptureLost, Valve
from tests.audio.fakes import MarkDetector
from tests.audio.house import House


def test_a_microphone_that_loses_samples_all_the_time_is_given_up_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    house = House(tmp_path)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        await asyncio.sleep(1)
        house.mic.storm(True)
        await asyncio.sleep(2.5)
        house.mic.storm(False)
        await asyncio.sleep(5)

    house.run(script)

    assert [type(each) for each in house.diary.events] == [CaptureFound, CaptureLost, CaptureFound]
    assert "xruns and nothing else" in caplog.text
    assert sum("xruns" in each.getMessage() for each in caplog.records) == 2, "a warning, and the fault"


def test_a_microphone_that_comes_and_goes_is_told_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    house = House(tmp_path)
    caplog.set_level("INFO")

    async def script(loop: JumpLoop, ears: Ears) -> None:
        for _ in range(20):
            await asyncio.sleep(4)
            house.mic.unplug()
            await asyncio.sleep(0.1)
            house.mic.replug()

    house.run(script)

    assert len(house.diary.of(CaptureLost)) == 20
    assert sum("No such device" in each.getMessage() for each in caplog.records) <= 2
    assert len(caplog.records) <= 4


def test_levels_are_told_ten_times_a_second_while_somebody_watches(tmp_path: Path):
    seconds = np.repeat(np.array([0, 1000, 32767, 0, 0, 0], np.int16), 48000)
    house = House(tmp_path, room=seconds)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        await asyncio.sleep(0.5)
        assert house.diary.told("level") == []
        ears.watching = True
        await asyncio.sleep(3)
        ears.watching = False
        await asyncio.sleep(2)

    house.run(script)

    levels = house.diary.told("level")
    assert 25 <= len(levels) <= 31
    assert {each["side"] for each in levels} == {"microphone"}
    assert levels[0]["rms_db"] == levels[0]["peak_db"] == DIGITAL_SILENCE_DB
    assert sum(each["rms_db"] == -30.3 for each in levels) >= 8
    assert 47000 <= sum(int(str(each["clipped"])) for each in levels) <= 48000
    assert levels[0]["gate_open"] is True, "without a gate it is always open"


class HangingDetector(MarkDetector):
    """Hangs, once there is sound enough, until it is released."""

    def __init__(self, clock: JumpClock) -> None:
        super().__init__()
        self.clock = clock
        self.release = threading.Event()

    def score(self, block: Samples) -> dict[str, float]:
        if len(self.blocks) >= 5:
            self.clock.wait(self.release)
            return {"hey_mark": 0.99}
        return super().score(block)


def test_a_thread_that_hangs_in_the_detector_is_abandoned_its_card_free_its_mouth_shut(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    house = House(tmp_path)
    hanging: list[HangingDetector] = []

    async def script(loop: JumpLoop, ears: Ears) -> None:
        hanging.append(HangingDetector(loop.clock))
        ears._wake._detector = hanging[0]
        ears.set_valve(Valve.LIVE)
        await asyncio.sleep(2)
        before = ears.progress
        await asyncio.sleep(2)
        assert ears.progress == before, "it does not hang"

        ears.abandon()

        assert house.mic.in_use is None
        sent = house.sent()
        hanging[0].release.set()
        await asyncio.sleep(1)
        assert not ears.is_running
        assert len(sent) > 0 and len(house.sent()) == 0, "an abandoned thread still sends"

    house.run(script)

    assert [type(each) for each in house.diary.events] == [CaptureFound]
    assert house.diary.told("wake") == []
    assert not [each for each in caplog.records if each.levelname == "ERROR"]


def test_progress_is_asked_of_nobody_who_is_muted(tmp_path: Path):
    house = House(tmp_path)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        await asyncio.sleep(1)
        first = ears.progress
        await asyncio.sleep(1)
        assert None is not ears.progress != first
        house.mic.unplug()
        await asyncio.sleep(1)
        lost = ears.progress
        await asyncio.sleep(5)
        assert None is not ears.progress != lost, "a lost card is not tried again"
        house.mic.replug()
        await asyncio.sleep(4)
        ears.set_muted(True)
        assert ears.progress is not None, "it is open yet"
        await asyncio.sleep(0.5)
        assert ears.progress is None

    house.run(script)
