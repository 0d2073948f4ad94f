"""The main job, seen and measured: a whole conversation with the real daemon. Started by `./scripts/demo`.

On the bed (the default) microphone and speaker are files below the real libasound, and the user is a
neural voice; with --live they are the machine's sound card, and the user is whoever sits in front of it.
Everything else is the same: `pivoice run` and `pivoice simulate-agent` as processes, a real socket
between them, and a screen made of nothing but what `pivoice ctl watch` streams.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import threading
import time
import wave
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from pivoice.errors import PivoiceError  # noqa: E402
from tests.support.bed import Bed  # noqa: E402
from tests.support.speech import load_speech  # noqa: E402
from tests.support.stage import Line, MissedError, Stage  # noqa: E402

ECHO_PERCENT, ECHO_S = 50, 0.03  # what the microphone hears of the speaker: a box with both in it
AUDIBLE = 100  # of 32767, about -50 dBFS: what counts as sound
SCRIPT = (
    ("user_wake_time", "Hey Jarvis, what time is it?", "agent_time", "agent_long"),
    ("user_barge", "Wait, stop. What about tomorrow?", "agent_tomorrow"),
    ("user_weather", "And what will the weather be?", "agent_weather"),
)


class Screen:
    """Prints what the daemon's watch stream says, as it comes."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.began_s = time.monotonic()

    def tell(self, text: str, *, at_s: float | None = None) -> None:
        seconds = (at_s or time.monotonic()) - self.began_s
        self.console.print(f"[dim]{seconds:6.2f} s[/]  {text}", highlight=False, soft_wrap=True)

    def show(self, line: Line) -> None:
        text = self._render(line)
        if text:
            self.tell(text, at_s=line.get("time_s"))

    def _render(self, line: Line) -> str:
        match line["event"]:
            case "state":
                light = line["light"]
                red, green, blue = (int(255 * part) for part in light["colour"])
                dot = "○" if light["style"] == "off" else f"[rgb({red},{green},{blue})]●[/]"
                return f"{dot} [bold]{light['pattern']}[/] [dim]({line['state']}, link {line['link']})[/]"
            case "transcript" if line["final"]:
                cut = " [yellow](interrupted)[/]" if line.get("interrupted") else ""
                who = "[cyan]user [/]" if line["who"] == "user" else "[magenta]agent[/]"
                return f"  {who} “{escape(line['text'])}”{cut}"
            case "wake":
                return f"  wake word [bold]{line['model']}[/], score {line['score']:.2f}"
            case "session":
                return f"  session {line['state']}"
            case "reply" if line["state"] == "first_audio":
                return "  [dim]the reply's first audio arrives (silence leads it)[/]"
            case "interrupted":
                return "  [yellow]the agent's server says: interrupted[/]"
        return ""


class Demo:
    """One conversation: what the user does, and what must follow."""

    def __init__(self, stage: Stage, screen: Screen, *, live: bool) -> None:
        self.stage, self.screen, self.live = stage, screen, live
        self.at = 0  # index into the watched lines: everything before it has been waited for
        self.latencies: list[tuple[str, float]] = []
        self.patience_s = 60.0 if live else 20.0

    def wait(self, event: str, **match: object) -> Line:
        index, line = self.stage.wait_for(event, after=self.at, timeout_s=self.patience_s, **match)
        self.at = index + 1
        return line

    def say(self, name: str, words: str) -> tuple[float, float]:
        if self.live:
            self.screen.tell(f"[bold reverse] now you: [/] “{words}”")
            return time.monotonic(), time.monotonic()
        start_s, end_s = self.stage.say(name)
        self.screen.tell(f"[bold]the user says[/] “{words}”", at_s=start_s)
        return start_s, end_s

    def measured(self, name: str, from_s: float, to_s: float | None) -> None:
        if not self.live and to_s is not None:
            self.latencies.append((name, 1000 * (to_s - from_s)))

    def run(self) -> None:
        start_s, end_s = self.say(SCRIPT[0][0], SCRIPT[0][1])
        wake = self.wait("wake")
        self.measured(
            "wake word's end → wake decision",
            start_s + load_speech(SCRIPT[0][0]).facts["wake_end_s"],
            wake["time_s"],
        )
        ready = self.wait("session", state="ready")
        self.measured("wake decision → session ready", wake["time_s"], ready["time_s"])
        self.wait("transcript", who="user", final=True)
        self.wait("state", state="speaking")
        self.measured("end of speech → first audible sample", end_s, self._sound_after(end_s))

        end_s, cut_s = self._talk_over()
        self.wait("transcript", who="user", final=True)
        self.measured("interruption → silence", cut_s, self._silent_from(cut_s))
        self.wait("state", state="speaking")
        self.measured(
            "end of speech → first audible sample, after the barge-in", end_s, self._sound_after(end_s)
        )
        self.wait("state", state="listening")

        self.screen.tell("[bold]the network drops[/]; the user goes on talking")
        self.stage.drop_connection()
        self.wait("session", state="dropped")
        _, end_s = self.say(SCRIPT[2][0], SCRIPT[2][1])
        self.wait("session", state="resumed")
        self.wait("transcript", who="user", final=True)
        self.wait("state", state="speaking")
        self._sound_after(end_s)
        self.wait("state", state="listening")

        self.screen.tell("[bold]silence[/]: the conversation ends by itself")
        self.wait("state", state="idle", link="down")
        status = self.stage.ctl("status")
        if not status["hears"] or status["state"] != "idle":
            raise MissedError(f"the device should be listening locally again: {status}")

    def _talk_over(self) -> tuple[float, float]:
        """Have the user take the floor; return when they had spoken, and when the answer was cut."""
        echo = self.stage.ctl("status")["echo"]
        if echo == "half_duplex":  # with --live, on a machine without an echo canceller
            self.screen.tell("[bold]let the answer end[/]: half duplex does not hear you before")
            ended_s = self.wait("state", state="listening")["time_s"]
            return self.say(SCRIPT[1][0], SCRIPT[1][1])[1], ended_s
        threading.Event().wait(4.0)  # let the answer be heard before it is talked over
        why = "" if self.live else f"; the microphone hears the speaker at {ECHO_PERCENT} %"
        self.screen.tell(f"[dim]now the user talks over the answer (echo = {echo}{why})[/]")
        start_s, end_s = self.say(SCRIPT[1][0], SCRIPT[1][1])
        self.measured(
            "user's first sound → reply ducked", start_s, self.wait("state", state="yielding")["time_s"]
        )
        return end_s, self.wait("interrupted")["time_s"]

    def _sound_after(self, end_s: float) -> float | None:
        return None if self.live else self.stage.bed.wait_audible(end_s, self.patience_s, AUDIBLE)

    def _silent_from(self, cut_s: float) -> float | None:
        """Return when the last sound after the interruption ended; the next reply is far away still."""
        return None if self.live else self.stage.bed.last_audible(cut_s, cut_s + 0.5, 0) or cut_s

    def check_uplink(self) -> None:
        """Hold the far end's own record against what must be true of it."""
        if faults := self.stage.violations():
            raise MissedError(f"the agent complains about the client: {faults}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="./scripts/demo", description=__doc__)
    parser.add_argument(
        "--live", action="store_true", help="use this machine's sound card and your own voice"
    )
    parser.add_argument("--capture", default="default", help="with --live: ALSA name of the microphone")
    parser.add_argument("--playback", default="default", help="with --live: ALSA name of the speaker")
    parser.add_argument(
        "--output", type=Path, default=ROOT / "demo.wav", help="where to write what was played"
    )
    options = parser.parse_args()

    if not options.live:
        try:
            options.output.open("ab").close()
        except OSError as error:
            print(
                f"demo: cannot write {options.output}: {error.strerror}; choose another --output",
                file=sys.stderr,
            )
            return 2
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))  # through every `finally`

    console = Console(force_terminal=sys.stdout.isatty() or "FORCE_COLOR" in os.environ)
    try:
        with tempfile.TemporaryDirectory(prefix="pivoice-demo-") as directory:
            return _run(Path(directory), options, console)
    except KeyboardInterrupt:
        console.print("\nstopped")
        return 130


