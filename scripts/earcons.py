"""Write the device's own sounds as WAV files, 48 kHz, for an owner who wants others to start from.

scripts/earcons [DIRECTORY]: a file for each setting of [audio.earcons], named as it is. None is overwritten.
"""

from __future__ import annotations

import sys
import wave
from collections.abc import Sequence
from pathlib import Path

from pivoice.audio.earcons import NAMES, Earcons

RATE_HZ = 48_000


def write_earcons(directory: Path) -> list[Path]:
    """Write every sound into `directory`; return those files that were there, and were left as they are."""
    directory.mkdir(parents=True, exist_ok=True)
    earcons, kept = Earcons(), []
    for name in NAMES:
        path = directory / f"{name}.wav"
        try:
            with path.open("xb") as file, wave.open(file, "wb") as wav:
                wav.setnchannels(1)
                wav.setsampwidth(2)
                wav.setframerate(RATE_HZ)
                wav.writeframes(earcons.sound(name, RATE_HZ).astype("<i2").tobytes())
        except FileExistsError:
            kept.append(path)
    return kept


def main(arguments: Sequence[str]) -> int:
    if len(arguments) > 1 or any(each.startswith("-") for each in arguments):
        print("usage: scripts/earcons [DIRECTORY]", file=sys.stderr)
        return 0 if arguments in (["-h"], ["--help"]) else 2
    directory = Path(arguments[0] if arguments else "earcons").absolute()
    try:
        kept = write_earcons(directory)
    except OSError as error:
        print(f"scripts/earcons: {error}; name a directory that you may write to", file=sys.stderr)
        return 1
    for path in kept:
        print(f"{path} was there, and is as it was", file=sys.stderr)
    print(f"{len(NAMES) - len(kept)} sounds in {directory}; the device plays another one by its path from /:")
    print(f'[audio.earcons]\nwake = "{directory}/wake.wav"')
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
