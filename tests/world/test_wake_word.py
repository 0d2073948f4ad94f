"""The wake word over a day: found after an hour of quiet, after a conversation, and only once."""

from __future__ import annotations

import asyncio
import stat
import threading
import wave
from pathlib import Path

import numpy as np
import pytest

from pivoice.audio.resample import resampled
from pivoice.turn.machine import State
from pivoice.wake.simulated import SimulatedDetector, Word
from tests.support.speech import load_speech
from tests.support.world import MIC_HZ, World, answering, live

SHORT = "[turn]\nfollow_up_s = 1.0\n"


def hum(seconds: float, seed: int) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """Return 24 kHz of a room in which nobody speaks."""
    return np.random.default_rng(seed).normal(0, 30, round(seconds * 24_000)).astype(np.int16)


def wakes(world: World) -> list[dict[str, object]]:
    return [line for line in world.lines if line["event"] == "wake"]


def test_after_minutes_of_quiet_the_word_is_found_as_fast_as_ever(tmp_path: Path) -> None:
    async def main(world: World) -> float:
        for minute in range(4):
            world.say(hum(60, minute), at_s=60.0 * minute)
        _, end_s = world.say("user_wake", at_s=200.04)
        await asyncio.sleep(199)
        await world.reach("listening", 5)
        return float(world.line("wake")["time_s"]) - end_s

    # decided as the word ends (which is before its file does), 80 ms at the latest, and a period
    assert live(main, tmp_path) < 0.2


def test_a_word_said_right_after_a_conversation_wakes_again(tmp_path: Path) -> None:
    async def main(world: World) -> tuple[int, float]:
        world.say("user_wake_time", at_s=1.5)
        await world.reach("speaking", 20)
        await world.reach("idle", 20)
        over_s = world.loop.time()
        world.say("user_wake", at_s=over_s + 0.05)
        await world.reach("listening", 3)
        return len(wakes(world)), world.loop.time() - over_s

    count, after_s = live(main, tmp_path, toml=SHORT, plan=answering("agent_short"))

    assert count == 2
    assert after_s < 1.5


@pytest.mark.parametrize("echo", ["half_duplex", "webrtc"])
def test_a_word_that_began_in_a_conversation_and_ended_after_it_is_heard_whole(
    tmp_path: Path, echo: str
) -> None:
    async def main(world: World) -> list[str]:
        world.say("user_wake_time", at_s=1.5)
        await world.reach("speaking", 20)
        await world.reach("listening", 20)
        heard = len(wakes(world))
        begun_s, end_s = world.say("user_wake")
        await asyncio.sleep(begun_s + 0.25 - world.loop.time())
        await world.ask("stop")  # a quarter of a second into the word
        assert world.state == "idle"
        await asyncio.sleep(end_s + 0.5 - world.loop.time())
        return [str(line["model"]) for line in wakes(world)[heard:]]

    toml = f'[audio]\necho = "{echo}"\n'

    assert live(main, tmp_path, toml=toml, plan=answering("agent_short")) == ["hey_jarvis"]


def test_a_word_said_in_a_conversation_does_not_wake_once_it_is_over(tmp_path: Path) -> None:
    async def main(world: World) -> State:
        world.say("user_wake_time", at_s=1.5)
        await world.reach("speaking", 20)
        await world.reach("listening", 20)
        count = len(wakes(world))
        world.say("user_wake")
        await world.until(lambda: len(wakes(world)) > count, 3)  # heard, and nobody's business
        await world.ask("stop")
        await asyncio.sleep(3.0)
        assert len(wakes(world)) == count + 1
        return world.daemon.turn.state

    assert live(main, tmp_path, plan=answering("agent_short")) is State.IDLE


def test_near_misses_are_kept_with_their_sound_and_only_the_last_of_them(tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    starts_s = (3.0, 9.0, 15.0)
    words = [Word(round((at + 1.0) * MIC_HZ), round((at + 1.1) * MIC_HZ), score=0.4) for at in starts_s]

    async def main(world: World) -> None:
        for at_s in starts_s:
            world.say("user_weather", at_s=at_s)
        await asyncio.sleep(20)
        assert world.state == "idle"

    toml = f'[wake]\nsave_near_misses = 2\nnear_misses_dir = "{clips}"\n'
    live(main, tmp_path, toml=toml, detectors=(SimulatedDetector(words=words), SimulatedDetector()))

    for thread in threading.enumerate():
        if thread.name == "near-misses":
            thread.join(5)
    kept = sorted(clips.glob("*.wav"))
    assert len(kept) == 2
    assert stat.S_IMODE(clips.stat().st_mode) == 0o700
    said = resampled(load_speech("user_weather").at_rate(24_000), 24_000, MIC_HZ)
    for path in kept:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert "hey_jarvis-0.40" in path.name
        with wave.open(str(path), "rb") as file:
            sound = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        assert len(sound) / MIC_HZ == pytest.approx(2.6, abs=0.3)
        words_heard = said[MIC_HZ // 2 : MIC_HZ]
        match = np.correlate(sound.astype(np.float64), words_heard.astype(np.float64), "valid")
        at = int(np.argmax(match))
        assert np.corrcoef(sound[at : at + len(words_heard)], words_heard)[0, 1] > 0.98


def test_a_near_miss_whose_score_stays_high_until_the_room_is_quiet_is_kept(tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    word = load_speech("wake_jarvis_02").at_rate(24_000)  # highest half a second after its end

    async def main(world: World) -> None:
        room = hum(12, 1)
        room[4 * 24_000 :][: len(word)] += word
        world.say(room, at_s=0.0)
        await asyncio.sleep(11)

    toml = f'[wake]\nthreshold = 0.9999\nsave_near_misses = 2\nnear_misses_dir = "{clips}"\n'
    live(main, tmp_path, toml=toml)

    for thread in threading.enumerate():
        if thread.name == "near-misses":
            thread.join(5)
    (path,) = clips.glob("*.wav")
    with wave.open(str(path), "rb") as file:
        assert 2.1 <= file.getnframes() / MIC_HZ <= 2.6


def test_by_default_nothing_of_the_kind_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    words = [Word(round(4.0 * MIC_HZ), round(4.1 * MIC_HZ), score=0.4)]

    async def main(world: World) -> None:
        world.say("user_weather", at_s=3.0)
        await asyncio.sleep(8)

    live(main, tmp_path, detectors=(SimulatedDetector(words=words), SimulatedDetector()))

    assert not list(tmp_path.rglob("near-misses"))
