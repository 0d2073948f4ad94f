"""Which sound card a PCM's name leads to, and which cards cancel the echo of what they play by themselves.

Any thread; opens no card: reads what the kernel and ALSA's own files say, each time anew. A name that leads
to no card for certain leads to none: to cancel twice costs computing, to cancel not at all a conversation.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc/asound")


@dataclass(frozen=True)
class Card:
    """One sound card, as `arecord -l` shows it: `card 1: ID [NAME]`."""

    id: str
    name: str


class _Speakerphone(NamedTuple):
    id: str
    """ALSA's: the last word of the USB product's name; in front of a digit, the name's first letter."""
    word: str
    """Part of the card's name, lower case, because "USB" or "Plus" may be anybody's."""
    channels: frozenset[int] | None = None
    """Where its microphone is without the echo, from 0; None: in every channel."""


# As `arecord -l` and /proc/asound/cards showed them to their owners (read in 2026-11); a device that nobody
# was seen to list is not here: `audio.echo = "none"` is one line for its owner.
_SPEAKERPHONES = (
    _Speakerphone("USB", "jabra speak"),  # "Jabra SPEAK 410 USB", "... 510 USB" (alexylem/jarvis #245, #958)
    _Speakerphone("J710", "jabra speak"),  # "Jabra Speak 710"
    _Speakerphone("MS", "jabra speak"),  # "Jabra Speak2 40 MS"
    _Speakerphone("S330", "powerconf"),  # "Anker PowerConf S330", the usual choice for a voice satellite
    _Speakerphone("PowerConf", "powerconf"),  # "PowerConf", the first one (USB 291a:3301)
    _Speakerphone("Plus", "emeet officecore"),  # "EMEET OfficeCore M0 Plus"
    _Speakerphone("M0", "emeet"),  # "eMeet M0"
    # Arrays of microphones that cancel what is played by their own socket. With the firmware of six channels
    # the others are the bare microphones (respeaker/usb_4_mic_array; reSpeaker_XVF3800_USB_4MIC_ARRAY #22).
    _Speakerphone("ArrayUAC10", "respeaker", frozenset({0})),  # "ReSpeaker 4 Mic Array (UAC1.0)", the v2
    _Speakerphone("Array", "xvf3800", frozenset({0, 1})),  # "reSpeaker XVF3800 4-Mic Array"
)

# PCMs whose first argument is a card; any other may still say CARD=.
_OF_A_CARD = frozenset(
    (
        "hw",
        "plughw",
        "default",
        "sysdefault",
        "dmix",
        "dsnoop",
        "front",
        "rear",
        "iec958",
        "hdmi",
        "usbstream",
    )
)
_PCM = re.compile(r"(?P<pcm>\w+)(?::(?P<arguments>.*))?", re.DOTALL)
_LISTED = re.compile(r"^ *(?P<number>\d+) \[(?P<id>\S+) *\]: .*? - (?P<name>.*?) *$", re.MULTILINE)
_TAKEN = re.compile(r"_[0-9A-F]+$")  # what the kernel adds to the id of a second card of a kind

# How alsa-lib is told of another default: its environment, its files (alsa.conf), a sound server's plug-in.
_OTHER_DEFAULT = ("ALSA_CONFIG_PATH", "ALSA_CONFIG_DIR", "ALSA_CARD", "ALSA_PCM_CARD")
_OTHER_DEFAULT_FILES = (".asoundrc", ".config/alsa/asoundrc")
# What sets it: files of libasound2-plugins only ask for it ("name defaults.pcm.card").
_OTHER_DEFAULT_PIECE = re.compile(
    r"^[^#\n]*(?:!default\b|(?<!name[ \t])\bdefaults\.pcm\.!?card\b|pulse-alsa\.conf)", re.MULTILINE
)
_SERVERS = {"pipewire": "PipeWire", "pulse": "PulseAudio"}


def card_of(pcm: str, *, proc: Path = PROC, etc: Path = Path("/etc")) -> Card | None:
    """Return the card that the PCM `pcm` is on; None where that is not certain, or the card is not there now.

    "default" is the first card, unless ALSA's configuration may make something else of it.
    """
    name = _PCM.fullmatch(pcm)
    if name is None or name["pcm"] == "simulated":
        return None
    given = re.sub("[\"' ]", "", name["arguments"] or "").split(",")
    named = [each.removeprefix("CARD=") for each in given if each.startswith("CARD=")]
    if not named and name["pcm"] in _OF_A_CARD and given[0] and "=" not in given[0]:
        named = given[:1]
    if not named and name["pcm"] not in _OF_A_CARD:
        return None
    if (not named or name["pcm"] == "default") and default_owner(etc=etc):
        return None
    wanted = named[0] if named else "0"
    for number, card in listed_cards(proc):
        if wanted in (str(number), card.id):
            return card
    return None


def cancels_itself(card: Card, channel: int) -> bool:
    """Whether `card` takes out of its microphone's `channel`, by itself, what it plays."""
    id_, name = _TAKEN.sub("", card.id), card.name.lower()
    return any(
        id_ == each.id and each.word in name and (each.channels is None or channel in each.channels)
        for each in _SPEAKERPHONES
    )


def listed_cards(proc: Path = PROC) -> list[tuple[int, Card]]:
    """Return the cards that are there, each with its number, which moves."""
    try:
        text = (proc / "cards").read_text(errors="replace")
    except OSError:  # no sound in this kernel, or none that we may see
        return []
    return [(int(each["number"]), Card(each["id"], each["name"])) for each in _LISTED.finditer(text)]


def default_owner(*, etc: Path = Path("/etc")) -> str:
    """Return what "default" may be instead of the first card, and who says so; "" where it is that card."""
    if named := [name for name in _OTHER_DEFAULT if os.environ.get(name)]:
        return f"what {named[0]} in the environment says"
    try:
        own = [Path("~").expanduser() / name for name in _OTHER_DEFAULT_FILES]
        for path in (etc / "asound.conf", *own):
            if path.exists():
                return f"what {path} says"
        for piece in sorted((etc / "alsa/conf.d").glob("*.conf")):
            if _OTHER_DEFAULT_PIECE.search(text := piece.read_text(errors="replace")):
                server = next((name for word, name in _SERVERS.items() if word in text), "")
                return f"{server}'s ({piece})" if server else f"what {piece} says"
    except (OSError, RuntimeError):  # a file that may not be read, or a user without a home
        return "what a file says that cannot be read"
    return ""
