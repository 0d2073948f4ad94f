"""Sound cards: which there are, which are missing and why, who may use them, and who else does.

Opens none: reads what the kernel and ALSA's tools say. What they sound like is in sound.py.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pivoice import boards
from pivoice.audio.cards import listed_cards
from pivoice.audio.ports import Side, holders_of, port_of, ports
from pivoice.boards import Overlay
from pivoice.checks.lights import buses_of
from pivoice.checks.machine import Machine
from pivoice.checks.patient import SERVICE, Patient
from pivoice.findings import Finding

SIDES: dict[str, Side] = {"microphone": "capture", "speaker": "playback"}
SOUND_SERVERS = ("pipewire", "pulseaudio")
_NAMED = re.compile(r"CARD=[\"']?([^,\"'\s]+)")
_FIRST = re.compile(r"(?:plug)?hw:([^,=\s]+)(?:,|$)")
_KERNEL_SAYS = "sudo dmesg | grep -iE 'snd|asoc|i2s|codec'"


@dataclass(frozen=True)
class Found:
    """A card that the kernel knows."""

    number: int
    id: str
    name: str
    sides: tuple[str, ...]
    """"microphone", "speaker"."""

    def __str__(self) -> str:
        return f"{self.id} ({', '.join(self.sides) or 'no sound'}: {self.name})"


def found_cards(machine: Machine) -> list[Found]:
    """Return the cards in the kernel's order."""
    proc = machine.path("/proc/asound")
    there = {(port.number, port.side) for port in ports(proc=proc)}
    return [
        Found(
            number, card.id, card.name, tuple(what for what, side in SIDES.items() if (number, side) in there)
        )
        for number, card in listed_cards(proc)
    ]


def cards(patient: Patient) -> Iterator[Finding]:
    """What there is, and whether what is configured is among it."""
    if patient.is_simulated:
        yield Finding("cards", "ok", "simulated: microphone and speaker are files")
        return
    machine, found = patient.machine, found_cards(patient.machine)
    yield from _overlays(machine, found)
    if found:
        yield Finding("cards", "ok", "; ".join(map(str, found)))
    else:
        names = ", ".join(one.name for one in boards.OVERLAYS)
        todo = "plug in a USB card"
        if machine.is_pi:
            todo += f"; an I2S board needs its overlay: sudo ./scripts/install --i2s NAME ({names})"
        yield Finding("cards", "warn", "the kernel knows no sound card", todo)
    for what, side in SIDES.items():
        name = getattr(patient.config.audio, side)
        yield from _configured(patient, what, name, found)
    yield from _sound_servers(patient)


def permissions(patient: Patient) -> Iterator[Finding]:
    """Groups of the user that the service runs as, and whether we may look ourselves."""
    machine, user = patient.machine, patient.user
    wanted = _wanted_groups(patient)
    if user and user != "root":
        granted = machine.groups_of(user)
        if granted is None:
            text = f"the user {user}, whom the service runs as, is not there"
            yield Finding("groups", "fail", text, "sudo ./scripts/install")
        else:
            granted |= set(patient.unit.get("SupplementaryGroups", "").split())
            yield _granted(patient, wanted, granted)
    if machine.is_root or patient.is_simulated:
        return
    nodes = list(machine.path("/dev/snd").glob("pcm*"))
    closed = [each for each in nodes if not os.access(each, os.R_OK | os.W_OK)]
    if closed:
        mine = machine.run("id", "-un").text.strip() or "$USER"
        text = f"you ({mine}) may not use the sound cards, so they cannot be tried"
        todo = f"sudo pivoice doctor; for good: sudo usermod -aG audio {mine}, and log in again"
        yield Finding("groups", "warn", text, todo)
    elif nodes and user in ("", "root"):
        yield Finding("groups", "ok", "the sound cards are open to you")


def configured_board(machine: Machine) -> Overlay | None:
    """Return the I2S board that the boot configuration loads, the first if it loads several."""
    return next((one for one in boards.OVERLAYS if _is_configured(machine, one)), None)


# --- inside ---


def _configured(patient: Patient, what: str, pcm: str, found: list[Found]) -> Iterator[Finding]:
    """Whether the card that `pcm` names is there. A name that names none is left to opening it."""
    named = _NAMED.search(pcm) or _FIRST.match(pcm)
    if named is None or pcm.startswith("simulated:"):
        return
    setting, wanted = f"audio.{SIDES[what]}", named[1]
    fitting = [each for each in found if what in each.sides]
    if wanted.isdecimal():
        card = next((each for each in found if each.number == int(wanted)), None)
        if card is not None:
            text = f"{pcm!r} goes by a number, which another card may have after the next start"
            stable = f'{setting} = "plughw:CARD={card.id},DEV=0"'
            yield Finding(what, "warn", text, f"set {stable} in {patient.path}")
            return
    elif any(each.id == wanted for each in found):
        return
    patient.absent.add(what)
    board = boards.of_card(wanted)
    text = f"{setting} = {pcm!r}: no card {wanted!r} is there"
    if board is not None and not _is_configured(patient.machine, board):
        text += f"; its overlay {board.overlay} is not in the boot configuration"
        todo = f"sudo ./scripts/install --i2s {board.name}, then: sudo reboot"
    else:
        near = difflib.get_close_matches(wanted, [each.id for each in fitting], 1)
        meant = f"did you mean plughw:CARD={near[0]},DEV=0? " if near else ""
        there = ", ".join(f"plughw:CARD={each.id},DEV=0" for each in fitting) or "none"
        todo = f"{meant}Check its cable, or set {setting} in {patient.path}; there is {there}"
    yield Finding(what, "fail", text, todo)


