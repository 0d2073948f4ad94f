"""Whether anybody speaks while an earcon of ours sounds. Capture thread; PURE but for asking the gate.

Our earcons are tones from 580 Hz on: below and far above them there is nothing, and every voice. So the agent
need not hear an earcon by itself, which a plain detector takes for a turn, and hears every word under one.
An owner's sound is as good where it leaves the same bands alone; one that does not may be somebody's voice.
"""

from __future__ import annotations

import numpy as np

from pivoice.audio.buffers import EAR_HZ
from pivoice.audio.gate import HalfDuplexGate
from pivoice.audio.pcm import Samples, from_db, to_int16

ROOM_S = 0.5  # after a reply that was cut, its echo is gone from the way to the microphone, and from the room
FADE_S = 0.005
_WINDOW = 512
# Of an earcon's echo so much may lie in these bands: 2 dB more than of any in three rooms, by a speaker that
# distorts a little. A voice has more from its first period on, though it be 20 dB softer (measured 2026-11).
_BANDS = ((90.0, 450.0, from_db(-22.0)), (3700.0, 7500.0, from_db(-26.0)))
_MARGIN = from_db(-2.0)
_QUIET = (32768 * from_db(-46.0)) ** 2  # softer is no turn: an echo dying away, or a breath
_FLOOR = (32768 * from_db(-58.0)) ** 2  # what a room may hum or hiss


class Undertones:
    """Ask once for every period, in order."""

    def __init__(self, gate: HalfDuplexGate) -> None:
        self._gate = gate
        self._past: Samples = np.zeros(_WINDOW, np.int16)
        self._has_voice = False  # since the earcon began: who spoke goes on
        self._shape = np.hanning(_WINDOW).astype(np.float32)
        hz = np.fft.rfftfreq(_WINDOW, 1 / EAR_HZ)
        self._unit = 2.0 / (_WINDOW * float(np.sum(self._shape**2)))  # of a mean square
        self._bands = [((hz >= low) & (hz <= high), share**2) for low, high, share in _BANDS]

    def has_tone(self, start_s: float, end_s: float) -> bool:
        """Return whether an earcon is in what was captured then, and nothing of a reply or of its echo."""
        gate = self._gate
        return (
            gate.is_toned(start_s, end_s)
            and not gate.is_closed(start_s, end_s)
            and not gate.was_audible(start_s - ROOM_S)
        )

    def hears_voice(self, near: Samples, start_s: float) -> bool:
        """Return whether somebody speaks in 16 kHz `near`, or did since the earcon in it began.

        True where there is no earcon in it, or hardly one: nothing is known then.
        """
        window = self._past = np.concatenate([self._past, near])[-max(_WINDOW, len(near)) :]
        if not self.has_tone(start_s, start_s + len(near) / EAR_HZ):
            self._has_voice = False
            return True
        if not self._has_voice:
            steps = range(_WINDOW, len(window) + 1, _WINDOW // 2) if len(window) > _WINDOW else (_WINDOW,)
            self._has_voice = any(
                self._is_voice(window[stop - _WINDOW : stop]) for stop in (*steps, len(window))
            )
        return self._has_voice or float(np.mean(np.square(near, dtype=np.float32))) < _QUIET

    def _is_voice(self, window: Samples) -> bool:
        spectrum = np.fft.rfft(window * self._shape)
        power = (spectrum.real**2 + spectrum.imag**2) * self._unit
        whole = float(power.sum())
        return any(float(power[band].sum()) > max(_FLOOR, share * whole) for band, share in self._bands)


def is_like_ours(sound: Samples) -> bool:
    """Return whether 16 kHz `sound`, an owner's, leaves those bands to voices, as an earcon of ours does.

    By a margin: rooms and speakers bring their share into them.
    """
    shape = np.hanning(_WINDOW)
    hz = np.fft.rfftfreq(_WINDOW, 1 / EAR_HZ)
    padded = np.concatenate([np.zeros(_WINDOW, np.int16), sound, np.zeros(_WINDOW, np.int16)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[:: _WINDOW // 2]
    powers = np.abs(np.fft.rfft(windows * shape, axis=1)) ** 2
    least = powers.sum(axis=1).max() * from_db(-30.0) ** 2  # what is so soft beside the rest is its end
    for low, high, share in _BANDS:
        band = powers[:, (hz >= low) & (hz <= high)].sum(axis=1)
        if np.any(band > np.maximum(least, powers.sum(axis=1)) * (share * _MARGIN) ** 2):
            return False
    return True


def faded_between(before: Samples, after: Samples) -> Samples:
    """Return `after`, begun as `before`: both the same stretch of time."""
    frames = min(len(after), round(FADE_S * EAR_HZ))
    share = np.arange(frames, dtype=np.float32) / frames
    head = before[:frames] + share * (after[:frames].astype(np.float32) - before[:frames])
    return np.concatenate([to_int16(np.asarray(head, np.float32)), after[frames:]])
