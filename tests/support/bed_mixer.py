"""The test bed's volume controls: what `amixer` would show of its card, and another hand on them.

    with Bed() as bed:
        mixer = BedMixer(bed, Knob("PCM", 0, 127, lowest_db=-63.5, step_db=0.5, has_switch=True))
        ...                                       # pivoice uses it for bed_speaker and plughw:CARD=bed
        mixer.turn("PCM Playback Volume", 64)     # alsamixer

How the card behaves is told in scripts/bed/ctl_pivoice.c.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tests.support.bed import Bed, build_plugin

_WIDTH = 8  # values of a control in the file
_NAMES = """
ctl_type.pivoice {{ lib "{plugin}" }}
ctl.bed_speaker {{ type pivoice; dir "{dir}" }}
ctl.bed_mic {{ type pivoice; dir "{dir}" }}
ctl.!hw {{
    @args [ CARD ]
    @args.CARD {{ type string }}
    type pivoice
    dir "{dir}"
}}
"""


@dataclass(frozen=True)
class Knob:
    """One control as `amixer scontrols` counts them, on one side. `step_db` 0: it tells no dB."""

    name: str
    lowest: int
    highest: int
    lowest_db: float = 0.0
    step_db: float = 0.0
    is_mute: bool = False
    """The lowest step is off."""
    side: Literal["Playback", "Capture"] = "Playback"
    channels: int = 2
    has_switch: bool = False

    @property
    def lines(self) -> list[tuple[str, str]]:
        """What mixer.controls says of it: each element's name, and its line."""
        volume = f"{self.name} {self.side} Volume"
        decibels = f"{round(100 * self.lowest_db)} {round(100 * self.step_db)} {int(self.is_mute)}"
        lines = [(volume, f"volume {self.channels} {self.lowest} {self.highest} {decibels} {volume}")]
        if self.has_switch:
            switch = f"{self.name} {self.side} Switch"
            lines.append((switch, f"switch {self.channels} 0 1 0 0 0 {switch}"))
        return lines


class BedMixer:
    """See the module. All values are 0 at first, switches off."""

    def __init__(self, bed: Bed, *knobs: Knob) -> None:
        self._dir = bed.dir
        lines = [line for knob in knobs for line in knob.lines]
        self._names = [name for name, _ in lines]
        (bed.dir / "mixer.controls").write_text("".join(f"{line}\n" for _, line in lines))
        (bed.dir / "mixer.values").write_bytes(bytes(4 * _WIDTH * len(lines)))
        with (bed.dir / "asound.conf").open("a") as file:
            file.write(_NAMES.format(plugin=build_plugin("ctl"), dir=bed.dir))

    def values(self, name: str) -> list[int]:
        """Return the first two channels of the element `name`."""
        content = (self._dir / "mixer.values").read_bytes()
        return np.frombuffer(content, "<i4").reshape(-1, _WIDTH)[self._names.index(name), :2].tolist()

    def turn(self, name: str, left: int, right: int | None = None) -> None:
        """Move the element `name`, as somebody else."""
        with (self._dir / "mixer.values").open("r+b") as file:
            file.seek(4 * _WIDTH * self._names.index(name))
            file.write(np.array([left, left if right is None else right], "<i4").tobytes())

    def writes(self, name: str) -> int:
        """Return how often the element `name` was written to."""
        log = self._dir / "mixer.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return sum(line.startswith(name) for line in lines)

    def fail(self, fault: Literal["unplug", "eio", "stall"]) -> None:
        """Let that go wrong until `mend`."""
        (self._dir / f"mixer.{fault}").touch()

    def mend(self) -> None:
        """Take every fault back."""
        for fault in ("unplug", "eio", "stall"):
            (self._dir / f"mixer.{fault}").unlink(missing_ok=True)
