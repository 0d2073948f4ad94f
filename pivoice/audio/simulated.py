"""A sound card without a card: the microphone is a WAV file, the speaker writes one, time is the Clock's.

The *devices* (`Microphone`, `Speaker`) are the hardware: they stand for a name in the configuration, live as
long as the process, and tests hold them to speak, to listen, to pull the plug. The PCMs
(`SimulatedCapture`, `SimulatedPlayback`) are what a thread opens on them. As on a card, sample k of a
device sounds at `epoch_s + k / true_hz`, whether anybody reads or writes in time or not. A device may run by
a quartz of its own (`ppm`), be served late (`lateness`), and a microphone may hear more than files
(`listen_to`): what a speaker plays, for example.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pivoice.audio import card_faults
from pivoice.audio.conditioning import Conditioning
from pivoice.audio.pcm import Format, Samples, pick_channel
from pivoice.audio.simulated_device import Device, Handle, unusable
from pivoice.audio.wav_file import WavError, read_wav
from pivoice.clock import Clock
from pivoice.config import AudioConfig

PREFIX = "simulated:"
SPEAKER_HZ = 48000
HEADER_BYTES = 44

Source = Callable[[int, int], Samples]
"""Given first and last (exclusive) frame of a microphone's timeline: what is to be heard there, mono."""


class Microphone(Device):
    """A room that plays a WAV file once, and whatever `say` and `listen_to` add."""

    def __init__(self, name: str, frames: Samples, rate_hz: int) -> None:
        super().__init__(name, rate_hz)
        self.channels = frames.shape[1]
        self._sounds: list[tuple[int, Samples]] = [(0, frames)]
        self._sources: list[Source] = []

    def say(self, samples: Samples, *, at_s: float) -> None:
        """Add mono sound at the microphone's rate, in every channel, from `at_s` on the clock on.

        `samples` are not copied, and must stay as they are.
        """
        start = round((at_s - (self.epoch_s or 0.0)) * self.true_hz)
        frames = np.broadcast_to(samples[:, None], (len(samples), self.channels))
        self._sounds = [*self._sounds, (start, frames)]

    def listen_to(self, source: Source) -> None:
        """Hear `source` too, in every channel.

        It is asked in the capture thread, for stretches in ascending order (gaps are overruns), each only
        once the last frame of it is in the past: what another card played until then is known.
        """
        self._sources = [*self._sources, source]

    def sound(self, start: int, stop: int) -> Samples:
        """Return frames `start` to `stop` of the timeline (n x channels)."""
        mixed = np.zeros((stop - start, self.channels), np.int32)
        for at, frames in self._sounds:
            first, last = max(at, start), min(at + len(frames), stop)
            if first < last:
                mixed[first - start : last - start] += frames[first - at : last - at]
        for source in self._sources:
            mixed += source(start, stop)[:, None]
        return np.clip(mixed, -32768, 32767).astype(np.int16)


class Speaker(Device):
    """A WAV file that grows by what is played, silence between sounds included; valid at every moment."""

    def __init__(self, name: str, path: Path, rate_hz: int = SPEAKER_HZ) -> None:
        super().__init__(name, rate_hz)
        self._path = path
        try:
            self._file = path.open("w+b", buffering=0)
        except OSError as error:
            raise unusable(name, "playback", f"{path} cannot be written: {error.strerror}") from error
        self._frames = 0
        self._lock = threading.Lock()
        self._write_header()

    def record(self, start: int, samples: Samples) -> None:
        """Samples were handed over, to sound from frame `start` on; what was there from then on goes."""
        with self._lock:
            self._file.truncate(HEADER_BYTES + 2 * min(start, self._frames))
            self._file.seek(HEADER_BYTES + 2 * start)  # a gap becomes zeros that take no place
            self._file.write(samples.astype("<i2").tobytes())
            self._frames = start + len(samples)
            self._file.truncate(HEADER_BYTES + 2 * self._frames)
            self._write_header()

    def heard(self, start: int = 0, stop: int | None = None) -> Samples:
        """Return what sounds from frame `start` to `stop` (None: to the last that was written)."""
        with self._lock:
            stop = self._frames if stop is None else stop
            self._file.seek(HEADER_BYTES + 2 * start)
            content = self._file.read(2 * max(0, min(stop, self._frames) - start))
        return np.frombuffer(content.ljust(2 * (stop - start), b"\0"), "<i2").astype(np.int16)

    def _write_header(self) -> None:
        size = min(2 * self._frames, 2**32 - HEADER_BYTES)  # what the format can say
        sound = (b"fmt ", 16, 1, 1, self.rate_hz, 2 * self.rate_hz, 2, 16)
        header = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", size + 36, b"WAVE", *sound, b"data", size)
        self._file.seek(0)
        self._file.write(header)


_devices: dict[tuple[str, str], Device] = {}  # the hardware of this process, by kind and name
_devices_lock = threading.Lock()


def microphone(name: str) -> Microphone:
    """Return the one microphone behind "simulated:FILE.wav".

    Raises:
        DeviceError: FILE.wav is not there, or is no WAV file of ours (wav_file.py).
    """
    with _devices_lock:
        device = _devices.get(("capture", name))
        if device is None:
            frames, rate_hz = load_frames(name, name.removeprefix(PREFIX))
            device = _devices["capture", name] = Microphone(name, frames, rate_hz)
        assert isinstance(device, Microphone)
        return device


