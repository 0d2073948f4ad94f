"""The key and the token are in nothing that the daemon writes, at debug level, whatever the server does.

A real daemon; everything it wrote is searched: its log, what `ctl` and `ctl watch` answer, `pivoice config`,
its arguments, the ledger.
"""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from websockets.sync.server import Server, ServerConnection, serve

from tests.support.bed import Bed
from tests.support.stage import Stage

KEY = "sk7d1f0c93e2grepme"
TOKEN = "tk/5b+8e=grepmetoo"
SECRETS = (KEY, TOKEN, quote(TOKEN, safe=""))


@pytest.fixture
def stage(tmp_path: Path, bed: Bed) -> Iterator[Stage]:
    with Stage(tmp_path, bed=bed) as made:
        made.key = KEY
        made.environment |= {"ASSEMBLYAI_API_KEY": KEY}
        made.settings = {"agent": {"linger": False}, "turn": {"follow_up_s": 1.0, "connect_s": 3.0}}
        yield made


def begin(stage: Stage) -> None:
    stage.start_daemon()
    stage.watch()
    stage.wait_until(lambda: bool(stage.ctl("status")["hears"]), "the daemon to hear")


def written(stage: Stage) -> str:
    """Return everything that the daemon and the commands beside it let anybody see; end the daemon."""
    assert stage.daemon
    parts = [json.dumps(stage.ctl(command)) for command in ("status", "metrics", "mute", "reload")]
    parts.append(Path(f"/proc/{stage.daemon.pid}/cmdline").read_text())
    parts += [show(stage, "config"), show(stage, "ctl", "status")]
    stage.daemon.terminate()
    assert stage.daemon.wait(10) == 0, stage.tail()
    parts += [json.dumps(stage.lines, default=str), stage.log()]
    parts += [path.read_text() for path in stage.directory.glob("*") if "ledger" in path.name]
    return "\n".join(parts)


def show(stage: Stage, *verb: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pivoice", *verb, "--config", str(stage.directory / "pivoice.toml")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


def assert_silent(everything: str) -> None:
    assert "DEBUG" in everything, "this proves nothing: the log is not at debug level"
    for secret in SECRETS:
        lines = [line for line in everything.splitlines() if secret in line]
        assert not lines, "\n".join(line[:500] for line in lines)


def test_a_conversation_does_not_show_the_key(stage: Stage):
    stage.start_agent()
    begin(stage)
    stage.say("user_wake_time")
    at, _ = stage.wait_for("state", state="speaking")
    stage.drop_connection()
    stage.wait_for("state", state="idle", after=at)

    everything = written(stage)

    assert '"resumed"' in everything
    assert "ledger" in " ".join(path.name for path in stage.directory.iterdir())
    assert_silent(everything)


def test_a_refused_key_is_not_shown(stage: Stage):
    stage.key = "another-key"
    stage.start_agent()
    begin(stage)
    stage.ctl("wake")
    stage.wait_until(lambda: "bad_key" in stage.ctl("status")["conditions"], "the refused key")

    assert_silent(written(stage))


def test_a_key_refused_by_http_is_not_shown(stage: Stage):
    stage.agent_options = ["--http-status", "401"]
    stage.start_agent()
    begin(stage)
    stage.ctl("wake")
    stage.wait_until(lambda: "bad_key" in stage.ctl("status")["conditions"], "the refused key")

    assert_silent(written(stage))


# --- a server that tells everybody ---


def echoed(connection: ServerConnection) -> str:
    """Return the secret that the client came with."""
    assert connection.request is not None
    query = parse_qs(urlsplit(connection.request.path).query)
    return query["token"][0] if "token" in query else str(connection.request.headers["Authorization"])


def before_ready(connection: ServerConnection) -> None:
    connection.recv()
    secret = echoed(connection)
    error = {"type": "session.error", "code": "invalid_value", "message": f"bad: {secret}", "param": secret}
    connection.send(json.dumps(error))
    connection.close(1008, secret[:100])


def in_session(connection: ServerConnection) -> None:
    connection.recv()
    secret = echoed(connection)
    connection.send(json.dumps({"type": "session.ready", "session_id": "sess_1", "resume_token": secret}))
    for message in (
        f"no JSON, but {secret}",
        json.dumps({"type": f"echo.{secret}", "x": secret}),
        json.dumps({"type": "session.error", "code": secret, "message": f"who is {secret}?"}),
        json.dumps({"type": "error", "message": secret}),
        json.dumps({"type": "reply.audio", "data": secret}),
        json.dumps({"type": "tool.call", "call_id": "c1", "name": "nothing", "arguments": secret}),
        json.dumps({"type": "transcript.user", "text": f"my key is {secret}", "item_id": "i1"}),
        json.dumps({"type": "reply.error", "reply_id": "r", "code": "x", "message": secret}),
    ):
        connection.send(message)
    connection.send(json.dumps({"type": "transcript.user", "text": "that was all", "item_id": "i2"}))
    connection.recv()
    connection.close(3006, secret[:100])


@pytest.fixture
def echo() -> Iterator[Callable[[Callable[[ServerConnection], None]], int]]:
    """Start a server for each connection's manners; return its port."""
    servers: list[Server] = []

    def start(manners: Callable[[ServerConnection], None]) -> int:
        server = serve(manners, "127.0.0.1", 0)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return int(server.socket.getsockname()[1])

    yield start
    for server in servers:
        server.shutdown()


@pytest.fixture
def token_url() -> Iterator[str]:
    """An address that gives TOKEN."""

    class Giver(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"token": TOKEN}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Giver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/token?device={KEY}"
        server.shutdown()


Echo = Callable[[Callable[[ServerConnection], None]], int]


def refuse(stage: Stage, port: int) -> str:
    stage.port = port
    begin(stage)
    stage.ctl("wake")
    stage.wait_for("session", state="lost")
    return written(stage)


def chat(stage: Stage, port: int) -> str:
    stage.port = port
    begin(stage)
    stage.ctl("wake")
    stage.wait_for("transcript", text="that was all")
    stage.ctl("stop")
    stage.wait_for("state", state="idle")
    return written(stage)


@pytest.mark.parametrize("through", ["the key", "a token"])
def test_a_server_that_echoes_the_secret_as_it_refuses_is_not_quoted(
    stage: Stage, echo: Echo, token_url: str, through: str
):
    if through == "a token":
        stage.settings = {**stage.settings, "agent": {"token_url": token_url}}

    assert_silent(refuse(stage, echo(before_ready)))


@pytest.mark.parametrize("through", ["the key", "a token"])
def test_a_server_that_echoes_the_secret_in_session_is_not_quoted(
    stage: Stage, echo: Echo, token_url: str, through: str
):
    if through == "a token":
        stage.settings = {**stage.settings, "agent": {"token_url": token_url}}

    assert_silent(chat(stage, echo(in_session)))


def test_a_token_address_that_fails_is_told_without_its_query(stage: Stage, token_url: str):
    stage.settings = {
        **stage.settings,
        "agent": {"token_url": token_url.replace("http://127.0.0.1", "http://127.0.0.2")},
    }
    stage.port = 9
    begin(stage)
    stage.ctl("wake")
    stage.wait_for("session", state="retrying")

    assert_silent(written(stage))
