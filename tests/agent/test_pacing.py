"""The way up: at its pace, nothing of a voice lost, and silence left out where time must be made up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pivoice.agent import wire
from pivoice.agent.backlog import Backlog, Chunk
from pivoice.agent.pacing import (
    CHUNK_FRAMES,
    CHUNK_S,
    GUARD_CHUNKS,
    LAG_CHUNKS,
    PAUSE_CHUNKS,
    Sender,
)
from pivoice.agent.voicing import Sound, Voicing
from pivoice.audio.buffers import Uplink
from pivoice.errors import LinkError
from pivoice.simulation import JumpLoop, run_jumping
from tests.agent.utterances import RATE_HZ, noise, words

SILENT, UNSURE, VOICED = Sound.SILENT, Sound.UNSURE, Sound.VOICED


class Link:
    """A connection that keeps what is sent, and when."""

    def __init__(self, loop: JumpLoop) -> None:
        self.got: list[tuple[float, bytes]] = []
        self.lost_bytes = 0
        self.is_closed = False
        self._loop = loop

    async def send(self, message: wire.InputAudio) -> None:
        if self.is_closed:
            raise LinkError("the connection is closed")
        self.got.append((self._loop.time(), message.audio))

    def progress(self) -> tuple[int, int]:
        sent = sum(len(pcm) for _, pcm in self.got)
        return sent, sent - self.lost_bytes

    @property
    def chunks(self) -> list[bytes]:
        return [pcm for _, pcm in self.got]


class Way:
    """A microphone, an Uplink, a sender and a link."""

    def __init__(self, loop: JumpLoop, *, rate: float) -> None:
        self.loop = loop
        self.slow: list[float] = []
        self.uplink = Uplink(capacity_s=6.3)
        self.sender = Sender(
            self.uplink,
            catch_up_rate=rate,
            now_s=loop.time,
            on_slow=lambda: self.slow.append(loop.time()),
        )
        self.uplink.on_ready = self.sender.wake
        self.link = Link(loop)
        self._tasks: list[asyncio.Task[None]] = []

    def connect(self) -> None:
        self.link = Link(self.loop)
        self._tasks.append(asyncio.create_task(self.sender.run(self.link)))  # type: ignore[arg-type]

    async def disconnect(self) -> None:
        self._tasks[-1].cancel()
        await asyncio.wait(self._tasks[-1:])

    def ended(self) -> BaseException | None:
        """Return what the sender died of."""
        return self._tasks[-1].exception() if self._tasks[-1].done() else None

    async def speak(self, samples: np.ndarray) -> None:
        """Put `samples`, in whole chunks, at real time."""
        for start in range(0, len(samples), CHUNK_FRAMES):
            self.uplink.put(samples[start : start + CHUNK_FRAMES])
            await asyncio.sleep(CHUNK_S)


def on_the_way(script: Callable[[Way], Awaitable[None]], *, rate: float) -> None:
    async def main(loop: JumpLoop) -> None:
        way = Way(loop, rate=rate)
        await script(way)
        await way.disconnect()

    run_jumping(main)


def room(seconds: float, level_dbfs: float, *, seed: int = 1) -> np.ndarray:
    """The noise of a room: pink, with a hum."""
    count = round(seconds * RATE_HZ)
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(size=count))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    sound = np.fft.irfft(spectrum, count)
    sound = sound / sound.std() + np.sin(2 * np.pi * 50 * np.arange(count) / RATE_HZ)
    return sound / sound.std() * 32768 * 10 ** (level_dbfs / 20)


def talk_in_a_room(level_dbfs: float, *, pause_s: float = 4.0, times: int = 3) -> tuple[np.ndarray, set[int]]:
    """Return speech with pauses in a room's noise, in whole chunks, and which chunks hold speech."""
    pause = np.zeros(round(pause_s * RATE_HZ))
    parts = [words("user_weather"), pause, words("user_wake_time") * 0.5, pause]
    clean = np.concatenate(parts * times).astype(float)
    clean = clean[: len(clean) // CHUNK_FRAMES * CHUNK_FRAMES]
    heard = np.clip(clean + room(len(clean) / RATE_HZ, level_dbfs), -32768, 32767).astype(np.int16)
    peaks = np.abs(clean.reshape(-1, CHUNK_FRAMES)).max(axis=1)
    return heard, set(np.flatnonzero(peaks > 0).tolist())


def chunks_of(samples: np.ndarray) -> list[bytes]:
    return [each.tobytes() for each in samples.astype("<i2").reshape(-1, CHUNK_FRAMES)]


# --- what is silence ---


@pytest.mark.parametrize("level_dbfs", [-60.0, -50.0, -40.0])
def test_a_rooms_noise_is_silence_and_speech_in_it_is_not(level_dbfs: float):
    heard, spoken = talk_in_a_room(level_dbfs)
    voicing = Voicing(chunk_s=CHUNK_S)

    sounds = [voicing.judge(chunk) for chunk in heard.reshape(-1, CHUNK_FRAMES)]

    pauses = [sound for at, sound in enumerate(sounds) if at not in spoken]
    loud = [
        sound
        for at, sound in enumerate(sounds)
        if at in spoken and np.abs(heard[at * CHUNK_FRAMES :][:CHUNK_FRAMES]).max() > 6000
    ]
    assert pauses.count(SILENT) > 0.95 * len(pauses)
    assert pauses.count(VOICED) == 0
    assert loud.count(SILENT) == 0
    assert loud.count(VOICED) > 0.8 * len(loud)


def test_a_steady_noise_is_no_voice_and_a_loud_one_no_silence():
    for level_dbfs, expected in ((-45.0, SILENT), (-25.0, UNSURE)):
        voicing = Voicing(chunk_s=CHUNK_S)

        sounds = [voicing.judge(chunk) for chunk in noise_at(level_dbfs, 8.0)]

        assert set(sounds[25:]) == {expected}


def test_a_voice_that_comes_before_any_silence_is_not_taken_for_the_rooms_noise():
    voicing = Voicing(chunk_s=CHUNK_S)

    sounds = [voicing.judge(chunk) for chunk in noise_at(-45.0, 0.4)]

    assert SILENT not in sounds


def test_zeros_in_place_of_sound_teach_nothing_about_the_room():
    voicing = Voicing(chunk_s=CHUNK_S)
    for chunk in noise_at(-45.0, 2.0):
        voicing.judge(chunk)

    zeros = [voicing.judge(np.zeros(CHUNK_FRAMES, np.int16)) for _ in range(50)]
    after = [voicing.judge(chunk) for chunk in noise_at(-45.0, 1.0)]

    assert set(zeros) == set(after) == {SILENT}


def noise_at(level_dbfs: float, seconds: float) -> np.ndarray:
    count = round(seconds / CHUNK_S)
    sound = np.random.default_rng(5).normal(size=(count, CHUNK_FRAMES)) * 32768 * 10 ** (level_dbfs / 20)
    return sound.astype(np.int16)


# --- what is left out ---


def backlog_of(sounds: str, *, capacity: int = 1000) -> Backlog:
    """One letter per chunk: s(ilent), u(nsure), v(oiced)."""
    kinds = {"s": SILENT, "u": UNSURE, "v": VOICED}
    backlog = Backlog(capacity=capacity, pause=3, guard=2)
    for number, letter in enumerate(sounds):
        backlog.add(Chunk(str(number).encode(), kinds[letter]))
    return backlog


def taken(backlog: Backlog, *, wanted: int | None = None) -> list[int]:
    numbers = []
    while True:
        if wanted is not None:
            backlog.shorten(wanted)
        chunk = backlog.take()
        if chunk is None:
            return numbers
        numbers.append(int(chunk.pcm))


def test_the_beginning_of_a_pause_and_what_lies_before_a_voice_stay():
    backlog = backlog_of("vv" + "ssssssssss" + "vvvvv")

    assert taken(backlog, wanted=0) == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14, 15, 16]
    assert backlog.skipped == 5