def speaker(name: str, rate_hz: int = SPEAKER_HZ) -> Speaker:
    """Return the one speaker behind "simulated:FILE.wav"; the first asker's rate counts.

    Raises:
        DeviceError: FILE.wav cannot be written.
    """
    with _devices_lock:
        device = _devices.get(("playback", name))
        if device is None:
            path = Path(name.removeprefix(PREFIX))
            device = _devices["playback", name] = Speaker(name, path, rate_hz)
        assert isinstance(device, Speaker)
        return device


def forget(name: str) -> None:
    """Take the card `name` away for good, with all that it heard or played. No-op when there is none."""
    with _devices_lock:
        for kind in ("capture", "playback"):
            _devices.pop((kind, name), None)


def load_frames(name: str, path: str) -> tuple[Samples, int]:
    """Return the frames (n x channels) and the rate of a WAV file, of whatever samples it is.

    Raises:
        DeviceError: naming the file and what is wrong with it.
    """
    try:
        wav = read_wav(Path(path), is_whole=False)  # another program may be writing it still
    except FileNotFoundError:
        raise unusable(name, "capture", f"there is no file {path}", "set audio.capture") from None
    except OSError as error:
        raise unusable(name, "capture", f"{path} cannot be read: {error.strerror}") from error
    except WavError as error:
        raise unusable(name, "capture", f"{path} {error}", "set audio.capture") from error
    return wav.as_int16(), wav.rate_hz


class SimulatedCapture(Handle):
    """Satisfies `pcm.Capture`."""

    def __init__(self, name: str, audio: AudioConfig, clock: Clock) -> None:
        self._device = microphone(name)
        super().__init__(self._device, "capture", audio, clock)
        self._channel = audio.channel
        self._conditioning = Conditioning(self._device.rate_hz, gain_db=audio.gain_db)
        self._next = self._device.frame_at(clock.monotonic())
        self.format = Format(
            rate_hz=self._device.rate_hz,
            period_frames=self._period,
            buffer_frames=max(self._device.rate_hz // 2, 4 * self._period),
            card_channels=self._device.channels,
            card_encoding="S16_LE",
        )

    def read(self, periods: int = 1) -> Samples:
        self._check(self._device)
        stop = self._await(periods * self._period)
        self._come_late(self._device)
        frames = self._device.sound(self._next, stop)
        self._next = stop
        return self._conditioning.apply(pick_channel(frames, self._channel, device=self._device.name))

    def amplify(self, factor: float) -> None:
        self._conditioning.amplify(factor)

    def close(self) -> None:
        self._release(self._device)

    def _await(self, wanted: int) -> int:
        """Wait until `wanted` frames are there in one piece; return the end of them."""
        device, begun_s, is_storm = self._device, self._clock.monotonic(), False
        while True:
            now = device.frame_at(self._clock.monotonic())
            if now - self._next > self.format.buffer_frames or device.xrun_wanted:
                device.xrun_wanted = False
                self._next = now
                is_storm = self._count_xrun()
            stop = self._next + wanted
            self._wait_until(device, device.time_of(stop))
            stood_still = self._sit_out(device, card_faults.stuck_capture(device.name))
            if not stood_still and not device.is_stormy:
                if is_storm:
                    raise card_faults.too_many_xruns(device.name, "read from")
                return stop
            device.xrun_wanted = True
            if stood_still:
                begun_s = self._clock.monotonic()
            elif self._clock.monotonic() - begun_s > card_faults.STUCK_S:
                raise card_faults.stormy(device.name)


class SimulatedPlayback(Handle):
    """Satisfies `pcm.Playback`."""

    def __init__(self, name: str, audio: AudioConfig, clock: Clock) -> None:
        self._device = speaker(name)
        super().__init__(self._device, "playback", audio, clock)
        self._end: int | None = None  # frame after the last one written; None while stopped
        self.format = Format(
            rate_hz=self._device.rate_hz,
            period_frames=self._period,
            buffer_frames=2 * self._period,
            card_channels=1,
            card_encoding="S16_LE",
        )

    def wait(self) -> None:
        self._await_room()
        self._come_late(self._device)

    def write(self, period: Samples) -> None:
        assert len(period) == self._period, f"a period has {self._period} samples, not {len(period)}"
        self._await_room()
        self._come_late(self._device)
        now = self._device.frame_at(self._clock.monotonic())
        is_xrun = self._device.xrun_wanted or self._device.is_stormy
        if self._end is not None and (now > self._end or is_xrun):
            self._device.xrun_wanted = False
            self._end = None
            if self._count_xrun():
                raise card_faults.too_many_xruns(self._device.name, "write to")
        start = now if self._end is None else self._end
        self._device.record(start, period)
        self._end = start + len(period)

    def drop(self) -> None:
        self._check(self._device)
        self._silence()

    def delay_frames(self) -> int:
        if self._end is None:
            return 0
        return max(0, self._end - self._device.frame_at(self._clock.monotonic()))

    def close(self) -> None:
        if self._device.in_use is self:
            self._silence()
        self._release(self._device)

    def _await_room(self) -> None:
        self._check(self._device)
        if self._end is not None:
            held = 0 if self._device.is_stormy else self._period  # run dry, which takes its time
            self._wait_until(self._device, self._device.time_of(self._end - held))
            if self._sit_out(self._device, card_faults.stuck_playback(self._device.name)):
                self._device.xrun_wanted = True

    def _silence(self) -> None:
        now = self._device.frame_at(self._clock.monotonic())
        if self._end is not None and now < self._end:
            self._device.record(now, np.zeros(0, np.int16))
        self._end = None
