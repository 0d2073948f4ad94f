"""The lights' thread in simulated time: what it writes, when, and what it does about lights that fail."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from pivoice.clock import SystemClock
from pivoice.config import PanelConfig
from pivoice.errors import DeviceError
from pivoice.panel.dimming import Dimming, steps
from pivoice.panel.lights import DRIVERS, Lights, Moment
from pivoice.panel.patterns import PATTERNS, picture
from pivoice.simulation import JumpClock, JumpLoop, run_jumping

NOON = datetime(2026, 11, 23, 12)
HUSH = (-120.0, -120.0)


@dataclass
class Ring:
    """A ring of four in memory; what was written to it, and when."""

    clock: JumpClock = field(default_factory=JumpClock)
    written: list[tuple[float, bytes]] = field(default_factory=list)
    fault: str = ""
    opened: int = 0
    closed: int = 0

    def open(self, config: PanelConfig) -> Ring:
        if self.fault:
            raise DeviceError("ring", doing="open", reason=self.fault, advice="plug it in")
        self.opened += 1
        return self

    def frame(self, moment: Moment) -> bytes:
        shown = picture(moment.pattern, moment.elapsed_s, moment.level, 4)
        return bytes(steps(part, moment.brightness, 255) for part in shown)

    def write(self, frame: bytes) -> None:
        if self.fault:
            raise DeviceError("ring", doing="light", reason=self.fault, advice="check its wiring")
        self.written.append((self.clock.now_s, frame))

    def close(self) -> None:
        self.closed += 1

    @property
    def shows(self) -> bytes:
        return self.written[-1][1] if self.written else b""

    def writes(self, since_s: float = -1.0) -> list[float]:
        return [at_s for at_s, _ in self.written if at_s > since_s]


@dataclass
class World:
    """Lights on simulated time."""

    config: PanelConfig = field(default_factory=lambda: PanelConfig(light="led"))
    ring: Ring = field(default_factory=Ring)
    levels: Callable[[], tuple[float, float]] = lambda: HUSH
    began: datetime = NOON
    more: dict[str, Ring] = field(default_factory=dict)

    def live(self, story: Callable[[Lights], Awaitable[None]]) -> None:
        async def main(loop: JumpLoop) -> None:
            for ring in (self.ring, *self.more.values()):
                ring.clock = loop.clock
            lights = Lights(
                self.config,
                clock=loop.clock,
                levels=lambda: self.levels(),
                now=lambda: self.began + timedelta(seconds=loop.clock.now_s),
                devices={"led": self.ring.open} | {name: ring.open for name, ring in self.more.items()},
            )
            await story(lights)
            lights.close()

        run_jumping(main)


async def minute_of(lights: Lights, name: str) -> None:
    lights.show(PATTERNS[name])
    await asyncio.sleep(60)


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_a_minute_of_each_pattern_is_at_most_30_writes_a_second_and_each_shows_something_new(
    name: str,
) -> None:
    world = World(levels=lambda: (-20.0, -20.0))

    world.live(lambda lights: minute_of(lights, name))

    times, frames = zip(*[each for each in world.ring.written if each[0] < 60], strict=True)
    assert min((after - before for before, after in itertools.pairwise(times)), default=1) > 1 / 30
    assert all(one != other for one, other in itertools.pairwise(frames))


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("muted", 2, 2),
        ("idle", 1, 1),
        ("no_network", 30, 33),
        ("ringing", 240, 244),
        ("speaking", 1000, 1502),
    ],
)
def test_how_often_a_minute_of_a_pattern_is_written(name: str, least: int, most: int) -> None:
    world = World()

    world.live(lambda lights: minute_of(lights, name))

    assert least <= len(world.ring.writes()) <= most


@pytest.mark.parametrize(("name", "most"), [("idle", 1), ("muted", 2), ("no_network", 32)])
def test_while_nothing_moves_the_thread_sleeps(name: str, most: int) -> None:
    rounds = 0

    def counting(moment: Moment) -> bytes:
        nonlocal rounds
        rounds += 1
        return Ring.frame(world.ring, moment)

    world = World()
    world.ring.frame = counting  # type: ignore[method-assign]

    world.live(lambda lights: minute_of(lights, name))

    assert rounds <= most + 1  # one for the end


def test_a_new_pattern_is_seen_at_once_after_a_rest() -> None:
    world = World()

    async def story(lights: Lights) -> None:
        await asyncio.sleep(10)
        lights.show(PATTERNS["muted"])
        await asyncio.sleep(0.001)
        assert world.ring.written[-1] == (10.0, b"\xff" * 4)

    world.live(story)


def test_many_patterns_at_once_are_one_write_and_the_last_one_stays() -> None:
    world = World()

    async def story(lights: Lights) -> None:
        await asyncio.sleep(10)
        for nth in range(100):
            lights.show(PATTERNS["muted" if nth % 2 else "reconnecting"])
            await asyncio.sleep(0.001)
        await asyncio.sleep(1)
        assert world.ring.shows == b"\xff" * 4
        assert len(world.ring.writes(since_s=9.0)) <= 4

    world.live(story)


def test_a_pattern_shown_again_goes_on_in_its_rhythm() -> None:
    once, again = World(), World()

    async def shown_again(lights: Lights) -> None:
        for _ in range(100):
            lights.show(PATTERNS["no_network"])
            await asyncio.sleep(0.6)

    once.live(lambda lights: minute_of(lights, "no_network"))
    again.live(shown_again)

    flashes = [[round(at_s, 3) for at_s, shown in each.ring.written if any(shown)] for each in (once, again)]
    assert flashes[0] == flashes[1]


@pytest.mark.parametrize(("name", "side"), [("listening", 0), ("speaking", 1)])
def test_loudness_is_asked_for_while_a_pattern_follows_it_and_shown(name: str, side: int) -> None:
    asked = 0
    level_db = -60.0

    def levels() -> tuple[float, float]:
        nonlocal asked
        asked += 1
        return (level_db, -120.0) if side == 0 else (-120.0, level_db)

    world = World(levels=levels)

    async def story(lights: Lights) -> None:
        nonlocal level_db
        await minute_of(lights, name)
        assert 1000 < asked <= 30 * 60
        quiet = max(max(shown) for _, shown in world.ring.written)
        level_db = -15.0
        await asyncio.sleep(5)
        assert max(world.ring.shows) > quiet
        lights.show(PATTERNS["thinking"])
        await asyncio.sleep(0.1)
        before = asked
        await asyncio.sleep(60)
        assert asked == before

    world.live(story)


def test_the_owners_colours_and_breath_are_shown() -> None:
    seen: list[Moment] = []

    def seeing(moment: Moment) -> bytes:
        seen.append(moment)
        return Ring.frame(world.ring, moment)

    world = World(PanelConfig(light="led", idle="breath", colours={"listening": "#00ffff"}))
    world.ring.frame = seeing  # type: ignore[method-assign]

    async def story(lights: Lights) -> None:
        await asyncio.sleep(60)
        lights.show(PATTERNS["listening"])
        await asyncio.sleep(1)

    world.live(story)

    assert 60 < len(world.ring.writes()) < 12 * 60
    assert seen[-2].pattern.colour == (0.0, 1.0, 1.0)


def test_a_muted_light_is_dimmed_when_night_begins_and_is_still_to_be_seen() -> None:
    config = PanelConfig(light="led", night_from="12:30", night_until="13:00", night_brightness=0)
    world = World(config)
    course = []

    async def story(lights: Lights) -> None:
        for _ in range(3):
            lights.show(PATTERNS["muted"])
            await asyncio.sleep(25 * 60)
            course.append(max(world.ring.shows))

    world.live(story)

    assert course == [255, 1, 255]
    assert len(world.ring.writes()) == 4  # day, night, day, and the end


@pytest.mark.parametrize(
    ("begin", "end", "nights"),
    [
        ("22:00", "07:00", [*range(7), 22, 23]),
        ("01:00", "05:00", [1, 2, 3, 4]),
        ("08:00", "08:00", []),
        ("", "07:00", []),
    ],
)
def test_night_is_between_two_times_of_day_over_midnight_too(begin: str, end: str, nights: list[int]) -> None:
    dimming = Dimming(PanelConfig(brightness=80, night_from=begin, night_until=end))

    dim = [hour for hour in range(24) if dimming.at(NOON.replace(hour=hour)) < 0.8]

    assert dim == nights
    assert all(dimming.at(NOON.replace(hour=hour)) == 0.2 for hour in nights)


def test_night_goes_by_the_clock_on_the_wall_on_a_day_of_25_hours() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    dimming = Dimming(PanelConfig(night_from="02:30", night_until="07:00"))
    midnight = datetime(2026, 10, 25, tzinfo=berlin).timestamp()  # at 3:00 it becomes 2:00

    course = {
        hours: dimming.at(datetime.fromtimestamp(midnight + 3600 * hours, berlin))
        for hours in (2, 2.6, 3.1, 7, 8)
    }

    assert course == {2: 1.0, 2.6: 0.2, 3.1: 1.0, 7: 0.2, 8: 1.0}


def test_night_is_never_brighter_than_day_and_darkness_that_was_asked_for_is_dark() -> None:
    bright_night = Dimming(PanelConfig(brightness=10, night_from="22:00", night_until="07:00"))
    dark = Dimming(PanelConfig(brightness=0, night_from="22:00", night_until="07:00"))

    assert bright_night.at(NOON.replace(hour=23)) == 0.1
    assert {dark.at(NOON.replace(hour=hour)) for hour in range(24)} == {0.0}


def test_steps_are_as_an_eye_sees_them_and_nothing_lit_is_dimmed_away() -> None:
    assert steps(1.0, 1.0, 255) == 255
    assert steps(0.5, 1.0, 255) == 55
    assert steps(1.0, 0.5, 255) == 55
    assert steps(1.0, 0.01, 255) == 1
    assert steps(1.0, 0.0, 255) == 0
    assert steps(0.0, 1.0, 255) == 0
    assert steps(0.01, 1.0, 255) == 0


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "pivoice.panel.lights"]


def test_a_light_that_fails_is_told_once_tried_again_and_told_once_when_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    world = World()

    async def story(lights: Lights) -> None:
        await minute_of(lights, "thinking")
        world.ring.fault = "it is gone"
        await asyncio.sleep(60)
        assert world.ring.closed == 1
        world.ring.fault = ""
        await asyncio.sleep(60)
        lights.show(PATTERNS["muted"])
        await asyncio.sleep(1)
        assert world.ring.shows == b"\xff" * 4

    world.live(story)

    assert warnings(caplog) == [
        "panel: cannot light 'ring': it is gone; check its wiring; "
        "going on without the light 'led', which is tried again",
        "panel: the light 'led' is back",
    ]


def test_a_light_that_cannot_be_opened_is_opened_later_and_shows_what_is_to_be_seen(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    world = World(ring=Ring(fault="no such device"))

    async def story(lights: Lights) -> None:
        await minute_of(lights, "muted")
        world.ring.fault = ""
        await asyncio.sleep(60)
        assert world.ring.shows == b"\xff" * 4

    world.live(story)

    assert len(warnings(caplog)) == 2


def test_a_light_that_is_back_is_written_to_even_if_it_is_to_show_what_it_did_before() -> None:
    world = World()

    async def story(lights: Lights) -> None:
        await minute_of(lights, "muted")
        world.ring.fault = "unplugged"
        await minute_of(lights, "thinking")
        lights.show(PATTERNS["muted"])
        world.ring.fault = ""
        world.ring.written.clear()
        await asyncio.sleep(60)
        assert world.ring.shows == b"\xff" * 4

    world.live(story)


def test_a_light_that_never_works_is_tried_ever_more_rarely(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    tries: list[float] = []

    def broken(config: PanelConfig) -> Ring:
        tries.append(world.ring.clock.now_s)
        raise DeviceError("ring", doing="open", reason="no such device")

    world.ring.open = broken  # type: ignore[method-assign]

    async def story(lights: Lights) -> None:
        await asyncio.sleep(24 * 3600)

    world.live(story)

    assert tries[:4] == [0.0, 5.0, 15.0, 35.0]
    assert 140 < len(tries) < 160
    assert len(warnings(caplog)) == 1


def test_a_loose_contact_does_not_fill_the_journal(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    working = Ring.write

    def loose(frame: bytes) -> None:
        if len(world.ring.written) % 50 == 49:
            world.ring.written.append((0.0, b""))
            raise DeviceError("ring", doing="light", reason="loose")
        working(world.ring, frame)

    world.ring.write = loose  # type: ignore[method-assign]

    async def story(lights: Lights) -> None:
        lights.show(PATTERNS["thinking"])
        await asyncio.sleep(3600)

    world.live(story)

    assert len(warnings(caplog)) < 30


def test_a_broken_light_leaves_the_others_alone() -> None:
    world = World(PanelConfig(light=["led", "rgb"]), more={"rgb": Ring(fault="gone")})

    world.live(lambda lights: minute_of(lights, "speaking"))

    assert len(world.ring.writes()) > 1000


def test_closing_leaves_every_light_dark_and_free_and_twice_is_harmless() -> None:
    world = World(PanelConfig(light=["led", "rgb"]), more={"rgb": Ring()})

    async def story(lights: Lights) -> None:
        await minute_of(lights, "muted")
        lights.close()
        lights.close()
        lights.show(PATTERNS["speaking"])
        await asyncio.sleep(1)

    world.live(story)

    for ring in (world.ring, world.more["rgb"]):
        assert ring.shows == bytes(4)
        assert (ring.opened, ring.closed) == (1, 1)


def test_closing_returns_once_a_slow_light_is_dark() -> None:
    begun = threading.Event()

    class Slow(Ring):
        def write(self, frame: bytes) -> None:
            begun.set()
            threading.Event().wait(0.05)
            self.written.append((0.0, frame))

    ring = Slow()
    lights = Lights(
        PanelConfig(light="led", idle="breath"),
        clock=SystemClock(),
        levels=lambda: HUSH,
        devices={"led": ring.open},
    )
    lights.show(PATTERNS["muted"])
    assert begun.wait(10)

    lights.close()

    assert ring.shows == bytes(4)
    assert ring.closed == 1


def test_a_light_that_hangs_holds_up_neither_showing_nor_closing(caplog: pytest.LogCaptureFixture) -> None:
    hangs, is_over = threading.Event(), threading.Event()

    class Stuck(Ring):
        def write(self, frame: bytes) -> None:
            hangs.set()
            is_over.wait(30)

    lights = Lights(
        PanelConfig(light="led"), clock=SystemClock(), levels=lambda: HUSH, devices={"led": Stuck().open}
    )
    assert hangs.wait(10)

    lights.show(PATTERNS["muted"])
    lights.close()

    assert not is_over.is_set()
    assert warnings(caplog) == ["panel: a light hangs; it is left as it is"]
    is_over.set()


def test_a_mistake_of_ours_ends_the_lights_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    world = World(levels=lambda: (math.nan, 1 / 0))

    async def story(lights: Lights) -> None:
        await minute_of(lights, "muted")
        await minute_of(lights, "speaking")

    world.live(story)

    assert warnings(caplog) == ["panel: the lights are given up; please report this"]
    assert world.ring.shows == bytes(4)


def test_without_a_light_there_is_no_thread() -> None:
    class NoThreads(SystemClock):
        def start_thread(self, *_: object, **__: object) -> threading.Thread:
            raise AssertionError("a thread for no light")

    lights = Lights(PanelConfig(light="none"), clock=NoThreads(), levels=lambda: HUSH)

    lights.show(PATTERNS["muted"])
    lights.close()


def test_every_light_of_the_settings_has_a_driver() -> None:
    names = set(DRIVERS)

    assert names == {*PanelConfig(light=sorted(names)).lights}  # type: ignore[arg-type]
