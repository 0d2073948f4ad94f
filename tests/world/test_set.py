"""`ctl set`: what changes in a live session changes at once, stays for the next, and nothing else changes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.support.world import World, live


def updates(world: World) -> list[dict[str, Any]]:
    """Return the sessions' settings, update by update, as the server got them."""
    return [
        event["session"]
        for event in world.agent.events
        if event["from"] == "client" and event["type"] == "session.update"
    ]


async def in_a_conversation(world: World) -> None:
    await world.ask("wake")
    await world.until(lambda: world.has("session", state="ready"), 10)


def test_a_setting_reaches_the_open_session_at_once_and_the_next_one_too(tmp_path: Path):
    async def main(world: World) -> None:
        await in_a_conversation(world)

        answer = await world.ask("set", setting="agent.volume", value=40)
        await asyncio.sleep(0.1)

        first, second = updates(world)
        assert "volume" not in first["output"]
        assert second == {"output": {"volume": 40}}
        assert (answer["setting"], answer["value"]) == ("agent.volume", 40)
        assert "open session" in answer["holds"]
        assert "restart or reload" in answer["until"]
        assert world.daemon.turn.conversation_open
        await world.ask("stop")
        await world.reach("idle")
        await in_a_conversation(world)
        await world.until(lambda: len(updates(world)) == 3, 5)
        assert updates(world)[-1]["output"]["volume"] == 40

    live(main, tmp_path, toml="[agent]\nlinger = false\n")


def test_without_a_session_the_next_one_takes_the_setting(tmp_path: Path):
    async def main(world: World) -> None:
        answer = await world.ask("set", setting="agent.turn_detection.vad_threshold", value=0.25)
        await in_a_conversation(world)

        assert "next session" in answer["holds"]
        (only,) = updates(world)
        assert only["input"]["turn_detection"] == {"vad_threshold": 0.25}

    live(main, tmp_path)


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("agent.volume", 101, "from 0 to 100"),
        ("agent.volume", "loud", "a whole number"),
        ("agent.volume", True, "a whole number"),
        ("agent.volume", 10**400, "a whole number"),
        ("agent.volum", 40, "did you mean agent.volume?"),
        ("agent.keyterms", "Ackermann", "a list"),
        ("agent.keyterms", ["x"] * 101, "at most 100"),
        ("agent.language_codes", ["xx"], 'one of "en"'),
        ("agent.system_prompt", None, "must be text"),
        ("agent.system_prompt", "\ud800", "half a character"),
        ("agent.turn_detection.min_silence_ms", 5000, "needs a greater max_silence_ms"),
        ("agent.voice", "alba", "edit the configuration file and run: pivoice ctl reload"),
        ("audio.capture", "default", "pivoice ctl reload"),
        ("agent.api_key_file", "sk_secret", "pivoice ctl reload"),
        ("agent.api_key", "sk_secret", "did you mean agent.api_key_file?"),
        ("agent", {"volume": 40}, "pivoice ctl reload"),
        ("a" * 60_000, 1, 'set needs "setting"'),
        (["agent.volume"], 1, 'set needs "setting"'),
    ],
)
def test_what_cannot_be_set_is_answered_in_words_and_changes_nothing(
    tmp_path: Path, setting: object, value: object, said: str
):
    async def main(world: World) -> None:
        before = world.daemon.config

        answer = await world.ask("set", setting=setting, value=value)

        assert list(answer) == ["error"]
        assert said in answer["error"]
        assert "sk_secret" not in answer["error"]
        assert len(answer["error"]) < 400
        assert world.daemon.config == before

    live(main, tmp_path, toml='[wake]\nengine = "none"\n')


def test_a_setting_that_cannot_go_with_one_set_before_is_refused(tmp_path: Path):
    async def main(world: World) -> None:
        await world.ask("set", setting="agent.turn_detection.max_silence_ms", value=2000)

        answer = await world.ask("set", setting="agent.turn_detection.min_silence_ms", value=2500)

        assert "must be less than max_silence_ms (2000)" in answer["error"]

    live(main, tmp_path, toml='[wake]\nengine = "none"\n')