def _run(directory: Path, options: argparse.Namespace, console: Console) -> int:
    script = directory / "script.json"
    turns = [{"user_text": words, "wav": str(_voice(directory, *wavs))} for _, words, *wavs in SCRIPT]
    script.write_text(json.dumps(turns))
    screen = Screen(console)
    settings: dict[str, dict[str, object]] = {
        "turn": {"follow_up_s": 8.0 if options.live else 4.0},
    }
    cards = (options.capture, options.playback) if options.live else ("bed_mic", "bed_speaker")
    with (
        Bed(echo_percent=ECHO_PERCENT, echo_s=ECHO_S) as bed,
        Stage(directory, settings=settings, agent=["--script", str(script)], bed=bed, cards=cards) as stage,
    ):
        shown = threading.Thread(target=_follow, args=(stage, screen), daemon=True)
        try:
            screen.tell("starting the agent and the daemon ...")
            stage.start()
            shown.start()
            demo = Demo(stage, screen, live=options.live)
            demo.run()
            demo.check_uplink()
        except (MissedError, TimeoutError, PivoiceError) as missed:
            console.print(
                f"\n[bold red]The conversation did not happen:[/] {escape(str(missed))}", soft_wrap=True
            )
            return 1
        if not options.live:
            _write_wav(stage, options.output)
    _print_latencies(console, demo.latencies)
    console.print("\n[bold green]The whole conversation happened.[/]", end=" ")
    console.print("" if options.live else f"What the speaker played is in {options.output}")
    return 0


def _voice(directory: Path, *names: str) -> Path:
    """Write what the agent says in one turn, of one or more speeches, with its words beside it."""
    parts = [load_speech(name) for name in names]
    path = directory / f"{'-'.join(names)}.wav"
    path.with_suffix(".json").write_text(json.dumps({"text": " ".join(part.text for part in parts)}))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(parts[0].rate_hz)
        file.writeframes(b"".join(part.samples.tobytes() for part in parts))
    return path


def _follow(stage: Stage, screen: Screen) -> None:
    """Show the lines as they come, until the process ends."""
    shown = 0
    while True:
        for line in stage.lines[shown:]:
            screen.show(line)
            shown += 1
        threading.Event().wait(0.03)


def _write_wav(stage: Stage, path: Path) -> None:
    stage.bed.save_heard(path, stage.bed.epoch_s)
    if "SUDO_UID" in os.environ and os.geteuid() == 0:
        os.chown(path, int(os.environ["SUDO_UID"]), int(os.environ["SUDO_GID"]))


def _print_latencies(console: Console, latencies: list[tuple[str, float]]) -> None:
    if not latencies:
        return
    table = Table(title="measured on the sound card's own timeline", title_justify="left")
    table.add_column("from → to")
    table.add_column("ms", justify="right")
    for name, ms in latencies:
        table.add_row(name, f"{ms:.0f}")
    console.print()
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