def test_no_more_silence_is_left_out_than_is_wanted():
    backlog = backlog_of("v" + "s" * 20)

    assert taken(backlog, wanted=15) == [0, 1, 2, 3, *range(6, 21)]


def test_what_may_be_a_voice_is_never_left_out():
    backlog = backlog_of("ssssssu" * 4)

    numbers = taken(backlog, wanted=0)

    assert {6, 13, 20, 27} <= set(numbers)


def test_over_its_capacity_the_oldest_silence_goes_first_and_then_the_oldest_audio():
    backlog = backlog_of("vvvvv" + "ssssssssss" + "vvvvv", capacity=12)

    numbers = taken(backlog)

    assert numbers == [2, 3, 4, 5, 6, 13, 14, 15, 16, 17, 18, 19]
    assert (backlog.dropped_silence, backlog.dropped) == (6, 2)


class LookedAt(Chunk):
    """A chunk that counts how often its kind is asked for."""

    times = 0

    @property
    def is_silent(self) -> bool:
        LookedAt.times += 1
        return super().is_silent


def test_half_a_minute_put_back_over_a_full_backlog_does_not_hold_up_the_loop():
    backlog = Backlog(capacity=750, pause=25, guard=5)
    half_a_minute = [LookedAt(b"", SILENT if number % 100 < 40 else VOICED) for number in range(750)]
    for chunk in half_a_minute:
        backlog.add(chunk)
    LookedAt.times = 0

    backlog.put_back(half_a_minute)

    assert len(backlog) == 750
    assert LookedAt.times <= 2 * 1500


