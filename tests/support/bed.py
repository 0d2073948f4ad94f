"""The test bed: a microphone and a speaker made of files, below the real libasound.

    with Bed() as bed:                                    # ALSA_CONFIG_PATH of this process points at the bed
        daemon = subprocess.Popen([...], env=os.environ | bed.env)      # its PCMs: bed_mic and bed_speaker
        start_s = bed.say(speech)                         # from 0.1 s from now on the microphone hears this
        heard_s = bed.wait_audible(after_s=start_s, timeout_s=5)        # the speaker's first audible sample
        sound = bed.heard(heard_s, heard_s + 1.0)         # what the speaker played in that second, exactly

Every time is in seconds of CLOCK_MONOTONIC (`time.monotonic()`, asyncio's clock). A timeline's frame k sounds
at `epoch_s + k / rate`: what was said and heard is aligned to the sample, however loaded the machine is.

PCMs: `bed_mic` and `bed_speaker` convert rate, format and channels as `plughw:` does; `bed_mic_card` and
`bed_speaker_card` are the bare cards, as `hw:` is; and they have a kernel card's names, too: `hw:CARD=bed`
and `plughw:CARD=bed`. How the card behaves is told in scripts/bed/pcm_pivoice.c.
`which` is "mic" or "speaker" everywhere. Used by the tests, the bench and the demo.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, cast, get_args

import numpy as np
import samplerate
from numpy.typing import NDArray

from tests.support.bed_card import Card, Encoding, Samples

__all__ = ["Bed", "Card", "Samples", "build_plugin", "resampled", "wait_until"]

Which = Literal["mic", "speaker"]
Fault = Literal[
    "unplug", "busy", "hostdown", "denied", "refuse", "stall", "eio", "storm", "suspend", "crumbs"
]
"""What may be wrong with a card; scripts/bed/pcm_pivoice.c says what each does."""

SOURCES = Path(__file__).resolve().parents[2] / "scripts" / "bed"
LEAD_S = 0.1
"""How far ahead `say` places sound by default: more than a period, so that no part of it comes too late."""
POLL_S = 0.005
_KERNEL_NAMES = """
pcm.bed_both { type asym; capture.pcm bed_mic_card; playback.pcm bed_speaker_card }
pcm.!hw {
    @args [ CARD DEV SUBDEV ]
    @args.CARD { type string }
    @args.DEV { type integer default 0 }
    @args.SUBDEV { type integer default -1 }
    type empty
    slave.pcm { @func concat strings [ $CARD "_both" ] }
}
pcm.!plughw {
    @args [ CARD DEV SUBDEV ]
    @args.CARD { type string }
    @args.DEV { type integer default 0 }
    @args.SUBDEV { type integer default -1 }
    type plug
    slave.pcm { @func concat strings [ $CARD "_both" ] }
}
"""
"""No card of this machine's kernel is to be had while a bed stands: only `bed` is."""


