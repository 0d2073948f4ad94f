"""A stage for whole conversations: the bed's sound card, the simulated agent and the daemon, as processes.

Used by the demo, the benchmarks and the end-to-end tests. Nothing here is simulated inside the
daemon: it is `pivoice run` on ALSA PCMs, talking over a real socket; this file only plays the user.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from pivoice import caller
from pivoice.audio.pcm import Samples
from pivoice.errors import PivoiceError
from tests.support.bed import Bed
from tests.support.speech import load_speech

KEY = "test-key-of-no-value"
Line = dict[str, Any]


class MissedError(AssertionError):
    """Something that had to happen did not, in time."""


class Stage:
    """One daemon, one agent, one sound card. A context manager: leaving it stops everything."""

    def __init__(
        self,
        directory: Path,
        *,
        settings: Mapping[str, Mapping[str, object]] | None = None,
        agent: Sequence[str] = (),
        bed: Bed | None = None,
        cards: tuple[str, str] = ("bed_mic", "bed_speaker"),
    ) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._owns_bed = bed is None
        self.bed = bed or Bed()
        self.settings = settings or {}
        self.agent_options = list(agent)
        self._cards = cards
        self.key = KEY
        """The only key that the agent takes."""
        self.environment = {"ASSEMBLYAI_API_KEY": KEY, "STATE_DIRECTORY": str(directory)}
        """What the processes get besides ours; nothing they keep is ever kept at home."""
        self.lines: list[Line] = []
        """Everything `ctl watch` said, in order."""
        self._changed = threading.Condition()
        self.agent: subprocess.Popen[str] | None = None
        self.daemon: subprocess.Popen[str] | None = None
        self.port = 0

    # --- life ---

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        for process in (self.daemon, self.agent):
            if process and process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in (self.daemon, self.agent):
            if process:
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        if self._owns_bed:
            self.bed.close()

    def start(self) -> Stage:
        """Start the agent and the daemon, and wait until the daemon hears."""
        self.start_agent()
        self.start_daemon()
        self.watch()
        self.wait_until(lambda: bool(self.ctl("status")["hears"]), "the daemon to hear")
        return self

    def start_agent(self) -> None:
        log, sound = self.directory / "agent.jsonl", self.directory / "agent-heard"
        sound.mkdir(exist_ok=True)
        port = self.port or _free_port()
        options = ["--port", str(port), "--key", self.key, "--log", str(log), "--save-audio", str(sound)]
        self.agent = self.spawn(["-m", "pivoice", "simulate-agent", *options, *self.agent_options], "agent")
        self.port = port
        self.wait_until(lambda: "listening" in self.log("agent"), "the simulated agent to listen")

    def start_daemon(self) -> None:
        config = self.write_config()
        self.daemon = self.spawn(["-m", "pivoice", "run", "--config", str(config)], "daemon")
        self.wait_until(self.is_answered, "the control socket")

    def is_answered(self) -> bool:
        """Return whether a daemon answers at the socket."""
        try:
            return "state" in self.ctl("status")
        except PivoiceError:
            return False

    def write_config(self) -> Path:
        """Write and return the configuration file: the stage's own settings under the caller's."""
        sections: dict[str, dict[str, object]] = {
            "agent": {
                "url": f"ws://127.0.0.1:{self.port}",
                "ledger_file": str(self.directory / "ledger.json"),
            },
            "audio": {"capture": self._cards[0], "playback": self._cards[1]},
            "panel": {"driver": "simulated"},
            "control": {"socket": self.socket},
            "log": {"level": "debug"},
        }
        for name, values in self.settings.items():
            sections.setdefault(name, {}).update(values)
        text = ""
        for name, values in sections.items():
            text += f"[{name}]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in values.items())
        path = self.directory / "pivoice.toml"
        path.write_text(text)
        return path

    def spawn(self, arguments: list[str], name: str) -> subprocess.Popen[str]:
        """Start Python with `arguments` on the bed; what it writes is in the log `name`."""
        own = {"PYTHONUNBUFFERED": "1", "STATE_DIRECTORY": str(self.directory / "state")}
        env = {**os.environ, **self.bed.env, **own, **self.environment}
        with (self.directory / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=env,
                text=True,
            )

    def run_ctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `pivoice ctl` as a user does."""
        config = str(self.directory / "pivoice.toml")
        return subprocess.run(
            [sys.executable, "-m", "pivoice", "ctl", "--config", config, *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    # --- the daemon, from outside ---

    @property
    def socket(self) -> str:
        return str(self.directory / "control.sock")

    def ctl(self, command: str, **arguments: object) -> Line:
        """Ask the control socket."""
        return caller.request(self.socket, {"command": command, **arguments})

    def watch(self) -> None:
        """Collect what `ctl watch` streams into `lines`."""

        def collect() -> None:
            try:
                for line in caller.watch(self.socket):
                    with self._changed:
                        self.lines.append(line)
                        self._changed.notify_all()
            except Exception as error:  # the daemon is gone: the test asks why, not this thread
                with self._changed:
                    self.lines.append({"event": "watch_ended", "reason": str(error)})
                    self._changed.notify_all()

        threading.Thread(target=collect, name="watch", daemon=True).start()

    def wait_for(
        self, event: str, *, after: int = 0, timeout_s: float = 20.0, **match: object
    ) -> tuple[int, Line]:
        """Return (index, line) of the first line at or after index `after` that is `event` and holds `match`.

        The index past it (`index + 1`) is where the next wait should begin.
        """
        wanted = {"event": event, **match}
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                for index, line in enumerate(self.lines[after:], after):
                    if wanted.items() <= line.items():
                        return index, line
                left = deadline - time.monotonic()
                if left <= 0:
                    raise MissedError(f"no {wanted} within {timeout_s} s\n{self.tail()}")
                if self.lines and self.lines[-1]["event"] == "watch_ended":
                    raise MissedError(f"the daemon ended before there was {wanted}\n{self.tail()}")
                self._changed.wait(left)

    def wait_until(self, is_true: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
        """Poll `is_true` until it holds."""
        deadline = time.monotonic() + timeout_s
        while not is_true():
            for name, process in (("agent", self.agent), ("daemon", self.daemon)):
                if process and process.poll() is not None:
                    raise MissedError(
                        f"waiting for {what}: the {name} exited with {process.returncode}; {self.tail()}"
                    )
            if time.monotonic() > deadline:
                raise MissedError(f"no sign of {what} within {timeout_s} s; {self.tail()}")
            threading.Event().wait(0.02)

    def log(self, name: str = "daemon") -> str:
        """Return what the process wrote."""
        path = self.directory / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def tail(self) -> str:
        """Return the last words of both processes."""
        parts = []
        for name, process in (("daemon", self.daemon), ("agent", self.agent)):
            code = process.poll() if process else None
            ended = "" if code is None else f" (exited with {code})"
            parts.append(f"--- {name}{ended}\n" + "\n".join(self.log(name).splitlines()[-15:]))
        return "\n".join(parts)

    # --- the user, and the far end ---

    def say(self, name: str, *, in_s: float = 0.15) -> tuple[float, float]:
        """Have the user say `name`; return (start, end) of the words, CLOCK_MONOTONIC seconds."""
        words = load_speech(name)
        start_s = self.bed.say(words.samples, time.monotonic() + in_s, rate_hz=words.rate_hz)
        return start_s, start_s + words.duration_s

    def agent_log(self) -> list[Line]:
        """Return the simulated agent's log: every message with its CLOCK_MONOTONIC time."""
        path = self.directory / "agent.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def violations(self) -> list[str]:
        """Return what the agent holds against the client."""
        return [line["type"] for line in self.agent_log() if line["from"] == "violation"]

    def agent_heard(self) -> list[Samples]:
        """End the agent, and return what each of its sessions was sent: 24 kHz mono."""
        assert self.agent
        self.agent.send_signal(signal.SIGTERM)
        self.agent.wait(10)
        heard = []
        for path in sorted((self.directory / "agent-heard").glob("*.wav")):
            with wave.open(str(path)) as file:
                heard.append(np.frombuffer(file.readframes(file.getnframes()), np.int16))
        return heard

    def drop_connection(self) -> None:
        """Have the agent's end of the network vanish."""
        assert self.agent
        self.agent.send_signal(signal.SIGUSR1)


def _toml(value: object) -> str:
    """Return a value as TOML writes it; tables inline."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
