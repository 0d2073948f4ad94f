"""What befalls cards, detector and network in a soak, each as a context: it lasts as long as one is within.

Event loop only. `FAULTS` is all of them, by the part that they befall; two of the same part never overlap.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Any

import numpy as np

from pivoice.audio.simulated import Device
from tests.support.soak.ground import MIC_HZ, POLL_S, SoakWorld

During = AbstractAsyncContextManager[None]
Fault = Callable[[SoakWorld], During]

_STORM_GAP_S = 0.3
_NOISE = (3000 * np.sin(np.arange(MIC_HZ // 2) / 4)).astype(np.int16)


# --- cards ---


def _card(part: str, world: SoakWorld) -> Device:
    return world.mic if part == "microphone" else world.speaker


@asynccontextmanager
async def _unplugged(part: str, world: SoakWorld) -> AsyncIterator[None]:
    _card(part, world).unplug()
    try:
        yield
    finally:
        _card(part, world).replug()


@asynccontextmanager
async def _loose(part: str, world: SoakWorld) -> AsyncIterator[None]:
    """A plug that wobbles: out and in, and out, and in."""
    card = _card(part, world)
    for pause_s in (0.05, 0.3, 1.0, 2.0):
        card.unplug()
        await asyncio.sleep(pause_s)
        card.replug()
        await asyncio.sleep(pause_s)
    card.unplug()
    try:
        yield
    finally:
        card.replug()


@asynccontextmanager
async def _taken(part: str, world: SoakWorld) -> AsyncIterator[None]:
    """Pulled out for a moment, and when it is back another program has it."""
    card = _card(part, world)
    card.make_busy(True)
    card.unplug()
    await asyncio.sleep(0.3)
    card.replug()
    try:
        yield
    finally:
        card.make_busy(False)


@asynccontextmanager
async def _broken(reason: str, part: str, world: SoakWorld) -> AsyncIterator[None]:
    card = _card(part, world)
    card.break_(reason)
    try:
        yield
    finally:
        card.mend()


@asynccontextmanager
async def _stalled(part: str, world: SoakWorld) -> AsyncIterator[None]:
    """The card is there, and no period comes, or goes."""
    card = _card(part, world)
    card.stall(True)
    try:
        yield
    finally:
        card.stall(False)


@asynccontextmanager
async def _hung(part: str, world: SoakWorld) -> AsyncIterator[None]:
    """Calls of its driver do not return."""
    card = _card(part, world)
    card.wedge(True)
    try:
        yield
    finally:
        card.wedge(False)


@asynccontextmanager
async def _missing_at_start(part: str, world: SoakWorld) -> AsyncIterator[None]:
    card = _card(part, world)
    card.unplug()
    with suppress(OSError, ValueError):  # the daemon is just being replaced
        await world.ask("reload")
    try:
        yield
    finally:
        card.replug()


@asynccontextmanager
async def _stormy(part: str, world: SoakWorld) -> AsyncIterator[None]:
    card = _card(part, world)
    card.storm(True)
    try:
        yield
    finally:
        card.storm(False)


@asynccontextmanager
async def _overrun(part: str, world: SoakWorld) -> AsyncIterator[None]:
    """An xrun now and then."""
    card, is_over = _card(part, world), asyncio.Event()

    async def ask() -> None:
        while not is_over.is_set():
            card.request_xrun()
            await asyncio.sleep(_STORM_GAP_S)

    asking = asyncio.create_task(ask())
    try:
        yield
    finally:
        is_over.set()
        await asking
        card.xrun_wanted = False


@asynccontextmanager
async def _jammed(world: SoakWorld) -> AsyncIterator[None]:
    """The detector's code does not return: only another capture thread can hear. Sticks until it is over."""
    world.jam.arm()
    try:
        while world.jam.is_armed:  # until somebody is scored
            if not world.daemon.turn.muted:
                world.speak(_NOISE)
            await asyncio.sleep(1.0)
        yield
    finally:
        world.jam.release()


# --- network ---


