"""Real sound cards: the only file that knows `alsaaudio` (pyalsaaudio >= 0.11, on libasound).

A card is opened at its own rate, format and channels where they are usable; the rest of the house sees mono
int16. Each PCM belongs to the thread that opened it. Facts about pyalsaaudio that shaped this file:
after `drop()` the next `write()` prepares the PCM by itself; an xrun is told as -32, not raised, and
already recovered from; `close()` of a playback PCM plays out what it holds; `avail()` returns errors.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import importlib
import importlib.metadata
import os
import select
import threading
from typing import Any

import numpy as np

from pivoice.audio.pcm import Format, Samples, amplified, from_db, pick_channel
from pivoice.clock import Clock
from pivoice.config import AudioConfig
from pivoice.errors import DeviceError

RATE_HZ = 48000
"""Asked first: nearly every card has it, and it is a whole multiple of 16 and 24 kHz."""
ENCODINGS = {"S16_LE": 2, "S32_LE": 4, "S24_3LE": 3, "S24_LE": 4}
"""Bytes of a sample in the formats understood here, preferred first."""
CAPTURE_BUFFER_MS = 1000  # costs no latency, and rides out a thread that is late
PLAYBACK_PERIODS = 4  # of the card's ring; how much of it is filled is limited by `wait`
HELD_PERIODS = 2
STUCK_S = 2.0  # a card that moves nothing for this long is given up
_POLL_S = 0.001  # how often a card is asked again whose pointer moves in leaps

_WRITE_TRIES = 5

_XRUN = -errno.EPIPE


def capture_names() -> list[str]:
    """Return the ALSA PCM names of microphones."""
    library = _library("ALSA", "list the microphones of")
    return [name for name in library.pcms(library.PCM_CAPTURE) if name != "null"]


def playback_names() -> list[str]:
    """Return the ALSA PCM names of speakers."""
    library = _library("ALSA", "list the speakers of")
    return [name for name in library.pcms(library.PCM_PLAYBACK) if name != "null"]


class AlsaCapture:
    """Satisfies `pcm.Capture`."""

    def __init__(self, name: str, audio: AudioConfig, clock: Clock) -> None:
        self.xruns = 0
        self._name = name
        self._clock = clock
        self._never = threading.Event()
        self._channel = audio.channel
        self._gain = from_db(audio.gain_db)
        self._pcm, self._card = _open(name, "capture", audio, channels=audio.channel + 1)
        self._frame_bytes = self._card.channels * ENCODINGS[self._card.encoding]
        self._is_started = False  # poll() never fires before a first read has started the card
        self._rest = b""
        self.format = Format(
            rate_hz=self._card.rate_hz,
            period_frames=self._card.period_frames,
            buffer_frames=self._card.buffer_frames,
            card_channels=self._card.channels,
            card_encoding=self._card.encoding,
        )

    def read(self, periods: int = 1) -> Samples:
        wanted = periods * self.format.period_frames * self._frame_bytes
        is_there = periods > 1 and self._is_started and self._has(wanted)
        while len(self._rest) < wanted:
            if self._is_started and not is_there:
                self._await_period()
            try:
                count, content = self._pcm.read()
            except self._card.library.ALSAAudioError as error:
                raise _broken(self._name, "read from", error) from error
            self._is_started = count != _XRUN
            if count == _XRUN:
                self.xruns += 1
                self._rest = b""
                is_there = False
            else:
                self._rest += content
        content, self._rest = self._rest[:wanted], self._rest[wanted:]
        frames = _decoded(content, self._card.encoding, self._card.channels)
        return amplified(pick_channel(frames, self._channel, device=self._name), self._gain)

    def close(self) -> None:
        with contextlib.suppress(self._card.library.ALSAAudioError):
            self._pcm.close()

    def _has(self, wanted: int) -> bool:
        """Return whether the card has so many bytes by now: to read them needs no poll, nor blocks."""
        return len(self._rest) + int(self._pcm.avail()) * self._frame_bytes >= wanted

    def _await_period(self) -> None:
        """Wait for a period, but not for ever, as a blocking read would on a wedged card."""
        poll, watched = select.poll(), self._pcm.polldescriptors()
        for descriptor, mask in watched:
            poll.register(descriptor, mask)
        deadline_s = self._clock.monotonic() + STUCK_S
        while (left_s := deadline_s - self._clock.monotonic()) > 0:
            seen = dict(poll.poll(left_s * 1000))
            try:
                if self._pcm.polldescriptors_revents([(each, seen.get(each, 0)) for each, _ in watched]):
                    return
            except self._card.library.ALSAAudioError as error:
                raise _broken(self._name, "read from", error) from error
            self._clock.wait(
                self._never, _POLL_S
            )  # a plugin woke us for its own ends; some do it all the time
        reason = f"it gave no sound for {STUCK_S:g} s"
        raise DeviceError(self._name, doing="read from", reason=reason, advice="plug it out and in")


class AlsaPlayback:
    """Satisfies `pcm.Playback`."""

    def __init__(self, name: str, audio: AudioConfig, clock: Clock) -> None:
        self.xruns = 0
        self._name = name
        self._clock = clock
        self._never = threading.Event()
        self._is_running = False
        self._pcm, self._card = _open(name, "playback", audio, channels=1)
        period = max(round(self._card.rate_hz * audio.period_ms / 1000), self._card.period_frames)
        self.format = Format(
            rate_hz=self._card.rate_hz,
            period_frames=period,
            buffer_frames=min(HELD_PERIODS * period, self._card.buffer_frames),
            card_channels=self._card.channels,
            card_encoding=self._card.encoding,
        )

    def wait(self) -> None:
        if not self._is_running:
            self._prepare()
        rate_hz, deadline_s = self.format.rate_hz, self._clock.monotonic() + STUCK_S
        while (excess := self._held() + self.format.period_frames - self.format.buffer_frames) > 0:
            if self._clock.monotonic() > deadline_s:
                reason = f"it played nothing for {STUCK_S:g} s"
                raise DeviceError(self._name, doing="write to", reason=reason, advice="plug it out and in")
            self._clock.wait(self._never, max(excess / rate_hz, _POLL_S))

    def write(self, period: Samples) -> None:
        assert len(period) == self.format.period_frames, f"a period has {self.format.period_frames} samples"
        content = _encoded(period, self._card.encoding, self._card.channels)
        frame_bytes = len(content) // len(period)
        for _ in range(_WRITE_TRIES):
            try:
                count = self._pcm.write(content)
            except self._card.library.ALSAAudioError as error:
                raise _broken(self._name, "write to", error) from error
            if count == _XRUN:
                self.xruns += 1  # nothing was taken: again
            else:
                content = content[count * frame_bytes :]
            if not content:
                self._is_running = True
                return
        reason = f"it took no sound in {_WRITE_TRIES} tries"
        raise DeviceError(self._name, doing="write to", reason=reason, advice="plug it out and in")

    def drop(self) -> None:
        self._is_running = False
        try:
            self._pcm.drop()
        except self._card.library.ALSAAudioError as error:
            raise _broken(self._name, "stop", error) from error

    def delay_frames(self) -> int:
        return self._held()

    def close(self) -> None:
        self._is_running = False
        with contextlib.suppress(self._card.library.ALSAAudioError):
            self._pcm.drop()  # or else close() plays out what the card holds
        with contextlib.suppress(self._card.library.ALSAAudioError):
            self._pcm.close()

    def _prepare(self) -> None:
        """Have the card ready for a first write: it is here that a card pulled out at rest is noticed."""
        try:
            self._pcm.drop()  # so that the write must prepare, which asks the card
            self._pcm.write(b"")
        except self._card.library.ALSAAudioError as error:
            raise _broken(self._name, "write to", error) from error

    def _held(self) -> int:
        """Return how many frames of ours the card holds; none once it ran dry."""
        if not self._is_running:
            return 0
        free = int(self._pcm.avail())
        if free < 0 and free != _XRUN:
            raise _broken(self._name, "write to", OSError(-free, os.strerror(-free)))
        return 0 if free == _XRUN else max(0, self._card.buffer_frames - free)


class _Card:
    """What a PCM was opened with."""

    def __init__(self, pcm: Any, library: Any) -> None:
        facts = pcm.info()
        self.library = library
        self.rate_hz = int(facts["rate"])
        self.channels = int(facts["channels"])
        self.encoding = str(facts["format_name"])
        self.period_frames = int(facts["period_size"])
        self.buffer_frames = int(facts["buffer_size"])


def _open(name: str, side: str, audio: AudioConfig, *, channels: int) -> tuple[Any, _Card]:
    """Open a PCM as near to mono S16_LE at 48 kHz as the card allows.

    A `hw:` card that has none of that is not an error: what it took instead is asked for properly.
    """
    library = _library(name, f"open {side}")
    kind = library.PCM_CAPTURE if side == "capture" else library.PCM_PLAYBACK
    rate_hz, encoding = RATE_HZ, "S16_LE"
    while True:
        period = round(rate_hz * audio.period_ms / 1000)
        periods = PLAYBACK_PERIODS if side == "playback" else max(4, CAPTURE_BUFFER_MS // audio.period_ms)
        try:
            pcm = library.PCM(
                kind,
                library.PCM_NORMAL,
                device=name,
                rate=rate_hz,
                channels=channels,
                format=getattr(library, f"PCM_FORMAT_{encoding}"),
                periodsize=period,
                periods=periods,
            )
        except library.ALSAAudioError as error:
            raise _refused(name, side, error, library) from error
        card = _Card(pcm, library)
        if card.encoding in ENCODINGS and card.rate_hz == rate_hz:
            return pcm, card
        usable = [each for each in ENCODINGS if each in pcm.getformats()]
        pcm.close()
        if not usable:
            reason = f"it speaks {card.encoding} alone"
            raise DeviceError(name, doing=f"open {side}", reason=reason, advice="use its plughw: name")
        if (rate_hz, encoding) == (card.rate_hz, usable[0]):
            reason = f"it takes neither {rate_hz} Hz nor what it offers instead"
            raise DeviceError(name, doing=f"open {side}", reason=reason, advice="use its plughw: name")
        rate_hz, encoding = card.rate_hz, usable[0]


def _decoded(content: bytes, encoding: str, channels: int) -> Samples:
    """Return n x channels int16 of the card's bytes: the upper 16 bits of each sample."""
    if encoding == "S16_LE":
        return np.frombuffer(content, "<i2").reshape(-1, channels).astype(np.int16)
    width = ENCODINGS[encoding]
    upper = slice(1, 3) if encoding == "S24_LE" else slice(width - 2, width)
    samples = np.frombuffer(content, np.uint8).reshape(-1, width)[:, upper]
    return np.ascontiguousarray(samples).view("<i2").reshape(-1, channels).astype(np.int16)


