"""Rings and strips on SPI: what the chips on the wire make of the frames, by their data sheets."""

from __future__ import annotations

import errno
import os
import sys
import types
from pathlib import Path

import gpiozero
import pytest
from gpiozero.pins.mock import MockFactory, MockPWMPin

from pivoice.config import PanelConfig
from pivoice.errors import DeviceError
from pivoice.panel import spi
from pivoice.panel.apa102 import Apa102, Respeaker2Mic, Respeaker4Mic
from pivoice.panel.lights import Moment
from pivoice.panel.patterns import PATTERNS, Colour, Pattern
from pivoice.panel.spi import LinuxSpi, SimulatedSpi, divided
from pivoice.panel.ws2812 import Sk6812, Ws2812
from tests.support.light_wires import (
    SK6812,
    WS2812B,
    WS2812B_V5,
    Sheet,
    shown_on_one_wire,
    shown_on_two_wires,
)

CORES_HZ = {"Pi 1 to 3": 250_000_000, "Zero 2 W": 400_000_000, "Pi 4": 500_000_000, "Pi 5": 200_000_000}
CHIPS = [(Ws2812, WS2812B), (Ws2812, WS2812B_V5), (Sk6812, SK6812)]
by_core = pytest.mark.parametrize("core_hz", CORES_HZ.values(), ids=CORES_HZ.keys())
by_chip = pytest.mark.parametrize(("driver", "sheet"), CHIPS, ids=lambda each: getattr(each, "name", ""))


def steady(colour: Colour, brightness: float = 1.0) -> Moment:
    return Moment(Pattern("test", colour, "solid"), brightness=brightness)


class Desk:
    """Buses in memory, as they were asked for."""

    def __init__(self, core_hz: int = 250_000_000) -> None:
        self.core_hz = core_hz
        self.buses: list[SimulatedSpi] = []
        self.most_bytes = 4096

    def open(self, path: str, rate_hz: int) -> SimulatedSpi:
        bus = SimulatedSpi(path, rate_hz, core_hz=self.core_hz)
        bus.most_bytes = self.most_bytes
        self.buses.append(bus)
        return bus


@by_core
def test_a_pi_rounds_the_clock_down_to_an_even_part_of_its_own(core_hz: int) -> None:
    for asked_hz in (1_000_000, 3_300_000):
        even = [core_hz / divider for divider in range(2, 1000, 2)]

        assert divided(core_hz, asked_hz) == max(rate for rate in even if rate <= asked_hz)


@by_core
@by_chip
@pytest.mark.parametrize("idles_high", [False, True])
def test_a_strip_shows_every_byte_within_the_times_of_its_data_sheet(
    driver: type[Ws2812], sheet: Sheet, core_hz: int, idles_high: bool
) -> None:
    desk = Desk(core_hz)
    light = driver(PanelConfig(pixels=5), open_spi=desk.open)
    desk.buses[0].idles_high = idles_high

    light.write(light.frame(steady((1.0, 0.5, 0.0))))

    shown = shown_on_one_wire(desk.buses[0].wave, sheet)
    assert shown == [{"R": 255, "G": 55, "B": 0} | ({"W": 0} if "W" in sheet.colours else {})] * 5


@by_chip
def test_every_value_of_a_byte_arrives_as_it_is(driver: type[Ws2812], sheet: Sheet) -> None:
    desk = Desk()
    light = driver(PanelConfig(pixels=1), open_spi=desk.open)
    arrived = []

    for value in range(256):
        part = ((value + 0.01) / 255) ** (1 / 2.2)
        light.write(light.frame(steady((part, 0.0, 1.0))))
        arrived.append(shown_on_one_wire(desk.buses[0].wave, sheet)[0])

    assert [each["R"] for each in arrived] == list(range(256))
    assert {(each["G"], each["B"]) for each in arrived} == {(0, 255)}


@by_core
@by_chip
def test_a_bus_that_pauses_between_bytes_lengthens_lows_alone(
    driver: type[Ws2812], sheet: Sheet, core_hz: int
) -> None:
    desk = Desk(core_hz)
    light = driver(PanelConfig(pixels=3), open_spi=desk.open)
    light.write(light.frame(steady((0.3, 0.9, 0.6))))
    whole = [each for each in desk.buses[0].wave if each[0]]
    desk.buses[0].pauses = True

    paused = desk.buses[0].wave

    assert [each for each in paused if each[0]] == whole
    assert max(lasted_s for level, lasted_s in paused[1:-1] if not level) < 2e-6


def test_white_is_taken_out_of_the_colours_where_there_is_a_white_light() -> None:
    desk = Desk()
    light = Sk6812(PanelConfig(pixels=1), open_spi=desk.open)

    light.write(light.frame(steady((1.0, 1.0, 0.0))))
    light.write(light.frame(steady((1.0, 1.0, 1.0))))

    assert shown_on_one_wire(desk.buses[0].wave, SK6812) == [{"R": 0, "G": 0, "B": 0, "W": 255}]


