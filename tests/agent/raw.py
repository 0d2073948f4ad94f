"""A client of the agent's wire that owes nothing to pivoice: what the simulated agent is tested with.

It is not careful either: it says exactly what a test has it say.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from pivoice.agent.simulated import Plan, SimulatedAgent, Turn
from pivoice.simulation import run_jumping
from tests.agent.scene import tone

T = TypeVar("T")
Message = dict[str, Any]

PCM = {"format": {"encoding": "audio/pcm", "sample_rate": 24000}}
TOOL = {"type": "function", "name": "look", "description": "Looks.", "parameters": {"type": "object"}}
CHUNK_S = 0.04


class Client:
    """One socket. `heard`: everything the server said, in order, as (time, message)."""

    def __init__(self, link: ClientConnection) -> None:
        self.link = link
        self.heard: list[tuple[float, Message]] = []
        self.audio = b""
        """Of all replies, joined."""

    async def say(self, kind: str, **fields: object) -> None:
        await self.link.send(json.dumps({"type": kind, **fields}))

    async def update(self, **settings: object) -> None:
        """Send a first update whose formats are right unless `settings` says otherwise."""
        session: Message = {"input": PCM, "output": PCM}
        for key, value in settings.items():
            session[key] = {**session.get(key, {}), **value} if isinstance(value, dict) else value
        await self.say("session.update", session=session)

    async def next(self) -> Message:
        message: Message = json.loads(await self.link.recv())
        self.heard.append((asyncio.get_running_loop().time(), message))
        if message["type"] == "reply.audio":
            self.audio += base64.b64decode(message["data"])
        return message

    async def until(self, kind: str) -> Message:
        """Read up to the next message of a kind, and return it."""
        async with asyncio.timeout(60):
            while (message := await self.next())["type"] != kind:
                pass
        return message

    async def until_closed(self) -> tuple[int, str]:
        """Read what still comes; return the code and the reason of the close."""
        try:
            async with asyncio.timeout(300):
                while True:
                    await self.next()
        except ConnectionClosed:
            return self.link.close_code or 0, self.link.close_reason or ""

    async def get_ready(self, **settings: object) -> Message:
        await self.update(**settings)
        return await self.until("session.ready")

    async def end(self) -> Message:
        await self.say("session.end")
        return await self.until("session.ended")

    async def speak(self, samples: np.ndarray, *, rate: float = 1.0) -> None:
        """Send samples, chunk by chunk, so many times faster than they sound."""
        pcm, step = samples.astype("<i2").tobytes(), round(CHUNK_S * 48_000)
        for at in range(0, len(pcm), step):
            await self.say("input.audio", audio=base64.b64encode(pcm[at : at + step]).decode())
            await asyncio.sleep(CHUNK_S / rate)

    async def take_turn(self) -> None:
        """Say something for a second, and be silent until the server must have noticed."""
        await self.speak(np.concatenate([tone(1.0).samples, np.zeros(30_000, np.int16)]))

    def kinds(self) -> list[str]:
        """The types of what was heard, audio left out."""
        return [message["type"] for _, message in self.heard if message["type"] != "reply.audio"]

    def all(self, kind: str) -> list[Message]:
        return [message for _, message in self.heard if message["type"] == kind]


class Place:
    """An agent, and as many clients as a test wants."""

    def __init__(self, agent: SimulatedAgent) -> None:
        self.agent = agent
        self._links: list[ClientConnection] = []

    async def client(self, *, key: str = "the-key", token: str = "", **options: Any) -> Client:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        url = self.agent.url + (f"?token={token}" if token else "")
        link = await connect(url, proxy=None, additional_headers=headers, compression=None, **options)
        self._links.append(link)
        return Client(link)

    async def leave(self) -> None:
        for link in self._links:
            link.transport.abort()
        await asyncio.sleep(0.01)


def with_agent(
    talk: Callable[[Place], Coroutine[Any, Any, T]], *, turns: list[Turn] | None = None, **plan: Any
) -> tuple[T, SimulatedAgent]:
    """Run `talk` beside an agent in simulated time; return what it returned, and the agent."""

    async def main(_: object) -> tuple[T, SimulatedAgent]:
        agent = SimulatedAgent(Plan(turns=turns or [Turn(tone(1.0))], **plan))
        await agent.start()
        place = Place(agent)
        try:
            return await talk(place), agent
        finally:
            await place.leave()
            await agent.stop()
            await asyncio.sleep(0.01)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, f"tasks left behind: {left}"

    return run_jumping(main)
