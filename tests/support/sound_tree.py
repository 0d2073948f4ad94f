"""A machine's sound, as its kernel tells it: /proc/asound, /proc/<pid>, /dev/snd and /etc, in a directory.

Texts as a Raspberry Pi 4 with a USB microphone, a USB speakerphone and its own headphone jack shows them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

CARDS = """\
 0 [Headphones     ]: bcm2835_headpho - bcm2835 Headphones
                      bcm2835 Headphones
 1 [Device         ]: USB-Audio - USB PnP Sound Device
                      C-Media Electronics Inc. USB PnP Sound Device at usb-0000:01:00.0-1.3, full speed
10 [ArrayUAC10     ]: USB-Audio - ReSpeaker 4 Mic Array (UAC1.0)
                      SEEED ReSpeaker 4 Mic Array (UAC1.0) at usb-0000:01:00.0-1.2, full speed
"""
PCM = """\
00-00: bcm2835 Headphones : bcm2835 Headphones : playback 8
01-00: USB Audio : USB Audio : playback 1 : capture 1
10-00: USB Audio : USB Audio : playback 1 : capture 1
"""
STREAM = """\
SEEED ReSpeaker 4 Mic Array (UAC1.0) at usb-0000:01:00.0-1.2, full speed : USB Audio

Playback:
  Status: Stop
  Interface 1
    Altset 1
    Format: S16_LE
    Channels: 2
    Endpoint: 0x01 (1 OUT) (ADAPTIVE)
    Rates: 8000 - 48000 (continuous)
    Bits: 16

Capture:
  Status: Running
  Interface 2
    Altset 1
    Format: S16_LE
    Channels: 6
    Endpoint: 0x82 (2 IN) (ASYNC)
    Rates: 16000
    Bits: 16
  Interface 2
    Altset 2
    Format: S24_3LE
    Channels: 1
    Rates: 16000, 48000
"""
ENVIRONMENT = ("ALSA_CONFIG_PATH", "ALSA_CONFIG_DIR", "ALSA_CARD", "ALSA_PCM_CARD")


class SoundTree:
    """The directory. `places`: what the product's functions are given instead of the machine's own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.proc, self.etc, self.dev = root / "proc/asound", root / "etc", root / "dev/snd"
        self.write("proc/asound/cards", CARDS)
        self.write("proc/asound/pcm", PCM)
        self.write("proc/asound/card10/stream0", STREAM)
        (self.etc / "alsa/conf.d").mkdir(parents=True)
        (root / "home").mkdir()
        for place, subdevices in (
            ("card0/pcm0p", 8),
            ("card1/pcm0p", 1),
            ("card1/pcm0c", 1),
            ("card10/pcm0p", 1),
            ("card10/pcm0c", 1),
        ):
            for number in range(subdevices):
                self.write(f"proc/asound/{place}/sub{number}/status", "closed\n")
                self.write(f"proc/asound/{place}/sub{number}/hw_params", "closed\n")
        for node in ("pcmC0D0p", "pcmC1D0p", "pcmC1D0c", "pcmC10D0p", "pcmC10D0c", "controlC0"):
            self.write(f"dev/snd/{node}", "")

    @property
    def places(self) -> dict[str, Path]:
        return {"proc": self.proc, "etc": self.etc}

    def write(self, path: str, text: str) -> None:
        """Put a file there."""
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def hold(self, place: str, *words: str, thread: int = 712, process: int = 700) -> None:
        """Let the program started by `words` have `place` ("card1/pcm0c/sub0") open."""
        state = f"state: RUNNING\nowner_pid   : {thread}\ntrigger_time: 25.1\nhw_ptr      : 480\n"
        self.write(f"proc/asound/{place}/status", state)
        setting = (
            "access: RW_INTERLEAVED\nformat: S16_LE\nsubformat: STD\nchannels: 1\nrate: 48000 (48000/1)\n"
        )
        self.write(f"proc/asound/{place}/hw_params", setting)
        self.write(f"proc/{thread}/status", f"Name:\tcapture\nTgid:\t{process}\nPid:\t{thread}\n")
        self.write(f"proc/{process}/cmdline", "\0".join([*words, ""]) if words else "")
        self.write(f"proc/{process}/comm", "kthing\n")


def sound_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoundTree:
    """Return a machine of its own, without any configuration of ALSA's."""
    tree = SoundTree(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    return tree
