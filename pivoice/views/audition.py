"""All microphones recorded at once while somebody speaks: which of them hears best?

Each in a thread of its own, through the clock; what the running pivoice listens on is not taken from it, but
measured by what it tells whoever watches. One that fails says why, and stops no other.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Protocol

from pivoice import caller
from pivoice.audio.recorder import Recorder
from pivoice.clock import Clock
from pivoice.config import AudioConfig
from pivoice.errors import DeviceError, PivoiceError
from pivoice.views.loudness import BLOCK_S, FULL_SCALE, Channel, Ear, Frames, Hearing, best_of, judged
from pivoice.views.meters import SILENCE_DB, safe

SETTLING_S = 0.3  # what a card gives right after it was opened: clicks, and an offset on its way out
_TOLD_S = 0.1  # how much sound is in one of the daemon's levels
_ENDS_S = 3.0  # a card that gives nothing is given up after 2 s

Watch = Callable[[str], Iterator[Mapping[str, Any]]]


class Records(Protocol):
    """What a `Recorder` is to us."""

    rate_hz: int
    channels: int

    def read(self) -> Frames: ...
    def close(self) -> None: ...


@dataclass
class Candidate:
    """One microphone, and what was heard with it. Its own thread writes, any may look."""

    pcm: str
    name: str
    socket: str = ""
    """Of the pivoice that listens on it; empty where nobody does."""
    first_channel: int = 0
    """The number of the first of `channels`: pivoice tells of one only."""
    trouble: str = ""
    """Why it was not heard (any more)."""
    channels: list[Channel] = field(default_factory=list)

    @property
    def now_db(self) -> float:
        """The newest level of its loudest channel."""
        return max((each.now_db for each in self.channels), default=SILENCE_DB)

    @property
    def hearings(self) -> list[Hearing | None]:
        """What to make of each channel."""
        block_s = _TOLD_S if self.socket else BLOCK_S
        return [judged(each, block_s=block_s) for each in self.channels]

    @property
    def best(self) -> int:
        """The index of the channel to use: the one that heard best, else the first that is not dead."""
        hearings = self.hearings
        if (best := best_of(hearings)) is not None:
            return best
        alive = [index for index, each in enumerate(hearings) if each and not each.is_dead]
        return alive[0] if alive else 0

    @property
    def hearing(self) -> Hearing | None:
        """What to make of its best channel; None where nothing came."""
        return self.hearings[self.best] if self.channels else None

    @property
    def channel(self) -> int:
        """What audio.channel has to be for its best channel."""
        return self.first_channel + self.best


class Audition:
    """`start`, let the user speak, `stop`; then look at the candidates."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        audio: AudioConfig,
        clock: Clock,
        *,
        record: Callable[[str, AudioConfig, Clock], Records] = Recorder,
        watch: Watch = caller.watch,
    ) -> None:
        self.candidates = list(candidates)
        self._audio = audio
        self._clock = clock
        self._record = record
        self._watch = watch
        self._stopping = threading.Event()
        self._all_ended = threading.Event()
        self._left = 0
        self._counting = threading.Lock()

    def start(self) -> None:
        """Begin with all of them."""
        able = [each for each in self.candidates if not each.trouble]
        self._left = len(able)
        for candidate in able:
            self._clock.start_thread(functools.partial(self._run, candidate), name=f"record {candidate.pcm}")

    def wait(self, timeout_s: float) -> bool:
        """Wait so long, or until none of them listens any more; return whether that is so."""
        return not self._left or self._clock.wait(self._all_ended, timeout_s)

    def stop(self) -> None:
        """End, and wait until the cards are closed; one that hangs in its driver says so."""
        self._stopping.set()
        self.wait(_ENDS_S)
        for candidate in self.candidates:
            if not candidate.channels and not candidate.trouble:
                candidate.trouble = "it gave no sound"

    def ranking(self) -> list[Candidate]:
        """Return the candidates, best first, those that heard nothing at the end."""
        none = (False, -math.inf)
        return sorted(
            self.candidates,
            key=lambda each: (not each.trouble, each.hearing.worth if each.hearing else none),
            reverse=True,
        )

    def _run(self, candidate: Candidate) -> None:
        try:
            if candidate.socket:
                self._follow(candidate)
            else:
                self._hear(candidate)
        except DeviceError as error:
            candidate.trouble = safe(f"{error.reason}; {error.advice}" if error.advice else error.reason)
        except PivoiceError as error:
            candidate.trouble = safe(error)
        finally:
            with self._counting:
                self._left -= 1
                if not self._left:
                    self._all_ended.set()

    def _hear(self, candidate: Candidate) -> None:
        with closing(self._record(candidate.pcm, self._audio, self._clock)) as pcm:
            ear = Ear(pcm.rate_hz, pcm.channels, skip_s=SETTLING_S)
            candidate.channels = ear.channels
            while not self._stopping.is_set():
                ear.hear(pcm.read())

    def _follow(self, candidate: Candidate) -> None:
        """Take the levels that the running pivoice tells of its own microphone."""
        channel = Channel()
        for line in self._watch(candidate.socket):
            if self._stopping.is_set():
                return
            levels = [line.get(name) for name in ("rms_db", "peak_db", "clipped")]
            if line.get("event") != "level" or line.get("side") != "microphone":
                continue
            if all(isinstance(each, int | float) for each in levels):
                level_db, peak_db, clipped = map(float, levels)  # type: ignore[arg-type]
                peak = 0.0 if peak_db <= SILENCE_DB else FULL_SCALE * 10 ** (min(peak_db, 0.0) / 20)
                channel.add(level_db, peak, int(clipped))
                candidate.channels = [channel]
        candidate.trouble = "pivoice stopped meanwhile"
