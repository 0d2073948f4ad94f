"""What every test may ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.bed import Bed


@pytest.fixture
def bed() -> Iterator[Bed]:
    """A sound card of files, 48 kHz mono S16_LE on both sides; PCMs bed_mic and bed_speaker."""
    with Bed() as made:
        yield made
