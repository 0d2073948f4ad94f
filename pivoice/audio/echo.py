"""The echo stage: what the microphone heard, without what the speaker said.

PURE so far: `none` gives the microphone back. Half duplex needs no stage (it lives in capture.py and is
driven by the playback cursor); a canceller will come in here, fed by the playback thread.
"""

from __future__ import annotations

from typing import Protocol

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
