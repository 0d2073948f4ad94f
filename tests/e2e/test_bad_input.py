"""What is wrong is said in one clear line, never as a traceback; the daemon lives on, or exits rightly.

Every test runs `pivoice` as a process, as its owner would.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bed import Bed
from tests.support.peer import Peer
from tests.support.stage import KEY, Stage


def run_pivoice(tmp_path: Path, text: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the daemon on a configuration that it must refuse."""
    path = tmp_path / "pivoice.toml"
    path.write_text(text)
    inherited = {name: value for name, value in os.environ.items() if name != "ASSEMBLYAI_API_KEY"}
    return subprocess.run(
        [sys.executable, "-m", "pivoice", "run", "--config", str(path)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**inherited, **environment},
    )


@pytest.fixture
def peer() -> Iterator[Peer]:
    with Peer() as made:
        yield made


@pytest.fixture
def stage(tmp_path: Path, bed: Bed) -> Iterator[Stage]:
    """A stage without an agent: set `port`, then start the daemon."""
    with Stage(tmp_path, bed=bed) as made:
        made.port = 9  # nobody answers there
        yield made


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 78, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def test_settings_that_are_wrong_are_all_told_and_exit_78(tmp_path: Path):
    done = run_pivoice(tmp_path, "[audio]\ncapure = 'x'\nperiod_ms = 'y'\n", ASSEMBLYAI_API_KEY=KEY)

    refused(done, "did you mean audio.capture", "audio.period_ms")
    assert len(done.stderr.strip().splitlines()) == 2


def test_a_wake_model_that_is_not_there_exits_78(tmp_path: Path):
    refused(run_pivoice(tmp_path, "[wake]\nmodels = ['hey_javis']\n", ASSEMBLYAI_API_KEY=KEY), "hey_jarvis")


def test_a_wake_model_that_is_no_model_exits_78(tmp_path: Path):
    path = tmp_path / "mine.onnx"
    path.write_text("this is not a model")

    refused(run_pivoice(tmp_path, f"[wake]\nmodels = ['{path}']\n", ASSEMBLYAI_API_KEY=KEY), str(path))


def test_a_missing_key_exits_78_and_says_where_one_may_be(tmp_path: Path):
    refused(run_pivoice(tmp_path, ""), "ASSEMBLYAI_API_KEY", "api_key_file")


def test_a_key_file_that_is_not_there_exits_78(tmp_path: Path):
    done = run_pivoice(tmp_path, "[agent]\napi_key_file = '/nowhere/key'\n")

    refused(done, "/nowhere/key")


@pytest.mark.parametrize("which", ["capture", "playback"])
def test_a_card_that_does_not_exist_is_retried_and_named_once(tmp_path: Path, bed: Bed, which: str):
    cards = ("nonesuch", "bed_speaker") if which == "capture" else ("bed_mic", "nonesuch")
    with Stage(tmp_path, bed=bed, cards=cards) as stage:
        stage.port = 9
        stage.start_daemon()
        if which == "playback":
            stage.ctl("mute")  # a chime is the first sound
        condition = "no_microphone" if which == "capture" else "no_speaker"
        stage.wait_until(lambda: condition in stage.ctl("status")["conditions"], condition)

        assert stage.log().count("'nonesuch'") == 1, stage.log()
        assert "Traceback" not in stage.log()
        chatter = [line for line in stage.log().splitlines() if "ALSA lib" in line]
        assert chatter and all(" DEBUG ~ " in line for line in chatter)


def test_a_busy_microphone_is_named_and_taken_once_it_is_free(stage: Stage, bed: Bed):
    bed.make_busy("mic")
    stage.start_daemon()
    stage.wait_until(lambda: "no_microphone" in stage.ctl("status")["conditions"], "the busy microphone")
    assert "busy" in stage.log()

    bed.make_busy("mic", busy=False)

    stage.wait_until(lambda: bool(stage.ctl("status")["hears"]), "the microphone")
    assert stage.ctl("status")["conditions"] == []
    assert "Traceback" not in stage.log()


def test_a_server_that_cannot_be_reached_ends_in_idle_with_one_line(stage: Stage):
    stage.settings = {"turn": {"connect_s": 2.0}}
    stage.start_daemon()
    stage.watch()
    stage.wait_until(lambda: bool(stage.ctl("status")["hears"]), "the daemon to hear")

    stage.ctl("wake")

    at, _ = stage.wait_for("state", state="listening")
    stage.wait_for("state", state="idle", after=at)
    assert "Traceback" not in stage.log()
    (told,) = [line for line in stage.log().splitlines() if " ERROR " in line]
    assert f"not ready in 2 s: 127.0.0.1:{stage.port} refuses the connection" in told


