"""What every Capture and every Playback promises: the simulated ones, and ALSA's over the bed."""

from __future__ import annotations

import numpy as np
import pytest

from pivoice.audio.pcm import Capture, Playback, open_capture, open_playback
from pivoice.config import AudioConfig
from pivoice.errors import DeviceError
from tests.audio.fakes import find, noise
from tests.support.pcm_cards import PERIOD, RATE_HZ, Card, play, settle


def test_a_card_opens_at_its_rate_with_the_period_that_was_asked_for(ear: Capture, mouth: Playback):
    for opened in (ear.format, mouth.format):
        assert (opened.rate_hz, opened.period_frames) == (RATE_HZ, PERIOD)

    assert ear.format.buffer_frames >= 4 * PERIOD
    assert mouth.format.buffer_frames == 2 * PERIOD


def test_periods_arrive_whole_in_order_and_to_the_sample(card: Card, ear: Capture):
    words = noise(0.3, RATE_HZ)
    ear.read()
    card.say(words)

    periods = [ear.read() for _ in range(30)]

    assert {(len(period), period.dtype) for period in periods} == {(PERIOD, np.dtype(np.int16))}
    find(words, np.concatenate(periods))
    assert ear.xruns == 0


def test_reading_takes_as_long_as_the_sound(card: Card, ear: Capture):
    ear.read()
    begun_s = card.clock.monotonic()

    for _ in range(10):
        ear.read()

    assert card.clock.monotonic() - begun_s > 0.15, "reading is faster than the sound"


def test_a_late_reader_is_counted_as_an_overrun_and_hears_again(card: Card, ear: Capture):
    ear.read()
    card.pass_time(1.5)

    ear.read()
    words = noise(0.1, RATE_HZ)
    card.say(words)
    periods = [ear.read() for _ in range(20)]

    assert ear.xruns == 1
    find(words, np.concatenate(periods))


def test_a_reader_late_by_less_than_the_buffer_loses_nothing(card: Card, ear: Capture):
    words = noise(0.3, RATE_HZ)
    ear.read()
    card.say(words)
    card.pass_time(0.3)

    periods = [ear.read() for _ in range(25)]

    find(words, np.concatenate(periods))
    assert ear.xruns == 0


def test_what_is_written_is_heard_whole_in_order_and_to_the_sample(card: Card, mouth: Playback):
    begun_s = card.clock.monotonic()
    words = noise(0.4, RATE_HZ)

    play(mouth, words)
    settle(card, mouth)

    find(words, card.heard(begun_s, card.clock.monotonic() + 0.05))
    assert mouth.xruns == 0


def test_the_card_never_holds_more_than_its_two_periods(card: Card, mouth: Playback):
    held = []
    for _ in range(20):
        mouth.wait()
        mouth.write(noise(0.02, RATE_HZ))
        held.append(mouth.delay_frames())

    assert max(held) <= mouth.format.buffer_frames
    assert min(held) > 0


def test_wait_returns_once_a_period_fits_and_not_later(card: Card, mouth: Playback):
    held = []
    for _ in range(15):
        mouth.wait()
        held.append(mouth.delay_frames())
        mouth.write(noise(0.02, RATE_HZ))

    assert max(held) <= PERIOD
    assert np.median(held[2:]) > 0.4 * PERIOD  # the machine may be late now and then


def test_dropping_is_silent_at_once(card: Card, mouth: Playback):
    play(mouth, noise(0.2, RATE_HZ))

    mouth.drop()
    dropped_s = card.clock.monotonic()
    card.pass_time(0.1)

    assert not card.heard(dropped_s + 0.003, dropped_s + 0.09).any()
    assert mouth.delay_frames() == 0


def test_writing_after_a_drop_starts_again_and_is_no_xrun(card: Card, mouth: Playback):
    play(mouth, noise(0.1, RATE_HZ))
    mouth.drop()
    card.pass_time(0.3)
    begun_s = card.clock.monotonic()

    words = noise(0.2, RATE_HZ, seed=8)
    play(mouth, words)
    settle(card, mouth)

    find(words, card.heard(begun_s, card.clock.monotonic() + 0.05))
    assert mouth.xruns == 0


