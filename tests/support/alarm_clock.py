"""A machine whose clocks the test holds, with timers on it, in simulated time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from pivoice.config import ToolsConfig
from pivoice.simulation import JumpLoop, run_jumping
from pivoice.tools.registry import MAX_ANSWER_CHARS, Registry
from pivoice.tools.timer_tools import timer_tools
from pivoice.tools.timers import Timers
from pivoice.tools.times import Times

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
LATE = datetime(2026, 11, 23, 22, 0, tzinfo=ZoneInfo("Europe/Berlin"))  # a Monday


class Device:
    """A machine with its clocks, and the timers on it; it may be restarted, and its clock set."""

    def __init__(self, loop: JumpLoop, path: Path | None, now: datetime = LATE) -> None:
        self.loop = loop
        self.path = path
        self.zone = ZoneInfo("Europe/Berlin")
        self.boot = "first"
        self.started_s = loop.time() - 1000.0
        self.ahead_s = now.timestamp() - loop.time()
        self.looks = 0
        self.rang: list[tuple[str, str]] = []
        """What rang, and what the clock showed."""
        self.hushed = 0
        self.start()

    def start(self) -> None:
        times = Times(
            now_s=self.now_s,
            elapsed_s=lambda: self.loop.time() - self.started_s,
            boot=lambda: self.boot,
            zone=lambda: self.zone,
        )
        self.timers = Timers(self.path, ring=self.ring, hush=self.hush, times=times)
        self.tools = Registry(ToolsConfig())
        self.tools.put("pivoice", timer_tools(self.timers))
        self.timers.start()

    def now_s(self) -> float:
        self.looks += 1
        return self.loop.time() + self.ahead_s

    def ring(self, label: str) -> None:
        self.rang.append((label, f"{self.timers.times.local(self.loop.time() + self.ahead_s):%a %H:%M:%S}"))

    def hush(self) -> None:
        self.hushed += 1
        self.timers.silenced()

    def set_clock(self, by_s: float) -> None:
        self.ahead_s += by_s

    async def restart(self, off_s: float = 0.0) -> None:
        """End the daemon, and have another one after a while."""
        self.timers.close()
        await asyncio.sleep(off_s)
        self.start()

    def lose_power(self) -> None:
        """End without a chance to write anything down. To be rebooted."""
        assert self.path is not None
        written = self.path.read_bytes()
        self.timers.close()
        self.path.write_bytes(written)
        self.timers = Timers(None, ring=self.ring, hush=self.hush, times=self.timers.times)

    async def reboot(self, off_s: float, *, loses_s: float = 0.0) -> None:
        """Switch the machine off for a while; its clock has lost `loses_s` of it when it is back."""
        self.timers.close()
        await asyncio.sleep(off_s)
        self.boot, self.started_s = self.boot + "+", self.loop.time() - 20.0
        self.ahead_s -= loses_s
        self.start()

    async def ask(self, tool: str, /, **arguments: object) -> dict[str, object]:
        answer = await self.tools.run(tool, arguments)
        told = json.loads(answer.text)
        assert isinstance(told, dict)
        assert answer.is_error == ("error" in told)
        assert len(answer.text) <= MAX_ANSWER_CHARS
        return told


def live(days: Callable[[Device], Awaitable[None]], path: Path | None = None, now: datetime = LATE) -> Device:
    """Let `days` happen to a device in simulated time; return the device."""

    async def main(loop: JumpLoop) -> Device:
        device = Device(loop, path, now)
        await days(device)
        device.timers.close()
        return device

    return run_jumping(main)
