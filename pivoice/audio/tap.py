"""The second tap: what the wake word and the onset detector hear while the speaker plays.

A linear echo canceller and its residual suppressor, libspeexdsp by ctypes. It leaks more echo than the
canceller of the uplink, and leaves the user's voice alone: 26 of 36 wake words heard 10 dB below the echo,
against 3 (measured 2026-07). Never used for what goes up to the agent. Capture thread. The only file that
knows libspeexdsp, and nothing is loaded before `open_tap`.
"""

from __future__ import annotations

import ctypes
from ctypes import byref, c_int, c_void_p

import numpy as np

from pivoice.audio.buffers import EAR_HZ, Ring
from pivoice.audio.delay import MAX_S, SAME, EchoDelay
from pivoice.audio.pcm import Samples

LIBRARY = "libspeexdsp.so.1"
STEP = EAR_HZ // 100
TAIL = EAR_HZ // 4  # 250 ms: the echo of a living room, and what the delay may be off

_MARGIN = EAR_HZ * 8 // 1000  # the reference stays so much earlier than its echo, as clocks drift
_LEAST = EAR_HZ // 1000  # an echo that comes sooner than this after its reference is lost in part
_MOST = EAR_HZ * 40 // 1000  # one that comes later is found, but slowly

_ECHO_SET_RATE = 24  # requests, out of speex_echo.h and speex_preprocess.h of speexdsp 1.2.1
_RESIDUAL_SET_NOISE_SUPPRESS = 18
_RESIDUAL_SET_ECHO_STATE = 24

_SIGNATURES = {
    "speex_echo_state_init": (c_void_p, [c_int, c_int]),
    "speex_echo_ctl": (c_int, [c_void_p, c_int, c_void_p]),
    "speex_echo_cancellation": (None, [c_void_p, c_void_p, c_void_p, c_void_p]),
    "speex_echo_state_reset": (None, [c_void_p]),
    "speex_echo_state_destroy": (None, [c_void_p]),
    "speex_preprocess_state_init": (c_void_p, [c_int, c_int]),
    "speex_preprocess_ctl": (c_int, [c_void_p, c_int, c_void_p]),
    "speex_preprocess_run": (c_int, [c_void_p, c_void_p]),
    "speex_preprocess_state_destroy": (None, [c_void_p]),
}


def open_tap() -> SpeexTap:
    """Return a tap that has heard nothing yet.

    Raises:
        OSError: the library is not there, or not the one that was expected.
    """
    return SpeexTap(_load())


class SpeexTap:
    """The microphone with most of the speaker taken away. Capture thread."""

    DELAY = STEP
    """Samples by which what comes out is late: the suppressor looks at 20 ms in steps of 10."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._delay = EchoDelay()
        self._shift = 0  # samples the reference is held back, so that the filter's tail begins at the echo
        self._lag: int | None = None  # the delay that the filter stands on
        self._held = Ring(round((MAX_S + 1.0) * EAR_HZ))
        self._held.append(np.zeros(round((MAX_S + 1.0) * EAR_HZ), np.int16))  # C reads whatever it is told to
        self._echo: int | None = library.speex_echo_state_init(STEP, TAIL)
        self._residual: int | None = library.speex_preprocess_state_init(STEP, EAR_HZ)
        if not self._echo or not self._residual:
            self.close()
            raise OSError(f"{LIBRARY} gave no canceller of {TAIL} taps; is there memory left?")
        library.speex_echo_ctl(self._echo, _ECHO_SET_RATE, byref(c_int(EAR_HZ)))
        # AGC and VAD are off by default, and the VAD's switch writes to stderr. The denoiser carries the
        # suppression of the echo, so it stays on, and suppresses noise by 0 dB
        library.speex_preprocess_ctl(self._residual, _RESIDUAL_SET_NOISE_SUPPRESS, byref(c_int(0)))
        library.speex_preprocess_ctl(self._residual, _RESIDUAL_SET_ECHO_STATE, self._echo)

    @property
    def delay_s(self) -> float | None:
        """How much later than its reference the echo arrives; None until that is known."""
        return self._delay.delay_s

    def process(self, near: Samples, far: Samples) -> Samples:
        """Return `near` without the echo of `far`, `DELAY` samples late. The array is yours.

        16 kHz, equally long, a multiple of 160 samples, `far` 0 to 0.45 s before its echo. The delay is found
        while the first seconds play; without it only an echo of less than about 200 ms is cancelled.
        """
        frames = len(near)
        assert frames == len(far) and frames % STEP == 0, (
            f"{frames} and {len(far)} are not whole steps of {STEP}"
        )
        assert self._echo and self._residual, "the tap is closed"
        self._delay.hear(near, far)
        self._held.append(far)
        self._align()
        aligned = self._held.since(self._held.end - frames - self._shift)[:frames]
        heard = np.ascontiguousarray(near)
        out = np.empty(frames, np.int16)
        near_at, far_at, out_at = heard.ctypes.data, aligned.ctypes.data, out.ctypes.data
        cancel, suppress = self._library.speex_echo_cancellation, self._library.speex_preprocess_run
        for offset in range(0, frames * out.itemsize, STEP * out.itemsize):
            cancel(self._echo, near_at + offset, far_at + offset, out_at + offset)
            suppress(self._residual, out_at + offset)
        return out

    def discontinuity(self) -> None:
        """Near and far lost each other, or the reference slipped: see at once where the echo is now.

        What is known goes on. Unsaid, it is found out too, but seconds later.
        """
        self._delay.doubt()

    def close(self) -> None:
        """Free the memory. Safe to call twice."""
        if self._residual:
            self._library.speex_preprocess_state_destroy(self._residual)
        if self._echo:
            self._library.speex_echo_state_destroy(self._echo)
        self._echo = self._residual = None

    def __del__(self) -> None:
        self.close()

    def _align(self) -> None:
        """Hold the reference back by what the echo is late.

        A delay that has jumped is made up for to the sample: what the filter had learned is right again, and
        to learn it anew takes two seconds. One that drifts it follows by itself.
        """
        lag, before = self._delay.lag, self._lag
        if lag is None or lag == before:
            return
        self._lag = lag
        if before is not None and abs(lag - before) > SAME:
            self._shift += lag - before
        wanted = max(0, lag - _MARGIN)
        is_lost = self._shift < 0 or not _LEAST <= lag - self._shift <= _MOST
        if wanted != self._shift and (before is None or is_lost):
            self._shift = wanted
            self._library.speex_echo_state_reset(self._echo)  # wrong taps go more slowly than none grow


def _load() -> ctypes.CDLL:
    """Return the library, its functions declared."""
    try:
        library = ctypes.CDLL(LIBRARY)
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise OSError(f"cannot use {LIBRARY}: {error}; install libspeexdsp1") from error
    return library
