"""What the wake word's bench promises, in small: words are found, and the gate loses none of them.

In simulated time, through the product's own capture thread; scripts/bench wake has more of everything.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.listening import listen
from tests.support.noises import EAR_HZ, LEAD_S, NOISES, SPEECH_RMS, recording
from tests.support.speech import load_speech, speech_names

WORD = "hey_jarvis"
SNRS_DB = (15.0, 10.0, 5.0)


@pytest.mark.parametrize(
    ("noise", "rate_hz"),
    [(noise, EAR_HZ) for noise in NOISES if noise != "white"] + [("white", 48_000)],
)
def test_every_speaker_is_found_and_none_is_lost_to_the_gate(tmp_path: Path, noise: str, rate_hz: int):
    words = [load_speech(name) for name in speech_names("wake_jarvis")[::2]]
    near, said = recording(noise, words, SNRS_DB, rate_hz=rate_hz)

    gated, whole = (listen(tmp_path, near, rate_hz=rate_hz, gated=gated) for gated in (True, False))

    assert [whole.has(WORD, *span) for span in said] == [True] * len(said)
    assert gated.wakes == whole.wakes
    assert all(whole.scores[at_s] == scores for at_s, scores in gated.scores.items())
    assert len(whole.wakes[WORD]) == len(said)


@pytest.mark.parametrize("pause_s", [0.0, 0.3])
def test_a_word_said_as_a_louder_noise_stops_is_found(tmp_path: Path, pause_s: float):
    words = [load_speech(name) for name in speech_names("wake_jarvis")[::3]]
    near, said = recording("quiet", words, [0.0])
    louder = 3 * SPEECH_RMS * 32768 * NOISES["fan"](len(near), 3)
    for start_s, end_s in [(0.0, 0.0), *said]:
        following = min((each[0] for each in said if each[0] > start_s), default=0.0)
        first, last = (round(at_s * EAR_HZ) for at_s in (end_s + 0.5, following - pause_s))
        near[first:last] = (near[first:last] + louder[first:last]).clip(-32768, 32767)

    gated, whole = (listen(tmp_path, near, gated=gated) for gated in (True, False))

    assert [whole.has(WORD, *span) for span in said] == [True] * len(said)
    assert gated.wakes == whole.wakes


@pytest.mark.parametrize("noise", ["quiet", "white", "pink", "fan"])
def test_where_nobody_speaks_nothing_is_scored(tmp_path: Path, noise: str):
    near, _ = recording(noise, [load_speech("user_wake")], SNRS_DB[:1])
    still = near[: round(LEAD_S * EAR_HZ)]

    heard = listen(tmp_path, still)

    assert max(heard.scores) < 1.5  # the first second, in which the gate does not know the room yet
