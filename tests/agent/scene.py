"""A session, a simulated agent and a user, in one loop whose time jumps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from pivoice.agent.session import Session
from pivoice.agent.simulated import Plan, SimulatedAgent, Turn
from pivoice.agent.simulated_voice import Voice, load_voice, speech_directory
from pivoice.audio.buffers import Uplink
from pivoice.config import AgentConfig
from pivoice.simulation import JumpLoop, run_jumping
from pivoice.tools.registry import ToolDefinition
from pivoice.turn import events
from pivoice.turn.events import Event

RATE_HZ = 24_000
PERIOD = 480  # 20 ms
E = TypeVar("E", bound=Event)


def speech(name: str) -> Voice:
    """Return one of the voices made at set-up; a missing one is a failure that says so."""
    path = speech_directory() / f"{name}.wav"
    assert path.exists(), f"{path} is missing; run scripts/speech"
    return load_voice(path)


def tone(seconds: float, *, level: float = 0.3) -> Voice:
    """Something loud whose every sample can be told from the next."""
    at = np.arange(round(seconds * RATE_HZ))
    wave = np.sin(2 * np.pi * 220 * at / RATE_HZ) * (1 + 0.3 * np.sin(2 * np.pi * 3 * at / RATE_HZ))
    return Voice("A tone, nothing but a tone.", (wave / 1.3 * level * 32767).astype(np.int16))


def noise(seconds: float, seed: int = 1) -> np.ndarray:
    """Samples of which no two stretches are alike: what alignment is checked with."""
    return np.random.default_rng(seed).integers(-9000, 9000, round(seconds * RATE_HZ)).astype(np.int16)


def weather_tool() -> ToolDefinition:
    async def run(_: object) -> str:
        return "sunny"

    schema: dict[str, object] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": []}
    return ToolDefinition("get_weather", "Tells the weather.", schema, run)


class Scene:
    """What a test sees. Times are the loop's; `post` stands in for the daemon."""

    def __init__(
        self, loop: JumpLoop, plan: Plan, config: dict[str, Any], *, ledger: Path | None = None
    ) -> None:
        self.loop = loop
        self.agent = SimulatedAgent(plan)
        self.uplink = Uplink(capacity_s=6.3)
        self.posted: list[tuple[float, Event]] = []
        self.reports: list[tuple[float, str, dict[str, object]]] = []
        self.played: dict[int, list[np.ndarray]] = {}
        self.ended: list[int] = []
        self.on_event: Callable[[Event], None] = lambda event: None
        self.today = date(2026, 5, 1)
        self._config = config
        self._ledger = ledger
        self._talking: list[asyncio.Task[None]] = []

    async def set_up(self) -> None:
        await self.agent.start()
        self._config.setdefault("url", self.agent.url)
        self._config.setdefault("rest_url", self.agent.rest_url)
        self.begin()

    @property
    def config(self) -> AgentConfig:
        return AgentConfig(**self._config)

    def begin(self) -> None:
        """Make the session, as a process that starts does."""
        self.session = Session(
            config=self.config,
            key="the-key",
            tools=[weather_tool()],
            uplink=self.uplink,
            post=self._post,
            report=lambda kind, data: self.reports.append((self.loop.time(), kind, data)),
            play=lambda reply, samples: self.played.setdefault(reply, []).append(samples),
            end_reply=self.ended.append,
            ledger=self._ledger,
            today=lambda: self.today,
            jitter=lambda: 0.5,
        )
        self.session.start()

    async def restart(self) -> None:
        """End the process and start it again: what is not in the ledger is forgotten."""
        await self.session.close()
        self.begin()

    async def tear_down(self) -> None:
        """Close, and see from the server's side that nothing is left to be billed."""
        for task in self._talking:
            task.cancel()
        await self.session.close()
        await asyncio.sleep(0.1)
        assert not self.agent.open_sockets, "a socket is left open"
        assert not self.agent.bare_closes, "a socket was closed and its session left to be billed"
        broken = len(self.all(events.LinkDropped))
        lingered = len([facts for facts in self.reported("session") if facts["state"] == "lingering"])
        lapsing = self.agent.open_sessions  # nobody can end them any more
        assert len(lapsing) <= broken + lingered, "a session is left open, and billed"
        if lapsing:
            await asyncio.sleep(self.agent.plan.resume_window_s)
        assert not self.agent.open_sessions, "a session is left open, and billed"
        await self.agent.stop()
        await asyncio.sleep(0.1)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks left behind: {left}"

    def _post(self, event: Event) -> None:
        self.posted.append((self.loop.time(), event))
        self.on_event(event)

    # --- what the user does ---

    def speak(self, samples: np.ndarray, *, pause_s: float = 0.0) -> asyncio.Task[None]:
        """Say `samples` into the Uplink at real time, after a pause, then go on being silent."""
        task = asyncio.create_task(self._speak(samples, pause_s))
        self._talking.append(task)
        return task

    async def _speak(self, samples: np.ndarray, pause_s: float) -> None:
        for task in self._talking[:-1]:
            task.cancel()
        silence, began_s, periods = np.zeros(PERIOD, np.int16), self.loop.time(), 0
        samples = np.concatenate([np.zeros(round(pause_s * RATE_HZ), np.int16), samples])
        while True:
            period = samples[periods * PERIOD : (periods + 1) * PERIOD]
            whole = np.concatenate([period, silence[: PERIOD - len(period)]])
            periods += 1
            await asyncio.sleep(max(0.0, began_s + periods * 0.02 - self.loop.time()))
            self.uplink.put(whole)

    # --- what a test waits for ---

    async def until(self, condition: Callable[[], object], what: str, *, within_s: float = 30.0) -> None:
        deadline, look_s = self.loop.time() + within_s, 0.002 if within_s <= 30 else 0.05
        while not condition():
            assert self.loop.time() < deadline, (
                f"waited {within_s} s in vain for {what}; posted {self.kinds()}"
            )
            await asyncio.sleep(look_s)

    async def event(self, kind: type[E], *, count: int = 1, within_s: float = 30.0) -> E:
        """Return the `count`-th posted event of a kind, once it is there."""
        await self.until(lambda: len(self.all(kind)) >= count, f"{count} {kind.__name__}", within_s=within_s)
        return self.all(kind)[count - 1]

    async def ready(self, session: int = 1) -> None:
        """Open a session and wait until it takes audio."""
        self.session.open(session)
        await self.until(
            lambda: any(ready.session == session for ready in self.all(events.SessionReady)), "SessionReady"
        )

    def all(self, kind: type[E]) -> list[E]:
        return [event for _, event in self.posted if isinstance(event, kind)]

    def time_of(self, event: Event) -> float:
        return next(time_s for time_s, each in self.posted if each is event)

    def kinds(self) -> list[str]:
        return [type(event).__name__ for _, event in self.posted]

    def heard(self, reply: int) -> np.ndarray:
        """Everything handed to the speaker of one reply."""
        return np.concatenate([np.zeros(0, np.int16), *self.played.get(reply, [])])

    def received(self) -> np.ndarray:
        """Everything the newest session on the server took."""
        return np.frombuffer(bytes(self.agent.session.received), "<i2")

    def reported(self, kind: str) -> list[dict[str, object]]:
        return [data for _, each, data in self.reports if each == kind]


Test = Callable[[Scene], Coroutine[Any, Any, None]]


def scene(
    *,
    turns: list[Turn] | None = None,
    violations: bool = False,
    config: dict[str, Any] | None = None,
    ledger: Path | None = None,
    **plan: Any,
) -> Callable[[Test], Callable[[], None]]:
    """Run a test coroutine in a scene of its own; afterwards nothing may be left behind, on either side.

    `violations`: the client is expected to break a rule. `ledger`: None keeps it in memory. The rest
    are switches of the simulated agent.
    """

    def decorate(test: Test) -> Callable[[], None]:
        def run() -> None:
            async def main(loop: JumpLoop) -> None:
                script = Plan(turns=turns or [Turn(tone(2.0))], **plan)
                each = Scene(loop, script, dict(config or {}), ledger=ledger)
                await each.set_up()
                try:
                    await test(each)
                finally:
                    await each.tear_down()
                assert violations or not each.agent.violations, each.agent.violations

            run_jumping(main)

        run.__name__, run.__doc__ = test.__name__, test.__doc__
        return run

    return decorate


async def settle(seconds: float = 0.5) -> None:
    """Let simulated time pass."""
    await asyncio.sleep(seconds)
