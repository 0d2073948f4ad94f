"""The mouth: the playback thread, from queued replies and chimes to the speaker.

Owns the playback PCM. Each period is decided at the last moment, when it fits the card, so that what is
taken back is silent within what the card holds (two periods) and a ramp. The PCM runs from the first
sound until 5 s after the last. Retries a lost speaker for ever. Never decides who has the floor.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pivoice.audio.buffers import WIRE_HZ, ReplyQueue, SpokenRing
from pivoice.audio.chimes import Hush
from pivoice.audio.earcons import NAMES, Earcons
from pivoice.audio.gate import HalfDuplexGate
from pivoice.audio.losses import STEADY_S, LossLog
from pivoice.audio.loudness_scale import softness
from pivoice.audio.meter import LevelMeter
from pivoice.audio.mixer import Mixed, Mixer
from pivoice.audio.pcm import Format, Playback, Samples, from_db, open_playback
from pivoice.audio.reference import Reference
from pivoice.audio.xruns import XrunLog
from pivoice.clock import Clock
from pivoice.config import AudioConfig
from pivoice.errors import DeviceError
from pivoice.turn.events import Event, PlaybackDrained, PlaybackFound, PlaybackLost, ReplyAudible

logger = logging.getLogger(__name__)

RUN_ON_S = 5.0  # how long silence is played before the card is stopped
BACKOFF_S = (0.5, 3.0)  # first and longest wait before a lost card is tried again: it is back within 5 s
LOOK_S = 4.0  # how often a card at rest is looked for: one pulled out at rest tells nobody
AUDIBLE = round(32768 * from_db(-50))  # what the user can be expected to hear begin
ECHOING = round(32768 * from_db(-60))  # what the microphone may hear of it
_SLACK_S = 1e-6


class Mouth:
    """The speaker and all that plays on it. Public methods: event loop, they return at once."""

    def __init__(
        self,
        *,
        audio: AudioConfig,
        clock: Clock,
        post: Callable[[Event], None],
        report: Callable[[str, dict[str, object]], None],
        spoken: SpokenRing,
        gate: HalfDuplexGate | None,
        reference: Reference | None = None,
        xruns: XrunLog | None = None,
        earcons: Earcons | None = None,
    ) -> None:
        """`reference`: of a canceller, which need not wait for the room to fall silent after a reply.
        `xruns`: of the mouth before this one."""
        self.beats = 0
        """What the thread has got done, in no particular unit."""
        self.is_open = False
        self.opened: Format | None = None
        """What the speaker was opened with; None while it is not."""
        self._audio = audio
        self._clock = clock
        self._post = post
        self._report = report
        self._spoken = spoken
        self._gate = gate
        self._reference = reference
        self._tail_s = gate.tail_s if gate and not reference else 0.0
        self._queue = ReplyQueue()
        self._earcons = earcons or Earcons(audio.earcons)
        self._chimes: deque[str | Hush] = deque()
        self._is_ducked = False  # the event loop writes it
        self._softness = softness(audio.max_volume)  # until told otherwise; the event loop writes it
        self._dropped_s = 0.0  # when the last drop was asked for; the event loop writes it
        self._door = threading.Event()  # something to play: look
        self._stopping = threading.Event()
        self._audible = 0  # the last reply that was heard to begin
        self._ending: tuple[int, float] | None = None  # a reply written to its end, and when it has sounded
        self._losses = LossLog(logger)
        self._xruns = xruns or XrunLog("playback")
        self._meter = LevelMeter("speaker", report)
        self._is_at_rest = True  # this thread waits for something to do, in nobody's hands
        self._thread: threading.Thread | None = None

    @property
    def xruns(self) -> int:
        """Underruns since the start."""
        return self._xruns.total

    @property
    def watching(self) -> bool:
        """Somebody watches: levels are worth reporting."""
        return self._meter.is_watched

    @watching.setter
    def watching(self, watching: bool) -> None:
        self._meter.is_watched = watching

    def light(self, is_lit: bool) -> None:
        """Somebody asks for `level_db`, or nobody does."""
        self._meter.is_lit = is_lit

    def level_db(self) -> float:
        """Return how loud what is played is, as long as somebody lit it: RMS in dBFS, -120 if unknown."""
        return self._meter.level_db(self._clock.monotonic())

    @property
    def progress(self) -> int | None:
        """What changes every few seconds unless the thread is stuck; None: at rest, nothing has to change."""
        return None if self._is_at_rest else self.beats

    @property
    def ignored_s(self) -> float:
        """Seconds of sound that came for dead replies."""
        return self._queue.ignored_frames / WIRE_HZ

    def start(self) -> None:
        """Start the thread, which opens the speaker."""
        self._thread = self._clock.start_thread(self._run, name="playback")

    def stop(self) -> None:
        """Ask the thread to fall silent, close the speaker and end; `join` waits for it."""
        self._stopping.set()
        self._door.set()

    @property
    def is_running(self) -> bool:
        """Whether the thread is there; after `stop`, only until the speaker is silent and closed."""
        return self._thread is not None and self._thread.is_alive()

    def abandon(self) -> None:
        """The thread is stuck, most likely in the card's driver: nothing more may come of it."""
        self.stop()
        self._losses.is_abandoned = True
        self._post = lambda event: None
        self._report = lambda kind, facts: None
        self._reference = self._gate = None
        self._spoken = SpokenRing()

    def play(self, reply: int, samples: Samples) -> None:
        """Queue 24 kHz samples, which are ours from now on. Ignored for a reply that was dropped."""
        self._queue.put(reply, samples, self._clock.monotonic())
        self._door.set()

    def end(self, reply: int) -> None:
        """No more of `reply` will come. If it had a sample, `PlaybackDrained` tells when all has sounded."""
        self._queue.end(reply)
        self._door.set()

    def drop(self, reply: int) -> None:
        """Silence every reply up to `reply` within the card's two periods and a ramp, for good."""
        self._dropped_s = self._clock.monotonic()
        self._queue.drop(reply)
        if self._gate:
            self._gate.cut(self._dropped_s)

    def set_ducked(self, ducked: bool) -> None:
        """Play replies 15 dB softer, or at full level again."""
        self._is_ducked = ducked

    def soften(self, factor: float) -> None:
        """Play everything at so much of its amplitude, from now on, without a noise."""
        self._softness = factor

    def chime(self, name: str) -> None:
        """Play an earcon: one of `earcons.NAMES`."""
        assert name in NAMES, f"no earcon {name!r}; there are {', '.join(NAMES)}"
        self._chimes.append(name)
        self._door.set()

    def hush(self, name: str) -> None:
        """End an earcon, if it sounds, within the card's two periods and a ramp: a ring that was answered."""
        self._chimes.append(Hush(name))

    # --- the playback thread ---

    def _run(self) -> None:
        backoff_s = BACKOFF_S[0]
        self._is_at_rest = False  # it opens the speaker: that may hang as well
        while not self._stopping.is_set():
            since_s = self._clock.monotonic()
            try:
                self._open()
                continue
            except DeviceError as error:
                reason: DeviceError | str = error
            except Exception as error:  # the thread's top: a mistake of ours must not leave the device mute
                if not self._losses.is_lost:
                    logger.exception("playback thread")
                reason = f"the playback thread failed: {error!r}"
            was_steady = self._clock.monotonic() - since_s >= STEADY_S
            self._lose(reason, is_news=was_steady)
            backoff_s = BACKOFF_S[0] if was_steady else backoff_s
            self._rest(self._stopping, backoff_s)
            backoff_s = min(2 * backoff_s, BACKOFF_S[1])

    def _rest(self, until: threading.Event, for_s: float) -> bool:
        """Wait with nothing in hand; return whether `until` is set."""
        self._is_at_rest = True
        try:
            return self._clock.wait(until, for_s)
        finally:
            self.beats += 1
            self._is_at_rest = False

    def _open(self) -> None:
        """Open the speaker and serve it until stopped, or pulled out and in while it was at rest.

        Silent and closed when this returns or raises.
        """
        pcm = open_playback(self._audio.playback, self._audio, self._clock)
        try:
            self._find(pcm)
            mixer = Mixer(
                self._queue,
                pcm.format,
                jitter_ms=self._audio.jitter_ms,
                softness=self._softness,
                earcons=self._earcons,
            )
            while not self._stopping.is_set():
                is_due = self._await_sound(mixer)
                if not self._stopping.is_set() and not _is_alive(pcm):
                    return  # pulled out at rest: opened anew, at once, it may be there again
                if is_due:
                    self._serve(pcm, mixer)
        finally:
            self.is_open, self.opened = False, None
            with contextlib.suppress(DeviceError):
                self._stop(pcm)
            pcm.close()

    def _await_sound(self, mixer: Mixer) -> bool:
        """Sleep, the card stopped, until there may be something to play, or it should be looked for.

        Return whether there is something.
        """
        self._door.clear()
        now_s = self._clock.monotonic()
        due_s = mixer.due_s(self._chimes, now_s)
        if due_s is not None and due_s <= now_s + _SLACK_S:
            return True
        if not self._stopping.is_set():
            self._rest(self._door, LOOK_S if due_s is None else min(LOOK_S, due_s - now_s))
        return False

    def _serve(self, pcm: Playback, mixer: Mixer) -> None:
        """Play until 5 s after the last sound, or until stopped."""
        rate_hz, xruns = pcm.format.rate_hz, pcm.xruns
        sounded_s = self._clock.monotonic()
        while True:
            pcm.wait()
            if self._stopping.is_set():
                return
            now_s = self._clock.monotonic()
            mixed = mixer.mix(
                self._chimes, ducked=self._is_ducked, softness=self._softness, now_s=now_s + _SLACK_S
            )
            pcm.write(mixed.samples)
            # Asked now: who is late before the card takes it would find it already sounding.
            begins_s = self._clock.monotonic() + (pcm.delay_frames() - len(mixed.samples)) / rate_hz
            if self._reference:
                self._reference.push(mixed.samples, begins_s, has_broken=pcm.xruns > xruns)
            self._spoken.append(mixed.samples)
            self._tell(mixed, begins_s, rate_hz)
            self._settle(now_s)
            self._meter.take(mixed.samples, rate_hz=rate_hz, end_s=begins_s + len(mixed.samples) / rate_hz)
            self.beats += 1
            if pcm.xruns > xruns:
                self._xruns.add(pcm.xruns - xruns, now_s)
                xruns = pcm.xruns
            if mixed.has_sound:
                sounded_s = now_s
            elif now_s - sounded_s > RUN_ON_S:
                self._stop(pcm)
                return

    def _stop(self, pcm: Playback) -> None:
        if self._reference:
            self._reference.stop()
        pcm.drop()

    def _tell(self, mixed: Mixed, begins_s: float, rate_hz: int) -> None:
        """Tell of a period that was written and whose first sample sounds at `begins_s`."""
        if self._gate and mixed.has_chime:
            end_s = begins_s + len(mixed.samples) / rate_hz
            self._gate.chimed(end_s, since_s=begins_s, is_tonal=mixed.is_tonal)
            if mixed.words is not None:
                self._close_gate(np.abs(mixed.words), begins_s, rate_hz)
        ends_s = begins_s + len(mixed.voice) / rate_hz
        if mixed.dropped:
            self._ending = None
            self._observe("silence", mixed.dropped, ends_s)
            if self._gate:
                self._gate.cut(self._dropped_s)
            return
        if not mixed.reply:
            return
        if mixed.is_first:
            self._ending = None
            self._observe("first_sample", mixed.reply, begins_s)
        if mixed.is_underrun:
            self._observe("underrun", mixed.reply, ends_s)
            logger.debug("! reply %d ran dry", mixed.reply)
        self._tell_loudness(mixed, begins_s, rate_hz)
        if mixed.is_last:
            self._ending = mixed.reply, ends_s + self._tail_s

    def _tell_loudness(self, mixed: Mixed, begins_s: float, rate_hz: int) -> None:
        loudness = np.abs(mixed.voice.astype(np.int32))
        if mixed.reply != self._audible and len(loud := np.flatnonzero(loudness >= AUDIBLE)):
            self._audible = mixed.reply
            self._observe("first_audible", mixed.reply, begins_s + int(loud[0]) / rate_hz)
            self._post(ReplyAudible(mixed.reply))
        if mixed.reply > self._queue.dropped:
            self._close_gate(loudness, begins_s, rate_hz)

    def _close_gate(self, loudness: NDArray[Any], begins_s: float, rate_hz: int) -> None:
        """Somebody speaks whom the agent must not hear."""
        if self._gate and len(loud := np.flatnonzero(loudness >= ECHOING)):
            since_s, until_s = begins_s + int(loud[0]) / rate_hz, begins_s + (int(loud[-1]) + 1) / rate_hz
            self._gate.heard_until(until_s, since_s=since_s)

    def _settle(self, now_s: float) -> None:
        """Tell that a reply has sounded to its end, unless it was dropped, or another one follows."""
        if self._ending is None or now_s < self._ending[1] - _SLACK_S:
            return
        reply, self._ending = self._ending[0], None
        if reply > self._queue.dropped and self._queue.newest() <= reply:
            self._post(PlaybackDrained(reply))

    def _observe(self, what: str, reply: int, time_s: float) -> None:
        self._report("playback", {"what": what, "reply": reply, "time_s": time_s})

    def _lose(self, error: DeviceError | str, *, is_news: bool = True) -> None:
        """Forget what waited: nobody wants to hear it when the speaker is back."""
        self._forget()
        if self._losses.lost(error, is_news=is_news):
            self._post(PlaybackLost(str(error)))

    def _find(self, pcm: Playback) -> None:
        if self._losses.is_lost:
            self._forget()
        self.is_open, self.opened = True, pcm.format
        opened = pcm.format
        self._spoken.set_rate(opened.rate_hz)
        if self._reference:
            self._reference.open(opened.rate_hz)
        self._losses.found(
            "playback: %r at %d Hz, %s, %d channels, periods of %.1f ms",
            self._audio.playback,
            opened.rate_hz,
            opened.card_encoding,
            opened.card_channels,
            1000 * opened.period_frames / opened.rate_hz,
        )
        self._post(PlaybackFound())

    def _forget(self) -> None:
        self._ending = None
        self._chimes.clear()
        self._queue.drop(self._queue.newest())


def _is_alive(pcm: Playback) -> bool:
    """Return whether a stopped PCM still has its card: one that was pulled out tells only when asked."""
    try:
        pcm.wait()
    except DeviceError:
        return False
    return True
