"""The daemon in a world of its own: what is sent, what is played, what is open."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pivoice.turn.events import ButtonPressed, MuteChanged
from tests.support.speech import load_speech
from tests.support.world import World, answering, live

WEATHER = "And what will the weather be?"
NONE = '[audio]\necho = "none"\n'


def test_nothing_is_open_and_nothing_is_sent_before_the_wake_word(tmp_path: Path):
    async def main(world: World) -> None:
        world.say("user_weather")

        await asyncio.sleep(20)

        assert world.state == "idle"
        assert world.agent.connections == 0
        assert world.daemon.uplink.queued_s == 0

    live(main, tmp_path)


def test_silence_after_a_reply_closes_the_socket(tmp_path: Path):
    async def main(world: World) -> None:
        world.say("user_wake_time")
        await world.reach("speaking")

        await world.reach("idle")
        await asyncio.sleep(1)

        assert world.agent.open_sockets == 0
        await asyncio.sleep(31)  # what lingered is over
        assert not world.agent.open_sessions

    live(main, tmp_path)


def test_a_wake_within_the_window_resumes_the_conversation(tmp_path: Path):
    async def main(world: World) -> None:
        world.say("user_wake_time")
        await world.reach("speaking")
        await world.reach("idle")
        await asyncio.sleep(10)

        world.say("user_wake")
        await world.reach("listening")
        await world.until(lambda: world.daemon.turn.link.value == "up", 5)

        assert len(world.agent.sessions) == 1
        assert world.agent.session.resumes == 1

    live(main, tmp_path)


def test_a_refused_resume_opens_a_fresh_session_that_knows_the_last_turns(tmp_path: Path):
    async def main(world: World) -> None:
        world.say("user_wake_time")
        await world.reach("speaking")
        await world.reach("idle")

        world.agent.plan.refuse_resume = "open"
        world.say("user_wake")
        await world.reach("listening")
        await world.until(lambda: world.daemon.turn.link.value == "up", 8)
        await asyncio.sleep(2)

        assert len(world.agent.sessions) == 2
        assert load_speech("agent_short").text in world.agent.session.settings["system_prompt"]
        assert world.agent.open_sockets == 1

    live(main, tmp_path, plan=answering("agent_short"))


def test_the_next_words_cut_a_reply_that_was_wholly_sent(tmp_path: Path):
    """Sent in one burst, `reply.done` long past: the server has nothing left to interrupt."""

    async def main(world: World) -> None:
        world.say("user_wake_time")
        await world.reach("speaking")
        await asyncio.sleep(1.5)

        world.say("user_weather")
        await world.until(lambda: world.has("transcript", who="user", text=WEATHER, final=True), 10)
        cut_s = world.loop.time()

        assert world.state == "thinking"
        await asyncio.sleep(0.3)
        assert not np.any(world.heard(cut_s + 0.065, cut_s + 0.25))

    plan = answering("agent_long", "agent_weather", speed=0)
    plan.turns[1] = replace(plan.turns[1], user_text=WEATHER)
    live(main, tmp_path, toml=NONE, plan=plan)


def test_an_uh_huh_ducks_the_reply_and_loses_nothing_of_it(tmp_path: Path):
    async def main(world: World) -> np.ndarray:
        world.say("user_wake_time")
        began_s = await world.reach("speaking")
        await asyncio.sleep(2)

        world.say("user_uhuh")
        await world.reach("yielding")
        await world.reach("speaking")
        await world.reach("listening", 40)

        assert not world.has("interrupted")
        return world.heard(began_s - 0.2, world.loop.time())

    heard = live(main, tmp_path, toml=NONE, plan=answering("agent_long"))

    words = load_speech("agent_long").at_rate(48_000).astype(np.float64)
    got = heard.astype(np.float64)
    size = 1 << (len(words) + len(got)).bit_length()
    at = int(np.argmax(np.fft.irfft(np.fft.rfft(got, size) * np.conj(np.fft.rfft(words, size)))))
    unlike = []
    for begin in range(0, len(words) - 2400, 2400):
        expected, part = words[begin : begin + 2400], got[at + begin : at + begin + 2400]
        if np.abs(expected).max() > 1000 and np.corrcoef(expected, part)[0, 1] < 0.95:
            unlike.append(begin / 48_000)
    # the same place throughout: nothing lost, nothing twice; the level changes within two windows only
    assert len(unlike) <= 2, unlike


@pytest.mark.parametrize("how", ["reply.done", "transcript"])
def test_an_interruption_silences_the_reply_for_good_and_the_next_is_heard(tmp_path: Path, how: str):
    async def main(world: World) -> None:
        world.say("user_wake_time")
        await world.reach("speaking")
        await asyncio.sleep(2)

        world.say("user_barge")
        await world.until(lambda: world.has("interrupted"), 10)
        cut_s = world.line("interrupted")["time_s"]
        await world.reach("speaking")
        next_s = world.line("playback", what="first_sample")["time_s"]

        assert not np.any(world.heard(cut_s + 0.065, next_s - 0.001))
        await world.reach("listening")
        assert np.abs(world.heard(next_s, world.loop.time())).max() > 1000
        assert not world.agent.violations

    plan = answering("agent_long", "agent_tomorrow", stale_s=2.0, transcript_only=how == "transcript")
    live(main, tmp_path, toml=NONE, plan=plan)


def test_in_half_duplex_zeros_go_up_while_the_agent_is_audible_and_300_ms_longer(tmp_path: Path):
    """The room is loud all the time; what goes up is loud exactly while the agent is not audible."""

    async def main(world: World) -> None:
        world.say("user_wake_time")
        await world.reach("thinking")
        noise = np.random.default_rng(3).normal(0, 300, 24_000 * 12).astype(np.int16)
        noise_s, _ = world.say(noise)
        await world.reach("speaking")
        await world.reach("listening")
        await asyncio.sleep(1.0)

        agent, received = world.agent.session, world.received().astype(np.int32)
        first_s = world.line("playback", what="first_audible")["time_s"]
        played = np.abs(world.heard(first_s, world.loop.time()).astype(np.int32))
        last_s = first_s + np.flatnonzero(played > 33)[-1] / 48_000
        position, sent = 0, []
        for arrived_s, size in agent.arrivals:
            chunk = received[position : position + size // 2]
            position += size // 2
            sent.append((arrived_s, bool(np.any(chunk))))
        # a chunk is 40 ms and arrives when its last sample is 0-20 ms old
        during = [loud for at_s, loud in sent if first_s + 0.06 < at_s < last_s + 0.29]
        after = [loud for at_s, loud in sent if last_s + 0.3 + 0.09 < at_s < noise_s + 11]
        assert during and not any(during)
        assert after and all(after)

    live(main, tmp_path, plan=answering("agent_time"))


def test_in_half_duplex_the_button_interrupts(tmp_path: Path):
    async def main(world: World) -> None:
        world.say("user_wake_time")
        await world.reach("speaking")
        await asyncio.sleep(1)

        pressed_s = world.loop.time()
        world.daemon.post(ButtonPressed())
        await asyncio.sleep(0.5)

        assert world.state == "listening"
        assert not np.any(world.heard(pressed_s + 0.065, pressed_s + 0.4))

    live(main, tmp_path, plan=answering("agent_long"))


def test_the_agent_saying_the_wake_word_does_not_wake_the_device(tmp_path: Path):
    async def main(world: World) -> None:
        world.say("user_wake_time")
        started_s = await world.reach("speaking")
        # the room: what the speaker plays reaches the microphone 20 ms later, hardly softer
        voice = load_speech("agent_jarvis").at_rate(24_000)
        first_s = world.line("playback", what="first_audible")["time_s"]
        lead = int(np.flatnonzero(np.abs(voice.astype(np.int32)) >= 104)[0]) / 24_000
        world.say((voice * 0.8).astype(np.int16), at_s=first_s - lead + 0.02)
        await world.until(lambda: world.state != "speaking", 30)

        assert world.loop.time() - started_s > len(voice) / 24_000 - 1, "the reply was cut"
        assert world.line("wake", ignored=True)["time_s"] > started_s

    live(main, tmp_path, plan=answering("agent_jarvis"))


def test_muting_in_mid_sentence_ends_the_conversation_and_closes_the_microphone(tmp_path: Path):
    async def main(world: World) -> None:
        world.say("user_wake_time")
        await world.reach("listening")

        world.daemon.post(MuteChanged(on=True))
        await asyncio.sleep(0.1)

        assert world.state == "idle"
        assert world.mic.in_use is None
        await asyncio.sleep(5)
        assert world.agent.open_sockets == 0

    live(main, tmp_path)
