"""The simulated agent's own faults: each does what its switch says, as a raw client sees it."""

from __future__ import annotations

import asyncio

import pytest
from websockets.exceptions import ConnectionClosed

from tests.agent.raw import Place, with_agent
from tests.agent.scene import noise


async def now_s() -> float:
    return asyncio.get_running_loop().time()


# --- getting ready ---


def test_never_ready_takes_the_update_and_says_nothing():
    async def talk(place: Place) -> bool:
        client = await place.client()
        await client.update()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await client.next()
        return place.agent.session.is_connected

    assert with_agent(talk, never_ready=True)[0]


def test_the_first_message_must_come_within_ten_seconds():
    async def talk(place: Place) -> tuple[str, int]:
        client = await place.client()
        code = (await client.until("session.error"))["code"]
        return code, (await client.until_closed())[0]

    told, agent = with_agent(talk)

    assert told == ("agent_timeout", 1008)
    assert agent.violations == ["no first message within 10 s"]


# --- broken links ---


def test_a_silent_link_answers_no_ping_keeps_its_socket_and_says_nothing_more():
    async def talk(place: Place) -> int:
        client = await place.client(ping_interval=None)
        await client.get_ready()
        await client.take_turn()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await (await client.link.ping())
        assert place.agent.session.received, "it heard, before"
        assert "reply.started" not in client.kinds()
        return place.agent.open_sockets

    assert with_agent(talk, silent_after_s=1.0)[0] == 1


def test_a_silent_link_that_the_client_left_is_not_counted_as_open():
    async def talk(place: Place) -> int:
        client = await place.client(ping_interval=None)
        await client.get_ready()
        await asyncio.sleep(2.0)
        client.link.transport.abort()
        await asyncio.sleep(0.1)
        return place.agent.open_sockets

    assert with_agent(talk, silent_after_s=1.0)[0] == 0


def test_a_session_behind_a_silent_link_can_be_resumed_and_else_lapses():
    async def talk(place: Place) -> tuple[int, int]:
        client = await place.client(ping_interval=None)
        ready = await client.get_ready()
        await asyncio.sleep(2.0)
        client.link.transport.abort()
        again = await place.client(ping_interval=None)
        await again.say("session.resume", session_id=ready["session_id"])
        await again.until("session.ready")
        again.link.transport.abort()
        await asyncio.sleep(29)
        kept = len(place.agent.open_sessions)
        await asyncio.sleep(2)
        return kept, len(place.agent.open_sessions)

    (kept, left), agent = with_agent(talk, silent_after_s=1.0)

    assert (kept, left) == (1, 0)
    assert agent.most_open == 1
    assert not agent.violations


def test_the_server_gives_up_a_dead_link_by_itself():
    async def talk(place: Place) -> list[int]:
        client = await place.client(ping_interval=None)
        await client.get_ready()
        counts = []
        for wait_s in (40.0, 2.0, 30.0):
            await asyncio.sleep(wait_s)
            counts.append(sum(each.is_connected for each in place.agent.sessions.values()))
        return [*counts, len(place.agent.open_sessions)]

    assert with_agent(talk, silent_after_s=1.0, dead_link_s=40.0)[0] == [1, 0, 0, 0]


def test_a_stalled_server_reads_nothing_for_a_while_and_then_everything():
    sound = noise(4.0)

    async def talk(place: Place) -> tuple[int, int]:
        client = await place.client(ping_interval=None)
        await client.get_ready()
        await asyncio.sleep(0.2)
        await client.speak(sound)
        meanwhile = len(place.agent.session.received)
        await asyncio.sleep(3.0)
        return meanwhile, len(place.agent.session.received)

    (meanwhile, after), agent = with_agent(talk, stall_at_s=0.1, stall_s=5.0, deaf=True)

    assert meanwhile == 0
    assert after == 2 * len(sound)
    assert not agent.violations


def test_a_stalled_server_with_a_small_buffer_makes_the_client_wait():
    async def talk(place: Place) -> int:
        client = await place.client(ping_interval=None, write_limit=4096)
        await client.get_ready()
        await asyncio.sleep(0.2)
        sent = 0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                while True:
                    await client.say("input.audio", audio="AAAA" * 20_000)
                    sent += 1
                    await asyncio.sleep(0.001)
        return sent

    sent, _ = with_agent(talk, stall_at_s=0.1, stall_s=60.0, receive_buffer_bytes=8192, pace_limit=0.0)

    assert 0 < sent < 200  # of 80 kB each: what the client's own kernel takes, and no more


@pytest.mark.parametrize("code, resumable", [(1011, True), (3005, True), (1008, False), (3007, False)])
def test_a_close_comes_when_ordered_with_its_code_and_its_consequence(code: int, resumable: bool):
    async def talk(place: Place) -> tuple[float, int, str, int]:
        client = await place.client()
        await client.get_ready()
        began_s = await now_s()
        told = await client.until_closed()
        return (await now_s() - began_s, *told, len(place.agent.open_sessions))

    (after_s, told, reason, kept), agent = with_agent(
        talk, close_code=code, close_at_s=2.0, close_reason="so be it"
    )

    assert (told, reason) == (code, "so be it")
    assert after_s == pytest.approx(2.0, abs=0.05)
    assert kept == resumable
    assert agent.bare_closes == 0


