"""What a card can do: as it says itself, or as the kernel knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from pivoice.audio.abilities import Abilities, asked, told
from pivoice.audio.ports import Port, ports
from pivoice.errors import DeviceError
from tests.support.bed import Bed, Card
from tests.support.sound_tree import SoundTree, sound_tree


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoundTree:
    return sound_tree(tmp_path, monkeypatch)


def port(tree: SoundTree, card: str, side: str) -> Port:
    (found,) = [each for each in ports(proc=tree.proc) if (each.card.id, each.side) == (card, side)]
    return found


def test_a_card_tells_what_it_can_do():
    with Bed(mic=Card(16_000, 6, "S32_LE"), speaker=Card(44_100, 2)):
        microphone, speaker = asked("bed_mic_card", "capture"), asked("bed_speaker_card", "playback")

    assert microphone == Abilities((16_000,), ("S32_LE",), (6,))
    assert speaker == Abilities((44_100,), ("S16_LE",), (2,))


def test_a_card_that_takes_everything_is_told_in_a_few_words(bed: Bed):
    everything = asked("bed_mic", "capture")

    assert {16_000, 48_000} <= set(everything.rates_hz) <= set(range(4_000, 200_000))
    assert max(everything.channels) == 32


def test_a_card_that_is_busy_says_so(bed: Bed):
    bed.make_busy("mic")

    with pytest.raises(DeviceError, match="busy"):
        asked("bed_mic_card", "capture")


def test_a_usb_card_in_use_is_known_to_the_kernel(tree: SoundTree):
    microphone = told(port(tree, "ArrayUAC10", "capture"), proc=tree.proc)
    speaker = told(port(tree, "ArrayUAC10", "playback"), proc=tree.proc)

    assert microphone == Abilities((16_000, 48_000), ("S16_LE", "S24_3LE"), (1, 6))
    assert speaker == Abilities(
        (8000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000), ("S16_LE",), (2,)
    )


@pytest.mark.parametrize(
    "text", ["", "Capture:\n", "Capture:\n  Format: S16_LE\n", "Playback:\n" * 3, "\0\xff"]
)
def test_a_kernel_that_tells_little_tells_nothing(tree: SoundTree, text: str):
    tree.write("proc/asound/card10/stream0", text)

    assert told(port(tree, "ArrayUAC10", "capture"), proc=tree.proc) is None


def test_another_card_is_not_told_of(tree: SoundTree):
    assert told(port(tree, "Headphones", "playback"), proc=tree.proc) is None


@pytest.mark.parametrize(
    ("abilities", "words"),
    [
        (Abilities((16_000,), ("S16_LE",), (1,)), "16 kHz; S16_LE; 1 channel"),
        (
            Abilities((44_100, 48_000), ("S16_LE", "S32_LE"), (1, 2)),
            "44.1, 48 kHz; S16_LE, S32_LE; 1 or 2 channels",
        ),
        (Abilities((48_000,), ("S32_LE",), (2, 3, 4, 5, 6, 7, 8)), "48 kHz; S32_LE; 2 to 8 channels"),
        (Abilities((48_000,), ("S32_LE",), (1, 6)), "48 kHz; S32_LE; 1 or 6 channels"),
    ],
)
def test_abilities_read_like_a_data_sheet(abilities: Abilities, words: str):
    assert str(abilities) == words
