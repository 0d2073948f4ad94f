"""The network goes and comes back: what was said meanwhile arrives, in the same session."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import numpy as np

from pivoice.config import Config
from pivoice.simulation import JumpLoop, run_jumping
from pivoice.turn.events import WakeAsked
from pivoice.wake.simulated import SimulatedDetector
from tests.support.speech import load_speech
from tests.support.world import World, answering, live
from tests.world.any_server import AnyServer


def test_words_spoken_in_an_outage_of_a_quarter_of_a_minute_reach_the_resumed_session(tmp_path: Path):
    async def main(world: World) -> None:
        world.say("user_wake_time")
        await world.reach("speaking")
        await world.reach("listening")
        before = len(world.received())

        random.seed(1)  # five attempts, jittered: by bad luck all of them fall into the first 14 s
        world.agent.plan.http_status = 503
        world.agent.drop()
        await asyncio.sleep(2)
        assert world.line("state")["light"]["pattern"] == "reconnecting"
        world.say("user_weather")
        await asyncio.sleep(12)
        world.agent.plan.http_status = 0
        await world.until(lambda: world.has("session", state="resumed"), 10)
        await world.reach("speaking")

        session = world.agent.session
        assert (world.agent.session_count, session.resumes) == (1, 1)
        words = load_speech("user_weather").at_rate(24_000).astype(float)
        heard = world.received()[before:].astype(float)
        match = np.correlate(heard[::8], words[::8], "valid")
        at = 8 * int(np.argmax(np.abs(match)))
        piece = heard[at : at + len(words)]
        likeness = np.dot(piece, words) / np.linalg.norm(piece) / np.linalg.norm(words)
        assert likeness > 0.9, "the words arrived, whole and in their order"

    live(main, tmp_path, plan=answering("agent_short", "agent_weather"))


def test_a_session_given_in_place_of_the_one_asked_for_is_told_who_it_is(tmp_path: Path):
    async def main(loop: JumpLoop) -> None:
        detectors = (SimulatedDetector(), SimulatedDetector())
        world = World(loop, tmp_path, Config(), answering("agent_short"), detectors)
        server = AnyServer(["ready"])  # under another id each time
        world.agent = server  # type: ignore[assignment]
        await world.set_up()
        try:
            world.daemon.post(WakeAsked())
            await asyncio.sleep(1)

            server.drop()
            await asyncio.sleep(2)

            resume, update = server.sockets[-1].messages
            assert resume == {"type": "session.resume", "session_id": "sess_1"}
            assert update["session"]["system_prompt"] == Config().agent.system_prompt
            assert {"get_time", "end_conversation"} <= {tool["name"] for tool in update["session"]["tools"]}
        finally:
            await world.tear_down()

    run_jumping(main)
