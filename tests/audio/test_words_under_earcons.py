"""The canceller under an earcon: the user's words as they are, and no more of a reply than ever."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pivoice.audio.buffers import EAR_HZ, Uplink
from pivoice.audio.earcons import make_earcon, make_earcons
from pivoice.audio.echo import DELAY
from pivoice.audio.feed import UplinkFeed
from pivoice.audio.gate import HalfDuplexGate
from pivoice.audio.intake import HeardRing
from pivoice.audio.pcm import Samples
from pivoice.audio.stage import Heard
from pivoice.audio.undertones import Undertones
from pivoice.turn.events import Valve
from tests.audio.test_echo import PERIOD, House, level_db, reply
from tests.support.rooms import Room, to_int16
from tests.support.speech import load_speech

FRAME = EAR_HZ // 10


def chime(seconds: float, *, at_s: float = 0.1) -> Samples:
    """Return what the speaker plays: the wake earcon."""
    sound, far = make_earcon("wake", EAR_HZ), np.zeros(round(seconds * EAR_HZ), np.int16)
    far[round(at_s * EAR_HZ) :][: len(sound)] = sound
    return far


def words() -> NDArray[np.float64]:
    return Room().voice(load_speech("user_barge").at_rate(EAR_HZ), 0.0)


def known(house: House, *, at_s: float = 0.1, is_tonal: bool = True) -> None:
    """Tell the gate of the chime, as the playback thread does."""
    since_s = house.at / EAR_HZ + at_s
    house.gate.chimed(since_s + 0.2, since_s=since_s, is_tonal=is_tonal)


def test_words_begun_under_an_earcon_go_up_as_the_microphone_heard_them():
    house, far = House(), chime(3)
    near = Room().microphone(far, (0.13, words()))
    known(house)

    heard = house.live(near, far, is_reply=False)

    span = slice(round(0.20 * EAR_HZ), round(0.6 * EAR_HZ))  # they begin at 0.18 s
    assert np.array_equal(heard.uplink[DELAY:][span], near[:-DELAY][span])


def test_an_earcon_by_itself_does_not_go_up():
    house, far = House(), chime(2)
    near = Room().microphone(far)
    known(house)

    heard = house.live(near, far, is_reply=False)

    assert level_db(near[: EAR_HZ // 2]) > -30
    assert level_db(heard.uplink[: EAR_HZ // 2]) < -50


def test_a_canceller_that_knows_of_no_tone_would_have_taken_the_first_of_them():
    """What an owner's own sound costs: it may be a voice, and is cancelled like one."""
    house, far = House(), chime(3)
    near = Room().microphone(far, (0.13, words()))
    known(house, is_tonal=False)

    heard = house.live(near, far, is_reply=False)

    span = slice(round(0.14 * EAR_HZ), round(0.24 * EAR_HZ))
    assert level_db(heard.uplink[DELAY:][span]) < level_db(near[:-DELAY][span]) - 10


def test_an_earcon_over_a_reply_changes_nothing_of_what_goes_up():
    house, without, far = House(), House(), reply(6)
    near = Room().microphone(far)
    known(house, at_s=3.0)

    heard = house.live(near, far)

    assert np.array_equal(heard.uplink, without.live(near, far).uplink)


