"""The echo stage: what the microphone heard, without what the speaker said. Its interface, and its table.

Capture thread. Half duplex and "none" have no stage: half duplex lives in capture.py and feed.py, and a
device without any file of the table is a whole one.
"""

from __future__ import annotations

import importlib
from typing import NamedTuple, Protocol, cast

from pivoice.audio.gate import HalfDuplexGate
from pivoice.audio.pcm import Samples
from pivoice.audio.reference import Reference

STAGES = {"webrtc": "pivoice.audio.echo:WebrtcStage"}
"""What implements a value of `audio.echo`."""


TAP = "speexdsp"
"""`EchoStage.status()["tap"]` where the wake word has an ear of its own; else it says why not."""


class Heard(NamedTuple):
    """What is left of a period, 16 kHz. Both have the same length, which is not always the period's."""

    uplink: Samples
    """For the agent: nothing of its own voice, even at the price of some of the user's."""
    ear: Samples
    """For the wake word: all of the user's voice, even at the price of some of the agent's."""
    is_onset: bool = False
    """Somebody begins to speak over a reply."""


class EchoStage(Protocol):
    """Near end in; the far end it has from the `Reference` that it was made with."""

    delay_s: float
    """How much later than the microphone `Heard` is."""

    def process(self, near: Samples, *, start_s: float) -> Heard:
        """Take the next samples of the microphone, 16 kHz, the first of which was captured at `start_s`."""

    @property
    def is_idle(self) -> bool:
        """The speaker is at rest, and nothing of it is left: the microphone passes as it is, but later."""

    def pass_by(self, near: Samples) -> Samples:
        """Take the next samples, captured while the speaker was at rest, as `process` would then.

        A leap of whole 10 ms since those before is fine: a stage at rest remembers 20 ms.
        """

    def discontinuity(self) -> None:
        """The microphone lost samples, or was opened anew."""

    def turned(self) -> None:
        """The echo is louder or softer than it was, and not because of the samples: a volume was turned."""

    def status(self) -> dict[str, object]:
        """Return what `ctl status` shows. Any thread."""


def missing(mode: str) -> str:
    """Return why there can be no stage for `mode`; "" when there can."""
    try:
        _load(mode)
    except (KeyError, ImportError, AttributeError, OSError) as error:
        return str(error) or type(error).__name__
    return ""


def open_stage(mode: str, reference: Reference, gate: HalfDuplexGate) -> EchoStage:
    """Return the stage for `mode`, which is not `missing`. `gate` knows when a reply is audible."""
    return cast(EchoStage, _load(mode)(reference, gate))


def _load(mode: str) -> type:
    if mode not in STAGES:
        raise KeyError(f"there is no echo canceller {mode!r}")
    module, _, name = STAGES[mode].partition(":")
    return cast(type, getattr(importlib.import_module(module), name))
