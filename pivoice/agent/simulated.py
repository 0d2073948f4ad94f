"""`pivoice simulate-agent`: a local agent to develop, test and demonstrate against, without key or network.

The server itself is `SimulatedAgent`, which also runs inside another program's loop, in simulated time
too. Reachable on loopback only, unless told otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import wave
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import IO, Any

import msgspec

from pivoice.agent.simulated_hearing import RATE_HZ
from pivoice.agent.simulated_options import add_arguments
from pivoice.agent.simulated_plan import VOICES, Plan, Turn, read_script
from pivoice.agent.simulated_server import SimulatedAgent
from pivoice.agent.simulated_session import SimulatedSession
from pivoice.agent.simulated_settings import find_refusal
from pivoice.agent.simulated_voice import find_voices, load_voices, speech_directory
from pivoice.errors import ConfigError, Fault

__all__ = ["Plan", "SimulatedAgent", "Turn", "add_arguments", "make_plan", "run"]


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT, breaking every connection at SIGUSR1; return the exit code."""
    try:
        plan = make_plan(args)
        with ExitStack() as stack:
            log = stack.enter_context(Path(args.log).open("w", buffering=1)) if args.log else None
            return asyncio.run(_serve_until_told(plan, args, log))
    except ConfigError as error:
        print(f"pivoice simulate-agent: {error}", file=sys.stderr)
    except (OSError, OverflowError) as error:
        print(
            f"pivoice simulate-agent: {error}; choose another --port, --log or --save-audio", file=sys.stderr
        )
    return 1


def make_plan(args: argparse.Namespace) -> Plan:
    """Return what the switches say.

    Raises:
        ConfigError: no voice, or a script or a file of agents that cannot be used.
    """
    voices = load_voices(args.reply) if args.reply else find_voices(speech_directory())
    if args.script:
        turns = read_script(Path(args.script), voices)
    else:
        texts = args.user_text or [""]
        count = max(len(voices), len(texts))
        turns = [Turn(voices[i % len(voices)], texts[i % len(texts)]) for i in range(count)]
    given = {field.name: vars(args)[field.name] for field in fields(Plan) if field.name in args}
    agents = _read_agents(Path(args.agents)) if args.agents else {}
    return Plan(turns=turns, http_tools=tuple(args.http_tool), stored_agents=agents, **given)


def _read_agents(path: Path) -> dict[str, dict[str, Any]]:
    try:
        agents = msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, Any]])
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError([Fault("", f"cannot use the stored agents in {path}: {error}")]) from error
    for name, settings in agents.items():
        refusal = find_refusal(settings, voices=VOICES)
        if refusal is not None:
            fault = f"cannot use the stored agent {name!r} in {path}: {refusal.param} {refusal.message}"
            raise ConfigError([Fault("", fault)])
    return agents


async def _serve_until_told(plan: Plan, args: argparse.Namespace, log: IO[str] | None) -> int:
    agent = SimulatedAgent(plan, log=log, complain=sys.stderr)
    port = await agent.start(args.port, args.host, rest_port=args.rest_port)
    print(f"listening on ws://{args.host}:{port}", flush=True)
    print(f"tokens and recordings on {agent.rest_url}", flush=True)
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    loop.add_signal_handler(signal.SIGUSR1, agent.drop)
    await told.wait()
    seconds, mistakes = agent.billed_s(), len(agent.violations)
    await agent.stop()
    if args.save_audio:
        save_audio(Path(args.save_audio), agent.sessions.values())
    sessions = _counted(agent.session_count, "session")
    print(f"{sessions}, {seconds:.1f} s billed, {_counted(mistakes, 'mistake')} of the client")
    return 1 if mistakes else 0


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def save_audio(directory: Path, sessions: Iterable[SimulatedSession]) -> None:
    """Write what each session received."""
    directory.mkdir(parents=True, exist_ok=True)
    for session in sessions:
        with wave.open(str(directory / f"{session.id}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE_HZ)
            file.writeframes(bytes(session.received))
