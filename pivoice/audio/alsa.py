"""Real sound cards: the only file that knows `alsaaudio` (pyalsaaudio >= 0.11, on libasound).

A card is opened at its own rate, format and channels where they are usable (negotiation.py); the rest of the
house sees mono int16. Each PCM belongs to the thread that opened it. Facts about pyalsaaudio that shaped this
file: after `drop()` the next `write()` prepares the PCM by itself; an xrun is told as -32, not raised, and
already recovered from; a non-blocking "nothing yet" is 0; `close()` of a playback PCM plays out what it
holds; `avail()` returns errors; `close()` frees what another thread may be reading.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import importlib.metadata
import logging
import os
import select
import threading
from typing import Any

import numpy as np

from pivoice.audio import card_faults
from pivoice.audio.conditioning import Conditioning
from pivoice.audio.encodings import ENCODINGS, Wide, decoded, encoded
from pivoice.audio.negotiation import Negotiation, Opened, text_of
from pivoice.audio.pcm import Format, Samples
from pivoice.audio.ports import Side
from pivoice.clock import Clock
from pivoice.config import AudioConfig
from pivoice.errors import DeviceError

logger = logging.getLogger(__name__)

HELD_PERIODS = 2
_POLL_S = 0.001  # how often a card is asked again whose pointer moves in leaps
_CLOSE_S = 0.1  # how long a closer waits for the PCM's own thread to come out of libasound

_XRUN = -errno.EPIPE


def constraints(name: str, side: Side) -> tuple[int | tuple[int, int] | list[int], dict[str, int], list[int]]:
    """Return what a bare card can do, by opening it for a moment: rates, formats, numbers of channels.

    Rates: the only one, the two ends of a range, or those of the usual ones that it has.

    Raises:
        DeviceError: it does not open now.
    """
    opened = Negotiation(_library(name, f"open {side}"), name, side, AudioConfig()).probe()
    try:
        return opened.pcm.getrates(), opened.pcm.getformats(), opened.pcm.getchannels()
    except opened.library.ALSAAudioError as error:
        raise card_faults.broken(name, "ask", text_of(error)) from error
    finally:
        opened.pcm.close()


class _AlsaPcm:
    """What both sides do alike: every call into libasound, one at a time, and none on a closed PCM.

    pyalsaaudio looks whether a PCM is closed in most of its methods, not in all (`info`, `revents`: libasound
    then aborts the process), and frees one that another thread is still reading.
    """

    def __init__(self, name: str, opened: Opened, clock: Clock) -> None:
        self.xruns = 0
        self._name = name
        self._card = opened
        self._clock = clock
        self._never = threading.Event()
        self._storm = card_faults.XrunStorm()
        self._lock = threading.Lock()  # held inside libasound, where nothing blocks: the PCM is non-blocking
        self._is_closed = False  # written by whoever closes

    def close(self) -> None:
        self._is_closed = True
        if self._lock.acquire(timeout=_CLOSE_S):
            try:
                self._release()
            finally:
                self._lock.release()
        else:  # its thread is inside the driver, and closes it when it returns
            logger.warning("%r is stuck in its driver, and stays open until that returns", self._name)

    def _ask(self, doing: str, method: str, *arguments: Any) -> Any:
        with self._lock:
            if self._is_closed:
                raise card_faults.closed(self._name, doing)
            answer: Any = None
            try:
                answer = getattr(self._card.pcm, method)(*arguments)
            except self._card.library.ALSAAudioError as error:
                if not self._is_closed:
                    raise card_faults.broken(self._name, doing, text_of(error)) from error
            if self._is_closed:  # meanwhile, by somebody who could not wait
                self._release()
                raise card_faults.closed(self._name, doing)
            return answer

    def _release(self) -> None:
        """Close the PCM, which makes a second time a no-op."""
        with contextlib.suppress(self._card.library.ALSAAudioError):
            self._card.pcm.drop()  # or else close() plays out what the card holds
        with contextlib.suppress(self._card.library.ALSAAudioError):
            self._card.pcm.close()


class AlsaCapture(_AlsaPcm):
    """Satisfies `pcm.Capture`."""

    def __init__(self, name: str, audio: AudioConfig, clock: Clock) -> None:
        library = _library(name, "open capture")
        super().__init__(name, Negotiation(library, name, "capture", audio).open(), clock)
        card = self._card
        self._channel = audio.channel
        self._conditioning = Conditioning(card.rate_hz, gain_db=audio.gain_db)
        self._frame_bytes = card.channels * ENCODINGS[card.encoding]
        self._is_started = False  # poll() never fires before a first read has started the card
        self._rest = b""
        self._watched: list[tuple[int, int]] = self._ask("open capture", "polldescriptors")
        self.format = Format(
            rate_hz=card.rate_hz,
            period_frames=card.period_frames,
            buffer_frames=card.buffer_frames,
            card_channels=card.channels,
            card_encoding=card.encoding,
            card_no=card.card_no,
        )

    def read(self, periods: int = 1) -> Samples:
        sound = decoded(self._take(periods), self._card.encoding, self._card.channels, channel=self._channel)
        return self._conditioning.apply(sound)

    def amplify(self, factor: float) -> None:
        self._conditioning.amplify(factor)

    def read_channels(self, periods: int = 1) -> Wide:
        """Return the next periods of all channels, n x channels, as the card gave them: to measure it by.

        Raises:
            DeviceError: as `read`.
        """
        content = self._take(periods)
        return decoded(content, self._card.encoding, self._card.channels).astype(np.float32)

    def _take(self, periods: int) -> bytes:
        """Return the card's bytes of the next periods."""
        wanted = periods * self.format.period_frames * self._frame_bytes
        duration_s = periods * self.format.period_frames / self.format.rate_hz
        deadline_s = self._clock.monotonic() + duration_s + card_faults.STUCK_S
        is_storm = False
        is_there = periods > 1 and self._is_started and self._has(wanted)
        while len(self._rest) < wanted:
            if self._is_started and not is_there:
                self._await_period()
            count, content = self._ask("read from", "read")
            self._is_started = count != _XRUN
            if count == _XRUN:
                self._rest = b""
                self.xruns += 1
                is_storm = self._storm.is_on(self._clock.monotonic())
            if not content and self._clock.monotonic() > deadline_s:
                raise (card_faults.stormy if count == _XRUN else card_faults.stuck_capture)(self._name)
            if not content and self._is_started and not is_there:
                self._clock.wait(self._never, _POLL_S)  # poll() promised some: a driver may do so for ever
            self._rest += content
            is_there = is_there and bool(content)
        if is_storm:
            raise card_faults.too_many_xruns(self._name, "read from")
        content, self._rest = self._rest[:wanted], self._rest[wanted:]
        return content

    def _has(self, wanted: int) -> bool:
        """Return whether the card has so many bytes by now: to read them needs no poll, nor blocks."""
        return len(self._rest) + int(self._ask("read from", "avail")) * self._frame_bytes >= wanted

    def _await_period(self) -> None:
        """Wait for a period, but not for ever, as a blocking read would on a wedged card."""
        poll = select.poll()
        for descriptor, mask in self._watched:
            poll.register(descriptor, mask)
        deadline_s = self._clock.monotonic() + card_faults.STUCK_S
        while (left_s := deadline_s - self._clock.monotonic()) > 0:
            seen = dict(poll.poll(left_s * 1000))
            found = [(each, seen.get(each, 0)) for each, _ in self._watched]
            if self._ask("read from", "polldescriptors_revents", found):
                return
            # a plugin woke us for its own ends; some do it all the time
            self._clock.wait(self._never, _POLL_S)
        raise card_faults.stuck_capture(self._name)