@given(st.text("suv", max_size=80), st.integers(5, 30))
def test_a_full_backlog_loses_speech_only_when_no_spare_silence_is_left(sounds: str, capacity: int):
    backlog = backlog_of(sounds, capacity=capacity)
    lost = max(0, len(sounds) - capacity)

    numbers = taken(backlog)

    assert numbers == sorted(numbers)
    assert len(numbers) == min(capacity, len(sounds))
    assert backlog.dropped + backlog.dropped_silence == lost
    assert not backlog.skipped


@given(st.text("suv", max_size=80), st.integers(0, 20))
def test_shortening_keeps_everything_but_silence_in_order(sounds: str, wanted: int):
    backlog = backlog_of(sounds)

    numbers = taken(backlog, wanted=wanted)

    assert numbers == sorted(numbers)
    left_out = set(range(len(sounds))) - set(numbers)
    assert all(sounds[number - 3 : number + 3] == "ssssss" for number in left_out)
    assert len(left_out) == backlog.skipped


# --- the pace ---


@pytest.mark.parametrize("level_dbfs", [-58.0, -50.0, -42.0])
def test_at_real_time_a_lag_shrinks_in_the_pauses_and_no_speech_is_lost(level_dbfs: float):
    heard, spoken = talk_in_a_room(level_dbfs)
    chunks = chunks_of(heard)

    async def script(way: Way) -> None:
        speaking = asyncio.create_task(way.speak(heard))
        await asyncio.sleep(6.0)  # so long does connecting take
        way.connect()
        await speaking
        await asyncio.sleep(0.4)

        kept = [chunks.index(chunk) for chunk in way.link.chunks]
        assert kept == sorted(set(kept)), "out of order, or twice"
        missing = spoken - set(kept)
        assert not missing, f"{len(missing)} of {len(spoken)} chunks of speech never arrived"
        assert 5.0 < way.sender.skipped_frames / RATE_HZ < 6.5
        assert way.sender.status()["waiting_s"] <= LAG_CHUNKS * CHUNK_S
        steps = [later - earlier for (earlier, _), (later, _) in pairwise(way.link.got)]
        assert min(steps[1:]) > 0.039

    on_the_way(script, rate=1.0)


def test_a_quiet_consonant_before_a_word_after_a_pause_is_not_left_out():
    word = words("user_uhuh")[: CHUNK_FRAMES * 8]
    hiss = np.diff(np.random.default_rng(9).normal(size=4 * CHUNK_FRAMES + 1)) * 32768 * 10 ** (-52.0 / 20)
    clean = np.concatenate([word, np.zeros(5 * RATE_HZ), hiss, word])  # a hiss no louder than the room
    heard = (clean + room(len(clean) / RATE_HZ, -46.0)).astype(np.int16)

    async def script(way: Way) -> None:
        for chunk in heard.reshape(-1, CHUNK_FRAMES):
            way.uplink.put(chunk)
        way.connect()
        await asyncio.sleep(10.0)

        assert way.sender.skipped_frames > 2 * RATE_HZ
        assert way.link.chunks[-12:] == chunks_of(heard)[-12:]

    on_the_way(script, rate=1.0)


def test_above_real_time_nothing_is_left_out():
    heard, _ = talk_in_a_room(-50.0)

    async def script(way: Way) -> None:
        speaking = asyncio.create_task(way.speak(heard))
        await asyncio.sleep(6.0)
        way.connect()
        await speaking
        await asyncio.sleep(1.0)

        assert way.link.chunks == chunks_of(heard)
        assert way.sender.skipped_frames == 0

    on_the_way(script, rate=2.0)


