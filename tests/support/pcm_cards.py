"""One sound card in two kinds, with both ends in the test's hands: simulated, and ALSA's over the bed."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Protocol

import numpy as np

from pivoice.audio.pcm import Playback, Samples
from pivoice.audio.simulated import microphone, speaker
from pivoice.audio.simulated_device import Device
from pivoice.clock import Clock, SystemClock
from pivoice.config import AudioConfig
from tests.audio.fakes import StepClock, write_wav
from tests.support.bed import Bed, Fault, Which

RATE_HZ = 48000
PERIOD = 960
_BROKEN_BY = {"hostdown": errno.EHOSTDOWN, "denied": errno.EACCES, "eio": errno.EIO}


class Card(Protocol):
    """A sound card with both ends in the test's hands."""

    clock: Clock
    audio: AudioConfig

    def say(self, samples: Samples) -> None:
        """Let the microphone hear this, soon."""

    def heard(self, from_s: float, to_s: float) -> Samples:
        """Return what sounded between two times."""

    def unplug(self, which: Which) -> None: ...

    def plug(self, which: Which) -> None: ...

    def fail(self, which: Which, fault: Fault) -> None:
        """Let that go wrong until `mend`."""

    def mend(self, which: Which) -> None: ...

    def pass_time(self, seconds: float) -> None: ...


class SimulatedCard:
    def __init__(self, folder: Path) -> None:
        self.clock = StepClock()
        mic = f"simulated:{write_wav(folder / 'mic.wav', np.zeros(10, np.int16), RATE_HZ)}"
        self.audio = AudioConfig(capture=mic, playback=f"simulated:{folder / 'speaker.wav'}")

    def say(self, samples: Samples) -> None:
        microphone(self.audio.capture).say(samples, at_s=self.clock.monotonic() + 0.1)

    def heard(self, from_s: float, to_s: float) -> Samples:
        device = speaker(self.audio.playback)
        assert device.epoch_s is not None
        return device.heard(
            round((from_s - device.epoch_s) * RATE_HZ), round((to_s - device.epoch_s) * RATE_HZ)
        )

    def unplug(self, which: Which) -> None:
        self._device(which).unplug()

    def plug(self, which: Which) -> None:
        self._device(which).replug()

    def fail(self, which: Which, fault: Fault) -> None:
        device = self._device(which)
        match fault:
            case "unplug":
                device.unplug()
            case "busy":
                device.make_busy(True)
            case "stall":
                device.stall(True)
            case "storm":
                device.storm(True)
            case _:
                device.break_(os.strerror(_BROKEN_BY[fault]))

    def mend(self, which: Which) -> None:
        device = self._device(which)
        device.replug()
        device.mend()
        for take_back in (device.make_busy, device.stall, device.storm):
            take_back(False)

    def pass_time(self, seconds: float) -> None:
        self.clock.pass_time(seconds)

    def _device(self, which: Which) -> Device:
        return microphone(self.audio.capture) if which == "mic" else speaker(self.audio.playback)


class AlsaCard:
    def __init__(self, bed: Bed) -> None:
        self.clock = SystemClock()
        self.audio = AudioConfig(capture="bed_mic", playback="bed_speaker")
        self._bed = bed

    def say(self, samples: Samples) -> None:
        self._bed.say(samples)

    def heard(self, from_s: float, to_s: float) -> Samples:
        return self._bed.heard(from_s, to_s)

    def unplug(self, which: Which) -> None:
        self._bed.unplug(which)

    def plug(self, which: Which) -> None:
        self._bed.plug(which)

    def fail(self, which: Which, fault: Fault) -> None:
        self._bed.fail(which, fault)

    def mend(self, which: Which) -> None:
        self._bed.mend(which)

    def pass_time(self, seconds: float) -> None:
        threading.Event().wait(seconds)


def play(pcm: Playback, samples: Samples) -> None:
    """Play whole periods as the playback thread does."""
    size = pcm.format.period_frames
    assert len(samples) % size == 0
    for start in range(0, len(samples), size):
        pcm.wait()
        pcm.write(samples[start : start + size])


def settle(card: Card, pcm: Playback) -> None:
    """Let everything written sound, and no more."""
    card.pass_time(pcm.delay_frames() / pcm.format.rate_hz)
