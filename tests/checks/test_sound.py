"""Microphone and speaker, opened on real PCMs."""

from __future__ import annotations

import numpy as np
import pytest

from pivoice.audio import card_faults
from pivoice.checks import sound
from tests.checks.pi import FakePi, only, told
from tests.support.bed import Bed, Card

CARDS = '[audio]\ncapture = "bed_mic{}"\nplayback = "bed_speaker"\n'
BED = CARDS.format("")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("SETTLE_S", 0.1), ("LISTEN_S", 0.3), ("SILENT_S", 0.3), ("CHANNEL_S", 0.1)):
        monkeypatch.setattr(sound, name, seconds)


def hiss(bed: Bed, *, level: float = 30.0, channel: int | None = None) -> None:
    """Have the microphone hear noise from now on."""
    noise = np.random.default_rng(2).normal(0, level, 5 * 48000)
    bed.say(np.clip(np.rint(noise), -32768, 32767).astype(np.int16), channel=channel)


def test_a_microphone_that_hears_the_room_is_well_and_let_go(pi: FakePi, bed: Bed):
    hiss(bed)

    found = only(sound.microphone, pi.patient(BED))

    assert found.verdict == "ok" and found.text.startswith("'bed_mic', 48000 Hz, ")
    assert "-61 dBFS of noise" in found.text and not bed.is_open("mic")


def test_a_speaker_whose_clock_moves_is_well_and_plays_silence(pi: FakePi, bed: Bed):
    found = only(sound.speaker, pi.patient(BED))

    assert found.verdict == "ok" and "its clock moves" in found.text
    assert "start" in [event for _, event in bed.events("speaker")]
    assert not bed.heard(bed.epoch_s).any() and not bed.is_open("speaker")


def test_a_speaker_that_takes_everything_at_once_is_none(pi: FakePi):
    found = only(sound.speaker, pi.patient('[audio]\nplayback = "null"'))

    assert found.verdict == "warn" and "no card plays them" in found.text


def test_a_silent_microphone_is_told_with_the_control_that_is_off(
    pi: FakePi, bed: Bed, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sound, "_card_of", lambda *_: "Device")
    pi.says("amixer -c Device", "Simple mixer control 'Mic',0\n  Mono: Capture 0 [0%] [-9.00dB] [on]\n")

    found = told(sound.microphone, pi.patient(BED))

    assert [each.verdict for each in found] == ["fail", "warn"] and "nothing at all" in found[0].text
    assert "alsamixer -c Device" in found[0].next and "sset 'Mic' 80% cap" in found[1].next


def test_the_channel_that_hears_is_named_where_another_is_configured(pi: FakePi):
    with Bed(mic=Card(channels=2)) as bed:
        hiss(bed, channel=1)

        found = told(sound.microphone, pi.patient(CARDS.format("_card")))

    assert [each.verdict for each in found] == ["fail", "warn"]
    assert "channel 1 hears something" in found[1].text and "audio.channel = 1" in found[1].next


def test_a_microphone_that_clips_is_told(pi: FakePi, bed: Bed):
    hiss(bed, level=10000.0)

    found = only(sound.microphone, pi.patient(BED))

    assert found.verdict == "warn" and "it clips" in found.text


def test_cards_whose_clock_stands_still_are_told(pi: FakePi, bed: Bed, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(card_faults, "STUCK_S", 0.5)
    bed.stall()

    for look in (sound.microphone, sound.speaker):
        found = only(look, pi.patient(BED))

        assert found.verdict == "fail" and "for 0.5 s" in found.text and found.next
    assert not bed.is_open("mic") and not bed.is_open("speaker")


def test_a_busy_card_is_told_with_what_may_have_it(pi: FakePi, bed: Bed):
    bed.make_busy()

    for look in (sound.microphone, sound.speaker):
        found = only(look, pi.patient(BED))

        assert found.verdict == "fail" and "busy" in found.text
        assert "sudo systemctl stop pivoice" in found.next


def test_a_card_that_is_known_to_be_missing_is_not_opened(pi: FakePi, bed: Bed):
    patient = pi.patient(BED)
    patient.absent = {"microphone", "speaker"}

    assert not told(sound.microphone, patient) and not told(sound.speaker, patient)
    assert not bed.events("mic") and not bed.events("speaker")