def test_the_first_second_of_every_pause_goes_up():
    heard, spoken = talk_in_a_room(-50.0, times=1)
    chunks = chunks_of(heard)
    pause = next(at for at in range(1, len(chunks)) if at not in spoken and at - 1 in spoken)

    async def script(way: Way) -> None:
        await way.speak(heard[: 10 * RATE_HZ])
        way.connect()
        await asyncio.sleep(12.0)

        first_second = set(chunks[pause : pause + PAUSE_CHUNKS])
        assert first_second <= set(way.link.chunks)
        assert way.sender.skipped_frames > 0

    on_the_way(script, rate=1.0)


# --- sent again ---


def test_after_a_complaint_the_last_second_is_sent_again_at_real_time():
    spoken = noise(20.0)

    async def script(way: Way) -> None:
        speaking = asyncio.create_task(way.speak(spoken))
        await asyncio.sleep(4.0)
        way.connect()
        await asyncio.sleep(2.0)
        before = len(way.link.got)

        way.sender.rewind()
        way.sender.rewind()  # the server complains of each message
        complained_s = way.loop.time()
        await asyncio.sleep(4.0)

        again = way.link.got[before:]
        last_second = [pcm for at_s, pcm in way.link.got[:before] if at_s >= complained_s - 1.0]
        assert [pcm for _, pcm in again[: len(last_second)]] == last_second
        assert again[0][0] >= complained_s + 1.0, "the server needs a rest"
        assert all(later - earlier > 0.039 for (earlier, _), (later, _) in pairwise(again))
        assert way.sender.rewinds == 1
        assert way.slow == [complained_s]
        speaking.cancel()

    on_the_way(script, rate=2.0)


def test_a_complaint_that_came_a_long_way_is_about_more_than_the_last_second():
    spoken = noise(20.0)

    async def script(way: Way) -> None:
        speaking = asyncio.create_task(way.speak(spoken))
        await asyncio.sleep(4.0)
        way.connect()
        await asyncio.sleep(2.6)
        under_way = 60  # chunks: 1.2 s at twice real time
        way.link.lost_bytes = under_way * 2 * CHUNK_FRAMES
        await asyncio.sleep(CHUNK_S)
        before = len(way.link.got)

        way.sender.rewind()
        await asyncio.sleep(4.0)

        complained_of = way.link.chunks[before - under_way - 1]
        assert complained_of in way.link.chunks[before:]
        assert way.link.chunks[before] not in way.link.chunks[: before - under_way - 60]
        speaking.cancel()

    on_the_way(script, rate=2.0)


def test_a_microphone_that_cannot_be_taken_from_ends_the_sender():
    async def script(way: Way) -> None:
        way.connect()
        await asyncio.sleep(1.0)
        way.uplink.take_whole = lambda _: 1 / 0  # type: ignore[method-assign, assignment, return-value]

        with suppress(ZeroDivisionError):
            way.sender.wake()
        await asyncio.sleep(0.1)

        assert isinstance(way.ended(), ZeroDivisionError)

    on_the_way(script, rate=2.0)


def test_what_was_transcribed_is_not_kept():
    async def script(way: Way) -> None:
        way.connect()
        await way.speak(noise(5.0))
        way.sender.transcribed()
        before = len(way.link.got)

        await way.disconnect()
        way.link.lost_bytes = 10**9
        way.sender.lose_link()
        way.connect()
        await asyncio.sleep(3.0)

        assert before == 125
        assert len(way.link.got) <= 26

    on_the_way(script, rate=4.0)


def test_words_that_were_not_transcribed_go_to_a_session_that_knows_nothing():
    old, new = words("user_wake_time"), words("user_weather")
    pause = np.zeros(6 * RATE_HZ, np.int16)

    async def script(way: Way) -> None:
        way.connect()
        await way.speak(np.concatenate([old, pause, new, pause[:RATE_HZ]]))
        await way.disconnect()

        way.sender.lose_link()
        way.sender.lose_session()
        way.connect()
        await asyncio.sleep(4.0)

        again = b"".join(way.link.chunks)
        assert new.tobytes() in again
        assert old[-CHUNK_FRAMES:].tobytes() not in again

    on_the_way(script, rate=4.0)


