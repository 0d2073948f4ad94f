"""`pivoice devices` beside the live service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.bed import Bed
from tests.support.stage import Stage
from tests.views.test_loudness import RATE_HZ, noise, voice


@pytest.fixture
def stage(tmp_path: Path, bed: Bed) -> Iterator[Stage]:
    with Stage(tmp_path, bed=bed, settings={"wake": {"engine": "none"}}) as made:
        yield made.start()


def devices(stage: Stage, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `pivoice devices` as a user does."""
    config = str(stage.directory / "pivoice.toml")
    return subprocess.run(
        [sys.executable, "-m", "pivoice", "devices", "--config", config, *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | stage.bed.env,
    )


def test_the_services_own_microphone_is_measured_without_taking_it(stage: Stage):
    stage.bed.say((voice(-30) + noise(-60)).astype(np.int16), rate_hz=RATE_HZ)
    opened = [event for event in stage.bed.events("mic") if event[1] == "open"]

    done = devices(stage, "--listen", "--seconds", "2", "--json")

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    (own,) = found["microphones"]
    assert own["pcm"] == "bed_mic"
    assert own["channels"][0]["voice_db"] == pytest.approx(-30, abs=1.5)
    assert found["best"] == {"capture": "bed_mic", "channel": 0}
    assert [event for event in stage.bed.events("mic") if event[1] == "open"] == opened
    assert stage.ctl("status")["hears"]


def test_names_without_listening_are_told_what_they_are_for(stage: Stage):
    done = devices(stage, "bed_mic")

    assert done.returncode == 1
    assert "pivoice devices --listen bed_mic" in done.stderr


def test_a_configuration_with_mistakes_is_told_after_the_cards(stage: Stage):
    path = stage.directory / "pivoice.toml"
    path.write_text(path.read_text() + '\n[audi]\ncapture = "x"\n')

    done = devices(stage)

    assert done.returncode == 78
    assert "microphones, for audio.capture:" in done.stdout
    assert "did you mean audio?" in done.stderr
