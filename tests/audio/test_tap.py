"""The second tap takes the speaker away and leaves the user, whatever the delay."""

from __future__ import annotations

import subprocess
import sys
from functools import lru_cache

import numpy as np
import pytest
from pystoi import stoi

from pivoice.audio import tap
from pivoice.audio.buffers import EAR_HZ
from pivoice.audio.pcm import Samples
from pivoice.audio.tap import SpeexTap, open_tap
from tests.support.rooms import Room
from tests.support.speech import load_speech

PERIOD = EAR_HZ // 50


@lru_cache
def agent(seconds: float = 12.0) -> Samples:
    return load_speech("agent_long").at_rate(EAR_HZ)[: round(seconds * EAR_HZ)]


def through(near: Samples, far: Samples, speex: SpeexTap, period: int = PERIOD) -> Samples:
    """Return what comes out, at the time of what went in: `DELAY` samples at the end are missing."""
    starts = range(0, len(far) // period * period, period)
    pieces = [speex.process(near[at : at + period], far[at : at + period]) for at in starts]
    return np.concatenate(pieces)[SpeexTap.DELAY :]


def power_db(sound: Samples) -> float:
    return float(10 * np.log10(np.mean(np.square(sound, dtype=np.float64)) + 1e-9))


def return_loss_db(near: Samples, out: Samples, from_s: float, to_s: float) -> float:
    when = slice(round(from_s * EAR_HZ), round(to_s * EAR_HZ))
    return power_db(near[when]) - power_db(out[when])


def test_importing_the_tap_loads_no_library():
    look = "import pivoice.audio.tap; print('speex' in open('/proc/self/maps').read())"

    said = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)

    assert said.stdout.strip() == "False"


def test_a_missing_library_is_named_with_what_to_install(monkeypatch):
    monkeypatch.setattr(tap, "LIBRARY", "libnowhere.so.7")

    with pytest.raises(OSError, match=r"libnowhere\.so\.7.*install libspeexdsp1"):
        open_tap()


def test_another_library_of_that_name_is_not_used(monkeypatch):
    monkeypatch.setattr(tap, "LIBRARY", "libc.so.6")

    with pytest.raises(OSError, match="speex_echo_state_init"):
        open_tap()


@pytest.mark.parametrize(("distortion", "floor_db"), [("mild", 20), ("strong", 13)])
@pytest.mark.parametrize("delay_ms", [20, 80, 250, 400])
def test_the_echo_is_taken_away_at_any_delay(distortion, floor_db, delay_ms):
    near = Room(0, distortion, delay_ms).microphone(agent())

    out = through(near, agent(), open_tap())

    assert return_loss_db(near, out, 6, 11.9) >= floor_db


@pytest.mark.parametrize("delay_ms", [80, 250])
def test_the_first_seconds_are_not_lost_to_an_echo_that_comes_late(delay_ms):
    near = Room(0, "mild", delay_ms).microphone(agent(5.0))

    out = through(near, agent(5.0), open_tap())

    assert return_loss_db(near, out, 2.5, 4.9) >= 15


def test_the_tap_says_how_late_the_echo_is():
    speex = open_tap()
    unknown = speex.delay_s

    through(Room(delay_ms=150).microphone(agent(2.0)), agent(2.0), speex)

    assert unknown is None
    assert speex.delay_s == pytest.approx(0.151, abs=0.001)


def test_a_user_alone_comes_through_unchanged_and_late_by_delay():
    voice = Room().voice(load_speech("user_barge").at_rate(EAR_HZ), 0)
    near = Room().microphone(np.zeros(2 * EAR_HZ, np.int16), (0.2, voice))

    out = through(near, np.zeros_like(near), open_tap()).astype(np.float64)

    same = near[: len(out)].astype(np.float64)
    likeness = [np.dot(out[100:-100], same[100 + late : len(same) - 100 + late]) for late in range(-9, 10)]
    assert abs(power_db(out) - power_db(same)) < 1.0
    assert stoi(same, out, EAR_HZ) >= 0.97
    assert np.argmax(likeness) == 9


