"""Whatever the server says, in whatever order: the promises that cost money or privacy hold."""

from __future__ import annotations

import asyncio
import base64
import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pivoice import config
from pivoice.audio import simulated
from pivoice.simulation import JumpLoop, run_jumping
from pivoice.turn import events
from pivoice.wake.simulated import SimulatedDetector
from tests.support.world import MIC_HZ, World, answering, live
from tests.world.any_server import AnyServer, dates, rising_room

SLACK_S = 0.25  # two periods, one step of the room, and what the resampler holds
CLOSING_S = 2.6  # `session.end` may wait 2 s for its answer, and the close 0.5 s

reply_ids = st.sampled_from(["r1", "r2", "r3", ""])
call_ids = st.sampled_from(["c1", "c2", "c3"])


def _named(kind: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"type": st.just(kind), **fields})


def _audio(seconds: float, level: int, odd: bool) -> str:
    pcm = np.full(round(seconds * 24_000), level, "<i2").tobytes()
    return base64.b64encode(pcm[: len(pcm) - odd]).decode()


server_events = st.one_of(
    st.sampled_from(["input.speech.started", "input.speech.stopped", "session.updated"]).map(
        lambda kind: {"type": kind}
    ),
    _named("reply.started", reply_id=reply_ids),
    _named(
        "reply.audio",
        reply_id=reply_ids,
        data=st.builds(_audio, st.sampled_from([0.01, 0.3, 2.0]), st.sampled_from([0, 9000]), st.booleans()),
    ),
    _named(
        "reply.done", reply_id=reply_ids, status=st.sampled_from(["completed", "interrupted", "failed", 7])
    ),
    _named("reply.error", reply_id=reply_ids, code=st.just("llm")),
    _named("transcript.user", text=st.sampled_from(["hello", ""]), item_id=reply_ids),
    _named("transcript.user.delta", text=st.just("hel")),
    _named("transcript.agent", reply_id=reply_ids, text=st.just("hi"), interrupted=st.booleans()),
    _named("transcript.agent.delta", reply_id=reply_ids, delta=st.just("hi")),
    _named(
        "tool.call",
        call_id=call_ids,
        name=st.sampled_from(["get_time", "end_conversation", "fly"]),
        arguments=st.sampled_from([{}, None, []]),
    ),
    _named(
        "session.error",
        code=st.sampled_from(
            [
                "audio_rate_violation",
                "session_expired",
                "unauthorized",
                "INTERNAL_ERROR",
                "immutable_field",
                "new",
            ]
        ),
    ),
    _named("session.ended"),
    _named("session.ready", session_id=st.sampled_from(["sess_1", "other", ""])),
)
steps = st.one_of(
    server_events.map(lambda event: ("server", event)),
    server_events.map(lambda event: ("server twice", event)),
    st.sampled_from(["wake", "button", "mute", "unmute", "stop", "hush", "say"]).map(lambda it: ("user", it)),
    st.sampled_from(["mute", "unmute"]).map(lambda it: ("user", it)),
    st.sampled_from([("drop", None), ("close", 1000), ("close", 1008), ("close", 1011), ("garbage", None)]),
)
scripts = st.lists(st.tuples(steps, st.sampled_from([0.0, 0.02, 0.5, 2.5, 6.0])), min_size=4, max_size=25)
greetings = st.lists(
    st.sampled_from(
        ["ready", "ready", "ready", "silence", "close 1008", "close 1011", "at_capacity", "session_not_found"]
    ),
    min_size=1,
    max_size=4,
)
USER = {
    "wake": events.WakeAsked(),
    "button": events.ButtonPressed(),
    "mute": events.MuteChanged(on=True),
    "unmute": events.MuteChanged(on=False),
    "stop": events.StopAsked(),
    "hush": events.HushAsked(),
    "say": events.SayAsked("tea is ready"),
}
Script = list[tuple[tuple[str, Any], float]]


@pytest.mark.timeout(300)
@settings(
    max_examples=40,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],  # shrinking whole lives takes longer than anybody waits
)
@given(script=scripts, first=greetings, echo=st.sampled_from(["none", "half_duplex"]), linger=st.booleans())
def test_any_sequence_of_events_keeps_the_promises(
    script: Script, first: list[str], echo: str, linger: bool
) -> None:
    errors = _Errors()
    logging.getLogger("pivoice").addHandler(errors)
    try:
        with tempfile.TemporaryDirectory() as directory:
            _live(Path(directory), script, first, echo=echo, linger=linger)
    finally:
        logging.getLogger("pivoice").removeHandler(errors)

    assert not errors.tracebacks, errors.tracebacks[0]


