"""What there is to record from and to play to: each card's microphones and speakers, and who has them open.

Any thread; opens no card: reads what the kernel tells in /proc/asound, each time anew.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pivoice.audio.cards import PROC, Card, card_of, listed_cards

Side = Literal["capture", "playback"]

_LONGEST = 60  # of a program's name
_LISTED = re.compile(r"(?P<card>\d+)-(?P<device>\d+): (?P<rest>.*)")
_STREAM = re.compile(r"(?P<side>playback|capture) (?P<count>\d+)")
_OWNER = re.compile(r"^owner_pid *: *(\d+)", re.MULTILINE)
_GROUP = re.compile(r"^Tgid:\s*(\d+)", re.MULTILINE)
_FACT = re.compile(r"^(\w+) *: *(\S+)", re.MULTILINE)
UNNAMED = "a program"
"""What a program is called whose name cannot be read: a hardened service sees no other user's."""
_DEVICE = re.compile(r"(?P<pcm>hw|plughw|dmix|dsnoop):(?P<arguments>.*)", re.DOTALL)


@dataclass(frozen=True)
class Port:
    """One device of a card, on one side: what a PCM opens."""

    card: Card
    number: int
    """The card's: it moves whenever something is plugged in, and is nothing to write down."""
    device: int
    side: Side
    name: str
    """The device's own, which may be the card's over again, or empty."""
    subdevices: int = 1
    """How many can have it open at once, without a mixer in software."""

    @property
    def pcm(self) -> str:
        """Its stable name, to be written into the configuration."""
        return f"plughw:CARD={self.card.id},DEV={self.device}"

    @property
    def bare(self) -> str:
        """The same without any conversion."""
        return f"hw:CARD={self.card.id},DEV={self.device}"

    @property
    def node(self) -> str:
        """Its name in /dev/snd."""
        return f"pcmC{self.number}D{self.device}{self.side[0]}"


@dataclass(frozen=True)
class Holder:
    """A program that has a port open."""

    pid: int
    program: str
    set_to: str = ""
    """What it set the card to: "S16_LE, 48000 Hz, 2 channels"; empty where that cannot be read."""

    def __str__(self) -> str:
        return f"{self.program} (pid {self.pid})"


def ports(*, proc: Path = PROC) -> list[Port]:
    """Return every microphone and speaker of every card, in the kernel's order."""
    cards = dict(listed_cards(proc))
    found = []
    for line in _read(proc / "pcm").splitlines():
        if not (listed := _LISTED.fullmatch(line.strip())) or int(listed["card"]) not in cards:
            continue
        number, device = int(listed["card"]), int(listed["device"])
        names: list[str] = []
        for part in listed["rest"].split(" : "):
            if stream := _STREAM.fullmatch(part.strip()):
                side: Side = "capture" if stream["side"] == "capture" else "playback"
                name = names[-1] if names else ""
                found.append(Port(cards[number], number, device, side, name, int(stream["count"])))
            else:
                names.append(part.strip())
    return found


def port_of(pcm: str, side: Side, *, proc: Path = PROC, etc: Path = Path("/etc")) -> Port | None:
    """Return the port that the PCM `pcm` leads to; None where that is not certain, or it is not there now."""
    card = card_of(pcm, proc=proc, etc=etc)
    if card is None:
        return None
    fitting = [each for each in ports(proc=proc) if each.card == card and each.side == side]
    if (device := _device_of(pcm)) is not None:
        fitting = [each for each in fitting if each.device == device]
    return fitting[0] if fitting else None


def holders_of(port: Port, *, proc: Path = PROC) -> list[Holder]:
    """Return who has `port` open now; nobody, where the kernel does not tell."""
    found = []
    place = proc / f"card{port.number}" / f"pcm{port.device}{port.side[0]}"
    for status in sorted(place.glob("sub*/status")):
        if owner := _OWNER.search(_read(status)):
            pid = _process_of(int(owner[1]), proc.parent)
            found.append(Holder(pid, program_of(pid, proc=proc.parent), _set_to(status.parent)))
    return found


def program_of(pid: int, *, proc: Path = Path("/proc")) -> str:
    """Return what people call the program that runs as `pid`: "pivoice", not "python3"."""
    words = [word for word in _read(proc / str(pid) / "cmdline").split("\0") if word]
    name = _program_name(words) or _read(proc / str(pid) / "comm").strip()
    # It gives itself that name, and we log it: no lines of its own, nothing that a terminal obeys.
    return "".join(each if each.isprintable() else "?" for each in name[:_LONGEST]) or UNNAMED


# --- private ---


def _program_name(words: list[str]) -> str:
    """Return the name of what was started by `words`: a script's or a module's, not its interpreter's."""
    names = [Path(word).name for word in words]
    if not names or not re.fullmatch(r"python[\d.]*", names[0]):
        return names[0] if names else ""
    if "-m" in words[:-1]:
        return words[words.index("-m") + 1]
    scripts = [name for name in names[1:] if not name.startswith("-")]
    return scripts[0] if scripts else names[0]


def _process_of(thread: int, proc: Path) -> int:
    """Return the process of a thread: the kernel tells which thread opened the card."""
    group = _GROUP.search(_read(proc / str(thread) / "status"))
    return int(group[1]) if group else thread


def _set_to(place: Path) -> str:
    facts = dict(_FACT.findall(_read(place / "hw_params")))
    if not {"format", "rate", "channels"} <= facts.keys():
        return ""
    plural = "" if facts["channels"] == "1" else "s"
    return f"{facts['format']}, {facts['rate']} Hz, {facts['channels']} channel{plural}"


def _device_of(pcm: str) -> int | None:
    """Return the device that `pcm` names; None where it names none and any of the card's will do."""
    name = _DEVICE.fullmatch(pcm)
    if name is None:
        return None
    given = re.sub("[\"' ]", "", name["arguments"]).split(",")
    named = [each.removeprefix("DEV=") for each in given if each.startswith("DEV=")]
    if not named and len(given) > 1 and "=" not in given[1]:
        named = [given[1]]
    return int(named[0]) if named and named[0].isdecimal() else 0


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
