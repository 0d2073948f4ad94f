"""`pivoice ctl set`, as it is typed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bed import Bed
from tests.support.stage import Stage


@pytest.fixture
def stage(tmp_path: Path, bed: Bed) -> Iterator[Stage]:
    settings: dict[str, dict[str, object]] = {"wake": {"engine": "none"}, "turn": {"no_speech_s": 60}}
    with Stage(tmp_path, bed=bed, settings=settings) as made:
        yield made.start()


def test_what_is_typed_reaches_the_open_session_as_what_it_means(stage: Stage):
    stage.ctl("wake")
    stage.wait_until(lambda: stage.ctl("status")["link"] == "up", "the session")

    for words in (
        ("agent.volume", "40"),
        ("agent.keyterms", '["Ackermann", "Zoë"]'),
        ("agent.turn_detection.interrupt_response", "false"),
        ("agent.transcription_mode", "max_accuracy"),
        ("agent.system_prompt", "You", "are", "a", "pirate."),
    ):
        done = stage.run_ctl("set", *words)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["setting"] == words[0]

    expected = [
        {"output": {"volume": 40}},
        {"input": {"keyterms": ["Ackermann", "Zoë"]}},
        {"input": {"turn_detection": {"interrupt_response": False}}},
        {"input": {"transcription_mode": "max_accuracy"}},
        {"system_prompt": "You are a pirate."},
    ]
    stage.wait_until(lambda: updates(stage)[1:] == expected, f"the updates; there are {updates(stage)[1:]}")
    assert not stage.violations()


def updates(stage: Stage) -> list[object]:
    return [line["session"] for line in stage.agent_log() if line.get("type") == "session.update"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["agent.volume", "loud"], "'loud' is not allowed; it must be a whole number from 0 to 100"),
        (["agent.volum", "40"], "did you mean agent.volume?"),
        (["agent.voice", "alba"], "pivoice ctl reload"),
        (["agent.volume"], "pivoice ctl set agent.volume 60"),
    ],
)
def test_what_cannot_be_set_is_told_in_one_line(stage: Stage, words: list[str], said: str):
    done = stage.run_ctl("set", *words)

    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