def _live(directory: Path, script: Script, first: list[str], *, echo: str, linger: bool) -> None:
    async def main(loop: JumpLoop) -> None:
        toml = (
            f'[audio]\necho = "{echo}"\n[agent]\nlinger = {str(linger).lower()}\n'
            f'ledger_file = "{directory}/ledger.json"\n'
        )
        detectors = (SimulatedDetector(), SimulatedDetector())
        world = World(loop, directory, config.parse(toml), answering("agent_short"), detectors)
        server = AnyServer(first)
        world.agent = server  # type: ignore[assignment]
        await world.set_up()
        world.mic.say(rising_room(MIC_HZ), at_s=0.0)
        try:
            await asyncio.sleep(4)
            for (kind, what), pause_s in [((("user"), "wake"), 0.5), *script]:
                await _do(world, server, kind, what)
                await asyncio.sleep(pause_s)
                _check_state(world, server)
            await world.reach("idle", 400)  # the server is silent now: every wait has an end
            await asyncio.sleep(CLOSING_S)
            _check_state(world, server)
            assert not server.live, "IDLE has no session"
            _check_audio(world, server)
        finally:
            await world.tear_down()
        assert all(each.closed_s is not None for each in server.sockets)

    run_jumping(main)


async def _do(world: World, server: AnyServer, kind: str, what: Any) -> None:
    match kind:
        case "server":
            await server.send(what)
        case "server twice":
            await server.send(what)
            await server.send(what)
        case "user":
            world.daemon.post(USER[what])
        case "drop":
            server.drop()
        case "close":
            await server.close(what)
        case "garbage":
            await server.send("{")
            await server.send(b"\x00")


def _check_state(world: World, server: AnyServer) -> None:
    now_s = world.loop.time()
    assert server.most_live <= 1, "two sessions at once"
    state = world.line("state")
    if state["muted"] and now_s - state["time_s"] > SLACK_S:
        assert world.mic.in_use is None, "muted, and the microphone is open"
    if state["state"] == "idle" and now_s - state["time_s"] > CLOSING_S:
        assert not server.live, "IDLE, and a session is open"


def _check_audio(world: World, server: AnyServer) -> None:
    """No sample was heard while nobody was to be heard; the pre-roll is 0.3 s."""
    private = _stretches(world, lambda line: line["muted"] or line["state"] == "idle")
    muted = _stretches(world, lambda line: line["muted"])
    for socket in server.sockets:
        for arrived_s, samples in socket.audio:
            for heard_s in dates(samples):
                heard_s += 100 * ((arrived_s - heard_s) // 100)  # the room repeats itself
                for begin_s, end_s in muted:
                    assert not begin_s + SLACK_S < heard_s < end_s - SLACK_S, (
                        f"{heard_s}: muted {begin_s}-{end_s}"
                    )
                for begin_s, end_s in private:
                    assert not begin_s + SLACK_S < heard_s < end_s - 0.3 - SLACK_S, (
                        f"heard at {heard_s}, nobody had the floor {begin_s}-{end_s}"
                    )


def _stretches(world: World, holds: Any) -> list[tuple[float, float]]:
    """Return from when to when a property of the daemon's state held."""
    found, since_s = [], None
    lines = [line for line in world.lines if line["event"] == "state"]
    for line in lines:
        if holds(line) and since_s is None:
            since_s = line["time_s"]
        elif not holds(line) and since_s is not None:
            found.append((since_s, line["time_s"]))
            since_s = None
    return found if since_s is None else [*found, (since_s, world.loop.time())]


class _Errors(logging.Handler):
    """Collects what somebody had not thought of: every log record with a traceback."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.tracebacks: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[0] is not None:
            self.tracebacks.append(f"{record.getMessage()}: {record.exc_info[1]!r}")


def test_a_world_that_is_over_keeps_no_sound(tmp_path: Path):
    before = dict(simulated._devices)

    async def main(world: World) -> None:
        world.say(np.zeros(24_000, np.int16))
        await asyncio.sleep(2)

    live(main, tmp_path, toml='[wake]\nengine = "none"\n')

    assert simulated._devices == before