def test_an_earcon_right_after_a_cut_reply_lets_nothing_of_its_echo_up():
    house, far = House(), reply(8)
    far[6 * EAR_HZ :] = 0
    near = Room().microphone(far)
    house.live(near[: 6 * EAR_HZ], far[: 6 * EAR_HZ])
    house.gate.cut(house.at / EAR_HZ)
    known(house, at_s=0.0)

    heard = house.live(near[6 * EAR_HZ :], far[6 * EAR_HZ :], is_reply=False)

    echo = slice(0, EAR_HZ // 5)
    assert level_db(near[6 * EAR_HZ :][echo]) > -35, "there is no echo: the test shows nothing"
    assert level_db(heard.uplink[echo]) < level_db(near[6 * EAR_HZ :][echo]) - 15


@pytest.mark.parametrize("name", make_earcons(EAR_HZ))
@pytest.mark.parametrize("share", [1.0, 0.1])
def test_no_earcon_is_a_voice_however_loud_it_comes_back(name: str, share: float):
    far = np.pad(make_earcon(name, EAR_HZ), EAR_HZ // 4)
    for number in (0, 1, 2):
        room = Room(number)
        near = to_int16(share * room.echo(far) + room.noise(len(far)))

        assert not any(voices(near, above_db=-45.0)), number


@pytest.mark.parametrize("speech", ["user_weather", "user_barge", "user_thanks", "user_uhuh"])
@pytest.mark.parametrize(("softer_db", "periods"), [(0, 1), (-10, 2)])
def test_a_voice_under_an_earcon_is_heard_from_its_first_period_on(
    speech: str, softer_db: float, periods: int
):
    room, far = Room(), chime(1.5)
    voice = room.voice(load_speech(speech).at_rate(EAR_HZ), softer_db)
    audible = int(np.flatnonzero(np.abs(voice) > 0.1 * np.abs(voice).max())[0]) + round(0.2 * EAR_HZ)
    near = room.microphone(far, (0.2, voice))

    first = voices(near).index(True) * PERIOD

    assert first <= audible + periods * PERIOD


def voices(near: Samples, *, above_db: float = -56.0) -> list[bool]:
    """Return in which periods, of those that are so loud, somebody speaks, an earcon sounding in all."""
    gate = HalfDuplexGate()
    gate.chimed(60.0, since_s=0.0, is_tonal=True)
    undertones = Undertones(gate)
    parts = [near[at : at + PERIOD] for at in range(0, len(near) - PERIOD + 1, PERIOD)]
    heard = [undertones.hears_voice(part, 1.0 + at * 0.02) for at, part in enumerate(parts)]
    return [has and level_db(part) > above_db for has, part in zip(heard, parts, strict=True)]


def test_half_duplex_sends_nothing_of_an_earcon_and_all_of_a_voice_under_it():
    far = chime(3)
    alone, spoken = Room().microphone(far), Room().microphone(far, (0.13, words()))

    of_earcon, of_words = fed(alone), fed(spoken)

    assert max(level_db(part) for part in np.split(of_earcon[:EAR_HZ], 50)) < -40
    assert np.array_equal(of_earcon[EAR_HZ:], alone[EAR_HZ : len(of_earcon)])
    span = slice(round(0.20 * EAR_HZ), 2 * EAR_HZ)
    assert np.array_equal(of_words[span], spoken[span])


def fed(near: Samples) -> Samples:
    """Return what half duplex sends of 16 kHz `near`; the wake earcon is known to sound from 0.1 s on."""
    gate, ring = HalfDuplexGate(), HeardRing(has_canceller=False)
    gate.chimed(0.3, since_s=0.1, is_tonal=True)
    feed = UplinkFeed(ring, Uplink(capacity_s=60), gate=gate, preroll_ms=0)
    sent: list[Samples] = []
    feed._put = sent.append  # type: ignore[method-assign]
    feed.set_valve(Valve.LIVE)
    for at in range(0, len(near) - PERIOD + 1, PERIOD):
        part = near[at : at + PERIOD]
        ring.append(Heard(part, part))
        feed.feed(part, start_s=at / EAR_HZ, end_s=(at + PERIOD) / EAR_HZ)
    return np.concatenate(sent)


def test_a_word_in_a_quiet_room_loses_nothing_not_even_its_breath():
    """No earcon comes back here: the speaker is in another room."""
    near = Room().microphone(np.zeros(3 * EAR_HZ, np.int16), (0.13, words()))

    assert np.array_equal(fed(near), near[: len(near) // PERIOD * PERIOD])


def test_the_way_from_one_to_the_other_and_back_is_no_edge():
    house, far = House(), chime(3)
    at_s = np.arange(3 * EAR_HZ) / EAR_HZ
    near = np.rint(3000 * np.sin(2 * np.pi * 200 * at_s)).astype(np.int16)  # moves by 236 a sample
    known(house)

    heard = house.live(near, far, is_reply=False)

    changes = np.abs(np.diff(heard.uplink[EAR_HZ // 20 :].astype(int)))
    assert changes.max() < 400
