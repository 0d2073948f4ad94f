"""The SPI bus that rings and strips of lights hang on: one way, from here to them.

Owns the device file, by spidev, and the sentences for what is wrong with it. The light's thread only.
Never touches what is written. `SimulatedSpi` stands beside it: it keeps what went over the wire as levels
and times, at the clock that the hardware would really run at.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from pivoice.errors import DeviceError

_BUFSIZ = Path("/sys/module/spidev/parameters/bufsiz")
_USUAL_BYTES = 4096  # spidev's own, where it does not say
_DMA_BYTES = 65535  # more than this spidev cuts up, whatever bufsiz says


class SpiBus(Protocol):
    """One chip select of a bus, open for writing."""

    most_bytes: int
    """What goes out in one piece, without a gap."""

    def write(self, frame: bytes) -> None:
        """Write `frame`; return once it is on the wire.

        Raises:
            DeviceError: the bus does not take it.
        """

    def close(self) -> None:
        """Let go of it. Never raises, safe to call twice."""


OpenSpi = Callable[[str, int], SpiBus]
"""Called with the device's path and the clock's rate in Hz; may raise DeviceError."""


class LinuxSpi:
    """A bus of this machine: mode 0, eight bits, the highest first."""

    def __init__(self, path: str, rate_hz: int) -> None:
        self._path = path
        self.most_bytes = _most_bytes()
        with _explained(path, "open"):
            import spidev

            self._spi = spidev.SpiDev()
            self._spi.open_path(path)
            # the device file keeps the mode and the speed of whoever had it before
            self._spi.mode = 0
            self._spi.bits_per_word = 8
            self._spi.max_speed_hz = rate_hz

    def write(self, frame: bytes) -> None:
        with _explained(self._path, "write to"):
            self._spi.writebytes2(frame)  # from a buffer, and without the interpreter's lock

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._spi.close()


class SimulatedSpi:
    """A bus in memory. `wave` is the data line as an oscilloscope would show it."""

    def __init__(
        self, path: str = "/dev/spidev0.0", rate_hz: int = 1_000_000, *, core_hz: int = 250_000_000
    ) -> None:
        """`core_hz`: what the hardware divides its clock from."""
        self.path = path
        self.rate_hz = divided(core_hz, rate_hz)
        self.most_bytes = _USUAL_BYTES
        self.frames: list[bytes] = []
        self.fault = ""
        """A reason makes every write fail with it."""
        self.is_closed = False
        self.idles_high = False
        """Whether the data line is high while nobody writes."""
        self.pauses = False
        """Whether the clock stands still for one beat after each byte, as it does without DMA."""

    def write(self, frame: bytes) -> None:
        assert not self.is_closed, "written to after it was closed"
        if self.fault:
            raise DeviceError(self.path, doing="write to", reason=self.fault, advice="check its wiring")
        self.frames.append(frame)

    def close(self) -> None:
        self.is_closed = True

    @property
    def wave(self) -> list[tuple[int, float]]:
        """The data line while the last frame was written: its level, and for how many seconds, in turns."""
        wave: list[tuple[int, float]] = [(int(self.idles_high), 1.0)]
        for byte in self.frames[-1]:
            bits = [int(bit) for bit in f"{byte:08b}"]
            for level in [*bits, *bits[-1:]] if self.pauses else bits:
                if level != wave[-1][0]:
                    wave.append((level, 0.0))
                wave[-1] = (level, wave[-1][1] + 1 / self.rate_hz)
        return wave


def divided(core_hz: int, asked_hz: int) -> float:
    """Return the rate that a Pi's bus runs at when asked for one: its clock by the next even number.

    spi-bcm2835 (Pi 0 to 4) rounds so, and so does spi-dw, which drives the RP1 of a Pi 5.
    """
    divider = -(-core_hz // asked_hz)
    return core_hz / max(2, divider + divider % 2)


def _most_bytes() -> int:
    try:
        return min(_DMA_BYTES, int(_BUFSIZ.read_text()))
    except (OSError, ValueError):
        return _USUAL_BYTES


@contextlib.contextmanager
def _explained(path: str, doing: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        advice = "pip install spidev, or run scripts/install again"
        raise DeviceError(
            path, doing=doing, reason=f"spidev is not installed ({error})", advice=advice
        ) from error
    except (OSError, OverflowError, ValueError) as error:
        number = error.errno if isinstance(error, OSError) else None
        reason = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
        raise DeviceError(path, doing=doing, reason=reason, advice=_advice(path, number)) from error


def _advice(path: str, number: int | None) -> str:
    if number in (errno.EACCES, errno.EPERM):
        return "add the service's user to the group spi (usermod -aG spi USER)"
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        there = sorted(str(each) for each in Path("/dev").glob("spidev*"))
        if there:
            return f"there is {', '.join(there)}: set panel.spi_device"
        return "switch SPI on (sudo raspi-config nonint do_spi 0, or dtparam=spi=on in config.txt) and reboot"
    if number in (errno.ENOTTY, errno.EINVAL, errno.EISDIR):
        return "that is no SPI bus; set panel.spi_device to one, such as /dev/spidev0.0"
    if number == errno.EBUSY:
        return "another program or overlay has it (ls -l /proc/*/fd | grep spidev); stop it"
    if number == errno.EMSGSIZE:
        return f"raise {_BUFSIZ} (spidev.bufsiz=65536 in cmdline.txt), or set fewer panel.pixels"
    return "check panel.spi_device and the wiring"
