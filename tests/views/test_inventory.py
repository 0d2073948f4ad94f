"""What `pivoice devices` knows of the cards, and says of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pivoice.audio.abilities import Abilities
from pivoice.audio.ports import Side
from pivoice.config import AudioConfig
from pivoice.errors import DeviceError
from pivoice.views.devices import as_json, candidates_for, listed
from pivoice.views.inventory import Inventory, Machine, Row, take_stock
from tests.support.sound_tree import SoundTree, sound_tree

CAN = Abilities((48_000,), ("S16_LE",), (1,))
MINE = "plughw:CARD=Device,DEV=0"
ARRAY = "plughw:CARD=ArrayUAC10,DEV=0"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoundTree:
    return sound_tree(tmp_path, monkeypatch)


def machine(tree: SoundTree, opened: list[str] | None = None, refusal: DeviceError | None = None) -> Machine:
    """Return a machine whose cards can be asked; `opened` gets the names of those that were."""

    def ask(pcm: str, side: Side) -> Abilities:
        if opened is not None:
            opened.append(f"{side} {pcm}")
        if refusal:
            raise refusal
        return CAN

    return Machine(tree.proc, tree.etc, tree.dev, ask)


def stock(tree: SoundTree, capture: str = MINE, playback: str = "default", **status: object) -> Inventory:
    return take_stock(AudioConfig(capture=capture, playback=playback), status, machine(tree))


def row(inventory: Inventory, pcm: str, side: Side = "capture") -> Row:
    (found,) = [each for each in inventory.of(side) if each.port.pcm == pcm]
    return found


@pytest.mark.parametrize("capture", [MINE, "hw:1,0", "plughw:Device", "sysdefault:CARD=Device"])
def test_the_configured_card_is_marked_however_it_is_spelled(tree: SoundTree, capture: str):
    inventory = stock(tree, capture)

    assert [each.port.pcm for each in inventory.of("capture") if each.is_configured] == [MINE]
    assert [each.port.card.id for each in inventory.of("playback") if each.is_configured] == ["Headphones"]
    assert not inventory.missing


def test_every_free_card_is_asked_by_its_bare_name(tree: SoundTree):
    opened: list[str] = []

    inventory = take_stock(AudioConfig(), {}, machine(tree, opened))

    assert sorted(opened) == [
        "capture hw:CARD=ArrayUAC10,DEV=0",
        "capture hw:CARD=Device,DEV=0",
        "playback hw:CARD=ArrayUAC10,DEV=0",
        "playback hw:CARD=Device,DEV=0",
        "playback hw:CARD=Headphones,DEV=0",
    ]
    assert all(each.abilities == CAN and each.is_free for each in inventory.rows)


def test_a_card_in_use_is_never_opened_and_its_user_named(tree: SoundTree):
    opened: list[str] = []
    tree.hold("card10/pcm0c/sub0", "/usr/bin/pulseaudio")

    inventory = take_stock(AudioConfig(), {}, machine(tree, opened))

    array = row(inventory, ARRAY)
    assert "capture hw:CARD=ArrayUAC10,DEV=0" not in opened
    assert array.use == (
        "in use by pulseaudio (pid 700), the sound server of a login session (S16_LE, 48000 Hz, 1 channel)"
    )
    assert array.abilities == Abilities((16_000, 48_000), ("S16_LE", "S24_3LE"), (1, 6))  # the kernel's word
    assert not array.is_free


def test_what_pivoice_listens_on_is_its_own_and_is_not_opened(tree: SoundTree):
    opened: list[str] = []
    tree.hold("card1/pcm0c/sub0", "/opt/pivoice/bin/python3", "-m", "pivoice", "run")
    status = {"capture": {"device": "hw:1", "is_open": True}, "playback": {"device": MINE, "is_open": False}}

    inventory = take_stock(AudioConfig(capture="hw:1"), status, machine(tree, opened))

    assert row(inventory, MINE).use == "pivoice is listening on it (S16_LE, 48000 Hz, 1 channel)"
    assert not row(inventory, MINE, "playback").use
    assert "capture hw:CARD=Device,DEV=0" not in opened


def test_a_card_with_room_for_more_is_free_while_somebody_plays(tree: SoundTree):
    tree.hold("card0/pcm0p/sub0", "/usr/bin/aplay")

    headphones = row(stock(tree), "plughw:CARD=Headphones,DEV=0", "playback")

    assert headphones.is_free
    assert headphones.use.startswith("in use by aplay (pid 700)")


def test_a_card_that_refuses_says_why_and_the_rest_is_listed(tree: SoundTree):
    refusal = DeviceError("hw:CARD=X", doing="open capture", reason="busy", advice="stop it")

    inventory = take_stock(AudioConfig(), {}, machine(tree, refusal=refusal))

    assert len(inventory.rows) == 5
    assert {each.trouble for each in inventory.rows} == {"busy; stop it"}


def test_who_may_not_open_cards_is_told_which_group_may(tree: SoundTree, monkeypatch: pytest.MonkeyPatch):
    opened: list[str] = []
    monkeypatch.setattr("os.access", lambda *_: False)
    monkeypatch.setattr("getpass.getuser", lambda: "pi")

    inventory = take_stock(AudioConfig(), {}, machine(tree, opened))

    assert opened == []
    assert row(inventory, MINE).trouble == (
        "you may not open it; sudo usermod -aG audio pi, and log in again, or use sudo"
    )


def test_a_machine_without_device_nodes_says_so(tree: SoundTree):
    (tree.dev / "pcmC1D0c").unlink()

    assert "pass /dev/snd through" in row(stock(tree), MINE).trouble


@pytest.mark.parametrize(
    ("capture", "why"),
    [
        ("plughw:CARD=Gone,DEV=0", "there is no such card now"),
        ("hw:7", "there is no such card now"),
        ("default", "that is the card Headphones, which has no such microphone"),
        ("hw:1,5", "that is the card Device, which has no such microphone"),
        ("mic_of_mine", "ALSA's configuration has to say what that is"),
        ("simulated:x.wav", "it is simulated: no card"),
    ],
)
def test_a_configured_card_that_is_not_there_is_explained(tree: SoundTree, capture: str, why: str):
    inventory = stock(tree, capture)

    assert inventory.missing["capture"].startswith(why)
    assert any(
        line.startswith(f'! audio.capture = "{capture}": {why}') for line in listed(inventory, {}, "p.toml")
    )


def test_a_sound_servers_default_is_named(tree: SoundTree):
    tree.write("etc/alsa/conf.d/99-pipewire-default.conf", "pcm.!default { type pipewire }")

    configured, other = stock(tree, "default", "default"), stock(tree, MINE, MINE)

    assert configured.missing["capture"].startswith("that is PipeWire's (")
    assert any('"default" is PipeWire\'s' in line for line in listed(other, {}, "p.toml"))


def test_the_list_says_what_to_write_what_it_can_and_what_is_configured(tree: SoundTree):
    tree.hold("card10/pcm0c/sub0", "/usr/bin/arecord")

    lines = listed(stock(tree), {}, "/etc/pivoice/pivoice.toml")

    assert lines == [
        "microphones, for audio.capture:",
        "* plughw:CARD=Device,DEV=0  USB PnP Sound Device",
        "    48 kHz; S16_LE; 1 channel",
        "  plughw:CARD=ArrayUAC10,DEV=0  ReSpeaker 4 Mic Array (UAC1.0)",
        "    16, 48 kHz; S16_LE, S24_3LE; 1 or 6 channels; cancels its own echo",
        "    in use by arecord (pid 700) (S16_LE, 48000 Hz, 1 channel)",
        "speakers, for audio.playback:",
        "* plughw:CARD=Headphones,DEV=0  bcm2835 Headphones",
        "    48 kHz; S16_LE; 1 channel",
        "  plughw:CARD=Device,DEV=0  USB PnP Sound Device",
        "    48 kHz; S16_LE; 1 channel",
        "  plughw:CARD=ArrayUAC10,DEV=0  ReSpeaker 4 Mic Array (UAC1.0)",
        "    48 kHz; S16_LE; 1 channel; cancels its own echo",
        "",
        "* what /etc/pivoice/pivoice.toml has now",
    ]


def test_a_machine_without_cards_says_what_to_do(tree: SoundTree):
    nothing = replace(machine(tree), proc=tree.root / "none")

    inventory = take_stock(AudioConfig(), {}, nothing)

    text = "\n".join(listed(inventory, {}, "p.toml"))
    assert inventory.rows == ()
    assert "the kernel has no sound card" in text
    assert "install --i2s" in text


def test_a_name_out_of_a_plug_cannot_move_the_terminal(tree: SoundTree):
    cards = (tree.proc / "cards").read_text().replace("USB PnP Sound Device", "USB \x1b[2J\x07Evil")
    tree.write("proc/asound/cards", cards)
    tree.hold("card10/pcm0c/sub0", "/tmp/\x1b[31mred")

    inventory = stock(tree)

    assert all(line.isprintable() for line in listed(inventory, {}, "p.toml"))


def test_the_same_is_there_for_programs(tree: SoundTree):
    tree.hold("card10/pcm0c/sub0", "/usr/bin/arecord")

    found = json.loads(json.dumps(as_json(stock(tree, "hw:1", "hw:9"))))

    assert [each["pcm"] for each in found["microphones"]] == [MINE, ARRAY]
    assert found["microphones"][0] == {
        "pcm": MINE,
        "name": "USB PnP Sound Device",
        "card": "Device",
        "device": 0,
        "abilities": {"rates_hz": [48_000], "encodings": ["S16_LE"], "channels": [1]},
        "is_configured": True,
        "is_free": True,
        "is_ours": False,
        "used_by": [],
        "cancels_echo": False,
        "trouble": "",
    }
    assert found["microphones"][1]["used_by"][0]["program"] == "arecord"
    assert found["configured"] == {"capture": "hw:1", "playback": "hw:9"}
    assert list(found["missing"]) == ["playback"]


def test_listening_takes_every_microphone_but_those_of_others(tree: SoundTree):
    tree.hold("card10/pcm0c/sub0", "/usr/bin/arecord")

    found = candidates_for([], stock(tree), machine(tree), ours=("", "x.sock"))

    assert [(each.pcm, each.socket, bool(each.trouble)) for each in found] == [
        (MINE, "", False),
        (ARRAY, "", True),
    ]


def test_listening_asks_pivoice_about_its_own_microphone(tree: SoundTree):
    tree.hold("card1/pcm0c/sub0", "/opt/pivoice/bin/python3", "-m", "pivoice", "run")
    status = {"capture": {"device": MINE, "is_open": True}}
    inventory = take_stock(AudioConfig(capture=MINE), status, machine(tree))

    found = candidates_for([], inventory, machine(tree), ours=(MINE, "x.sock"))
    named = candidates_for(["hw:1", "mine"], inventory, machine(tree), ours=(MINE, "x.sock"))
    other = candidates_for([], stock(tree, "mine"), machine(tree), ours=("mine", "x.sock"))

    assert [(each.pcm, each.socket) for each in found] == [(MINE, "x.sock"), (ARRAY, "")]
    assert [(each.pcm, each.socket) for each in named] == [("hw:1", "x.sock"), ("mine", "")]
    assert (other[-1].pcm, other[-1].socket) == ("mine", "x.sock")