@pytest.mark.parametrize("name", ["user_weather", "user_barge", "user_wake_time"])
def test_words_spoken_at_once_go_whole_to_a_session_that_knows_nothing(name: str):
    spoken = words(name)
    onset = int(np.argmax(np.abs(spoken) > 800)) // CHUNK_FRAMES * CHUNK_FRAMES
    spoken = spoken[onset : onset + CHUNK_FRAMES * ((len(spoken) - onset) // CHUNK_FRAMES)]

    async def script(way: Way) -> None:
        way.connect()
        await way.speak(np.concatenate([spoken, np.zeros(RATE_HZ, np.int16)]))
        await way.disconnect()

        way.sender.lose_link()
        way.sender.lose_session()
        way.connect()
        await asyncio.sleep(4.0)

        assert spoken.tobytes() in b"".join(way.link.chunks)

    on_the_way(script, rate=4.0)


def test_a_session_that_knows_nothing_is_not_told_of_silence():
    async def script(way: Way) -> None:
        way.connect()
        await way.speak(np.zeros(5 * RATE_HZ, np.int16))
        await way.disconnect()

        way.sender.lose_link()
        way.sender.lose_session()
        way.connect()
        await asyncio.sleep(1.0)

        assert not way.link.got

    on_the_way(script, rate=4.0)


def test_a_chunk_that_a_closed_link_refused_goes_up_on_the_next():
    spoken = noise(3.0)

    async def script(way: Way) -> None:
        way.connect()
        await way.speak(spoken[:RATE_HZ])
        first = way.link
        first.is_closed = True
        await way.speak(spoken[RATE_HZ:])
        await way.disconnect()

        way.sender.lose_link()
        way.connect()
        await asyncio.sleep(3.0)

        assert first.chunks + way.link.chunks == chunks_of(spoken)

    on_the_way(script, rate=2.0)


def test_what_was_sent_before_the_uplink_was_cleared_is_not_sent_again():
    after = noise(1.0, seed=2)

    async def script(way: Way) -> None:
        way.connect()
        way.link.lost_bytes = 100_000  # all of it
        await way.speak(noise(1.0, seed=1))
        await way.disconnect()

        way.uplink.clear()  # a new conversation
        await way.speak(after)
        way.sender.lose_link()
        way.connect()
        await asyncio.sleep(2.0)

        assert way.link.chunks == chunks_of(after)

    on_the_way(script, rate=2.0)


# --- what is counted ---


def test_a_voice_that_is_sent_twice_is_counted_once():
    async def script(way: Way) -> None:
        way.connect()
        await way.speak(words("user_weather"))
        once_s = way.sender.unheard_s

        way.sender.rewind()
        await asyncio.sleep(4.0)

        assert way.sender.rewinds == 1
        assert way.sender.unheard_s == once_s > 0.5

    on_the_way(script, rate=2.0)


def test_voice_that_nobody_noticed_is_counted_and_noise_is_not():
    async def script(way: Way) -> None:
        way.connect()
        await way.speak(room(6.0, -40.0).astype(np.int16)[: 149 * CHUNK_FRAMES])
        noise_s = way.sender.unheard_s
        spoken = words("agent_long")
        await way.speak(spoken)
        voice_s = way.sender.unheard_s

        way.sender.heard()

        assert noise_s == 0
        assert 10.0 < voice_s < len(spoken) / RATE_HZ
        assert way.sender.unheard_s == 0

    on_the_way(script, rate=2.0)


def test_what_waited_before_the_uplink_was_cleared_is_not_sent():
    before, after = noise(1.0, seed=1), noise(1.0, seed=2)

    async def script(way: Way) -> None:
        await way.speak(before)

        way.uplink.clear()  # a new conversation
        await way.speak(after)
        way.connect()
        await asyncio.sleep(2.0)

        assert way.link.chunks == chunks_of(after)

    on_the_way(script, rate=2.0)


def test_a_cleared_uplink_takes_back_what_was_staged_even_if_nothing_follows():
    async def script(way: Way) -> None:
        await way.speak(noise(1.0))

        way.uplink.clear()
        way.connect()
        await asyncio.sleep(2.0)

        assert not way.link.got

    on_the_way(script, rate=2.0)


def test_the_constants_fit_each_other():
    assert LAG_CHUNKS > GUARD_CHUNKS  # else nothing could be looked ahead at
    assert CHUNK_FRAMES % 240 == 0
