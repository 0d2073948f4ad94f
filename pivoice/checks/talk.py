"""A real session of a second with the agent's server, through the product's own connection.

Asked for with the settings that the daemon would send, given a second of silence, and ended: `session.end` is
said whatever happens on the way, so that nothing is billed on. Its events go nowhere, its audio unheard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from pivoice.agent import settings, wire
from pivoice.agent.connection import Connection, Faults, open_connection
from pivoice.agent.guards import spent
from pivoice.agent.handshake import Hello, shake_hands
from pivoice.agent.ledger import Ledger, ledger_path
from pivoice.agent.parting import end_session
from pivoice.agent.reactions import VoiceRefusedError, judge_close
from pivoice.checks.live import is_talking
from pivoice.checks.patient import Patient
from pivoice.config import AgentConfig
from pivoice.errors import AgentError, AuthError, LinkError
from pivoice.findings import Finding
from pivoice.tools.builtin import end_conversation_tool, get_time_tool

READY_S = 5.0
TALK_S = 1.0
_CHUNK_S = 0.1
_SILENCE = bytes(round(2 * _CHUNK_S * wire.RATE_HZ))
_STATE = "/var/lib/pivoice"
_OLD_KEY = "sudo ./scripts/install --key-file FILE"


@dataclass
class _Talk:
    """How a session went."""

    ready_s: float
    complaints: list[wire.Failure]
    error: AgentError | None = None
    """Why it broke off."""
    is_ended: bool = False
    """The server confirmed the end."""


def session(patient: Patient) -> Iterator[Finding]:
    """Whether the server takes our key and our settings, and a second of sound."""
    agent = patient.config.agent
    if is_talking(patient):
        text = "not tried: a conversation is open, and a second session would cost twice"
        yield Finding("session", "warn", text, "pivoice ctl stop, and again: pivoice doctor")
        return
    if _is_spent(patient):
        yield Finding("session", "warn", f"not tried: {spent().reason}", spent().advice)
        return
    if not patient.key and not agent.token_url:
        yield Finding("session", "warn", "not tried: no key could be read", "sudo pivoice doctor")
        return
    try:
        talk = _within(patient, agent)
    except VoiceRefusedError as error:
        text = (
            f"the server does not know the voice {agent.voice!r} ({error.reason}); it would take its default"
        )
        yield Finding("session", "warn", text, f"set agent.voice in {patient.path}")
        return
    except AgentError as error:
        yield _refused(error)
        return
    yield from _told(talk)


def _within(patient: Patient, agent: AgentConfig) -> _Talk:
    """Hold the session on a loop of its own, which the doctor's end brings to its own end.

    Raises:
        AgentError: there was none.
    """

    async def main() -> _Talk:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None, "asyncio runs this in a task"

        def abort() -> None:
            with suppress(RuntimeError):  # it is over already
                loop.call_soon_threadsafe(task.cancel)

        patient.abort = abort
        return await _talk(agent, patient.key)

    try:
        return asyncio.run(main())
    finally:
        patient.abort = None


async def _talk(agent: AgentConfig, key: str) -> _Talk:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    hello = Hello(
        agent.url, key, agent.token_url, Faults(), agent.voice, lambda voice: _opening(agent, voice)
    )
    connection: Connection | None = None
    try:
        async with asyncio.timeout(READY_S):
            connection = await open_connection(
                agent.url, key=key, token_url=agent.token_url, faults=hello.faults
            )
            ready = await shake_hands(connection, hello, session_id="")
        talk = _Talk(loop.time() - began_s, [])
        more = settings.second(agent, stored_prompt=ready.system_prompt, context="")
        if agent.agent_id and more != wire.Settings():
            await connection.send(wire.SessionUpdate(more))
        await _say_nothing(connection, talk)
    except TimeoutError:
        did = "no session.ready" if connection else "no answer"
        raise LinkError(f"{did} within {READY_S:g} s", advice="try again later") from None
    finally:
        if connection is not None:
            ended = await asyncio.shield(asyncio.ensure_future(end_session(connection)))
    talk.is_ended = ended
    return talk


async def _say_nothing(connection: Connection, talk: _Talk) -> None:
    """Send a second of silence at its own pace, and note what the server has to say to it."""
    listening = asyncio.create_task(_listen(connection, talk), name="doctor listens")
    try:
        for _ in range(round(TALK_S / _CHUNK_S)):
            with suppress(LinkError):  # why it is closed is what the listener finds out
                await connection.send(wire.InputAudio(_SILENCE))
            done, _ = await asyncio.wait({listening}, timeout=_CHUNK_S)
            if done:
                return
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def _listen(connection: Connection, talk: _Talk) -> None:
    while (event := await connection.receive()) is not None:
        if isinstance(event, wire.Failure):
            talk.complaints.append(event)
        if isinstance(event, wire.Ended):
            talk.error = LinkError("the server ended the session by itself", advice="try again later")
            return
    complaint = talk.complaints[-1] if talk.complaints else None
    talk.error = judge_close(connection.close_code, connection.close_reason, complaint, phase="live")


def _opening(agent: AgentConfig, voice: str) -> wire.Settings:
    tools = [
        wire.Function(tool.name, tool.description, tool.parameters)
        for tool in (get_time_tool(), end_conversation_tool(lambda: None))
    ]
    quiet = replace(agent, greeting="")  # nobody is there to be greeted
    return settings.opening(quiet, voice=voice, context="", tools=tools)


def _told(talk: _Talk) -> Iterator[Finding]:
    text = f"ready in {talk.ready_s:.1f} s"
    for complaint in {each.code: each for each in talk.complaints}.values():
        said = f"{text}, and the server complained: {complaint.code} {complaint.message}".rstrip()
        yield Finding("session", "warn", said, "check the [agent] settings")
    if talk.error is not None:
        yield _refused(talk.error)
    elif not talk.is_ended:
        told = f"{text}; the server took a second of silence and did not confirm the end: billed up to 30 s"
        yield Finding("session", "warn", told, "nothing to do, if it happens once")
    else:
        yield Finding(
            "session", "ok", f"{text}; the server took a second of silence, and ended it (a second is billed)"
        )


def _refused(error: AgentError) -> Finding:
    todo = f"{error.advice}; another key: {_OLD_KEY}" if isinstance(error, AuthError) else error.advice
    return Finding("session", "fail", error.reason, todo)


def _is_spent(patient: Patient) -> bool:
    """Whether the day's cap is reached: by the daemon's word, else by what it keeps."""
    agent, told = patient.config.agent, patient.status.get("session")
    if not agent.daily_minutes:
        return False
    if isinstance(told, dict):
        return float(told.get("minutes_today", 0.0)) >= agent.daily_minutes
    place = ledger_path(agent, {"STATE_DIRECTORY": str(patient.machine.path(_STATE))})
    if not patient.is_installed and not agent.ledger_file:
        place = ledger_path(agent, patient.machine.environ)
    if not _is_readable(place):
        return False
    return Ledger(place, daily_minutes=agent.daily_minutes, today=date.today).meter.is_spent(0.0)


def _is_readable(path: Path) -> bool:
    try:
        with path.open("rb"):
            return True
    except OSError:
        return False
