"""A microphone measured by `pivoice devices --listen`: all its channels, as the card gives them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pivoice.audio import alsa, recorder
from pivoice.audio.recorder import Recorder
from pivoice.clock import SystemClock
from pivoice.config import AudioConfig
from pivoice.errors import DeviceError
from tests.audio.fakes import write_wav
from tests.support.bed_card import Card
from tests.support.rack import Rack

CLOCK = SystemClock()


@pytest.mark.parametrize("name", ["hw:CARD=array", "plughw:CARD=array"])
def test_every_channel_is_heard_without_gain_or_filter(name: str):
    levels = np.array([100, 2000, 0, 3000])
    with Rack() as rack:
        rack.mount({"array": Card(48000, 4, "S16_LE")})
        rack.play_to("array", np.tile(levels, (48000, 1)).astype(np.int16))
        pcm = Recorder(name, AudioConfig(capture="something else", channel=1, gain_db=30.0), CLOCK)

        heard = pcm.read()
        pcm.close()

    assert (pcm.channels, pcm.rate_hz) == (4, 48000)
    assert heard.dtype == np.float32 and np.all(heard == levels)


def test_a_simulated_microphone_has_one_channel(tmp_path: Path):
    write_wav(tmp_path / "room.wav", np.full(16000, 100, np.int16), 16000)
    pcm = Recorder(f"simulated:{tmp_path}/room.wav", AudioConfig(channel=3, gain_db=30.0), CLOCK)

    heard = pcm.read()
    pcm.close()

    assert pcm.channels == 1 and heard.shape == (320, 1)
    assert np.all(heard == 100)


@pytest.mark.parametrize(
    ("told", "channels"), [([2, 4], 4), ([1, 16], 16), (list(range(1, 10_001)), 1), ([], 1)]
)
def test_a_plug_in_that_has_any_number_of_channels_is_heard_with_one(
    monkeypatch: pytest.MonkeyPatch, told: list[int], channels: int
):
    asked: list[str] = []

    def constraints(name: str, side: str) -> tuple[int, dict[str, int], list[int]]:
        asked.append(name)
        if name.startswith("hw:"):
            raise DeviceError(name, doing="open capture", reason="busy", advice="")
        return 48000, {}, told

    monkeypatch.setattr(alsa, "constraints", constraints)

    assert recorder.channels_of("plughw:CARD=x") == channels
    assert asked == ["hw:CARD=x", "plughw:CARD=x"]
