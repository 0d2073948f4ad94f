"""A user who begins over a reply is heard at once; the reply itself is not."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from pivoice.audio.buffers import EAR_HZ
from pivoice.audio.onset import OnsetDetector
from pivoice.audio.pcm import Samples, from_db
from pivoice.audio.tap import SpeexTap, open_tap
from tests.support.rooms import Room, Sound, to_int16
from tests.support.speech import load_speech

PERIOD = EAR_HZ // 50
WARM_UP_S = 1.5  # the stage does not ask earlier in its life
FOUND_S = 0.19  # of the 0.25 that a reply may take to be ducked, 0.06 are the speaker's queue


@lru_cache
def agent() -> Samples:
    return load_speech("agent_long").at_rate(EAR_HZ)


@lru_cache
def user(room: Room, near_echo_db: float) -> Sound:
    """Return somebody who begins to speak, loudly enough to be heard, with the first sample."""
    heard = room.voice(load_speech("user_barge").at_rate(EAR_HZ), near_echo_db)
    loud = np.abs(heard) > 0.06 * np.abs(heard).max()
    return heard[np.argmax(loud) :]


def told(detector: OnsetDetector, mic: Samples, tap: Samples, *, since_s: float = 0.0) -> list[float]:
    """Return when onsets were heard over a reply that is in the air from `since_s` on."""
    onsets_s = []
    for start in range(0, len(mic) // PERIOD * PERIOD, PERIOD):
        piece = slice(start, start + PERIOD)
        if detector.hear(mic[piece], tap[piece], is_reply=start >= since_s * EAR_HZ):
            onsets_s.append((start + PERIOD) / EAR_HZ)
    return onsets_s


def in_a_room(room: Room, *voices: tuple[float, Sound]) -> list[float]:
    """Return when onsets were heard over one long reply, the first of the process."""
    mic, speex = room.microphone(agent(), *voices), open_tap()
    mic, far = mic[: len(mic) // PERIOD * PERIOD], agent()
    pieces = [slice(start, start + PERIOD) for start in range(0, len(mic), PERIOD)]
    tap = np.concatenate([speex.process(mic[piece], far[piece]) for piece in pieces])
    return told(OnsetDetector(), mic, tap, since_s=WARM_UP_S)


def noise(seconds: float, level_db: float, seed: int) -> Sound:
    return np.random.default_rng(seed).normal(0, from_db(level_db), round(seconds * EAR_HZ))


def spoken(seconds: float, level_db: float, seed: int, *, word_s: float = 0.4) -> Sound:
    """Return noise in words, with a fifth of a second between them."""
    at_s = np.arange(round(seconds * EAR_HZ)) / EAR_HZ
    return noise(seconds, level_db, seed) * (at_s % (word_s + 0.2) < word_s)


def scene(
    seconds: float, *, left_db: float = -20, user_db: float | None = None, user_s: float = 0
) -> tuple[Samples, Samples]:
    """Return what microphone and tap hear of an echo, `left_db` of it left, and of a user after `user_s`."""
    echo, quiet = spoken(seconds, -22, 1), noise(seconds, -80, 2)
    voice = np.zeros(len(echo))
    if user_db is not None:
        start = round(user_s * EAR_HZ)
        voice[start:] = spoken(seconds, user_db, 3, word_s=0.33)[: len(voice) - start]
    mic, tap = echo + voice + quiet, echo * from_db(left_db) + voice + quiet
    return to_int16(mic), to_int16(np.concatenate([np.zeros(SpeexTap.DELAY), tap])[: len(tap)])


def experienced(left_db: float = -20) -> OnsetDetector:
    """Return a detector that has heard 20 s of replies without a user."""
    detector = OnsetDetector()
    assert told(detector, *scene(20, left_db=left_db), since_s=WARM_UP_S) == []
    end_reply(detector)
    return detector


def is_found_within_a_word(detector: OnsetDetector) -> bool:
    """Return whether somebody 8 dB below the echo is found before the agent's next pause."""
    begun_s = 1.22
    onsets_s = told(detector, *scene(2, user_db=-30, user_s=begun_s))
    return any(begun_s < onset_s <= begun_s + FOUND_S for onset_s in onsets_s)


def end_reply(detector: OnsetDetector) -> None:
    detector.hear(np.zeros(PERIOD, np.int16), np.zeros(PERIOD, np.int16), is_reply=False)


@pytest.mark.parametrize("room", [Room(0, delay_ms=20), Room(1, delay_ms=80), Room(2, delay_ms=200)])
@pytest.mark.parametrize("near_echo_db", [0, -5, -10])
def test_a_user_over_a_reply_is_found_in_time_to_duck_it(room, near_echo_db):
    onsets_s = in_a_room(room, (14.3, user(room, near_echo_db)))

    assert onsets_s
    assert 14.3 < onsets_s[0] <= 14.3 + FOUND_S


@pytest.mark.parametrize("near_echo_db", [0, -5])
def test_a_user_over_a_loudspeaker_that_distorts_is_found(near_echo_db):
    room = Room(0, "strong")

    onsets_s = in_a_room(room, (14.3, user(room, near_echo_db)))

    assert any(14.3 < onset_s <= 14.3 + 0.3 for onset_s in onsets_s)


@pytest.mark.parametrize(("distortion", "most"), [("mild", 0), ("strong", 2)])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_reply_alone_is_not_taken_for_a_user_even_the_first(number, distortion, most):
    assert len(in_a_room(Room(number, distortion))) <= most


