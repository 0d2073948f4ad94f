"""Latencies are measured within one conversation, and only where there was one."""

from __future__ import annotations

from pivoice.latency import Latencies

WAKE = {"event": "wake", "model": "hey_jarvis"}
READY = {"event": "session", "state": "ready"}
RESUMED = {"event": "session", "state": "resumed"}
DROPPED = {"event": "session", "state": "dropped"}
IDLE = {"event": "state", "state": "idle"}


def measured(*lines: tuple[float, dict[str, object]]) -> list[dict[str, object]]:
    latencies = Latencies()
    return [each for time_s, line in lines for each in latencies.observe({**line, "time_s": time_s})]


def test_from_the_wake_word_to_the_session():
    assert measured((1.0, WAKE), (1.4, READY)) == [{"name": "wake_to_ready", "ms": 400.0}]


def test_a_wake_word_in_our_own_voice_starts_nothing():
    assert measured((1.0, {**WAKE, "ignored": True}), (3600.0, READY)) == []


def test_a_wake_word_in_mid_conversation_is_not_measured_to_the_next_resume():
    lines = (1.0, WAKE), (1.4, READY), (5.0, WAKE), (60.0, DROPPED), (61.0, RESUMED)

    assert [each["ms"] for each in measured(*lines)] == [400.0]


def test_nothing_is_measured_from_one_conversation_to_the_next():
    lines = (1.0, WAKE), (9.0, IDLE), (100.0, READY)

    assert measured(*lines) == []
