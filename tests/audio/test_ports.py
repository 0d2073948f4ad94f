"""Which microphones and speakers there are, and who has them open."""

from __future__ import annotations

from pathlib import Path

import pytest

from pivoice.audio.cards import Card, default_owner
from pivoice.audio.ports import Holder, Port, holders_of, port_of, ports, program_of
from tests.support.sound_tree import SoundTree, sound_tree

DEVICE = Card("Device", "USB PnP Sound Device")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoundTree:
    return sound_tree(tmp_path, monkeypatch)


def port(tree: SoundTree, pcm: str, side: str = "capture") -> Port:
    (found,) = [each for each in ports(proc=tree.proc) if (each.pcm, each.side) == (pcm, side)]
    return found


def test_every_side_of_every_card_is_listed_by_its_stable_name(tree: SoundTree):
    found = [(each.pcm, each.side, each.card.name, each.node) for each in ports(proc=tree.proc)]

    array = "ReSpeaker 4 Mic Array (UAC1.0)"
    assert found == [
        ("plughw:CARD=Headphones,DEV=0", "playback", "bcm2835 Headphones", "pcmC0D0p"),
        ("plughw:CARD=Device,DEV=0", "playback", "USB PnP Sound Device", "pcmC1D0p"),
        ("plughw:CARD=Device,DEV=0", "capture", "USB PnP Sound Device", "pcmC1D0c"),
        ("plughw:CARD=ArrayUAC10,DEV=0", "playback", array, "pcmC10D0p"),
        ("plughw:CARD=ArrayUAC10,DEV=0", "capture", array, "pcmC10D0c"),
    ]


def test_a_device_with_colons_and_a_high_number_is_listed_too(tree: SoundTree):
    tree.write(
        "proc/asound/pcm", "01-12: HDMI : 3 : LG TV: left : playback 1\nrubbish\n99-00: x : capture 1\n"
    )

    assert [(each.pcm, each.name) for each in ports(proc=tree.proc)] == [
        ("plughw:CARD=Device,DEV=12", "LG TV: left")
    ]


def test_without_sound_in_the_kernel_there_is_no_port(tmp_path: Path):
    assert ports(proc=tmp_path / "none") == []


@pytest.mark.parametrize(
    "pcm",
    [
        "plughw:CARD=Device,DEV=0",
        "hw:1",
        "hw:1,0",
        "plughw:Device",
        "dsnoop:CARD=Device",
        "sysdefault:CARD=Device",
    ],
)
def test_every_way_to_name_a_microphone_leads_to_it(tree: SoundTree, pcm: str):
    assert port_of(pcm, "capture", **tree.places) == port(tree, "plughw:CARD=Device,DEV=0")


@pytest.mark.parametrize("pcm", ["hw:1,3", "plughw:CARD=Device,DEV=7", "default", "mine", "hw:CARD=Gone"])
def test_a_device_that_is_not_there_is_no_port(tree: SoundTree, pcm: str):
    assert port_of(pcm, "capture", **tree.places) is None


def test_default_is_the_first_cards_speaker(tree: SoundTree):
    assert port_of("default", "playback", **tree.places) == ports(proc=tree.proc)[0]


def test_who_has_a_card_open_is_known_with_what_they_set(tree: SoundTree):
    tree.hold("card1/pcm0c/sub0", "/usr/bin/arecord", "-D", "hw:1")

    holders = holders_of(port(tree, "plughw:CARD=Device,DEV=0"), proc=tree.proc)

    assert holders == [Holder(700, "arecord", "S16_LE, 48000 Hz, 1 channel")]
    assert str(holders[0]) == "arecord (pid 700)"
    assert holders_of(port(tree, "plughw:CARD=Device,DEV=0", "playback"), proc=tree.proc) == []


def test_a_card_that_is_open_and_not_set_up_is_held_too(tree: SoundTree):
    tree.hold("card1/pcm0c/sub0", "/usr/bin/arecord")
    tree.write("proc/asound/card1/pcm0c/sub0/hw_params", "no setup\n")

    assert holders_of(port(tree, "plughw:CARD=Device,DEV=0"), proc=tree.proc) == [Holder(700, "arecord")]


@pytest.mark.parametrize(
    ("words", "program"),
    [
        (["/opt/pivoice/.venv/bin/python3", "-m", "pivoice", "run"], "pivoice"),
        (["/opt/pivoice/bin/python3.11", "-I", "/opt/pivoice/bin/pivoice", "run"], "pivoice"),
        (["/usr/bin/pulseaudio", "--daemonize=no"], "pulseaudio"),
        (["python3"], "python3"),
        ([], "kthing"),
    ],
)
def test_a_program_is_called_what_people_call_it(tree: SoundTree, words: list[str], program: str):
    tree.hold("card1/pcm0c/sub0", *words)

    assert program_of(700, proc=tree.root / "proc") == program


def test_a_program_that_calls_itself_by_what_a_terminal_obeys_is_shown_without(tree: SoundTree):
    tree.hold("card1/pcm0c/sub0", "\x1b[2Jevil\nERROR pivoice: all is lost " + 200 * "x")

    name = program_of(700, proc=tree.root / "proc")

    assert name.isprintable() and name.startswith("?[2Jevil?ERROR") and len(name) == 60


def test_a_program_that_ended_meanwhile_is_still_somebody(tree: SoundTree):
    assert program_of(4_000_000, proc=tree.root / "proc") == "a program"


def test_who_owns_default_is_said(tree: SoundTree, monkeypatch: pytest.MonkeyPatch):
    first = default_owner(etc=tree.etc)
    tree.write("etc/alsa/conf.d/99-pipewire-default.conf", "pcm.!default { type pipewire }")
    second = default_owner(etc=tree.etc)
    tree.write("etc/asound.conf", "defaults.pcm.card 1")
    third = default_owner(etc=tree.etc)
    monkeypatch.setenv("ALSA_CARD", "1")

    assert first == ""
    assert second == f"PipeWire's ({tree.etc}/alsa/conf.d/99-pipewire-default.conf)"
    assert third == f"what {tree.etc}/asound.conf says"
    assert default_owner(etc=tree.etc) == "what ALSA_CARD in the environment says"