def test_a_user_as_loud_as_the_echo_is_found_before_much_was_learned():
    room = Room(0)

    onsets_s = in_a_room(room, (3.0, user(room, 0)))

    assert any(3.0 < onset_s <= 3.0 + 0.3 for onset_s in onsets_s)


def test_without_a_reply_nobody_is_over_it():
    mic, tap = scene(3, user_db=-22, user_s=1)

    assert told(experienced(), mic, tap, since_s=99) == []


def test_onsets_come_again_while_the_user_goes_on_and_never_within_a_second():
    onsets_s = told(experienced(), *scene(5, user_db=-25, user_s=0.5))

    gaps_s = np.diff(onsets_s)
    assert len(onsets_s) >= 4
    assert np.all(gaps_s >= 1.0 - PERIOD / EAR_HZ)
    assert np.all(gaps_s <= 1.4)  # within a word of it


def test_a_pause_of_the_reply_makes_neither_a_second_onset_nor_an_echo_of_the_user():
    detector = experienced()
    mic, tap = scene(4, user_db=-25, user_s=0.5)
    pause = range(EAR_HZ, EAR_HZ + 2 * PERIOD)
    onsets_s = [
        at / EAR_HZ
        for at in range(0, len(mic), PERIOD)
        if detector.hear(mic[at : at + PERIOD], tap[at : at + PERIOD], is_reply=at not in pause)
    ]

    assert np.all(np.diff(onsets_s) >= 1.0 - PERIOD / EAR_HZ)
    assert is_found_within_a_word(detector)


def test_a_soft_sound_is_nobody():
    assert told(experienced(-60), *scene(3, left_db=-60, user_db=-45, user_s=1)) == []


def test_a_sound_of_less_than_a_tenth_of_a_second_is_nobody():
    mic, tap = scene(2)
    click = to_int16(noise(0.05, -22, 4))
    mic[EAR_HZ : EAR_HZ + len(click)] += click
    tap[EAR_HZ + SpeexTap.DELAY : EAR_HZ + SpeexTap.DELAY + len(click)] += click

    assert told(experienced(), mic, tap) == []


def test_users_who_cut_replies_are_not_learned_as_echo():
    detector = experienced()
    for _ in range(10):
        assert told(detector, *scene(1.6, user_db=-25, user_s=1.0)) != []
        end_reply(detector)

    onsets_s = told(detector, *scene(2, user_db=-32, user_s=1.0))

    assert onsets_s
    assert 1.0 < onsets_s[0] < 1.0 + FOUND_S


def test_one_who_only_hums_along_makes_it_no_deafer():
    detector = experienced()
    mic, tap = scene(8)
    hum_mic, hum_tap = scene(8, user_db=-25, user_s=0)
    along = slice(4 * EAR_HZ, round(4.4 * EAR_HZ))
    mic[along], tap[along] = hum_mic[along], hum_tap[along]

    assert len(told(detector, mic, tap)) == 1
    assert is_found_within_a_word(detector)


def test_what_follows_an_onset_is_not_learned_as_echo_even_if_it_is_no_onset_itself():
    detector = experienced()
    mic, tap = scene(8)
    talk_mic, talk_tap = scene(8, user_db=-25, user_s=0)
    for from_s, to_s in ((1.2, 1.5), *((1.7 + 0.1 * n, 1.76 + 0.1 * n) for n in range(12))):
        talk = slice(round(from_s * EAR_HZ), round(to_s * EAR_HZ))
        mic[talk], tap[talk] = talk_mic[talk], talk_tap[talk]
    told(detector, mic, tap)

    assert is_found_within_a_word(detector)


def test_one_who_hums_along_with_the_first_reply_makes_it_no_deafer_either():
    mic, tap = scene(7.9)
    hum_mic, hum_tap = scene(7.9, user_db=-23, user_s=0)
    along = slice(round(5.42 * EAR_HZ), round(5.82 * EAR_HZ))
    mic[along], tap[along] = hum_mic[along], hum_tap[along]
    detector = OnsetDetector()
    told(detector, mic, tap, since_s=WARM_UP_S)

    assert is_found_within_a_word(detector)


def test_an_echo_that_has_become_worse_is_learned_from_its_false_alarms():
    detector = experienced(-20)

    first = told(detector, *scene(30, left_db=-8))
    later = told(detector, *scene(30, left_db=-8))

    assert 1 <= len(first) <= 20
    assert later == []


def test_an_echo_that_has_become_better_is_learned_within_a_quarter_of_a_minute():
    detector = experienced(-8)
    told(detector, *scene(15, left_db=-25))

    assert told(detector, *scene(2, left_db=-25, user_db=-38, user_s=1.0)) != []


def test_noise_in_the_pauses_of_a_reply_is_nobody():
    mic, tap = scene(30, left_db=-30)
    fan = to_int16(noise(30, -42, 7))
    for sound in (mic, tap):
        sound[np.arange(len(sound)) // (EAR_HZ // 2) % 2 == 1] = 0  # words and pauses of half a second
        sound += fan
    detector = OnsetDetector()

    assert told(detector, mic, tap, since_s=WARM_UP_S) == []


def test_what_is_heard_does_not_depend_on_the_pieces():
    mic, tap = scene(5, user_db=-25, user_s=2)
    whole = experienced()

    in_pieces = told(experienced(), mic, tap)
    at_once = [whole.hear(mic, tap, is_reply=True)]

    assert len(in_pieces) >= 2
    assert at_once == [True]
