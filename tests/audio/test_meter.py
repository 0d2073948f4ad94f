"""How loud it is: for who watches, for the light, and for nobody."""

from __future__ import annotations

import numpy as np
import pytest

from pivoice.audio.meter import DIGITAL_SILENCE_DB, STALE_S, LevelMeter
from pivoice.audio.pcm import Samples
from tests.audio.fakes import Diary

RATE_HZ, PERIOD = 48000, 960


def steady(level_db: float, frames: int = PERIOD) -> Samples:
    return np.full(frames, round(32768 * 10 ** (level_db / 20)), np.int16)


def lit_meter() -> LevelMeter:
    meter = LevelMeter("microphone", Diary().report)
    meter.is_lit = True
    return meter


def test_the_light_is_told_the_last_tenth_of_a_second():
    meter = lit_meter()

    for at in range(10):
        meter.take(steady(-20 if at < 5 else -40), rate_hz=RATE_HZ, end_s=at * 0.02)

    assert meter.level_db(0.2) == pytest.approx(-40, abs=0.1)


def test_the_light_follows_each_period():
    meter, seen = lit_meter(), []

    for at in range(10):
        meter.take(steady(-60 if at < 5 else -20), rate_hz=RATE_HZ, end_s=at * 0.02)
        seen.append(meter.level_db(at * 0.02))

    assert seen == sorted(seen)
    assert len(set(seen)) == 6


def test_long_periods_count_by_themselves():
    meter = lit_meter()

    meter.take(steady(-20, 4 * PERIOD), rate_hz=RATE_HZ, end_s=0.08)
    meter.take(steady(-50, 6 * PERIOD), rate_hz=RATE_HZ, end_s=0.2)

    assert meter.level_db(0.2) == pytest.approx(-50, abs=0.1)


def test_what_is_old_is_unknown():
    meter = lit_meter()
    meter.take(steady(-20), rate_hz=RATE_HZ, end_s=1.0)

    assert meter.level_db(1.0 + STALE_S / 2) == pytest.approx(-20, abs=0.1)
    assert meter.level_db(1.0 + STALE_S) == DIGITAL_SILENCE_DB


def test_silence_is_as_soft_as_it_gets():
    meter = lit_meter()
    meter.take(np.zeros(PERIOD, np.int16), rate_hz=RATE_HZ, end_s=0.0)

    assert meter.level_db(0.0) == DIGITAL_SILENCE_DB


def test_nothing_is_computed_while_nobody_looks(monkeypatch: pytest.MonkeyPatch):
    meter = LevelMeter("speaker", Diary().report)
    monkeypatch.setattr(np, "dot", lambda *_: pytest.fail("somebody computes"))

    meter.take(steady(-20), rate_hz=RATE_HZ, end_s=0.0)

    assert meter.level_db(0.0) == DIGITAL_SILENCE_DB


def test_the_light_makes_no_reports_and_watchers_no_light():
    diary = Diary()
    lit, watched = LevelMeter("speaker", diary.report), LevelMeter("microphone", diary.report)
    lit.is_lit = watched.is_watched = True

    for at in range(5):
        for meter in (lit, watched):
            meter.take(steady(-20), rate_hz=RATE_HZ, end_s=at * 0.02)

    (report,) = diary.told("level")
    assert report["side"] == "microphone"
    assert report["rms_db"] == pytest.approx(-20, abs=0.1)
    assert watched.level_db(0.08) == DIGITAL_SILENCE_DB


def test_a_light_that_went_out_and_on_again_knows_nothing_of_before():
    meter = lit_meter()
    meter.take(steady(-10), rate_hz=RATE_HZ, end_s=0.0)
    meter.is_lit = False
    meter.take(steady(-10), rate_hz=RATE_HZ, end_s=0.02)
    meter.is_lit = True

    meter.take(steady(-50), rate_hz=RATE_HZ, end_s=0.04)

    assert meter.level_db(0.04) == pytest.approx(-50, abs=0.1)
