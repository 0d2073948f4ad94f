"""A card's volume control: the simulated one and the real one, through libasound, must behave the same."""

from __future__ import annotations

import ctypes
import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pivoice.audio import card_mixer, controls, simulated_mixer
from pivoice.audio.loudness_scale import Scale
from pivoice.audio.ports import Side
from pivoice.audio.simulated_mixer import Fitting
from pivoice.errors import DeviceError
from tests.support.bed import Bed
from tests.support.bed_mixer import BedMixer, Knob

SPEAKER = Knob("PCM", 0, 127, lowest_db=-63.5, step_db=0.5, has_switch=True)
SIDETONE = Knob("Mic", 0, 31, lowest_db=-31.0, step_db=1.0)
MICROPHONE = Knob("Mic", 0, 35, lowest_db=-12.0, step_db=1.0, side="Capture", has_switch=True)
_serial = itertools.count()


@dataclass
class Card:
    """A card with a speaker of 0.5 dB a step and a microphone of 1 dB, and another hand on them."""

    speaker: str
    microphone: str
    turn: Callable[[float], None]
    """Put the speaker's control there, in dB."""
    switch: Callable[[bool], None]
    break_: Callable[[], None]


def real_card(bed: Bed, pcm: str) -> Card:
    mixer = BedMixer(bed, SPEAKER, SIDETONE, MICROPHONE)
    return Card(
        pcm,
        pcm.replace("speaker", "mic"),
        turn=lambda value_db: mixer.turn("PCM Playback Volume", round(2 * (value_db + 63.5))),
        switch=lambda is_on: mixer.turn("PCM Playback Switch", int(is_on)),
        break_=lambda: mixer.fail("eio"),
    )


def simulated_card() -> Card:
    pcm = f"simulated:/nowhere/{next(_serial)}.wav"
    speaker = Fitting("PCM", Scale("playback", -63.5, 0.0), step=0.5, value=-63.5, is_on=False)
    microphone = Fitting("Mic", Scale("capture", -12.0, 23.0), step=1.0, value=-12.0)
    simulated_mixer.fit(pcm, speaker)
    simulated_mixer.fit(pcm, microphone)
    return Card(
        pcm,
        pcm,
        turn=lambda value_db: setattr(speaker, "value", value_db),
        switch=lambda is_on: setattr(speaker, "is_on", is_on),
        break_=lambda: setattr(speaker, "fault", "Input/output error"),
    )


@pytest.fixture(params=["bed_speaker", "plughw:CARD=bed", "simulated"])
def card(request: pytest.FixtureRequest, bed: Bed) -> Iterator[Card]:
    made = simulated_card() if request.param == "simulated" else real_card(bed, request.param)
    yield made
    simulated_mixer.remove(made.speaker)


def opened(pcm: str, side: Side, wanted: str = "auto") -> controls.Control:
    control = controls.open_control(pcm, side, wanted)
    assert control is not None
    return control


@pytest.mark.parametrize(
    ("side", "name", "scale"),
    [("playback", "PCM", Scale("playback", -63.5, 0.0)), ("capture", "Mic", Scale("capture", -12.0, 23.0))],
)
def test_the_control_of_a_side_is_found_by_its_name(card: Card, side: Side, name: str, scale: Scale):
    control = opened(card.speaker if side == "playback" else card.microphone, side)

    assert control.label.startswith(f"mixer {name!r} of card ")
    assert control.scale == scale


def test_what_was_written_is_read_and_is_never_below_what_was_wanted(card: Card):
    control = opened(card.speaker, "playback")

    control.write(-20.3)

    assert control.read() == pytest.approx(-20.0)


@pytest.mark.parametrize("value_db", [-63.5, -0.01, 0.0])
def test_both_ends_are_reached(card: Card, value_db: float):
    control = opened(card.speaker, "playback")

    control.write(value_db)

    assert control.read() == pytest.approx(value_db, abs=0.011)


def test_another_hand_is_seen(card: Card):
    opened(card.speaker, "playback").write(-10.0)

    card.turn(-30.0)

    assert opened(card.speaker, "playback").read() == pytest.approx(-30.0)


def test_switched_off_reads_as_nothing_and_writing_switches_on(card: Card):
    control = opened(card.speaker, "playback")
    card.switch(False)
    was = opened(card.speaker, "playback").read()

    control.write(-10.0)

    assert was is None
    assert opened(card.speaker, "playback").read() == pytest.approx(-10.0)


def test_a_card_that_breaks_says_so(card: Card):
    control = opened(card.speaker, "playback")
    card.break_()

    with pytest.raises(DeviceError, match=r"cannot move .*mixer 'PCM'.*Input/output error"):
        control.write(-10.0)


