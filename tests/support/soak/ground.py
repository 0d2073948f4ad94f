"""The world of a soak: a device that is quick to simulate, and keeps nothing of the days it has lived.

Asleep it is looked at every 0.4 s, awake every 100 ms, the most that audio.period_ms allows. What the
simulated parts would keep for ever (sound that was said and played, sessions, lines) is thrown away, so that
what grows is the product. Event loop only, but for `Room` and `JammableDetector`: capture thread.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from pivoice import config
from pivoice.agent.simulated_plan import Plan
from pivoice.audio import capture
from pivoice.audio.simulated import Microphone, Speaker
from pivoice.clock import Clock
from pivoice.config import Config
from pivoice.daemon import Daemon
from pivoice.errors import ConfigError, Fault
from pivoice.simulation import JumpLoop
from pivoice.supervisor import Start
from pivoice.wake.simulated import SimulatedDetector
from tests.support.soak.promises import Promises
from tests.support.world import MIC_HZ, World

Samples = NDArray[np.int16]

DAY_S = 86_400.0
PERIOD_MS = 100
DOZE_S = 0.4  # within what a simulated card holds at that period; 100 ms at a time cost four times as much
POLL_S = 0.1
FIRST_DAY = date(2026, 11, 2)
LOUD_LSB = 29_000
"""What the detector takes for the wake word; no speech of ours is so loud."""
_AUDIBLE_LSB = 100
_CROSSING = (
    "in flight",
    "nobody asked",
    "two answers",
    "audio after the end",
    "audio before session.ready",
)
"""Mistakes of the client's that only crossed a word of the server's on the way, in the same moment."""
_KEPT_LINES = 200


class SoakWorld(World):
    """See the module. `promises`: where what is broken is told."""

    def __init__(self, loop: JumpLoop, directory: Path, *, seed: int, plan: Plan, promises: Promises) -> None:
        settings = config.parse(TOML)
        settings = replace(settings, audio=replace(settings.audio, period_ms=PERIOD_MS))
        super().__init__(loop, directory, settings, plan, None, self._date, self._furnish_cards)
        self.lines = deque(maxlen=_KEPT_LINES)
        self.promises = promises
        self.is_calm: Callable[[], bool] = lambda: True
        """Whether no fault is near."""
        self.is_faulty = False
        """The configuration file holds a mistake."""
        self.changed_s = 0.0
        """When who has the floor, or what the light shows, last changed."""
        self.conversations = 0
        self.restarts = 0
        """Of parts, as the daemons told."""
        self.jam = Jam()
        self._digest = hashlib.sha256()
        random.seed(seed)  # the product's own dice: how soon it tries again
        self._usual_doze_s, capture.DOZE_S = capture.DOZE_S, DOZE_S

    @property
    def _host(self) -> str:
        """The agent's address, whose port the kernel draws."""
        return urlsplit(self.agent.url).netloc

    @property
    def fingerprint(self) -> str:
        """Return what two runs have in common only if they were the same, to the microsecond."""
        return self._digest.hexdigest()[:12]

    @property
    def hears(self) -> bool:
        """Whether the daemon says that it hears, or is muted on purpose."""
        daemon = self.daemon
        return daemon.turn.muted or daemon.seen.hears

    def start(self) -> Start:
        """Return what a daemon begins with: its detector is one of its own.

        Raises:
            ConfigError: the configuration is at fault just now.
        """
        if self.is_faulty:
            raise ConfigError([Fault("audio.gain_db", "'loud' is not a number")], path="pivoice.toml")
        near = JammableDetector(self.jam, self.loop.clock)
        self._detectors = near, SimulatedDetector(loud_lsb=LOUD_LSB, memory_blocks=25)
        given = super().start()
        listening = replace(given.equipment.listening, open_gate=LoudGate)
        return replace(given, equipment=replace(given.equipment, listening=listening))

    def _date(self) -> date:
        return FIRST_DAY + timedelta(days=int(self.loop.time() // DAY_S))

    def _furnish_cards(self, mic: Microphone, speaker: Speaker) -> None:
        self.room = Room(mic)
        mic.listen_to(self.room.sound)
        speaker.record = lambda start, samples: None  # type: ignore[method-assign]

    def _open_daemon(self, settings: Config, **given: Any) -> Daemon:
        daemon = Daemon(settings, clock=self.loop.clock, today=self._today, **given)
        publish = daemon.control.publish

        def tell(line: dict[str, Any]) -> None:
            self._note(line)
            publish(line)

        daemon.control.publish = tell  # type: ignore[method-assign]
        return daemon

    def _note(self, line: dict[str, Any]) -> None:
        if line["event"] == "level":
            return
        told = json.dumps(line, default=str).replace(str(self._directory), "")
        self._digest.update(told.replace(self._host, "").encode())
        self.lines.append(line)
        if line["event"] == "state":
            self.changed_s = self.loop.time()
        self.conversations += line["event"] == "session" and line.get("state") == "ready"
        self.restarts += line["event"] == "restart"
        if self.agent.bare_closes:
            self.agent.bare_closes = 0  # whoever gives up a dead link cannot say so
            told = "a socket was closed and its session left to be billed, and no fault was near"
            self.promises.check(not self.is_calm(), told)

    def throw_away(self) -> None:
        """Forget what the simulated parts keep of what is over."""
        for session in [each for each in self.agent.sessions.values() if each.is_over]:
            del self.agent.sessions[session.id]
            self.agent.rest.records.pop(session.id, None)
        self.agent.events.clear()
        self.mic.refused_s.clear()
        self.speaker.refused_s.clear()
        shown = getattr(self.daemon.panel, "shown", [])
        del shown[:-10]

    def speak(self, sound: Samples, *, after_s: float = 0.1) -> float:
        """Have the user make a sound (16 kHz); return when it is over."""
        start_s = self.loop.time() + after_s
        self.room.say(sound, at_s=start_s)
        return start_s + len(sound) / MIC_HZ

    async def becomes(self, is_true: Callable[[], bool], within_s: float, *, every_s: float = POLL_S) -> bool:
        """Let time pass until `is_true`, and return True; False when it is not in time."""
        deadline_s = self.loop.time() + within_s
        while not is_true():
            if self.loop.time() >= deadline_s:
                return False
            await asyncio.sleep(every_s)
        return True

    async def tear_down(self) -> None:
        self.throw_away()
        self.agent.bare_closes = 0
        self.agent.violations = [
            each for each in self.agent.violations if not any(c in each for c in _CROSSING)
        ]
        self.jam.release()
        try:
            await super().tear_down()
        finally:
            capture.DOZE_S = self._usual_doze_s


TOML = """
[audio]
echo = "none"
[wake]
refractory_s = 1.0
[turn]
follow_up_s = 4.0
no_speech_s = 5.0
[panel]
mute_switch_pin = 24
[[panel.button]]
pin = 22
press = "push_to_talk"
"""
TALK_BUTTON = 1
"""After the one of the short form."""


def wake_word() -> Samples:
    """Return what the detector takes for the wake word, at the microphone's rate."""
    return np.round(1.1 * LOUD_LSB * np.sin(np.arange(round(0.12 * MIC_HZ)) * 0.3)).astype(np.int16)


class Room:
    """What the microphone hears: what was said lately, and silence. `say`: event loop, `sound`: capture."""

    def __init__(self, mic: Microphone) -> None:
        self._mic = mic
        self._said: list[tuple[int, Samples]] = []

    def say(self, sound: Samples, *, at_s: float) -> None:
        self._said = [*self._said, (self._mic.frame_at(at_s), sound)]

    def sound(self, start: int, stop: int) -> Samples:
        mixed = np.zeros(stop - start, np.int16)
        if not self._said:
            return mixed
        for at, sound in self._said:
            first, last = max(at, start), min(at + len(sound), stop)
            if first < last:
                mixed[first - start : last - start] = sound[first - at : last - at]
        self._said = [each for each in self._said if each[0] + len(each[1]) > stop]
        return mixed


class LoudGate:
    """A gate that takes next to no time: open while anything is loud, and for a second after."""

    def __init__(self, rate_hz: int, *, block_s: float = DOZE_S) -> None:
        self.block_frames = round(block_s * rate_hz)
        self.is_open = True
        self._held = 3

    def hear(self, block: Samples) -> bool:
        loud = max(int(block.max()), -int(block.min())) > _AUDIBLE_LSB
        self._held = 3 if loud else max(0, self._held - 1)
        self.is_open = self._held > 0
        return self.is_open


class Jam:
    """A detector's code that never returns. `arm`, `release`: event loop."""

    def __init__(self) -> None:
        self.is_armed = self.has_struck = False
        self._released = threading.Event()

    def arm(self) -> None:
        """Let the next score stick; only that one."""
        self.is_armed, self.has_struck, self._released = True, False, threading.Event()

    def release(self) -> None:
        """Let whoever sticks go on."""
        self.is_armed = False
        self._released.set()

    def pass_by(self, clock: Clock) -> None:
        if self.is_armed:
            self.is_armed, self.has_struck = False, True
            clock.wait(self._released)


class JammableDetector(SimulatedDetector):
    """Hears the wake word where it is loud, and sticks when told to."""

    def __init__(self, jam: Jam, clock: Clock) -> None:
        super().__init__(loud_lsb=LOUD_LSB, memory_blocks=25)
        self._jam = jam
        self._clock = clock

    def score(self, block: Samples) -> dict[str, float]:
        self._jam.pass_by(self._clock)
        return super().score(block)

    def twin(self) -> JammableDetector:
        return JammableDetector(self._jam, self._clock)
