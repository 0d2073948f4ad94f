"""The simulated agent itself: it notices a client's mistakes, and runs as a program."""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import signal
import subprocess
import sys
import wave
from collections.abc import Callable, Coroutine
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.sync.client import connect as connect_blocking

from pivoice.agent.simulated import Plan, SimulatedAgent, Turn, add_arguments, make_plan
from pivoice.agent.simulated_hearing import Heard, Hearing
from pivoice.errors import ConfigError
from pivoice.simulation import JumpLoop, run_jumping
from tests.agent.scene import speech, tone

PCM = {"format": {"encoding": "audio/pcm", "sample_rate": 24000}}
UPDATE = {"type": "session.update", "session": {"input": PCM, "output": PCM}}


def violations_of(talk: Callable[[ClientConnection], Coroutine[Any, Any, None]], **plan: Any) -> list[str]:
    """Let a client of our own making talk, and return what it did wrong."""

    async def main(_: JumpLoop) -> list[str]:
        agent = SimulatedAgent(Plan(turns=[Turn(tone(1.0))], **plan))
        await agent.start()
        async with connect(agent.url, proxy=None) as link:
            await talk(link)
            await asyncio.sleep(0.1)
        await agent.stop()
        return agent.violations

    return run_jumping(main)


async def say(link: ClientConnection, **message: object) -> None:
    await link.send(json.dumps(message))


async def get_ready(link: ClientConnection) -> None:
    await say(link, **UPDATE)
    while json.loads(await link.recv())["type"] != "session.ready":
        pass


def test_a_well_behaved_client_is_not_blamed():
    async def talk(link: ClientConnection) -> None:
        await get_ready(link)
        await say(link, type="input.audio", audio="AAAA" * 320)
        await say(link, type="session.end")
        assert json.loads(await link.recv())["type"] == "session.ended"

    assert violations_of(talk) == []


def test_audio_before_ready_is_noticed():
    async def talk(link: ClientConnection) -> None:
        await say(link, **UPDATE)
        await say(link, type="input.audio", audio="AAAA")

    assert violations_of(talk) == ["audio before session.ready"]


def test_audio_after_the_end_is_noticed():
    async def talk(link: ClientConnection) -> None:
        await get_ready(link)
        await say(link, type="session.end")
        await say(link, type="input.audio", audio="AAAA")

    assert violations_of(talk) == ["input.audio after the end"]


def test_half_a_sample_an_unknown_message_and_an_unasked_answer_are_noticed():
    async def talk(link: ClientConnection) -> None:
        await get_ready(link)
        await say(link, type="input.audio", audio=base64.b64encode(b"123").decode())
        await say(link, type="input.video")
        await say(link, type="tool.result", call_id="c", result="x")

    assert violations_of(talk) == [
        "half a sample of audio",
        "unknown message 'input.video'",
        "an answer for 'c', which nobody asked (any more)",
    ]


def test_anything_before_the_first_update_is_refused():
    async def talk(link: ClientConnection) -> None:
        await say(link, type="input.audio", audio="AAAA")
        assert json.loads(await link.recv())["code"] == "invalid_format"

    assert violations_of(talk) == ["'input.audio' before session.update or session.resume"]


def test_a_wrong_rate_is_noticed():
    async def talk(link: ClientConnection) -> None:
        slow = {"format": {"encoding": "audio/pcm", "sample_rate": 16000}}
        await say(link, type="session.update", session={"input": slow, "output": PCM})

    assert violations_of(talk) == ["input.format is not declared as 24000 Hz"]


def test_a_null_greeting_is_refused_as_by_the_real_one():
    async def talk(link: ClientConnection) -> None:
        await say(link, type="session.update", session={"input": PCM, "output": PCM, "greeting": None})
        assert json.loads(await link.recv())["param"] == "session.greeting"

    assert violations_of(talk) == []


def test_a_session_lapses_thirty_seconds_after_a_drop():
    async def main(_: JumpLoop) -> tuple[int, int]:
        agent = SimulatedAgent(Plan(turns=[Turn(tone(1.0))]))
        await agent.start()
        async with connect(agent.url, proxy=None) as link:
            await get_ready(link)
        await asyncio.sleep(29)
        kept = len(agent.open_sessions)
        await asyncio.sleep(2)
        left = len(agent.open_sessions)
        await agent.stop()
        return kept, left

    assert run_jumping(main) == (1, 0)


@pytest.mark.parametrize("name", ["user_wake_time", "user_weather", "user_thanks"])
def test_real_speech_is_heard_as_one_turn(name: str):
    ear = Hearing(silence_s=0.9, insist_s=0.5)

    heard = list(ear.feed(np.concatenate([speech(name).samples, np.zeros(24000, np.int16)])))

    assert heard.count(Heard.STARTED) == heard.count(Heard.STOPPED) == 1


def test_a_back_channel_does_not_insist_and_a_sentence_does():
    quiet = np.zeros(24000, np.int16)
    short, sentence = Hearing(silence_s=0.9, insist_s=0.5), Hearing(silence_s=0.9, insist_s=0.5)

    assert Heard.INSISTED not in list(short.feed(np.concatenate([speech("user_uhuh").samples, quiet])))
    assert Heard.INSISTED in list(sentence.feed(np.concatenate([speech("user_barge").samples, quiet])))


# --- as a program ---


def start(*options: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pivoice", "simulate-agent", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": "/usr/bin:/bin", **environment},
    )


