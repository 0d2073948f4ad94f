"""A device whose parts hang: each is replaced, and the device hears, speaks and keeps its conversation."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest

from pivoice.audio import playback
from pivoice.audio.pcm import Playback, Samples
from pivoice.errors import DeviceError
from pivoice.simulation import JumpClock
from pivoice.turn.events import PlaybackLost
from pivoice.wake.simulated import SimulatedDetector
from tests.support.world import World, answering, live

LOUD = np.full(2400, 30_000, np.int16)  # 0.1 s that the detectors take for the wake word
BUTTON = '[wake]\nengine = "none"\n'


class HangingDetector(SimulatedDetector):
    """Hangs in `score` for as long as it is told to, once `hangs` is set. Its twins are well."""

    def __init__(self) -> None:
        super().__init__(loud_lsb=29_000)
        self.clock: JumpClock | None = None
        self.hangs = threading.Event()
        self.release = threading.Event()

    def score(self, block: Samples) -> dict[str, float]:
        if self.hangs.is_set() and self.clock:
            self.clock.wait(self.release)
        return super().score(block)


def test_a_detector_that_hangs_is_replaced_and_the_wake_word_is_heard_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    detector = HangingDetector()

    async def main(world: World) -> None:
        detector.clock = world.loop.clock
        await asyncio.sleep(3)
        detector.hangs.set()
        hung_s = world.loop.time()

        await world.until(lambda: world.has("restart", part="capture"), 20)
        assert world.loop.time() - hung_s <= 15.1
        await world.until(lambda: world.daemon.seen.hears, 5)
        world.say(LOUD)
        await world.reach("listening", 5)
        assert (await world.ask("status"))["restarts"] == {"capture": 1, "playback": 0, "loop": 0}

        detector.release.set()  # the old thread goes on, and finds that nobody wants it
        await asyncio.sleep(3)
        assert sum(each["event"] == "wake" for each in world.lines) == 1
        assert world.daemon.sound.hung == 0

    live(main, tmp_path, detectors=(detector, SimulatedDetector()), plan=answering("agent_short"))

    assert sum("the capture thread has hung for" in each.getMessage() for each in caplog.records) == 1


def test_a_conversation_outlives_ears_that_hang(tmp_path: Path):
    detector = HangingDetector()

    async def main(world: World) -> None:
        detector.clock = world.loop.clock
        await asyncio.sleep(3)
        await world.ask("wake")
        await world.until(lambda: world.has("session", state="ready"), 10)
        world.say(LOUD)
        detector.hangs.set()

        await world.until(lambda: world.has("restart", part="capture"), 20)
        await world.until(lambda: world.daemon.seen.hears, 5)
        said_s, _ = world.say("user_weather")
        await world.reach("speaking", 15)

        assert len(world.agent.sessions) == 1
        assert said_s < world.loop.time()

    toml = "[turn]\nno_speech_s = 60\n"
    live(
        main, tmp_path, toml=toml, detectors=(detector, SimulatedDetector()), plan=answering("agent_weather")
    )


def test_a_speaker_thread_that_hangs_is_replaced_and_speaks_again(tmp_path: Path):
    async def main(world: World) -> None:
        release = threading.Event()
        mouth = world.daemon.mouth

        def hang(*_: object, **__: object) -> None:
            world.loop.clock.wait(release)

        mouth._settle = hang  # type: ignore[method-assign]
        await world.ask("wake")
        await world.until(lambda: world.has("restart", part="playback"), 25)
        assert world.daemon.mouth is not mouth
        release.set()
        await asyncio.sleep(6)  # the card is free again, and is found

        await world.until(lambda: not world.daemon.seen.faults, 10)
        await world.ask("wake")
        world.say("user_weather", at_s=world.loop.time() + 1)
        await world.reach("speaking", 20)
        assert world.daemon.sound.hung == 0

    live(main, tmp_path, toml=BUTTON, plan=answering("agent_weather"))


def test_a_muted_device_is_left_alone_for_hours(tmp_path: Path):
    async def main(world: World) -> None:
        await world.ask("mute")
        await asyncio.sleep(3600)

        assert not world.has("restart")
        assert world.daemon.ears.attempts == 1
        await world.ask("unmute")
        await world.until(lambda: world.daemon.seen.hears, 5)

    live(main, tmp_path, toml=BUTTON)


def test_a_thread_that_hangs_when_it_is_muted_has_its_microphone_taken_away(tmp_path: Path):
    detector = HangingDetector()

    async def main(world: World) -> None:
        detector.clock = world.loop.clock
        await asyncio.sleep(3)
        detector.hangs.set()
        await asyncio.sleep(1)

        await world.ask("mute")
        await world.until(lambda: world.mic.in_use is None, 20)
        await asyncio.sleep(60)

        assert world.daemon.ears.attempts == 0, "the next one opened it"
        detector.release.set()
        await world.ask("unmute")
        await world.until(lambda: world.daemon.seen.hears, 5)

    live(main, tmp_path, detectors=(detector, SimulatedDetector()))


def test_a_speaker_in_which_every_thread_hangs_costs_a_muted_device_two_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async def main(world: World) -> None:
        release = threading.Event()

        def hang(*_: object) -> Playback:
            world.loop.clock.wait(release)
            raise DeviceError("bed", doing="open playback", reason="it hung", advice="")

        monkeypatch.setattr(playback, "open_playback", hang)
        await world.ask("mute")
        world.speaker.unplug()

        await asyncio.sleep(3600)

        assert world.daemon.sound.hung == 2
        assert world.daemon.lasting.restarts["playback"] == 2
        release.set()
        monkeypatch.undo()
        world.speaker.replug()
        await world.until(lambda: not world.daemon.seen.faults, 10)
        assert world.daemon.sound.hung == 0

    live(main, tmp_path, toml=BUTTON)


def test_a_lost_microphone_is_not_a_thread_that_hangs(tmp_path: Path):
    async def main(world: World) -> None:
        world.mic.unplug()
        await asyncio.sleep(600)
        assert not world.has("restart")
        world.mic.replug()
        replugged_s = world.loop.time()
        await world.until(lambda: world.daemon.seen.hears, 10)
        assert world.loop.time() - replugged_s <= 5.0
        assert world.line("fault", part="microphone")["state"] == "found"

    live(main, tmp_path, toml=BUTTON)


def test_a_speaker_lost_at_rest_is_shown_and_found_again(tmp_path: Path):
    async def main(world: World) -> None:
        await asyncio.sleep(10)
        world.speaker.unplug()
        await world.until(lambda: "no_speaker" in world.daemon.seen.conditions, 5)
        status = await world.ask("status")
        assert "speaker" in status["faults"]
        assert "hears" in status["status"] and "no speaker" in status["status"], "for systemctl status"
        world.speaker.replug()
        await world.until(lambda: not world.daemon.seen.conditions, 5)
        assert (await world.ask("status"))["faults"] == {}
        assert world.daemon.turn.ignored[PlaybackLost.__name__] == 0

    live(main, tmp_path, toml=BUTTON)


def test_a_driver_that_hangs_over_a_reload_starves_the_watchdog(tmp_path: Path):
    async def main(world: World) -> None:
        before = world.daemon
        await asyncio.sleep(3)
        world.mic.wedge(True)
        await asyncio.sleep(1)

        await world.ask("reload")
        await world.until(lambda: world.daemon is not before, 10)
        await asyncio.sleep(5)

        assert world.daemon.sound.hung == 1, "the card's driver has it, and nobody else will"
        is_well = world.daemon.sound.watch()._is_well
        is_well()
        await asyncio.sleep(10)
        assert not is_well()
        world.mic.wedge(False)
        await world.until(lambda: world.daemon.seen.hears, 10)
        assert world.daemon.sound.hung == 0
        is_well()
        await asyncio.sleep(1)
        assert is_well()

    live(main, tmp_path, toml=BUTTON)
