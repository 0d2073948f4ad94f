"""Reload as its owner and systemd see it: real process, real socket, real signals."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pivoice import caller
from tests.support.bed import Bed
from tests.support.stage import Stage


@pytest.fixture
def stage(tmp_path: Path, bed: Bed) -> Iterator[Stage]:
    settings: dict[str, dict[str, object]] = {"wake": {"engine": "none"}}
    with Stage(tmp_path, bed=bed, settings=settings) as made:
        yield made


def told_until(systemd: socket.socket, message: str) -> list[str]:
    """Return what systemd is told from now on, up to what begins with `message`."""
    told: list[str] = []
    while not told or not told[-1].startswith(message):
        told.append(systemd.recv(4096).decode())
    return told


def change(stage: Stage, section: str, **values: object) -> None:
    settings = {name: dict(given) for name, given in stage.settings.items()}
    settings.setdefault(section, {}).update(values)
    stage.settings = settings
    stage.write_config()


def test_at_rest_reload_returns_when_the_daemon_is_there_again(stage: Stage):
    stage.start()
    change(stage, "agent", volume=30)

    done = stage.run_ctl("reload")

    assert done.returncode == 0, done.stderr
    assert "reloaded" in done.stdout
    assert stage.daemon and stage.daemon.poll() is None
    stage.wait_until(lambda: bool(stage.ctl("status")["hears"]), "the daemon to hear")
    stage.ctl("wake")
    stage.wait_until(
        lambda: any(
            line.get("type") == "session.update" and line["session"]["output"].get("volume") == 30
            for line in stage.agent_log()
        ),
        "the new volume",
    )
    assert not stage.violations()
    assert "Traceback" not in stage.log()


def test_in_a_conversation_reload_returns_at_once_and_waits_for_its_end(stage: Stage):
    stage.start()
    stage.ctl("wake")
    stage.wait_for("session", state="ready")
    change(stage, "turn", follow_up_s=5)

    done = stage.run_ctl("reload")

    assert done.returncode == 0, done.stderr
    assert "for the end of the conversation" in done.stdout
    assert stage.ctl("status")["link"] == "up"
    assert not [line for line in stage.agent_log() if line.get("type") == "session.end"]
    stage.ctl("stop")
    stage.wait_until(lambda: "reloading" in stage.log(), "the reload")

    def is_new() -> bool:
        return stage.is_answered() and stage.ctl("status")["reload"] == ""

    stage.wait_until(is_new, "the daemon that follows")
    assert not stage.violations()


def test_systemd_is_told_of_a_reload_and_fed_all_the_while(stage: Stage, systemd: socket.socket):
    stage.start()
    told_until(systemd, "READY=1")

    assert stage.run_ctl("reload").returncode == 0

    assert "MONOTONIC_USEC=" in told_until(systemd, "RELOADING=1")[-1]
    told = told_until(systemd, "READY=1")
    assert "STOPPING=1" not in told
    assert told_until(systemd, "WATCHDOG=1")


def test_a_file_with_faults_is_refused_with_all_of_them_and_the_session_goes_on(stage: Stage):
    stage.start()
    stage.ctl("wake")
    stage.wait_for("session", state="ready")
    path = stage.write_config()
    path.write_text(path.read_text() + "\n[turn]\nno_speech_s = 0\nlong_sp_s = 1\n")

    answer = stage.ctl("reload")

    assert "turn.no_speech_s" in answer["error"]
    assert "did you mean turn.long_speech_s?" in answer["error"]
    assert "settings in force stay" in answer["error"]
    assert stage.ctl("status")["link"] == "up"
    done = stage.run_ctl("reload")
    assert done.returncode != 0
    assert "turn.no_speech_s" in done.stderr


def test_a_file_that_is_gone_is_no_reason_to_take_every_default(stage: Stage):
    stage.start()
    (stage.directory / "pivoice.toml").unlink()

    assert "is not there" in stage.ctl("reload")["error"]

    assert stage.ctl("status")["hears"]


def test_the_key_is_looked_up_anew(stage: Stage):
    key_file = stage.directory / "key"
    key_file.write_text("a-key-of-old\n")
    key_file.chmod(0o600)
    stage.environment = {"ASSEMBLYAI_API_KEY": "", "STATE_DIRECTORY": str(stage.directory)}
    stage.settings = {**stage.settings, "agent": {"api_key_file": str(key_file)}}
    stage.key = "a-key-of-now"
    stage.start()
    stage.ctl("wake")
    stage.wait_until(lambda: "bad_key" in stage.ctl("status")["conditions"], "the refused key")
    key_file.chmod(0o644)
    assert "chmod 600" in stage.ctl("reload")["error"]
    key_file.chmod(0o600)
    key_file.write_text("a-key-of-now\n")

    assert stage.run_ctl("reload").returncode == 0

    stage.ctl("wake")
    stage.wait_until(lambda: stage.ctl("status")["link"] == "up", "a session with the new key")


def test_sighup_reloads_and_a_socket_that_moved_is_there(stage: Stage):
    stage.start()
    moved = str(stage.directory / "elsewhere.sock")
    change(stage, "control", socket=moved)
    assert "systemctl kill --signal=HUP" in stage.run_ctl("reload").stderr

    assert stage.daemon
    os.kill(stage.daemon.pid, signal.SIGHUP)

    stage.wait_until(lambda: Path(moved).exists(), "the socket at its new place")
    assert caller.request(moved, {"command": "status"})["state"] == "idle"
    assert not Path(stage.socket).exists()


def test_a_daemon_whose_terminal_is_gone_ends(stage: Stage):
    ours, its = os.openpty()
    stage.port = 9
    command = [sys.executable, "-m", "pivoice", "run", "--config", str(stage.write_config())]
    env = {**os.environ, **stage.bed.env, **stage.environment}
    with subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=env) as daemon:
        stage.wait_until(stage.is_answered, "the control socket")

        daemon.send_signal(signal.SIGHUP)

        assert daemon.wait(10) == 0
    os.close(its)
    os.close(ours)


def test_a_second_daemon_says_so_and_leaves_the_first_alone(stage: Stage):
    stage.start()

    second = stage.spawn(["-m", "pivoice", "run", "--config", str(stage.write_config())], "second")

    assert second.wait(20) == 1
    assert "another pivoice is running" in stage.log("second")
    assert "Traceback" not in stage.log("second")
    assert stage.ctl("status")["hears"]


def test_sigterm_right_after_a_reload_is_obeyed(stage: Stage):
    stage.start()
    stage.ctl("wake")
    stage.wait_for("session", state="ready")

    stage.ctl("reload")
    assert stage.daemon
    stage.daemon.terminate()

    assert stage.daemon.wait(10) == 0
    assert [line for line in stage.agent_log() if line.get("type") == "session.end"]
