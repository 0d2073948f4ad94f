"""A link that breaks, and a server that closes: what is resumed, begun anew or given up, and how often."""

from __future__ import annotations

from itertools import pairwise

import pytest

from pivoice.agent.attempts import HELD_S, Attempts
from pivoice.turn import events
from tests.agent.scene import RATE_HZ, Scene, noise, scene, settle

# --- what a close, or a complaint before it, means in a live session ---


@pytest.mark.parametrize("code", [1001, 1011, 3005, 4321])
def test_a_close_that_ends_no_session_is_resumed(code: int):
    @scene(close_code=code, close_at_s=1.0)
    async def test(s: Scene):
        await s.ready()

        again = await s.event(events.SessionReady, count=2)

        assert again.resumed
        assert s.agent.session_count == 1

    test()


@pytest.mark.parametrize("code", [3006, 3007, 3008, 3009])
def test_a_fatal_close_is_not_argued_with(code: int):
    @scene(close_code=code, close_at_s=1.0)
    async def test(s: Scene):
        await s.ready()

        lost = await s.event(events.SessionLost)
        await settle(10.0)

        assert lost.fault == "refused"
        assert s.agent.connections == 1

    test()


@pytest.mark.parametrize(
    ("complaint", "fault"),
    [("unauthorized", "bad_key"), ("FORBIDDEN", "bad_key"), ("invalid_value", "refused")],
)
def test_a_close_by_policy_is_explained_by_the_complaint_before_it(complaint: str, fault: str):
    @scene(error_live=complaint, error_live_at_s=1.0, close_code=1008, close_at_s=1.1)
    async def test(s: Scene):
        await s.ready()

        lost = await s.event(events.SessionLost)
        await settle(10.0)

        assert lost.fault == fault
        assert s.agent.connections == 1

    test()


@pytest.mark.parametrize(
    "complaint", ["session_expired", "session_not_found", "at_capacity", "", "novel_code"]
)
def test_a_session_that_the_server_gave_up_is_followed_by_a_fresh_one(complaint: str):
    @scene(error_live=complaint, error_live_at_s=1.0, close_code=1008, close_at_s=1.1)
    async def test(s: Scene):
        await s.ready()

        again = await s.event(events.SessionReady, count=2)

        assert not again.resumed
        assert s.agent.kinds("client") == ["session.update", "session.update"]

    test()


@scene(error_live="unauthorized", error_live_at_s=1.0)
async def test_a_complaint_of_long_ago_explains_nothing(s: Scene):
    await s.ready()
    await settle(10.0)

    await s.agent.session.link.close(1008, "")

    await s.event(events.SessionReady, count=2)

    assert not s.all(events.SessionLost)


@scene(error_live="session_not_found", error_live_at_s=1.0)
async def test_a_complaint_alone_ends_nothing(s: Scene):
    await s.ready()

    await settle(30.0)

    assert s.kinds() == ["SessionReady"]
    assert s.agent.open_sockets == 1


# --- how often ---


@scene(config={"ready_s": 3.0}, never_ready=True)
async def test_the_time_to_get_ready_is_a_setting(s: Scene):
    s.session.open(1)
    await settle(0.5)

    states = [facts["state"] for facts in s.reported("session")]
    assert states == ["connecting"]
    await s.until(lambda: s.agent.kinds("client")[-1:] == ["session.end"], "the end")

    assert s.loop.time() == pytest.approx(3.0, abs=0.1)


@scene()
async def test_attempts_to_come_back_are_spread_over_seconds(s: Scene):
    await s.ready()
    s.agent.plan.http_status = 503

    s.agent.drop()
    await s.event(events.SessionLost)

    tried = [time_s for time_s, _, facts in s.reports if facts.get("state") == "connecting"][1:]
    pauses = [later - earlier for earlier, later in pairwise(tried)]
    assert pauses == pytest.approx([0.62, 1.56, 3.91, 9.77], abs=0.05)


@scene()
async def test_a_server_that_does_not_answer_is_not_waited_for_beyond_the_window(s: Scene):
    await s.ready()
    s.agent.plan.never_ready = True

    s.agent.drop()
    dropped = await s.event(events.LinkDropped)
    lost = await s.event(events.SessionLost, within_s=60)

    assert s.time_of(lost) - s.time_of(dropped) == pytest.approx(25, abs=1)
    assert lost.fault == "no_network"


@scene()
async def test_a_wake_soon_after_a_lost_link_resumes_the_session(s: Scene):
    await s.ready(1)
    s.agent.plan.http_status = 503
    s.agent.drop()
    await s.event(events.SessionLost)
    s.agent.plan.http_status = 0

    await s.ready(2)

    assert s.all(events.SessionReady)[-1] == events.SessionReady(2, resumed=True)


@scene()
async def test_a_wake_that_cannot_resume_in_time_goes_on_to_a_fresh_session(s: Scene):
    await s.ready(1)
    s.session.linger()
    await settle(20.0)
    s.agent.plan.http_status = 503
    s.session.open(2)
    await settle(8.0)

    s.agent.plan.http_status = 0
    await s.event(events.SessionReady, count=2)

    assert s.all(events.SessionReady)[-1] == events.SessionReady(2, resumed=False)
    assert s.agent.kinds("client") == ["session.update", "session.update"]


@scene(silent_after_s=2.0, deaf=True)
async def test_a_link_that_dies_without_a_word_is_resumed(s: Scene):
    await s.ready()
    s.speak(noise(30.0))

    again = await s.event(events.SessionReady, count=2)

    assert again.resumed
    assert s.time_of(again) < 14


@pytest.mark.parametrize(
    ("held_s", "has_replied", "links"),
    [(0.1, True, 6), (60.0, False, 6), (HELD_S - 0.1, True, 6), (HELD_S, True, 100)],
    ids=["it dies of each reply", "nothing comes of any", "a little longer", "it holds for a while"],
)
def test_only_a_link_that_was_worth_something_allows_for_more_attempts(
    held_s: float, has_replied: bool, links: int
):
    attempts, now_s, count = Attempts(dropped_s=None), 0.0, 0

    while count < 100 and not attempts.is_enough(now_s):
        attempts.ready(now_s)
        count += 1
        if has_replied:
            attempts.replied()
        now_s += held_s
        attempts.dropped_s = now_s
        attempts.broke(now_s)

    assert count == links


@scene(silent_after_s=2.0, deaf=True)
async def test_words_that_a_silent_link_swallowed_reach_the_resumed_session(s: Scene):
    """The kernel of whoever stands in between acknowledges them, and the server never reads them."""
    spoken = noise(12.0)
    await s.ready()
    s.speak(spoken)

    await s.event(events.SessionReady, count=2)
    await settle(20.0)

    received = s.received().tobytes()
    chunks = {at: spoken[at : at + 960].tobytes() for at in range(0, len(spoken), 960)}
    missing = [at / RATE_HZ for at, chunk in chunks.items() if chunk not in received]
    assert not missing, f"from {missing[0]} s to {missing[-1]} s nothing arrived"
