"""What is billed: every exit says `session.end`, the caps hold, and our count is the server's."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from datetime import date
from pathlib import Path
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


@scene(config={"price_per_hour": 4.5, "daily_minutes": 60.0})
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

    assert status["cost_today"] == pytest.approx(0.9, abs=0.01)
    assert status["daily_minutes"] == 60.0
    assert status["sessions_today"] == 2
    assert status["reconnects_today"] == 2
    assert status["resumes_accepted_today"] == 1
    assert status["resumes_refused_today"] == 1


# --- the day's cap ---


@scene(config={"daily_minutes": 1.0})
async def test_when_the_days_minutes_run_out_the_session_is_ended(s: Scene):
    await s.ready(1)

    lost = await s.event(events.SessionLost, within_s=90)
    await settle(0.1)

    assert lost.fault == "cap"
    assert "agent.daily_minutes" in lost.reason
    assert ends(s) == 1
    assert s.agent.billed_s() == pytest.approx(61, abs=1.5)


@scene(config={"daily_minutes": 1.0})
async def test_the_cap_refuses_every_session_of_the_day_and_none_of_the_next(s: Scene):
    await s.ready(1)
    await s.event(events.SessionLost, within_s=90)

    s.session.open(2)
    again = await s.event(events.SessionLost, count=2)
    connections = s.agent.connections
    s.today = date(2026, 5, 2)
    await s.ready(3)

    assert (again.session, again.fault) == (2, "cap")
    assert connections == 1


def test_the_cap_survives_a_restart(tmp_path: Path):
    @scene(config={"daily_minutes": 1.0}, ledger=tmp_path / "ledger.json")
    async def test(s: Scene):
        await s.ready(1)
        await s.event(events.SessionLost, within_s=90)

        await s.restart()
        s.session.open(2)
        lost = await s.event(events.SessionLost, count=2)

        assert lost.fault == "cap"
        assert s.agent.connections == 1

    test()


def test_what_is_open_is_written_down_every_fifteen_seconds(tmp_path: Path):
    path = tmp_path / "ledger.json"

    @scene(ledger=path)
    async def test(s: Scene):
        await s.ready(1)
        seen = []
        for _ in range(4):
            await settle(15.5)
            seen.append(json.loads(path.read_bytes())["day"]["open_s"])

        assert [round(each / 15) for each in seen] == [1, 2, 3, 4]

    test()


def test_a_clock_set_back_by_a_restart_does_not_give_the_day_anew(tmp_path: Path):
    @scene(config={"daily_minutes": 1.0}, ledger=tmp_path / "ledger.json")
    async def test(s: Scene):
        await s.ready(1)
        await s.event(events.SessionLost, within_s=90)

        s.today = date(1970, 1, 1)
        await s.restart()
        s.session.open(2)
        lost = await s.event(events.SessionLost, count=2)

        assert lost.fault == "cap"

    test()


# --- what is remembered of a server ---


def test_a_server_that_takes_no_more_than_real_time_is_remembered_over_a_restart(tmp_path: Path):
    @scene(ledger=tmp_path / "ledger.json", ready_delay_s=3.0, max_rate=1.0, deaf=True)
    async def test(s: Scene):
        s.session.open(1)
        s.speak(noise(6.0))
        await settle(12.0)
        complaints = len(s.reported("error"))
        s.session.end()
        await s.restart()

        s.session.open(2)
        s.speak(noise(6.0))
        await settle(12.0)

        assert complaints >= 1
        assert len(s.reported("error")) == complaints

    test()


# --- the session's cap ---


@scene(config={"session_minutes": 2.0})
async def test_a_session_is_ended_at_its_age(s: Scene):
    await s.ready(1)

    lost = await s.event(events.SessionLost, within_s=150)
    await settle(0.1)

    assert s.time_of(lost) == pytest.approx(121, abs=1.5)
    assert lost.fault == ""
    assert "agent.session_minutes" in lost.reason
    assert ends(s) == 1


@scene(config={"session_minutes": 0})
async def test_without_a_cap_a_session_may_grow_old(s: Scene):
    await s.ready(1)
    await settle(3000)

    assert s.kinds() == ["SessionReady"]


@scene(config={"session_minutes": 1.0})
async def test_neither_a_linger_nor_a_drop_makes_a_session_young_again(s: Scene):
    await s.ready(1)
    await settle(25)
    s.session.linger()
    await settle(5)
    await s.ready(2)
    await settle(10)
    s.agent.drop()

    lost = await s.event(events.SessionLost)

    assert s.time_of(lost) == pytest.approx(61, abs=1.5)


@scene(config={"session_minutes": 1.0}, refuse_resume="close")
async def test_nor_does_a_fresh_session_in_the_midst_of_a_conversation(s: Scene):
    await s.ready(1)
    await settle(30)
    s.agent.drop()

    lost = await s.event(events.SessionLost, within_s=60)

    assert s.time_of(lost) == pytest.approx(61, abs=2)


@scene(config={"session_minutes": 1.0}, refuse_resume="close")
async def test_but_another_conversation_has_an_age_of_its_own(s: Scene):
    await s.ready(1)
    await settle(50)
    s.session.linger()
    await settle(5)
    await s.ready(2)
    began_s = s.loop.time()

    lost = await s.event(events.SessionLost, within_s=90)

    assert s.time_of(lost) == pytest.approx(began_s + 60, abs=1.5)


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
