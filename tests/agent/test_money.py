"""What is billed: every exit says `session.end`, the caps hold, and our count is the server's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from pivoice.agent.simulated import Turn
from pivoice.turn import events
from tests.agent.scene import Scene, noise, scene, settle, tone


def counted_s(s: Scene) -> float:
    return float(str(s.session.status()["minutes_today"])) * 60


def ends(s: Scene) -> int:
    return s.agent.kinds("client").count("session.end")


# --- every exit ---


async def crash(*_: object, **__: object) -> Any:
    raise RuntimeError("as ordered")


def crash_at_once(*_: object, **__: object) -> Any:
    raise RuntimeError("as ordered")


def current(s: Scene) -> Any:
    return s.session._current


CRASHES: dict[str, Callable[[Scene], None]] = {
    "audio": lambda s: setattr(current(s).sender, "_send", crash),
    "mail": lambda s: setattr(current(s).dialogue.outbox, "next", crash_at_once),
    "words": lambda s: setattr(current(s).dialogue, "hear", crash_at_once),
    "watch": lambda s: setattr(current(s)._guards, "judge", crash_at_once),
    "event": lambda s: setattr(s, "on_event", crash_at_once),
}


@pytest.mark.parametrize("task", CRASHES)
def test_a_task_of_ours_that_crashes_ends_the_session_before_the_socket(task: str):
    @scene()
    async def test(s: Scene):
        await s.ready()
        CRASHES[task](s)

        s.speak(noise(3.0))
        s.session.say("talk")
        lost = await s.event(events.SessionLost)
        await settle(0.1)

        assert "mistake" in lost.reason
        assert lost.fault == ""
        assert ends(s) == 1
        assert s.agent.bare_closes == 0
        assert not s.agent.open_sessions
        s.on_event = lambda _: None

    test()


@scene()
async def test_books_that_cannot_be_kept_do_not_keep_a_session_from_its_end(s: Scene):
    await s.ready()
    s.session._ledger.save = crash_at_once  # type: ignore[method-assign]

    with pytest.raises(RuntimeError):
        await s.session.close()

    assert ends(s) == 1
    assert s.agent.bare_closes == 0


@pytest.mark.parametrize("at_s", [0.0, 0.05, 0.2, 0.399, 0.41])
def test_an_end_at_any_moment_of_connecting_leaves_nothing_to_be_billed(at_s: float):
    @scene()
    async def test(s: Scene):
        s.session.open(1)
        await settle(at_s)

        s.session.end()
        await s.session.drained()
        await settle(0.05)

        assert s.agent.bare_closes == 0
        assert not s.agent.open_sessions
        assert s.agent.billed_s() < 0.6

    test()


@scene(never_ready=True, config={"ready_s": 4.0})
async def test_a_server_that_is_never_ready_is_told_that_the_session_is_over(s: Scene):
    s.session.open(1)
    await s.until(lambda: s.agent.connections == 3, "more attempts")

    assert s.loop.time() == pytest.approx(8.8, abs=0.5)
    assert ends(s) == 2
    assert len(s.agent.open_sessions) <= 1
    assert s.agent.most_open == 1


@scene(never_ready=True)
async def test_stopping_while_it_gets_ready_ends_the_session(s: Scene):
    s.session.open(1)
    await settle(1.0)

    began_s = s.loop.time()
    await s.session.close()
    await settle(0.05)

    assert s.loop.time() - began_s < 2.4
    assert ends(s) == 1
    assert not s.agent.open_sessions


@scene(ignores_end=True)
async def test_stopping_takes_no_longer_than_two_and_a_half_seconds_whatever_the_server_does(s: Scene):
    await s.ready()
    s.speak(noise(3.0))
    await settle(0.5)

    began_s = s.loop.time()
    await s.session.close()

    assert s.loop.time() - began_s <= 2.4
    assert ends(s) == 1


@scene(deaf=True)
async def test_stopping_on_a_dead_link_takes_no_longer(s: Scene):
    await s.ready()
    s.agent.go_silent()

    began_s = s.loop.time()
    await s.session.close()

    assert s.loop.time() - began_s <= 2.4
    s.agent.drop()  # whom we could not tell
    s.agent.session.end()


@scene(refuse_resume="open")
async def test_a_refused_resume_whose_socket_stays_open_is_not_paid_for(s: Scene):
    await s.ready()
    s.agent.drop()
    await s.event(events.SessionReady, count=2)

    s.session.end()
    await settle(31.0)

    billed = s.agent.billed_s()
    assert s.agent.most_open == 1
    assert billed == pytest.approx(
        30.4 + 0.5 + 0.4, abs=0.5
    )  # the lost one's window, the refusal, the new one


@scene()
async def test_ending_while_it_resumes_ends_the_session_that_was_to_be_resumed(s: Scene):
    await s.ready()
    s.agent.drop()
    await s.until(lambda: s.agent.connections == 2, "the next socket")

    s.session.end()
    await s.session.drained()
    await settle(0.05)

    assert not s.agent.open_sessions


@scene()
async def test_lingering_while_it_resumes_leaves_the_session_to_the_next_wake(s: Scene):
    await s.ready(1)
    s.agent.drop()
    await s.until(lambda: s.agent.connections == 2, "the next socket")

    s.session.linger()
    await settle(5.0)
    await s.ready(2)

    assert s.all(events.SessionReady)[-1] == events.SessionReady(2, resumed=True)


@scene()
async def test_two_sockets_are_never_open_at_once(s: Scene):
    most = 0
    for serial in range(1, 8):
        s.session.open(serial)
        for _ in range(20):
            await settle(0.05)
            most = max(most, s.agent.open_sockets)
        (s.session.end if serial % 2 else s.session.linger)()

    assert most == 1
    assert s.agent.most_open == 1


@scene(ignores_end=True)
async def test_a_new_conversation_waits_for_the_end_of_the_one_before(s: Scene):
    await s.ready(1)
    s.session.end()
    s.session.open(2)

    await settle(2.0)
    early = s.agent.connections
    await s.event(events.SessionReady, count=2)

    assert early == 1
    assert s.agent.most_open == 1


# --- our count ---


@scene()
async def test_what_is_counted_is_what_the_server_bills(s: Scene):
    await s.ready(1)
    await settle(60)
    s.session.end()
    await settle(300)
    await s.ready(2)
    await settle(30)
    s.session.end()
    await settle(5)

    assert counted_s(s) == pytest.approx(s.agent.billed_s(), abs=0.7)
    assert counted_s(s) == pytest.approx(90.8, abs=0.7)


@scene()
async def test_a_linger_that_nobody_comes_back_to_is_counted_whole(s: Scene):
    await s.ready(1)
    s.session.linger()
    await settle(31)

    assert counted_s(s) == pytest.approx(s.agent.billed_s(), abs=0.7)


@scene()
async def test_a_linger_that_is_resumed_is_counted_once(s: Scene):
    for serial in (1, 2, 3):
        await s.ready(serial)
        await settle(10)
        s.session.linger()
        await settle(10)
    await settle(40)

    assert counted_s(s) == pytest.approx(s.agent.billed_s(), abs=1.0)


@scene(http_status=0)
async def test_a_lost_link_is_counted_until_the_server_gives_it_up(s: Scene):
    await s.ready(1)
    s.agent.plan.http_status = 503
    s.agent.drop()
    await s.event(events.SessionLost)
    await settle(40)

    assert counted_s(s) == pytest.approx(s.agent.billed_s(), abs=1.0)


@scene(ignores_end=True)
async def test_an_end_that_is_not_confirmed_is_counted_as_if_it_lingered(s: Scene):
    await s.ready(1)
    s.session.end()
    await settle(5)

    assert counted_s(s) == pytest.approx(0.4 + 2.3 + 30, abs=0.7)


@scene(config={"price_per_hour": 9.0, "daily_minutes": 60.0})
async def test_status_tells_what_it_cost(s: Scene):
    await s.ready(1)
    await settle(720)
    s.agent.drop()
    await s.event(events.SessionReady, count=2)
    s.agent.plan.refuse_resume = "close"
    s.agent.drop()
    await s.event(events.SessionReady, count=3)
    s.session.end()
    await settle(5)

    status = s.session.status()

    assert status["cost_today"] == pytest.approx(1.88, abs=0.02)  # the refused one lapses in 30 s
    assert status["daily_minutes"] == 60.0
    assert status["sessions_today"] == 2
    assert status["reconnects_today"] == 2
    assert status["resumes_accepted_today"] == 1
    assert status["resumes_refused_today"] == 1


@scene(turns=[Turn(tone(2.0))])
async def test_nothing_is_warned_of_on_a_fair_day(s: Scene):
    lines: list[str] = []

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    listening = Listening(logging.WARNING)
    logging.getLogger("pivoice").addHandler(listening)
    await s.ready(1)
    s.session.say("talk")
    await s.event(events.ReplyEnded)
    s.session.linger()
    await asyncio.sleep(3)
    await s.ready(2)
    s.session.end()
    await asyncio.sleep(40)
    logging.getLogger("pivoice").removeHandler(listening)

    assert not lines
