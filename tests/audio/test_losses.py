"""What the journal is told of a card that is lost: one line for each cause, and none that is out of date."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from pathlib import Path

import pytest

from pivoice.audio.capture import Ears
from pivoice.audio.card_faults import broken
from pivoice.audio.losses import LossLog
from pivoice.audio.refusals import refused
from pivoice.errors import DeviceError
from pivoice.simulation import JumpLoop
from pivoice.turn.events import CaptureLost
from tests.audio.house import House


@pytest.fixture
def losses(caplog: pytest.LogCaptureFixture) -> LossLog:
    caplog.set_level("INFO")
    return LossLog(logging.getLogger("pivoice.test"))


def error(number: int, *, on_open: bool) -> DeviceError:
    text = os.strerror(number)
    return refused("mic", "capture", text) if on_open else broken("mic", "read from", text)


@pytest.mark.parametrize(
    ("read", "opened"),
    [
        (errno.ENODEV, errno.ENODEV),
        (errno.ENODEV, errno.ENOENT),
        (errno.EBADFD, errno.ENXIO),
        (errno.EIO, errno.EIO),
        (errno.EIO, errno.ECONNREFUSED),
        (errno.ESTRPIPE, errno.ESTRPIPE),
    ],
)
def test_one_cause_is_told_once_while_reading_and_opening_put_it_differently(
    losses: LossLog, caplog: pytest.LogCaptureFixture, read: int, opened: int
):
    is_new = [losses.lost(error(read, on_open=False))]

    is_new += [losses.lost(error(opened, on_open=True), is_news=False) for _ in range(10)]

    assert is_new == [True] + [False] * 10
    assert len(caplog.records) == 1
    assert "; " in caplog.messages[0] and os.strerror(errno.ESTRPIPE) not in caplog.messages[0]


def test_a_card_that_is_back_and_taken_by_another_program_is_told_as_busy(
    losses: LossLog, caplog: pytest.LogCaptureFixture
):
    losses.lost(error(errno.ENODEV, on_open=False))

    is_new = losses.lost(error(errno.EBUSY, on_open=True), is_news=False)

    assert is_new
    assert "busy" in caplog.messages[-1]


def test_a_card_that_flaps_is_told_of_in_the_end_if_it_stays_away(
    losses: LossLog, caplog: pytest.LogCaptureFixture
):
    losses.lost(error(errno.ENODEV, on_open=False))
    losses.found("found")
    losses.lost(error(errno.ENODEV, on_open=False), is_news=False)
    assert len(caplog.records) == 2, "a card that comes and goes"

    for _ in range(10):
        losses.lost(error(errno.ENODEV, on_open=True), is_news=False)
    losses.found("found again")

    assert [each.levelname for each in caplog.records] == ["ERROR", "INFO", "ERROR", "INFO"]


def test_a_card_that_is_opened_again_without_a_loss_is_no_news(
    losses: LossLog, caplog: pytest.LogCaptureFixture
):
    losses.found("at the start")
    losses.found("unmuted")

    assert caplog.messages == ["at the start"]


def test_the_fault_that_is_shown_is_the_one_of_now(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    house = House(tmp_path)

    async def script(loop: JumpLoop, ears: Ears) -> None:
        await asyncio.sleep(0.5)
        house.mic.unplug()
        await asyncio.sleep(2)
        house.mic.make_busy(True)
        house.mic.replug()
        await asyncio.sleep(5)

    house.run(script)

    gone, busy = house.diary.of(CaptureLost)
    assert "No such device" in gone.reason
    assert "busy" in busy.reason
    assert [each.getMessage() for each in caplog.records if each.levelname == "ERROR"] == [
        gone.reason,
        busy.reason,
    ]
