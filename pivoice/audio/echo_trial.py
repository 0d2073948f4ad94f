"""Plays the trial sound and records it: two threads on the daemon's cards, with the daemon's reference.

What comes out lies as the capture thread of the daemon would have it: near and far, one for one. Owns both
PCMs while it runs. Retries nothing: what a card has to say, the owner shall read. Judges nothing (that is
echo_check.py), so that no thread of it computes.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from pivoice.audio.buffers import EAR_HZ
from pivoice.audio.controls import loudest_softness
from pivoice.audio.echo_check import Recording, count_clipped, trial_sound
from pivoice.audio.pcm import Capture, Playback, Samples, amplified, from_db, open_capture, open_playback
from pivoice.audio.period_times import PeriodTimes
from pivoice.audio.reference import Reference
from pivoice.audio.resample import Resampler
from pivoice.clock import Clock
from pivoice.config import AudioConfig
from pivoice.errors import DeviceError


class EchoTrial:
    """One time. `start`, wait until it is not `is_running` any more, then `recording`."""

    def __init__(self, audio: AudioConfig, clock: Clock) -> None:
        self._audio = audio
        self._clock = clock
        self._reference = Reference()
        self._is_heard = threading.Event()  # the microphone runs: play
        self._is_over = threading.Event()  # all was played, or a thread failed: end
        self._errors: list[Exception] = []
        self._near: list[Samples] = []
        self._far: list[Samples] = []
        self._clipped = 0
        self._overruns = 0
        self._underruns = 0
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start both threads; it takes nine seconds."""
        for run, name in ((self._capture, "capture"), (self._play, "playback")):
            self._threads.append(self._clock.start_thread(self._guarded(run), name=name))

    @property
    def is_running(self) -> bool:
        """Whether the cards are still in use."""
        return any(thread.is_alive() for thread in self._threads)

    def join(self) -> None:
        """Wait for the end, in real time."""
        for thread in self._threads:
            thread.join()

    def recording(self) -> Recording:
        """Return what was played and heard.

        Raises:
            DeviceError: a card could not be used, or not to the end.
        """
        if self._errors:
            raise self._errors[0]
        near, far = np.concatenate(self._near), np.concatenate(self._far)
        return Recording(near, far, self._clipped, self._overruns + self._underruns)

    def _guarded(self, run: Callable[[], None]) -> Callable[[], None]:
        def guarded() -> None:
            try:
                run()
            except Exception as error:  # a thread's top: told by `recording`
                self._errors.append(error)
            finally:
                self._is_over.set()
                self._is_heard.set()

        return guarded

    # --- capture thread ---

    def _capture(self) -> None:
        bare = replace(self._audio, gain_db=0.0)  # a gain of ours may hide that the card clips
        pcm = open_capture(self._audio.capture, bare, self._clock)
        try:
            self._record(pcm)
        finally:
            pcm.close()

    def _record(self, pcm: Capture) -> None:
        to_ear, times, xruns = Resampler(pcm.format.rate_hz, EAR_HZ), PeriodTimes(pcm.format), 0
        gain = from_db(self._audio.gain_db)
        while not self._is_over.is_set():
            period = pcm.read()
            if pcm.xruns > xruns:
                self._overruns = xruns = pcm.xruns
                times = PeriodTimes(pcm.format)
                self._reference.lose()
            start_s, _ = times.place(self._clock.monotonic())
            heard = amplified(period, gain)
            self._clipped += max(count_clipped(period), count_clipped(heard))
            near = to_ear.process(heard)
            self._near.append(near)
            self._far.append(self._reference.pop(len(near), start_s))
            self._is_heard.set()

    # --- playback thread ---

    def _play(self) -> None:
        pcm = open_playback(self._audio.playback, self._audio, self._clock)
        try:
            self._clock.wait(self._is_heard)
            self._speak(pcm)
        finally:
            with contextlib.suppress(DeviceError):
                pcm.drop()
            pcm.close()

    def _speak(self, pcm: Playback) -> None:
        rate_hz, frames, xruns = pcm.format.rate_hz, pcm.format.period_frames, pcm.xruns
        sound = trial_sound(rate_hz, loudest_softness(self._audio, pcm.format.card_no))
        self._reference.open(rate_hz)
        for at in range(0, len(sound) - frames + 1, frames):
            pcm.wait()
            if self._is_over.is_set():
                return
            pcm.write(sound[at : at + frames])
            begins_s = self._clock.monotonic() + (pcm.delay_frames() - frames) / rate_hz
            self._reference.push(sound[at : at + frames], begins_s, has_broken=pcm.xruns > xruns)
            self._underruns = xruns = pcm.xruns