def test_a_refused_key_is_told_to_the_owner_and_not_retried(stage: Stage):
    stage.agent_options = ["--key", "another-key"]
    stage.start_agent()
    stage.start_daemon()
    stage.watch()
    stage.wait_until(lambda: bool(stage.ctl("status")["hears"]), "the daemon to hear")

    stage.ctl("wake")

    stage.wait_until(lambda: "bad_key" in stage.ctl("status")["conditions"], "the light of the bad key")
    stage.wait_for("state", state="idle", conditions=["bad_key"])
    assert stage.ctl("status")["state"] == "idle"
    assert "key" in stage.log()
    assert KEY not in stage.log()
    assert "Traceback" not in stage.log()


def test_a_server_that_talks_garbage_does_not_end_the_conversation(stage: Stage, peer: Peer):
    stage.port = peer.port
    stage.start_daemon()
    stage.watch()
    stage.wait_until(lambda: bool(stage.ctl("status")["hears"]), "the daemon to hear")
    stage.ctl("wake")
    peer.wait_for("session.update")
    stage.wait_for("state", link="up")

    for garbage in (
        "this is not JSON",
        "[]",
        "3",
        b"\x00\x01\x02",
        {"no": "type"},
        {"type": 7},
        {"type": "reply.unheard_of", "x": 1},
        {"type": "reply.audio", "data": 12},
        {"type": "reply.audio", "data": "not base64!"},
        {"type": "reply.audio", "data": "AAA="},
        {"type": "transcript.user", "text": None},
        {"type": "tool.call", "call_id": 3, "arguments": "x"},
        {"type": "reply.done", "status": "unheard_of", "reply_id": "resp_x"},
        {"type": "session.error", "code": "unheard_of"},
        {"type": "error", "message": "bare"},
    ):
        peer.send(garbage)
    peer.send({"type": "transcript.user", "text": "are you still there?", "item_id": "i1"})

    stage.wait_for("transcript", who="user", text="are you still there?", final=True)
    assert stage.ctl("status")["link"] == "up"
    assert "Traceback" not in stage.log()


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff\xfe\n",
        b"{}\n",
        b"[1]\n",
        b'{"command": 3}\n',
        b'{"command": "stauts"}\n',
        b"x" * 100_000 + b"\n",
    ],
)
def test_a_control_socket_fed_garbage_answers_and_lives_on(stage: Stage, garbage: bytes):
    stage.start_daemon()

    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(stage.socket)
        client.sendall(garbage)
        answer = client.recv(4096)

    assert b'"error"' in answer
    assert stage.ctl("status")["state"] == "idle"
    assert "Traceback" not in stage.log()


def test_a_machine_without_gpio_gets_one_warning_and_a_daemon(tmp_path: Path, bed: Bed):
    if Path("/dev/gpiochip0").exists():
        pytest.skip("this machine has GPIO")
    with Stage(tmp_path, bed=bed, settings={"panel": {"driver": "gpio"}}) as stage:
        stage.port = 9
        stage.start_daemon()
        stage.wait_until(lambda: bool(stage.ctl("status")["hears"]), "the daemon to hear")

        warnings = [line for line in stage.log().splitlines() if "panel" in line and "WARNING" in line]
        assert len(warnings) == 1, stage.log()
        assert "Traceback" not in stage.log()


def test_a_name_server_that_hangs_does_not_hold_up_the_end(stage: Stage):
    stage.settings = {"agent": {"url": "ws://agent.invalid/v1/ws"}}
    slow = "import socket, threading; socket.getaddrinfo = lambda *a, **k: threading.Event().wait(30)"
    config = stage.write_config()
    command = f"{slow}; from pivoice.cli import main; main(['run', '--config', {str(config)!r}])"
    stage.daemon = stage.spawn(["-c", command], "daemon")
    stage.wait_until(lambda: Path(stage.socket).exists(), "the control socket")
    stage.ctl("wake")

    stage.daemon.terminate()

    assert stage.daemon.wait(15) == 0


MISTAKE = """
import sys
from pivoice.turn.machine import Turn

step = Turn.step

def fail(turn, event):
    if type(event).__name__ == "HushAsked":
        raise RuntimeError("ours")
    return step(turn, event)

Turn.step = fail
from pivoice.cli import main
main(["run", "--config", sys.argv[1]])
"""


def test_a_mistake_of_our_own_ends_the_session_before_it_exits_1(stage: Stage):
    stage.start_agent()
    stage.daemon = stage.spawn(["-c", MISTAKE, str(stage.write_config())], "daemon")
    stage.wait_until(stage.is_answered, "the control socket")
    stage.watch()
    stage.ctl("wake")
    stage.wait_for("session", state="ready")

    stage.ctl("hush")

    assert stage.daemon.wait(10) == 1
    assert [line for line in stage.agent_log() if line.get("type") == "session.end"]
    assert "RuntimeError: ours" in stage.log(), "the journal must tell where"
