"""A Raspberry Pi made of files and of commands that answer as they are told, for the doctor to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pivoice import config
from pivoice.checks.machine import Machine, Outcome
from pivoice.checks.patient import Patient
from pivoice.clock import SystemClock
from pivoice.findings import Finding

NOW_S = 1_790_000_000.0  # 2026-09-21
GROUPS = "root:x:0:\naudio:x:29:pivoice\ngpio:x:997:pivoice\nspi:x:999:\npivoice:x:989:\n"


class FakePi:
    """Well in every respect, until a test says otherwise."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now_s = NOW_S
        self.is_root = True
        self.environ: dict[str, str] = {}
        self.asked: list[tuple[str, ...]] = []
        """Commands, in order."""
        self._answers: dict[tuple[str, ...], Outcome] = {}
        self.write("/proc/device-tree/model", "Raspberry Pi Zero 2 W Rev 1.0\0")
        self.write("/etc/os-release", 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\n')
        self.write("/etc/group", GROUPS)
        self.write("/proc/uptime", "5000.00 9000.00\n")
        self.says("id -nG pivoice", "pivoice audio gpio spi")

    def write(self, place: str, text: str) -> Path:
        path = self.root / place.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def says(self, command: str, text: str = "", *, code: int = 0, error: str = "") -> None:
        """Have every command that begins with these words answer so; the most words win."""
        self._answers[tuple(command.split())] = Outcome(code, text, error)

    def serves(self, **facts: str) -> None:
        """Have the service installed, running and well, save for what `facts` say."""
        shown = {
            "LoadState": "loaded",
            "ActiveState": "active",
            "SubState": "running",
            "Result": "success",
            "NRestarts": "0",
            "UnitFileState": "enabled",
            "NeedDaemonReload": "no",
            "User": "pivoice",
            "SupplementaryGroups": "",
            "ExecMainStatus": "0",
            "StatusText": "listening",
            "MainPID": "0",
            **facts,
        }
        self.says("systemctl show pivoice", "\n".join(f"{key}={value}" for key, value in shown.items()))

    def card(self, number: int, card_id: str, name: str = "USB Audio", *, sides: str = "cp") -> None:
        """Plug in a card; `sides`: c for capture, p for playback."""
        listed = self.root / "proc/asound/cards"
        before = listed.read_text() if listed.exists() else ""
        self.write(
            "/proc/asound/cards", f"{before} {number} [{card_id:<15}]: USB-Audio - {name}\n      more\n"
        )
        streams = {"c": "capture 1", "p": "playback 1"}
        line = " : ".join([f"{number:02}-00: {name}", name, *(streams[side] for side in sides)])
        listed = self.root / "proc/asound/pcm"
        self.write("/proc/asound/pcm", (listed.read_text() if listed.exists() else "") + line + "\n")
        for side in sides:
            self.write(f"/proc/asound/card{number}/pcm0{side}/sub0/status", "closed\n")

    @property
    def machine(self) -> Machine:
        return Machine(
            root=self.root,
            runs=self._run,
            environ=self.environ,
            now_s=lambda: self.now_s,
            is_root=self.is_root,
            architecture="aarch64",
        )

    def patient(self, toml: str = "") -> Patient:
        return Patient("/etc/pivoice/pivoice.toml", config.parse(toml), SystemClock(), self.machine)

    def _run(self, command: Sequence[str], given: str, timeout_s: float) -> Outcome:
        self.asked.append(tuple(command))
        for length in range(len(command), 0, -1):
            if (answer := self._answers.get(tuple(command[:length]))) is not None:
                return answer
        return Outcome(127)


Look = Callable[[Patient], Iterator[Finding]]


def told(look: Look, patient: Patient) -> list[Finding]:
    return list(look(patient))


def only(look: Look, patient: Patient) -> Finding:
    """Return the one finding there is."""
    (finding,) = look(patient)
    return finding
