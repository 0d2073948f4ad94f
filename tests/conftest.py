"""What every test may ask for."""

from __future__ import annotations

import os
from collections.abc import Iterator

# As the daemon does (service.py), before anything imports numpy: threads for matrices of 1 ms only spin.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest

from tests.support.bed import Bed


@pytest.fixture
def bed() -> Iterator[Bed]:
    """A sound card of files, 48 kHz mono S16_LE on both sides; PCMs bed_mic and bed_speaker."""
    with Bed() as made:
        yield made
