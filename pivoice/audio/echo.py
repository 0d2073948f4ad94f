"""The echo stage: what the microphone heard, without what the speaker said.

PURE so far: `none` gives the microphone back. Half duplex needs no stage (it lives in capture.py and is
driven by the playback cursor); a canceller will come in here, fed by the playback thread.
"""

from __future__ import annotations

from typing import Literal, Protocol

from pivoice.audio.pcm import Samples


class EchoStage(Protocol):
    """Near and far end in, near end out. 16 kHz, capture thread."""

    name: str

    def process(self, near: Samples) -> Samples:
        """Return as many samples as went in."""

    def discontinuity(self) -> None:
        """The microphone or the speaker lost samples: near and far no longer line up."""


class NoEchoStage:
    """Headphones, a speakerphone with its own canceller, or half duplex."""

    name = "none"

    def process(self, near: Samples) -> Samples:
        return near

    def discontinuity(self) -> None:
        pass


def is_half_duplex(echo: str) -> bool:
    """Return whether the setting `audio.echo` means that silence goes up while the agent is audible."""
    return resolve(echo) == "half_duplex"


def resolve(echo: str) -> Literal["half_duplex", "none"]:
    """Return what `audio.echo` stands for: "auto" is half duplex until there is a canceller."""
    return "none" if echo == "none" else "half_duplex"
