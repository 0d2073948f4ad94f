"""Every sound card there is, for `pivoice devices`: what each can do, which is configured, who uses it.

Any thread, no daemon's. Never opens a card that somebody has open.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pivoice.audio import abilities
from pivoice.audio.abilities import Abilities
from pivoice.audio.cards import PROC, cancels_itself, card_of, default_owner
from pivoice.audio.ports import Holder, Port, Side, holders_of, port_of, ports
from pivoice.config import AudioConfig
from pivoice.errors import DeviceError
from pivoice.views.meters import safe

DEV = Path("/dev/snd")

SIDES: dict[Side, str] = {"capture": "microphones", "playback": "speakers"}
_OURS = {"capture": "listening on", "playback": "playing to"}
_SERVERS = ("pipewire", "pulseaudio", "wireplumber", "pipewire-pulse")
_NOT_USED: Mapping[str, object] = {}


@dataclass(frozen=True)
class Machine:
    """Where things are; the tests have machines of their own."""

    proc: Path = PROC
    etc: Path = Path("/etc")
    dev: Path = DEV
    ask: Callable[[str, Side], Abilities] = abilities.asked

    def port_of(self, pcm: str, side: Side) -> Port | None:
        return port_of(pcm, side, proc=self.proc, etc=self.etc)


@dataclass(frozen=True)
class Row:
    """One port, and all that is known of it."""

    port: Port
    abilities: Abilities | None
    is_configured: bool
    cancels_echo: bool
    """It takes out of its microphone what it plays, by itself."""
    is_ours: bool = False
    """The running pivoice has it open."""
    holders: tuple[Holder, ...] = ()
    trouble: str = ""
    """Why it cannot be opened now, and what to do; empty where it can, or nobody tried."""

    @property
    def is_free(self) -> bool:
        """Whether it could be opened now."""
        return not self.trouble and not self.is_ours and len(self.holders) < self.port.subdevices

    @property
    def name(self) -> str:
        """What people call it."""
        card, own = safe(self.port.card.name), safe(self.port.name)
        return card if not own or own in card or own == "USB Audio" else f"{card}, {own}"

    @property
    def use(self) -> str:
        """Who uses it now, in a sentence; empty where nobody does."""
        set_to = next((f" ({each.set_to})" for each in self.holders if each.set_to), "")
        if self.is_ours:
            return f"pivoice is {_OURS[self.port.side]} it{set_to}"
        if not self.holders:
            return ""
        is_server = any(each.program in _SERVERS for each in self.holders)
        more = ", the sound server of a login session" if is_server else ""
        return "in use by " + ", ".join(safe(each) for each in self.holders) + more + set_to

    def as_json(self) -> dict[str, object]:
        """Return the same for other programs."""
        return {
            "pcm": self.port.pcm,
            "name": self.name,
            "card": self.port.card.id,
            "device": self.port.device,
            "abilities": asdict(self.abilities) if self.abilities else None,
            "is_configured": self.is_configured,
            "is_free": self.is_free,
            "is_ours": self.is_ours,
            "used_by": [asdict(each) for each in self.holders],
            "cancels_echo": self.cancels_echo,
            "trouble": self.trouble,
        }


@dataclass(frozen=True)
class Inventory:
    """Everything found."""

    rows: tuple[Row, ...]
    configured: dict[Side, str]
    missing: dict[Side, str] = field(default_factory=dict)
    """Why the configured one is not among the rows, where it is not."""
    default_owner: str = ""
    """Who has "default", where that is not the first card."""

    def of(self, side: Side) -> list[Row]:
        """Return the rows of one side."""
        return [row for row in self.rows if row.port.side == side]


def take_stock(audio: AudioConfig, status: Mapping[str, object], machine: Machine = Machine()) -> Inventory:
    """Return what is there. `status`: what a running pivoice says of itself, else empty."""
    configured: dict[Side, str] = {"capture": audio.capture, "playback": audio.playback}
    found = {side: machine.port_of(pcm, side) for side, pcm in configured.items()}
    ours = {side: _port_in_use(status, side, machine) for side in SIDES}
    rows = tuple(
        _row(
            port,
            machine,
            audio.channel,
            is_configured=port == found[port.side],
            is_ours=port == ours[port.side],
        )
        for port in ports(proc=machine.proc)
    )
    missing = {
        side: why
        for side, pcm in configured.items()
        if not any(row.is_configured for row in rows if row.port.side == side)
        and (why := _why_missing(pcm, side, machine))
    }
    return Inventory(rows, configured, missing, default_owner(etc=machine.etc))


def held_name(status: Mapping[str, object], side: Side) -> str:
    """Return the name by which a running pivoice has `side` open; "" where it has not."""
    part = status.get(side)
    facts = part if isinstance(part, Mapping) else _NOT_USED
    name = facts.get("device")
    return name if isinstance(name, str) and facts.get("is_open") is True else ""


def _port_in_use(status: Mapping[str, object], side: Side, machine: Machine) -> Port | None:
    name = held_name(status, side)
    return machine.port_of(name, side) if name else None


def _row(port: Port, machine: Machine, channel: int, *, is_configured: bool, is_ours: bool) -> Row:
    holders = tuple(holders_of(port, proc=machine.proc))
    trouble = _no_access(port, machine.dev)
    can = None
    if not trouble and not is_ours and len(holders) < port.subdevices:
        try:
            can = machine.ask(port.bare, port.side)
        except DeviceError as error:
            trouble = f"{error.reason}; {error.advice}" if error.advice else error.reason
    return Row(
        port=port,
        abilities=can or abilities.told(port, proc=machine.proc),
        is_configured=is_configured,
        cancels_echo=cancels_itself(port.card, channel if port.side == "capture" else 0),
        is_ours=is_ours,
        holders=holders,
        trouble=safe(trouble),
    )


def _no_access(port: Port, dev: Path) -> str:
    """Return why this user may not open `port`; "" where they may."""
    node = dev / port.node
    if os.access(node, os.R_OK | os.W_OK):
        return ""
    if not node.exists():
        return f"there is no {node}; in a container, pass /dev/snd through"
    return f"you may not open it; sudo usermod -aG audio {_user()}, and log in again, or use sudo"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name
        return "$USER"


def _why_missing(pcm: str, side: Side, machine: Machine) -> str:
    """Say why the configured `pcm` is not one of the cards listed."""
    if pcm.startswith("simulated:"):
        return "it is simulated: no card"
    card = card_of(pcm, proc=machine.proc, etc=machine.etc)
    if card is not None:
        what = "microphone" if side == "capture" else "speaker"
        return f"that is the card {card.id}, which has no such {what}; write one of the names above"
    if pcm == "default":
        if owner := default_owner(etc=machine.etc):
            return f"that is {owner}, not a card for certain; a card's own name is safer in a service"
        return "there is no first card"
    if "CARD=" in pcm or pcm.partition(":")[0] in ("hw", "plughw"):
        return "there is no such card now; check its cable, or write one of the names above"
    return "ALSA's configuration has to say what that is"
