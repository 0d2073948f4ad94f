"""A session of a second with the simulated agent, on loopback: taken, refused, and always ended."""

from __future__ import annotations

import asyncio
import functools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

import pytest
from websockets.sync.server import ServerConnection, serve

from pivoice.agent.parting import end_session
from pivoice.agent.simulated import Plan, SimulatedAgent, Turn
from pivoice.checks import talk
from pivoice.checks.patient import Patient
from tests.agent.scene import tone
from tests.checks.pi import FakePi, only, told

KEY = "sk7d1f0c93e2grepme"


@contextmanager
def agent(**plan: Any) -> Iterator[SimulatedAgent]:
    """Run an agent on a loop of its own; afterwards it must have no socket and no session open."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def call(what: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(what, loop).result(10)

    made = SimulatedAgent(Plan(turns=[Turn(tone(1.0))], ready_delay_s=0.05, **plan))
    call(made.start())
    try:
        yield made
        for _ in range(500):  # until the server has noticed that we are gone
            if not made.open_sockets:
                break
            threading.Event().wait(0.01)
        assert not made.open_sockets
    finally:
        call(made.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk, "TALK_S", 0.3)


def facing(pi: FakePi, made: SimulatedAgent, more: str = "") -> Patient:
    patient = pi.patient(f'[agent]\nurl = "{made.url}"\n{more}')
    patient.key = KEY
    return patient


def test_a_session_is_opened_given_silence_and_ended(pi: FakePi):
    with agent(key=KEY) as made:
        found = only(talk.session, facing(pi, made))

        assert not made.open_sessions and not made.bare_closes and not made.violations
        assert (
            made.session.received == bytes(len(made.session.received)) and len(made.session.received) >= 9600
        )
    assert found.verdict == "ok" and "ready in 0." in found.text


@pytest.mark.parametrize(
    ("plan", "said", "todo"),
    [
        ({"key": "another"}, "refused the API key", "check the key; another key: sudo ./scripts/install"),
        ({"http_status": 401}, "refused the API key", "check the key"),
        ({"http_status": 503}, "it is in trouble", "try again later"),
        ({"error": "invalid_value"}, "refused the session's settings", "[agent] settings"),
        ({"error": "concurrency_exceeded"}, "too many sessions", "try again later"),
        ({"error": "agent_init_failed"}, "could not start an agent", "try again later"),
        ({"close_code": 3007, "close_at_s": 0.1}, "close code 3007", "agent.url"),
        ({"error_live": "unauthorized", "close_code": 1008}, "refused the API key", "check the key"),
    ],
)
def test_each_refusal_has_the_products_own_sentence_and_leaves_nothing_open(
    pi: FakePi, plan: dict[str, Any], said: str, todo: str
):
    with agent(**plan) as made:
        findings = told(talk.session, facing(pi, made))

        assert not made.open_sessions
    found = next(each for each in findings if each.verdict == "fail")
    assert said in found.text and todo in found.next and KEY not in str(findings)


def test_a_server_that_never_gets_ready_is_not_waited_for(pi: FakePi, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(talk, "READY_S", 0.3)
    with agent(never_ready=True) as made:
        found = only(talk.session, facing(pi, made))

        assert not made.open_sessions
    assert found.verdict == "fail" and "no session.ready within 0.3 s" in found.text


def test_nobody_there_is_told(pi: FakePi):
    patient = pi.patient('[agent]\nurl = "ws://127.0.0.1:9/"')
    patient.key = KEY

    found = only(talk.session, patient)

    assert found.verdict == "fail" and "refuses the connection" in found.text


def test_a_stored_agent_that_is_not_known_is_told(pi: FakePi):
    with agent() as made:
        found = only(talk.session, facing(pi, made, 'agent_id = "nobody"'))

    assert found.verdict == "fail" and "does not know the agent" in found.text


def test_a_voice_that_is_not_known_is_no_more_than_a_warning(pi: FakePi):
    with agent() as made:
        found = only(talk.session, facing(pi, made, 'voice = "robot"'))

        assert not made.open_sessions
    assert found.verdict == "warn" and "'robot'" in found.text and "agent.voice" in found.next


def test_an_end_that_is_not_confirmed_is_told_as_money(pi: FakePi, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(talk, "end_session", functools.partial(end_session, within_s=0.2))
    with agent(ignores_end=True) as made:
        found = only(talk.session, facing(pi, made))

    assert found.verdict == "warn" and "billed" in found.text


def test_a_complaint_that_ends_nothing_is_told(pi: FakePi):
    with agent(error_live="invalid_audio") as made:
        found = told(talk.session, facing(pi, made))

    assert [each.verdict for each in found] == ["warn", "ok"] and "invalid_audio" in found[0].text


def test_no_second_session_is_opened_beside_a_conversation(pi: FakePi):
    with agent() as made:
        patient = facing(pi, made)
        patient.status = {"state": "speaking"}

        found = only(talk.session, patient)

        assert not made.sessions
    assert found.verdict == "warn" and "a conversation is open" in found.text


def test_a_day_whose_minutes_are_used_up_costs_no_second_more(pi: FakePi):
    with agent() as made:
        patient = facing(pi, made, "daily_minutes = 5.0")
        patient.status = {"state": "idle", "session": {"minutes_today": 5.2}}
        by_word = only(talk.session, patient)

        patient.status = {}
        pi.serves()
        pi.write("/var/lib/pivoice/ledger.json", f'{{"day": {{"date": "{date.today()}", "open_s": 400}}}}')
        by_book = only(talk.session, patient)

        assert not made.sessions
    for found in (by_word, by_book):
        assert found.verdict == "warn" and "the day's minutes are used up" in found.text


def test_a_server_that_echoes_the_key_as_it_refuses_is_not_quoted(pi: FakePi):
    def refuse(connection: ServerConnection) -> None:
        connection.recv()
        assert connection.request is not None
        echo = str(connection.request.headers["Authorization"])
        connection.send(json.dumps({"type": "session.error", "code": "invalid_value", "message": echo}))
        connection.close(1008, echo)

    with serve(refuse, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        patient = pi.patient(f'[agent]\nurl = "ws://127.0.0.1:{server.socket.getsockname()[1]}/"')
        patient.key = KEY

        found = only(talk.session, patient)
        server.shutdown()

    assert found.verdict == "fail" and "[secret]" in found.text and KEY not in str(found)


def test_an_interruption_ends_the_session_first(pi: FakePi, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(talk, "TALK_S", 30.0)
    with agent() as made:
        patient = facing(pi, made)
        over = threading.Event()

        def look() -> None:
            with pytest.raises(asyncio.CancelledError):
                told(talk.session, patient)
            over.set()

        threading.Thread(target=look, daemon=True).start()
        while not made.sessions or not made.session.received:
            threading.Event().wait(0.01)
        assert patient.abort is not None
        patient.abort()

        assert over.wait(5)
        assert not made.open_sessions and not made.bare_closes
