"""What only real cards do: odd formats and rates, refusals with their next step, wedged hardware."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from pivoice.audio import alsa
from pivoice.audio.alsa import AlsaCapture, AlsaPlayback
from pivoice.audio.negotiation import Opened
from pivoice.audio.pcm import Samples
from pivoice.clock import Clock, SystemClock
from pivoice.config import AudioConfig
from pivoice.errors import DeviceError
from tests.audio.fakes import find, noise
from tests.support.bed import Bed, Card

CARDS = [
    Card(48000, 2, "S16_LE"),
    Card(16000, 1, "S16_LE"),
    Card(44100, 2, "S32_LE"),
    Card(48000, 6, "S24_3LE"),
    Card(24000, 1, "S32_LE"),
]
CLOCK = SystemClock()


def refusal(name: str, *, side: str = "capture") -> str:
    kind = AlsaCapture if side == "capture" else AlsaPlayback
    with pytest.raises(DeviceError) as caught:
        kind(name, AudioConfig(), CLOCK)
    return str(caught.value)


def play(pcm: AlsaPlayback, samples: Samples) -> None:
    size = pcm.format.period_frames
    for start in range(0, len(samples) - size + 1, size):
        pcm.wait()
        pcm.write(samples[start : start + size])


@pytest.mark.parametrize("card", CARDS, ids=str)
def test_a_bare_card_is_opened_as_it_is_and_heard_to_the_sample(card: Card):
    with Bed(mic=card) as bed:
        pcm = AlsaCapture("bed_mic_card", AudioConfig(), CLOCK)
        words = noise(0.2, card.rate_hz)
        pcm.read()
        bed.say(words)

        heard = np.concatenate([pcm.read() for _ in range(20)])
        pcm.close()

    opened = pcm.format
    assert (opened.rate_hz, opened.card_channels, opened.card_encoding) == (
        card.rate_hz,
        card.channels,
        card.format,
    )
    assert opened.period_frames == card.rate_hz // 50
    find(words, heard)


@pytest.mark.parametrize("card", CARDS, ids=str)
def test_a_bare_card_plays_to_the_sample_in_every_channel(card: Card):
    with Bed(speaker=card) as bed:
        pcm = AlsaPlayback("bed_speaker_card", AudioConfig(), CLOCK)
        words = noise(0.2, card.rate_hz)
        for _ in range(
            15
        ):  # the card holds 40 ms: a busy machine may keep us from it for longer, and it counts that
            begun_s, xruns = bed.now_s(), pcm.xruns
            play(pcm, words)
            threading.Event().wait(0.06)
            if pcm.xruns == xruns:
                break

        for channel in range(card.channels):
            find(words, bed.heard(begun_s, channel=channel))
        assert pcm.format.buffer_frames == 2 * pcm.format.period_frames == card.rate_hz // 25
        pcm.close()


def test_the_channel_that_was_asked_for_is_heard():
    with Bed(mic=Card(48000, 4)) as bed:
        pcm = AlsaCapture("bed_mic_card", AudioConfig(channel=2), CLOCK)
        words = noise(0.1, 48000)
        pcm.read()
        start_s = bed.say(noise(0.1, 48000, seed=8))
        bed.say(words, start_s, channel=2)

        heard = np.concatenate([pcm.read() for _ in range(15)])
        pcm.close()

    find(words, heard)


def test_a_name_that_goes_through_plug_is_opened_mono_at_48_khz(bed: Bed):
    ears = AlsaCapture("bed_mic", AudioConfig(), CLOCK)
    mouth = AlsaPlayback("bed_speaker", AudioConfig(), CLOCK)

    for pcm in (ears, mouth):
        assert (pcm.format.rate_hz, pcm.format.card_channels) == (48000, 1)
        pcm.close()


@pytest.mark.parametrize("period_ms", [5, 10, 40, 100])
def test_the_period_is_a_setting(bed: Bed, period_ms: int):
    audio = AudioConfig(period_ms=period_ms)
    ears = AlsaCapture("bed_mic", audio, CLOCK)
    mouth = AlsaPlayback("bed_speaker", audio, CLOCK)

    assert len(ears.read()) == 48 * period_ms == mouth.format.period_frames
    ears.close()
    mouth.close()


def test_a_card_that_is_not_there_says_how_to_find_one(bed: Bed):
    microphone, loudspeaker = refusal("nonsense"), refusal("nonsense", side="playback")

    assert microphone == (
        "cannot open capture 'nonsense': there is no such PCM; "
        "`arecord -L` lists what there is; set audio.capture"
    )
    assert "`aplay -L` lists what there is; set audio.playback" in loudspeaker


def test_a_kernel_card_that_is_not_there_names_the_cable_or_the_list(bed: Bed):
    assert "arecord -L" in refusal("plughw:CARD=nowhere,DEV=0")


def test_a_busy_card_says_how_to_find_the_other_program(bed: Bed):
    bed.make_busy("mic")

    assert refusal("bed_mic") == (
        "cannot open capture 'bed_mic': busy; "
        "stop the other program (fuser -v /dev/snd/*) or set audio.capture"
    )


def test_libasound_prints_nothing_of_its_own():
    program = (
        "from pivoice.audio.alsa import AlsaCapture; from pivoice.clock import SystemClock\n"
        "from pivoice.config import AudioConfig\n"
        "try: AlsaCapture('hw:CARD=nowhere', AudioConfig(), SystemClock())\n"
        "except Exception as error: print(error)"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)

    assert done.stderr == ""
    assert "cannot open capture 'hw:CARD=nowhere'" in done.stdout


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        (None, "pyalsaaudio is not installed; run ./scripts/install"),
        ("0.8.4", "pyalsaaudio 0.8.4 is too old: it cannot drop(); run ./scripts/install"),
    ],
)
def test_without_a_usable_pyalsaaudio_there_is_one_sentence(
    tmp_path: Path, version: str | None, sentence: str
):
    """A directory in front of the path stands for a system with an old library, or with none."""
    (tmp_path / "alsaaudio.py").write_text("" if version else "raise ImportError")
    if version:
        (tmp_path / f"pyalsaaudio-{version}.dist-info").mkdir()
        (tmp_path / f"pyalsaaudio-{version}.dist-info" / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: pyalsaaudio\nVersion: {version}\n"
        )
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from pivoice.audio.alsa import AlsaCapture; from pivoice.clock import SystemClock\n"
        "from pivoice.config import AudioConfig\n"
        "try: AlsaCapture('default', AudioConfig(), SystemClock())\n"
        "except Exception as error: print(error)"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)

    assert sentence in done.stdout, done.stderr


_OPEN_IN_VAIN = """
import sys, threading
from pivoice.audio.alsa import AlsaCapture, AlsaPlayback
from pivoice.clock import SystemClock
from pivoice.config import AudioConfig
from pivoice.errors import DeviceError
sys.setswitchinterval(1e-5)
def go(kind):
    for _ in range(1500):
        try:
            kind("x", AudioConfig(), SystemClock())
        except DeviceError:
            pass
