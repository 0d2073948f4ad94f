"""What the levels of a microphone mean, while nobody need speak. PURE.

The bounds come from data sheets: a bare I2S microphone (INMP441: -26 dBFS at 94 dB) is below -80 dBFS in a
quiet room of 35 dB, and speech at a metre 25 dB above that; a USB one brings its own gain of 20 dB or more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pivoice.audio.pcm import Samples
from pivoice.echo_advice import Knobs
from pivoice.findings import Finding

SILENCE_DB = -120.0
"""What exact zeros are told as."""
QUIET_DBFS = -78.0
LOUD_DBFS = -30.0  # louder than somebody who talks at a metre; a fan, a hum, music
ROAR_DBFS = -8.0  # no room: a wrong wire, or a wrong format
WANTED_DBFS = -60.0
DC = 0.03  # of full scale
CLIPPED = 4  # samples; fewer are no harm
_FULL_SCALE = 32768.0


@dataclass(frozen=True)
class Level:
    """How loud it was for a second."""

    rms_db: float
    peak_db: float
    clipped: int = 0
    dc: float | None = None
    """Mean, as a part of full scale; None where it is not known."""
    is_constant: bool = False
    """Not zeros, but one value all the time."""


def level_of(sound: Samples) -> Level:
    """Return the level of what was recorded."""
    if not len(sound):
        return Level(SILENCE_DB, SILENCE_DB)
    wide = sound.astype(np.float64)
    mean, loudness = float(wide.mean()), np.abs(sound.astype(np.int32))
    is_constant = float(np.ptp(wide)) <= 1 and bool(loudness.any())
    clipped = int(np.count_nonzero(loudness >= 32767))
    rms = float(np.sqrt(np.mean((wide - mean) ** 2)))
    return Level(_db(rms), _db(float(loudness.max())), clipped, mean / _FULL_SCALE, is_constant)


def level_told(lines: Sequence[Mapping[str, Any]]) -> Level:
    """Return the level of a second that the daemon measured, a tenth in each of `lines`."""
    power = [10 ** (float(line["rms_db"]) / 10) for line in lines if line["rms_db"] > SILENCE_DB]
    rms_db = 10 * math.log10(sum(power) / len(lines)) if power else SILENCE_DB
    peak_db = max((float(line["peak_db"]) for line in lines), default=SILENCE_DB)
    return Level(round(rms_db, 1), peak_db, sum(int(line.get("clipped", 0)) for line in lines))


def judged(level: Level, knobs: Knobs, *, what: str) -> Iterator[Finding]:
    """Yield what is to be told of `level`; `what` says how the microphone is open."""
    shown = f"{level.rms_db:.0f} dBFS of noise, at most {level.peak_db:.0f}"
    if level.peak_db <= SILENCE_DB:
        text = f"{what}: it gives nothing at all, not even noise"
        yield Finding("microphone", "fail", text, _unmute(knobs))
        return
    if level.is_constant:
        text = f"{what}: it gives one and the same value, no sound (an I2S data wire that is loose, for one)"
        yield Finding("microphone", "fail", text, _unmute(knobs))
        return
    if level.rms_db > ROAR_DBFS:
        todo = "check its wiring and its format (pivoice devices); no room is that loud"
        yield Finding("microphone", "fail", f"{what}: a roar of {level.rms_db:.0f} dBFS", todo)
        return
    if level.clipped >= CLIPPED:
        todo = f"turn the microphone down: {knobs.microphone} (F4 shows it)"
        if knobs.gain_db > 0:
            todo = f"lower audio.gain_db ({knobs.gain_db:g}) in {knobs.path}; else {todo}"
        text = f"{what}: it clips, {level.clipped} samples at full scale; {shown}"
        yield Finding("microphone", "warn", text, todo)
    elif level.rms_db > LOUD_DBFS:
        text = f"{what}: {shown}; that is loud, unless somebody talked"
        yield Finding(
            "microphone", "warn", text, f"switch off what hums, or turn it down: {knobs.microphone} (F4)"
        )
    elif level.rms_db < QUIET_DBFS:
        gain_db = min(40, round(knobs.gain_db + WANTED_DBFS - level.rms_db))
        todo = f"turn it up: {knobs.microphone} (F4); a bare I2S microphone needs audio.gain_db = {gain_db}"
        yield Finding("microphone", "warn", f"{what}: {shown}; that is very quiet", f"{todo} in {knobs.path}")
    else:
        yield Finding("microphone", "ok", f"{what}: {shown}")
    if level.dc is not None and abs(level.dc) > DC:
        text = f"a constant offset of {100 * abs(level.dc):.0f} % of full scale"
        yield Finding("microphone", "warn", text, "check its wiring and its power")


def _unmute(knobs: Knobs) -> str:
    return f"{knobs.microphone} (F4 shows it): is it muted, or at 0? Or it is another card: pivoice devices"


def _db(amplitude: float) -> float:
    return 20 * math.log10(amplitude / _FULL_SCALE) if amplitude else SILENCE_DB