class AlsaPlayback(_AlsaPcm):
    """Satisfies `pcm.Playback`."""

    def __init__(self, name: str, audio: AudioConfig, clock: Clock) -> None:
        library = _library(name, "open playback")
        super().__init__(name, Negotiation(library, name, "playback", audio).open(), clock)
        card = self._card
        self._is_running = False
        period = max(round(card.rate_hz * audio.period_ms / 1000), card.period_frames)
        self.format = Format(
            rate_hz=card.rate_hz,
            period_frames=period,
            buffer_frames=min(HELD_PERIODS * period, card.buffer_frames),
            card_channels=card.channels,
            card_encoding=card.encoding,
            card_no=card.card_no,
        )

    def wait(self) -> None:
        if not self._is_running:
            self._prepare()
        rate_hz, deadline_s = self.format.rate_hz, self._clock.monotonic() + card_faults.STUCK_S
        while (excess := self._held() + self.format.period_frames - self.format.buffer_frames) > 0:
            if self._ask("write to", "state") == self._card.library.PCM_STATE_DISCONNECTED:
                raise card_faults.broken(self._name, "write to", os.strerror(errno.ENODEV))
            if self._clock.monotonic() > deadline_s:
                raise card_faults.stuck_playback(self._name)
            self._clock.wait(self._never, max(excess / rate_hz, _POLL_S))

    def write(self, period: Samples) -> None:
        assert len(period) == self.format.period_frames, f"a period has {self.format.period_frames} samples"
        content = encoded(period, self._card.encoding, self._card.channels)
        frame_bytes = len(content) // len(period)
        deadline_s = self._clock.monotonic() + card_faults.STUCK_S
        while True:
            count = self._ask("write to", "write", content)
            if count == _XRUN:
                self.xruns += 1  # nothing was taken: again
                if self._storm.is_on(self._clock.monotonic()):
                    raise card_faults.too_many_xruns(self._name, "write to")
            else:
                content = content[count * frame_bytes :]
            if not content:
                self._is_running = True
                return
            if self._clock.monotonic() > deadline_s:
                raise card_faults.stuck_playback(self._name)
            if count <= 0:  # no room, or an xrun: `wait` was not asked, or the card leaps
                self._clock.wait(self._never, _POLL_S)

    def drop(self) -> None:
        self._is_running = False
        self._ask("stop", "drop")

    def delay_frames(self) -> int:
        return 0 if self._is_closed else self._held()

    def _prepare(self) -> None:
        """Have the card ready for a first write: it is here that a card pulled out at rest is noticed."""
        self._ask("write to", "drop")  # so that the write must prepare, which asks the card
        self._ask("write to", "write", b"")

    def _held(self) -> int:
        """Return how many frames of ours the card holds; none once it ran dry."""
        if not self._is_running:
            return 0
        free = int(self._ask("write to", "avail"))
        if free < 0 and free != _XRUN:
            raise card_faults.broken(self._name, "write to", os.strerror(-free))
        return 0 if free == _XRUN else max(0, self._card.buffer_frames - free)


def _library(name: str, doing: str) -> Any:
    """Return the module `alsaaudio`.

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
    return library
