"""What a card is opened with: its own rate, format and channels, through a converting name as well."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest

from pivoice.audio import negotiation
from pivoice.audio.alsa import AlsaCapture, AlsaPlayback, constraints
from pivoice.audio.cards import Card as KernelCard
from pivoice.audio.ports import Port
from pivoice.clock import SystemClock
from pivoice.config import AudioConfig
from pivoice.errors import DeviceError
from tests.support.bed import Bed, Card
from tests.support.rack import Rack

CLOCK = SystemClock()
BARE, CONVERTING = "hw:CARD=bed,DEV=0", "plughw:CARD=bed,DEV=0"


@pytest.fixture
def rack() -> Iterator[Rack]:
    with Rack() as made:
        yield made


def opened(card: Card, name: str = BARE, **audio: float) -> tuple[int, int, str]:
    """Return rate, channels and format that a microphone of this kind is opened with."""
    with Bed(mic=card) as bed:
        pcm = AlsaCapture(name, AudioConfig(**audio), CLOCK)  # type: ignore[arg-type]
        pcm.read()
        pcm.close()
        assert bed.cards["mic"].rate_hz == pcm.format.rate_hz
    return pcm.format.rate_hz, pcm.format.card_channels, pcm.format.card_encoding


def opened_to_play(card: Card, name: str = BARE) -> tuple[int, int, str]:
    with Bed(speaker=card):
        pcm = AlsaPlayback(name, AudioConfig(), CLOCK)
        pcm.close()
    return pcm.format.rate_hz, pcm.format.card_channels, pcm.format.card_encoding


@pytest.mark.parametrize("name", [BARE, CONVERTING])
@pytest.mark.parametrize(
    ("card", "taken"),
    [
        (Card(16000), (16000, 1, "S16_LE")),
        (Card(8000, or_rates=(16000, 44100)), (44100, 1, "S16_LE")),
        (Card(16000, or_rates=(48000, 96000)), (48000, 1, "S16_LE")),
        (Card(96000, 2, "S32_LE"), (96000, 2, "S32_LE")),
        (Card(48000, 2, "S32_LE", or_formats=("S16_LE",)), (48000, 2, "S16_LE")),
        (Card(44100, 6, "S24_3LE", or_channels=(8,)), (44100, 6, "S24_3LE")),
        (Card(48000, 2, "S24_LE", or_channels=(1,)), (48000, 1, "S24_LE")),
    ],
    ids=str,
)
def test_a_microphone_and_a_speaker_are_opened_as_they_are(
    name: str, card: Card, taken: tuple[int, int, str]
):
    assert opened(card, name) == taken
    assert opened_to_play(card, name) == taken


@pytest.mark.parametrize("name", [BARE, CONVERTING, "bed_mic"])
def test_a_microphone_that_is_to_be_louder_is_asked_for_all_its_bits(name: str):
    card = Card(48000, 2, "S16_LE", or_channels=(1,), or_formats=("S24_LE", "S32_LE"))

    assert opened(card, name, gain_db=20.0) == (48000, 1, "S32_LE")
    assert opened(card, name, gain_db=0.0) == (48000, 1, "S16_LE")


@pytest.mark.parametrize("name", [BARE, CONVERTING])
def test_the_fewest_channels_that_hold_the_wanted_one_are_taken(name: str):
    card = Card(48000, 2, or_channels=(4, 8))

    assert [opened(card, name, channel=channel)[1] for channel in (0, 1, 2, 3, 7)] == [2, 2, 4, 4, 8]


@pytest.mark.parametrize("name", [BARE, CONVERTING])
def test_a_channel_that_the_card_does_not_have_is_told_when_it_is_opened(name: str):
    sentence = r"channel 4 was asked for, and it has 4; set audio\.channel to 0\.\.3"

    with Bed(mic=Card(48000, 2, or_channels=(4,))), pytest.raises(DeviceError, match=sentence):
        AlsaCapture(name, AudioConfig(channel=4), CLOCK)


def test_a_converting_name_opens_what_cannot_be_used_as_it_is(rack: Rack):
    rack.mount({"odd": Card(48000, 2, "U8")})  # type: ignore[arg-type]

    with pytest.raises(DeviceError, match="it speaks U8 alone; use its plughw: name"):
        AlsaPlayback("hw:CARD=odd", AudioConfig(), CLOCK)
    pcm = AlsaPlayback("plughw:CARD=odd", AudioConfig(), CLOCK)

    assert (pcm.format.rate_hz, pcm.format.card_encoding) == (48000, "S16_LE")
    pcm.close()


@pytest.mark.parametrize("name", ["hw:CARD=i2s", "plughw:CARD=i2s"])
def test_a_quiet_i2s_microphone_is_made_louder_with_all_its_bits_and_without_its_offset(
    rack: Rack, name: str
):
    card = Card(48000, 2, "S32_LE")
    faint = 300 * np.sin(
        2 * np.pi * 500 * np.arange(9600) / 48000
    )  # of 2^24: hardly more than one step of 16 bits
    frames = np.zeros((9600, 2), np.int32)
    frames[:, 1] = np.rint(faint + 40000).astype(np.int32) << 8
    rack.mount({"i2s": card})
    rack.play_to("i2s", frames)  # type: ignore[arg-type]
    pcm = AlsaCapture(name, AudioConfig(channel=1, gain_db=40), CLOCK)

    heard = pcm.read(5).astype(np.float64)
    pcm.close()

    first = rack.started("i2s", "mic")
    wanted = faint[first : first + len(heard)] * 100 / 256
    assert np.std(heard - wanted) < 5
    assert abs(heard.mean()) < 1


def test_what_a_card_can_do_is_told_without_using_it():
    many = Card(16000, 2, "S32_LE", or_rates=(48000,), or_channels=(4,), or_formats=("S16_LE",))
    with Bed(mic=many) as bed:
        rates, formats, channels = constraints(BARE, "capture")

        assert (rates, sorted(formats), channels) == ([16000, 48000], ["S16_LE", "S32_LE"], [2, 4])
        assert not bed.is_open("mic")


def test_a_card_that_hands_over_crumbs_is_heard_whole():
    said = np.random.default_rng(3).integers(-9000, 9000, 4800).astype(np.int16)
    with Bed(mic=Card(16000, 3, "S24_3LE")) as bed:
        bed.fail("mic", "crumbs")
        pcm = AlsaCapture(BARE, AudioConfig(channel=2), CLOCK)
        pcm.read()
        bed.say(said, bed.now_s() + 0.4, channel=2)

        heard = np.concatenate([pcm.read() for _ in range(45)])
        pcm.close()

    start = int(np.flatnonzero(heard)[0]) - int(np.flatnonzero(said)[0])
    assert np.array_equal(heard[start : start + len(said)], said)


def test_a_pcm_may_be_closed_while_another_thread_reads_it(bed: Bed):
    for _ in range(20):
        pcm = AlsaCapture("bed_mic", AudioConfig(period_ms=5), CLOCK)
        told: list[str] = []
        is_reading = threading.Event()

        def read(pcm: AlsaCapture = pcm, told: list[str] = told, begun: threading.Event = is_reading) -> None:
            try:
                while True:
                    pcm.read()
                    begun.set()
            except DeviceError as error:
                told.append(str(error))

        reader = threading.Thread(target=read)
        reader.start()
        assert is_reading.wait(10)

        pcm.close()

        reader.join(10)
        assert len(told) == 1 and "it was closed meanwhile" in told[0]
        assert not bed.is_open("mic")


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("plughw:CARD=Device,DEV=1", "hw:CARD=Device,DEV=1"),
        ("default", "hw:CARD=Device,DEV=0"),
        ("sysdefault", "hw:CARD=Device,DEV=0"),
        ("dmix", None),
        ("mine", None),
        ("plughw", None),
        ("hw:CARD=Device", None),
    ],
)
def test_the_card_under_a_name_is_asked_only_where_it_is_certain(
    monkeypatch: pytest.MonkeyPatch, name: str, bare: str | None
):
    port = Port(KernelCard("Device", "USB"), 1, 0, "capture", "USB Audio")
    monkeypatch.setattr(negotiation, "port_of", lambda *_: port)

    assert negotiation.bare_name(name, "capture") == bare


def test_a_pcm_that_does_not_tell_what_it_can_do_can_do_what_it_did():
    class Silent:
        def info(self) -> dict[str, object]:
            facts = {"rate": 44100, "channels": 2, "format_name": "S32_LE"}
            return {**facts, "period_size": 882, "buffer_size": 44100}

        def getrates(self) -> list[int]:
            raise OSError("not told")

    offer = negotiation.offer_of(negotiation.Opened(Silent(), SimpleNamespace(ALSAAudioError=OSError)))

    assert offer.best(negotiation.Wish(48000, "S16_LE", 1), ("S16_LE", "S32_LE")) == negotiation.Wish(
        44100, "S32_LE", 2
    )
