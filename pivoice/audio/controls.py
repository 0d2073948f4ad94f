"""A card's own volume controls: the interface, the table of what implements it, and which of many is meant.

A control is opened, asked or moved, and closed, all in one thread that nobody waits for: behind it is a USB
transfer, which may take 10 ms, or hang.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from typing import Protocol, cast

from pivoice.audio import simulated_mixer
from pivoice.audio.loudness_scale import Scale, softness
from pivoice.audio.ports import Side
from pivoice.config import AudioConfig
from pivoice.errors import DeviceError

# Behind each other: the first there is moves all that sounds. Beside each other: the first, too, because what
# is plugged in where cannot be known; `audio.mixer` names another.
IN_A_ROW = ("Master", "PCM", "Digital", "Playback", "DAC", "Speaker Digital")
ABREAST = ("Speaker", "Headphone", "Headset", "Line Out", "Lineout", "HDMI", "HP", "Output")
OF_A_MICROPHONE = (
    "Capture",
    "Mic",
    "Microphone",
    "ADC",
    "ADC PCM",
    "PGA",
    "Input",
    "Headset",
    "Digital",
    "PCM",
)
NO_SPEAKER = (
    "mic", "boost", "sidetone", "loopback", "alc", "agc", "auto gain", "capture", "input", "adc", "bypass",
    "beep", "bass", "treble", "tone", "monitor", "line in", "aux", "cd", "3d", "limit",
)  # fmt: skip
NO_MICROPHONE = ("boost", "sidetone", "loopback", "alc", "agc", "auto gain", "limit", "monitor")
_LESS_LIKELY = {"playback": ("Line",), "capture": ()}  # the way out of a line input, on a sound card of a PC


class Control(Protocol):
    """One volume control of a card, open."""

    label: str
    """For people: "mixer 'PCM' of card Device"."""
    scale: Scale

    def read(self) -> float | None:
        """Return where it is, its loudest channel; None: switched off.

        Raises:
            DeviceError: the card does not answer.
        """

    def write(self, value: float) -> None:
        """Move all channels to `value`, or to the next step above it, and switch it on.

        Raises:
            DeviceError: the card does not do it.
        """

    def close(self) -> None:
        """Let it go."""


Opener = Callable[[str, Side, str, int | None], Control | None]

IMPLEMENTATIONS = {
    "alsa": "pivoice.audio.card_mixer:open_control",
    "simulated": "pivoice.audio.simulated_mixer:open_control",
}
"""What opens the control of a PCM, by the prefix of its name. A name without one of these is ALSA's."""


def open_control(pcm: str, side: Side, wanted: str = "auto", card_no: int | None = None) -> Control | None:
    """Return the control of the PCM that is called `pcm`; None: it has none, or it cannot be told which.

    `wanted`: "auto", or its name. `card_no`: the kernel's number of the PCM's card, where that is known.
    It may take its time, or never return.

    Raises:
        DeviceError: there is none that is called so, or the card does not answer.
    """
    place = IMPLEMENTATIONS.get(pcm.partition(":")[0], IMPLEMENTATIONS["alsa"])
    module, _, name = place.partition(":")
    return cast(Opener, getattr(importlib.import_module(module), name))(pcm, side, wanted, card_no)


def may_have_one(pcm: str, side: Side, wanted: str) -> bool:
    """Return whether it is worth asking: not where the owner wants none, nor without a card. Never waits."""
    if wanted == "none":
        return False
    if not pcm.startswith("simulated:"):
        return True
    return simulated_mixer.is_fitted(pcm, side)


def loudest_softness(audio: AudioConfig, card_no: int | None) -> float:
    """Return the factor at which samples are played, with the card's control where it is now, and no louder
    than audio.max_volume. Moves nothing; may take its time."""
    control = None
    try:
        if may_have_one(audio.playback, "playback", audio.mixer):
            control = open_control(audio.playback, "playback", audio.mixer, card_no)
        value = None if control is None else control.read()
    except DeviceError:  # told by whoever has to move it
        value = None
    finally:
        if control is not None:
            control.close()
    if control is None or value is None:
        return softness(audio.max_volume)
    is_in_bounds = control.scale.level_of(value) <= audio.max_volume
    return 1.0 if is_in_bounds else control.scale.rest(audio.max_volume, value)


def choose(names: Sequence[str], side: Side) -> str | None:
    """Return which of a card's controls of one side is the one: by name, or because it is the only one."""
    no, usual = (NO_SPEAKER, IN_A_ROW + ABREAST) if side == "playback" else (NO_MICROPHONE, OF_A_MICROPHONE)
    fit = [each for each in names if not _says(each, no)]
    for name in usual:
        for each in fit:
            if each.casefold() == name.casefold():
                return each
    left = [each for each in fit if each not in _LESS_LIKELY[side]]
    for name in usual:
        for each in left:
            if _says(each, (name.casefold(),)):
                return each
    return left[0] if len(left) == 1 else None


def _says(name: str, words: Sequence[str]) -> bool:
    """Whether one of `words` stands in `name`, or begins a word of it: "alc" is not in "Talc"."""
    return any(re.search(rf"(?<![a-z]){re.escape(word)}", name.casefold()) for word in words)