def _encoded(samples: Samples, encoding: str, channels: int) -> bytes:
    """Return the card's bytes of mono samples, the same in every channel."""
    if encoding == "S16_LE":
        wide = samples.astype("<i2")
    elif encoding == "S24_3LE":
        padded = np.zeros((len(samples), 3), np.uint8)
        padded[:, 1:] = samples.astype("<i2").view(np.uint8).reshape(-1, 2)
        return np.repeat(padded, channels, axis=0).tobytes()
    else:
        wide = samples.astype("<i4") << (8 if encoding == "S24_LE" else 16)
    return np.repeat(wide, channels).tobytes()


def _refused(name: str, side: str, error: Exception, library: Any) -> DeviceError:
    """Say why a PCM does not open, and what to do."""
    tool, setting = ("arecord", "audio.capture") if side == "capture" else ("aplay", "audio.playback")
    listed = f"`{tool} -L` lists what there is; set {setting}"
    text = str(error).rpartition(" [")[0] or str(error)
    cards = library.cards()
    direct = f"plughw:CARD={cards[0] if cards else '<name>'},DEV=0"
    causes = {
        errno.ENOENT: ("there is no such PCM", listed),
        errno.ENODEV: ("the card is not there", f"check its cable; {listed}"),
        errno.ENXIO: ("the card is not there", f"check its cable; {listed}"),
        errno.EBUSY: ("busy", f"stop the other program (fuser -v /dev/snd/*) or set {setting}"),
        errno.EHOSTDOWN: (
            "it belongs to the sound server of a login session, which a system service has not",
            f'name the card itself: {setting} = "{direct}" (`{tool} -l` lists the cards)',
        ),
        errno.EACCES: ("permission denied", "let the user pivoice runs as into group audio"),
        errno.EINVAL: ("it does not take what was asked of it", "use its plughw: name"),
    }
    causes[errno.ECONNREFUSED] = causes[errno.EHOSTDOWN]
    for number, (reason, advice) in causes.items():
        if text == os.strerror(number):
            return DeviceError(name, doing=f"open {side}", reason=reason, advice=advice)
    return DeviceError(name, doing=f"open {side}", reason=text, advice=listed)


