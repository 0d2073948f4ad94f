"""Half duplex follows what sounds, not what was sent."""

from __future__ import annotations

from pivoice.audio.gate import HalfDuplexGate


def is_closed_at(gate: HalfDuplexGate, time_s: float) -> bool:
    return gate.is_closed(time_s, time_s + 0.001)


def test_the_gate_is_closed_while_the_agent_is_audible_and_a_tail_after():
    gate = HalfDuplexGate()
    gate.heard_until(2.0, since_s=1.0)

    assert [is_closed_at(gate, time_s) for time_s in (0.9, 1.0, 1.9, 2.29, 2.31)] == [
        False,
        True,
        True,
        True,
        False,
    ]


def test_a_period_that_touches_the_sound_is_closed():
    gate = HalfDuplexGate()
    gate.heard_until(2.0, since_s=1.0)

    assert gate.is_closed(0.99, 1.01)
    assert gate.is_closed(2.29, 2.31)


def test_a_cut_opens_the_gate_at_once_and_leaves_the_past_closed():
    gate = HalfDuplexGate()
    gate.heard_until(2.0, since_s=1.0)

    gate.cut(1.5)

    assert is_closed_at(gate, 1.4)
    assert not is_closed_at(gate, 1.51)
    assert gate.was_audible(1.45)
    assert not gate.was_audible(1.55)


def test_a_cut_during_the_tail_ends_the_tail():
    gate = HalfDuplexGate()
    gate.heard_until(2.0, since_s=1.0)

    gate.cut(2.1)

    assert is_closed_at(gate, 2.05)
    assert not is_closed_at(gate, 2.15)


def test_a_reply_after_a_cut_closes_it_again():
    gate = HalfDuplexGate()
    gate.heard_until(2.0, since_s=1.0)
    gate.cut(1.5)

    gate.heard_until(1.9, since_s=1.8)

    assert [is_closed_at(gate, time_s) for time_s in (1.6, 1.85, 2.1, 2.3)] == [False, True, True, False]


def test_a_period_read_late_is_judged_by_the_time_it_was_captured():
    gate = HalfDuplexGate()
    gate.heard_until(2.0, since_s=1.0)
    gate.heard_until(6.0, since_s=5.0)

    assert is_closed_at(gate, 1.5)
    assert not is_closed_at(gate, 3.0)
    assert is_closed_at(gate, 5.5)


def test_a_long_reply_is_one_stretch():
    gate = HalfDuplexGate()
    for number in range(100_000):
        gate.heard_until((number + 1) * 0.02, since_s=number * 0.02)

    assert len(gate._stretches) == 1
    assert is_closed_at(gate, 1000.0)
