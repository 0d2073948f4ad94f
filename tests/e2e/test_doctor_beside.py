"""`pivoice doctor` beside the live service: it is asked, and loses neither its microphone nor a word."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.bed import Bed
from tests.support.stage import KEY, Stage


def doctor(stage: Stage, *options: str) -> tuple[dict[str, dict[str, Any]], int]:
    """Return the last finding of each check, and the exit code."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pivoice", "doctor", "--json", *options),
            *("--config", str(stage.directory / "pivoice.toml")),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **stage.bed.env, **stage.environment},
    )
    assert not done.stderr and KEY not in done.stdout
    return {each["check"]: each for each in json.loads(done.stdout)["findings"]}, done.returncode


def opened(bed: Bed) -> list[tuple[float, str]]:
    """Return when either side was opened and closed."""
    return [each for side in ("mic", "speaker") for each in bed.events(side) if each[1] in ("open", "close")]


def test_the_service_hears_on_while_it_is_examined(tmp_path: Path, bed: Bed):
    with Stage(tmp_path, bed=bed) as stage:
        stage.start()
        bed.say(np.rint(np.random.default_rng(2).normal(0, 30, 20 * 48000)).astype(np.int16))

        before = opened(bed)
        found, code = doctor(stage)

        assert code == 0, [each for each in found.values() if each["verdict"] != "ok"]
        assert opened(bed) == before
        assert "heard by the running pivoice" in found["microphone"]["text"]
        assert found["microphone"]["verdict"] == "ok" and "-61 dBFS" in found["microphone"]["text"]
        assert "took a second of silence" in found["session"]["text"]
        assert stage.ctl("status")["hears"] and not stage.violations()

        stage.ctl("wake")
        stage.wait_for("session", state="ready")
        found, code = doctor(stage)

        assert code == 0 and "a conversation is open" in found["session"]["text"]
        assert stage.ctl("status")["state"] != "idle"
        assert not stage.violations()
