#!/usr/bin/env python3
"""Measure what the lights cost while the agent speaks: CPU of a simulated minute of their thread.

Run as `.venv/bin/python scripts/bench_lights.py [PIXELS]`; on any machine, without lights: the whole thread
runs, only the bus is in memory.
"""

from __future__ import annotations

import contextlib
import math
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pivoice.config import PanelConfig
from pivoice.panel.apa102 import Apa102
from pivoice.panel.lights import Light, Lights
from pivoice.panel.patterns import PATTERNS
from pivoice.panel.spi import SimulatedSpi
from pivoice.panel.ws2812 import Sk6812, Ws2812

MINUTE_S = 60.0
CHIPS: dict[str, Callable[..., Light]] = {"apa102": Apa102, "ws2812": Ws2812, "sk6812": Sk6812}


class Minute:
    """A clock that jumps, for one thread, which runs where it is begun and ends with the minute."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.run: Callable[[], None] = lambda: None

    def monotonic(self) -> float:
        return self.now_s

    def wait(self, event: threading.Event, timeout_s: float | None = None) -> bool:
        self.now_s += MINUTE_S if timeout_s is None else timeout_s
        if self.now_s >= MINUTE_S:
            raise SystemExit
        return event.is_set()

    def start_thread(
        self, target: Callable[[], None], *, name: str, is_urgent: bool = True
    ) -> threading.Thread:
        self.run = target
        return threading.current_thread()


def main() -> int:
    pixels = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    print(f"{pixels} pixels, each pattern for a minute: ms of CPU, frames written")
    for name, chip in CHIPS.items():
        for pattern in ("idle", "listening", "thinking", "speaking", "muted", "no_network"):
            bus = SimulatedSpi()
            clock = Minute()
            lights = Lights(
                PanelConfig(light=[name], pixels=pixels),  # type: ignore[list-item]
                clock=clock,
                levels=lambda clock=clock: (-32 + 15 * math.sin(9 * clock.now_s),) * 2,  # type: ignore[misc]
                devices={name: lambda config, chip=chip, bus=bus: chip(config, open_spi=lambda *_: bus)},
            )
            lights.show(PATTERNS[pattern])
            began_s = time.thread_time()
            with contextlib.suppress(SystemExit):
                clock.run()
            spent_ms = 1000 * (time.thread_time() - began_s)
            print(f"  {name:8} {pattern:12} {spent_ms:7.1f} ms {len(bus.frames):6}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
