"""Hours of careless use, in seconds: whatever happens in whatever order, nothing is left open."""

from __future__ import annotations

import dataclasses
import random
import socket
from collections import Counter
from typing import Any

import pytest

from pivoice.agent import conversation
from pivoice.agent.connection import Connection, open_connection
from pivoice.agent.simulated import Plan, Turn
from pivoice.agent.simulated_plan import ScriptedCall
from pivoice.simulation import JumpLoop, run_jumping
from pivoice.turn import events
from tests.agent.scene import Scene, settle, speech, tone

TURNS = [
    Turn(tone(1.5)),
    Turn(tone(0.5), tools=(ScriptedCall("get_weather"), ScriptedCall("get_weather", {"city": "Rome"}))),
    Turn(tone(1.0), drop_after_s=0.4),
    Turn(tone(1.0), silent=True),
    Turn(tone(1.0), error="llm_failed"),
    Turn(tone(2.0), stale_s=1.0),
]


class Carelessness:
    """A user, an owner and a network without any plan."""

    def __init__(self, scene: Scene, seed: int) -> None:
        self.scene = scene
        self.random = random.Random(seed)
        self.serial = 0
        self.sockets: list[socket.socket] = []
        self.most_sockets = 0
        scene.on_event = self.react

    def react(self, event: events.Event) -> None:
        """Answer tools, and sometimes do something rash in the middle of an event."""
        session = self.scene.session
        if isinstance(event, events.ToolCalled):
            delay_s = self.random.choice([0.0, 0.1, 3.0])
            self.scene.loop.call_later(delay_s, session.send_tool_result, event.call_id, "sunny", False)
        if self.random.random() < 0.02:
            self.random.choice([session.end, session.linger])()

    async def act(self) -> None:
        scene, plan, session = self.scene, self.scene.agent.plan, self.scene.session
        choose = self.random.choice
        match self.random.randrange(20):
            case 0 | 1 | 2:
                self.serial += 1
                session.open(self.serial)
            case 3:
                session.end()
            case 4:
                session.linger()
            case 5:
                session.say("something")
            case 6:
                scene.agent.drop()
            case 7:
                scene.speak(speech(choose(["user_wake_time", "user_uhuh", "user_barge"])).samples)
            case 8:
                plan.refuse_resume = choose(["", "", "open", "close"])
            case 9:
                plan.error = choose(["", "", "", "at_capacity", "internal_error", "unauthorized"])
            case 10:
                plan.http_status = choose([0, 0, 0, 502])
            case 11:
                session.ask_again()
            case 12:
                plan.never_ready = choose([False, False, True])
            case 13:
                plan.ignores_end = choose([False, False, True])
            case 14:
                plan.deaf = choose([False, False, True])
            case 15:
                plan.expires_in_s = choose([None, None, 60.0])
            case 16:
                plan.silent_after_s = choose([None, None, 2.0])
            case 17:
                plan.close_code = choose([0, 0, 1008, 1011, 3005, 3007])
            case 18:
                plan.error_live = choose(["", "", "session_expired", "unauthorized", "invalid_audio"])
            case 19:
                session.change(
                    dataclasses.replace(scene.config, volume=self.random.randrange(101)), ["volume"]
                )
        await settle(choose([0.0, 0.01, 0.3, 1.0, 4.0, 12.0]))

    async def open(self, *args: Any, **options: Any) -> Connection:
        """Open a connection as ever, and see how many sockets we hold at once."""
        connection = await open_connection(*args, **options)
        self.sockets = [each for each in self.sockets if each.fileno() >= 0]
        self.sockets.append(connection._socket.transport.get_extra_info("socket"))
        self.most_sockets = max(self.most_sockets, len(self.sockets))
        return connection


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_left_open_whatever_happens(seed: int, monkeypatch: pytest.MonkeyPatch):
    async def main(loop: JumpLoop) -> None:
        plan = Plan(turns=TURNS, garbage=seed % 2 == 0, transcript_only=seed % 3 == 0, fault_times=0)
        plan.close_at_s, plan.error_live_at_s, plan.dead_link_s = 3.0, 3.0, 5.0
        scene = Scene(loop, plan, {"daily_minutes": 0, "half_dead_s": 3.0, "session_minutes": 2.0})
        await scene.set_up()
        careless = Carelessness(scene, seed)
        monkeypatch.setattr(conversation, "open_connection", careless.open)

        for _ in range(200):
            await careless.act()
        scene.session.end()
        await settle(45.0)

        assert not scene.agent.open_sessions
        assert careless.most_sockets == 1
        assert not [each for each in careless.sockets if each.fileno() >= 0]
        assert scene.agent.bare_closes == 0
        assert counted_s(scene) >= 0.98 * scene.agent.billed_s()
        await scene.tear_down()
        assert_events_make_sense(scene)
        assert not blamed(scene), Counter(blamed(scene))

    run_jumping(main)


def blamed(scene: Scene) -> list[str]:
    """What we did wrong, but for what crossed a word of the server's on the way."""
    crossed = (
        "in flight",
        "nobody asked",
        "two answers",
        "audio after the end",
        "audio before session.ready",
    )
    return [what for what in scene.agent.violations if not any(each in what for each in crossed)]


def counted_s(scene: Scene) -> float:
    return float(str(scene.session.status()["minutes_today"])) * 60


def assert_events_make_sense(scene: Scene) -> None:
    """Sessions in order, replies in order, one end for each reply at most."""
    serials = [event.session for _, event in scene.posted]  # type: ignore[attr-defined]
    started = [event.reply for event in scene.all(events.ReplyStarted)]
    ends = Counter(event.reply for event in scene.all(events.ReplyEnded) + scene.all(events.ReplySilent))
    cuts = Counter(event.reply for event in scene.all(events.ReplyInterrupted))

    assert serials == sorted(serials), "an event of an old session came after one of a newer one"
    assert started == sorted(set(started))
    assert set(ends) | set(cuts) <= set(started)
    assert max([*ends.values(), *cuts.values()], default=1) == 1
