"""A rack of sound cards, each of one rate, one format and one number of channels: names as a kernel has them.

    with Rack() as rack:
        rack.mount({"a": Card(44100, 6, "S24_LE")})   # hw:CARD=a, and through plug plughw:CARD=a
        rack.play_to("a", frames)                     # from now on its microphone hears this, once
        first = rack.started("a", "mic")              # which of the frames was the first to be captured
        rack.played("a")                              # what its speaker was given, to the sample

The cards are those of the bed (bed.py), where one card is looked at in time; here there are hundreds, and it
is only their samples that count.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.bed import build_plugin
from tests.support.bed_card import Card, Samples

_CARDS = """
pcm_type.pivoice {{ lib "{plugin}" }}
pcm.!hw {{
    @args [ CARD DEV ]
    @args.CARD {{ type string }}
    @args.DEV {{ type integer default 0 }}
    type empty
    slave.pcm {{ @func concat strings [ "card_" $CARD ] }}
}}
pcm.!plughw {{
    @args [ CARD DEV ]
    @args.CARD {{ type string }}
    @args.DEV {{ type integer default 0 }}
    type plug
    slave.pcm {{ @func concat strings [ "card_" $CARD ] }}
}}
"""


class Rack:
    """Cards of files in a directory of their own. Mount them all before the first is opened."""

    def __init__(self) -> None:
        shared_memory = Path("/dev/shm")
        parent = shared_memory if os.access(shared_memory, os.W_OK) else None
        self._dir = Path(tempfile.mkdtemp(prefix="pivoice-rack-", dir=parent))
        self._cards: dict[str, Card] = {}
        self._outer_config = os.environ.get("ALSA_CONFIG_PATH")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._outer_config is None:
            os.environ.pop("ALSA_CONFIG_PATH", None)
        else:
            os.environ["ALSA_CONFIG_PATH"] = self._outer_config
        shutil.rmtree(self._dir, ignore_errors=True)

    def mount(self, cards: dict[str, Card]) -> None:
        """Put in all cards, by name."""
        text = _CARDS.format(plugin=build_plugin())
        for name, card in cards.items():
            self._cards[name] = card
            (self._dir / name).mkdir()
            text += f'pcm.card_{name} {{ type pivoice; dir "{self._dir}/{name}"; {card.definition} }}\n'
        (self._dir / "asound.conf").write_text(text)
        os.environ["ALSA_CONFIG_PATH"] = f"/usr/share/alsa/alsa.conf:{self._dir}/asound.conf"

    def play_to(self, name: str, frames: Samples) -> None:
        """Let the card's clock begin now, and its microphone hear `frames` (n x channels) from then on."""
        (self._dir / name / "mic.raw").write_bytes(self._cards[name].encode(frames))
        (self._dir / name / "epoch").write_text(f"{time.monotonic_ns()}\n")

    def started(self, name: str, side: str) -> int:
        """Return the frame of its timeline at which a side ("mic", "speaker") was last started."""
        lines = (self._dir / name / f"{side}.log").read_text().split("\n")
        return int([line for line in lines if line.endswith(" start")][-1].split()[0])

    def has_xrun(self, name: str, side: str) -> bool:
        return "xrun" in (self._dir / name / f"{side}.log").read_text()

    def played(self, name: str) -> Samples:
        """Return what was written to its speaker from the last start on, n x channels."""
        card, content = self._cards[name], (self._dir / name / "speaker.raw").read_bytes()
        frames = card.decode(content[: len(content) // card.frame_bytes * card.frame_bytes])
        return frames[self.started(name, "speaker") :]
