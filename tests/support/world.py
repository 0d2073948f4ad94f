"""The whole device and its agent in one loop whose time jumps: real daemon, threads, socket, wake word.

    async def main(world: World) -> None:
        world.say(words, at_s=2.0)
        await world.until(lambda: world.state == "speaking", 20)
    live(main, tmp_path)

Microphone and speaker are the product's simulated cards. Times are the loop's, which starts at 0.
"""

from __future__ import annotations

import asyncio
import json
import logging
import wave
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pivoice import config
from pivoice.agent.simulated import Plan, SimulatedAgent, Turn
from pivoice.agent.simulated_voice import load_voice, speech_directory
from pivoice.audio import simulated
from pivoice.audio.earcons import Earcons
from pivoice.audio.simulated import Microphone, Speaker
from pivoice.config import Config
from pivoice.daemon import Daemon
from pivoice.equipment import Equipment
from pivoice.fitting import open_listening
from pivoice.simulation import JumpLoop, run_jumping
from pivoice.supervisor import Start, Supervisor
from pivoice.tools.times import Times
from pivoice.wake.detector import Detector
from tests.support.bed import resampled
from tests.support.speech import load_speech

Samples = NDArray[np.int16]
T = TypeVar("T")
MIC_HZ = 16_000


class World:
    """Everything there is. `lines`: what the daemon reported to watchers, in order."""

    def __init__(
        self,
        loop: JumpLoop,
        directory: Path,
        settings: Config,
        plan: Plan,
        detectors: tuple[Detector, Detector] | None,
        today: Callable[[], date] = lambda: date(2026, 11, 2),
        furnish: Callable[[Microphone, Speaker], object] | None = None,
    ) -> None:
        self.loop = loop
        plan.json_results = True  # our own tools' answers are JSON
        self.agent = SimulatedAgent(plan)
        self.lines: list[dict[str, Any]] = []
        self._directory = directory
        self.settings = settings
        self._detectors = detectors
        self._today = today
        self._furnish = furnish
        self.power_on_s = datetime(2026, 11, 2, 12, 0, tzinfo=UTC).timestamp()
        """What the wall clock showed when the loop's time was 0; a test that sets the clock changes it."""

    async def set_up(self) -> None:
        await self.agent.start()
        silence = self._directory / "room.wav"
        with wave.open(str(silence), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(MIC_HZ)
        names = self._names = f"simulated:{silence}", f"simulated:{self._directory}/speaker.wav"
        self.mic, self.speaker = simulated.microphone(names[0]), simulated.speaker(names[1])
        if self._furnish:
            self._furnish(self.mic, self.speaker)
        self.supervisor = Supervisor(self.start(), self.start, open_daemon=self._open_daemon)
        self._running = asyncio.create_task(self.supervisor.run(handle_signals=False))
        await self.until(lambda: self.daemon.ears.beats > 0, 5)

    def start(self) -> Start:
        """Return what a daemon begins with now; a test that reloads may have changed `settings`.

        "auto" is half duplex here: what is not about the echo need not wait for a canceller to compute.
        """
        given = self.settings
        echo = "half_duplex" if given.audio.echo == "auto" else given.audio.echo
        settings = replace(
            given,
            agent=replace(given.agent, url=self.agent.url),
            audio=replace(given.audio, capture=self._names[0], playback=self._names[1], echo=echo),
            panel=replace(given.panel, driver="simulated"),
            control=replace(given.control, socket=str(self._directory / "control.sock")),
        )
        equipment = Equipment(
            open_listening(settings, {}, detectors=self._detectors),
            Earcons(settings.audio.earcons),
            ledger=self._directory / "ledger.json",
            records=self._directory / "records",
            times=Times(
                now_s=lambda: self.power_on_s + self.loop.time(),
                elapsed_s=self.loop.time,
                boot=lambda: f"the one of {id(self)}",
                zone=lambda: UTC,
            ),
        )
        return Start(settings, "a-key", equipment, "pivoice.toml")

    def _open_daemon(self, settings: Config, **given: Any) -> Daemon:
        daemon = Daemon(settings, clock=self.loop.clock, today=self._today, **given)
        daemon.control.publish = self.lines.append  # type: ignore[method-assign]
        return daemon

    async def tear_down(self) -> None:
        self.supervisor.stop()
        try:
            await self._running
        finally:
            await self.agent.stop()
            for name in self._names:
                simulated.forget(name)  # hours of sound, in some of a hundred worlds
        if isinstance(self.agent, SimulatedAgent):
            assert not self.agent.open_sockets, "a socket is left open, and billed"
            assert not self.agent.bare_closes, "a socket was closed and its session left to be billed"
            assert not self.agent.violations, self.agent.violations

    @property
    def daemon(self) -> Daemon:
        """The one that runs."""
        return self.supervisor.daemon

    async def ask(self, command: str, **arguments: object) -> dict[str, Any]:
        """Return what the control socket answers."""
        reader, writer = await asyncio.open_unix_connection(self.daemon.config.control.socket)
        writer.write(json.dumps({"command": command, **arguments}).encode() + b"\n")
        answer: dict[str, Any] = json.loads(await reader.readline())
        writer.close()
        return answer

    @property
    def state(self) -> str:
        return self.daemon.turn.state.value

    def say(self, words: Samples | str, *, at_s: float | None = None) -> tuple[float, float]:
        """Have the user say something (24 kHz samples, or the name of a speech); return (start, end)."""
        samples = load_speech(words).at_rate(24_000) if isinstance(words, str) else words
        start_s = self.loop.time() + 0.1 if at_s is None else at_s
        self.mic.say(resampled(samples, 24_000, MIC_HZ), at_s=start_s)
        return start_s, start_s + len(samples) / 24_000

    async def until(self, is_true: Callable[[], bool], within_s: float) -> None:
        """Let time pass until `is_true`."""
        deadline_s = self.loop.time() + within_s
        while not is_true():
            assert self.loop.time() < deadline_s, f"not within {within_s} s; {self.lines[-12:]}"
            await asyncio.sleep(0.005)

    async def reach(self, state: str, within_s: float = 30.0) -> float:
        """Let time pass until the turn is in `state`; return when."""
        await self.until(lambda: self.state == state, within_s)
        return self.loop.time()

    def has(self, event: str, **match: object) -> bool:
        """Return whether there was a line that is `event` and holds `match`."""
        wanted = {"event": event, **match}
        return any(wanted.items() <= each.items() for each in self.lines)

    def line(self, event: str, **match: object) -> dict[str, Any]:
        """Return the newest line that is `event` and holds `match`."""
        wanted = {"event": event, **match}
        found = [each for each in self.lines if wanted.items() <= each.items()]
        assert found, f"no {wanted} in {self.lines}"
        return found[-1]

    def heard(self, from_s: float, to_s: float) -> Samples:
        """Return what the speaker played then, at its own rate."""
        if self.speaker.epoch_s is None:
            return np.zeros(0, np.int16)
        return self.speaker.heard(max(0, self.speaker.frame_at(from_s)), max(0, self.speaker.frame_at(to_s)))

    def received(self, number: int = -1) -> Samples:
        """Return the audio that the agent took in its newest (or any) session, 24 kHz."""
        session = list(self.agent.sessions.values())[number]
        return np.frombuffer(bytes(session.received), np.int16)


def live(
    main: Callable[[World], Coroutine[Any, Any, T]],
    directory: Path,
    *,
    toml: str = "",
    period_ms: int | None = None,
    plan: Plan | None = None,
    detectors: tuple[Detector, Detector] | None = None,
    today: Callable[[], date] = lambda: date(2026, 11, 2),
    furnish: Callable[[Microphone, Speaker], object] | None = None,
) -> T:
    """Run `main` in a world of its own, from power-on to power-off.

    `today`: the device's calendar, which stands still unless told otherwise.
    `furnish`: does something to the cards before they are opened: lets the one hear the other, say.
    `period_ms`: also longer than the configuration allows, where days pass.
    """

    async def run(loop: JumpLoop) -> T:
        settings = config.parse(toml)
        if period_ms:
            settings = replace(settings, audio=replace(settings.audio, period_ms=period_ms))
        world = World(loop, directory, settings, plan or answering("agent_short"), detectors, today, furnish)
        await world.set_up()
        try:
            return await main(world)
        finally:
            await world.tear_down()

    level = logging.getLogger().level
    try:
        return run_jumping(run)
    finally:
        logging.getLogger().setLevel(level)  # a reload sets it


def answering(*voices: str, **switches: Any) -> Plan:
    """Return a plan whose agent answers with these speeches, one after the other."""
    turns = [Turn(load_voice(speech_directory() / f"{name}.wav")) for name in voices]
    return Plan(turns=turns, **switches)
