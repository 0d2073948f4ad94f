"""Figures of an echo, from sound made in simulated rooms."""

from __future__ import annotations

import numpy as np
import pytest

from pivoice.audio.echo_check import (
    LEAD_S,
    PAUSE_S,
    TAIL_S,
    TONE_S,
    Figures,
    Recording,
    Samples,
    count_clipped,
    figures_of,
    trial_sound,
)
from tests.support.rooms import RATE_HZ, Room, Sound, speech_level, to_int16
from tests.support.speech import load_speech

FAR = trial_sound(RATE_HZ, 1.0)
SPEECH = slice(round(LEAD_S * RATE_HZ), len(FAR) - round((PAUSE_S + TONE_S + TAIL_S) * RATE_HZ))


def figures(near: Samples, *, canceller: str | None = None) -> Figures:
    return figures_of(Recording(near, FAR, clipped=count_clipped(near)), canceller=canceller)


def user(room: Room, near_echo_db: float) -> Sound:
    return room.voice(load_speech("user_barge").at_rate(RATE_HZ), near_echo_db)


def louder(room: Room, by_db: float) -> Samples:
    """Return what a microphone with so much more gain hears."""
    echo = room.echo(FAR) + room.noise(len(FAR))
    return to_int16(echo * 10 ** (by_db / 20))


@pytest.mark.parametrize("rate_hz", [16000, 44100, 48000])
def test_the_trial_is_five_seconds_of_speech_as_loud_as_a_reply(rate_hz: int):
    sound = trial_sound(rate_hz, 1.0).astype(int)
    speech = sound[round(LEAD_S * rate_hz) : -round((PAUSE_S + TONE_S + TAIL_S) * rate_hz)]

    assert 4.5 < len(speech) / rate_hz < 6.5
    assert np.abs(sound).max() == pytest.approx(16384, rel=0.05)
    assert not sound[: round(LEAD_S * rate_hz)].any()
    assert not sound[-round(TAIL_S * rate_hz) :].any()


def test_the_trial_is_no_louder_than_replies_may_be():
    assert np.abs(trial_sound(48000, 0.5)).max() == pytest.approx(8192, rel=0.05)


@pytest.mark.parametrize(
    "room",
    [
        Room(0),
        Room(1, "none", delay_ms=20),
        Room(2, delay_ms=200),
        Room(0, noise_db=-40),
        Room(1, delay_ms=600),
    ],
    ids=str,
)
def test_level_delay_and_noise_are_those_of_the_room(room: Room):
    near = room.microphone(FAR)

    found = figures(near)

    late = round((room.delay_ms + 1) / 1000 * RATE_HZ)  # a millisecond of it in the air and in the speaker
    level = speech_level(room.echo(FAR)[SPEECH.start + late : SPEECH.stop + late])
    assert found.echo_dbfs == pytest.approx(20 * np.log10(level), abs=1)
    assert found.delay_ms == pytest.approx(room.delay_ms, abs=2)
    assert found.wander_ms is not None and found.wander_ms < 1
    assert found.noise_dbfs == pytest.approx(room.noise_db, abs=1)
    assert not found.is_deaf and not found.is_disturbed


