"""Whether somebody begins to speak over a reply: soon enough to duck it, too crude to cut it.

The second tap takes away most of the echo and none of the user, so what it leaves of the microphone tells the
two apart: a ratio of powers, below 1.5 kHz, where voices are and the tap is good. What an echo alone leaves
is learned while nobody speaks: the more, the more the loudspeaker distorts. A test of energy: a door slam
passes it, and so does a cough, and the reply is ducked for a moment. Capture thread. PURE.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from pivoice.audio.buffers import EAR_HZ
from pivoice.audio.pcm import Samples, from_db

_CHUNK = 512  # 32 ms
_HOP = 256
_WANTED, _LATEST = 5, 6  # hops above the threshold, of the latest: 96 ms, or 112 with a gap
_BAND = slice(200 * _CHUNK // EAR_HZ, 1500 * _CHUNK // EAR_HZ)
_WINDOW = np.hanning(_CHUNK).astype(np.float32)
_SCALE = np.sum(_WINDOW**2) * _CHUNK / 2 * 32768.0**2  # of a power spectrum, to parts of full scale
_RING = 0.77  # by hop: how slowly the echo of what is past is thought to go; 0.6 in 32 ms

_PERCENTILE = 98
_ABOVE_DB = 1.0  # 2 would be one false alarm fewer in ten minutes, and 3 of 80 users later
_LEARNED = 12 * EAR_HZ // _HOP  # hops of echo the threshold is made of
_ENOUGH = 2 * EAR_HZ // _HOP  # of them, for the threshold to be one
_FIRST_DB = -6.0  # until then; the filter of a first reply leaves -1 to -10 dB
_HIGHEST_DB = -2.0  # a user as loud as the echo leaves -3 dB, in half of the hops more
_LEAST = from_db(-50) ** 2
_LEAST_SNR = from_db(8) ** 2
_ECHO_SNR = from_db(10) ** 2
_NOISE_UP = 1.01  # by hop: 2.7 dB a second
_AGAIN = EAR_HZ  # samples between two onsets
_VERDICT = 2 * EAR_HZ  # a reply that goes on for so long after an onset was not interrupted
_DOUBTED = EAR_HZ // _HOP  # what was heard so shortly before an onset may have been the user already
_JUDGED = 32  # hops learned until the threshold is made anew
_CONVERGES = EAR_HZ // _HOP  # hops of echo after the warm-up of the stage, until the tap cancels well
_TINY = 1e-12


class OnsetDetector:
    """Hears a user begin over a reply, by what the microphone and the second tap heard. Capture thread."""

    def __init__(self) -> None:
        self._mic = self._tap = np.zeros(0, np.int16)  # what of both is not done with
        self._learned: deque[float] = deque(maxlen=_LEARNED)
        self._threshold_db = _FIRST_DB
        self._unlearned = _CONVERGES  # hops of echo that are too early to learn from
        self._news = 0  # hops since the threshold was made
        self._noise = self._smooth = 0.0  # power of the room, and of the tap smoothed over 70 ms
        self._now = _VERDICT  # samples
        self._onset = 0  # when the latest was
        self._begin()

    def hear(self, mic: Samples, tap: Samples, *, is_reply: bool) -> bool:
        """Return whether somebody begins to speak over the reply; again each second while it goes on.

        `tap` is what a `SpeexTap` made of `mic`: 16 kHz, of the same length; that it is 10 ms late makes no
        difference here, as an echo is thought to ring for longer. `is_reply`: a reply is in the air; False at
        once when it was cut or has ended, as that tells a user from a false alarm.
        """
        if not is_reply:
            self._begin()
            self._now += len(mic)
            return False
        self._mic = np.concatenate([self._mic, mic])
        self._tap = np.concatenate([self._tap, tap])
        is_onset = False
        while len(self._tap) >= _CHUNK:
            powers = [_power(each[:_CHUNK]) for each in (self._mic, self._tap)]
            self._mic, self._tap = self._mic[_HOP:], self._tap[_HOP:]
            is_onset |= self._judge(*powers)
        return is_onset

    def _begin(self) -> None:
        """No reply, or a new one: who was heard last was the user, who cut it, or nobody."""
        self._mic = self._tap = np.zeros(0, np.int16)
        self._held = 0.0  # power of the echo that may still ring
        self._latest: deque[float | None] = deque(maxlen=_LATEST)  # ratios of hops above the threshold
        self._doubted: deque[float] = deque()  # hops that may turn out to have been the user's
        self._alarms: deque[tuple[int, list[float]]] = deque()  # onsets not judged yet: when, and ratios

    def _judge(self, mic: float, tap: float) -> bool:
        """Take one hop."""
        self._smooth = 0.8 * self._smooth + 0.2 * tap if self._noise else tap
        self._noise = min(_NOISE_UP * (self._noise or tap), self._smooth)
        self._held = max(mic, _RING * self._held)
        ratio_db = 10 * math.log10((tap + _TINY) / (self._held + _TINY))
        self._now += _HOP
        if self._held > max(_LEAST, _ECHO_SNR * self._noise):
            self._learn(ratio_db)
        is_above = tap > max(_LEAST, _LEAST_SNR * self._noise) and ratio_db > self._threshold_db
        self._latest.append(ratio_db if is_above else None)
        above = [each for each in self._latest if each is not None]
        if not is_above or len(above) < _WANTED or self._now - self._onset < _AGAIN:
            return False
        self._alarms.append((self._now, above))
        self._doubted.clear()
        self._onset = self._now
        return True

    def _learn(self, ratio_db: float) -> None:
        """Take what an echo left, unless a user may have been in it."""
        if self._unlearned:
            self._unlearned -= 1
            return
        if self._alarms and self._now - self._alarms[0][0] >= _VERDICT:
            alarm = self._alarms.popleft()[1]  # nobody cut the reply: an echo, or somebody who hummed along
            if len(self._learned) >= _LEARNED // 2:  # among few hops, one hum would be a threshold
                self._learned.extend(alarm)
        if self._now - self._onset >= _VERDICT:
            self._doubted.append(ratio_db)
        if len(self._doubted) > _DOUBTED:
            self._learned.append(self._doubted.popleft())
        self._news += 1
        if self._news >= _JUDGED and len(self._learned) >= _ENOUGH:
            self._news = 0
            learned_db = float(np.percentile(self._learned, _PERCENTILE)) + _ABOVE_DB
            self._threshold_db = min(learned_db, _HIGHEST_DB)


def _power(chunk: Samples) -> float:
    """Return the mean square within the band, of full scale."""
    spectrum = np.fft.rfft(chunk * _WINDOW)[_BAND]
    return float(np.vdot(spectrum, spectrum).real / _SCALE)