class Bed:
    """One sound card of files in a directory of its own, gone with `close` (or the end of the `with`)."""

    def __init__(
        self,
        mic: Card = Card(),
        speaker: Card = Card(),
        *,
        echo_percent: int = 0,
        echo_s: float = 0.02,
    ) -> None:
        """`echo_percent`: how much of the speaker's amplitude the microphone hears, `echo_s` later."""
        assert not echo_percent or mic == speaker == Card(mic.rate_hz), "only plain cards hear each other"
        shared_memory = Path("/dev/shm")
        parent = shared_memory if os.access(shared_memory, os.W_OK) else None
        self.dir = Path(tempfile.mkdtemp(prefix="pivoice-bed-", dir=parent))
        self._offered: dict[Which, Card] = {"mic": mic, "speaker": speaker}
        self._echo = f" echo {echo_percent} echo_frames {round(echo_s * mic.rate_hz)}" if echo_percent else ""
        self.epoch_ns = time.monotonic_ns()
        (self.dir / "epoch").write_text(f"{self.epoch_ns}\n")
        (self.dir / "asound.conf").write_text(self._configuration())
        self.env = {"ALSA_CONFIG_PATH": f"/usr/share/alsa/alsa.conf:{self.dir}/asound.conf"}
        """Add this to the environment of a process that shall hear and speak here."""
        self._outer_config = os.environ.get("ALSA_CONFIG_PATH")
        os.environ.update(self.env)  # libasound looks at it at every open: for PCMs opened in this process

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Forget everything. PCMs still open on the bed live on, heard by nobody."""
        if self._outer_config is None:
            os.environ.pop("ALSA_CONFIG_PATH", None)
        else:
            os.environ["ALSA_CONFIG_PATH"] = self._outer_config
        shutil.rmtree(self.dir, ignore_errors=True)

    def _configuration(self) -> str:
        text = f'pcm_type.pivoice {{ lib "{build_plugin()}" }}\n'
        for which, card in self._offered.items():
            text += (
                f'pcm.bed_{which}_card {{ type pivoice; dir "{self.dir}"; {card.definition}'
                f"{self._echo if which == 'mic' else ''} }}\n"
                f"pcm.bed_{which} {{ type plug; slave.pcm bed_{which}_card }}\n"
            )
        return text + _KERNEL_NAMES

    @property
    def cards(self) -> dict[Which, Card]:
        """What each side speaks: what a program took of it, or else what it offers first."""
        return {which: self._taken(which) for which in self._offered}

    def _taken(self, which: Which) -> Card:
        try:
            rate_hz, channels, encoding = (self.dir / f"{which}.params").read_text().split()
        except (FileNotFoundError, ValueError):  # nobody opened it, or just does
            return self._offered[which]
        return Card(int(rate_hz), int(channels), cast(Encoding, encoding))

    # Time

    @property
    def epoch_s(self) -> float:
        """When frame 0 of both timelines sounds."""
        return self.epoch_ns / 1e9

    def now_s(self) -> float:
        return time.monotonic()

    def frame_at(self, which: Which, at_s: float) -> int:
        """Return the frame of that side's timeline that is nearest to `at_s`."""
        return round((at_s - self.epoch_s) * self.cards[which].rate_hz)

    def time_of(self, which: Which, frame: int) -> float:
        return self.epoch_s + frame / self.cards[which].rate_hz

    # The user's mouth

    def say(
        self,
        samples: Samples,
        at_s: float | None = None,
        *,
        rate_hz: int | None = None,
        channel: int | None = None,
    ) -> float:
        """Let the microphone hear mono int16 `samples`; return when they start, exactly.

        `at_s` None is `LEAD_S` from now; sound placed in the past is heard by nobody. `rate_hz` is the
        samples' rate if it is not the microphone's own. `channel` None is all of them. What was placed
        there before is overwritten, not mixed.
        """
        card = self.cards["mic"]
        if rate_hz is not None and rate_hz != card.rate_hz:
            samples = resampled(samples, rate_hz, card.rate_hz)
        start = max(0, self.frame_at("mic", time.monotonic() + LEAD_S if at_s is None else at_s))
        frames = self._content("mic", start, start + len(samples))
        frames[:, slice(None) if channel is None else channel] = (
            samples[:, None] if channel is None else samples
        )
        with self._file("mic").open("r+b") as file:
            file.seek(start * card.frame_bytes)
            file.write(card.encode(frames))
        return self.time_of("mic", start)

    # The user's ear

    def heard(self, from_s: float, to_s: float | None = None, *, channel: int = 0) -> Samples:
        """Return what the speaker played from `from_s` to `to_s` (None: now), at the speaker's rate.

        The future is silence, though the card may hold sound for it that could still be dropped.
        """
        now = self.frame_at("speaker", time.monotonic())
        first = self.frame_at("speaker", from_s)
        last = now if to_s is None else self.frame_at("speaker", to_s)
        frames = self._content("speaker", first, last)[:, channel]
        frames[max(0, now - first) :] = 0
        return frames

    def first_audible(self, after_s: float, threshold: int = 100) -> float | None:
        """Return when the first sample louder than `threshold` sounded, None when none did so far."""
        loud = self._loud(after_s, None, threshold)
        return (
            self.time_of("speaker", self.frame_at("speaker", after_s) + int(loud[0])) if len(loud) else None
        )

    def last_audible(
        self, after_s: float, before_s: float | None = None, threshold: int = 100
    ) -> float | None:
        """Return when the last sample louder than `threshold` sounded, None when none did in that time."""
        loud = self._loud(after_s, before_s, threshold)
        return (
            self.time_of("speaker", self.frame_at("speaker", after_s) + int(loud[-1])) if len(loud) else None
        )

    def wait_audible(self, after_s: float, timeout_s: float, threshold: int = 100) -> float:
        """Wait for the first audible sample; return when it sounded."""
        wait_until(
            lambda: self.first_audible(after_s, threshold) is not None, timeout_s, "sound from the speaker"
        )
        heard_s = self.first_audible(after_s, threshold)
        assert heard_s is not None
        return heard_s

    def wait_silent(self, for_s: float, timeout_s: float, threshold: int = 100) -> float:
        """Wait until nothing was audible for `for_s`; return when the silence began."""
        begun_s = time.monotonic()
        wait_until(
            lambda: (
                self.last_audible(time.monotonic() - for_s, None, threshold) is None
                and time.monotonic() > begun_s + for_s
            ),
            timeout_s,
            f"{for_s} s of silence from the speaker",
        )
        return self.last_audible(begun_s, None, threshold) or begun_s

    def save_heard(self, path: Path, from_s: float, to_s: float | None = None) -> None:
        """Write what the speaker played as a mono 16-bit WAV file."""
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(self.cards["speaker"].rate_hz)
            file.writeframes(self.heard(from_s, to_s).astype("<i2").tobytes())

    # The card's fate

    def unplug(self, which: Which | None = None) -> None:
        """Take the card away (None: both sides, as one USB plug does). What is open there dies."""
        self._switch(which, "unplug", on=True)

    def plug(self, which: Which | None = None) -> None:
        """Put it back in. What died stays dead; opening works again."""
        self._switch(which, "unplug", on=False)

    def make_busy(self, which: Which | None = None, *, busy: bool = True) -> None:
        """Let another program hold the card: opening fails with EBUSY. What is open stays so."""
        self._switch(which, "busy", on=busy)

    def stall(self, which: Which | None = None, *, stalled: bool = True) -> None:
        """Stop the card's clock: no error, no period, as a wedged USB card. Going on is an xrun."""
        self._switch(which, "stall", on=stalled)

    def fail(self, which: Which | None, fault: Fault) -> None:
        """Let that go wrong with the card until `mend`."""
        self._switch(which, fault, on=True)

    def mend(self, which: Which | None = None) -> None:
        """Take every fault back."""
        for fault in get_args(Fault):
            self._switch(which, fault, on=False)

    def is_open(self, which: Which) -> bool:
        """Return whether any process has that side open now."""
        lock = self._file(which, "lock")
        if not lock.exists():
            return False
        status = lock.stat()
        place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
        return place in Path("/proc/locks").read_text().split()

    def events(self, which: Which) -> list[tuple[float, str]]:
        """Return what happened to that side, oldest first: when, and "open", "start", "stop", "xrun",
        "unplug", "eio", "suspend" or "close"."""
        log = self._file(which, "log")
        lines = log.read_text().splitlines() if log.exists() else []
        return [(self.time_of(which, int(frame)), event) for frame, event in map(str.split, lines)]

    def xruns(self, which: Which) -> list[float]:
        """Return when that side ran over (the microphone) or dry (the speaker)."""
        return [at_s for at_s, event in self.events(which) if event == "xrun"]

    # Private

    def _file(self, which: Which, suffix: str = "raw") -> Path:
        path = self.dir / f"{which}.{suffix}"
        if suffix == "raw":
            path.touch()
        return path

    def _content(self, which: Which, first: int, last: int) -> Samples:
        """Return frames `first` to `last` of a timeline, n x channels; what is not there is silence."""
        card = self.cards[which]
        wanted = max(0, last - first) * card.frame_bytes
        before = max(0, -first) * card.frame_bytes
        with self._file(which).open("rb") as file:
            file.seek(max(0, first) * card.frame_bytes)
            content = (bytes(before) + file.read(max(0, wanted - before)))[:wanted]
        return card.decode(content.ljust(wanted, b"\0"))

    def _loud(self, after_s: float, before_s: float | None, threshold: int) -> NDArray[np.intp]:
        return np.flatnonzero(np.abs(self.heard(after_s, before_s).astype(np.int32)) > threshold)

    def _switch(self, which: Which | None, name: str, *, on: bool) -> None:
        for side in (which,) if which else ("mic", "speaker"):
            path = self.dir / f"{side}.{name}"
            if on:
                path.touch()
            else:
                path.unlink(missing_ok=True)


