"""The rooms that judge the canceller are what they say: as loud, as late and as crooked as told."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest

from pivoice.audio.pcm import Samples, open_capture, open_playback
from pivoice.audio.simulated import Microphone, Speaker, microphone, speaker
from pivoice.config import AudioConfig
from pivoice.simulation import JumpLoop, run_jumping
from tests.audio.fakes import write_wav
from tests.support.rooms import ROOMS, LiveRoom, Room, Sound, lateness, speech_level
from tests.support.speech import load_speech

MIC_HZ, CARD_HZ = 16_000, 48_000


def agent_words(seconds: float, rate_hz: int) -> Samples:
    return load_speech("agent_long").at_rate(rate_hz)[: round(seconds * rate_hz)]


def level_db(sound: Sound) -> float:
    return float(20 * np.log10(speech_level(sound)))


def residual_db(one: Sound, other: Sound) -> float:
    return float(10 * np.log10(np.mean((one - other) ** 2) / np.mean(other**2)))


def lag(echo: Sound, played: Samples) -> int:
    """Return by how many samples `echo` comes after `played`."""
    size = 1 << (2 * len(played)).bit_length()
    match = np.fft.irfft(np.fft.rfft(echo, size) * np.conj(np.fft.rfft(played / 32768, size)))
    return int(np.argmax(np.abs(match[: size // 2])))


@pytest.mark.parametrize("number", range(len(ROOMS)))
@pytest.mark.parametrize("distortion", ["none", "mild", "strong"])
def test_the_agent_comes_back_at_22_db_below_full_scale(number: int, distortion: str):
    echo = Room(number, distortion).echo(agent_words(8, MIC_HZ))

    assert level_db(echo) == pytest.approx(-22, abs=1)


@pytest.mark.parametrize("near_echo_db", [10, 0, -20])
def test_the_user_is_as_much_louder_than_the_agent_as_asked_for(near_echo_db: float):
    voice = Room(1).voice(load_speech("user_barge").at_rate(MIC_HZ), near_echo_db)

    assert level_db(voice) == pytest.approx(-22 + near_echo_db, abs=0.1)


@pytest.mark.parametrize("delay_ms", [20, 80, 250])
def test_the_echo_is_as_late_as_asked_for_and_a_millisecond_of_air_and_speaker(delay_ms: float):
    words = agent_words(3, MIC_HZ)

    late_ms = lag(Room(delay_ms=delay_ms).echo(words), words) / 16 - delay_ms

    assert 0 <= late_ms <= 2


def test_a_strongly_distorting_speaker_is_less_like_what_it_was_given():
    words = agent_words(6, MIC_HZ)
    clean = Room(distortion="none").echo(words)

    mild, strong = (residual_db(Room(distortion=kind).echo(words), clean) for kind in ("mild", "strong"))

    assert -25 < mild < strong < 0


def test_a_faster_speaker_gains_on_the_microphone():
    words = agent_words(20, MIC_HZ)
    room = Room()

    steady, gaining = room.echo(words), room.echo(words, ppm=100)

    last = slice(18 * MIC_HZ, 20 * MIC_HZ)
    assert lag(steady[last], words[last]) - lag(gaining[last], words[last]) == pytest.approx(30, abs=1)


class Bench:
    """A speaker and a microphone in a live room, and what they were given and heard."""

    def __init__(self, folder: Path, room: Room) -> None:
        mic = f"simulated:{write_wav(folder / 'mic.wav', np.zeros(1, np.int16), MIC_HZ)}"
        self.audio = AudioConfig(capture=mic, playback=f"simulated:{folder / 'speaker.wav'}")
        self.mic: Microphone = microphone(self.audio.capture)
        self.speaker: Speaker = speaker(self.audio.playback)
        self.live = LiveRoom(room, self.mic, self.speaker)
        self.periods: list[Samples] = []

    @property
    def heard(self) -> Sound:
        return np.concatenate(self.periods) / 32768

    def play(self, words: Samples) -> None:
        """Play `words` (48 kHz) from the beginning on, and hear half a second more than they last."""
        stopping = threading.Event()

        async def main(loop: JumpLoop) -> None:
            def listen() -> None:
                pcm = open_capture(self.audio.capture, self.audio, loop.clock)
                while not stopping.is_set():
                    self.periods.append(pcm.read())

            def speak() -> None:
                pcm = open_playback(self.audio.playback, self.audio, loop.clock)
                for start in range(0, len(words) // 960 * 960, 960):
                    pcm.wait()
                    pcm.write(words[start : start + 960])

            loop.clock.start_thread(listen, name="capture")
            loop.clock.start_thread(speak, name="playback")
            await asyncio.sleep(len(words) / CARD_HZ + 0.5)
            stopping.set()
            await asyncio.sleep(0.1)

        run_jumping(main)


@pytest.mark.parametrize("delay_ms", [20, 250])
def test_live_and_on_arrays_the_echo_is_the_same(tmp_path: Path, delay_ms: float):
    room = Room(2, "strong", delay_ms=delay_ms, noise_db=-150)
    bench, words = Bench(tmp_path, room), agent_words(4, CARD_HZ)

    bench.play(words)

    wanted = room.echo(np.pad(load_speech("agent_long").at_rate(MIC_HZ)[: 4 * MIC_HZ], (0, MIC_HZ)))
    frames = min(len(wanted), len(bench.heard))
    assert residual_db(bench.heard[:frames], wanted[:frames]) < -25


def test_live_the_echo_drifts_with_the_two_clocks(tmp_path: Path):
    bench, words = Bench(tmp_path, Room(noise_db=-150)), agent_words(20, CARD_HZ)
    bench.speaker.ppm, bench.mic.ppm = 60, -40

    bench.play(words)

    last, given = slice(18 * MIC_HZ, 20 * MIC_HZ), agent_words(20, MIC_HZ)
    gained = lag(Room().echo(given)[last], given[last]) - lag(bench.heard[last], given[last])
    assert gained == pytest.approx(30, abs=1)


def test_live_the_noise_is_there_before_anything_is_played(tmp_path: Path):
    bench = Bench(tmp_path, Room(noise_db=-50))

    heard = bench.live.hear(0, MIC_HZ) / 32768

    assert 20 * np.log10(heard.std()) == pytest.approx(-50, abs=0.2)


def test_lateness_is_rare_the_same_every_time_and_5_to_50_ms():
    late, again = lateness(3), lateness(3)

    given = [late() for _ in range(20_000)]

    stalls = [each for each in given if each]
    assert given == [again() for _ in range(20_000)]
    assert 10 <= len(stalls) <= 30
    assert min(stalls) >= 0.005
    assert max(stalls) <= 0.05
