"""The canceller: WebRTC's AEC3 for what goes up, a gentler one for the wake word. Capture thread.

AEC3 leaves nothing of the agent's voice, and little of a user who talks over it; speexdsp (tap.py) keeps
the user and lets some of the agent through: the uplink needs the one, the wake word the other. Both run
only while the speaker does; otherwise, and for words under an earcon, the microphone passes with the same
delay. What AEC3 needs besides is here, too: silence until it has heard its first echo, and a gate for
residues that pass for speech.
The only file that knows `pywebrtc_audio`; the device is half duplex without it.
"""

from __future__ import annotations

import logging
import math

import numpy as np
from pywebrtc_audio import EchoCanceller

from pivoice.audio.buffers import EAR_HZ
from pivoice.audio.gate import HalfDuplexGate
from pivoice.audio.onset import OnsetDetector
from pivoice.audio.pcm import Samples, from_db, to_int16
from pivoice.audio.reference import STEP, Reference
from pivoice.audio.stage import TAP, Heard
from pivoice.audio.tap import SpeexTap, open_tap
from pivoice.audio.undertones import Undertones, faded_between

logger = logging.getLogger(__name__)

DELAY = 128  # samples that AEC3 holds back, at any input (measured)
# Of sound from the speaker, once per process, and after each turn of a card's volume: the one false turn in
# 3 min came at 1.4 s. A reload makes a canceller that has heard nothing yet, and counts anew.
WARM_UP_S = 1.5
ACTIVE = (32768 * from_db(-60)) ** 2  # mean square of what counts as sound from the speaker
GATE = (32768 * from_db(-50)) ** 2  # residues are at -58 to -45 dBFS, and speech detectors are deaf to level
GATE_HOLD_S = 0.2
BROKEN_S = 1.0  # a jump of the delay leaks for 0.5-2 s, most of it after 0.2-0.6 s
_STEP_S = STEP / EAR_HZ
_SMOOTH = 0.998  # by period: the echo return loss of the last 10 s, at 20 ms


