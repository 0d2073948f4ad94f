"""The lights: the table of what drives them, and the one thread that all of them live on.

The event loop says what to show and goes on at once; the thread opens, writes and closes the lights, so
that none of it can disturb the audio. It writes what changed and nothing else, at most 25 times a second,
and sleeps without end while nothing moves. A light that fails is told once, tried again, and told once
more when it is back; it leaves the others alone. One thread is enough for all: a transfer on SPI ends, the
kernel sees to that (twice its length and 200 ms, then ETIMEDOUT), and a pin is set at once; should a write
hang for ever, the lights stand still, and nothing else does.

While the agent speaks, twelve pixels cost 0.3 ms of CPU a second on an x86-64 of 2026, a listening arc 0.7
(`scripts/bench_lights.py` measures it on any machine).
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import logging
import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, cast

from pivoice.clock import Clock
from pivoice.config import PanelConfig
from pivoice.errors import DeviceError
from pivoice.panel.dimming import Dimming
from pivoice.panel.patterns import PATTERNS, Pattern, as_configured, followed, frame_s, is_lit

logger = logging.getLogger(__name__)

DRIVERS = {
    "led": "pivoice.panel.gpio_lights:Lamp",
    "pwm": "pivoice.panel.gpio_lights:DimmedLed",
    "rgb": "pivoice.panel.gpio_lights:RgbLed",
    "apa102": "pivoice.panel.apa102:Apa102",
    "respeaker_2mic": "pivoice.panel.apa102:Respeaker2Mic",
    "respeaker_4mic": "pivoice.panel.apa102:Respeaker4Mic",
    "ws2812": "pivoice.panel.ws2812:Ws2812",
    "sk6812": "pivoice.panel.ws2812:Sk6812",
}
"""Each is called with the configuration, and opens the light; it may raise DeviceError."""

HEADER_LIGHTS = ("led", "pwm", "rgb")
"""Those on the header's pins; the others are on SPI."""

_SHORTEST_S = 0.04  # between two rounds of writing, whatever changes
_RETRY_S, _LONGEST_RETRY_S = 5.0, 600.0
_NIGHTFALL_S = (
    60.0  # how often a light that stands still looks whether night began: clocks are set, hours skipped
)
_CLOSE_S = 1.0


@dataclass(frozen=True)
class Moment:
    """What is to be seen now."""

    pattern: Pattern
    elapsed_s: float = 0.0
    level: float = 0.0
    """How loud it is where the pattern follows, 0 to 1."""
    brightness: float = 1.0
    """Of all lights, 0 to 1, by the hour."""


_DARK = Moment(PATTERNS["idle"])
_LOUDNESSES = (0.0, 0.25, 0.5, 0.75, 1.0)


class Light(Protocol):
    """One light, open. The light thread's own, but for its end."""

    def frame(self, moment: Moment) -> bytes:
        """Return what has to be written to show `moment`. Nothing is touched."""

    def write(self, frame: bytes) -> None:
        """Show `frame`.

        Raises:
            DeviceError: it cannot be done; the light is to be closed, and may be opened anew.
        """

    def close(self) -> None:
        """Let go of the hardware. Never raises."""


Opener = Callable[[PanelConfig], Light]


