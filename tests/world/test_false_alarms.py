"""Who speaks over a reply and does not mean to interrupt takes nothing from it; who means to gets silence.

What the speaker played is compared with what the agent sent, sample for sample. Without a canceller the
local ear's events are put in by hand, and the server hears the user directly; with one, both hear the user
through it, in a room in which the speaker sounds.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pivoice.agent.simulated_voice import load_voice, speech_directory
from pivoice.audio.mixer import DUCK_DB
from pivoice.audio.pcm import from_db
from pivoice.audio.resample import resampled
from pivoice.audio.simulated import Microphone, Speaker
from pivoice.turn.events import OnsetHeard
from tests.audio.fakes import find
from tests.support.rooms import LiveRoom, Room
from tests.support.speech import load_speech
from tests.support.world import MIC_HZ, World, answering, live

Samples = NDArray[np.int16]

WIRE_HZ, CARD_HZ = 24_000, 48_000
LEAD_S = 0.25  # of silence at the head of every reply of the simulated agent
NONE = '[audio]\necho = "none"\n'
WEBRTC = '[audio]\necho = "webrtc"\n'
REACTION_S = 0.065  # a period that is being mixed, two in the card, and a ramp
EAR_S = 0.13  # what a local ear takes to be sure


def cough() -> Samples:
    """Return two bursts of breath, 16 kHz: a server hears somebody, and takes it for nothing."""
    generator = np.random.default_rng(11)
    burst = generator.normal(0, 5000, MIC_HZ // 5) * np.hanning(MIC_HZ // 5)
    return np.concatenate([burst, np.zeros(MIC_HZ // 20), 0.7 * burst]).astype(np.int16)


def slam() -> Samples:
    """Return a door, 16 kHz: loud, low, gone in 300 ms."""
    generator = np.random.default_rng(12)
    at_s = np.arange(round(0.4 * MIC_HZ)) / MIC_HZ
    rumble = np.convolve(generator.normal(0, 1, len(at_s)), np.ones(40) / 40, "same")
    sound = rumble / np.abs(rumble).max() * np.exp(-at_s / 0.07)
    return np.asarray(20_000 * sound, np.int16)


def uhuh() -> Samples:
    return load_speech("user_uhuh").at_rate(MIC_HZ)


def sent(voice: str) -> Samples:
    """Return a reply of the simulated agent as the card has to play it."""
    samples = load_voice(speech_directory() / f"{voice}.wav").samples
    whole = np.concatenate([np.zeros(round(LEAD_S * WIRE_HZ), np.int16), samples])
    return resampled(whole, WIRE_HZ, CARD_HZ)


def ducks_in(heard: Samples, reply: Samples) -> list[tuple[float, float]]:
    """Return when (seconds of `reply`) it was not at full level, having asserted that it is all there.

    Every sample is where it belongs, at full level, or 15 dB softer, or on a ramp of 20 ms in between.
    """
    whole, part = reply.astype(np.int32), heard[: len(reply)].astype(np.int32)
    assert len(part) == len(whole), "the reply was not heard to its end"
    low = np.rint(whole * from_db(DUCK_DB)).astype(np.int32)
    unlike = np.flatnonzero(np.abs(part - whole) > 1)
    if not len(unlike):
        return []
    edges = np.flatnonzero(np.diff(unlike) > 0.25 * CARD_HZ)
    starts = [unlike[0], *unlike[edges + 1]]
    ends = [*unlike[edges], unlike[-1]]
    ramp = round(0.020 * CARD_HZ)
    for start, end in zip(starts, ends, strict=True):
        steady = slice(start + ramp, end - ramp)
        assert np.abs(part[steady] - low[steady]).max() <= 1, "neither at full level nor 15 dB softer"
        span = slice(start, end + 1)
        between = (np.minimum(low, whole) - 1 <= part) & (part <= np.maximum(low, whole) + 1)
        assert between[span].all(), "a ramp leaves the way from one level to the other"
    return [(start / CARD_HZ, end / CARD_HZ) for start, end in zip(starts, ends, strict=True)]


@dataclass
class Record:
    """What became of one reply, and of what was heard over it. Times are seconds since its first sample."""

    alarms: dict[str, float] = field(default_factory=dict)
    """When the local ear was sure, or when the sound began where nobody put that in by hand."""
    states: list[tuple[float, str, str]] = field(default_factory=list)
    """Every state, when it was entered, by what."""
    heard: Samples = field(default_factory=lambda: np.zeros(0, np.int16))
    replies: int = 0
    interruptions: int = 0
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def ducks(self) -> list[tuple[float, float]]:
        return ducks_in(self.heard, sent("agent_long"))

    def duck_of(self, alarm: str) -> tuple[float, float]:
        """Return the duck that began last before the sound of `alarm` was a second old."""
        return [duck for duck in self.ducks if duck[0] < self.alarms[alarm] + 1.0][-1]


def live_through(
    sounds: dict[str, tuple[float, Samples | None]],
    directory: Path,
    *,
    toml: str = NONE,
    room: Room | None = None,
    near_echo_db: float = 0.0,
) -> Record:
    """Let `sounds` (by name: seconds into the reply, 16 kHz or None for one that only the device hears)
    be heard over the long reply."""
    record, rooms = Record(), list[LiveRoom]()

    async def main(world: World) -> None:
        world.say("user_wake_time")
        await world.reach("speaking")
        first_s = float(world.line("playback", what="first_sample")["time_s"])
        for name, (at_s, sound) in sounds.items():
            if rooms and sound is not None:
                sound = rooms[0].user(sound, near_echo_db)
            if sound is not None:
                world.mic.say(sound, at_s=first_s + at_s)
            if not rooms:
                await asyncio.sleep(first_s + at_s + EAR_S - world.loop.time())
                world.daemon.post(OnsetHeard())
                at_s += EAR_S
            record.alarms[name] = at_s
        await world.reach("listening", 60)
        record.heard = world.heard(first_s, world.loop.time())
        record.replies = sum(each.get("what") == "first_sample" for each in world.lines)
        record.interruptions = sum(each["event"] == "interrupted" for each in world.lines)
        record.counts = asdict(world.daemon.turn.ducks)
        record.states = [
            (each["time_s"] - first_s, each["state"], each["cause"])
            for each in world.lines
            if each["event"] == "state" and each["time_s"] > first_s
        ]

    def furnish(microphone: Microphone, speaker: Speaker) -> None:
        if room:
            rooms.append(LiveRoom(room, microphone, speaker))

    live(main, directory, toml=toml, plan=answering("agent_long"), furnish=furnish)
    return record


def loud_after(from_s: float) -> float:
    """Return the first moment from `from_s` on at which the long reply is loud where an alarm needs it:
    where the local ear will be sure of it, and `onset_s` later."""
    reply, frame_s = sent("agent_long").astype(np.float64), 0.01
    frames = reply[: len(reply) // 480 * 480].reshape(-1, 480)
    loud = np.sqrt(np.mean(frames**2, axis=1)) > 300
    for frame in range(round(from_s / frame_s), len(loud)):
        sure = frame + round(EAR_S / frame_s)
        if loud[sure : sure + 8].all() and loud[sure + 70 : sure + 80].all():
            return frame * frame_s
    raise AssertionError("the reply is not loud enough to see a dip in it")


ALARMS: dict[str, tuple[float, Samples | None]] = {
    "nothing": (loud_after(1.0), None),
    "cough": (loud_after(4.0), cough()),
    "slam": (loud_after(8.5), slam()),
    "uh-huh": (loud_after(14.0), uhuh()),
}
HEARD = ["cough", "slam", "uh-huh"]


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    return live_through(ALARMS, tmp_path_factory.mktemp("alarms"))


def test_false_alarms_take_nothing_from_a_reply_and_say_nothing_twice(record: Record):
    assert len(record.ducks) == len(ALARMS)
    assert record.replies == 1
    assert record.interruptions == 0
    assert record.counts["came_back"] == len(ALARMS)
    assert record.counts["cut"] == record.counts["played_out"] == 0


@pytest.mark.parametrize("alarm", ALARMS)
def test_a_false_alarm_ducks_the_reply_at_once(record: Record, alarm: str):
    began_s, _ = record.duck_of(alarm)

    assert 0 <= began_s - record.alarms[alarm] <= REACTION_S


def test_what_only_the_device_heard_ducks_for_onset_s(record: Record):
    began_s, ended_s = record.duck_of("nothing")

    assert ended_s - began_s == pytest.approx(0.7 + 0.02, abs=0.025)


@pytest.mark.parametrize("alarm", HEARD)
def test_what_the_server_heard_too_ducks_until_it_has_fallen_silent(record: Record, alarm: str):
    _, ended_s = record.duck_of(alarm)
    began_s = record.alarms[alarm]

    causes = [cause for at_s, _, cause in record.states if began_s - 0.1 < at_s < ended_s + 0.1]
    assert causes == ["OnsetHeard", "DeadlinePassed"]
    assert 0.9 + 1.0 < ended_s - began_s < 2.5 + 0.7
    assert record.counts["confirmed"] == 3


@pytest.fixture(scope="module")
def cancelled(tmp_path_factory: pytest.TempPathFactory) -> Record:
    sounds = {alarm: ALARMS[alarm] for alarm in HEARD}
    return live_through(sounds, tmp_path_factory.mktemp("cancelled"), toml=WEBRTC, room=Room())


def test_through_a_canceller_false_alarms_take_nothing_from_a_reply_either(cancelled: Record):
    assert cancelled.ducks
    assert cancelled.replies == 1
    assert cancelled.interruptions == 0
    assert cancelled.counts["cut"] == cancelled.counts["played_out"] == 0
    assert cancelled.counts["came_back"] == cancelled.counts["on_suspicion"] + cancelled.counts["on_word"]


@pytest.mark.parametrize("alarm", ["cough", "uh-huh"])
def test_through_a_canceller_the_reply_ducks_for_who_speaks_over_it(cancelled: Record, alarm: str):
    began_s, _ = cancelled.duck_of(alarm)

    assert 0 < began_s - cancelled.alarms[alarm] < 0.4
    assert cancelled.counts["on_suspicion"] > 0, "the device itself heard nobody"


@pytest.mark.parametrize("room", [None, Room()], ids=["headphones", "canceller"])
def test_who_means_to_interrupt_gets_a_softer_reply_and_then_silence_for_good(
    tmp_path: Path, room: Room | None
):
    rooms: list[LiveRoom] = []

    async def main(world: World) -> None:
        world.say("user_wake_time")
        await world.reach("speaking")
        first_s = float(world.line("playback", what="first_sample")["time_s"])
        start_s = first_s + loud_after(4.0)
        words = load_speech("user_barge").at_rate(MIC_HZ)
        world.mic.say(rooms[0].user(words, 0.0) if rooms else words, at_s=start_s)
        await asyncio.sleep(start_s + EAR_S - world.loop.time())
        if not rooms:
            world.daemon.post(OnsetHeard())
        await world.until(lambda: world.has("interrupted"), 5)
        cut_s = float(world.line("interrupted")["time_s"])
        await world.reach("speaking")
        next_s = float(world.line("playback", what="first_sample")["time_s"])
        await world.reach("listening")

        reply = sent("agent_long")[: len(world.heard(first_s, cut_s))]
        ((began_s, ended_s),) = ducks_in(world.heard(first_s, cut_s), reply)
        assert 0 < first_s + began_s - start_s <= (0.4 if rooms else EAR_S + REACTION_S)
        assert first_s + ended_s == pytest.approx(cut_s, abs=0.1)
        assert cut_s - start_s < 1.5
        assert not np.any(world.heard(cut_s + REACTION_S, next_s - 0.001))
        assert find(sent("agent_tomorrow"), world.heard(next_s - 0.001, world.loop.time())) <= 48
        ducks = world.daemon.turn.ducks
        assert (ducks.on_suspicion + ducks.on_word, ducks.cut, ducks.came_back) == (1, 1, 0)

    def furnish(microphone: Microphone, speaker: Speaker) -> None:
        if room:
            rooms.append(LiveRoom(room, microphone, speaker))

    plan = answering("agent_long", "agent_tomorrow", stale_s=2.0)
    live(main, tmp_path, toml=WEBRTC if room else NONE, plan=plan, furnish=furnish)