def _broken(name: str, doing: str, error: Exception) -> DeviceError:
    """Say that an open PCM failed."""
    text = error.strerror if isinstance(error, OSError) else str(error).rpartition(" [")[0] or str(error)
    return DeviceError(
        name, doing=doing, reason=text or repr(error), advice="check its cable; it is tried again"
    )


def _library(name: str, doing: str) -> Any:
    """Return the module `alsaaudio`, with libasound's chatter on stderr silenced.

    Raises:
        DeviceError: it is not installed, or too old.
    """
    install = "run ./scripts/install, or: pip install 'pyalsaaudio>=0.11'"
    try:
        library = importlib.import_module("alsaaudio")
        version = importlib.metadata.version("pyalsaaudio")
    except ImportError as error:
        raise DeviceError(name, doing=doing, reason="pyalsaaudio is not installed", advice=install) from error
    if tuple(int(part) for part in version.split(".")[:2]) < (0, 11):
        reason = f"pyalsaaudio {version} is too old: it cannot drop()"
        raise DeviceError(name, doing=doing, reason=reason, advice=install)
    _silence_libasound()
    return library


@functools.cache
def _silence_libasound() -> None:
    """Keep "ALSA lib ..." lines off stderr: several for every failed open, and the errors say why.

    The handler is a C function that ignores its arguments, never a Python one: libasound calls it while it
    holds a lock of its own, and a Python callback may pass the GIL on to the other audio thread, which then
    waits for that lock with the GIL in hand. The whole process stands still (seen on trixie, 2026-11).
    """
    with contextlib.suppress(OSError, AttributeError):
        nothing = ctypes.cast(ctypes.CDLL(None).getpid, ctypes.c_void_p)
        ctypes.CDLL("libasound.so.2").snd_lib_error_set_handler(nothing)