def test_a_close_can_come_within_a_reply_and_only_once():
    async def talk(place: Place) -> tuple[int, int]:
        client = await place.client()
        ready = await client.get_ready(greeting="Hello.")
        code, _ = await client.until_closed()
        assert "reply.done" not in client.kinds()
        again = await place.client()
        await again.say("session.resume", session_id=ready["session_id"])
        await again.until("session.ready")
        await again.take_turn()
        await again.until("reply.done")
        return code, len(client.audio)

    (code, size), _ = with_agent(talk, close_code=1011, close_at_s=0.5, close_in_reply=True)

    assert code == 1011
    assert size == pytest.approx(24_000, abs=1000)


def test_a_complaint_in_a_live_session_may_be_all_or_be_followed_by_the_close():
    async def talk(place: Place) -> tuple[str, int]:
        client = await place.client()
        await client.get_ready()
        code = (await client.until("session.error"))["code"]
        with pytest.raises((TimeoutError, ConnectionClosed)):
            async with asyncio.timeout(5):
                await client.next()
        return code, client.link.close_code or 0

    alone, _ = with_agent(talk, error_live="internal_error", error_live_at_s=1.0)
    closed, _ = with_agent(talk, error_live="internal_error", error_live_at_s=1.0, close_code=1011)

    assert alone == ("internal_error", 0)
    assert closed == ("internal_error", 1011)


def test_fault_times_zero_means_in_every_connection():
    async def talk(place: Place) -> int:
        closes = 0
        client = await place.client()
        ready = await client.get_ready()
        while closes < 3:
            assert (await client.until_closed())[0] == 1011
            closes += 1
            client = await place.client()
            await client.say("session.resume", session_id=ready["session_id"])
            await client.until("session.ready")
        return closes

    assert with_agent(talk, close_code=1011, close_at_s=1.0, fault_times=0)[0] == 3


# --- misbehaviour and limits ---


def test_a_session_expires_when_it_said_it_would():
    async def talk(place: Place) -> tuple[float, str, int]:
        client = await place.client()
        ready = await client.get_ready()
        code = (await client.until("session.error"))["code"]
        return ready["expires_at"] - ready["timestamp"], code, (await client.until_closed())[0]

    (told_s, code, close), agent = with_agent(talk, expires_in_s=45.0)

    assert told_s == pytest.approx(45.0, abs=1.1)
    assert (code, close) == ("session_expired", 1008)
    assert not agent.open_sessions


def test_an_expired_session_cannot_be_resumed():
    async def talk(place: Place) -> str:
        client = await place.client()
        ready = await client.get_ready()
        await client.link.close(1001)
        await asyncio.sleep(10)
        again = await place.client()
        await again.say("session.resume", session_id=ready["session_id"])
        return str((await again.until("session.error"))["code"])

    assert with_agent(talk, expires_in_s=5.0)[0] == "session_expired"


def test_the_first_sessions_are_deaf_and_the_next_hears():
    async def talk(place: Place) -> list[bool]:
        heard = []
        for _ in range(2):
            client = await place.client()
            await client.get_ready()
            await client.take_turn()
            await client.end()
            heard.append("input.speech.started" in client.kinds())
            await client.link.close()
        return heard

    assert with_agent(talk, deaf_sessions=1)[0] == [False, True]


def test_a_wrong_rate_makes_a_deaf_session_that_does_not_say_so():
    async def talk(place: Place) -> list[str]:
        client = await place.client()
        await client.get_ready(input={"format": {"encoding": "audio/pcm", "sample_rate": 16000}})
        await client.take_turn()
        await client.end()
        return client.kinds()

    assert with_agent(talk)[0] == ["session.updated", "session.ready", "session.ended"]


def test_an_ignored_end_is_obeyed_and_never_confirmed():
    async def talk(place: Place) -> int:
        client = await place.client()
        await client.get_ready()
        await client.say("session.end")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await client.next()
        return len(place.agent.open_sessions)

    assert with_agent(talk, ignores_end=True)[0] == 0


def test_what_is_billed_is_the_time_connected_and_the_time_lingering():
    async def talk(place: Place) -> list[float]:
        client = await place.client()
        await client.get_ready()
        await asyncio.sleep(10)
        await client.end()
        ended = place.agent.billed_s()
        await client.link.close()
        await asyncio.sleep(100)
        later = place.agent.billed_s()
        second = await place.client()
        await second.get_ready()
        await second.link.close(1001)
        await asyncio.sleep(100)
        return [ended, later, place.agent.billed_s()]

    (ended, later, lingered), agent = with_agent(talk)

    assert ended == later == pytest.approx(10.4, abs=0.1)
    assert lingered - later == pytest.approx(30.4, abs=0.1)
    assert agent.bare_closes == 0


def test_a_socket_left_open_after_a_refused_resume_is_billed():
    async def talk(place: Place) -> float:
        client = await place.client()
        await client.say("session.resume", session_id="sess_9999")
        await client.until("session.error")
        await asyncio.sleep(7)
        await client.link.close()
        await asyncio.sleep(0.1)
        return place.agent.billed_s()

    assert with_agent(talk, refuse_resume="open")[0] == pytest.approx(7.0, abs=0.1)
