"""Every microphone at once: what each heard, and which is best."""

from __future__ import annotations

import argparse
import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pivoice.audio.ports import Side
from pivoice.clock import Clock, SystemClock
from pivoice.config import AudioConfig
from pivoice.errors import DeviceError, PivoiceError
from pivoice.views import devices
from pivoice.views.audition import Audition, Candidate
from pivoice.views.devices import advised, ranked
from pivoice.views.inventory import Inventory
from pivoice.views.loudness import Frames
from tests.support.bed import Bed, Card
from tests.views.test_loudness import RATE_HZ, noise, voice

HEARD = voice(-30) + noise(-60)
FAR = voice(-45) + noise(-60)


class Studio:
    """Microphones that give what they were told, and then nothing more until the end."""

    def __init__(self, **sounds: list[np.ndarray[Any, Any]]) -> None:
        self.sounds = sounds
        self.over = threading.Event()
        self.closed: list[str] = []
        self.given = {name: threading.Event() for name in sounds}

    def record(self, name: str, audio: AudioConfig, clock: Clock) -> Recording:
        if name not in self.sounds:
            raise DeviceError(name, doing="open capture", reason="busy", advice="stop the other program")
        return Recording(self, name)

    def hear(self, *candidates: Candidate, watch: Any = None) -> Audition:
        """Return an audition in which everybody gave what they have."""
        options = {"watch": watch} if watch else {}
        audition = Audition(candidates, AudioConfig(), SystemClock(), record=self.record, **options)
        audition.start()
        for each in candidates:
            if each.pcm in self.given and not each.trouble:
                assert self.given[each.pcm].wait(10)
        threading.Timer(0.02, self.over.set).start()  # after the audition was told to stop
        audition.stop()
        return audition


class Recording:
    """One of them, open."""

    rate_hz = RATE_HZ

    def __init__(self, studio: Studio, name: str) -> None:
        self._studio, self._name = studio, name
        self._frames: Frames = np.stack(studio.sounds[name], axis=1).astype(np.float32)
        self.channels = len(studio.sounds[name])

    def read(self) -> Frames:
        period, self._frames = self._frames[:1600], self._frames[1600:]
        if not len(period):
            self._studio.given[self._name].set()
            self._studio.over.wait(10)
            if self._name == "dying":
                raise DeviceError(self._name, doing="read from", reason="it is gone", advice="look")
        return period

    def close(self) -> None:
        self._studio.closed.append(self._name)


def test_the_best_is_ranked_first_and_every_card_closed():
    studio = Studio(far=[FAR], near=[HEARD], dead=[np.zeros_like(FAR)])

    audition = studio.hear(Candidate("far", "Far"), Candidate("near", "Near"), Candidate("dead", "Dead"))

    assert [each.pcm for each in audition.ranking()] == ["near", "far", "dead"]
    assert sorted(studio.closed) == ["dead", "far", "near"]


def test_a_quiet_voice_is_worth_more_than_any_din():
    studio = Studio(din=[noise(-5)], quiet=[voice(-60) + noise(-75)])

    ranking = studio.hear(Candidate("din", "Din"), Candidate("quiet", "Quiet")).ranking()

    assert [each.pcm for each in ranking] == ["quiet", "din"]


def test_the_best_channel_of_an_array_is_found():
    studio = Studio(array=[np.zeros_like(FAR), FAR, HEARD, noise(-20)])

    (array,) = studio.hear(Candidate("array", "Array")).ranking()

    assert array.channel == 2
    lines = ranked([array])
    assert lines[0] == "1. array  Array"
    assert [line.strip()[:18] for line in lines[1:]] == [
        "channel 0: digital",
        "channel 1: voice -",
        "channel 2: voice -",
        "channel 3: no voic",
    ]
    assert [line.endswith(" <-") for line in lines[1:]] == [False, False, True, False]


def test_one_that_fails_says_why_and_stops_no_other():
    studio = Studio(near=[FAR], dying=[HEARD])

    ranking = studio.hear(
        Candidate("busy", "Busy"), Candidate("dying", "Dying"), Candidate("near", "Near")
    ).ranking()

    assert [each.pcm for each in ranking] == ["near", "dying", "busy"]
    assert [each.trouble for each in ranking] == ["", "it is gone; look", "busy; stop the other program"]
    assert ranking[1].hearing is not None, "what was heard before is told"


def test_one_that_was_in_use_from_the_start_is_not_touched():
    studio = Studio(near=[HEARD])

    audition = studio.hear(Candidate("near", "Near", trouble="in use by arecord (pid 5)"))

    assert studio.closed == []
    assert ranked(audition.ranking()) == ["1. near  Near", "     not heard: in use by arecord (pid 5)"]


