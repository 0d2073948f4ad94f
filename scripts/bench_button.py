"""What `scripts/bench button` measures: from the edge of a pin to `ButtonPressed` in the event loop.

The product's panel, hands and loop, on gpiozero's mock pins, pressed by a thread of their own as lgpio's is.
A mock contact does not bounce: on a real one lgpio waits until it has been still for panel.debounce_ms, which
comes on top, and is printed beside.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import threading
import time
from typing import Any

from figures import Figure

from pivoice.clock import SystemClock
from pivoice.config import ButtonConfig, PanelConfig
from pivoice.hands import Hands
from pivoice.panel.panel import Edge, open_panel
from pivoice.turn.events import ButtonPressed, Event

SANE_MS = 50  # a press that takes longer is felt; a busy machine is not that slow
PLAIN_PIN, HELD_PIN = 17, 22
CONFIG = PanelConfig(button=[ButtonConfig(PLAIN_PIN), ButtonConfig(HELD_PIN, hold="mute")], light="none")


def add_verb(verbs: Any) -> None:
    button = verbs.add_parser("button", help="from a button's edge to its event")
    button.add_argument("--count", type=int, default=100, help="presses to measure, of each kind")
    button.set_defaults(bench=bench_button)


def bench_button(options: argparse.Namespace) -> list[Figure]:
    os.environ["GPIOZERO_PIN_FACTORY"] = "mock"
    down = asyncio.run(_presses(options.count, PLAIN_PIN, is_on_release=False))
    up = asyncio.run(_presses(options.count, HELD_PIN, is_on_release=True))
    return [
        Figure("button down → ButtonPressed, median", statistics.median(down), SANE_MS, digits=2),
        Figure(f"button down → ButtonPressed, worst of {len(down)}", max(down), None, digits=2),
        Figure("with a hold: button up → ButtonPressed, median", statistics.median(up), SANE_MS, digits=2),
        Figure(f"with a hold: button up → ButtonPressed, worst of {len(up)}", max(up), None, digits=2),
        Figure("on top, on a real pin: panel.debounce_ms", CONFIG.debounce_ms, None, digits=0),
    ]


async def _presses(count: int, pin_number: int, *, is_on_release: bool) -> list[float]:
    """Return for each press the ms from the edge that decides to its event."""
    loop, arrived = asyncio.get_running_loop(), asyncio.Event()
    posted_s = 0.0

    def post(event: Event) -> None:
        nonlocal posted_s
        posted_s = time.monotonic()
        assert event == ButtonPressed(), event
        arrived.set()

    hands = Hands(
        CONFIG,
        post=post,
        is_ringing=lambda: False,
        is_muted=lambda: False,
        change_volume=lambda steps: None,
        run_tool=lambda name, arguments: None,
    )

    def take(edge: Edge) -> None:
        loop.call_soon_threadsafe(hands.take, edge)

    panel = open_panel(CONFIG, clock=SystemClock(), take=take, levels=lambda: (-120.0, -120.0))
    delays = []
    for _ in range(count):
        arrived.clear()
        finger = loop.run_in_executor(None, _press, pin_number, is_on_release)
        await asyncio.wait_for(arrived.wait(), 10)
        delays.append(1000 * (posted_s - await finger))
    panel.close()
    hands.close()
    return delays


def _press(pin_number: int, is_on_release: bool) -> float:
    """Press and release; return when the edge was that decides."""
    from gpiozero import Device

    pin, rest = Device.pin_factory.pin(pin_number), threading.Event()
    rest.wait(random.uniform(0.03, 0.06))  # longer than the contact's bounces count
    at_s = time.monotonic()
    pin.drive_low()
    rest.wait(0.03)
    if is_on_release:
        at_s = time.monotonic()
    pin.drive_high()
    return at_s
