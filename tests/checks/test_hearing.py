"""What the level of a microphone means."""

from __future__ import annotations

import numpy as np
import pytest

from pivoice.checks.hearing import Level, judged, level_of, level_told
from pivoice.echo_advice import Knobs
from pivoice.findings import Finding

KNOBS = Knobs("pivoice.toml", microphone="alsamixer -c Device")


def noise(level_db: float, *, offset: int = 0) -> np.ndarray:
    """A second of it."""
    wave = np.random.default_rng(1).normal(offset, 32768 * 10 ** (level_db / 20), 48000)
    return np.clip(np.rint(wave), -32768, 32767).astype(np.int16)


def judge(sound: np.ndarray, knobs: Knobs = KNOBS) -> list[Finding]:
    return list(judged(level_of(sound), knobs, what="it"))


@pytest.mark.parametrize(
    ("sound", "verdict", "said", "todo"),
    [
        (noise(-60), "ok", "-60 dBFS of noise", ""),
        (np.zeros(48000, np.int16), "fail", "nothing at all", "alsamixer -c Device"),
        (np.full(48000, -7, np.int16), "fail", "one and the same value", "alsamixer"),
        (noise(-84), "warn", "very quiet", "audio.gain_db = 24"),
        (noise(-20), "warn", "loud", "switch off what hums"),
        (noise(-10), "warn", "it clips", "turn the microphone down"),
        (noise(-3), "fail", "a roar", "wiring"),
    ],
)
def test_each_level_has_its_sentence(sound: np.ndarray, verdict: str, said: str, todo: str):
    (found,) = judge(sound)

    assert found.verdict == verdict and said in found.text and todo in found.next


def test_an_offset_is_told_beside_the_level():
    found = judge(noise(-60, offset=3000))

    assert [each.verdict for each in found] == ["ok", "warn"] and "9 % of full scale" in found[1].text


def test_where_our_own_gain_makes_it_clip_the_gain_is_to_be_lowered():
    (found,) = judge(noise(-10), Knobs("pivoice.toml", gain_db=20.0))

    assert found.next.startswith("lower audio.gain_db (20)")


def test_what_the_daemon_measured_in_tenths_is_one_level():
    lines = [
        {"rms_db": -60.0, "peak_db": -50.0, "clipped": 1},
        {"rms_db": -120.0, "peak_db": -120.0, "clipped": 2},
    ]

    assert level_told(lines) == Level(-63.0, -50.0, 3)
    assert level_told([lines[1]]) == Level(-120.0, -120.0, 2)
