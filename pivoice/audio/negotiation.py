"""How a PCM is opened: at the card's own rate, format and channels, as far as they can be known.

The thread that will use the PCM. Knows the module `alsaaudio` only as an argument (alsa.py wraps it). A bare
card (`hw:`) takes what it has and nothing else; a converting name (`plughw:`, `default`) takes everything,
and would convert in between, so the card underneath is asked first, where there is one for certain.
Facts about pyalsaaudio 0.11: opening asks for format, channels and rate one by one, ignores each refusal,
and tells in info() what became of it; it holds the GIL all the while.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from pivoice.audio import card_faults, chatter, refusals
from pivoice.audio.encodings import ENCODINGS
from pivoice.audio.ports import Side, port_of
from pivoice.config import AudioConfig
from pivoice.errors import DeviceError

RATE_HZ = 48000
"""Asked first: nearly every card has it, and it is a whole multiple of 16 and 24 kHz."""
CAPTURE_BUFFER_MS = 1000  # costs no latency, and rides out a thread that is late
PLAYBACK_PERIODS = 4  # of the card's ring; how much of it is filled is limited by `wait`
_WIDEST_FIRST = ("S32_LE", "S24_LE", "S24_3LE", "S16_LE")
_TRIES = 4  # each leaves less to be asked for
_NO_CARD = 1 << 16


@dataclass(frozen=True)
class Wish:
    """What a PCM is asked for."""

    rate_hz: int
    encoding: str
    channels: int


@dataclass(frozen=True)
class Offer:
    """What a PCM can do."""

    rates: tuple[int, ...]
    """Single ones; of a range, its ends."""
    is_range: bool
    encodings: frozenset[str]
    channels: tuple[int, ...]

    def best(self, wish: Wish, encodings: tuple[str, ...]) -> Wish | None:
        """Return what comes nearest to `wish`; None when there is none of the `encodings`, best first."""
        usable = [each for each in encodings if each in self.encodings]
        if not usable:
            return None
        enough = [each for each in self.channels if each >= wish.channels]
        channels = min(enough) if enough else max(self.channels, default=wish.channels)
        return Wish(self._rate(wish.rate_hz), usable[0], channels)

    def _rate(self, wanted_hz: int) -> int:
        low_hz, high_hz = min(self.rates, default=wanted_hz), max(self.rates, default=wanted_hz)
        if wanted_hz in self.rates or (self.is_range and low_hz <= wanted_hz <= high_hz):
            return wanted_hz
        return min(self.rates, key=lambda rate_hz: abs(rate_hz - wanted_hz), default=wanted_hz)


class Opened:
    """An open PCM, and what it was opened with."""

    def __init__(self, pcm: Any, library: Any) -> None:
        facts = pcm.info()
        self.pcm = pcm
        self.library = library
        self.rate_hz = int(facts["rate"])
        self.channels = int(facts["channels"])
        self.encoding = str(facts["format_name"])
        self.period_frames = int(facts["period_size"])
        self.buffer_frames = int(facts["buffer_size"])
        card_no = int(facts.get("card_no", _NO_CARD))  # -1 as an unsigned long, where there is none
        self.card_no = card_no if card_no < _NO_CARD else None


class Negotiation:
    """One attempt to open one PCM."""

    def __init__(self, library: Any, name: str, side: Side, audio: AudioConfig) -> None:
        self._library = library
        self._name = name
        self._side = side
        self._audio = audio
        self._is_answered = False  # somebody is at home, there is no need to knock
        is_loud = side == "capture" and audio.gain_db > 0  # what is made louder should have all its bits
        self._encodings = _WIDEST_FIRST if is_loud else tuple(ENCODINGS)
        channels = audio.channel + 1 if side == "capture" else 1
        self._plain = Wish(RATE_HZ, self._encodings[0], channels)

    def open(self) -> Opened:
        """Return the PCM, open.

        Raises:
            DeviceError: it cannot be opened now, or has nothing that could be used.
        """
        own = self._ask_the_card()
        if own is not None and own != self._plain:
            try:
                return self._settle(own)
            except DeviceError:  # it was only a wish
                pass
        return self._settle(self._plain)

    def probe(self) -> Opened:
        """Return the PCM, opened with whatever it takes: to be asked what it can do, and closed.

        Raises:
            DeviceError: it cannot be opened now.
        """
        return self._opened(self._name, self._plain)

    def _ask_the_card(self) -> Wish | None:
        """Return what the card under a converting name would take; None where that cannot be known."""
        twin = bare_name(self._name, self._side)
        if twin is None:
            return None
        try:
            opened = self._opened(twin, self._plain)
        except DeviceError:  # busy, or of no use alone (an HDMI socket speaks IEC958 only): the name may do
            return None
        try:
            wish = offer_of(opened).best(self._plain, self._encodings)
        finally:
            opened.pcm.close()
        if wish is not None and wish.channels < self._plain.channels:
            raise self._lacks_the_channel(wish.channels)
        return wish

    def _settle(self, wish: Wish) -> Opened:
        """Ask, see what came of it, and ask again for what the PCM has."""
        for _ in range(_TRIES):
            opened = self._opened(self._name, wish)
            if (opened.rate_hz, opened.encoding) == (wish.rate_hz, wish.encoding) and (
                opened.channels >= self._plain.channels
            ):
                return opened
            try:
                better = offer_of(opened).best(self._plain, self._encodings)
            finally:
                opened.pcm.close()
            if better is None:
                raise self._useless(f"it speaks {opened.encoding} alone")
            if better.channels < self._plain.channels:
                raise self._lacks_the_channel(better.channels)
            if better == wish:  # it does not have what it says: perhaps what it took by itself
                better = replace(wish, rate_hz=opened.rate_hz)
            if better == wish:
                break
            wish = better
        raise self._useless(f"it takes neither {wish.rate_hz} Hz {wish.encoding} nor what it offers instead")

    def _opened(self, name: str, wish: Wish) -> Opened:
        is_capture, library = self._side == "capture", self._library
        period_ms = self._audio.period_ms
        lines: list[str] = []
        if not self._is_answered:
            text, lines = chatter.knock(name, self._side)
            if text:
                raise refusals.refused(name, self._side, text, chatter=lines)
        try:
            with chatter.captured() as lines:
                pcm = library.PCM(
                    library.PCM_CAPTURE if is_capture else library.PCM_PLAYBACK,
                    library.PCM_NONBLOCK,
                    device=name,
                    rate=wish.rate_hz,
                    channels=wish.channels,
                    format=getattr(library, f"PCM_FORMAT_{wish.encoding}"),
                    periodsize=round(wish.rate_hz * period_ms / 1000),
                    periods=max(4, CAPTURE_BUFFER_MS // period_ms) if is_capture else PLAYBACK_PERIODS,
                )
        except library.ALSAAudioError as error:
            raise refusals.refused(name, self._side, text_of(error), chatter=lines) from error
        self._is_answered = True
        return Opened(pcm, library)

    def _lacks_the_channel(self, channels: int) -> DeviceError:
        return card_faults.no_such_channel(self._name, self._plain.channels - 1, channels)

    def _useless(self, reason: str) -> DeviceError:
        advice = "name another card" if self._name.startswith("plughw") else "use its plughw: name"
        return DeviceError(self._name, doing=f"open {self._side}", reason=reason, advice=advice)


def offer_of(opened: Opened) -> Offer:
    """Return what an open PCM can do."""
    pcm = opened.pcm
    try:
        rates, encodings, channels = pcm.getrates(), pcm.getformats(), pcm.getchannels()
        if rates == []:  # single ones, none of them usual
            rates = list(pcm.getratebounds())
    except opened.library.ALSAAudioError:
        return Offer((opened.rate_hz,), False, frozenset((opened.encoding,)), (opened.channels,))
    singles = (rates,) if isinstance(rates, int) else tuple(rates)
    return Offer(singles, isinstance(rates, tuple), frozenset(encodings), tuple(channels))


def bare_name(name: str, side: Side) -> str | None:
    """Return the `hw:` name of the card that a converting name leads to for certain; None for any other."""
    pcm, colon, arguments = name.partition(":")
    if pcm == "plughw" and colon:
        return f"hw:{arguments}"
    if pcm in ("default", "sysdefault") and (port := port_of(name, side)):
        return port.bare
    return None


def text_of(error: Exception) -> str:
    """Return what ALSA says in one of pyalsaaudio's errors: "No such device [hw:7]"."""
    return str(error).rpartition(" [")[0] or str(error) or repr(error)