@asynccontextmanager
async def _planned(world: SoakWorld, **switches: Any) -> AsyncIterator[None]:
    """The server behaves so, in every connection."""
    plan = world.agent.plan
    before = {name: getattr(plan, name) for name in (*switches, "fault_times")}
    for name, value in {**switches, "fault_times": 0}.items():
        setattr(plan, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(plan, name, value)
        if "close_code" in switches:
            world.agent.drop()  # or what waits for its time would close with no code at all


def _server(**switches: Any) -> Fault:
    return partial(_planned, **switches)


@asynccontextmanager
async def _dropping(world: SoakWorld) -> AsyncIterator[None]:
    """A Wi-Fi at the edge: every link breaks within seconds."""
    is_over = asyncio.Event()

    async def drop() -> None:
        while not is_over.is_set():
            await asyncio.sleep(2.5)
            world.agent.drop()

    dropping = asyncio.create_task(drop())
    try:
        yield
    finally:
        is_over.set()
        await dropping


@asynccontextmanager
async def _dropped_once(world: SoakWorld) -> AsyncIterator[None]:
    world.agent.drop()
    yield


@asynccontextmanager
async def _frozen(world: SoakWorld) -> AsyncIterator[None]:
    """What is open goes dead without a word, and what is opened does."""
    world.agent.go_silent()
    async with _planned(world, silent_after_s=0.0):
        yield
    world.agent.drop()


@contextmanager
def _no_way(world: SoakWorld, connect: Callable[..., Any]) -> Iterator[None]:
    world.loop.create_connection = connect  # type: ignore[method-assign]
    world.agent.drop()
    try:
        yield
    finally:
        del world.loop.create_connection


def _unreachable(error: OSError) -> Fault:
    @asynccontextmanager
    async def during(world: SoakWorld) -> AsyncIterator[None]:
        async def connect(*_: object, **__: object) -> None:
            await asyncio.sleep(POLL_S)
            raise error

        with _no_way(world, connect):
            yield

    return during


@asynccontextmanager
async def _swallowed(world: SoakWorld) -> AsyncIterator[None]:
    """Packets go nowhere: connecting neither succeeds nor fails."""
    is_over = asyncio.Event()
    connect = world.loop.create_connection

    async def wait(*given: Any, **options: Any) -> Any:
        await is_over.wait()
        return await connect(*given, **options)

    with _no_way(world, wait):
        yield
    is_over.set()


def _card_faults(part: str) -> dict[str, Fault]:
    faults: dict[str, Callable[..., During]] = {
        "unplugged": _unplugged,
        "loose": _loose,
        "missing at start": _missing_at_start,
        "driver hangs": _hung,
        "taken": _taken,
        "stalled": _stalled,
        "xrun storm": _stormy,
        "xruns": _overrun,
        "sound server died": partial(_broken, "Input/output error"),
        "host is down": partial(_broken, "Host is down"),
    }
    return {f"{part} {name}": partial(fault, part) for name, fault in faults.items()}


_CLOSES = (1000, 1001, 1008, 1011, 1012, 3005, 3007, 4000)

FAULTS: dict[str, dict[str, Fault]] = {
    "microphone": {**_card_faults("microphone"), "detector stuck": _jammed},
    "speaker": _card_faults("speaker"),
    "network": {
        "dropped once": _dropped_once,
        "dropping": _dropping,
        "frozen": _frozen,
        "swallows packets": _swallowed,
        "unreachable": _unreachable(OSError(errno.ENETUNREACH, "Network is unreachable")),
        "refused": _unreachable(ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")),
        "no name server": _unreachable(socket.gaierror(socket.EAI_AGAIN, "Temporary failure")),
        **{f"http {status}": _server(http_status=status) for status in (404, 429, 500, 503)},
        "at capacity": _server(error="at_capacity"),
        "internal error": _server(error="internal_error"),
        "key refused": _server(error="unauthorized"),
        "never ready": _server(never_ready=True),
        "slow": _server(ready_delay_s=6.0, reply_delay_s=4.0, silence_s=2.5),
        "resume refused": _server(refuse_resume="close", drop_after_s=0.5),
        "resume left open": _server(refuse_resume="open", drop_after_s=0.5),
        "deaf": _server(deaf=True),
        "ignores the end": _server(ignores_end=True),
        "stalls": _server(stall_s=6.0, stall_at_s=1.0),
        "garbage": _server(garbage=True, odd_chunks=True, duplicates=True),
        "expires": _server(expires_in_s=20.0),
        "dies": _server(silent_after_s=2.0, dead_link_s=8.0),
        "complains": _server(error_live="internal_error", error_live_at_s=2.0),
        **{f"closes with {code}": _server(close_code=code, close_at_s=1.5) for code in _CLOSES},
        "closes in replies": _server(close_code=1011, close_at_s=0.5, close_in_reply=True),
    },
}
"""By part, then by name."""
