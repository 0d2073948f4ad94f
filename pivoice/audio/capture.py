"""The ears: the capture thread, from the microphone to the wake word and to the uplink.

Owns the capture PCM, the ring and the wake word's detectors. Per period: read, to 16 kHz, echo stage, ring,
wake word, valve. While nobody speaks and nobody is spoken to it dozes: it wakes once in 80 ms, looks whether
the room is still quiet, and lays the sound by. Retries a lost microphone for ever; closes it when muted.
Never decides what a wake word means, and hands no period to anybody while the valve is closed.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from collections.abc import Callable
from functools import partial

from pivoice.audio.buffers import SpokenRing, Uplink
from pivoice.audio.feed import UplinkFeed
from pivoice.audio.gate import HalfDuplexGate
from pivoice.audio.intake import RING_S, Intake
from pivoice.audio.losses import STEADY_S, LossLog
from pivoice.audio.meter import LevelMeter
from pivoice.audio.pcm import Capture, Format, Samples, open_capture
from pivoice.audio.period_times import PeriodTimes
from pivoice.audio.stage import EchoStage
from pivoice.audio.wake_ear import Listening, OwnVoice, Post, Report, WakeEar
from pivoice.audio.xruns import XrunLog
from pivoice.clock import Clock
from pivoice.config import AudioConfig
from pivoice.errors import DeviceError
from pivoice.turn.events import CaptureFound, CaptureLost, OnsetHeard, Valve

__all__ = ["Ears", "HalfDuplexGate"]

logger = logging.getLogger(__name__)

BACKOFF_S = (0.5, 3.0)  # first and longest wait before a lost card is tried again: it is back within 5 s
DOZE_S = 0.08  # as often as the wake word is decided; a period (20 ms) at a time costs three times as much
REPLAYED_S = 2.5  # what the wake word's detector is told of what it missed, and some
_SLACK_S = 1e-6
_LATE_S = 0.001  # a card may be so late with a period that is due; asked then, it need not be waited for


class Ears:
    """The microphone and all that listens to it. Public methods: event loop, they return at once."""

    def __init__(
        self,
        *,
        audio: AudioConfig,
        preroll_ms: int,
        listening: Listening,
        clock: Clock,
        post: Post,
        report: Report,
        uplink: Uplink,
        spoken: SpokenRing,
        gate: HalfDuplexGate | None,
        echo: EchoStage | None = None,
        xruns: XrunLog | None = None,
    ) -> None:
        """`gate` knows when a reply is audible. Without `echo` nothing is sent meanwhile: half duplex;
        without both, everything is. `xruns`: of the ears before these."""
        self.beats = 0
        """Periods captured and consumed: what the watchdog eats."""
        self.attempts = 0
        """How often the microphone was opened, or tried to be."""
        self.is_open = False
        self.opened: Format | None = None
        """What the microphone was opened with; None while it is not."""
        self._audio = audio
        self._clock = clock
        self._post = post
        self._report = report
        self._uplink = uplink
        self._intake = Intake(echo)
        ring = self._intake.ring
        self._feed = UplinkFeed(ring, uplink, gate=None if echo else gate, preroll_ms=preroll_ms)
        own_voice = OwnVoice(listening.far_detector, spoken, gate)
        self._wake = WakeEar(listening, ring, own_voice, clock=clock, post=post, report=report)
        self._echo = echo
        self._echo_delay_s = echo.delay_s if echo else 0.0
        self._orders: deque[tuple[float, Callable[[], None]]] = deque()  # event loop in, capture thread out
        self._door = threading.Event()  # something changed: look
        self._stopping = threading.Event()
        self._muted = False  # the event loop writes it
        self._gain = 1.0  # the event loop writes it
        self._asked = Valve.CLOSED  # the event loop's own: what the valve was last set to
        self._losses = LossLog(logger)
        self._xruns = xruns or XrunLog("capture")
        self._meter = LevelMeter("microphone", report)
        self._pcm: Capture | None = None
        self._is_in_card = False  # this thread is in the PCM's hands: nobody else may touch it
        self._rate_hz = 0
        self._thread: threading.Thread | None = None

    @property
    def position(self) -> int:
        """16 kHz samples captured so far."""
        return self._intake.position

    @property
    def xruns(self) -> int:
        """Overruns since the start."""
        return self._xruns.total

    @property
    def wake_counts(self) -> dict[str, int]:
        """What listening for the wake word came to since the start."""
        wake = self._wake
        return {
            "blocks_scored": wake.scored,
            "gate_openings": wake.openings,
            "near_misses": wake.near_misses,
            "in_own_voice": wake.ignored,
        }

    @property
    def echo_status(self) -> dict[str, object] | None:
        """What the echo canceller tells of itself; None without one."""
        return self._echo.status() if self._echo else None

    @property
    def listens_for(self) -> str:
        """The wake words, for a sentence; "the button" when there are none."""
        return ", ".join(self._wake.models) or "the button"

    @property
    def thresholds(self) -> dict[str, float]:
        """What score makes a wake word, by model."""
        return self._wake.thresholds

    @property
    def watching(self) -> bool:
        """Somebody watches: wake scores are worth reporting."""
        return self._wake.watching

    @watching.setter
    def watching(self, watching: bool) -> None:
        self._wake.watching = self._meter.is_watched = watching

    def light(self, is_lit: bool) -> None:
        """Somebody asks for `level_db`, or nobody does."""
        self._meter.is_lit = is_lit

    def level_db(self) -> float:
        """Return how loud the room is, as long as somebody lit it: RMS in dBFS, -120 if unknown."""
        return self._meter.level_db(self._clock.monotonic())

    @property
    def progress(self) -> tuple[int, int] | None:
        """What changes every few seconds unless the thread is stuck; None: closed, being muted."""
        return None if self._muted and not self.is_open else (self.beats, self.attempts)

    def start(self) -> None:
        """Start the thread, which opens the microphone."""
        self._thread = self._clock.start_thread(self._run, name="capture")

    def stop(self) -> None:
        """Ask the thread to close the microphone and end; `join` waits for it."""
        self._stopping.set()
        self._door.set()

    @property
    def is_running(self) -> bool:
        """Whether the thread is there; after `stop`, only until it has closed the microphone."""
        return self._thread is not None and self._thread.is_alive()

    def abandon(self) -> None:
        """The thread is stuck: let the card go, and nothing more come of it should it ever go on.

        A PCM is its thread's own, and this thread will not close it. Where it hangs outside the card's
        driver, as in a wake-word engine, we do; where it hangs inside, nobody can: the card stays busy.
        """
        self.stop()
        self._losses.is_abandoned = True
        self._post = lambda event: None
        self._report = lambda kind, facts: None
        self._wake.abandon()
        self._feed.abandon()
        pcm = self._pcm
        if pcm is not None and not self._is_in_card:
            pcm.close()

    def set_muted(self, muted: bool) -> None:
        """Muted: the PCM is closed within a period, and what was heard is forgotten."""
        if muted != self._muted:
            self._muted = muted
            self._door.set()

    def amplify(self, factor: float) -> None:
        """Hear everything at so much of its amplitude, beside audio.gain_db, from now on."""
        self._gain = factor

    def echo_turned(self) -> None:
        """The echo is louder or softer than before, and the canceller does not know."""
        if self._echo:
            self._order(self._echo.turned)

    def set_valve(self, valve: Valve) -> None:
        """Set what happens to periods captured from now on. CLOSED also forgets what waits to go up."""
        if valve is self._asked:
            return
        self._asked = valve
        if valve is Valve.CLOSED:
            self._uplink.clear()
        self._order(partial(self._feed.set_valve, valve))

    def open_uplink(self, position: int | None, preroll: bool) -> None:
        """Valve LIVE from `position` on (None: the next period), minus the pre-roll when `preroll`.

        Before `set_valve`, where both are called: a valve already open cannot reach back.
        """
        self._asked = Valve.LIVE
        self._order(partial(self._feed.open, position, preroll=preroll))

    def _order(self, order: Callable[[], None]) -> None:
        self._orders.append((self._clock.monotonic(), order))
        self._door.set()

    # --- the capture thread ---

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._live()
            except Exception as error:  # the thread's top: a mistake of ours must not leave the device deaf
                if not self._losses.is_lost:
                    logger.exception("capture thread")
                self._lose(f"the capture thread failed: {error!r}")
                self._clock.wait(self._stopping, BACKOFF_S[0])

    def _live(self) -> None:
        backoff_s = BACKOFF_S[0]
        while not self._stopping.is_set():
            muted, since_s = self._muted, self._clock.monotonic()  # read once: it may change at any moment
            if muted:
                self._pass_time(None, muted=muted)
                continue
            try:
                self._listen()
            except DeviceError as error:
                was_steady = self._clock.monotonic() - since_s >= STEADY_S
                self._lose(error, is_news=was_steady)
                backoff_s = BACKOFF_S[0] if was_steady else backoff_s
                self._pass_time(backoff_s, muted=muted)
                backoff_s = min(2 * backoff_s, BACKOFF_S[1])

    def _listen(self) -> None:
        """Open the microphone and hear until stopped or muted; closed when this returns or raises."""
        self.attempts += 1
        pcm = self._pcm = open_capture(self._audio.capture, self._audio, self._clock)
        try:
            self.is_open, self.opened = True, pcm.format
            self._rate_hz = pcm.format.rate_hz
            self._intake.open(pcm.format.rate_hz)
            self._wake.open(pcm.format.rate_hz)
            self._intake.discontinuity()
            self._hear(pcm, PeriodTimes(pcm.format))
        finally:
            self.is_open, self.opened = False, None
            self._is_in_card = False
            self._pcm = None
            pcm.close()
            self._intake.clear()

    def _hear(self, pcm: Capture, times: PeriodTimes) -> None:
        xruns, is_found = 0, False
        while True:
            # What was dozed for was not waited for: now and then a period is, to see when the card has it.
            dozed = self._doze(times) if is_found and self._is_at_rest and not times.is_vague else 0
            count = dozed or 1
            pcm.amplify(self._gain)
            self._is_in_card = True
            sound = pcm.read(count)
            self._is_in_card = False
            if self._stopping.is_set() or self._muted:
                return
            if pcm.xruns > xruns:
                self._xruns.add(pcm.xruns - xruns, self._clock.monotonic())
                xruns = pcm.xruns
                times = PeriodTimes(pcm.format)
                self._intake.discontinuity()
            start_s, end_s = times.place(self._clock.monotonic(), count, is_awaited=not dozed)
            if not dozed:
                self._obey()
            self._take(sound, start_s=start_s, end_s=end_s)
            if dozed:
                self._obey()  # what was read lies before whatever is asked for now
            self.beats += count
            if not is_found:
                is_found = True
                self._find(pcm.format)

    @property
    def _is_at_rest(self) -> bool:
        """Nobody listens to the microphone, but for the wake word's gate."""
        return (
            self._feed.valve is Valve.CLOSED
            and self._wake.is_quiet
            and (self._echo is None or self._echo.is_idle)
        )

    def _doze(self, times: PeriodTimes) -> int:
        """Wait for sound that is worth a look, or until somebody knocks; return how many periods are due."""
        wanted = times.periods_in(min(DOZE_S, self._wake.blind_s))
        self._clock.wait(
            self._door, times.end_s + wanted * times.period_s + _LATE_S - self._clock.monotonic()
        )
        self._door.clear()
        # What is captured after somebody knocked is not slept through, however late this thread wakes
        asked_s = self._orders[0][0] if self._orders else math.inf
        return min(wanted, times.due(min(asked_s, self._clock.monotonic())))

    def _take(self, sound: Samples, *, start_s: float, end_s: float) -> None:
        """Do what is to be done with what was captured from `start_s` to `end_s`."""
        self._wake.sense(sound)
        self._meter.take(sound, rate_hz=self._rate_hz, end_s=end_s, gate_open=not self._wake.is_quiet)
        heard_s = end_s - self._echo_delay_s
        if self._is_at_rest:
            self._intake.lay_by(sound)
            self._feed.end_s = heard_s
            return
        if self._intake.is_behind:
            self._catch_up(REPLAYED_S)
        heard = self._intake.take(sound, start_s=start_s)
        self._feed.feed(heard.uplink, start_s=start_s - self._echo_delay_s, end_s=heard_s)
        self._wake.listen(end_s=heard_s)
        if heard.is_onset:
            self._post(OnsetHeard())

    def _catch_up(self, within_s: float) -> None:
        self._intake.catch_up(within_s)
        self._wake.skip()

    def _obey(self) -> None:
        while self._orders:  # looked at once: an order that comes in between finds the whole ring, too
            if self._intake.is_behind:
                self._catch_up(RING_S)
            self._orders.popleft()[1]()

    def _pass_time(self, for_s: float | None, *, muted: bool) -> None:
        """Wait without a microphone for `for_s` (None: while `muted`), sending zeros where sound is due."""
        now_s = self._clock.monotonic()
        until_s = None if for_s is None else now_s + for_s
        while (
            not self._stopping.is_set()
            and self._muted == muted
            and (until_s is None or until_s - now_s > _SLACK_S)
        ):
            self._door.clear()
            self._obey()
            if self._stopping.is_set() or self._muted != muted:
                return
            period_s = None if self._feed.valve is Valve.CLOSED else self._audio.period_ms / 1000
            waits = [each for each in (period_s, until_s and until_s - now_s) if each is not None]
            self._clock.wait(self._door, min(waits, default=None))
            before_s, now_s = now_s, self._clock.monotonic()
            self._feed.feed_silence(now_s - before_s)

    def _lose(self, error: DeviceError | str, *, is_news: bool = True) -> None:
        if self._losses.lost(error, is_news=is_news):
            self._post(CaptureLost(str(error)))

    def _find(self, opened: Format) -> None:
        self._losses.found(
            "capture: %r at %d Hz, %s, %d channels, periods of %.1f ms",
            self._audio.capture,
            opened.rate_hz,
            opened.card_encoding,
            opened.card_channels,
            1000 * opened.period_frames / opened.rate_hz,
        )
        self._post(CaptureFound())
