"""From the configuration to what the server is told."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from pivoice.agent import settings, wire
from pivoice.config import AgentConfig, TurnDetectionConfig

FORMAT = {"encoding": "audio/pcm", "sample_rate": 24000}
PROMPT = AgentConfig().system_prompt


def sent(told: wire.Settings) -> dict[str, Any]:
    session: dict[str, Any] = json.loads(wire.encode(wire.SessionUpdate(told)))["session"]
    return session


def opening(config: AgentConfig, *, voice: str = "", context: str = "") -> dict[str, Any]:
    return sent(settings.opening(config, voice=voice, context=context, tools=[]))


def test_what_is_not_configured_is_not_sent_because_null_is_refused():
    assert opening(AgentConfig(system_prompt="")) == {
        "input": {"format": FORMAT},
        "output": {"format": FORMAT},
    }


def test_everything_that_is_configured_is_sent_under_the_servers_names():
    config = AgentConfig(
        system_prompt="Be brief.",
        greeting="Hello.",
        volume=40,
        keyterms=["Ackermann"],
        language_codes=["de", "en"],
        transcription_mode="max_accuracy",
        transcription_prompt="A kitchen.",
        voice_focus="far-field",
        voice_focus_threshold=0.9,
        turn_detection=TurnDetectionConfig(0.4, 700, 2500, False, 300),
    )

    assert opening(config, voice="alba") == {
        "system_prompt": "Be brief.",
        "greeting": "Hello.",
        "input": {
            "format": FORMAT,
            "keyterms": ["Ackermann"],
            "language_codes": ["de", "en"],
            "transcription_mode": "max_accuracy",
            "transcription_prompt": "A kitchen.",
            "voice_focus": "far-field",
            "voice_focus_threshold": 0.9,
            "turn_detection": {
                "vad_threshold": 0.4,
                "min_silence": 700,
                "max_silence": 2500,
                "interrupt_response": False,
                "interruption_delay": 300,
            },
        },
        "output": {"format": FORMAT, "voice": "alba", "volume": 40},
    }


def test_a_conversation_that_goes_on_is_not_greeted():
    told = opening(AgentConfig(greeting="Hello."), context="\nEarlier: ...")

    assert "greeting" not in told
    assert told["system_prompt"] == PROMPT + "\nEarlier: ..."


def test_a_stored_agent_is_named_alone():
    config = AgentConfig(agent_id="agent_1", volume=10, keyterms=["x"])

    assert opening(config, voice="alba", context="c") == {"agent_id": "agent_1"}


def test_a_stored_agent_is_told_what_it_lets_change_once_it_is_ready():
    config = AgentConfig(agent_id="agent_1", volume=10, keyterms=["x"])

    told = settings.second(config, stored_prompt="You are stored.", context=" Earlier: ...")

    assert sent(told) == {
        "system_prompt": "You are stored. Earlier: ...",
        "input": {"keyterms": ["x"]},
        "output": {"volume": 10},
    }


@pytest.mark.parametrize(("prompt", "context"), [("You are stored.", ""), (None, " Earlier: ...")])
def test_a_stored_agent_keeps_its_prompt_where_nothing_is_to_be_added_to_it(prompt: str | None, context: str):
    config = AgentConfig(agent_id="agent_1")

    assert settings.second(config, stored_prompt=prompt, context=context) == wire.Settings()


def test_a_change_tells_only_what_changed():
    config = AgentConfig(volume=70, keyterms=["x"], turn_detection=TurnDetectionConfig(vad_threshold=0.3))

    assert sent(settings.change(config, ["volume"], context="")) == {"output": {"volume": 70}}
    assert sent(settings.change(config, ["system_prompt"], context="!")) == {"system_prompt": PROMPT + "!"}
    assert sent(settings.change(config, ["turn_detection.vad_threshold"], context="")) == {
        "input": {"turn_detection": {"vad_threshold": 0.3}}
    }


def test_a_session_that_is_there_already_takes_all_but_greeting_voice_and_format():
    config = AgentConfig(greeting="Hello.", volume=40, keyterms=["x"])
    tool = wire.Function("get_time", "Tells the time.", {})

    told = settings.mutable_part(settings.opening(config, voice="alba", context=" Earlier.", tools=[tool]))

    assert sent(told) == {
        "system_prompt": PROMPT + " Earlier.",
        "input": {"keyterms": ["x"]},
        "output": {"volume": 40},
        "tools": [
            {"type": "function", "name": "get_time", "description": "Tells the time.", "parameters": {}}
        ],
    }


def test_a_list_that_was_emptied_is_told_so():
    told = settings.change(AgentConfig(keyterms=[]), ["keyterms"], context="")

    assert sent(told) == {"input": {"keyterms": []}}


def test_every_mutable_setting_exists_and_is_told():
    for name in sorted(settings.MUTABLE):
        section, _, last = name.rpartition(".")
        owner: Any = TurnDetectionConfig if section else AgentConfig
        assert last in {field.name for field in dataclasses.fields(owner)}, name


def test_what_a_session_cannot_change_is_a_programmers_mistake():
    with pytest.raises(AssertionError, match="voice"):
        settings.change(AgentConfig(), ["voice"], context="")