def _overlays(machine: Machine, found: list[Found]) -> Iterator[Finding]:
    """Boards of the boot configuration whose card did not appear."""
    loaded = [one for one in boards.OVERLAYS if _is_configured(machine, one)]
    ids = [each.id for each in found]
    for board in loaded:
        if any(id_ == board.card_id or id_.startswith(f"{board.card_id}_") for id_ in ids):
            continue
        text = f"the boot configuration loads {board.overlay}, and its card {board.card_id} is not there"
        if machine.is_boot_config_newer:
            yield Finding("I2S", "warn", f"{text}: it was changed after the start", "sudo reboot")
        elif board.maker:
            todo = f"its driver comes from {board.maker}, and must be built again for each new kernel"
            yield Finding("I2S", "fail", text, f"{todo}; the kernel says why: {_KERNEL_SAYS}")
        else:
            yield Finding("I2S", "fail", text, f"check the board's seat; the kernel says why: {_KERNEL_SAYS}")
    if len(loaded) > 1:
        names = ", ".join(board.overlay for board in loaded)
        text = f"the boot configuration loads several boards for the one I2S bus: {names}"
        yield Finding("I2S", "warn", text, "leave one dtoverlay line, and: sudo reboot")


def _is_configured(machine: Machine, board: Overlay) -> bool:
    return board.overlay in boards.overlays_in(machine.boot_config[1])


def _sound_servers(patient: Patient) -> Iterator[Finding]:
    """Whether a sound server has a configured card: it takes them for whoever is logged in."""
    proc, etc = patient.machine.path("/proc/asound"), patient.machine.path("/etc")
    for what, side in SIDES.items():
        port = port_of(getattr(patient.config.audio, side), side, proc=proc, etc=etc)
        holders = holders_of(port, proc=proc) if port else []
        servers = [str(each) for each in holders if each.program.startswith(SOUND_SERVERS)]
        if servers:
            text = f"{', '.join(servers)} has the card of the {what} open"
            todo = (
                "give pivoice a card of its own; or end the sound server of whoever is logged in:"
                " systemctl --user stop pipewire.socket pipewire pipewire-pulse wireplumber"
            )
            yield Finding("sound server", "warn", text, todo)


def _wanted_groups(patient: Patient) -> list[str]:
    there = {line.partition(":")[0] for line in (patient.machine.read("/etc/group") or "").splitlines()}
    wanted = [] if patient.is_simulated else ["audio"]
    if patient.config.panel.driver == "gpio":
        wanted.append("gpio")
    if buses_of(patient.config.panel):
        wanted.append("spi")
    return [group for group in wanted if group in there]


def _granted(patient: Patient, wanted: list[str], granted: frozenset[str]) -> Finding:
    user, restart = patient.user, f"sudo systemctl restart {SERVICE}"
    missing = [group for group in wanted if group not in granted]
    if missing:
        text = f"{user}, whom the service runs as, is not in {' and '.join(missing)}"
        todo = f"sudo usermod -aG {','.join(missing)} {user} && {restart}"
        return Finding("groups", "fail" if "audio" in missing else "warn", text, todo)
    stale = _not_yet(patient.machine, patient.unit.get("MainPID", "0"), wanted)
    if stale:
        text = f"the service was started before {user} came into {' and '.join(stale)}"
        return Finding("groups", "fail" if "audio" in stale else "warn", text, restart)
    held = list(dict.fromkeys([*wanted, *({"spi"} & granted)]))
    return Finding("groups", "ok", f"{user} is in {', '.join(held) or 'those it needs (none)'}")


def _not_yet(machine: Machine, pid: str, wanted: list[str]) -> list[str]:
    """Return the groups of `wanted` that the running service has not: they are given at its start."""
    status = machine.read(f"/proc/{pid}/status") if pid not in ("", "0") else None
    numbers = re.search(r"^Groups:(.*)$", status or "", re.MULTILINE)
    own = re.search(r"^Gid:\s+(\d+)", status or "", re.MULTILINE)
    if numbers is None:
        return []
    held = {*numbers[1].split(), own[1] if own else ""}
    lines = (line.split(":") for line in (machine.read("/etc/group") or "").splitlines())
    by_name = {parts[0]: parts[2] for parts in lines if len(parts) > 2}
    return [group for group in wanted if by_name.get(group) not in held]