def talk_to(program: subprocess.Popen[str], *messages: dict[str, object]) -> tuple[list[str], str]:
    """Hold a short conversation, stop the program; return what it printed, by lines, and its complaints."""
    assert program.stdout is not None
    addresses = [program.stdout.readline().strip() for _ in range(2)]
    address = addresses[0].removeprefix("listening on ")
    with connect_blocking(address, proxy=None) as link:
        link.send(json.dumps(UPDATE))
        while json.loads(link.recv())["type"] != "session.ready":
            pass
        for message in (*messages, {"type": "session.end"}):
            link.send(json.dumps(message))
        while json.loads(link.recv())["type"] != "session.ended":
            pass
    program.send_signal(signal.SIGTERM)
    printed, complaints = program.communicate(timeout=20)
    return [*addresses, *printed.splitlines()], complaints


def test_the_program_says_where_it_listens_talks_and_leaves_a_log_and_the_sound(tmp_path: Path):
    program = start("--log", str(tmp_path / "log.jsonl"), "--save-audio", str(tmp_path / "heard"))

    printed, complaints = talk_to(program, {"type": "input.audio", "audio": "AAEC" * 320})

    assert program.returncode == 0, complaints
    assert printed[1].startswith("tokens and recordings on http://127.0.0.1:")
    assert printed[2].startswith("1 session, ")
    assert printed[2].endswith(" s billed, 0 mistakes of the client")
    kinds = [json.loads(line)["type"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert kinds == [
        "session.update",
        "session.updated",
        "session.ready",
        "input.audio",
        "session.end",
        "session.ended",
    ]
    with wave.open(str(tmp_path / "heard" / "sess_0001.wav")) as heard:
        assert heard.getnframes() == 480


def test_a_mistake_of_the_client_is_told_and_is_a_failure():
    program = start()

    printed, complaints = talk_to(program, {"type": "input.video"})

    assert program.returncode == 1
    assert complaints == "violation in sess_0001: unknown message 'input.video'\n"
    assert printed[2].endswith(" s billed, 1 mistake of the client")


# --- its switches ---

SWITCHES = """
--http-tool search --transcript-only --early-reply --no-agent-text --call-twice --unknown-status odd
--ready-delay 1 --hello 2 --silence 3 --reply-delay 4 --lead 5 --burst 6 --interruption-delay 7
--stale-seconds 8 --tool-timeout 9 --old-wire --no-updated --ready-first --duplicates --odd-chunks --garbage
--oversized 10 --key k --http-status 511 --error e --error-times 11 --error-in-band f --refuse-resume open
--bad-key-status 401 --token-status 429 --tokens-once --drop-after 12 --silent-after 13 --dead-link 14
--stall 15 --stall-at 16 --receive-buffer 17 --error-live g --error-live-at 18 --close-code 1011
--close-at 19 --close-in-reply --close-reason h --fault-times 20 --never-ready --deaf --deaf-sessions 21
--ignore-end --expires-in 22 --resume-window 23 --max-rate 24 --pace-limit 25 --sessions-per-key 26
--recording-delay 27 --delete-status 503 --json-results"""


def parsed(*options: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(options)


def test_every_switch_changes_its_own_part_of_the_plan(tmp_path: Path):
    (tmp_path / "agents.json").write_text('{"agent_1": {"system_prompt": "I am stored."}}')
    usual = make_plan(parsed())

    changed = make_plan(parsed(*SWITCHES.split(), "--agents", str(tmp_path / "agents.json")))

    names = {field.name for field in fields(Plan)} - {"turns"}  # which have switches of their own
    same = {name for name in names if getattr(usual, name) == getattr(changed, name)}
    assert same == {"voices_known"}
    assert usual == Plan(turns=usual.turns)


@pytest.mark.parametrize(
    "options",
    ["--lead -1", "--silence nan", "--burst -1", "--http-status 99", "--port 65536", "--error-times 1.5"],
)
def test_a_switch_out_of_its_range_is_refused_in_words(options: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        parsed(*options.split())

    name, value = options.split()
    assert f"argument {name}: {value!r} is " in capsys.readouterr().err


def test_the_help_groups_every_switch_and_says_a_line_about_each():
    parser = argparse.ArgumentParser()
    add_arguments(parser)

    ungrouped = parser._optionals._group_actions
    assert [action.dest for action in ungrouped] == ["help"]
    assert all(action.help for group in parser._action_groups for action in group._group_actions)


def test_a_stored_agent_with_a_wrong_setting_is_told_in_one_sentence(tmp_path: Path):
    (tmp_path / "agents.json").write_text('{"agent_1": {"greeting": null}}')

    with pytest.raises(ConfigError) as caught:
        make_plan(parsed("--agents", str(tmp_path / "agents.json")))

    assert "'agent_1'" in str(caught.value)
    assert "session.greeting" in str(caught.value)


def test_without_speech_the_program_says_so_in_one_sentence(tmp_path: Path):
    program = start(PIVOICE_SPEECH=str(tmp_path))

    _, complaint = program.communicate(timeout=20)

    assert program.returncode == 1
    assert complaint.count("\n") == 1
    assert "run scripts/speech" in complaint


def test_a_script_that_is_wrong_is_told_in_one_sentence(tmp_path: Path):
    (tmp_path / "script.json").write_text('[{"txet": "typo"}]')
    program = start("--script", str(tmp_path / "script.json"))

    _, complaint = program.communicate(timeout=20)

    assert program.returncode == 1
    assert complaint.count("\n") == 1
    assert "txet" in complaint
