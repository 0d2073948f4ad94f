"""A ring's time: again every few seconds, until it is stopped or its minutes are over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from pivoice.ringing import EVERY_S, Ringing
from pivoice.simulation import JumpLoop, run_jumping
from pivoice.turn.events import Event, RingDue, RingSilenced


def live(scene: Callable[[Ringing, list[tuple[float, Event]], list[str]], Awaitable[None]]) -> None:
    async def main(loop: JumpLoop) -> None:
        posted: list[tuple[float, Event]] = []
        over: list[str] = []

        def post(event: Event) -> None:
            posted.append((loop.time(), event))
            if isinstance(event, RingSilenced):
                ringing.follow(False)

        ringing = Ringing(post, limit_s=60.0, over=lambda: over.append("over"))
        await scene(ringing, posted, over)
        ringing.close()

    run_jumping(main)


def test_it_rings_again_every_few_seconds_and_gives_up_when_its_minutes_are_over():
    async def scene(ringing: Ringing, posted: list[tuple[float, Event]], over: list[str]) -> None:
        ringing.rang()
        ringing.follow(True)
        await asyncio.sleep(600)

        *rings, (end_s, end) = posted
        assert [round(at_s, 3) for at_s, _ in rings] == [EVERY_S * n for n in range(1, 15)]
        assert {type(event) for _, event in rings} == {RingDue}
        assert (end_s, end) == (60.0, RingSilenced())
        assert over == ["over"]

    live(scene)


def test_nothing_rings_any_more_once_it_was_stopped_and_that_is_told_once():
    async def scene(ringing: Ringing, posted: list[tuple[float, Event]], over: list[str]) -> None:
        ringing.rang()
        ringing.follow(True)
        ringing.follow(True)
        await asyncio.sleep(EVERY_S + 1)

        ringing.follow(False)
        ringing.follow(False)
        await asyncio.sleep(600)

        assert [event for _, event in posted] == [RingDue()]
        assert over == ["over"]

    live(scene)


def test_a_second_timer_has_minutes_of_its_own():
    async def scene(ringing: Ringing, posted: list[tuple[float, Event]], over: list[str]) -> None:
        ringing.rang()
        ringing.follow(True)
        await asyncio.sleep(50)
        ringing.rang()
        await asyncio.sleep(600)

        assert [at_s for at_s, event in posted if event == RingSilenced()] == [110.0]

    live(scene)
