"""The ears: the capture thread, from the microphone to the wake word and to the uplink.

Owns the capture PCM, the pre-roll ring and the wake word's detectors. Per period: read, to 16 kHz, echo
stage, ring, wake word, valve. Retries a lost microphone for ever; closes it when muted. Never decides
what a wake word means, and hands no period to anybody while the valve is closed.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial

from pivoice.audio.buffers import EAR_HZ, PreRoll, SpokenRing, Uplink
from pivoice.audio.feed import UplinkFeed
from pivoice.audio.gate import HalfDuplexGate
from pivoice.audio.pcm import Capture, Format, open_capture
from pivoice.audio.resample import Resampler
from pivoice.audio.stage import EchoStage, Heard
from pivoice.audio.wake_ear import Detector, OwnVoice, Policy, Post, Report, WakeEar
from pivoice.clock import Clock
from pivoice.config import AudioConfig, WakeConfig
from pivoice.errors import DeviceError
from pivoice.turn.events import CaptureFound, CaptureLost, OnsetHeard, Valve

__all__ = ["Ears", "HalfDuplexGate"]

logger = logging.getLogger(__name__)

RING_S = 5.0  # the longest pre-roll (2 s) and a loop that was slow to answer the wake word
BACKOFF_S = (0.5, 5.0)  # first and longest wait before a lost card is tried again
XRUN_WARNING_S = 60.0
_SLACK_S = 1e-6


class Ears:
    """The microphone and all that listens to it. Public methods: event loop, they return at once."""

    def __init__(
        self,
        *,
        audio: AudioConfig,
        wake: WakeConfig,
        detector: Detector | None,
        far_detector: Detector | None,
        policy: Policy,
        clock: Clock,
        post: Post,
        report: Report,
        uplink: Uplink,
        spoken: SpokenRing,
        gate: HalfDuplexGate | None,
        echo: EchoStage | None = None,
    ) -> None:
        """`gate` knows when a reply is audible. Without `echo` nothing is sent meanwhile: half duplex;
        without both, everything is."""
        self.beats = 0
        """Periods captured and consumed: what the watchdog eats."""
        self.attempts = 0
        """How often the microphone was opened, or tried to be."""
        self.is_open = False
        self._audio = audio
        self._clock = clock
        self._post = post
        self._report = report
        self._uplink = uplink
        self._ring = PreRoll(capacity_s=RING_S)
        self._feed = UplinkFeed(self._ring, uplink, gate=None if echo else gate, preroll_ms=wake.preroll_ms)
        own_voice = OwnVoice(far_detector, spoken, gate, wake.threshold)
        self._wake = WakeEar(detector, policy, own_voice, clock=clock, post=post, report=report)
        self._echo = echo
        self._echo_delay_s = echo.delay_s if echo else 0.0
        self._orders: deque[Callable[[], None]] = deque()  # event loop in, capture thread out
        self._door = threading.Event()  # something changed: look
        self._stopping = threading.Event()
        self._muted = False  # the event loop writes it
        self._asked = Valve.CLOSED  # the event loop's own: what the valve was last set to
        self._is_lost = False
        self._old_xruns = 0  # of PCMs closed by now
        self._pcm: Capture | None = None
        self._warned_s = -XRUN_WARNING_S
        self._thread: threading.Thread | None = None

    @property
    def position(self) -> int:
        """16 kHz samples captured so far."""
        return self._ring.end

    @property
    def xruns(self) -> int:
        """Overruns since the start."""
        pcm = self._pcm
        return self._old_xruns + (pcm.xruns if pcm else 0)

    @property
    def ignored_wakes(self) -> int:
        """Wake words that were the agent's own voice."""
        return self._wake.ignored

    @property
    def echo_status(self) -> dict[str, object] | None:
        """What the echo canceller tells of itself; None without one."""
        return self._echo.status() if self._echo else None

    @property
    def listens_for(self) -> str:
        """The wake words, for a sentence; "the button" when there are none."""
        return ", ".join(self._wake.models) or "the button"

    @property
    def watching(self) -> bool:
        """Somebody watches: wake scores are worth reporting."""
        return self._wake.watching

    @watching.setter
    def watching(self, watching: bool) -> None:
        self._wake.watching = watching

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

    def set_muted(self, muted: bool) -> None:
        """Muted: the PCM is closed within a period, and what was heard is forgotten."""
        if muted != self._muted:
            self._muted = muted
            self._door.set()

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
        self._orders.append(order)
        self._door.set()

    # --- the capture thread ---

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._live()
            except Exception as error:  # the thread's top: a mistake of ours must not leave the device deaf
                if not self._is_lost:
                    logger.exception("capture thread")
                self._lose(f"the capture thread failed: {error!r}")
                self._clock.wait(self._stopping, BACKOFF_S[0])

    def _live(self) -> None:
        backoff_s = BACKOFF_S[0]
        while not self._stopping.is_set():
            muted, beats = self._muted, self.beats  # read once: it may change at any moment
            if muted:
                self._pass_time(None, muted=muted)
                continue
            try:
                self._listen()
            except DeviceError as error:
                self._lose(str(error))
                backoff_s = BACKOFF_S[0] if self.beats > beats else backoff_s
                self._pass_time(backoff_s, muted=muted)
                backoff_s = min(2 * backoff_s, BACKOFF_S[1])

    def _listen(self) -> None:
        """Open the microphone and hear until stopped or muted; closed when this returns or raises."""
        self.attempts += 1
        pcm = self._pcm = open_capture(self._audio.capture, self._audio, self._clock)
        try:
            self.is_open = True
            self._wake.reset()
            if self._echo:
                self._echo.discontinuity()
            self._hear(pcm, Resampler(pcm.format.rate_hz, EAR_HZ), PeriodTimes(pcm.format))
        finally:
            self.is_open = False
            self._old_xruns += pcm.xruns
            self._pcm = None
            pcm.close()
            self._ring.clear()

    def _hear(self, pcm: Capture, to_ear: Resampler, times: PeriodTimes) -> None:
        xruns, is_found = 0, False
        while True:
            period = pcm.read()
            if self._stopping.is_set() or self._muted:
                return
            if pcm.xruns > xruns:
                xruns = pcm.xruns
                self._warn_of_xruns(pcm)
                times = PeriodTimes(pcm.format)
                if self._echo:
                    self._echo.discontinuity()
            start_s, end_s = times.place(self._clock.monotonic())
            self._obey()
            near = to_ear.process(period)
            heard = self._echo.process(near, start_s=start_s) if self._echo else Heard(near, near)
            start_s, end_s = start_s - self._echo_delay_s, end_s - self._echo_delay_s
            self._ring.append(heard.uplink)
            self._feed.feed(heard.uplink, start_s=start_s, end_s=end_s)
            self._wake.hear(heard.ear, position=self._ring.end, end_s=end_s)
            if heard.is_onset:
                self._post(OnsetHeard())
            self.beats += 1
            if not is_found:
                is_found = True
                self._find(pcm.format)

    def _obey(self) -> None:
        while self._orders:
            self._orders.popleft()()

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

    def _lose(self, reason: str) -> None:
        if not self._is_lost:
            self._is_lost = True
            logger.error("%s", reason)
            self._post(CaptureLost(reason))

    def _find(self, opened: Format) -> None:
        self._is_lost = False
        logger.info(
            "capture: %r at %d Hz, %s, %d channels, periods of %.1f ms",
            self._audio.capture,
            opened.rate_hz,
            opened.card_encoding,
            opened.card_channels,
            1000 * opened.period_frames / opened.rate_hz,
        )
        self._post(CaptureFound())

    def _warn_of_xruns(self, pcm: Capture) -> None:
        now_s = self._clock.monotonic()
        if now_s - self._warned_s >= XRUN_WARNING_S:
            self._warned_s = now_s
            logger.warning("capture: %d xruns so far; try audio.period_ms = 40", self.xruns)


class PeriodTimes:
    """When periods were captured, from when they could be read: reads come late, never early. One thread."""

    _CREEP_S = 20e-6  # per period: follows a card's clock that is slow by up to 1000 ppm at 20 ms

    def __init__(self, opened: Format) -> None:
        self._period_s = opened.period_frames / opened.rate_hz
        self._count = 0
        self._epoch_s = float("inf")

    def place(self, now_s: float) -> tuple[float, float]:
        """Return start and end of the next period, which was read at `now_s`."""
        self._count += 1
        since_s = self._count * self._period_s
        self._epoch_s = min(now_s - since_s, self._epoch_s + self._CREEP_S)
        end_s = self._epoch_s + since_s
        return end_s - self._period_s, end_s
