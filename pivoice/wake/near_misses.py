"""What nearly was the wake word: which seconds of sound to keep, and where. Off unless the owner asks.

`NearMisses` says when a recording is due: PURE, capture thread. `ClipStore` keeps it: the capture thread
hands over samples and goes on, a thread that lives as long as there is something to write does the rest.
Nothing here ever sends anything.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
import time
import wave
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pivoice.config import WakeConfig, state_path
from pivoice.wake.policy import BLOCK_S, REARM_SHARE

__all__ = ["Clip", "ClipStore", "NearMisses", "near_misses_path", "open_clip_store"]

logger = logging.getLogger(__name__)

Samples = NDArray[np.int16]

RATE_HZ = 16000
BEFORE_S = 2.0  # as far as a score looks back
AFTER_S = 0.6  # the gate is open for 1 s after the last sound, and most scores peak 0.1 s after the word
LATE_S = 2.0  # the ring holds 5 s
_BLOCK = round(BLOCK_S * RATE_HZ)
_WAITING = 4  # clips that a disk which stalls may keep waiting; then the newest is lost
_NAME = re.compile(r"(\d{6,})-[0-9T]+-.*\.wav(\.new)?")


@dataclass(frozen=True)
class Clip:
    """What shall be kept: positions `start` to `stop` of the 16 kHz sound."""

    start: int
    stop: int
    model: str
    score: float
    """The highest of the utterance."""


class NearMisses:
    """Finds the utterances that came near the wake word and were none. Capture thread.

    Near is half of a model's threshold, which is where the policy takes an utterance to begin and to end:
    0.25 at 0.5, and 1.5 hours of other people's speech and music came to 0.27 once (measured 2026-07). So
    what is kept is a wake word not understood, or what one day may wake by mistake, and little else. What
    reached the threshold and yet was none, because a single block of it did, is kept as well.
    """

    def __init__(self, threshold_of: Callable[[str], float], *, refractory_s: float) -> None:
        """`threshold_of`: the score that counts as a model's wake word (`WakeConfig.threshold_of`)."""
        self._threshold_of = threshold_of
        self._refractory_s = refractory_s
        self._refractory = round(refractory_s * RATE_HZ)
        self._peak: Clip | None = None
        self._peak_share = 0.0
        self._is_known = False  # the utterance was kept, or was a wake word
        self._silent_until = 0  # refractory
        self._position = 0

    def twin(self) -> NearMisses:
        """Return one that has heard nothing: for another ear, whose positions begin anew."""
        return NearMisses(self._threshold_of, refractory_s=self._refractory_s)

    def hear(self, scores: Mapping[str, float], position: int, *, decided: bool) -> Clip | None:
        """Take one block's scores; return what is to be kept now, its last sample at most `position`.

        `position`: of the block's end. `decided`: the policy made a wake word of it. While the gate is
        closed there are no scores: call it with {}, or not at all. What would be due so late that the sound
        may be gone is forgotten.
        """
        if position - self._position > _BLOCK:  # a hole: nothing was scored, the room was quiet
            self._is_known = position < self._silent_until
            if self._peak and position > self._peak.stop + round(LATE_S * RATE_HZ):
                self._peak = None
        self._position = position
        model = max(sorted(scores), key=self._share(scores), default="")
        share = self._share(scores)(model) if model else 0.0
        if decided:
            self._peak, self._is_known = None, True
            self._silent_until = position + self._refractory
        elif share < REARM_SHARE:
            self._is_known = position < self._silent_until
        elif not self._is_known and (self._peak is None or share > self._peak_share):
            self._peak_share = share
            start, stop = position - round(BEFORE_S * RATE_HZ), position + round(AFTER_S * RATE_HZ)
            self._peak = Clip(max(0, start), stop, model, scores[model])
        if self._peak is None or position < self._peak.stop:
            return None
        due, self._peak, self._is_known = self._peak, None, share >= REARM_SHARE
        return due

    def close(self, position: int) -> Clip | None:
        """Return what is to be kept now that the gate closed and no sound comes after `position`.

        Its score came late after the last sound: some words' stays high for a second.
        """
        due, self._peak = self._peak, None
        return replace(due, stop=min(due.stop, position)) if due else None

    def forget(self) -> None:
        """There was a gap in the sound: what was about to be kept is not whole."""
        self._peak, self._is_known = None, False

    def _share(self, scores: Mapping[str, float]) -> Callable[[str], float]:
        return lambda model: scores[model] / self._threshold_of(model)


