"""What every test may ask for."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from typing import Any

# As the daemon does (service.py), before anything imports numpy: threads for matrices of 1 ms only spin.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import hypothesis
import pytest

from tests.support.bed import Bed

# How long one example takes says how busy the machine is, and nothing of what is tested.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


@pytest.fixture
def bed() -> Iterator[Bed]:
    """A sound card of files, 48 kHz mono S16_LE on both sides; PCMs bed_mic and bed_speaker."""
    with Bed() as made:
        yield made


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Let a report travel from one process to another: what was logged may hold halves of characters."""
    return _whole((yield))


def _whole(part: Any) -> Any:
    if isinstance(part, str):
        return part.encode("utf-8", "backslashreplace").decode()
    if isinstance(part, dict):
        return {key: _whole(value) for key, value in part.items()}
    return [_whole(each) for each in part] if isinstance(part, list | tuple) else part