def test_the_first_sample_after_a_stop_sounds_within_a_period(card: Card, mouth: Playback):
    mouth.drop()
    words = noise(0.04, RATE_HZ)
    begun_s = card.clock.monotonic()

    play(mouth, words)
    settle(card, mouth)

    assert find(words, card.heard(begun_s, card.clock.monotonic() + 0.05)) <= PERIOD


def test_a_late_writer_is_counted_as_an_underrun_and_is_heard_again(card: Card, mouth: Playback):
    play(mouth, noise(0.1, RATE_HZ))
    card.pass_time(0.3)
    begun_s = card.clock.monotonic()

    words = noise(0.2, RATE_HZ, seed=8)
    play(mouth, words)
    settle(card, mouth)

    assert mouth.xruns == 1
    find(words, card.heard(begun_s, card.clock.monotonic() + 0.05))


def test_a_microphone_that_is_pulled_out_is_a_device_error_and_can_be_reopened(card: Card, ear: Capture):
    ear.read()
    card.unplug("mic")

    with pytest.raises(DeviceError, match=r"read from|use capture"):
        [ear.read() for _ in range(100)]
    ear.close()
    with pytest.raises(DeviceError, match="cannot open capture"):
        open_capture(card.audio.capture, card.audio, card.clock)
    card.plug("mic")
    again = open_capture(card.audio.capture, card.audio, card.clock)

    assert len(again.read()) == PERIOD
    again.close()


def test_a_speaker_that_is_pulled_out_is_a_device_error_and_can_be_reopened(card: Card, mouth: Playback):
    play(mouth, noise(0.06, RATE_HZ))
    card.unplug("speaker")

    with pytest.raises(DeviceError, match=r"write to|use playback"):
        play(mouth, noise(1, RATE_HZ))
    mouth.close()
    with pytest.raises(DeviceError, match="cannot open playback"):
        open_playback(card.audio.playback, card.audio, card.clock)
    card.plug("speaker")
    again = open_playback(card.audio.playback, card.audio, card.clock)
    play(again, noise(0.06, RATE_HZ))

    assert again.delay_frames() > 0
    again.close()


def test_closing_twice_and_after_an_error_is_fine(card: Card, ear: Capture, mouth: Playback):
    play(mouth, noise(0.06, RATE_HZ))
    card.unplug("speaker")
    card.unplug("mic")

    for pcm in (ear, mouth):
        pcm.close()
        pcm.close()


def test_closing_is_silent_at_once_and_frees_the_card(card: Card, mouth: Playback):
    play(mouth, noise(0.2, RATE_HZ))

    mouth.close()
    closed_s = card.clock.monotonic()
    card.pass_time(0.05)

    assert not card.heard(closed_s + 0.003, closed_s + 0.04).any()
    open_playback(card.audio.playback, card.audio, card.clock).close()


def test_a_card_in_use_is_busy(card: Card, ear: Capture):
    with pytest.raises(DeviceError, match="busy"):
        open_capture(card.audio.capture, card.audio, card.clock)


def test_gain_is_applied_and_clips(card: Card):
    loud = AudioConfig(capture=card.audio.capture, gain_db=20)
    pcm = open_capture(loud.capture, loud, card.clock)
    pcm.read()
    card.say(np.array([100, -100, 10000, -10000], np.int16))

    heard = np.concatenate([pcm.read() for _ in range(10)])
    pcm.close()

    find(np.array([1000, -1000, 32767, -32768], np.int16), heard)


def test_a_channel_that_is_not_there_is_a_device_error_with_what_to_set(card: Card):
    wrong = AudioConfig(capture=card.audio.capture.replace("bed_mic", "bed_mic_card"), channel=3)

    with pytest.raises(DeviceError, match=r"channel 3 was asked for, and it has 1; set audio\.channel to 0"):
        open_capture(wrong.capture, wrong, card.clock).read()


@pytest.mark.parametrize("has_played", [False, True])
def test_a_card_pulled_out_while_stopped_tells_before_anything_is_written(
    card: Card, mouth: Playback, has_played: bool
):
    if has_played:
        play(mouth, noise(0.06, RATE_HZ))
        mouth.drop()
    card.unplug("speaker")

    with pytest.raises(DeviceError):
        mouth.wait()