class ClipStore:
    """A directory with the last `most` clips, 16 kHz mono WAV, each readable to its owner alone."""

    def __init__(self, directory: Path, *, most: int) -> None:
        self.directory = directory
        self.most = most
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Clip, Samples, float]] = deque()
        self._writer: threading.Thread | None = None  # None: nothing waits
        self._has_warned = False

    def keep(self, clip: Clip, samples: Samples) -> None:
        """Have `samples` (the store's from now on) written. Any thread; returns at once, never raises."""
        if not len(samples):
            return
        with self._lock:
            if len(self._waiting) == _WAITING:
                logger.debug("! a near miss is lost: the disk does not keep up")
                return
            self._waiting.append((clip, samples, time.time()))
            if self._writer is None:
                self._start()

    def join(self, timeout_s: float) -> bool:
        """Wait until nothing is left to write; return whether that is so."""
        writer = self._writer
        if writer is not None:
            writer.join(timeout_s)
        return self._writer is None

    def _start(self) -> None:
        writer = threading.Thread(target=self._write_all, name="near-misses", daemon=True)
        try:
            writer.start()
        except RuntimeError as error:  # out of threads or memory: no reason for the microphone to be reopened
            self._waiting.clear()
            self._warn(str(error))
        else:
            self._writer = writer

    # --- the writer's thread ---

    def _write_all(self) -> None:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))  # its parent goes before all others
        while True:
            with self._lock:
                if not self._waiting:
                    self._writer = None
                    return
                clip, samples, unix_s = self._waiting.popleft()
            try:
                self._write(clip, samples, unix_s)
            except OSError as error:
                self._warn(error.strerror or str(error))
            except Exception as error:  # the thread's top: the next clip may be fine
                self._warn(repr(error))

    def _write(self, clip: Clip, samples: Samples, unix_s: float) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = self._kept()
        number = 1 + max((self._number(path) for path in kept), default=0)
        date = time.strftime("%Y%m%dT%H%M%S", time.localtime(unix_s))
        model = re.sub(r"[^\w.-]", "_", clip.model)[:60]
        path = self.directory / f"{number:06d}-{date}-{model}-{clip.score:.2f}.wav"
        beside = path.with_name(path.name + ".new")
        try:
            with open(beside, "wb", opener=_open_private) as file, wave.open(file, "wb") as sound:
                sound.setparams((1, 2, RATE_HZ, len(samples), "NONE", ""))
                sound.writeframes(samples.astype("<i2").tobytes())
            beside.replace(path)
        except OSError:
            beside.unlink(missing_ok=True)
            raise
        self._drop_oldest([*kept, path])

    def _kept(self) -> list[Path]:
        """Return our clips, and drop what a crash left of one; what else lies there is not ours."""
        ours = [path for path in self.directory.iterdir() if _NAME.fullmatch(path.name) and path.is_file()]
        for path in ours:
            if path.suffix == ".new":
                path.unlink(missing_ok=True)
        return [path for path in ours if path.suffix == ".wav"]

    def _drop_oldest(self, kept: list[Path]) -> None:
        # By number, not by date: a Pi without a clock wakes up in the past.
        kept.sort(key=self._number)
        for path in kept[: max(0, len(kept) - self.most)]:
            with contextlib.suppress(OSError):  # of what cannot be deleted there is one, of the rest no end
                path.unlink()

    @staticmethod
    def _number(path: Path) -> int:
        return int(path.name.partition("-")[0])

    def _warn(self, reason: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            logger.warning(
                "cannot keep near misses in %s: %s; make room there, or set wake.near_misses_dir",
                self.directory,
                reason,
            )


def open_clip_store(config: WakeConfig, environ: Mapping[str, str]) -> ClipStore | None:
    """Return where near misses are kept, and say so in the log; None when none are."""
    if config.engine == "none" or not config.save_near_misses:
        return None
    store = ClipStore(near_misses_path(config, environ), most=config.save_near_misses)
    logger.info(
        "near misses are kept in %s, at most %s; they hold what was said (wake.save_near_misses = 0 ends it)",
        store.directory,
        store.most,
    )
    return store


def near_misses_path(config: WakeConfig, environ: Mapping[str, str]) -> Path:
    """Return where near misses are kept: as configured, else in systemd's directory, else in the user's."""
    if config.near_misses_dir:
        return Path(config.near_misses_dir)
    return state_path("near-misses", environ)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_EXCL | os.O_NOFOLLOW, 0o600)
