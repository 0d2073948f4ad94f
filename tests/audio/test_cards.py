"""Which card a PCM's name leads to, and which cards cancel by themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from pivoice.audio.cards import Card, cancels_itself, card_of

CARDS = """\
 0 [Headphones     ]: bcm2835_headpho - bcm2835 Headphones
                      bcm2835 Headphones
 1 [USB            ]: USB-Audio - Jabra SPEAK 510 USB
                      Jabra SPEAK 510 USB at usb-xhci-hcd.0-1, full speed
10 [ArrayUAC10     ]: USB-Audio - ReSpeaker 4 Mic Array (UAC1.0)
                      SEEED ReSpeaker 4 Mic Array (UAC1.0) at usb-0000:01:00.0-1.2, full speed
"""
JABRA = Card("USB", "Jabra SPEAK 510 USB")
FIRST = Card("Headphones", "bcm2835 Headphones")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Return a machine with these cards, and without any configuration of ALSA's."""
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cards").write_text(CARDS)
    (tmp_path / "etc/alsa/conf.d").mkdir(parents=True)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("ALSA_CONFIG_PATH", "ALSA_CONFIG_DIR", "ALSA_CARD", "ALSA_PCM_CARD"):
        monkeypatch.delenv(name, raising=False)
    return {"proc": tmp_path / "proc", "etc": tmp_path / "etc"}


@pytest.mark.parametrize(
    "pcm",
    [
        "plughw:CARD=USB,DEV=0",
        "hw:CARD=1",
        "sysdefault:CARD=USB",
        "front:DEV=0,CARD=USB",
        "dsnoop:CARD=USB",
        "something_of_their_own:CARD=USB",
        'plughw:CARD="USB",DEV=0',
        "hw:1,0",
        "plughw:USB,0",
        "plughw:1",
        "default:CARD=USB",
    ],
)
def test_every_way_to_name_a_card_leads_to_it(pcm: str, machine: dict[str, Path]):
    assert card_of(pcm, **machine) == JABRA


def test_a_card_is_found_by_a_number_of_two_digits(machine: dict[str, Path]):
    assert card_of("hw:10,0", **machine) == Card("ArrayUAC10", "ReSpeaker 4 Mic Array (UAC1.0)")


@pytest.mark.parametrize("pcm", ["default", "sysdefault", "plughw", "plughw:DEV=0"])
def test_without_a_name_it_is_the_first_card(pcm: str, machine: dict[str, Path]):
    assert card_of(pcm, **machine) == FIRST


@pytest.mark.parametrize(
    "pcm",
    ["simulated:CARD=USB", "mic", "hw:CARD=Gone", "hw:7,0", "bluealsa:DEV=00:11:22:33:44:55", "pulse", ""],
)
def test_what_is_no_card_that_is_there_leads_to_none(pcm: str, machine: dict[str, Path]):
    assert card_of(pcm, **machine) is None


def test_without_sound_in_the_kernel_there_is_no_card(machine: dict[str, Path], tmp_path: Path):
    assert card_of("hw:0,0", **{**machine, "proc": tmp_path / "none"}) is None


@pytest.mark.parametrize(
    "path",
    ["etc/asound.conf", "home/.asoundrc", "home/.config/alsa/asoundrc", "etc/alsa/conf.d/99-pipewire.conf"],
)
def test_a_default_that_may_be_another_is_no_card(path: str, machine: dict[str, Path], tmp_path: Path):
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text("pcm.!default { type pipewire }")

    assert card_of("default", **machine) is None
    assert card_of("default:CARD=USB", **machine) is None
    assert card_of("hw:CARD=USB", **machine) == JABRA


@pytest.mark.parametrize("name", ["ALSA_CONFIG_PATH", "ALSA_CARD"])
def test_a_default_named_by_the_environment_is_no_card(
    name: str, machine: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(name, "1")

    assert card_of("default", **machine) is None


@pytest.mark.parametrize(
    "text",
    [
        "pcm.!default { type pulse }",
        "defaults.pcm.card 1",
        "pcm.x { type hw }; defaults.pcm.!card = 1",
        '@hooks [ { func pulse_load_if_running files [ "/usr/share/alsa/pulse-alsa.conf" ] } ]',
    ],
)
def test_a_piece_of_configuration_may_change_the_default(text: str, machine: dict[str, Path]):
    (machine["etc"] / "alsa/conf.d/99-pulse.conf").write_text(text)

    assert card_of("default", **machine) is None


@pytest.mark.parametrize(
    "text",
    [
        'defaults.pcm.rate_converter "lavrate_higher"',
        # asks for it: 60-a52-encoder.conf, which comes with Debian's libasound2-plugins
        "@args.CARD {\n\tdefault {\n\t\t@func refer\n\t\tname defaults.pcm.card\n\t}\n}",
        "# pcm.!default { type pulse }\n#defaults.pcm.card 1",
    ],
)
def test_a_piece_of_configuration_about_something_else_leaves_the_default_alone(
    text: str, machine: dict[str, Path]
):
    (machine["etc"] / "alsa/conf.d/60-piece.conf").write_text(text)

    assert card_of("default", **machine) == FIRST


@pytest.mark.parametrize(
    "card",
    [
        JABRA,
        Card("USB_1", "Jabra SPEAK 510 USB"),  # the second of two
        Card("MS", "Jabra Speak2 40 MS"),
        Card("S330", "Anker PowerConf S330"),
        Card("PowerConf", "PowerConf"),
        Card("Plus", "EMEET OfficeCore M0 Plus"),
        Card("ArrayUAC10", "ReSpeaker 4 Mic Array (UAC1.0)"),
        Card("Array", "reSpeaker XVF3800 4-Mic Array"),
    ],
)
def test_a_known_speakerphone_cancels_its_own_echo(card: Card):
    assert cancels_itself(card, 0)


@pytest.mark.parametrize(
    "card",
    [
        Card("USB", "Plantronics .Audio 628 USB"),  # a headset of the same id
        Card("Device", "USB PnP Sound Device"),
        Card("Array", "Some Mic Array"),
        Card("J380", "Jabra Link 380"),
        FIRST,
    ],
)
def test_a_card_that_only_looks_like_one_does_not(card: Card):
    assert not cancels_itself(card, 0)


def test_the_bare_microphones_of_an_array_are_not_cancelled():
    array, newer = (
        Card("ArrayUAC10", "ReSpeaker 4 Mic Array (UAC1.0)"),
        Card("Array", "reSpeaker XVF3800 4-Mic Array"),
    )

    assert not cancels_itself(array, 1)
    assert cancels_itself(newer, 1)
    assert not cancels_itself(newer, 2)
