"""The simulated agent takes, refuses, merges and tells back settings by the API's limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.agent.raw import TOOL, Place, with_agent
from tests.agent.scene import tone

REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"greeting": None}, "invalid_format", "session.greeting"),
    ({"output": {"voice": "ivy"}}, "invalid_value", "session.output.voice"),
    ({"output": {"volume": 101}}, "invalid_value", "session.output.volume"),
    ({"input": {"format": "audio/pcm"}}, "invalid_value", "session.input.format"),
    ({"input": {"keyterms": ["word"] * 101}}, "invalid_value", "session.input.keyterms"),
    ({"input": {"language_codes": ["xx"]}}, "invalid_value", "session.input.language_codes"),
    ({"input": {"transcription_mode": "fast"}}, "invalid_value", "session.input.transcription_mode"),
    ({"input": {"transcription_prompt": "x" * 1751}}, "invalid_value", "session.input.transcription_prompt"),
    ({"input": {"voice_focus": "off"}}, "invalid_value", "session.input.voice_focus"),
    ({"input": {"voice_focus_threshold": 1.5}}, "invalid_value", "session.input.voice_focus_threshold"),
    *(
        ({"input": {"turn_detection": detection}}, "invalid_value", f"session.input.turn_detection.{name}")
        for name, detection in (
            ("vad_threshold", {"vad_threshold": -0.1}),
            ("min_silence", {"min_silence": 49}),
            ("max_silence", {"max_silence": 10_001}),
            ("min_silence", {"min_silence": 500, "max_silence": 500}),
            ("min_silence", {"max_silence": 900}),
            ("interruption_delay", {"interruption_delay": 1001}),
            ("interrupt_response", {"interrupt_response": "no"}),
        )
    ),
    ({"tools": [TOOL] * 11}, "invalid_value", "session.tools"),
    ({"tools": [{**TOOL, "type": None}]}, "invalid_value", "session.tools[0].type"),
]


@pytest.mark.parametrize("settings, code, param", REFUSED)
def test_a_wrong_setting_is_fatal_at_first_and_only_an_error_later(
    settings: dict[str, Any], code: str, param: str
):
    async def talk(place: Place) -> list[Any]:
        first = await place.client()
        await first.update(**settings)
        told = [await first.until("session.error")]
        assert (await first.until_closed())[0] == 1008
        later = await place.client()
        await later.get_ready()
        await later.say("session.update", session=settings)
        told.append(await later.until("session.error"))
        await later.end()
        return [(error["code"], error["param"]) for error in told]

    errors, agent = with_agent(talk)

    assert errors == [(code, param)] * 2
    assert not agent.violations
    assert len(agent.session.updates) == 1


@pytest.mark.parametrize(
    "settings, param",
    [({"personality": "kind"}, "session.personality"), ({"input": {"vad": 1}}, "session.input.vad")],
)
def test_an_unknown_setting_is_refused_and_blamed(settings: dict[str, Any], param: str):
    async def talk(place: Place) -> Any:
        client = await place.client()
        await client.update(**settings)
        return await client.until("session.error")

    error, agent = with_agent(talk)

    assert (error["code"], error["param"]) == ("invalid_config", param)
    assert len(agent.violations) == 1


def test_a_good_update_is_merged_and_told_back():
    async def talk(place: Place) -> Any:
        client = await place.client()
        await client.get_ready(system_prompt="Be kind.", input={"keyterms": ["Pi"]})
        await client.say("session.update", session={"input": {"voice_focus": "far-field"}, "tools": [TOOL]})
        return (await client.until("session.updated"))["config"]

    config, agent = with_agent(talk)

    assert config["system_prompt"] == "Be kind."
    assert config["input"]["keyterms"] == ["Pi"]
    assert config["input"]["voice_focus"] == "far-field"
    assert agent.session.settings["tools"] == [TOOL]
    assert len(agent.session.updates) == 2
    assert not agent.violations


@pytest.mark.parametrize("settings", [{"greeting": "Hi!"}, {"output": {"voice": "eve"}}])
def test_what_cannot_change_is_refused_blamed_and_survived(settings: dict[str, Any]):
    async def talk(place: Place) -> Any:
        client = await place.client()
        await client.get_ready(output={"voice": "alba"})
        await client.say("session.update", session=settings)
        code = (await client.until("session.error"))["code"]
        await client.end()
        return code

    code, agent = with_agent(talk)

    assert code == "immutable_field"
    assert len(agent.violations) == 1


def test_an_update_of_nothing_begins_a_session_without_personality_and_is_blamed():
    async def talk(place: Place) -> Any:
        client = await place.client()
        await client.say("session.update", config={"system_prompt": "Be kind."})
        return (await client.until("session.ready"))["config"]["system_prompt"]

    prompt, agent = with_agent(talk)

    assert prompt == ""
    assert agent.violations == ["session.update lacks 'session'"]


def test_the_silence_that_ends_a_turn_is_the_clients_choice():
    async def talk(place: Place) -> Any:
        client = await place.client()
        await client.get_ready(input={"turn_detection": {"min_silence": 2000, "max_silence": 3000}})
        await client.speak(np.concatenate([tone(1.0).samples, np.zeros(72_000, np.int16)]))
        stopped = await client.until("input.speech.stopped")
        return stopped["timestamp"] - client.all("input.speech.started")[0]["timestamp"]

    assert with_agent(talk)[0] == pytest.approx(2.9, abs=0.15)


# --- stored agents ---

STORED = {"agent_1": {"system_prompt": "I am stored.", "greeting": "Hello.", "tools": [TOOL]}}


def test_a_stored_agent_tells_its_prompt_and_greets():
    async def talk(place: Place) -> Any:
        client = await place.client()
        await client.say("session.update", session={"agent_id": "agent_1"})
        ready = await client.until("session.ready")
        await client.until("reply.started")
        return ready["config"]["system_prompt"]

    prompt, agent = with_agent(talk, stored_agents=STORED)

    assert prompt == "I am stored."
    assert not agent.violations


@pytest.mark.parametrize(
    "session, code",
    [
        ({"agent_id": "agent_2"}, "agent_not_found"),
        ({"agent_id": "agent_1", "tools": []}, "agent_id_not_first"),
    ],
)
def test_a_stored_agent_must_exist_and_be_named_alone(session: dict[str, Any], code: str):
    async def talk(place: Place) -> tuple[str, int]:
        client = await place.client()
        await client.say("session.update", session=session)
        return (await client.until("session.error"))["code"], (await client.until_closed())[0]

    assert with_agent(talk, stored_agents=STORED)[0] == (code, 1008)
