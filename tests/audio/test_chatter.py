"""What libasound prints is taken, told at DEBUG, and never in the journal's way."""

from __future__ import annotations

import ctypes
import gc
import logging
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pivoice.audio import chatter
from pivoice.audio.alsa import AlsaCapture
from pivoice.clock import SystemClock
from pivoice.config import AudioConfig
from pivoice.errors import DeviceError
from tests.support.bed import Bed


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def c_print(text: str) -> None:
    """Print as the C code of a plug-in does."""
    libc = ctypes.CDLL(None)
    libc.fputs(text.encode(), ctypes.c_void_p(ctypes.c_void_p.in_dll(libc, "stderr").value))


def test_the_reason_of_a_failed_open_is_told_at_debug_and_kept_with_the_error(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
):
    with caplog.at_level(logging.DEBUG), pytest.raises(DeviceError) as caught:
        AlsaCapture("nonsense", AudioConfig(), SystemClock())

    lines = [each.getMessage() for each in caplog.records if each.name == "pivoice.audio.chatter"]
    assert any("Unknown PCM nonsense" in line for line in lines)
    assert all(line.startswith("~ ALSA lib") for line in lines)
    assert any("Unknown PCM nonsense" in note for note in caught.value.__notes__)
    assert capfd.readouterr().err == ""


def test_what_a_plug_in_prints_meanwhile_is_taken_and_what_it_prints_otherwise_is_not(
    capfd: pytest.CaptureFixture[str],
):
    with chatter.captured() as lines:
        c_print("jack server is not running\n\nor cannot be started\n")
    c_print("afterwards\n")

    assert lines == ["jack server is not running", "or cannot be started"]
    assert capfd.readouterr().err == "afterwards\n"


def test_a_plug_in_that_prints_without_end_neither_blocks_nor_floods():
    with chatter.captured() as lines:
        for number in range(3000):  # three times what a pipe holds
            c_print(f"line {number}{64 * '.'}\n")
    with chatter.captured() as again:
        c_print("the next open\n")

    assert len(lines) == chatter.MAX_LINES + 1
    assert lines[0].startswith("line 0.") and lines[-1].endswith(" more")
    assert len(again) <= chatter.MAX_LINES + 1


def test_python_and_a_dying_process_are_still_heard():
    program = (
        "import faulthandler, os, sys; faulthandler.enable()\n"
        "from pivoice.audio import chatter\n"
        "with chatter.captured():\n"
        "    print('python', file=sys.stderr)\n"
        "    os.abort()\n"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)

    assert "python" in done.stderr and "Fatal Python error: Aborted" in done.stderr


def test_nothing_is_left_open_after_many_failed_opens():
    def fail() -> None:
        with pytest.raises(DeviceError):
            AlsaCapture("nonsense", AudioConfig(), SystemClock())

    fail()
    before = open_files()

    for _ in range(50):
        fail()

    assert open_files() == before


def test_a_card_that_is_missing_for_a_year_costs_no_memory(bed: Bed):
    bed.unplug("mic")

    def fail() -> None:
        with pytest.raises(DeviceError):
            AlsaCapture("plughw:CARD=bed,DEV=0", AudioConfig(), SystemClock())

    for _ in range(20):
        fail()
    gc.collect()
    before = sys.getallocatedblocks()

    for _ in range(300):
        fail()

    gc.collect()
    assert sys.getallocatedblocks() - before < 100


def test_a_pcm_that_hangs_as_it_opens_does_not_keep_another_from_opening(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(chatter, "_PATIENCE_S", 0.05)
    is_inside, may_end = threading.Event(), threading.Event()

    def hang() -> None:
        with chatter.captured():
            is_inside.set()
            may_end.wait(10)

    hanging = threading.Thread(target=hang)
    hanging.start()
    assert is_inside.wait(10)

    pcm = AlsaCapture("bed_mic", AudioConfig(), SystemClock())

    assert len(pcm.read()) == 960
    pcm.close()
    may_end.set()
    hanging.join(10)


def test_two_threads_that_begin_at_once_share_one_ear(monkeypatch: pytest.MonkeyPatch):
    made: list[object] = []
    both = threading.Barrier(2)

    class SlowEar(chatter._Ear):
        def __init__(self) -> None:
            made.append(self)
            threading.Event().wait(0.05)  # for as long as it takes to load libasound

    monkeypatch.setattr(chatter, "_Ear", SlowEar)
    chatter._made.cache_clear()

    def begin() -> None:
        both.wait(5)
        chatter._ear()

    threads = [threading.Thread(target=begin) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(5)
    chatter._made.cache_clear()

    assert len(made) == 1
