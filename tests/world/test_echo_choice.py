"""How the device does not hear itself: what it tells of it, and that it is whole without a canceller."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pivoice.audio import stage
from pivoice.audio.pcm import Samples
from pivoice.audio.stage import Heard
from tests.support.world import World, live

ROOT = Path(__file__).resolve().parents[2]
Hide = Callable[[pytest.MonkeyPatch], None]
COUNTS = {"slips": 1, "underruns": 2, "breaks": 3, "gate_openings": 4, "onsets": 5}


def without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pywebrtc_audio", None)
    monkeypatch.delitem(sys.modules, "pivoice.audio.echo", raising=False)


def without_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pivoice.audio.echo", None)
    monkeypatch.setattr(stage, "STAGES", {})


@pytest.mark.parametrize("hide", [without_the_library, without_the_file])
def test_without_a_canceller_the_device_is_whole_in_half_duplex(
    hide: Hide, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    hide(monkeypatch)
    caplog.set_level(logging.INFO)

    async def main(world: World) -> None:
        status = await world.ask("status")
        world.say("user_wake_time")
        await world.reach("speaking")
        world.say(np.random.default_rng(3).normal(0, 3000, 24_000).astype(np.int16))
        await world.reach("idle")

        assert status["echo"] == "half_duplex"
        assert "echo_canceller" not in status
        assert "no echo canceller" in status["echo_reason"]
        assert not world.has("interrupted")

    live(main, tmp_path, toml='[audio]\necho = "webrtc"\n')

    (told,) = [each for each in caplog.records if each.getMessage().startswith("echo: half_duplex")]
    assert told.levelno == logging.WARNING


class Canceller:
    """Cancels nothing, and tells of it."""

    delay_s = 0.0
    is_idle = True
    tap = "speexdsp"

    def __init__(self, *_: object) -> None: ...

    def process(self, near: Samples, *, start_s: float) -> Heard:
        return Heard(near, near)

    def pass_by(self, near: Samples) -> Samples:
        return near

    def discontinuity(self) -> None: ...

    def status(self) -> dict[str, object]:
        return {"tap": self.tap, "return_loss_db": 40.0, **COUNTS}


@pytest.fixture
def canceller(monkeypatch: pytest.MonkeyPatch) -> type[Canceller]:
    monkeypatch.setattr(stage, "_load", lambda mode: Canceller)
    return Canceller


def test_the_canceller_s_figures_are_in_status_and_its_counters_in_metrics(
    canceller: type[Canceller], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)

    async def main(world: World) -> None:
        status, metrics = await world.ask("status"), (await world.ask("metrics"))["counters"]

        assert status["echo"] == "webrtc"
        assert status["echo_canceller"]["return_loss_db"] == 40.0
        assert "echo_fault" not in status
        assert metrics["echo"] == COUNTS
        assert set(metrics["ducks"].values()) == {0}

    live(main, tmp_path, toml='[audio]\necho = "webrtc"\n')

    (told,) = [each for each in caplog.records if each.getMessage().startswith("echo: webrtc")]
    assert told.levelno == logging.INFO


def test_a_missing_second_tap_is_told_with_what_to_install(
    canceller: type[Canceller], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(canceller, "tap", "cannot use it; install libspeexdsp1")

    async def main(world: World) -> None:
        status = await world.ask("status")

        assert "wake word" in status["echo_fault"]
        assert "install libspeexdsp1" in status["echo_fault"]

    live(main, tmp_path, toml='[audio]\necho = "webrtc"\n')


@pytest.mark.timeout(120)
@pytest.mark.parametrize("mode", ["none", "half_duplex"])
def test_what_needs_no_canceller_loads_no_library(mode: str):
    """In a process of its own: which libraries are mapped is its memory's to say."""
    program = f"""
import sys
from pivoice.config import parse
from pivoice.daemon import Daemon
Daemon(parse('[audio]\\necho = "{mode}"\\n[wake]\\nengine = "none"'), key="")
assert "pivoice.audio.echo" not in sys.modules and "pivoice.audio.tap" not in sys.modules
assert not [each for each in open("/proc/self/maps") if "webrtc" in each or "speexdsp" in each]
"""

    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=60)
