"""The user who talks right over the wake earcon, where the microphone hears it as loud as them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pivoice.audio.simulated import Microphone, Speaker
from tests.audio.fakes import tone, write_wav
from tests.support.bed import resampled
from tests.support.judges import loud_turns
from tests.support.rooms import CARD_HZ, RATE_HZ, LiveRoom, Room
from tests.support.speech import load_speech
from tests.support.world import World, answering, live

Samples = NDArray[np.int16]
Sound = NDArray[np.float64]

FRAME = RATE_HZ // 10
WIRE_HZ = 24_000


@dataclass
class Heard:
    """What went up, 16 kHz; first of a wake that nobody spoke after, then of one that they spoke over."""

    alone: Samples = field(default_factory=lambda: np.zeros(0, np.int16))
    spoken: Sound = field(default_factory=lambda: np.zeros(0))
    echo_db: float = 0.0
    """How loud the earcon was at the microphone, in its loudest 100 ms."""
    words: Sound = field(default_factory=lambda: np.zeros(0))
    """What the microphone heard of the user, without the earcon and the room's noise."""
    has_earcon: bool = False


def wake_twice(directory: Path, echo: str, *, sound: str = "on") -> Heard:
    rooms, heard = list[LiveRoom](), Heard()

    async def wake(world: World) -> tuple[float, Samples]:
        begun_s = world.loop.time()
        await world.ask("wake")
        await asyncio.sleep(2.5)
        sent = resampled(world.received(), WIRE_HZ, RATE_HZ)
        await world.ask("stop")
        await asyncio.sleep(1.5)
        return begun_s, sent

    async def main(world: World) -> None:
        begun_s, heard.alone = await wake(world)
        played = resampled(world.heard(begun_s, begun_s + 1.0), CARD_HZ, RATE_HZ)
        heard.echo_db = max(frames_db(32768 * Room().echo(played)))
        words = rooms[0].user(load_speech("user_weather").at_rate(RATE_HZ), 0.0)
        heard.words = words.astype(float)
        world.mic.say(words, at_s=world.loop.time() + 0.03)
        begun_s, spoken = await wake(world)
        heard.spoken = spoken.astype(float)
        heard.has_earcon = bool(world.heard(begun_s, begun_s + 0.3).any())

    def furnish(microphone: Microphone, speaker: Speaker) -> None:
        rooms.append(LiveRoom(Room(), microphone, speaker))

    toml = (
        f'[audio]\necho = "{echo}"\n[audio.earcons]\nend = "off"\nwake = "{sound}"\n[wake]\nengine = "none"\n'
    )
    live(main, directory, toml=toml, plan=answering("agent_short"), furnish=furnish)
    return heard


def frames_db(sound: NDArray[np.generic]) -> list[float]:
    frames = sound[: len(sound) // FRAME * FRAME].astype(float).reshape(-1, FRAME)
    return [float(each) for each in 10 * np.log10(np.mean(frames**2, axis=1) / 32768**2 + 1e-12)]


def shares(words: Sound, sent: Sound) -> list[float]:
    """Return how much of each 100 ms of `words` went up: 1 is all of it, whatever else went up with it."""
    size = len(words) + len(sent)
    likeness = np.fft.irfft(np.fft.rfft(sent, size) * np.conj(np.fft.rfft(words, size)), size)
    at = int(likeness[: len(sent)].argmax())
    pairs = [
        (words[start : start + FRAME], sent[at + start : at + start + FRAME])
        for start in range(0, len(words) - FRAME, FRAME)
    ]
    return [float(np.dot(b, a) / np.dot(a, a)) for a, b in pairs if frames_db(a)[0] > -40]


@pytest.mark.parametrize("echo", ["half_duplex", "webrtc"])
def test_the_users_words_go_up_whole_while_the_wake_earcon_sounds(tmp_path: Path, echo: str):
    heard = wake_twice(tmp_path, echo)

    found = shares(heard.words, heard.spoken)
    assert heard.has_earcon and len(found) > 8
    assert heard.echo_db > -22, "the microphone hears no earcon: the test shows nothing"
    assert min(found[:3]) > 0.9 and max(found[:3]) < 1.15  # there is an earcon in them
    assert min(found) > 0.65  # a canceller between replies has its say later
    assert loud_turns(heard.alone) == [], "the earcon by itself is a turn to a plain detector"


@pytest.mark.parametrize("echo", ["half_duplex", "webrtc"])
def test_the_users_words_go_up_whole_under_an_owners_own_ding(tmp_path: Path, echo: str):
    ding = write_wav(tmp_path / "ding.wav", tone(0.4, 22050, hz=1000, peak=20000), 22050)

    heard = wake_twice(tmp_path, echo, sound=str(ding))

    found = shares(heard.words, heard.spoken)
    assert heard.echo_db > -22, "the microphone hears no earcon: the test shows nothing"
    assert min(found[:3]) > 0.85 and max(found[:3]) < 1.15
