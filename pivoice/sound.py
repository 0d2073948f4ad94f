"""Both ends of the sound and what they share: the ears, the mouth, and how neither hears the other.

Event loop only. A part whose thread hangs is left behind, and another one takes its place; what they share
(uplink, echo reference, what was spoken lately) stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pivoice.audio.buffers import SpokenRing, Uplink
from pivoice.audio.capture import Ears
from pivoice.audio.earcons import Earcons
from pivoice.audio.gate import HalfDuplexGate
from pivoice.audio.pcm import Format
from pivoice.audio.playback import Mouth
from pivoice.audio.reference import Reference
from pivoice.audio.stage import STAGES, open_stage
from pivoice.audio.wake_ear import Listening, Post, Report
from pivoice.audio.xruns import XrunLog
from pivoice.clock import Clock
from pivoice.config import Config
from pivoice.fitting import choose_echo
from pivoice.turn.events import CaptureLost, PlaybackLost
from pivoice.watchdog import HearsOrTries, Part, PartsWatch

# Between the threads: how long the event loop may stand still. What waits for a link waits in the agent room.
UPLINK_S = 6.0
_LOOK_S = 0.01
_MOST_HUNG = 2  # threads left behind; another would hang as well. Unless muted, systemd ends the process now.


class Sound:
    """See the module. `ears` and `mouth` are those in charge."""

    def __init__(
        self,
        config: Config,
        listening: Listening,
        *,
        clock: Clock,
        post: Post,
        report: Report,
        replaced: Callable[[str, str], None],
        left_behind: list[Ears | Mouth],
        earcons: Earcons,
    ) -> None:
        """`replaced`: told which part hung ("capture", "playback"), and that in half a sentence.
        `left_behind`: parts that hung before, in this process; those that hang now are added."""
        self.echo = choose_echo(config)
        self.uplink = Uplink(capacity_s=UPLINK_S + config.wake.preroll_ms / 1000)
        self._config = config
        self._earcons = earcons
        self._clock = clock
        self._post = post
        self._report = report
        self._replaced = replaced
        self._spoken = SpokenRing()
        self._gate = None if self.echo.mode == "none" else HalfDuplexGate()
        self._reference = Reference() if self.echo.mode in STAGES else None
        self._xruns = XrunLog("capture"), XrunLog("playback")
        self._listening = listening
        self._left_behind = left_behind
        self.ears = self._open_ears(listening)
        self.mouth = self._open_mouth()
        self.is_watched = False
        self._is_lit = False
        self._softness: float | None = None  # None: nobody said, and the mouth knows what is safe
        self._gain = 1.0

    def start(self) -> None:
        """Start both threads, which open the cards."""
        self.mouth.start()
        self.ears.start()

    def stop(self) -> None:
        """Ask both threads to close their cards and end."""
        self.mouth.stop()
        self.ears.stop()

    async def closed(self, *, within_s: float) -> None:
        """Wait until both cards are closed. A thread that hangs is left behind, without its card: another
        daemon in this process may be about to open it."""
        for _ in range(round(within_s / _LOOK_S)):
            if not self.is_running:
                return
            await asyncio.sleep(_LOOK_S)
        for part in (self.ears, self.mouth):
            if part.is_running:
                part.abandon()
                self._left_behind.append(part)

    @property
    def is_running(self) -> bool:
        """Whether one of the threads in charge is still there."""
        return self.mouth.is_running or self.ears.is_running

    def watch(self) -> PartsWatch:
        """Return what looks after both threads, and tells systemd that we hear."""
        parts = (
            Part("capture", lambda: self.ears.progress, self._renew_ears),
            Part("playback", lambda: self.mouth.progress, self._renew_mouth),
        )
        return PartsWatch(parts, is_well=HearsOrTries(lambda: self.ears, lambda: self.hung))

    @property
    def hung(self) -> int:
        """How many threads were left behind and still hang: what they hold may be lost to us."""
        self._left_behind[:] = [each for each in self._left_behind if each.is_running]
        return len(self._left_behind)

    def watched(self, watchers: int) -> None:
        """So many watch: scores and levels cross the threads' border only while somebody does."""
        is_watched = watchers > 0
        self.is_watched = self.ears.watching = self.mouth.watching = is_watched

    def lit(self, is_lit: bool) -> None:
        """Somebody asks for `levels`, or nobody does: they are worked out only then."""
        self._is_lit = is_lit
        self.ears.light(is_lit)
        self.mouth.light(is_lit)

    def levels(self) -> tuple[float, float]:
        """Return how loud microphone and speaker were in the last tenth of a second: RMS in dBFS, -120.0 when
        unknown. Any thread; costs nothing."""
        return self.ears.level_db(), self.mouth.level_db()

    def soften(self, factor: float) -> None:
        """Play everything at so much of its amplitude."""
        self._softness = factor
        self.mouth.soften(factor)

    def amplify(self, factor: float) -> None:
        """Hear everything at so much of its amplitude, beside audio.gain_db."""
        self._gain = factor
        self.ears.amplify(factor)

    def turned(self) -> None:
        """A card's volume or the microphone's gain was turned: the echo is another one."""
        self.ears.echo_turned()

    def cards(self) -> dict[str, object]:
        """Return what microphone and speaker were opened with, for people."""
        audio, ears, mouth = self._config.audio, self.ears, self.mouth
        return {
            "capture": _card(audio.capture, ears.opened, ears.xruns),
            "playback": _card(audio.playback, mouth.opened, mouth.xruns),
        }

    def _renew_ears(self, stood_s: float) -> None:
        """Leave the capture thread, which hangs, to itself; start another one with detectors of its own."""
        if self.hung >= _MOST_HUNG:
            return
        reason = self._leave_behind(self.ears, "capture", stood_s)
        self._listening = self._listening.renewed()
        self.ears = self._open_ears(self._listening)
        self.ears.watching = self.is_watched
        self.ears.light(self._is_lit)
        self.ears.amplify(self._gain)
        self._post(CaptureLost(reason))  # the valve of the new ears is set by what follows from it
        self.ears.start()

    def _renew_mouth(self, stood_s: float) -> None:
        """Leave the playback thread, which hangs, to itself; start another one with nothing to say."""
        if self.hung >= _MOST_HUNG:
            return
        reason = self._leave_behind(self.mouth, "playback", stood_s)
        self.mouth = self._open_mouth()
        self.mouth.watching = self.is_watched
        self.mouth.light(self._is_lit)
        if self._softness is not None:
            self.mouth.soften(self._softness)
        self._post(PlaybackLost(reason))
        self.mouth.start()

    def _leave_behind(self, part: Ears | Mouth, name: str, stood_s: float) -> str:
        reason = f"the {name} thread has hung for {stood_s:.0f} s"
        self._replaced(name, reason)
        part.abandon()
        self._left_behind.append(part)
        return reason

    def _open_ears(self, listening: Listening) -> Ears:
        reference, gate = self._reference, self._gate
        return Ears(
            audio=self._config.audio,
            preroll_ms=self._config.wake.preroll_ms,
            listening=listening,
            clock=self._clock,
            post=self._post,
            report=self._report,
            uplink=self.uplink,
            spoken=self._spoken,
            gate=gate,
            echo=open_stage(self.echo.mode, reference, gate) if reference and gate else None,
            xruns=self._xruns[0],
        )

    def _open_mouth(self) -> Mouth:
        return Mouth(
            audio=self._config.audio,
            clock=self._clock,
            post=self._post,
            report=self._report,
            spoken=self._spoken,
            gate=self._gate,
            reference=self._reference,
            xruns=self._xruns[1],
            earcons=self._earcons,
        )


def _card(device: str, opened: Format | None, xruns: int) -> dict[str, object]:
    facts: dict[str, object] = {"device": device, "is_open": opened is not None, "xruns": xruns}
    if opened is not None:
        facts |= {
            "rate_hz": opened.rate_hz,
            "encoding": opened.card_encoding,
            "channels": opened.card_channels,
            "period_ms": round(1000 * opened.period_frames / opened.rate_hz, 1),
        }
    return facts
