"""How soon a connection is tried again."""

from __future__ import annotations

from pivoice.agent.attempts import MAX_BACKOFF_S, Attempts


def failed(times: int) -> Attempts:
    attempts = Attempts(dropped_s=0.0)
    for _ in range(times):
        attempts.failed()
    return attempts


def test_the_first_attempt_waits_for_nothing():
    assert failed(0).backoff_s(1.0) == 0.0


def test_chance_spreads_what_devices_wait_that_lost_one_server_together():
    for times in (1, 3, 5):
        least, most = failed(times).backoff_s(0.0), failed(times).backoff_s(1.0)

        assert most >= 1.5 * least > 0


def test_each_wait_is_longer_than_the_one_before_up_to_a_cap():
    waits = [failed(times).backoff_s(0.5) for times in range(1, 40)]

    assert waits == sorted(waits)
    assert waits[0] < waits[1] < waits[2] < waits[-1] == MAX_BACKOFF_S
