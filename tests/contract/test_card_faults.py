"""What can happen to a sound card: each is one sentence, and ends with the fault. Both implementations."""

from __future__ import annotations

import pytest

from pivoice.audio import card_faults
from pivoice.audio.pcm import Capture, Playback, open_capture, open_playback
from pivoice.errors import DeviceError
from tests.audio.fakes import noise
from tests.support.bed import Fault
from tests.support.pcm_cards import PERIOD, RATE_HZ, Card, play

REFUSALS: dict[Fault, str] = {
    "unplug": "not there|No such device",
    "busy": "busy",
    "hostdown": r"login session.*name the card itself",
    "denied": "permission denied; let the user pivoice runs as into group audio",
    "eio": r"input/output error; see `dmesg`",
}
LOSSES: dict[Fault, str] = {
    "unplug": "No such device",
    "eio": r"input/output error: its driver gave up, or the sound server behind it ended",
    "stall": r"gave no sound for 0\.2 s|played nothing for 0\.2 s",
}


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card_faults, "STUCK_S", 0.2)


@pytest.mark.parametrize("fault", REFUSALS)
def test_a_card_that_does_not_open_says_why_and_opens_when_that_is_over(card: Card, fault: Fault):
    for which, opens in (
        ("mic", lambda: open_capture(card.audio.capture, card.audio, card.clock)),
        ("speaker", lambda: open_playback(card.audio.playback, card.audio, card.clock)),
    ):
        card.fail(which, fault)

        with pytest.raises(DeviceError, match=REFUSALS[fault]) as caught:
            opens()

        assert "\n" not in str(caught.value)
        card.mend(which)
        opens().close()


@pytest.mark.parametrize("fault", LOSSES)
def test_a_microphone_lost_while_it_is_heard_says_why_and_is_back_by_its_name(
    card: Card, ear: Capture, fault: Fault
):
    ear.read()
    card.fail("mic", fault)

    with pytest.raises(DeviceError, match=LOSSES[fault]) as caught:
        [ear.read() for _ in range(40)]
    ear.close()
    card.mend("mic")
    again = open_capture(card.audio.capture, card.audio, card.clock)

    assert "\n" not in str(caught.value)
    assert len(again.read()) == PERIOD
    again.close()


@pytest.mark.parametrize("fault", LOSSES)
def test_a_speaker_lost_while_it_plays_says_why_and_is_back_by_its_name(
    card: Card, mouth: Playback, fault: Fault
):
    play(mouth, noise(0.06, RATE_HZ))
    card.fail("speaker", fault)

    with pytest.raises(DeviceError, match=LOSSES[fault]) as caught:
        play(mouth, noise(1, RATE_HZ))
    mouth.close()
    card.mend("speaker")
    again = open_playback(card.audio.playback, card.audio, card.clock)
    play(again, noise(0.06, RATE_HZ))

    assert "\n" not in str(caught.value)
    assert again.delay_frames() > 0
    again.close()


def test_a_microphone_that_stood_still_from_the_start_is_told_too(card: Card):
    card.fail("mic", "stall")
    pcm = open_capture(card.audio.capture, card.audio, card.clock)

    with pytest.raises(DeviceError, match=LOSSES["stall"]):
        pcm.read()
    pcm.close()


def test_a_microphone_that_stood_still_for_a_moment_goes_on(card: Card, ear: Capture):
    ear.read()
    card.fail("mic", "stall")
    card.pass_time(0.05)
    card.mend("mic")

    periods = [ear.read() for _ in range(5)]

    assert {len(period) for period in periods} == {PERIOD}


def test_a_microphone_in_a_storm_of_xruns_is_given_up_in_the_end_and_counts_them(card: Card, ear: Capture):
    ear.read()
    card.fail("mic", "storm")

    with pytest.raises(DeviceError, match=r"xruns and nothing else for 0\.2 s.*audio\.period_ms"):
        [ear.read() for _ in range(40)]

    assert ear.xruns > 3


def test_a_microphone_is_heard_again_when_the_storm_is_over(card: Card, ear: Capture):
    ear.read()
    card.fail("mic", "storm")
    with pytest.raises(DeviceError):
        [ear.read() for _ in range(40)]
    card.mend("mic")
    xruns = ear.xruns

    periods = [ear.read() for _ in range(5)]

    assert {len(period) for period in periods} == {PERIOD}
    assert ear.xruns <= xruns + 1


def test_a_speaker_in_a_storm_of_xruns_is_given_up(
    card: Card, mouth: Playback, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(card_faults, "STUCK_S", 2.0)
    play(mouth, noise(0.04, RATE_HZ))
    card.fail("speaker", "storm")

    with pytest.raises(DeviceError, match=r"25 xruns in 2 s.*audio\.period_ms"):
        play(mouth, noise(4, RATE_HZ))

    assert mouth.xruns == card_faults.STORM_XRUNS


def test_a_speaker_in_a_storm_of_xruns_counts_every_one(card: Card, mouth: Playback):
    play(mouth, noise(0.04, RATE_HZ))
    card.fail("speaker", "storm")

    play(mouth, noise(0.4, RATE_HZ))

    assert mouth.xruns > 5


def test_a_pcm_that_was_closed_by_somebody_else_is_a_device_error_and_frees_the_card(
    card: Card, ear: Capture, mouth: Playback
):
    ear.read()
    play(mouth, noise(0.04, RATE_HZ))

    ear.close()
    mouth.close()

    for use in (ear.read, mouth.wait, lambda: mouth.write(noise(0.02, RATE_HZ)), mouth.drop):
        with pytest.raises(DeviceError, match="it was closed meanwhile"):
            use()
    assert mouth.delay_frames() == 0
    open_capture(card.audio.capture, card.audio, card.clock).close()
    open_playback(card.audio.playback, card.audio, card.clock).close()
