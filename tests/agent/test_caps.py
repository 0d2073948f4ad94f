"""Hard caps on money: per day, over restarts and wrong clocks, and per session, over lingers and drops."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from pivoice.agent.ledger import LINGER_BILLED_S
from pivoice.turn import events
from tests.agent.scene import Scene, noise, scene, settle


def ends(s: Scene) -> int:
    return s.agent.kinds("client").count("session.end")


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
            seen.append(json.loads(path.read_bytes())["day"]["open_s"] - LINGER_BILLED_S)

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


def test_what_one_host_does_not_take_slows_down_no_other(tmp_path: Path):
    @scene(ledger=tmp_path / "ledger.json", ready_delay_s=3.0, max_rate=1.0, deaf=True)
    async def slow(s: Scene):
        s.session.open(1)
        s.speak(noise(6.0))
        await settle(12.0)

        assert s.reported("error")

    @scene(ledger=tmp_path / "ledger.json", ready_delay_s=3.0, deaf=True)
    async def other(s: Scene):
        s.session.open(1)
        s.speak(noise(6.0))
        await s.event(events.SessionReady)
        await settle(1.0)

        assert len(s.received()) / 24_000 == pytest.approx(2.0, abs=0.2)

    slow()
    other()


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
