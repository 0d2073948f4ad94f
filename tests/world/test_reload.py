"""Reload: new settings in the same process, and nothing lost when they are wrong."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from pivoice import config
from pivoice.agent import rest
from pivoice.errors import ConfigError, Fault, PivoiceError
from pivoice.supervisor import Start, prepare
from tests.support.world import World, answering, live

QUICK = '[agent]\nlinger = false\n[wake]\nengine = "none"\n'


async def in_a_conversation(world: World) -> None:
    await world.ask("wake")
    await world.until(lambda: world.agent.open_sockets == 1 and world.has("session", state="ready"), 10)


async def anew(world: World, before: object) -> None:
    await world.until(lambda: world.daemon is not before and world.daemon.ears.beats > 0, 30)


NEW = '[agent]\nlinger = false\nvolume = 30\n[wake]\nengine = "none"\n[turn]\nno_speech_s = 3\n'


def test_at_rest_a_reload_goes_on_with_the_new_settings_at_once(tmp_path: Path):
    async def main(world: World) -> None:
        before = world.daemon
        world.settings = config.parse(QUICK + "[agent.turn_detection]\nvad_threshold = 0.25\n")

        answer = await world.ask("reload")
        await anew(world, before)

        assert answer["reloading"] == "pivoice.toml"
        assert "waits" not in answer
        assert (await world.ask("status"))["hears"]
        await in_a_conversation(world)
        assert world.agent.session.settings["input"]["turn_detection"] == {"vad_threshold": 0.25}

    live(main, tmp_path, toml=QUICK)


def test_a_conversation_is_not_dropped_by_a_reload_and_hears_what_a_session_can_change(tmp_path: Path):
    async def main(world: World) -> None:
        before = world.daemon
        await in_a_conversation(world)
        world.say("user_weather")
        await world.reach("thinking")
        world.settings = config.parse(NEW)

        answer = await world.ask("reload")
        await world.reach("speaking")

        assert answer["at_once"] == ["agent.volume"] and answer["waits"]
        assert (await world.ask("status"))["reload"]
        assert world.daemon is before
        assert world.agent.session.settings["output"]["volume"] == 30
        assert world.daemon.config.turn.no_speech_s == 8.0, "what the machine was made with stays meanwhile"
        await anew(world, before)
        assert world.agent.open_sockets == 0
        assert len(world.agent.sessions) == 1, "another session was needed"
        assert world.has("turn", outcome="answered"), "the reply was not heard to its end"
        assert world.daemon.config.turn.no_speech_s == 3.0
        assert (await world.ask("status"))["reload"] == ""

    live(main, tmp_path, toml=QUICK, plan=answering("agent_weather"))


def test_of_two_reloads_in_a_conversation_the_later_one_holds(tmp_path: Path):
    async def main(world: World) -> None:
        before = world.daemon
        await in_a_conversation(world)
        for volume in (30, 40):
            world.settings = config.parse(
                QUICK.replace("linger = false", f"linger = false\nvolume = {volume}")
            )
            await world.ask("reload")

        await anew(world, before)
        after = world.daemon
        await asyncio.sleep(20)

        assert world.daemon is after, "one reload too many"
        assert world.daemon.config.agent.volume == 40

    live(main, tmp_path, toml=QUICK)


def test_a_hangup_while_the_file_is_being_read_has_it_read_again(tmp_path: Path):
    async def main(world: World) -> None:
        read: list[float] = []

        def begin(volume: int) -> None:
            world.settings = config.parse(QUICK.replace("false", f"false\nvolume = {volume}"))
            world.supervisor._hang_up()

        def start() -> Start:
            started = world.start()
            read.append(started.config.agent.volume)
            if len(read) == 1:
                world.loop.call_soon_threadsafe(begin, 40)
                world.loop.call_soon_threadsafe(begin, 50)
            return started

        world.supervisor._read = start
        begin(30)
        await asyncio.sleep(10)

        assert read == [30, 50]
        assert world.daemon.config.agent.volume == 50
        assert (await world.ask("status"))["hears"]

    live(main, tmp_path, toml=QUICK)


def test_a_stop_while_a_reload_waits_is_a_stop(tmp_path: Path):
    async def main(world: World) -> None:
        await in_a_conversation(world)
        await world.ask("reload")

        world.supervisor.stop()
        await world._running

        assert world.agent.open_sockets == 0

    live(main, tmp_path, toml=QUICK)


def test_what_was_said_is_remembered_over_a_reload(tmp_path: Path):
    async def main(world: World) -> None:
        before = world.daemon
        await in_a_conversation(world)
        world.say("user_weather")
        await world.reach("speaking")
        await world.ask("reload")
        await anew(world, before)

        await in_a_conversation(world)
        await world.until(lambda: len(world.agent.sessions) == 2, 5)

        assert "Earlier in this conversation" in world.agent.session.settings["system_prompt"]

    live(main, tmp_path, toml=QUICK, plan=answering("agent_weather"))


def test_every_fault_of_a_bad_file_is_told_and_the_conversation_goes_on(tmp_path: Path):
    async def main(world: World) -> None:
        before = world.daemon
        await in_a_conversation(world)

        def read() -> None:
            config.parse("[audio]\nperiod_ms = 1\ncapure = 'x'\n[wake]\nmodels = []\n", path="pivoice.toml")

        world.supervisor._read = read  # type: ignore[assignment]
        answer = await world.ask("reload")
        await asyncio.sleep(1)

        for told in (
            "audio.period_ms",
            "did you mean audio.capture?",
            "wake.models",
            "settings in force stay",
        ):
            assert told in answer["error"]
        assert world.daemon is before
        assert world.agent.open_sockets == 1
        assert not world.has("session", state="ended")

    live(main, tmp_path, toml=QUICK)


def test_a_wake_model_that_does_not_load_leaves_the_old_one_listening(tmp_path: Path):
    path = tmp_path / "mine.onnx"
    path.write_text("this is not a model")

    async def main(world: World) -> None:
        world.settings = config.parse(f'[wake]\nmodels = ["{path}"]\n')

        answer = await world.ask("reload")

        assert str(path) in answer["error"]
        world.say("user_wake_time")
        await world.reach("speaking")

    live(main, tmp_path, plan=answering("agent_short"))


def test_a_socket_that_cannot_be_made_is_found_out_before_anything_is_closed(tmp_path: Path):
    async def main(world: World) -> None:
        start = world.start()
        object.__setattr__(start.config.control, "socket", "/proc/pivoice/control.sock")
        world.supervisor._read = lambda: start

        answer = await world.ask("reload")

        assert "control.socket" in answer["error"]
        assert (await world.ask("status"))["state"] == "idle"

    live(main, tmp_path, toml=QUICK)


def test_who_was_muted_stays_muted_over_a_reload(tmp_path: Path):
    async def main(world: World) -> None:
        before = world.daemon
        await world.ask("mute")

        await world.ask("reload")
        await world.until(lambda: world.daemon is not before, 10)
        await asyncio.sleep(3)

        assert world.daemon.turn.muted
        assert world.daemon.ears.attempts == 0, "the microphone was opened"
        await world.ask("unmute")
        await world.until(lambda: world.daemon.ears.beats > 0, 5)

    live(main, tmp_path, toml=QUICK)


def test_a_day_used_up_stays_used_up_over_a_reload(tmp_path: Path):
    async def main(world: World) -> None:
        before = world.daemon
        await in_a_conversation(world)
        await world.until(lambda: world.daemon.turn.link.value == "down", 30)
        minutes = (await world.ask("status"))["session"]["minutes_today"]

        await world.ask("reload")
        await anew(world, before)

        assert minutes > 0
        assert (await world.ask("status"))["session"]["minutes_today"] == pytest.approx(minutes, abs=0.01)

    live(main, tmp_path, toml=QUICK)


def test_a_stop_in_the_midst_of_a_reload_is_a_stop(tmp_path: Path):
    async def main(world: World) -> None:
        before = world.daemon
        await in_a_conversation(world)

        await world.ask("reload")
        world.supervisor.stop()
        await world._running

        assert world.daemon is before
        assert world.agent.open_sockets == 0

    live(main, tmp_path, toml=QUICK)


def test_a_stop_while_the_new_settings_are_read_is_a_stop(tmp_path: Path):
    async def main(world: World) -> None:
        before, loop = world.daemon, asyncio.get_running_loop()

        def read() -> Start:
            loop.call_soon_threadsafe(world.supervisor.stop)
            return world.start()

        world.supervisor._read = read
        with suppress(PivoiceError):
            await world.supervisor.reload()
        await asyncio.wait([world._running], timeout=10)

        assert world._running.done()
        assert world.daemon is before

    live(main, tmp_path, toml=QUICK)


def test_two_reloads_at_once_are_one(tmp_path: Path):
    async def main(world: World) -> None:
        both = await asyncio.gather(world.ask("reload"), world.ask("reload"))

        assert sorted("error" in answer for answer in both) == [False, True]

    live(main, tmp_path, toml=QUICK)


def test_a_reload_by_signal_that_fails_is_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    async def main(world: World) -> None:
        def read() -> None:
            raise ConfigError([Fault("audio.period_ms", "is wrong")])

        world.supervisor._read = read  # type: ignore[assignment]
        world.supervisor._hang_up()
        await asyncio.sleep(1)

        assert world.daemon.ears.is_running

    live(main, tmp_path, toml=QUICK)

    assert "audio.period_ms: is wrong" in caplog.text


def test_what_tls_trusts_is_read_before_the_first_conversation():
    rest._tls.cache_clear()

    prepare(config.parse('[wake]\nengine = "none"\n'), {"ASSEMBLYAI_API_KEY": "k"}, path="pivoice.toml")
    before = rest._tls.cache_info().misses
    rest.tls_for("wss://agents.example/v1/ws")

    assert rest._tls.cache_info().misses == before == 1


def test_what_cannot_be_used_is_told_with_the_file_it_stands_in(tmp_path: Path):
    settings = config.parse('[wake]\nengine = "none"\n[agent]\napi_key_file = "/nonexistent/key"\n')

    with pytest.raises(ConfigError) as caught:
        prepare(settings, {}, path="pivoice.toml")

    assert caught.value.path == "pivoice.toml"


def test_the_same_socket_by_another_path_is_not_another_pivoice(tmp_path: Path):
    async def main(world: World) -> None:
        before = world.daemon
        (tmp_path / "link").symlink_to(tmp_path)
        start = world.start()
        object.__setattr__(start.config.control, "socket", str(tmp_path / "link" / "control.sock"))
        world.supervisor._read = lambda: start

        answer = await world.ask("reload")
        await anew(world, before)

        assert "error" not in answer

    live(main, tmp_path, toml=QUICK)