def test_pivoices_own_microphone_is_measured_by_what_it_tells():
    levels = [-60.0] * 15 + [-25.0] * 10 + [-61.0] * 15
    told = threading.Event()

    def watch(socket: str) -> Iterator[Mapping[str, Any]]:
        assert socket == "x.sock"
        yield {"event": "watching"}
        yield {"event": "level", "side": "speaker", "rms_db": 0.0, "peak_db": 0.0, "clipped": 9}
        for level_db in levels:
            yield {
                "event": "level",
                "side": "microphone",
                "rms_db": level_db,
                "peak_db": level_db + 10,
                "clipped": 0,
            }
        yield {"event": "level", "side": "microphone", "rms_db": "loud"}
        told.set()

    studio = Studio(near=[FAR])
    own = Candidate("hw:1", "Own", socket="x.sock", first_channel=3)
    ranking = studio.hear(own, Candidate("near", "Near"), watch=watch).ranking()

    assert told.is_set()
    assert ranking[0].pcm == "near", "the one that stopped is no choice"
    assert own.trouble == "pivoice stopped meanwhile"
    assert own.channel == 3
    assert own.hearing
    assert own.hearing.voice_db == pytest.approx(-25, abs=0.1)
    assert own.hearing.peak_db == pytest.approx(-15, abs=0.1)
    assert own.hearing.seconds == pytest.approx(4.0)


def test_pivoice_is_let_go_of_when_the_time_is_up():
    told, never = threading.Event(), threading.Event()

    def watch(_: str) -> Iterator[Mapping[str, Any]]:
        while not never.wait(0.001):
            yield {"event": "level", "side": "microphone", "rms_db": -40.0, "peak_db": -30, "clipped": 0}
            told.set()

    own = Candidate("hw:1", "Own", socket="x.sock")
    audition = Audition([own], AudioConfig(), SystemClock(), watch=watch)
    audition.start()
    assert told.wait(10)

    audition.stop()

    assert audition.wait(0)
    assert not own.trouble


def test_a_pivoice_that_cannot_be_watched_is_said():
    def watch(_: str) -> Iterator[Mapping[str, Any]]:
        raise PivoiceError("nobody listens at x.sock")

    (own,) = Studio().hear(Candidate("hw:1", "Own", socket="x.sock"), watch=watch).ranking()

    assert own.trouble == "nobody listens at x.sock"


CONFIGURED: dict[Side, str] = {"capture": "near", "playback": "default"}


def test_the_line_to_write_names_card_channel_and_gain():
    studio = Studio(quiet=[noise(-90), voice(-56) + noise(-90)])
    (best,) = studio.hear(Candidate("quiet", "Quiet")).ranking()

    lines = advised(best, Inventory((), CONFIGURED), AudioConfig(capture="near"), "/etc/p.toml")

    assert lines == [
        "",
        "To use the best one, write into /etc/p.toml:",
        "",
        "[audio]",
        'capture = "quiet"',
        "channel = 1",
        f"gain_db = {best.hearing.gain_db if best.hearing else 0}.0",
        "",
        "and then: sudo systemctl reload pivoice",
    ]


def test_nothing_is_changed_that_is_best_already():
    (best,) = Studio(near=[HEARD]).hear(Candidate("near", "Near")).ranking()

    lines = advised(best, Inventory((), CONFIGURED), AudioConfig(capture="near"), "p.toml")

    assert lines[-1] == "The configured microphone hears you best: nothing to change."


def test_where_nobody_was_heard_nothing_is_recommended():
    lines = advised(None, Inventory((), CONFIGURED), AudioConfig(), "p.toml")

    assert "No microphone heard anybody" in lines[-1]


# --- on real ALSA ---


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Bed, Bed]]:
    """Two sound cards: bed_mic, and one of four channels, other_mic."""
    with Bed() as one, Bed(mic=Card(16_000, 4, "S32_LE")) as other:
        text = (other.dir / "asound.conf").read_text().replace("bed_", "other_")
        (other.dir / "asound.conf").write_text(text)
        path = f"/usr/share/alsa/alsa.conf:{one.dir}/asound.conf:{other.dir}/asound.conf"
        monkeypatch.setitem(os.environ, "ALSA_CONFIG_PATH", path)
        yield one, other


def test_cards_are_recorded_at_once_with_all_their_channels(
    cards: tuple[Bed, Bed], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    one, other = cards
    config = tmp_path / "pivoice.toml"
    config.write_text(f'[audio]\ncapture = "bed_mic"\n[control]\nsocket = "{tmp_path}/none.sock"\n')
    one.say((voice(-50) + noise(-70)).astype(np.int16), rate_hz=RATE_HZ)
    other.say(noise(-20).astype(np.int16), rate_hz=RATE_HZ, channel=0)
    other.say((voice(-30) + noise(-70)).astype(np.int16), rate_hz=RATE_HZ, channel=2)
    options = argparse.Namespace(
        listen=True, seconds=2, json=True, pcm=["bed_mic", "other_mic_card", "plughw:CARD=Gone,DEV=0"]
    )

    code = devices.run(str(config), options)

    found = json.loads(capsys.readouterr().out)
    assert code == 0
    assert [each["pcm"] for each in found["microphones"]] == [
        "other_mic_card",
        "bed_mic",
        "plughw:CARD=Gone,DEV=0",
    ]
    assert found["best"] == {"capture": "other_mic_card", "channel": 2}
    array = found["microphones"][0]["channels"]
    assert [each["has_heard"] for each in array] == [False, False, True, False]
    assert array[2]["voice_db"] == pytest.approx(-30, abs=1)
    assert array[1]["remark"].startswith("digital silence")
    assert found["microphones"][1]["channels"][0]["voice_db"] == pytest.approx(-50, abs=1)
    assert "there is no such PCM" in found["microphones"][2]["trouble"]
    assert not one.is_open("mic")
    assert not other.is_open("mic")
