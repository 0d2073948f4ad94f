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
from pathlib import Path
from typing import IO

from pivoice.agent.simulated_hearing import RATE_HZ
from pivoice.agent.simulated_options import add_arguments
from pivoice.agent.simulated_plan import Plan, Turn, read_script
from pivoice.agent.simulated_server import SimulatedAgent
from pivoice.agent.simulated_session import SimulatedSession
from pivoice.agent.simulated_voice import find_voices, load_voices, speech_directory
from pivoice.errors import ConfigError

__all__ = ["Plan", "SimulatedAgent", "Turn", "add_arguments", "run"]


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; SIGUSR1 breaks every connection."""
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
        ConfigError: no voice, or a script that cannot be used.
    """
    voices = load_voices(args.reply) if args.reply else find_voices(speech_directory())
    if args.script:
        turns = read_script(Path(args.script), voices)
    else:
        texts = args.user_text or [""]
        count = max(len(voices), len(texts))
        turns = [Turn(voices[i % len(voices)], texts[i % len(texts)]) for i in range(count)]
    return Plan(
        turns=turns,
        key=args.key,
        ready_delay_s=args.ready_delay,
        silence_s=args.silence,
        reply_delay_s=args.reply_delay,
        lead_s=args.lead,
        speed=args.burst,
        interruption_delay_s=args.interruption_delay,
        transcript_only=args.transcript_only,
        stale_s=args.stale_seconds,
        refuse_resume=args.refuse_resume,
        error=args.error,
        error_times=args.error_times,
        error_in_band=args.error_in_band,
        http_status=args.http_status,
        max_rate=args.max_rate,
        drop_after_s=args.drop_after,
        garbage=args.garbage,
    )


async def _serve_until_told(plan: Plan, args: argparse.Namespace, log: IO[str] | None) -> int:
    agent = SimulatedAgent(plan, log=log, complain=sys.stderr)
    port = await agent.start(args.port, args.host)
    print(f"listening on ws://{args.host}:{port}", flush=True)
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    loop.add_signal_handler(signal.SIGUSR1, agent.drop)
    await told.wait()
    await agent.stop()
    if args.save_audio:
        save_audio(Path(args.save_audio), agent.sessions.values())
    return 0


def save_audio(directory: Path, sessions: Iterable[SimulatedSession]) -> None:
    """Write what each session received."""
    directory.mkdir(parents=True, exist_ok=True)
    for session in sessions:
        with wave.open(str(directory / f"{session.id}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE_HZ)
            file.writeframes(bytes(session.received))
