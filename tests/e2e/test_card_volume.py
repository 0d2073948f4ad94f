"""The volume of a real daemon on a card with a mixer of its own, below the real libasound."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bed import Bed
from tests.support.bed_mixer import BedMixer, Knob
from tests.support.stage import Stage

SPEAKER = Knob("Speaker", 0, 100, lowest_db=-50.0, step_db=0.5, has_switch=True)
MICROPHONE = Knob("Mic", 0, 35, lowest_db=-12.0, step_db=1.0, side="Capture")
VOLUME, SWITCH, GAIN = "Speaker Playback Volume", "Speaker Playback Switch", "Mic Capture Volume"


@pytest.fixture
def stage(tmp_path: Path, bed: Bed) -> Iterator[Stage]:
    settings: dict[str, dict[str, object]] = {"wake": {"engine": "none"}, "audio": {"max_volume": 80}}
    cards = ("plughw:CARD=bed,DEV=0", "plughw:CARD=bed,DEV=0")
    with Stage(tmp_path, bed=bed, settings=settings, cards=cards) as made:
        made.port = 1  # nobody calls an agent here
        yield made


def test_ctl_turns_the_cards_own_controls_and_a_restart_and_a_new_plug_leave_them_there(
    stage: Stage, bed: Bed
):
    mixer = BedMixer(bed, SPEAKER, MICROPHONE)
    mixer.turn(VOLUME, 100)
    mixer.turn(SWITCH, 1)
    stage.start_daemon()
    stage.wait_until(lambda: mixer.values(VOLUME) == [89, 89], "the control at the most")  # -5.8 dB

    assert stage.ctl("volume", value="60")["by"] == "mixer 'Speaker' of card bed"
    assert stage.ctl("gain", value="100")["gain_by"] == "mixer 'Mic' of card bed"
    assert mixer.values(VOLUME) == [74, 74]  # -13.3 dB
    assert mixer.values(GAIN) == [35, 35]

    mixer.turn(VOLUME, 40)
    assert stage.ctl("volume")["volume"] == 32  # somebody else's -30 dB
    assert stage.ctl("volume", value="60")["volume"] == 60

    assert stage.daemon is not None
    stage.daemon.terminate()
    stage.daemon.wait(10)
    mixer.turn(VOLUME, 100)
    mixer.turn(SWITCH, 0)
    stage.start_daemon()
    stage.wait_until(lambda: mixer.values(VOLUME) == [74, 74], "the control where it was")
    stage.wait_until(lambda: mixer.values(SWITCH) == [1, 1], "the switch, which is turned after it")

    bed.unplug()
    mixer.fail("unplug")
    assert stage.ctl("volume", value="60")["by"] == "software"
    stage.wait_until(lambda: not stage.ctl("status")["playback"]["is_open"], "the loss of the card")
    mixer.turn(VOLUME, 100)
    mixer.mend()
    bed.plug()
    stage.wait_until(lambda: mixer.values(VOLUME) == [74, 74], "the control where it was, again")


def test_a_mixer_that_hangs_holds_neither_the_daemon_nor_its_end(stage: Stage, bed: Bed):
    mixer = BedMixer(bed, SPEAKER, MICROPHONE)
    stage.start_daemon()
    stage.wait_until(lambda: stage.ctl("volume")["by"] != "software", "the control")
    mixer.fail("stall")

    begun_s = time.monotonic()
    assert stage.ctl("volume", value="30")["by"] == "software"
    assert stage.ctl("status")["hears"]
    assert stage.daemon is not None
    stage.daemon.terminate()
    assert stage.daemon.wait(10) == 0
    assert time.monotonic() - begun_s < 9