threads = [threading.Thread(target=go, args=(kind,)) for kind in (AlsaCapture, AlsaPlayback)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""


def test_two_threads_that_open_in_vain_do_not_lock_each_other_out(tmp_path: Path) -> None:
    """libasound complains while it holds a lock of its own; a Python handler would let go of the GIL."""
    nowhere = tmp_path / "asound.conf"
    nowhere.write_text('pcm_type.nosuch { lib "libasound_module_pcm_nosuch.so" }\npcm.x { type nosuch }\n')
    environment = {**os.environ, "ALSA_CONFIG_PATH": f"/usr/share/alsa/alsa.conf:{nowhere}"}

    done = subprocess.run(
        [sys.executable, "-c", _OPEN_IN_VAIN], env=environment, capture_output=True, text=True, timeout=40
    )

    assert (done.returncode, done.stderr) == (0, "")


class StuckPcm:
    """A PCM whose driver does not come back from a read until it is let."""

    ALSAAudioError = OSError

    def __init__(self) -> None:
        self.is_inside, self.may_return = threading.Event(), threading.Event()
        self.calls: list[str] = []

    def read(self) -> tuple[int, bytes]:
        self.is_inside.set()
        self.may_return.wait(10)
        return 0, b""

    def drop(self) -> None:
        self.calls.append("drop")

    def close(self) -> None:
        self.calls.append("close")


def test_a_pcm_stuck_in_its_driver_is_closed_by_its_own_thread_when_it_returns(
    caplog: pytest.LogCaptureFixture,
):
    stuck = StuckPcm()
    opened = SimpleNamespace(pcm=stuck, library=stuck)
    pcm = alsa._AlsaPcm("hw:7", cast(alsa.Opened, opened), CLOCK)
    told: list[str] = []

    def read() -> None:
        try:
            pcm._ask("read from", "read")
        except DeviceError as error:
            told.append(str(error))

    reader = threading.Thread(target=read)
    reader.start()
    assert stuck.is_inside.wait(10)

    pcm.close()
    before = list(stuck.calls)
    stuck.may_return.set()
    reader.join(10)

    assert before == [], "it was freed under the driver's feet"
    assert stuck.calls == ["drop", "close"]
    assert told == ["cannot read from 'hw:7': it was closed meanwhile; it is tried again"]
    assert "'hw:7' is stuck in its driver" in caplog.text


class EmptyCard:
    """pyalsaaudio's PCM, of a card that says again and again that there is sound, and has none."""

    def __init__(self) -> None:
        self.inlet, self.outlet = os.pipe()
        os.write(self.outlet, b"x")  # poll() never waits
        self.is_closed = False

    def info(self) -> dict[str, object]:
        facts = {"rate": 48000, "channels": 1, "format_name": "S16_LE"}
        return {**facts, "period_size": 960, "buffer_size": 48000}

    def polldescriptors(self) -> list[tuple[int, int]]:
        return [(self.inlet, 1)]

    def polldescriptors_revents(self, found: object) -> int:
        return 1

    def read(self) -> tuple[int, bytes]:
        return 0, b""

    def drop(self) -> None: ...

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            os.close(self.inlet)
            os.close(self.outlet)


def test_a_card_that_promises_sound_and_has_none_is_given_up(monkeypatch: pytest.MonkeyPatch):
    card = EmptyCard()
    library = SimpleNamespace(ALSAAudioError=OSError, PCM_CAPTURE=1)
    monkeypatch.setattr(alsa, "_library", lambda *_: library)
    monkeypatch.setattr(alsa.Negotiation, "open", lambda _: Opened(card, library))
    ticks = itertools.count()
    waits: list[float] = []
    clock = SimpleNamespace(monotonic=lambda: 0.01 * next(ticks), wait=lambda _, for_s: waits.append(for_s))
    pcm = AlsaCapture("empty", AudioConfig(), cast(Clock, clock))

    with pytest.raises(DeviceError, match="no sound for 2 s"):
        pcm.read()

    assert len(waits) > 10, "it turned as fast as the processor can"
    pcm.close()
    assert card.is_closed