class Lights:
    """All lights of a panel. `show` and `close` are the event loop's."""

    def __init__(
        self,
        config: PanelConfig,
        *,
        clock: Clock,
        levels: Callable[[], tuple[float, float]],
        now: Callable[[], datetime] = datetime.now,
        devices: Mapping[str, Opener] | None = None,
    ) -> None:
        """`levels` tells the loudness of microphone and speaker, rms dBFS, while a pattern follows it; `now`
        what a clock on the wall shows. `devices`: what opens each light, by name; None: `DRIVERS`."""
        self._clock = clock
        self._levels = levels
        self._now = now
        self._dimming = Dimming(config)
        self._patterns = as_configured(config.colours, config.idle)
        openers = {name: _Driver(name) for name in DRIVERS} if devices is None else devices
        self._sockets = [_Socket(name, config, openers[name]) for name in config.lights]
        self._shown: tuple[Pattern, float] = (self._patterns["idle"], clock.monotonic())
        self._level, self._levelled_s = 0.0, 0.0
        self._news = threading.Event()
        self._stopping = threading.Event()
        self._lock = (
            threading.Lock()
        )  # who holds it may touch the hardware: the thread, and at the end close()
        if self._sockets:
            clock.start_thread(self._run, name="light", is_urgent=False)

    def show(self, pattern: Pattern) -> None:
        """Show `pattern` from now on. Shown already, it goes on in its rhythm."""
        pattern = self._patterns.get(pattern.name, pattern)
        if pattern != self._shown[0]:
            self._shown = (pattern, self._clock.monotonic())  # one write: the thread never sees half of it
            self._news.set()

    def close(self) -> None:
        """Leave every light dark and let go of it, within a second even if one hangs. Safe to call twice."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._news.set()
        if self._sockets:
            # in a thread of its own, for a write may hang; and not in the light's, which in simulated time
            # runs only while the caller does not
            last = threading.Thread(target=self._let_go, name="light's end", daemon=True)
            last.start()
            last.join(_CLOSE_S)
            if last.is_alive():
                logger.warning("panel: a light hangs; it is left as it is")

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                began_s = self._clock.monotonic()
                rest_s = self._round(began_s)
                if self._clock.wait(self._news, None if rest_s == math.inf else rest_s):
                    self._news.clear()
                    # whatever comes at once is shown together
                    early_s = began_s + _SHORTEST_S - self._clock.monotonic()
                    self._clock.wait(self._stopping, max(0.0, early_s))
        except Exception:  # nobody else would say so; a light must never end the daemon
            logger.exception("panel: the lights are given up; please report this")
            self._let_go()

    def _round(self, now_s: float) -> float:
        """Write what changed; return for how many seconds nothing has to be done."""
        with self._lock:
            if self._stopping.is_set():
                return 0.0
            moment = self._moment(now_s)
            rest_s = frame_s(moment.pattern, moment.elapsed_s)
            for socket in self._sockets:
                rest_s = min(rest_s, socket.show(moment, now_s))
        if self._dimming.is_changing and moment.pattern.style == "solid":
            rest_s = min(rest_s, _NIGHTFALL_S)
        return max(_SHORTEST_S, rest_s)

    def _moment(self, now_s: float) -> Moment:
        pattern, since_s = self._shown
        brightness = self._dimming.at(self._now() if self._dimming.is_changing else datetime.min)
        if pattern.follows:
            microphone_db, speaker_db = self._levels()
            level_db = microphone_db if pattern.follows == "microphone" else speaker_db
            passed_s = min(1.0, now_s - self._levelled_s)
            before = self._level if self._levelled_s > since_s else 0.0
            self._level, self._levelled_s = followed(before, level_db, passed_s), now_s
        return Moment(pattern, now_s - since_s, self._level if pattern.follows else 0.0, brightness)

    def _let_go(self) -> None:
        with self._lock:
            for socket in self._sockets:
                socket.close()


class _Socket:
    """Where one light is plugged in, while it works and while it does not. Whoever holds the lock."""

    def __init__(self, name: str, config: PanelConfig, open_light: Opener) -> None:
        self._name = name
        self._config = config
        self._open = open_light
        self._light: Light | None = None
        self._written = b""
        self._coarse: dict[tuple[Pattern, float], bool] = {}
        self._is_failing = False
        self._retry_s = _RETRY_S
        self._due_s = -math.inf  # when to try again
        self._worked_s = -math.inf  # since when it works

    def show(self, moment: Moment, now_s: float) -> float:
        """Show `moment`, if that changes anything; return in how many seconds a broken one wants its turn."""
        if self._light is None and now_s < self._due_s:
            return self._due_s - now_s
        try:
            if self._light is None:
                self._light = self._open(self._config)
            frame = self._frame(self._light, moment)
            if frame != self._written:
                self._light.write(frame)
                self._written = frame
        except DeviceError as error:
            return self._failed(error, now_s)
        if self._is_failing:
            self._is_failing, self._worked_s = False, now_s
            logger.info("panel: the light %r is back", self._name)
        return math.inf

    def close(self) -> None:
        if self._light is not None:
            dark = self._light.frame(_DARK)
            if dark != self._written:
                with contextlib.suppress(DeviceError):
                    self._light.write(dark)
            self._light.close()
        self._light = None

    def _frame(self, light: Light, moment: Moment) -> bytes:
        """Return what shows `moment`.

        An LED dimmed so far that it has no two steps for a breath would stand still, and say "muted": it
        keeps time as a lamp does that only knows on and off.
        """
        pattern = moment.pattern
        if pattern.style == "breathe":
            key = (pattern, moment.brightness)
            if key not in self._coarse:
                self._coarse[key] = _is_still(light, moment)
            if self._coarse[key] and not is_lit(pattern, moment.elapsed_s):
                return light.frame(_DARK)
        return light.frame(moment)

    def _failed(self, error: DeviceError, now_s: float) -> float:
        if self._light is not None:
            self._light.close()
        self._light, self._written = None, b""
        if not self._is_failing:
            if now_s - self._worked_s > _LONGEST_RETRY_S:  # else a loose contact would fill the journal
                self._retry_s = _RETRY_S
            logger.warning(
                "panel: %s; going on without the light %r, which is tried again", error, self._name
            )
        self._is_failing = True
        wait_s = self._retry_s
        self._due_s = now_s + wait_s
        self._retry_s = min(_LONGEST_RETRY_S, 2 * wait_s)
        return wait_s


def _is_still(light: Light, moment: Moment) -> bool:
    """Return whether a breath shows no change on `light`, at some loudness."""
    top_s = moment.pattern.period_s / 2
    for level in _LOUDNESSES:
        low, high = (dataclasses.replace(moment, elapsed_s=at, level=level) for at in (0.0, top_s))
        if light.frame(low) == light.frame(high):
            return True
    return False


@dataclass(frozen=True)
class _Driver:
    """One of the table, imported when it is needed: by the light's thread, not at the daemon's start."""

    name: str

    def __call__(self, config: PanelConfig) -> Light:
        module, _, name = DRIVERS[self.name].partition(":")
        return cast(Light, getattr(importlib.import_module(module), name)(config))
