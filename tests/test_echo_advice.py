"""What is advised on which figures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pivoice.audio.echo_check import Figures
from pivoice.echo_advice import Knobs, advised, echo_findings
from pivoice.findings import Finding, is_well

GOOD = Figures(
    noise_dbfs=-62.0,
    heard_dbfs=-22.0,
    is_deaf=False,
    is_disturbed=False,
    clipped=0,
    breaks=0,
    echo_dbfs=-22.0,
    delay_ms=46.0,
    wander_ms=0.2,
    return_loss_db=42.0,
    tap_loss_db=28.0,
    distortion_db=-30.0,
)
UNHEARD = Figures(-62.0, -61.5, is_deaf=False, is_disturbed=False, clipped=0, breaks=0)
KNOBS = Knobs("/etc/x.toml", "alsamixer -c Device", "alsamixer -c Mic")


def told(figures: Figures, mode: str = "webrtc", knobs: Knobs = KNOBS) -> dict[str, Finding]:
    """Return the findings by their checks, each of which speaks once."""
    findings = list(echo_findings(figures, mode, knobs))
    assert len({finding.check for finding in findings}) == len(findings)
    return {finding.check: finding for finding in findings}


def test_where_all_is_well_nothing_is_to_be_done():
    findings = told(GOOD)

    assert {finding.verdict for finding in findings.values()} == {"ok"}
    assert not any(finding.next for finding in findings.values())
    assert advised(GOOD) == "webrtc"


def test_every_finding_that_is_not_well_says_what_to_do():
    bad = replace(GOOD, noise_dbfs=-30.0, echo_dbfs=-8.0, clipped=300, distortion_db=-9.0, return_loss_db=8.0)
    for mode in ("webrtc", "half_duplex", "none"):
        for figures in (
            bad,
            replace(bad, breaks=3),
            replace(bad, is_deaf=True),
            replace(UNHEARD, is_disturbed=True),
        ):
            for finding in told(figures, mode).values():
                assert finding.verdict == "ok" or finding.next or finding.check in ("delay", "cancellation")


@pytest.mark.parametrize(
    ("delay_ms", "wander_ms"), [(520.0, 0.0), (-10.0, 0.0), (180.0, 40.0)], ids=["late", "early", "unsteady"]
)
def test_a_delay_no_canceller_can_live_with_is_for_half_duplex(delay_ms: float, wander_ms: float):
    figures = replace(GOOD, delay_ms=delay_ms, wander_ms=wander_ms)

    findings = told(figures)

    assert advised(figures) == "half_duplex"
    assert findings["delay"].verdict == findings["advice"].verdict == "fail"
    assert 'audio.echo = "half_duplex" in /etc/x.toml' in findings["advice"].next
    assert is_well(told(figures, "half_duplex").values())


def test_too_little_cancellation_is_for_half_duplex():
    figures = replace(GOOD, return_loss_db=12.0)

    findings = told(figures)

    assert advised(figures) == "half_duplex"
    assert findings["cancellation"].verdict == findings["advice"].verdict == "fail"
    assert is_well(told(figures, "half_duplex").values())


def test_too_little_cancellation_of_a_speaker_that_distorts_is_first_for_a_lower_volume():
    figures = replace(GOOD, return_loss_db=12.0, distortion_db=-10.0, clipped=50)

    findings = told(figures)

    assert "alsamixer -c Device" in findings["distortion"].next
    assert "alsamixer -c Mic" in findings["clipping"].next
    assert findings["advice"].next.index("volume") < findings["advice"].next.index("half_duplex")


def test_what_is_cancelled_down_to_the_rooms_noise_is_cancelled():
    figures = replace(GOOD, noise_dbfs=-50.0, echo_dbfs=-38.0, return_loss_db=11.0)

    assert advised(figures) == "webrtc"
    assert told(figures)["cancellation"].verdict == "ok"


def test_an_echo_far_louder_than_the_user_is_to_be_turned_down_by_so_much():
    findings = told(replace(GOOD, echo_dbfs=-12.0))

    assert findings["echo"].verdict == findings["advice"].verdict == "warn"
    assert "10 dB" in findings["echo"].next and "alsamixer -c Device" in findings["echo"].next
    assert is_well(findings.values())


def test_a_gain_of_ours_that_clips_is_named():
    findings = told(replace(GOOD, clipped=50), knobs=replace(KNOBS, gain_db=20.0))

    assert "audio.gain_db" in findings["clipping"].next


def test_an_echo_that_the_mode_leaves_is_a_failure():
    findings = told(GOOD, "none")

    assert findings["advice"].verdict == "fail"
    assert 'audio.echo = "auto"' in findings["advice"].next


def test_who_is_half_duplex_without_need_is_told():
    findings = told(GOOD, "half_duplex")

    assert findings["advice"].verdict == "ok" and 'audio.echo = "auto"' in findings["advice"].next


def test_without_a_canceller_half_duplex_is_right():
    figures = replace(GOOD, return_loss_db=None, tap_loss_db=None)

    assert advised(figures) == "half_duplex"
    assert {finding.verdict for finding in told(figures, "half_duplex").values()} == {"ok"}


def test_where_nothing_comes_back_none_is_enough_or_the_speaker_is_off():
    findings = told(UNHEARD)

    assert advised(UNHEARD) == "none"
    assert findings["echo"].verdict == "warn"
    assert 'audio.echo = "none"' in findings["echo"].next and "alsamixer -c Device" in findings["echo"].next
    assert told(UNHEARD, "none")["echo"].verdict == "ok"


@pytest.mark.parametrize(
    "figures",
    [
        replace(UNHEARD, is_disturbed=True),
        replace(UNHEARD, heard_dbfs=-40.0),
        replace(UNHEARD, noise_dbfs=-30.0, heard_dbfs=-30.0),
    ],
    ids=["a bang", "a voice", "a loud room"],
)
def test_where_something_else_was_heard_nothing_is_concluded(figures: Figures):
    findings = told(figures)

    assert advised(figures) is None
    assert findings["echo"].verdict == "fail" and "again" in findings["echo"].next


def test_sound_that_broke_off_is_no_base_for_advice():
    figures = replace(GOOD, breaks=2)

    findings = told(figures)

    assert advised(figures) is None
    assert findings["sound"].verdict == "fail" and "advice" not in findings


def test_a_dead_microphone_is_all_there_is_to_say():
    findings = told(replace(UNHEARD, is_deaf=True))

    assert list(findings) == ["microphone"]
    assert findings["microphone"].verdict == "fail" and "alsamixer -c Mic" in findings["microphone"].next


def test_who_spoke_meanwhile_is_asked_to_try_again():
    assert told(replace(GOOD, is_disturbed=True))["silence"].verdict == "warn"