def test_a_user_over_the_reply_is_left_in():
    room = Room(0, "mild", 80)
    alone = Room(0).microphone(
        np.zeros_like(agent()), (8.0, room.voice(load_speech("user_barge").at_rate(EAR_HZ), -10))
    )
    near = room.microphone(
        agent(), (8.0, room.voice(load_speech("user_barge").at_rate(EAR_HZ), -10)), with_noise=False
    )

    out = through(near, agent(), open_tap())

    when = slice(8 * EAR_HZ, 10 * EAR_HZ)
    assert np.corrcoef(out[when], alone[when])[0, 1] > 0.85
    assert np.corrcoef(near[when], alone[when])[0, 1] < 0.5


@pytest.mark.parametrize(("is_told", "missed_s"), [(True, 1.5), (False, 4.0)])
@pytest.mark.parametrize("slip", [-160, 160])
def test_the_echo_stays_away_when_the_reference_slips_by_a_step(slip, is_told, missed_s):
    near = Room(delay_ms=40).microphone(agent())
    slipped = np.roll(agent(), -slip)
    half = 6 * EAR_HZ
    speex = open_tap()

    before = through(near[:half], agent()[:half], speex)
    if is_told:
        speex.discontinuity()
    after = through(near[half:], slipped[half:], speex)

    assert return_loss_db(near, before, 5, 5.9) >= 20
    assert return_loss_db(near[half:], after, missed_s, 5.9) >= 20


def test_a_speaker_that_starts_anew_a_little_off_costs_a_second_at_most():
    speex = open_tap()
    through(Room(delay_ms=40).microphone(agent(6.0)), agent(6.0), speex)
    through(np.zeros(2 * EAR_HZ, np.int16), np.zeros(2 * EAR_HZ, np.int16), speex)
    near = Room(delay_ms=38).microphone(agent(3.0))

    out = through(near, agent(3.0), speex)

    assert return_loss_db(near, out, 1.3, 2.3) >= 18


def test_two_clocks_100_ppm_apart_cost_some_of_it_and_no_more():
    near = Room(delay_ms=80).microphone(agent(), ppm=100)

    out = through(near, agent(), open_tap())

    assert return_loss_db(near, out, 6, 11.9) >= 14


def test_an_echo_that_jumps_is_caught_again_when_it_is_told():
    speex = open_tap()
    through(Room(delay_ms=200).microphone(agent(6.0)), agent(6.0), speex)
    near = Room(delay_ms=30).microphone(agent(6.0))

    speex.discontinuity()
    out = through(near, agent(6.0), speex)

    assert return_loss_db(near, out, 2, 5.9) >= 20


def test_what_comes_out_is_the_same_in_any_pieces():
    before_a_look = agent()[: EAR_HZ // 4]
    near = Room(delay_ms=20).microphone(before_a_look)

    small, large = (through(near, before_a_look, open_tap(), period) for period in (160, 800))

    assert np.array_equal(small, large)


def test_samples_need_not_lie_side_by_side():
    near = Room(delay_ms=20).microphone(agent(1.0))
    spread = np.repeat(near, 2)[::2]

    assert np.array_equal(through(spread, agent(1.0), open_tap()), through(near, agent(1.0), open_tap()))


def test_what_is_not_whole_steps_is_refused():
    with pytest.raises(AssertionError, match="not whole steps of 160"):
        open_tap().process(np.zeros(512, np.int16), np.zeros(512, np.int16))


def test_a_tap_is_freed_once_however_often_it_is_closed():
    speex = open_tap()

    speex.close()
    speex.close()

    with pytest.raises(AssertionError, match="closed"):
        speex.process(np.zeros(160, np.int16), np.zeros(160, np.int16))
