"""How a reply ends when it is cut: hundreds of cuts in loud voiced speech, through the mouth's own code.

    cuts = cut_replies(folder)
    print(summary(cuts))

Real playback thread and mixer on the simulated card, in simulated time. A cut in a vowel is the worst case:
there is hardly anything above 5 kHz that could hide a click.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pivoice.audio import simulated
from pivoice.audio.buffers import WIRE_HZ, SpokenRing
from pivoice.audio.mixer import DUCK_DB
from pivoice.audio.pcm import Samples, from_db, to_int16
from pivoice.audio.playback import Mouth
from pivoice.audio.resample import resampled
from pivoice.config import AudioConfig
from pivoice.simulation import JumpLoop, run_jumping
from tests.support.speech import load_speech

CARD_HZ = simulated.SPEAKER_HZ
PERIOD_S = 0.02
PERIODS = 8  # of a reply that are heard before it is cut
AROUND_S = 0.010  # on either side of the cut
CLICK_HZ = 5000

_PERIOD = round(CARD_HZ * PERIOD_S)
_AROUND = round(CARD_HZ * AROUND_S)
_BEFORE = round(WIRE_HZ * PERIODS * PERIOD_S)
_BEHIND = round(WIRE_HZ * 0.2)
_TAPS = 255


@dataclass(frozen=True)
class Cut:
    """One reply that was cut."""

    rise_db: float
    """Energy above 5 kHz within 10 ms of the cut, against the same stretch uncut."""
    held_s: float
    """What the card still held when the cut was asked for."""
    lasted_s: float
    """From the call to the last sample that is not zero."""

    @property
    def excess_s(self) -> float:
        """How much longer it lasted than the card could help."""
        return self.lasted_s - self.held_s


def cut_replies(folder: Path, *, count: int = 300, seed: int = 4, ducked: bool = False) -> list[Cut]:
    """Return `count` cuts of the long reply in random vowels, `ducked` or loud. `folder` is for a file."""
    speech = load_speech("agent_long").at_rate(WIRE_HZ)
    generator = np.random.default_rng(seed)
    places = generator.choice(_vowels(speech), count, replace=False)
    name = f"simulated:{folder / 'cuts.wav'}"

    async def main(loop: JumpLoop) -> list[Cut]:
        begun: dict[object, float] = {}

        def report(_: str, facts: dict[str, object]) -> None:
            if facts["what"] == "first_sample":
                begun[facts["reply"]] = float(str(facts["time_s"]))

        mouth = Mouth(
            audio=AudioConfig(playback=name),
            clock=loop.clock,
            post=lambda _: None,
            report=report,
            spoken=SpokenRing(),
            gate=None,
        )
        mouth.set_ducked(ducked)
        mouth.start()
        await asyncio.sleep(PERIOD_S)
        cuts = []
        for serial, place in enumerate(places, 1):
            piece = speech[place - _BEFORE : place + _BEHIND]
            mouth.play(serial, piece.copy())
            mouth.end(serial)
            await asyncio.sleep(0.1)  # it begins at once, within two periods
            # any moment at which the next period to be mixed is the one that begins with `place`
            call_s = begun[serial] + (PERIODS - 2 + float(generator.uniform(0.01, 0.99))) * PERIOD_S
            await asyncio.sleep(call_s - loop.time())
            cuts.append(await _cut(mouth, serial, begun[serial], _at_level(piece, ducked), loop))
        mouth.stop()
        await asyncio.sleep(2 * PERIOD_S)
        return cuts

    try:
        return run_jumping(main)
    finally:
        simulated.forget(name)


def summary(cuts: list[Cut]) -> dict[str, float]:
    """Return the figures of many cuts, in dB and ms."""
    rises = [cut.rise_db for cut in cuts]
    return {
        "cuts": len(cuts),
        "rise_median_db": round(float(np.median(rises)), 2),
        "rise_p95_db": round(float(np.percentile(rises, 95)), 2),
        "rise_max_db": round(max(rises), 2),
        "lasted_max_ms": round(1000 * max(cut.lasted_s for cut in cuts), 1),
        "excess_max_ms": round(1000 * max(cut.excess_s for cut in cuts), 1),
    }


def energy_above(samples: Samples | NDArray[np.float64], rate_hz: int, hz: float) -> NDArray[np.float64]:
    """Return, for each sample, the energy of what is above `hz` there."""
    at = np.arange(_TAPS) - _TAPS // 2
    low = 2 * hz / rate_hz * np.sinc(2 * hz / rate_hz * at) * np.kaiser(_TAPS, 8.0)
    high = (at == 0) - low / low.sum()
    return np.asarray(np.convolve(samples.astype(np.float64), high, "same") ** 2)


async def _cut(mouth: Mouth, serial: int, begun_s: float, uncut: Samples, loop: JumpLoop) -> Cut:
    """Cut the reply that began at `begun_s` and would be `uncut`, and return what it was like."""
    device = simulated.speaker(mouth._audio.playback)
    call_s, pcm = loop.time(), device.in_use
    assert isinstance(pcm, simulated.SimulatedPlayback)
    held_s = pcm.delay_frames() / CARD_HZ
    mouth.drop(serial)
    await asyncio.sleep(0.1)
    begin = device.frame_at(begun_s + 1e-5)
    heard = device.heard(begin, device.frame_at(loop.time()))
    heard = np.pad(heard, (0, max(0, len(uncut) - len(heard))))[: len(uncut)]
    cut = PERIODS * _PERIOD
    steady = slice(2 * _PERIOD, cut)  # the first reply of all goes down to its level
    assert np.allclose(heard[steady], uncut[steady], atol=1), "it is not the reply that was cut, or not there"
    around = slice(cut - _AROUND, cut + _AROUND)
    after, before = (energy_above(each, CARD_HZ, CLICK_HZ)[around].sum() for each in (heard, uncut))
    last_s = begun_s + (int(np.flatnonzero(heard)[-1]) + 1) / CARD_HZ
    return Cut(10 * float(np.log10(after / before)), held_s, last_s - call_s)


def _at_level(piece: Samples, ducked: bool) -> Samples:
    whole = resampled(piece, WIRE_HZ, CARD_HZ)
    return to_int16(whole * np.float32(from_db(DUCK_DB))) if ducked else whole


def _vowels(speech: Samples) -> NDArray[np.int64]:
    """Return the places, away from both ends, around which it is loud and nearly all below 5 kHz."""
    window = np.ones(2 * round(WIRE_HZ * AROUND_S))
    energy = np.convolve(speech.astype(np.float64) ** 2, window, "same")
    hissing = np.convolve(energy_above(speech, WIRE_HZ, CLICK_HZ), window, "same")
    loud = energy > np.median(energy[energy > len(window) * 100.0**2])
    places = np.flatnonzero(loud & (hissing < 0.001 * energy))
    return places[(places > _BEFORE) & (places < len(speech) - _BEHIND)]
