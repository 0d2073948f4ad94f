"""The README's picture of the table."""

from __future__ import annotations

import re

import pytest

from pivoice.turn.diagram import SITUATIONS, diagram
from pivoice.turn.machine import State
from tests.turn.situations import after

EDGE = re.compile(r"    (\w+) --> (\w+): (.+)")


def edges() -> dict[tuple[str, str], list[str]]:
    return {(m[1], m[2]): m[3].split("<br/>") for m in map(EDGE.match, diagram().splitlines()) if m}


def test_the_diagram_is_the_same_every_time() -> None:
    assert diagram() == diagram()
    assert diagram().startswith("stateDiagram-v2\n    [*] --> IDLE\n")


def test_every_state_can_be_reached_and_left() -> None:
    names = {state.name for state in State}

    assert {source for source, _ in edges()} == names
    assert {target for _, target in edges()} == names


@pytest.mark.parametrize(
    ("source", "target", "label"),
    [
        ("IDLE", "LISTENING", "wake heard"),
        ("LISTENING", "IDLE", "follow_up_s passed (after a reply)"),
        ("LISTENING", "THINKING", "speech stopped (speaking)"),
        ("THINKING", "SPEAKING", "reply audible"),
        ("SPEAKING", "YIELDING", "speech started"),
        ("YIELDING", "SPEAKING", "yield_s passed"),
        ("YIELDING", "LISTENING", "reply interrupted"),
        ("SPEAKING", "LISTENING", "playback drained"),
        ("SPEAKING", "IDLE", "playback drained (goodbye)"),
    ],
)
def test_the_diagram_shows_what_the_machine_does(source: str, target: str, label: str) -> None:
    assert label in edges()[source, target]


def test_every_state_has_a_plain_situation() -> None:
    plain = {after(*situation.history).state for situation in SITUATIONS if not situation.name}

    assert plain == set(State)
