"""The table of engines."""

from __future__ import annotations

import pytest

from pivoice.config import WakeConfig
from pivoice.errors import ConfigError
from pivoice.wake.detector import open_detector


def test_engine_none_needs_no_model() -> None:
    assert open_detector(WakeConfig(engine="none", models=[])) is None


def test_the_configured_engine_is_opened_with_its_models() -> None:
    detector = open_detector(WakeConfig(models=["hey_jarvis", "alexa"]))

    assert detector is not None
    assert detector.models == ("hey_jarvis", "alexa")


def test_a_model_that_is_missing_stops_the_opening() -> None:
    with pytest.raises(ConfigError, match="no wake word 'computer'"):
        open_detector(WakeConfig(models=["computer"]))