@pytest.mark.parametrize("pixels", [1, 2, 12, 65, 300])
@pytest.mark.parametrize("waits_for_zeros", [False, True], ids=["APA102", "SK9822"])
def test_each_chip_of_a_chain_shows_its_pixel_the_last_one_too(pixels: int, waits_for_zeros: bool) -> None:
    desk = Desk()
    light = Apa102(PanelConfig(pixels=pixels), open_spi=desk.open)

    light.write(light.frame(steady((1.0, 0.5, 0.0))))

    chain = shown_on_two_wires(desk.buses[0].frames[0], pixels, waits_for_zeros=waits_for_zeros)
    assert {chip.shown for chip in chain} == {(31, 255, 55, 0)}


def test_a_ring_by_night_keeps_its_colours_and_dims_by_the_chips_own_brightness() -> None:
    desk = Desk()
    light = Apa102(PanelConfig(pixels=1), open_spi=desk.open)

    power = {}
    for brightness in (1.0, 0.5, 0.2, 0.05, 0.01):
        light.write(light.frame(steady((1.0, 0.45, 0.0), brightness)))
        (chip,) = shown_on_two_wires(desk.buses[0].frames[-1], 1, waits_for_zeros=True)
        assert chip.shown is not None
        level, red, green, _ = chip.shown
        power[brightness] = level * red / (31 * 255)
        if brightness >= 0.2:
            assert green / red == pytest.approx(0.45**2.2, abs=0.01)

    for brightness, measured in power.items():
        assert measured == pytest.approx(brightness**2.2, abs=0.001)
        assert measured > 0


def test_a_comet_is_sent_pixel_by_pixel() -> None:
    desk = Desk()
    light = Apa102(PanelConfig(pixels=4), open_spi=desk.open)

    light.write(light.frame(Moment(PATTERNS["thinking"], elapsed_s=0.4)))

    chain = shown_on_two_wires(desk.buses[0].frames[0], 4, waits_for_zeros=True)
    blues = [chip.shown[3] for chip in chain if chip.shown]
    assert blues[2] == 255
    assert 0 < blues[1] < 255
    assert (blues[0], blues[3]) == (0, 0)


def test_three_hundred_pixels_go_out_in_what_the_kernel_takes_at_once() -> None:
    desk = Desk()

    light = Ws2812(PanelConfig(pixels=300), open_spi=desk.open)

    assert len(light.frame(steady((1.0, 1.0, 1.0)))) <= desk.most_bytes


@pytest.mark.parametrize(("driver", "most_bytes", "fits"), [(Ws2812, 2048, 150), (Sk6812, 4096, 240)])
def test_more_pixels_than_go_out_in_one_piece_are_refused_with_the_way_out(
    driver: type[Ws2812], most_bytes: int, fits: int
) -> None:
    desk = Desk()
    desk.most_bytes = most_bytes

    with pytest.raises(DeviceError) as failed:
        driver(PanelConfig(pixels=300), open_spi=desk.open)
    light = driver(PanelConfig(pixels=fits), open_spi=desk.open)

    assert f"300 pixels do not go out in one piece of {most_bytes} bytes" in str(failed.value)
    assert f"set panel.pixels to {fits} at most, or raise /sys/module/spidev" in str(failed.value)
    assert desk.buses[0].is_closed
    assert len(light.frame(steady((1.0, 1.0, 1.0)))) <= most_bytes


@pytest.mark.parametrize("driver", [Ws2812, Sk6812, Apa102, Respeaker2Mic])
def test_a_light_that_is_closed_lets_go_of_its_bus(driver: type[Ws2812 | Apa102]) -> None:
    desk = Desk()

    driver(PanelConfig(), open_spi=desk.open).close()

    assert [bus.is_closed for bus in desk.buses] == [True]


@pytest.fixture
def header() -> MockFactory:
    before = gpiozero.Device.pin_factory
    gpiozero.Device.pin_factory = MockFactory(pin_class=MockPWMPin)
    yield gpiozero.Device.pin_factory
    gpiozero.Device.pin_factory.close()
    gpiozero.Device.pin_factory = before


def test_the_respeakers_know_their_bus_and_their_pixels(header: MockFactory) -> None:
    desk = Desk()
    config = PanelConfig(pixels=99)

    for light in (Respeaker2Mic(config, open_spi=desk.open), Respeaker4Mic(config, open_spi=desk.open)):
        light.write(light.frame(steady((1.0, 0.0, 0.0))))
    two, four = desk.buses

    assert (two.path, four.path) == ("/dev/spidev0.0", "/dev/spidev0.1")
    for bus, pixels in ((two, 3), (four, 12)):
        chain = shown_on_two_wires(bus.frames[0], pixels, waits_for_zeros=True)
        assert {chip.shown for chip in chain} == {(31, 255, 0, 0)}


