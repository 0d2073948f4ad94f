"""Which cards there are, which are missing, and who may use them."""

from __future__ import annotations

import os

import pytest

from pivoice import boards
from pivoice.checks import cards
from pivoice.findings import Finding
from tests.checks.pi import NOW_S, FakePi, only, told

USB = '[audio]\ncapture = "plughw:CARD=Device,DEV=0"\nplayback = "plughw:CARD=Device,DEV=0"\n'
CONFIG = "/boot/firmware/config.txt"


def faults(found: list[Finding]) -> dict[str, Finding]:
    return {each.check: each for each in found if each.verdict != "ok"}


def boot_config(pi: FakePi, text: str, *, age_s: float = 1e6) -> None:
    path = pi.write(CONFIG, text)
    os.utime(path, (NOW_S - age_s, NOW_S - age_s))


def test_cards_that_are_there_are_listed_with_what_they_can(pi: FakePi):
    pi.card(0, "vc4hdmi", "vc4-hdmi", sides="p")
    pi.card(1, "Device", "USB PnP Sound Device")

    found = only(cards.cards, pi.patient(USB))

    assert found.verdict == "ok"
    assert "Device (microphone, speaker: USB PnP Sound Device)" in found.text
    assert "vc4hdmi (speaker: vc4-hdmi)" in found.text


def test_a_card_that_is_not_there_is_told_for_each_side_with_what_is_like_it(pi: FakePi):
    pi.card(1, "Device_1")

    patient = pi.patient(USB)
    found = faults(told(cards.cards, patient))

    assert patient.absent == {"microphone", "speaker"}
    for side, setting in (("microphone", "audio.capture"), ("speaker", "audio.playback")):
        assert found[side].verdict == "fail" and "no card 'Device' is there" in found[side].text
        assert "did you mean plughw:CARD=Device_1,DEV=0?" in found[side].next and setting in found[side].next


def test_a_number_in_the_place_of_a_name_is_warned_of_with_the_name(pi: FakePi):
    pi.card(1, "Device")

    found = faults(told(cards.cards, pi.patient('[audio]\ncapture = "plughw:1,0"')))

    assert found["microphone"].verdict == "warn"
    assert 'audio.capture = "plughw:CARD=Device,DEV=0"' in found["microphone"].next


def test_without_any_card_a_pi_is_told_of_overlays(pi: FakePi):
    found = only(cards.cards, pi.patient())

    assert found.verdict == "warn" and "install --i2s NAME (googlevoicehat" in found.next


def test_a_card_whose_overlay_is_missing_is_told_with_what_adds_it(pi: FakePi):
    boot_config(pi, "dtparam=audio=on\n#dtoverlay=googlevoicehat-soundcard\n")

    found = faults(told(cards.cards, pi.patient('[audio]\ncapture = "plughw:CARD=sndrpigooglevoi,DEV=0"')))

    assert "overlay googlevoicehat-soundcard is not in the boot configuration" in found["microphone"].text
    assert found["microphone"].next.startswith("sudo ./scripts/install --i2s googlevoicehat")


@pytest.mark.parametrize(
    ("overlay", "age_s", "verdict", "todo"),
    [
        ("googlevoicehat-soundcard", 1e6, "fail", "dmesg"),
        ("googlevoicehat-soundcard", 10.0, "warn", "sudo reboot"),
        ("seeed-4mic-voicecard", 1e6, "fail", "built again for each new kernel"),
    ],
)
def test_an_overlay_without_its_card_says_why_that_may_be(
    pi: FakePi, overlay: str, age_s: float, verdict: str, todo: str
):
    boot_config(pi, f"dtoverlay={overlay}\n", age_s=age_s)
    pi.card(0, "Device")

    found = faults(told(cards.cards, pi.patient(USB)))["I2S"]

    assert found.verdict == verdict and overlay in found.text and todo in found.next


def test_an_overlay_whose_card_is_there_is_no_fault(pi: FakePi):
    boot_config(pi, "dtoverlay=googlevoicehat-soundcard\n")
    pi.card(0, "sndrpigooglevoi")

    patient = pi.patient('[audio]\ncapture = "plughw:CARD=sndrpigooglevoi"\nplayback = "default"')
    assert not faults(told(cards.cards, patient))
    assert cards.configured_board(pi.machine) == boards.find("googlevoicehat")


def test_two_boards_on_the_one_bus_are_told(pi: FakePi):
    boot_config(pi, "dtoverlay=googlevoicehat-soundcard\ndtoverlay=max98357a,no-sdmode\n")
    pi.card(0, "sndrpigooglevoi")
    pi.card(1, "MAX98357A")

    assert "one I2S bus" in faults(told(cards.cards, pi.patient()))["I2S"].text


def test_a_sound_server_that_has_a_card_open_is_told(pi: FakePi):
    pi.card(1, "Device")
    pi.write("/proc/asound/card1/pcm0c/sub0/status", "state: RUNNING\nowner_pid   : 812\n")
    pi.write("/proc/812/comm", "pipewire\n")

    found = faults(told(cards.cards, pi.patient(USB)))["sound server"]

    assert found.verdict == "warn"
    assert found.text == "pipewire (pid 812) has the card of the microphone open"


def test_a_service_in_its_groups_is_well(pi: FakePi):
    pi.serves()

    assert only(cards.permissions, pi.patient()).text == "pivoice is in audio, gpio, spi"


def test_groups_that_the_service_lacks_are_told_with_the_command(pi: FakePi):
    pi.serves()
    pi.says("id -nG pivoice", "pivoice spi")

    found = only(cards.permissions, pi.patient())

    assert found.verdict == "fail" and "is not in audio and gpio" in found.text
    assert found.next == "sudo usermod -aG audio,gpio pivoice && sudo systemctl restart pivoice"


def test_a_group_that_the_unit_adds_is_not_missed(pi: FakePi):
    pi.serves(SupplementaryGroups="audio gpio")
    pi.says("id -nG pivoice", "pivoice")

    assert only(cards.permissions, pi.patient()).verdict == "ok"


def test_a_group_without_use_here_is_not_asked_for(pi: FakePi):
    pi.serves()
    pi.says("id -nG pivoice", "pivoice audio")

    assert only(cards.permissions, pi.patient('[panel]\ndriver = "none"')).verdict == "ok"


def test_a_service_that_was_started_before_it_got_the_group_is_to_be_restarted(pi: FakePi):
    pi.serves(MainPID="77")
    pi.write("/proc/77/status", "Name:\tpivoice\nGid:\t989\t989\t989\t989\nGroups:\t997 \n")

    found = only(cards.permissions, pi.patient())

    assert found.verdict == "fail" and "before pivoice came into audio" in found.text
    assert found.next == "sudo systemctl restart pivoice"


@pytest.mark.parametrize("user", ["", "root", "pivoice"])
def test_cards_that_are_open_to_whoever_runs_it_by_hand_are_told_so(pi: FakePi, user: str):
    pi.is_root = False
    pi.write("/dev/snd/pcmC0D0c", "")
    if user:
        pi.serves(User=user)

    texts = [each.text for each in told(cards.permissions, pi.patient())]

    assert texts == [
        "pivoice is in audio, gpio, spi" if user == "pivoice" else "the sound cards are open to you"
    ]


def test_a_user_that_is_gone_is_told(pi: FakePi):
    pi.serves(User="nobody-here")
    pi.says("id -nG nobody-here", code=1)

    assert only(cards.permissions, pi.patient()).verdict == "fail"
