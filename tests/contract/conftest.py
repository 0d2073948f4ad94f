"""The cards that the contract suites of both implementations run on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pivoice.audio.pcm import Capture, Playback, open_capture, open_playback
from tests.support.bed import Bed
from tests.support.pcm_cards import AlsaCard, Card, SimulatedCard


@pytest.fixture(params=["simulated", "alsa"])
def card(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Card]:
    if request.param == "simulated":
        yield SimulatedCard(tmp_path)
    else:
        with Bed() as bed:
            yield AlsaCard(bed)


@pytest.fixture
def ear(card: Card) -> Iterator[Capture]:
    pcm = open_capture(card.audio.capture, card.audio, card.clock)
    yield pcm
    pcm.close()


@pytest.fixture
def mouth(card: Card) -> Iterator[Playback]:
    pcm = open_playback(card.audio.playback, card.audio, card.clock)
    yield pcm
    pcm.close()
