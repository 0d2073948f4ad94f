"""Which of a card's own volume controls are off: the usual cause of a silence. Changes nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pivoice.checks.machine import Machine

# Of playback: behind each other, so that one that is off silences all; and beside each other, of which one is
# enough. Codecs have dozens of others that are off for a reason.
_IN_A_ROW = ("Master", "PCM", "Digital", "Playback")
_ABREAST = ("Speaker", "Headphone", "Line Out", "Lineout")
_NO_MICROPHONE = ("boost", "sidetone", "loopback", "alc", "agc", "auto gain")
_VALUE = re.compile(r"(Playback|Capture)(?: \d+)?((?: \[[^\]]*\])+)")


@dataclass(frozen=True)
class Control:
    """One of the mixer's, as far as one side is concerned."""

    name: str
    is_off: bool
    """In every channel: switched off, or at 0."""


def muted(machine: Machine, card_id: str, side: str) -> list[str]:
    """Return the controls that keep `side` ("capture" or "playback") of a card silent."""
    controls = _controls(machine, card_id, side)
    if side == "capture":
        named = [each for each in controls if not any(word in each.name.lower() for word in _NO_MICROPHONE)]
        return [each.name for each in named] if named and all(each.is_off for each in named) else []
    off = [each.name for each in controls if each.is_off and each.name in _IN_A_ROW]
    abreast = [each for each in controls if each.name in _ABREAST]
    if abreast and all(each.is_off for each in abreast):
        off += [each.name for each in abreast]
    return off


def turn_up(card_id: str, side: str, names: list[str]) -> str:
    """Return the commands that switch them on."""
    switch = "cap" if side == "capture" else "unmute"
    return "; ".join(f"amixer -c {card_id} sset '{name}' 80% {switch}" for name in names)


def _controls(machine: Machine, card_id: str, side: str) -> list[Control]:
    outcome = machine.run("amixer", "-c", card_id, "scontents")
    if not outcome.is_well:
        return []
    found = []
    for block in outcome.text.split("Simple mixer control ")[1:]:
        name = re.match(r"'([^']*)'", block)
        values = {"Playback": [], "Capture": []}  # type: dict[str, list[bool]]
        for line in block.splitlines():
            if re.match(r"  [\w ]+: ", line) and "Limits" not in line:
                for kind, marks in _VALUE.findall(line):
                    values[kind].append("[off]" in marks or "[0%]" in marks)
        kind = side.capitalize()
        if name and values[kind]:
            found.append(Control(name[1], all(values[kind])))
    return found
