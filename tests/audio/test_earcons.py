"""Earcons: short, soft, and without an edge."""

from __future__ import annotations

import numpy as np
import pytest

from pivoice.audio.earcons import NAMES, NOTICES, load_notice, make_earcons


@pytest.mark.parametrize("rate_hz", [16000, 44100, 48000])
@pytest.mark.parametrize("name", make_earcons(16000))
def test_an_earcon_is_short_soft_and_begins_and_ends_in_silence(name: str, rate_hz: int):
    sound = make_earcons(rate_hz)[name].astype(int)

    assert len(sound) <= 0.25 * rate_hz
    assert 3000 < np.abs(sound).max() <= 32768 * 10 ** (-15 / 20)
    assert abs(sound[0]) < 50
    assert abs(sound[-1]) < 200


def test_there_is_one_for_every_meaning_and_no_two_are_alike():
    earcons = make_earcons(16000)

    assert set(earcons) == {"wake", "end", "error", "mute", "unmute", "muted", "timer"}
    assert len({sound.tobytes() for sound in earcons.values()}) == len(earcons)


@pytest.mark.parametrize("rate_hz", [16000, 48000])
@pytest.mark.parametrize("name", NOTICES)
def test_a_notice_is_a_sentence_soft_and_at_the_cards_rate(name: str, rate_hz: int):
    sound = load_notice(name, rate_hz).astype(int)

    assert 1.5 * rate_hz < len(sound) < 6 * rate_hz
    assert 3000 < np.abs(sound).max() <= 32768 * 0.26
    assert np.abs(sound[:10]).max() < 300


def test_every_name_has_a_sound():
    assert set(NAMES) == {*make_earcons(16000), *NOTICES}
