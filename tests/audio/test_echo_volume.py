"""A card's own volume changes the way of the echo, which the canceller is not told: it has to find out."""

from __future__ import annotations

import numpy as np
import pytest

from pivoice.audio.buffers import EAR_HZ
from pivoice.audio.pcm import Samples
from pivoice.audio.stage import Heard
from tests.audio.test_echo import House, level_db
from tests.support.judges import loud_turns, turns
from tests.support.rooms import Room
from tests.support.speech import load_speech

TURNED_S, SECONDS = 6, 10


def after(change_db: int, *, is_told: bool) -> Samples:
    """Return what goes up of a reply, while a card's control is moved by so much in the middle of it."""
    room, house = Room(2, "mild"), House()
    far = load_speech("agent_long").at_rate(EAR_HZ)[: SECONDS * EAR_HZ]
    gain = np.full(len(far), 10 ** (min(0, -change_db) / 20))
    gain[TURNED_S * EAR_HZ :] *= 10 ** (change_db / 20)
    echo = room.microphone(far, with_noise=False) * gain + 32768 * room.noise(len(far))
    process = house.stage.process

    def turning(near: Samples, *, start_s: float) -> Heard:
        if is_told and start_s == TURNED_S:
            house.stage.turned()
        heard = process(near, start_s=start_s)
        assert not (is_told and heard.is_onset)
        return heard

    house.stage.process = turning  # type: ignore[method-assign]
    return house.live(np.rint(echo).astype(np.int16), far).uplink


@pytest.mark.parametrize("change_db", [12, -12])
def test_a_control_moved_by_12_db_in_mid_reply_passes_for_no_turn(change_db: int):
    sent = after(change_db, is_told=True)

    assert turns(sent) == []
    assert loud_turns(sent) == []
    assert level_db(sent[(TURNED_S + 2) * EAR_HZ :]) < -60


def test_a_canceller_that_is_not_told_lets_through_what_passes_for_one():
    """The yardstick: nothing would be lost without it only if this failed."""
    assert turns(after(12, is_told=False))
