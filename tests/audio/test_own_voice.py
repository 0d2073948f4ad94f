"""The real wake word and real voices: the user wakes it, the agent does not."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from pivoice.audio.buffers import SpokenRing, Uplink
from pivoice.audio.capture import Ears, HalfDuplexGate
from pivoice.audio.pcm import Samples
from pivoice.audio.playback import Mouth
from pivoice.config import AudioConfig, Config, WakeConfig
from pivoice.fitting import open_listening
from pivoice.simulation import JumpLoop, run_jumping
from pivoice.turn.events import WakeHeard
from tests.audio.fakes import Diary, write_wav
from tests.support.speech import load_speech

RATE_HZ = 48000


def overhear(tmp_path: Path, room: Samples, *, reply: str) -> Diary:
    """Let the agent say `reply` from 0.1 s on while the microphone hears `room`."""
    diary, spoken, gate, wake = Diary(), SpokenRing(), HalfDuplexGate(), WakeConfig()
    audio = AudioConfig(
        capture=f"simulated:{write_wav(tmp_path / 'mic.wav', room, RATE_HZ)}",
        playback=f"simulated:{tmp_path / 'speaker.wav'}",
    )

    async def main(loop: JumpLoop) -> None:
        mouth = Mouth(
            audio=audio, clock=loop.clock, post=diary.post, report=diary.report, spoken=spoken, gate=gate
        )
        ears = Ears(
            audio=audio,
            preroll_ms=wake.preroll_ms,
            listening=open_listening(Config(audio=AudioConfig(echo="half_duplex")), {}),
            clock=loop.clock,
            post=diary.post,
            report=diary.report,
            uplink=Uplink(capacity_s=6),
            spoken=spoken,
            gate=gate,
        )
        mouth.start()
        ears.start()
        await asyncio.sleep(0.1)
        mouth.play(1, load_speech(reply).at_rate(24000))
        mouth.end(1)
        await asyncio.sleep(len(room) / RATE_HZ + 0.5)
        mouth.stop()
        ears.stop()
        await asyncio.sleep(0.1)

    run_jumping(main)
    return diary


def placed(name: str, at_s: float, *, level: float, seconds: float) -> Samples:
    """Return a room of some length in which `name` is spoken."""
    room = np.zeros(round(seconds * RATE_HZ), np.int16)
    words = load_speech(name).at_rate(RATE_HZ)
    begin = round(at_s * RATE_HZ)
    room[begin : begin + len(words)] = words[: len(room) - begin] * level
    return room


@pytest.mark.timeout(120)
def test_the_agent_saying_the_wake_word_does_not_wake_it(tmp_path: Path):
    seconds = load_speech("agent_jarvis").duration_s + 1.0
    echo = placed("agent_jarvis", 0.13, level=0.5, seconds=seconds)

    diary = overhear(tmp_path, echo, reply="agent_jarvis")

    assert len(diary.told("wake", ignored=True)) == 1, "the microphone never heard it: the test shows nothing"
    assert diary.of(WakeHeard) == []


@pytest.mark.timeout(120)
def test_the_user_saying_the_wake_word_over_a_reply_wakes_it(tmp_path: Path):
    echo = placed("agent_long", 0.13, level=0.02, seconds=5.0)
    user = placed("user_wake", 2.5, level=0.7, seconds=5.0)

    diary = overhear(tmp_path, echo + user, reply="agent_long")

    assert len(diary.of(WakeHeard)) == 1
    assert diary.told("wake", ignored=True) == []
