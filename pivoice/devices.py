"""`pivoice devices`: the sound cards' ALSA names. A process of its own; opens nothing."""

from __future__ import annotations

import argparse

from pivoice.audio import alsa


def run(path: str, options: argparse.Namespace) -> int:
    """Print the names."""
    for title, names in (("microphones", alsa.capture_names()), ("speakers", alsa.playback_names())):
        print(f"{title} (for audio.{'capture' if title == 'microphones' else 'playback'}):")
        for name in names or ["none found; is the card plugged in? (cat /proc/asound/cards)"]:
            print(f"  {name}")
    return 0