def build_plugin(kind: Literal["pcm", "ctl"] = "pcm") -> Path:
    """Return the shared object made from {kind}_pivoice.c, compiled if this environment has none of it."""
    source = SOURCES / f"{kind}_pivoice.c"
    name = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    target = Path(sys.prefix) / "lib" / "pivoice-bed" / f"libasound_module_{kind}_pivoice-{name}.so"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        made = Path(scratch) / "plugin.so"
        command = ["gcc", "-O2", "-Wall", "-shared", "-fPIC", "-o", str(made), str(source), "-lasound"]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except FileNotFoundError:
            raise RuntimeError("the test bed needs gcc; run ./scripts/setup test") from None
        except subprocess.CalledProcessError as error:
            raise RuntimeError(
                f"cannot compile {source.name}; is libasound2-dev there?\n{error.stderr}"
            ) from None
        made.replace(target)
    return target


def resampled(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """Return mono int16 `samples` at another rate, the same length in time."""
    if from_hz == to_hz:
        return samples
    converted = samplerate.resample(samples.astype(np.float32), to_hz / from_hz, "sinc_medium")
    return np.clip(np.rint(converted), -32768, 32767).astype(np.int16)


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Look again and again until `condition` holds.

    Raises:
        TimeoutError: it did not within `timeout_s`; `what` says what was waited for.
    """
    deadline_s = time.monotonic() + timeout_s
    never = threading.Event()
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"no {what} within {timeout_s} s")
        never.wait(POLL_S)