def test_a_control_that_is_not_there_is_named(card: Card):
    with pytest.raises(DeviceError, match=r"cannot find the mixer 'Lautsprecher'.*'PCM'"):
        controls.open_control(card.speaker, "playback", "Lautsprecher")


# --- what only libasound has ---


@pytest.mark.parametrize(
    "pcm", ["nobody", "hw:CARD=nobody,DEV=0", "plughw:7,0", "default", "null", "simulated:x.wav"]
)
def test_where_there_is_no_card_there_is_no_control(pcm: str, bed: Bed):
    assert controls.open_control(pcm, "playback") is None


def test_the_number_of_the_card_goes_before_the_name_of_the_pcm(bed: Bed):
    BedMixer(bed, SPEAKER)

    assert controls.open_control("what asound.conf calls it", "playback") is None
    assert controls.open_control("what asound.conf calls it", "playback", card_no=1) is not None


def test_a_lowest_step_that_is_off_is_not_the_softest(bed: Bed):
    mixer = BedMixer(bed, Knob("Speaker", 0, 100, lowest_db=-50.5, step_db=0.5, is_mute=True))
    control = opened("bed_speaker", "playback")

    control.write(-100.0)

    assert control.scale.lowest == -50.0
    assert mixer.values("Speaker Playback Volume") == [1, 1]


def test_what_is_at_its_lowest_step_that_is_off_is_off(bed: Bed):
    BedMixer(bed, Knob("Speaker", 0, 100, lowest_db=-50.5, step_db=0.5, is_mute=True))

    assert opened("bed_speaker", "playback").read() is None


def test_a_control_without_decibels_moves_by_parts_of_its_way(bed: Bed):
    mixer = BedMixer(bed, Knob("Speaker", 10, 30))
    control = opened("bed_speaker", "playback")

    control.write(0.52)

    assert not control.scale.has_db
    assert mixer.values("Speaker Playback Volume") == [21, 21]
    assert control.read() == pytest.approx(0.55)


def test_a_control_of_two_positions_is_none(bed: Bed):
    BedMixer(bed, Knob("Speaker", 0, 1))

    assert controls.open_control("bed_speaker", "playback") is None


@pytest.mark.parametrize(("pcm", "chosen"), [("plughw:CARD=bed", "Speaker"), ("bed_speaker", "PCM")])
def test_what_a_softvol_left_behind_is_used_on_its_own_way_alone(
    bed: Bed, monkeypatch: pytest.MonkeyPatch, pcm: str, chosen: str
):
    BedMixer(bed, SPEAKER, Knob("Speaker", 0, 100, lowest_db=-50.0, step_db=0.5))
    library = card_mixer._library()
    library.snd_ctl_elem_info_get_name.restype = ctypes.c_char_p
    made_by_users = b"PCM Playback Volume"  # a flag that no plug-in can set
    monkeypatch.setattr(
        library,
        "snd_ctl_elem_info_is_user",
        lambda facts: library.snd_ctl_elem_info_get_name(facts) == made_by_users,
    )

    assert opened(pcm, "playback").label == f"mixer {chosen!r} of card bed"


def test_its_loudest_channel_counts_and_both_are_moved(bed: Bed):
    mixer = BedMixer(bed, SPEAKER)
    mixer.turn("PCM Playback Volume", 7, 87)
    mixer.turn("PCM Playback Switch", 0, 1)
    control = opened("bed_speaker", "playback")
    was = control.read()

    control.write(-30.0)

    assert was == pytest.approx(-20.0)
    assert mixer.values("PCM Playback Volume") == [67, 67]


def test_a_hundred_visits_leave_nothing_open(bed: Bed):
    BedMixer(bed, SPEAKER)
    opened("bed_speaker", "playback").close()
    before = len(list(Path("/proc/self/fd").iterdir()))

    for _ in range(100):
        opened("bed_speaker", "playback").close()
        assert controls.open_control("nobody", "playback") is None
        with pytest.raises(DeviceError):
            controls.open_control("bed_speaker", "playback", "Nobody")

    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_card_that_hangs_holds_nobody_else(bed: Bed):
    mixer = BedMixer(bed, SPEAKER)
    mixer.fail("stall")
    results: list[float | None] = []
    visit = threading.Thread(target=lambda: results.append(opened("bed_speaker", "playback").read()))

    visit.start()  # with the GIL in its hand it would never come back here to mend it
    mixer.mend()
    visit.join(10)

    assert results == [None]
