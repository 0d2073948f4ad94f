"""Which of a card's own controls are off."""

from __future__ import annotations

import pytest

from pivoice.checks.mixer import muted, turn_up
from tests.checks.pi import FakePi

USB = """Simple mixer control 'Speaker',0
  Capabilities: pvolume pswitch pswitch-joined
  Playback channels: Front Left - Front Right
  Limits: Playback 0 - 37
  Mono:
  Front Left: Playback 20 [54%] [-17.00dB] {speaker}
  Front Right: Playback 20 [54%] [-17.00dB] {speaker}
Simple mixer control 'Mic',0
  Capabilities: pvolume cvolume pswitch cswitch
  Playback channels: Mono
  Capture channels: Mono
  Limits: Playback 0 - 31 Capture 0 - 35
  Mono: Playback 16 [52%] [7.00dB] [off] Capture {microphone}
Simple mixer control 'Auto Gain Control',0
  Capabilities: pswitch pswitch-joined
  Playback channels: Mono
  Mono: Playback [off]
"""
CODEC = """Simple mixer control 'Speaker',0
  Front Left: Playback 109 [86%] [-12.00dB]
Simple mixer control 'Headphone',0
  Front Left: Playback 0 [0%] [-99999.99dB]
Simple mixer control 'Playback',0
  Front Left: Playback {digital} [-127.50dB]
"""


@pytest.mark.parametrize(
    ("side", "speaker", "microphone", "off"),
    [
        ("playback", "[on]", "0 [0%] [-10.00dB] [on]", []),
        ("playback", "[off]", "20 [57%] [10.00dB] [on]", ["Speaker"]),
        ("capture", "[off]", "20 [57%] [10.00dB] [on]", []),
        ("capture", "[on]", "20 [57%] [10.00dB] [off]", ["Mic"]),
        ("capture", "[on]", "0 [0%] [-10.00dB] [on]", ["Mic"]),
    ],
)
def test_a_usb_cards_controls_are_read_for_the_side_that_is_asked_about(
    pi: FakePi, side: str, speaker: str, microphone: str, off: list[str]
):
    pi.says("amixer -c Device scontents", USB.format(speaker=speaker, microphone=microphone))

    assert muted(pi.machine, "Device", side) == off


def test_of_sockets_beside_each_other_one_is_enough_and_of_those_in_a_row_each_counts(pi: FakePi):
    pi.says("amixer -c wm scontents", CODEC.format(digital="255 [100%]"))
    assert muted(pi.machine, "wm", "playback") == []

    pi.says("amixer -c wm scontents", CODEC.format(digital="0 [0%]"))
    assert muted(pi.machine, "wm", "playback") == ["Playback"]


def test_without_amixer_nothing_is_claimed(pi: FakePi):
    assert muted(pi.machine, "Device", "playback") == []


def test_the_commands_that_switch_it_on_are_named():
    assert turn_up("Device", "capture", ["Mic"]) == "amixer -c Device sset 'Mic' 80% cap"
