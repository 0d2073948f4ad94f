"""Recordings are deleted once their session is over: sooner or later, or with a loud word."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from pivoice.agent import rest
from pivoice.agent.recordings import GIVE_UP_S, MAX_BACKOFF_S, MAX_PENDING, rest_address
from pivoice.config import AgentConfig
from pivoice.turn import events
from tests.agent.scene import Scene, scene, settle

WANTED = {"delete_recordings": True}


def deletions(s: Scene) -> list[float]:
    """When the server was asked."""
    return [each["t"] for each in s.agent.events if str(each["type"]).startswith("DELETE")]


async def short_conversation(s: Scene, serial: int = 1) -> None:
    await s.ready(serial)
    await settle(3)
    s.session.end()
    await s.session.drained()


@pytest.mark.parametrize(
    ("url", "rest_url", "address"),
    [
        ("wss://agents.eu.assemblyai.com/v1/ws", "", "https://agents.eu.assemblyai.com"),
        ("ws://127.0.0.1:8080/v1/ws", "", "http://127.0.0.1:8080"),
        (
            "wss://agents.assemblyai.com/v1/ws",
            "https://elsewhere.example/api/",
            "https://elsewhere.example/api",
        ),
    ],
)
def test_the_other_interface_is_at_the_same_host_unless_told(url: str, rest_url: str, address: str):
    assert rest_address(AgentConfig(url=url, rest_url=rest_url)) == address


@scene(config=WANTED)
async def test_a_recording_is_deleted_after_its_session(s: Scene):
    await short_conversation(s)
    pending = s.session.status()["deletions_pending"]

    await s.until(lambda: not s.session.status()["deletions_pending"], "the deletion", within_s=200)

    assert pending == 1
    assert s.agent.deleted == [s.agent.session.id]


@scene(config=WANTED, delete_status=204)
async def test_a_consent_that_may_have_come_before_the_recording_is_asked_for_once_more(s: Scene):
    await short_conversation(s)
    ended_s = s.loop.time()
    await settle(1000)

    soon, later = (asked_s - ended_s for asked_s in deletions(s))
    assert soon < 5
    assert later > 90
    assert not s.session.status()["deletions_pending"]


@scene()
async def test_a_recording_is_kept_unless_its_deletion_is_wanted(s: Scene):
    await short_conversation(s)
    await settle(1000)

    assert not deletions(s)


@scene(config=WANTED)
async def test_a_session_that_may_be_resumed_is_not_over(s: Scene):
    await s.ready(1)
    s.session.linger()
    await settle(20)
    await s.ready(2)
    await settle(300)
    asked = len(deletions(s))

    s.session.end()
    await s.until(lambda: s.agent.deleted, "the deletion", within_s=200)

    assert asked == 0


@scene(config=WANTED)
async def test_a_session_left_to_linger_is_over_when_nobody_came_back(s: Scene):
    await s.ready(1)
    s.session.linger()

    await s.until(lambda: s.agent.deleted, "the deletion", within_s=200)


@scene(config=WANTED, refuse_resume="close")
async def test_each_session_of_a_conversation_is_deleted(s: Scene):
    await s.ready(1)
    s.agent.drop()
    await s.event(events.SessionReady, count=2)
    s.session.end()

    await s.until(lambda: len(s.agent.deleted) == 2, "both deletions", within_s=300)


@scene(config=WANTED, recording_delay_s=400.0)
async def test_a_recording_that_is_not_there_yet_is_asked_for_again(s: Scene):
    await short_conversation(s)

    await settle(400)
    await s.until(lambda: s.agent.deleted, "the deletion", within_s=600)

    pauses = [later - earlier for earlier, later in zip(deletions(s), deletions(s)[1:], strict=False)]
    assert len(pauses) >= 2
    assert pauses == sorted(pauses)


@scene(config=WANTED, delete_status=503)
async def test_a_deletion_never_done_is_given_up_loudly_after_a_day(s: Scene):
    said: list[str] = []

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    listening = Listening(logging.ERROR)
    logging.getLogger("pivoice").addHandler(listening)
    await short_conversation(s)
    session_id = s.agent.session.id
    await settle(GIVE_UP_S - 2 * MAX_BACKOFF_S)
    early = list(said)
    await settle(4 * MAX_BACKOFF_S)
    asked = len(deletions(s))
    await settle(4 * MAX_BACKOFF_S)
    logging.getLogger("pivoice").removeHandler(listening)

    assert not early
    assert len(said) == 1
    assert session_id in said[0]
    assert s.session.status()["deletions_pending"] == 0
    assert s.session.status()["deletions_given_up"] == 1
    assert len(deletions(s)) == asked < 150


def test_a_refused_key_is_told_at_once_and_tried_again_by_the_next_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    @scene(config=WANTED, ledger=tmp_path / "ledger.json", delete_status=401)
    async def test(s: Scene):
        await short_conversation(s)
        await settle(2000)
        asked = len(deletions(s))
        s.agent.plan.delete_status = 0

        await s.restart()
        await s.until(lambda: s.agent.deleted, "the deletion", within_s=200)

        assert asked == 1

    test()

    told = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    assert len(told) == 1
    assert "sess_" in told[0]
    assert "check the key" in told[0]


def test_what_is_pending_goes_on_after_a_restart(tmp_path: Path):
    @scene(config=WANTED, ledger=tmp_path / "ledger.json")
    async def test(s: Scene):
        await short_conversation(s)
        await settle(20)

        await s.restart()
        pending = s.session.status()["deletions_pending"]
        await s.until(lambda: s.agent.deleted, "the deletion", within_s=200)

        assert pending == 1

    test()


def test_a_crash_does_not_forget_the_session_that_was_open(tmp_path: Path):
    path = tmp_path / "ledger.json"

    @scene(config=WANTED, ledger=path)
    async def test(s: Scene):
        await s.ready(1)
        written = json.loads(path.read_bytes())["deletions"]

        assert list(written) == [s.agent.session.id]

    test()


@scene(config=WANTED)
async def test_closing_does_not_wait_for_a_deletion(s: Scene):
    await short_conversation(s)

    began_s = s.loop.time()
    await s.session.close()

    assert s.loop.time() - began_s < 0.1


@scene(config={**WANTED, "rest_url": "http://127.0.0.1:9"})
async def test_an_unreachable_server_is_tried_again_and_disturbs_nobody(s: Scene):
    await short_conversation(s, 1)
    await settle(600)

    await s.ready(2)

    assert s.session.status()["deletions_pending"] == 2
    assert not s.all(events.SessionLost)


@scene(config=WANTED)
async def test_a_session_id_cannot_lead_elsewhere(s: Scene):
    began, over = s.session._recordings.session_began, s.session._recordings.session_over
    began("../token?x=y#z")
    over("../token?x=y#z")

    await s.until(lambda: deletions(s), "the request", within_s=200)

    asked = next(str(each["type"]) for each in s.agent.events if str(each["type"]).startswith("DELETE"))
    assert asked == "DELETE /v1/sessions/..%2Ftoken%3Fx%3Dy%23z"


def test_a_recording_given_up_while_it_is_asked_for_is_asked_for_no_more(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    @scene(config=WANTED)
    async def test(s: Scene):
        asked: list[str] = []

        async def consent(method: str, url: str, **_: object) -> rest.Answer:
            asked.append(f"{method} {url}")
            for number in range(MAX_PENDING + 1):
                s.session._recordings.session_began(f"later {number}")
            return rest.Answer(200, b"")

        monkeypatch.setattr(rest, "request", consent)
        await short_conversation(s)
        await settle(300)

        assert len(asked) == 1
        assert s.session.status()["deletions_pending"] == MAX_PENDING

    test()

    assert not [each for each in caplog.records if each.exc_info]