def test_the_four_microphones_ring_has_power_for_as_long_as_it_is_open(header: MockFactory) -> None:
    light = Respeaker4Mic(PanelConfig(), open_spi=Desk().open)
    pin = header.pin(5)
    was_on = (pin.function, pin.state)

    light.close()

    assert was_on == ("output", True)
    assert pin.function == "input"


def test_a_ring_whose_bus_cannot_be_opened_gives_its_power_back(header: MockFactory) -> None:
    def broken(path: str, rate_hz: int) -> SimulatedSpi:
        raise DeviceError(path, doing="open", reason="gone")

    with pytest.raises(DeviceError):
        Respeaker4Mic(PanelConfig(), open_spi=broken)

    assert header.pin(5).function == "input"


class FakeSpiDev:
    """spidev's object, and what was done to it."""

    opened: str = ""
    error: Exception | None = None

    def __init__(self) -> None:
        self.mode, self.bits_per_word, self.max_speed_hz = 3, 16, 125_000
        self.written: list[bytes] = []
        self.is_closed = False
        FakeSpiDev.last = self

    last: FakeSpiDev

    def open_path(self, path: str) -> None:
        if self.error:
            raise self.error
        self.opened = path

    def writebytes2(self, frame: bytes) -> None:
        if self.error:
            raise self.error
        self.written.append(frame)

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def spidev(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[FakeSpiDev]:
    monkeypatch.setitem(sys.modules, "spidev", types.SimpleNamespace(SpiDev=FakeSpiDev))
    monkeypatch.setattr(spi, "_BUFSIZ", tmp_path / "bufsiz")
    monkeypatch.setattr(FakeSpiDev, "error", None)
    return FakeSpiDev


def test_a_bus_is_opened_in_the_mode_and_at_the_rate_of_the_chips_whoever_had_it_before(
    spidev: type[FakeSpiDev],
) -> None:
    bus = LinuxSpi("/dev/spidev0.0", 3_300_000)
    bus.write(b"\x01\x02")
    bus.close()

    device = spidev.last
    assert (device.opened, device.mode, device.bits_per_word) == ("/dev/spidev0.0", 0, 8)
    assert device.max_speed_hz == 3_300_000
    assert device.written == [b"\x01\x02"]
    assert device.is_closed


@pytest.mark.parametrize(("bufsiz", "most"), [("65536\n", 65535), ("8192\n", 8192), ("", 4096)])
def test_what_goes_out_in_one_piece_is_what_the_kernel_says(
    spidev: type[FakeSpiDev], tmp_path: Path, bufsiz: str, most: int
) -> None:
    (tmp_path / "bufsiz").write_text(bufsiz)

    assert LinuxSpi("/dev/spidev0.0", 1_000_000).most_bytes == most


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EACCES, "group spi"),
        (errno.ENOENT, "dtparam=spi=on"),
        (errno.ENOTTY, "no SPI bus"),
        (errno.EBUSY, "another program"),
        (errno.EMSGSIZE, "bufsiz"),
        (errno.EIO, "wiring"),
    ],
)
@pytest.mark.parametrize("doing", ["open", "write to"])
def test_what_is_wrong_with_a_bus_names_the_next_step(
    spidev: type[FakeSpiDev], number: int, advice: str, doing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "glob", lambda *_: iter(()))
    error = OSError(number, os.strerror(number))

    with pytest.raises(DeviceError, match=rf"cannot {doing} '/dev/spidev0\.0'.*{advice}"):
        if doing == "open":
            monkeypatch.setattr(FakeSpiDev, "error", error)
        bus = LinuxSpi("/dev/spidev0.0", 1_000_000)
        monkeypatch.setattr(FakeSpiDev, "error", error)
        bus.write(b"\0")


def test_where_there_are_other_buses_they_are_named(
    spidev: type[FakeSpiDev], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeSpiDev, "error", FileNotFoundError(errno.ENOENT, "No such file or directory"))
    monkeypatch.setattr(Path, "glob", lambda *_: iter([Path("/dev/spidev10.0")]))

    with pytest.raises(DeviceError, match=r"there is /dev/spidev10\.0: set panel\.spi_device"):
        LinuxSpi("/dev/spidev0.0", 1_000_000)


def test_a_machine_without_spidev_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spidev", None)

    with pytest.raises(DeviceError, match=r"spidev is not installed.*scripts/install"):
        LinuxSpi("/dev/spidev0.0", 1_000_000)


def test_what_is_no_spi_bus_is_named_by_the_real_library() -> None:
    with pytest.raises(DeviceError, match="that is no SPI bus"):
        LinuxSpi("/dev/null", 1_000_000)
