"""Hours of careless use, in seconds: whatever happens in whatever order, nothing is left open."""

from __future__ import annotations

import random
from collections import Counter

import pytest

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
        match self.random.randrange(12):
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
                scene.speak(speech(self.random.choice(["user_wake_time", "user_uhuh", "user_barge"])).samples)
            case 8:
                plan.refuse_resume = self.random.choice(["", "", "open", "close"])
            case 9:
                plan.error = self.random.choice(["", "", "", "at_capacity", "internal_error", "unauthorized"])
            case 10:
                plan.http_status = self.random.choice([0, 0, 0, 502])
            case 11:
                session.ask_again()
        await settle(self.random.choice([0.0, 0.01, 0.3, 1.0, 4.0]))


@pytest.mark.parametrize("seed", range(2))
def test_nothing_is_left_open_whatever_happens(seed: int):
    async def main(loop: JumpLoop) -> None:
        plan = Plan(turns=TURNS, garbage=seed % 2 == 0, transcript_only=seed % 3 == 0)
        scene = Scene(loop, plan, {"daily_minutes": 0})
        await scene.set_up()
        careless = Carelessness(scene, seed)

        for _ in range(200):
            await careless.act()
        scene.session.end()
        await settle(40.0)

        assert not scene.agent.open_sessions
        await scene.tear_down()
        assert_events_make_sense(scene)
        unasked = [
            what for what in scene.agent.violations if "in flight" not in what and "nobody asked" not in what
        ]
        assert not unasked, Counter(unasked)

    run_jumping(main)


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
