"""What `scripts/bench echo` measures through the whole daemon, in a conversation with the simulated agent.

Every function takes one cell of a row, runs in a process of its own, and returns what it counted. Replies are
asked for by `ctl say`, so that nobody needs to be heard for them.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Coroutine
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from echo_voices import second_agent
from numpy.typing import NDArray

from pivoice.agent.simulated import Plan, Turn
from pivoice.agent.simulated_voice import Voice
from tests.support.bed import resampled
from tests.support.duplex import furnish
from tests.support.judges import turns
from tests.support.rooms import CARD_HZ, RATE_HZ, LiveRoom, Room, speech_level
from tests.support.speech import load_speech
from tests.support.world import World, live

Samples = NDArray[np.int16]
T = TypeVar("T")

WIRE_HZ = 24_000
USER_WORDS = ("user_barge", "user_weather", "user_thanks", "user_wake_time", "user_mycroft")
TOML = """
[audio]
echo = "webrtc"
[wake]
engine = "none"
[agent]
half_dead_s = 0
"""
CONFIRMS_AFTER_300_MS = "[agent.turn_detection]\ninterruption_delay_ms = 300\n"
SOFTER = 0.25  # a reply ducked by 15 dB is at 0.18
_HEARD_LATE_S = 0.5
_SILENT = 30


def in_room(
    room: Room,
    main: Callable[[World, LiveRoom], Coroutine[Any, Any, T]],
    *,
    plan: Plan,
    toml: str = "",
    stalls: bool = True,
) -> T:
    """Run `main` beside a daemon in a conversation, in a room."""
    rooms: list[LiveRoom] = []

    async def run(world: World) -> T:
        await world.ask("wake")
        await world.until(lambda: world.has("state", link="up"), 10)
        result = await main(world, rooms[0])
        assert world.daemon.ears.attempts == 1, "the capture thread failed, and was deaf for a while"
        return result

    with tempfile.TemporaryDirectory() as folder:
        return live(
            run,
            Path(folder),
            toml=TOML + toml,
            plan=plan,
            furnish=lambda *cards: rooms.append(furnish(room, *cards, stalls=stalls)),
        )


def long_reply(voice: int = 0) -> Turn:
    """Return the long reply in one of two voices."""
    words = second_agent() if voice else load_speech("agent_long").at_rate(WIRE_HZ)
    return Turn(Voice(load_speech("agent_long").text, words))


class Replies(NamedTuple):
    """What went wrong while nobody but the agent spoke."""

    false_turns: int
    cuts: int
    ducks: int
    long_ducks: int
    seconds: float


def replies(room: Room, voice: int, seconds: float) -> Replies:
    """Let the agent speak for so long, heard by a server that interrupts, and by Silero."""

    async def main(world: World, _: LiveRoom) -> Replies:
        spoken_s = 0.0
        while spoken_s < seconds:
            spoken_s += await hear_reply(world)
        false = sum(len(turns(resampled(heard, WIRE_HZ, RATE_HZ))) for heard in _received(world))
        ducks = stretches(world, "yielding")
        return Replies(
            false,
            len(_told(world, "silence")),
            len(ducks),
            sum(end - start > 1 for start, end in ducks),
            spoken_s,
        )

    return in_room(room, main, plan=Plan(turns=[long_reply(voice)]))


async def hear_reply(world: World) -> float:
    """Ask for a reply, wait until it is over; return how long it was."""
    start_s = await begin_reply(world)
    await world.until(lambda: world.state not in ("speaking", "yielding"), 60)
    return world.loop.time() - start_s


async def begin_reply(world: World) -> float:
    """Ask for a reply; return when it is heard to begin."""
    if world.state == "idle":
        await world.ask("wake")
        await world.until(lambda: world.lines[-1].get("link") == "up" or world.state == "listening", 10)
    asked_s = world.loop.time()
    await world.ask("say", text="Go on.")
    return await audible_s(world, asked_s)


async def audible_s(world: World, since_s: float) -> float:
    """Return when, after `since_s`, the next reply is heard to begin."""
    await world.until(lambda: bool(_told(world, "first_audible", since_s)), 10)
    return _told(world, "first_audible", since_s)[0]


class Found(NamedTuple):
    """By near/echo ratio, how many of how many turns of the user were found in what the server got."""

    hits: dict[float, int]
    tries: dict[float, int]


def found(room: Room, ratios_db: tuple[float, ...], rounds: int) -> Found:
    """Have the user talk over the replies of a server that does not care."""

    async def main(world: World, live_room: LiveRoom) -> Found:
        said: list[tuple[float, float, float]] = []
        for number in range(rounds):
            start_s = await begin_reply(world)
            words = load_speech(USER_WORDS[number % 2]).at_rate(RATE_HZ)
            for place, ratio_db in enumerate(ratios_db):
                at_s = start_s + 4 + 5 * place
                world.mic.say(live_room.user(words, ratio_db), at_s=at_s)
                said.append((ratio_db, at_s, at_s + len(words) / RATE_HZ))
            await world.until(lambda: world.state not in ("speaking", "yielding"), 60)
        heard_s = heard_turns(world)
        hits, tries = dict.fromkeys(ratios_db, 0), dict.fromkeys(ratios_db, 0)
        for ratio_db, begun_s, ended_s in said:
            tries[ratio_db] += 1
            hits[ratio_db] += any(begun_s <= each <= ended_s + _HEARD_LATE_S for each in heard_s)
        return Found(hits, tries)

    return in_room(room, main, plan=Plan(turns=[long_reply()], deaf=True))


def duck_delays(room: Room, ratio_db: float, count: int, is_first: bool) -> list[float]:
    """Return seconds from each onset of the user until the reply is not heard at full level any more.

    Infinite where that did not come within 2 s. Measured on the samples that were played. `is_first`: already
    in the first reply of all, when nobody can know yet what this room's echo leaves.
    """

    async def main(world: World, live_room: LiveRoom) -> list[float]:
        delays: list[float] = []
        world.daemon.turn.suspicions = 1000  # the server is deaf, so that each of many words is judged alone
        if not is_first:
            await hear_reply(world)
        while len(delays) < count:
            start_s = await begin_reply(world)
            onsets = []
            for place in range(min(3, count - len(delays))):
                words = load_speech(USER_WORDS[(len(delays) + place) % 5]).at_rate(RATE_HZ)
                spoken, at_s = live_room.user(words, ratio_db), start_s + 5.5 + 4.6 * place
                world.mic.say(spoken, at_s=at_s)
                onsets.append(at_s + onset_s(spoken))
            await world.until(lambda: world.state not in ("speaking", "yielding"), 60)
            delays += [ducked_s(world, each) - each for each in onsets]
        return delays

    return in_room(room, main, plan=Plan(turns=[long_reply()], deaf=True))


def ducked_s(world: World, onset_s: float) -> float:
    """Return when the long reply was last heard at full level before it was ducked, after `onset_s`.

    Infinite if it was not softer by 12 dB within 2 s; `onset_s` if it was in a pause until then.
    """
    played = world.heard(onset_s - 1.0, onset_s + 2.0).astype(np.float64)
    begun_s = max(each for each in _told(world, "first_sample") if each < onset_s)
    # the speaker may have run dry meanwhile: the last second before the onset tells by how much
    known, longest = CARD_HZ, round(0.3 * CARD_HZ)
    place = round((onset_s - 1.0 - begun_s) * CARD_HZ) - longest
    expected = _full_reply()[place : place + len(played) + 2 * longest].astype(np.float64)
    match = np.correlate(expected[: known + 2 * longest : 4], played[:known:4])
    expected = expected[4 * int(np.argmax(match)) :]
    full = known
    for first in range(known, min(len(played), len(expected)) - 240, 240):
        one, other = (np.sqrt(np.mean(sound[first : first + 240] ** 2)) for sound in (played, expected))
        if other > 100 and one < SOFTER * other:
            return onset_s - 1.0 + full / CARD_HZ
        full = first + 240 if other > 100 else full
    return float("inf")


@lru_cache
def _full_reply() -> Samples:
    """Return the long reply as it leaves the speaker when nobody speaks."""
    lead = np.zeros(round(Plan([]).lead_s * WIRE_HZ), np.int16)
    return resampled(np.concatenate([lead, long_reply().voice.samples]), WIRE_HZ, CARD_HZ)


def cut_delays(room: Room, ratios_db: tuple[float, ...]) -> list[float]:
    """Return seconds from each onset of the user to the reply's last sample, the server confirming.

    Infinite where the reply was not cut within 4 s.
    """

    async def main(world: World, live_room: LiveRoom) -> list[float]:
        delays: list[float] = []
        start_s = await begin_reply(world)
        for number, ratio_db in enumerate(ratios_db):
            spoken = live_room.user(load_speech(USER_WORDS[number % 2]).at_rate(RATE_HZ), ratio_db)
            world.mic.say(spoken, at_s=start_s + 5)
            begun_s = start_s + 5 + onset_s(spoken)
            await asyncio.sleep(begun_s + 4 - world.loop.time())
            delays.append(silent_s(world, begun_s) - begun_s)
            if delays[-1] == float("inf"):
                await world.until(lambda: world.state not in ("speaking", "yielding"), 60)
                start_s = await begin_reply(world)
            else:  # the server answers, and that is interrupted next
                start_s = await audible_s(world, begun_s)
        return delays

    return in_room(room, main, plan=Plan(turns=[long_reply()]), toml=CONFIRMS_AFTER_300_MS)


def silent_s(world: World, after_s: float) -> float:
    """Return when the reply that was cut after `after_s` sounded last; infinite if none was."""
    if not _told(world, "silence", after_s):
        return float("inf")
    next_s = min(_told(world, "first_sample", after_s), default=after_s + 4)
    loud = np.flatnonzero(np.abs(world.heard(after_s, next_s).astype(np.int32)) > _SILENT)
    return after_s + (int(loud[-1]) + 1 if len(loud) else 0) / CARD_HZ


class Alarm(NamedTuple):
    """What a noise did to a reply that nobody interrupted."""

    cuts: int
    ducks: int
    wrong_s: float
    """How much of the reply was not played as it should be: at full level, or ducked."""


def false_alarm(room: Room, sound: str) -> Alarm:
    """Have something be heard over a reply that is no interruption: "cough", "slam", or "uh-huh"."""

    async def main(world: World, live_room: LiveRoom) -> Alarm:
        start_s = await begin_reply(world)
        for place in range(3):
            world.mic.say(live_room.user(noise_of(sound), -3.0), at_s=start_s + 4 + 5 * place)
        await world.until(lambda: world.state not in ("speaking", "yielding"), 60)
        begun_s = _told(world, "first_sample")[0]
        played = world.heard(begun_s, begun_s + len(_full_reply()) / CARD_HZ)
        cuts = len(_told(world, "silence"))
        return Alarm(cuts, len(stretches(world, "yielding")), _wrong_s(played, _full_reply()))

    toml = "[agent.turn_detection]\ninterruption_delay_ms = 1000\n"
    return in_room(room, main, plan=Plan(turns=[long_reply()]), toml=toml, stalls=False)


def noise_of(sound: str) -> Samples:
    """Return a sound, 16 kHz, that is no turn."""
    if sound == "uh-huh":
        return load_speech("user_uhuh").at_rate(RATE_HZ)
    generator = np.random.default_rng(len(sound))
    seconds, fall_s = {"cough": (0.35, 0.1), "slam": (0.5, 0.06)}[sound]
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    noise = generator.normal(0, 1, len(time_s))
    if sound == "slam":
        noise = np.convolve(noise, np.ones(40) / 40, "same") * 6  # most of it below 400 Hz
    return np.asarray(np.clip(9000 * noise * np.exp(-time_s / fall_s), -32768, 32767), np.int16)


def onset_s(spoken: Samples) -> float:
    """Return how long after its first sample a voice can be heard: within 10 dB of its level."""
    frames = spoken[: len(spoken) // 160 * 160].reshape(-1, 160) / 32768
    levels = np.sqrt(np.mean(frames**2, axis=1))
    return float(np.flatnonzero(levels > 0.316 * speech_level(spoken / 32768))[0]) * 0.01


def stretches(world: World, state: str) -> list[tuple[float, float]]:
    """Return from when to when the daemon was in `state`."""
    found: list[tuple[float, float]] = []
    since_s: float | None = None
    for each in world.lines:
        if each["event"] != "state":
            continue
        if each["state"] == state:
            since_s = float(each["time_s"]) if since_s is None else since_s
        elif since_s is not None:
            found.append((since_s, float(each["time_s"])))
            since_s = None
    return found


def heard_turns(world: World) -> list[float]:
    """Return when Silero heard turns in what the server got, on the clock of the world: as it arrived."""
    times: list[float] = []
    for session in world.agent.sessions.values():
        arrived_s, sizes = (np.array(each) for each in zip(*session.arrivals, strict=True))
        ends = np.cumsum(sizes // 2)
        heard = resampled(np.frombuffer(bytes(session.received), np.int16), WIRE_HZ, RATE_HZ)
        places = np.searchsorted(ends, [begun_s * WIRE_HZ for begun_s in turns(heard)], side="right")
        times += [float(each) for each in arrived_s[places]]
    return times


def _wrong_s(played: Samples, expected: Samples) -> float:
    """Return for how long `played` is not `expected`, at whatever level it was."""
    usable = min(len(played), len(expected)) // 240 * 240
    one, other = (sound[:usable].reshape(-1, 240).astype(np.float64) for sound in (played, expected))
    power = np.sum(other**2, axis=1)
    level = np.sum(one * other, axis=1) / (power + 1e-9)
    left = np.sum((one - level[:, None] * other) ** 2, axis=1)
    is_wrong = (power > 240 * 100**2) & ((left > 0.1 * level**2 * power) | (level < 0.1))
    return float(np.count_nonzero(is_wrong)) * 240 / CARD_HZ


def _received(world: World) -> list[Samples]:
    return [np.frombuffer(bytes(each.received), np.int16) for each in world.agent.sessions.values()]


def _told(world: World, what: str, since_s: float = 0.0) -> list[float]:
    """Return when, from `since_s` on, the playback thread told of `what`."""
    playback = (each for each in world.lines if each["event"] == "playback")
    return [float(each["time_s"]) for each in playback if each["what"] == what and each["time_s"] >= since_s]
