"""What simulated microphones and speakers have in common: a timeline, a plug, and everything that can break.

`Device` is the hardware, in the hands of tests and of the soak: any thread. `Handle` is what a PCM opened on
it is: the thread's that opened it, but for `close`. Faults last until they are taken back, and what a device
does with them is what a real card does: see card_faults.py, and the contract suite that runs on both.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from pivoice.audio import card_faults, refusals
from pivoice.audio.ports import Side
from pivoice.clock import Clock
from pivoice.config import AudioConfig
from pivoice.errors import DeviceError

SLACK_S = 1e-6  # less than a sample: what adding floats costs


class Device:
    """Half a card: a rate, an epoch, a plug. Every method may be called from any thread."""

    def __init__(self, name: str, rate_hz: int) -> None:
        self.name = name
        self.rate_hz = rate_hz
        self.epoch_s: float | None = None
        """When sample 0 sounds: the first opening. Tests may set it before."""
        self.is_plugged = True
        self.opened = 0
        """How often it was opened."""
        self.refused_s: list[float] = []
        """When opening it failed."""
        self.in_use: Handle | None = None
        self.xrun_wanted = False
        self.ppm = 0.0
        """How much faster than it says its clock runs, in millionths. Set before the first opening."""
        self.lateness: Callable[[], float] | None = None
        """Asked at every read, wait and write: how many seconds late the thread comes to it."""
        self.is_busy = self.is_stalled = self.is_stormy = self.is_wedged = False
        self.broken_by = ""
        """Why it cannot be used: "Input/output error"; "" while it can."""

    @property
    def true_hz(self) -> float:
        """Samples in a second of the Clock."""
        return self.rate_hz * (1 + self.ppm * 1e-6)

    def unplug(self) -> None:
        """Pull the plug: what is open dies, opening fails."""
        self.is_plugged = False
        self._kill()

    def replug(self) -> None:
        """Put it back: opening works again; what died stays dead."""
        self.is_plugged = True

    def break_(self, reason: str) -> None:
        """Let it fail with `reason`, as strerror says it ("Input/output error", "Host is down"): what is open
        dies, opening fails."""
        self.broken_by = reason
        self._kill()

    def mend(self) -> None:
        """Take `break_` back: opening works again; what died stays dead."""
        self.broken_by = ""

    def make_busy(self, busy: bool) -> None:
        """Let another program hold it: opening fails. What is open stays so."""
        self.is_busy = busy

    def stall(self, stalled: bool) -> None:
        """Stop its clock: no error, no period. Going on is an xrun."""
        self.is_stalled = stalled

    def storm(self, storming: bool) -> None:
        """Let every period be lost: a microphone gives none, a speaker runs dry at each."""
        self.is_stormy = storming

    def wedge(self, wedged: bool) -> None:
        """Let every read and wait hang for as long as this lasts, as in a driver that never comes back."""
        self.is_wedged = wedged

    def request_xrun(self) -> None:
        """Let the next read or write find that the card ran over, or dry."""
        self.xrun_wanted = True

    def frame_at(self, time_s: float) -> int:
        """Return the number of samples that have sounded at `time_s`."""
        assert self.epoch_s is not None, f"{self.name} was never opened"
        return int((time_s - self.epoch_s + SLACK_S) * self.true_hz)

    def time_of(self, frame: int) -> float:
        """Return when sample `frame` sounds."""
        assert self.epoch_s is not None, f"{self.name} was never opened"
        return self.epoch_s + frame / self.true_hz

    def _kill(self) -> None:
        if self.in_use:
            self.in_use.gone.set()


class Handle:
    """What both PCMs do alike."""

    def __init__(self, device: Device, side: Side, audio: AudioConfig, clock: Clock) -> None:
        if refusal := _refusal(device, side):
            device.refused_s.append(clock.monotonic())
            raise refusal
        self._side = side
        self._clock = clock
        self.gone = threading.Event()
        """The card is, or the PCM was closed: nothing is to be waited for any more."""
        self.xruns = 0
        self._is_closed = False
        self._storm = card_faults.XrunStorm()
        device.in_use = self
        device.opened += 1
        if device.epoch_s is None:
            device.epoch_s = clock.monotonic()
        self._period = round(device.rate_hz * audio.period_ms / 1000)

    def _wait_until(self, device: Device, due_s: float) -> None:
        """Wait for a time; the plug interrupts."""
        while (left_s := due_s - self._clock.monotonic()) > SLACK_S and not self.gone.is_set():
            self._clock.wait(self.gone, left_s)
        self._check(device)

    def _come_late(self, device: Device) -> None:
        """The thread was not let run in time, if the device says so."""
        late_s = device.lateness() if device.lateness else 0.0
        if late_s > 0:
            self._wait_until(device, self._clock.monotonic() + late_s)

    def _sit_out(self, device: Device, stuck: DeviceError) -> bool:
        """Wait while the device stands still or hangs; return whether it did.

        Raises:
            DeviceError: `stuck`, when it stood still for too long.
        """
        if not (device.is_stalled or device.is_wedged):
            return False
        begun_s = self._clock.monotonic()
        while device.is_stalled or device.is_wedged:
            if not device.is_wedged and self._clock.monotonic() - begun_s > card_faults.STUCK_S:
                raise stuck
            self._wait_until(device, self._clock.monotonic() + self._period / device.rate_hz)
        return True

    def _count_xrun(self) -> bool:
        """Return whether there are too many."""
        self.xruns += 1
        return self._storm.is_on(self._clock.monotonic())

    def _check(self, device: Device) -> None:
        if self._is_closed:
            raise card_faults.closed(device.name, f"use {self._side}")
        if device.broken_by:
            raise card_faults.broken(device.name, f"use {self._side}", device.broken_by)
        if self.gone.is_set() or not device.is_plugged:
            reason = "No such device"
            raise DeviceError(device.name, doing=f"use {self._side}", reason=reason, advice="plug it in")

    def _release(self, device: Device) -> None:
        self._is_closed = True
        self.gone.set()
        if device.in_use is self:
            device.in_use = None


def unusable(name: str, side: str, reason: str, advice: str = "") -> DeviceError:
    """Say why a device does not open."""
    return DeviceError(name, doing=f"open {side}", reason=reason, advice=advice)


def _refusal(device: Device, side: Side) -> DeviceError | None:
    """Return why the device does not open now; None when it does."""
    if not device.is_plugged:
        return unusable(device.name, side, "No such device", "plug it in")
    if device.broken_by:
        return refusals.refused(device.name, side, device.broken_by)
    if device.in_use or device.is_busy:
        return unusable(device.name, side, "Device or resource busy", "stop what else uses it")
    return None
