"""Every rate, format and number of channels that cards have, below libasound: to the sample, in and out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
import pytest

from pivoice.audio.alsa import AlsaCapture, AlsaPlayback
from pivoice.audio.pcm import Format
from pivoice.clock import SystemClock
from pivoice.config import AudioConfig
from tests.support.bed_card import Card, Encoding, Samples
from tests.support.rack import Rack

RATES_HZ = (16000, 44100, 48000, 96000)
FORMATS: tuple[Encoding, ...] = ("S16_LE", "S24_3LE", "S24_LE", "S32_LE")
MOST_CHANNELS = 8
PERIOD_MS = 5
TRIES = 5  # a machine that is busy may keep us from a card for longer than it waits; then again
CLOCK = SystemClock()


@dataclass(frozen=True)
class Take:
    """One card, and the channel of it that is listened to."""

    card: Card
    channel: int = 0

    @property
    def name(self) -> str:
        return f"{self.card.rate_hz}_{self.card.format}_{self.card.channels}_{self.channel}"


CARDS = [
    Card(rate_hz, channels, encoding)
    for rate_hz in RATES_HZ
    for encoding in FORMATS
    for channels in range(1, MOST_CHANNELS + 1)
]
LAST = [Take(card, card.channels - 1) for card in CARDS]
EVERY = [Take(card, channel) for card in CARDS for channel in range(card.channels)]


def check(takes: list[Take], trial: Callable[[Rack, Take], str]) -> None:
    """Try many cards at once: nearly all of the time is spent on waiting for their clocks."""
    with Rack() as rack, ThreadPoolExecutor(8) as threads:
        rack.mount({take.name: take.card for take in takes})
        wrong = [fault for fault in threads.map(partial(trial, rack), takes) if fault]
    assert not wrong


def noise(frames: int, channels: int) -> Samples:
    """Return n x channels that are like themselves at no other place, nor in another channel."""
    return np.random.default_rng(channels).integers(-32768, 32768, (frames, channels)).astype(np.int16)


def misopened(opened: Format, card: Card) -> str:
    found = Card(opened.rate_hz, opened.card_channels, cast(Encoding, opened.card_encoding))
    return "" if found == card else f"{card} was opened as {found}"


def record(rack: Rack, take: Take, *, pcm: str) -> str:
    """Return what is wrong with two periods of one channel of a card's microphone; "" when nothing is."""
    sound = noise(take.card.rate_hz // 10, take.card.channels)
    for _ in range(TRIES):
        rack.play_to(take.name, sound)
        ear = AlsaCapture(
            f"{pcm}:CARD={take.name}", AudioConfig(channel=take.channel, period_ms=PERIOD_MS), CLOCK
        )
        heard = ear.read(2)
        ear.close()
        if fault := misopened(ear.format, take.card):
            return fault
        first = rack.started(take.name, "mic")
        if np.array_equal(heard, sound[first : first + len(heard), take.channel]):
            return ""
    return f"{pcm}:CARD={take.name} sounds otherwise"


def play(rack: Rack, take: Take, *, pcm: str) -> str:
    """Return what is wrong with two periods on a card's speaker; "" when nothing is."""
    for _ in range(TRIES):
        mouth = AlsaPlayback(f"{pcm}:CARD={take.name}", AudioConfig(period_ms=PERIOD_MS), CLOCK)
        sound = noise(2 * mouth.format.period_frames, 1)
        for period in np.split(sound[:, 0], 2):
            mouth.wait()
            mouth.write(period)
        CLOCK.wait(threading.Event(), 0.02)
        mouth.close()
        if fault := misopened(mouth.format, take.card):
            return fault
        if np.array_equal(rack.played(take.name)[: len(sound)], np.repeat(sound, take.card.channels, axis=1)):
            return ""
    return f"{pcm}:CARD={take.name} plays otherwise"


def test_every_channel_of_every_bare_card_is_heard_to_the_sample():
    check(EVERY, partial(record, pcm="hw"))


def test_every_card_is_heard_to_the_sample_through_plug():
    check(LAST, partial(record, pcm="plughw"))


@pytest.mark.parametrize("pcm", ["hw", "plughw"])
def test_every_card_plays_to_the_sample_in_all_its_channels(pcm: str):
    check(LAST, partial(play, pcm=pcm))