def test_an_echo_before_its_reference_has_a_negative_delay():
    near = np.roll(Room(delay_ms=20).microphone(FAR), -RATE_HZ * 60 // 1000)

    assert figures(near).delay_ms == pytest.approx(-40, abs=2)


def test_two_clocks_a_hundred_ppm_apart_are_no_unsteady_delay():
    found = figures(Room(1).microphone(FAR, ppm=100))

    assert found.delay_ms == pytest.approx(80, abs=2)
    assert found.wander_ms is not None and found.wander_ms < 2


def test_a_delay_that_jumps_is_seen_to_wander():
    short, long = (Room(1, delay_ms=delay_ms).microphone(FAR) for delay_ms in (150, 190))
    second = np.arange(len(FAR)) // RATE_HZ
    near = np.where(second % 2 == 0, short, long).astype(np.int16)

    assert figures(near).wander_ms == pytest.approx(40, abs=5)


def test_silence_is_no_echo():
    found = figures(to_int16(Room().noise(len(FAR))))

    assert found.echo_dbfs is None and found.delay_ms is None
    assert found.heard_dbfs == pytest.approx(found.noise_dbfs, abs=1)
    assert not found.is_deaf and not found.is_disturbed


def test_somebody_who_talks_alone_is_no_echo():
    room = Room()
    found = figures(room.microphone(np.zeros_like(FAR), (2.0, user(room, 0))))

    assert found.echo_dbfs is None
    assert found.heard_dbfs > found.noise_dbfs + 20


@pytest.mark.parametrize("offset", [0, 1200, -32768])
def test_a_microphone_that_gives_one_value_for_ever_is_deaf(offset: int):
    assert figures(np.full_like(FAR, offset)).is_deaf


def test_an_offset_of_the_microphone_is_no_noise():
    near = Room().microphone(FAR) + np.int16(2000)

    assert figures(near).noise_dbfs == pytest.approx(-65, abs=1)


@pytest.mark.parametrize(
    ("distortion", "low_db", "high_db"), [("none", -90, -40), ("mild", -28, -20), ("strong", -17, -10)]
)
@pytest.mark.parametrize("number", range(3))
def test_harmonics_tell_a_speaker_that_is_driven_too_hard(
    number: int, distortion: str, low_db: float, high_db: float
):
    found = figures(Room(number, distortion).microphone(FAR))

    assert found.distortion_db is not None and low_db < found.distortion_db < high_db


def test_what_the_noise_hides_is_not_called_distortion():
    near = to_int16(Room().echo(FAR) / 200 + Room().noise(len(FAR)))

    assert figures(near).distortion_db is None


def test_samples_at_full_scale_are_counted():
    assert figures(louder(Room(), 12)).clipped > 1000
    assert figures(louder(Room(), -6)).clipped == 0


@pytest.mark.parametrize(
    "room", [Room(0), Room(1, delay_ms=20), Room(2, delay_ms=150), Room(2, "strong")], ids=str
)
def test_the_canceller_and_the_tap_are_judged_at_work(room: Room):
    found = figures(room.microphone(FAR), canceller="webrtc")

    assert found.return_loss_db is not None and found.return_loss_db >= 30
    assert found.tap_loss_db is not None and 10 < found.tap_loss_db < found.return_loss_db


def test_a_delay_beyond_the_cancellers_reach_leaves_the_echo():
    found = figures(Room(delay_ms=650).microphone(FAR), canceller="webrtc")

    assert found.return_loss_db is not None and found.return_loss_db < 15


def test_without_a_canceller_the_rest_is_measured_all_the_same():
    found = figures(Room().microphone(FAR), canceller=None)

    assert found.return_loss_db is None and found.tap_loss_db is None
    assert found.echo_dbfs is not None


@pytest.mark.parametrize("at_s", [0.2, 3.0, 5.5])
def test_somebody_who_talks_meanwhile_is_noticed_and_spoils_no_figure(at_s: float):
    room = Room(1)
    quiet = figures(room.microphone(FAR), canceller="webrtc")

    found = figures(room.microphone(FAR, (at_s, user(room, 0))), canceller="webrtc")

    assert found.is_disturbed and not quiet.is_disturbed
    assert found.delay_ms == quiet.delay_ms
    assert found.echo_dbfs == pytest.approx(quiet.echo_dbfs, abs=2)
    assert found.return_loss_db is not None and found.return_loss_db >= 30


@pytest.mark.parametrize("seed", range(12))
def test_a_trial_of_which_pieces_are_missing_is_judged_or_said_to_be_broken(seed: int):
    random = np.random.default_rng(seed)
    near, far = Room(seed % 3).microphone(FAR), FAR.copy()
    for sound in (near, far):
        for _ in range(random.integers(1, 5)):
            at = int(random.integers(0, len(sound)))
            sound[at : at + int(random.integers(0, 5 * RATE_HZ))] = 0
    length = int(random.integers(0, len(far)))

    for recording in (Recording(near, far), Recording(near[:length], far[:length]), Recording(near, 0 * far)):
        found = figures_of(recording, canceller="webrtc")

        assert found.breaks or found.delay_ms is None or found.delay_ms == pytest.approx(81, abs=2)