class WebrtcStage:
    """Satisfies `stage.EchoStage`."""

    delay_s = DELAY / EAR_HZ

    def __init__(self, reference: Reference, gate: HalfDuplexGate) -> None:
        self._reference = reference
        self._gate = gate
        self._canceller = EchoCanceller(EAR_HZ)  # alone: noise suppression and gain control only harm here
        self._tap: SpeexTap | None = None
        self._tap_fault = ""
        try:
            self._tap = open_tap()
        except OSError as error:
            self._tap_fault = str(error)
            logger.warning("the wake word is heard through the uplink's canceller: %s", error)
        self._onset = OnsetDetector()
        self._rest: Samples | None = None  # what does not fill a step yet; None: a new stream begins
        self._line: Samples = np.zeros(DELAY, np.int16)
        self._is_on = False
        self._active_s = 0.0  # sound from the speaker so far
        self._breaks, self._slips = reference.breaks, reference.slips
        self._deaf_until_s = 0.0
        self._open_s = 0.0  # how long the gate stays open
        self._undertones = Undertones(gate)
        self._is_direct = False
        self._near_power = self._left_power = 0.0
        self._gate_openings = self._onsets = 0

    @property
    def is_idle(self) -> bool:
        return not (self._reference.is_running or self._is_on)

    def pass_by(self, near: Samples) -> Samples:
        return self._delayed(self._whole_steps(near, 0.0)[0])

    def process(self, near: Samples, *, start_s: float) -> Heard:
        near, start_s = self._whole_steps(near, start_s)
        direct = self._delayed(near)
        is_running = self._reference.is_running
        if not len(near) or not (is_running or self._is_on):
            return Heard(direct, direct)
        far = self._reference.pop(len(near), start_s)
        left = self._canceller.process(near, far)
        ear = self._tap.process(near, far) if self._tap else left.copy()
        if is_running != self._is_on:
            self._is_on = is_running
            left, ear = _blended(direct, left, is_running), _blended(direct, ear, is_running)
        left = self._with_words_under_tones(left, near, direct, start_s)
        return self._judged(near, far, left, ear, start_s)

    def discontinuity(self) -> None:
        self._reference.lose()
        self._rest = None

    def turned(self) -> None:
        # With less to learn from, residues pass for a turn: 12 dB up in a reply did, in three rooms of three.
        self._active_s = 0.0

    def status(self) -> dict[str, object]:
        reference = self._reference
        return {
            "tap": TAP if self._tap else self._tap_fault,
            "is_warm": self._is_warm,
            "return_loss_db": self._return_loss_db,
            "delay_ms": None
            if not self._tap or self._tap.delay_s is None
            else round(1000 * self._tap.delay_s),
            "lead_ms": round(1000 * reference.lead_s, 1),
            "depth_ms": round(1000 * reference.depth_s, 1),
            "slips": reference.slips,
            "underruns": reference.underruns,
            "breaks": reference.breaks,
            "gate_openings": self._gate_openings,
            "onsets": self._onsets,
        }

    @property
    def _is_warm(self) -> bool:
        return self._active_s >= WARM_UP_S

    @property
    def _return_loss_db(self) -> float | None:
        """How much softer the echo is after AEC3, over the last seconds of replies that nobody spoke over."""
        if not self._near_power:
            return None
        return round(10 * math.log10((self._near_power + 1) / (self._left_power + 1)), 1)

    def _delayed(self, near: Samples) -> Samples:
        """Return as much as `near`, as late as the canceller would give it."""
        line = np.concatenate([self._line, near])
        self._line = line[len(near) :]
        return line[: len(near)]

    def _whole_steps(self, near: Samples, start_s: float) -> tuple[Samples, float]:
        """Return what makes whole steps, and when it began.

        A new stream is filled up with silence, so that no period of whole steps leaves a rest, which would be
        delay: the resampler holds back a millisecond of the first.
        """
        rest = np.zeros(-len(near) % STEP, np.int16) if self._rest is None else self._rest
        sound = np.concatenate([rest, near])
        used = len(sound) - len(sound) % STEP
        self._rest = sound[used:]
        return sound[:used], start_s - len(rest) / EAR_HZ

    def _judged(self, near: Samples, far: Samples, left: Samples, ear: Samples, start_s: float) -> Heard:
        """Silence in what is left whatever nobody has said."""
        end_s = start_s + len(near) / EAR_HZ
        is_reply = self._gate.is_closed(start_s, end_s)
        self._mind_jumps(end_s if is_reply else None)
        is_deaf = not self._is_warm or start_s < self._deaf_until_s
        is_active = _power(far) > ACTIVE
        self._active_s += _STEP_S * int(np.count_nonzero(is_active))
        is_onset = self._onset.hear(near, ear, is_reply=is_reply and self._is_warm)
        self._onsets += is_onset
        if is_reply:
            powers = _power(left)
            for step, power in enumerate(powers):
                if not self._is_let_through(float(power)) or is_deaf:
                    left[step * STEP : (step + 1) * STEP] = 0
            if self._open_s <= 0.0 and np.any(is_active):
                self._near_power = _SMOOTH * self._near_power + (1 - _SMOOTH) * float(_power(near).mean())
                self._left_power = _SMOOTH * self._left_power + (1 - _SMOOTH) * float(powers.mean())
        return Heard(left, ear, is_onset)

    def _with_words_under_tones(
        self, left: Samples, near: Samples, direct: Samples, start_s: float
    ) -> Samples:
        """Return `direct` once somebody speaks under an earcon: AEC3 would take their first word with it.

        Of words begun under the wake earcon AEC3 leaves 1-6 % for 100 ms, and a STOI of 0.3-0.7 for half a
        second; as they are they have 0.90-0.95, the earcon beside them (measured 2026-11).
        """
        has_voice = self._undertones.hears_voice(near, start_s)
        has_tone = self._undertones.has_tone(start_s, start_s + len(near) / EAR_HZ)
        was_direct, self._is_direct = self._is_direct, has_voice and has_tone
        if self._is_direct:
            return direct.copy() if was_direct else faded_between(left, direct)
        if was_direct and not self._gate.is_closed(start_s, start_s + len(near) / EAR_HZ):
            return faded_between(direct, left)
        return left

    def _mind_jumps(self, reply_s: float | None) -> None:
        """The reference jumped against its echo: the tap looks where it is now, the uplink waits for AEC3."""
        breaks, slips = self._reference.breaks, self._reference.slips
        if self._tap and (breaks, slips) != (self._breaks, self._slips):
            self._tap.discontinuity()
        if breaks != self._breaks and reply_s is not None:
            self._deaf_until_s = reply_s + BROKEN_S
        self._breaks, self._slips = breaks, slips

    def _is_let_through(self, power: float) -> bool:
        if power > GATE:
            self._gate_openings += self._open_s <= 0.0
            self._open_s = GATE_HOLD_S
            return True
        self._open_s -= _STEP_S
        return self._open_s > 0.0


def _blended(direct: Samples, cancelled: Samples, is_starting: bool) -> Samples:
    """Return one turning into the other; what a canceller held back is from the last time it ran."""
    at = np.arange(len(direct), dtype=np.float32)
    share = np.maximum(0, at - DELAY) / (len(direct) - DELAY) if is_starting else 1 - at / len(direct)
    away = cancelled.astype(np.float32) - direct.astype(np.float32)
    return to_int16(np.asarray(direct + share * away, np.float32))


def _power(samples: Samples) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Return the mean square of every step."""
    steps = samples.reshape(-1, STEP).astype(np.float32)
    return np.asarray(np.einsum("ij,ij->i", steps, steps) / STEP, np.float32)
