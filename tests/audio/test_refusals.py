"""Why a card does not open: one sentence, with the cause and the next step that fits this machine."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pivoice.audio.refusals import refused


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A kernel with an HDMI socket, a HAT with a microphone and a speaker, and a USB microphone in use."""
    place = tmp_path / "asound"
    files = {
        "cards": " 0 [vc4hdmi        ]: vc4-hdmi - vc4-hdmi\n                      vc4-hdmi\n"
        " 1 [seeed2micvoicec]: seeed2micvoicec - seeed2micvoicecard\n                      x\n"
        " 2 [Device         ]: USB-Audio - USB PnP Sound Device\n                      y\n",
        "pcm": "00-00: MAI PCM i2s-hifi-0 : MAI PCM i2s-hifi-0 : playback 1\n"
        "01-00: wm8960-hifi-0 : wm8960 : playback 1 : capture 1\n"
        "02-00: USB Audio : USB Audio : capture 1\n",
        "card2/pcm0c/sub0/status": "state: RUNNING\nowner_pid   : 612\ntrigger_time: 1.2\n",
        "card1/pcm0c/sub0/status": "closed\n",
    }
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    (tmp_path / "612").mkdir()
    (tmp_path / "612" / "cmdline").write_text("/usr/bin/pulseaudio\0--daemonize=no\0")
    return place


def sentence(name: str, side: str, number: int, proc: Path, chatter: tuple[str, ...] = ()) -> str:
    assert side == "capture" or side == "playback"
    return str(refused(name, side, os.strerror(number), chatter=chatter, proc=proc))


def test_a_host_that_is_down_is_explained_and_cards_that_are_there_are_named(proc: Path):
    told = sentence("default", "capture", errno.EHOSTDOWN, proc)

    assert told == (
        "cannot open capture 'default': it belongs to the sound server of a login session, which a system "
        'service has not; name the card itself: audio.capture = "plughw:CARD=seeed2micvoicec,DEV=0" '
        "(or plughw:CARD=Device,DEV=0); `pivoice devices` tells which is which"
    )


def test_the_cards_that_are_named_can_do_what_is_wanted(proc: Path):
    told = sentence("default", "playback", errno.ECONNREFUSED, proc)

    assert 'audio.playback = "plughw:CARD=vc4hdmi,DEV=0" (or plughw:CARD=seeed2micvoicec,DEV=0)' in told


def test_without_any_card_no_card_is_named(tmp_path: Path):
    assert "the kernel shows none now" in sentence("default", "capture", errno.EHOSTDOWN, tmp_path)


def test_a_machine_without_a_microphone_is_told_to_get_one_not_another_name(tmp_path: Path):
    told = sentence("default", "capture", errno.ENOENT, tmp_path)

    assert told == (
        "cannot open capture 'default': the kernel shows no microphone; plug one in (an I2S board needs its "
        "overlay: `pivoice doctor`); it is tried again"
    )


def test_where_the_first_card_is_no_microphone_the_others_are_named(proc: Path):
    told = sentence("default", "capture", errno.ENOENT, proc)

    assert "it leads to no microphone; name the card itself" in told
    assert 'audio.capture = "plughw:CARD=seeed2micvoicec,DEV=0"' in told


def test_a_busy_card_names_who_has_it_open(proc: Path):
    told = sentence("plughw:CARD=Device,DEV=0", "capture", errno.EBUSY, proc)

    assert told == (
        "cannot open capture 'plughw:CARD=Device,DEV=0': busy: pulseaudio (pid 612) has it open; "
        "stop that program, or set audio.capture"
    )


def test_a_program_that_a_service_may_not_look_at_is_named_by_somebody_who_may(proc: Path):
    (proc.parent / "612" / "cmdline").unlink()  # what ProtectProc=invisible leaves of other users' programs

    told = sentence("plughw:CARD=Device,DEV=0", "capture", errno.EBUSY, proc)

    assert told.endswith(
        "busy: a program (pid 612) has it open; stop that program (`sudo fuser -v /dev/snd/*` names it), "
        "or set audio.capture"
    )


def test_a_busy_card_that_nobody_seems_to_have_tells_how_to_look(proc: Path):
    told = sentence("plughw:CARD=seeed2micvoicec,DEV=0", "capture", errno.EBUSY, proc)

    assert "busy; stop the other program (fuser -v /dev/snd/*) or set audio.capture" in told


def test_we_ourselves_are_not_the_other_program(proc: Path):
    (proc / "card2/pcm0c/sub0/status").write_text(f"state: RUNNING\nowner_pid   : {os.getpid()}\n")

    assert "has it open" not in sentence("plughw:CARD=Device,DEV=0", "capture", errno.EBUSY, proc)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOENT, "there is no such PCM; `arecord -L` lists what there is; set audio.capture"),
        (errno.ENODEV, "the card is not there; check its cable"),
        (errno.EACCES, "permission denied; let the user pivoice runs as into group audio"),
        (errno.EIO, "input/output error; see `dmesg`"),
    ],
)
def test_every_cause_has_its_next_step(proc: Path, number: int, words: str):
    assert words in sentence("hw:CARD=x", "capture", number, proc)


def test_a_card_that_takes_no_parameters_is_not_told_to_use_the_name_it_has(proc: Path):
    assert "use its plughw: name" in sentence("hw:CARD=Device", "capture", errno.EINVAL, proc)
    assert "plughw: name" not in sentence("plughw:CARD=Device", "capture", errno.EINVAL, proc)


def test_what_nobody_foresaw_is_told_in_libasounds_own_words(proc: Path):
    error = refused(
        "x", "capture", "Strange thing", chatter=["ALSA lib a.c: b", "ALSA lib c.c: d"], proc=proc
    )

    assert "Strange thing: ALSA lib c.c: d" in str(error)
    assert error.__notes__ == ["ALSA lib a.c: b", "ALSA lib c.c: d"]
