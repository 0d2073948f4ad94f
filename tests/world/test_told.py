"""What a real conversation leaves in the journal and in the metrics, and what it does not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import systemd.journal
from prometheus_client.parser import text_string_to_metric_families

from pivoice import journal
from tests.support.journal import Entry, FakeJournal
from tests.support.world import World, answering, live

NONE = '[audio]\necho = "none"\n'
KEY = "a-key"  # the world's


class Reader:
    """Reads what the fake journal is told while the world lives: nobody waits for it."""

    def __init__(self, fake: FakeJournal) -> None:
        self._fake = fake
        self.entries: list[Entry] = []

    async def read(self) -> None:
        while True:
            self.entries += self._fake.entries()
            await asyncio.sleep(0.001)

    async def hold(self, world: World) -> World:
        reading = asyncio.create_task(self.read())
        world.say("user_wake_time")
        await world.reach("speaking")
        await asyncio.sleep(0.6)
        world.say("user_weather")
        await world.reach("thinking")
        await world.reach("speaking")
        await world.reach("idle")
        await asyncio.sleep(1)
        reading.cancel()
        return world

    def since(self, level: int) -> list[Entry]:
        return [each for each in self.entries if int(each["PRIORITY"]) <= level]


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Reader, World]]:
    """A conversation of two turns, the first reply of which is interrupted; logged from DEBUG on."""
    directory, root = tmp_path_factory.mktemp("talk"), logging.getLogger()
    with FakeJournal(directory) as fake:
        sender, reader, level = journal.JournalSocket(fake.path), Reader(fake), root.level
        handler = systemd.journal.JournalHandler(sender_function=sender.send, SYSLOG_IDENTIFIER="pivoice")
        handler.addFilter(journal.add_context)
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        yield reader, live(reader.hold, directory, toml=NONE, plan=answering("agent_long", "agent_short"))
        root.removeHandler(handler)
        root.setLevel(level)
        sender.close()


def test_a_turn_is_about_five_lines_with_its_latencies_in_one(talk: tuple[Reader, World]):
    reader, _ = talk

    told = [each for each in reader.since(6) if each["LOGGER"] == "pivoice.turn_log"]
    assert [each["PIVOICE_EVENT"] for each in told] == (
        ["wake", "session", "heard", "reply", "turn", "heard", "reply", "turn", "end"]
    )
    first, second = [each for each in told if each["PIVOICE_EVENT"] == "turn"]
    assert (first["PIVOICE_OUTCOME"], second["PIVOICE_OUTCOME"]) == ("interrupted", "answered")
    assert float(first["PIVOICE_MS_WAKE_TO_READY"]) > 0
    assert 0 < float(first["PIVOICE_MS_INTERRUPTION_TO_SILENCE"]) < 100
    assert float(second["PIVOICE_MS_SPEECH_STOPPED_TO_SOUND"]) > 0
    others = [each["MESSAGE"] for each in reader.since(6) if each["LOGGER"] not in ("pivoice.turn_log",)]
    assert len(others) <= 5, others  # who we are, the echo, both cards, the end


def test_the_rooms_lines_carry_the_turn_and_the_session(talk: tuple[Reader, World]):
    reader, world = talk

    (session_id,) = world.agent.sessions
    ready = [each["MESSAGE"].startswith("turn 1: session") for each in reader.entries].index(True)
    over = [each["MESSAGE"].startswith("conversation over") for each in reader.entries].index(True)
    within = [each for each in reader.entries[ready:over] if each["LOGGER"].startswith("pivoice.agent")]
    assert within
    assert {each["PIVOICE_SESSION"] for each in within} == {session_id}
    assert {each["PIVOICE_TURN"] for each in within} == {"1", "2"}
    assert "PIVOICE_TURN" not in reader.entries[0]


def test_transcripts_are_told_at_debug_alone_and_the_key_nowhere(talk: tuple[Reader, World]):
    reader, world = talk

    texts = [str(each["text"]) for each in world.lines if each["event"] == "transcript" and each["text"]]
    assert len(texts) >= 4
    for each in reader.entries:
        told = "\n".join(each.values())
        assert KEY not in told
        if each["PRIORITY"] != "7":
            assert not [text for text in texts if text in told]
        fields = [value for name, value in each.items() if name != "MESSAGE"]
        assert not [text for text in texts if text in "\n".join(fields)]
    assert [text for text in texts if any(text in each["MESSAGE"] for each in reader.entries)]


def test_metrics_tell_of_the_conversation_also_after_a_reload(tmp_path: Path):
    async def main(world: World) -> None:
        world.say("user_wake_time")
        await world.reach("speaking")
        await world.reach("idle")
        before, old = await world.ask("metrics"), world.daemon

        await world.ask("reload")
        await world.until(lambda: world.daemon is not old and world.daemon.ears.beats > 0, 20)
        after = await world.ask("metrics")

        found = {}
        for family in text_string_to_metric_families(after["text"]):
            found |= {each.name: each.value for each in family.samples if not each.labels}
        assert found["pivoice_sessions_total"] == 1
        assert found["pivoice_time_to_first_audio_seconds_count"] == 1
        assert found["pivoice_hears"] == 1
        scored = before["counters"]["wake"]["blocks_scored"]
        assert 0 < scored <= found["pivoice_wake_blocks_scored_total"]
        assert after["counters"]["latencies_ms"]["wake_to_ready"]["count"] == 1

    live(main, tmp_path, toml=NONE)


def test_the_status_line_says_whether_it_hears(tmp_path: Path):
    async def main(world: World) -> None:
        async def sentence() -> str:
            return str((await world.ask("status"))["status"])

        assert await sentence() == "hears; waiting for the button"
        await world.ask("wake")
        assert await sentence() == "in a conversation: listening"
        await world.ask("stop")
        await world.ask("mute")
        assert await sentence() == "muted: the microphone is closed"
        await world.ask("unmute")
        world.mic.unplug()
        await world.until(lambda: bool(world.daemon.seen.faults), 5)
        assert (await sentence()).startswith("no microphone: ")

    live(main, tmp_path, toml='[wake]\nengine = "none"\n')
