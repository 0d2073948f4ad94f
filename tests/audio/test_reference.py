"""The reference of the canceller: order, alignment, slips, and what is told of broken cards."""

from __future__ import annotations

import numpy as np
import pytest

from pivoice.audio.buffers import EAR_HZ
from pivoice.audio.pcm import Samples
from pivoice.audio.reference import CAP_S, EARLY_S, STEP, Reference

PERIOD = 320
PERIOD_S = PERIOD / EAR_HZ
HELD = 2  # periods that the card holds at most
COUNTS = 30_000  # so many samples can be told apart
SAMPLE_S = 1 / EAR_HZ


class Cards:
    """A speaker and a microphone, each with its clock. What sounds counts its own samples: each can be dated.

    `phase_s`: when the microphone's first period is read; the speaker starts at 0.
    """

    def __init__(self, *, phase_s: float = 0.007, ppm: float = 0.0) -> None:
        self.reference = Reference()
        self.reference.open(EAR_HZ)
        self.phase_s = phase_s
        self.starts_s = 0.0
        self.second_s = 1 - ppm * 1e-6
        """How long a second of the speaker lasts."""
        self.pushed = self.popped = 0
        self.heard: list[tuple[float, Samples]] = []
        """What was handed out, and when the microphone took what it was handed out with."""
        self.silent: set[int] = set()
        """Periods in which nothing sounds."""

    @property
    def now_s(self) -> float:
        return self.phase_s + self.popped * SAMPLE_S

    def sounds_s(self, index: int) -> float:
        return self.starts_s + self.second_s * index * SAMPLE_S

    def push(self, *, has_broken: bool = False) -> None:
        period = (np.arange(self.pushed, self.pushed + PERIOD) % COUNTS + 100).astype(np.int16)
        if self.pushed // PERIOD in self.silent:
            period[:] = 0
        self.reference.push(period, self.sounds_s(self.pushed), has_broken=has_broken)
        self.pushed += PERIOD

    def pop(self) -> Samples:
        start_s = self.now_s - PERIOD_S
        taken = self.reference.pop(PERIOD, start_s)
        self.heard.append((start_s, taken))
        self.popped += PERIOD
        return taken

    def fill(self) -> None:
        while self.sounds_s(self.pushed) - self.now_s <= (HELD - 1) * PERIOD_S * self.second_s:
            self.push()

    def play(self, seconds: float, *, fills: bool = True) -> None:
        """Let time pass: the playback thread keeps the card full, the capture thread reads."""
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            if fills:
                self.fill()
            self.pop()

    def leads_s(self, *, since_s: float = 0.0) -> np.ndarray:
        """Return how early each sample was handed out that sounded at all."""
        leads = []
        for start_s, taken in self.heard:
            at = np.flatnonzero(taken)
            if start_s < since_s or not len(at):
                continue
            nominal = (start_s + at * SAMPLE_S - self.starts_s) / (self.second_s * SAMPLE_S)
            counted = taken[at].astype(np.int64) - 100
            index = counted + COUNTS * np.rint((nominal - counted) / COUNTS)
            leads.append(self.starts_s + self.second_s * index * SAMPLE_S - (start_s + at * SAMPLE_S))
        return np.concatenate(leads)


@pytest.mark.parametrize("phase_s", [0.0, 0.001, 0.007, 0.0125, 0.0199])
def test_what_sounds_is_handed_out_a_little_early_whenever_the_microphone_is_read(phase_s: float):
    cards = Cards(phase_s=phase_s)

    cards.play(3.0)

    assert cards.leads_s() == pytest.approx(EARLY_S, abs=2 * SAMPLE_S)
    assert cards.reference.slips == cards.reference.underruns == 0


def test_before_the_speaker_runs_there_is_silence_and_nothing_is_owed():
    cards = Cards()
    cards.starts_s = 1.0

    cards.play(0.9, fills=False)
    cards.play(2.0)

    assert not cards.heard[20][1].any()
    assert cards.leads_s() == pytest.approx(EARLY_S, abs=2 * SAMPLE_S)
    assert cards.reference.underruns == 0


def test_a_late_playback_thread_leaves_a_hole_and_no_shift():
    cards = Cards()
    cards.play(1.0)

    cards.play(2 * PERIOD_S, fills=False)
    cards.play(1.0)

    assert cards.reference.underruns
    assert cards.leads_s() == pytest.approx(EARLY_S, abs=2 * SAMPLE_S)


@pytest.mark.parametrize("late_s", [0.1, 0.5, 1.0])
def test_a_late_capture_thread_catches_up_without_a_shift_or_a_hole(late_s: float):
    """Whose voice a wake word was takes a slow machine most of a second to see; a card keeps half of one."""
    cards = Cards()
    cards.play(1.0)

    for _ in range(round(late_s / PERIOD_S)):  # the card plays on, nobody reads
        cards.push()
    cards.play(1.0)

    assert cards.leads_s() == pytest.approx(EARLY_S, abs=2 * SAMPLE_S)
    assert all(taken.all() for start_s, taken in cards.heard if start_s > 0.5)


@pytest.mark.parametrize("ppm", [100.0, -100.0])
def test_clocks_that_drift_apart_are_followed_by_single_samples_far_between(ppm: float):
    cards = Cards(ppm=ppm)

    cards.play(120.0)

    assert cards.leads_s() == pytest.approx(EARLY_S, abs=0.0007)
    assert cards.reference.slips == 0
    taken = np.concatenate([taken for _, taken in cards.heard])
    steps = np.diff(taken[1000:].astype(int))
    bent = np.flatnonzero((steps != 1) & (steps != 1 - COUNTS))
    assert 150 < len(bent) < 200  # 12 ms, less what is not worth it: 184 samples
    assert np.diff(bent).min() > 0.4 * EAR_HZ
    assert set(steps[bent]) <= {0, 2}


@pytest.mark.parametrize("ppm", [500.0, -500.0])
def test_clocks_that_drift_apart_fast_are_slipped_by_whole_steps_and_never_late(ppm: float):
    cards = Cards(ppm=ppm)

    cards.play(240.0)

    leads_s = cards.leads_s(since_s=10.0)
    assert leads_s.min() > 0.001
    assert leads_s.max() < 0.018
    assert 4 <= cards.reference.slips <= 14  # 120 ms apart by now, of which half can be followed


@pytest.mark.parametrize("period", [80, 160, 320, 1600])
@pytest.mark.parametrize("jump_s", [0.013, -0.006])
def test_a_jump_that_nobody_told_of_is_slipped_in_periods_of_any_length(period: int, jump_s: float):
    reference = Reference()
    reference.open(EAR_HZ)
    lead_s = 0.11

    for number in range(3 * EAR_HZ // period):
        start_s = number * period / EAR_HZ
        lead_s += jump_s if start_s == 1.0 else 0.0
        reference.push(np.ones(period, np.int16), start_s + lead_s)

        assert len(reference.pop(period, start_s)) == period

    assert reference.slips
    assert abs(reference.lead_s - EARLY_S) < abs(jump_s)


def test_clocks_that_agree_are_never_slipped():
    cards = Cards()

    cards.play(120.0)

    assert cards.reference.slips == 0


@pytest.mark.parametrize("stood_s", [0.0011, 0.0137, 0.3137])
def test_a_card_that_ran_dry_goes_on_in_step_and_all_that_sounded_is_handed_out(stood_s: float):
    cards = Cards()
    cards.play(1.0)
    before, sounded_s = cards.pushed, cards.sounds_s(cards.pushed)

    cards.play(sounded_s + stood_s - cards.now_s, fills=False)
    cards.starts_s += stood_s
    cards.push(has_broken=True)
    cards.play(1.0)

    assert cards.reference.breaks == 2  # its opening was one
    taken = np.concatenate([taken for _, taken in cards.heard])
    assert np.isin(np.arange(300, before), taken).all()
    after = np.flatnonzero(taken == before + 100)[-1] / EAR_HZ + cards.phase_s - PERIOD_S
    assert cards.sounds_s(before) - after == pytest.approx(EARLY_S, abs=3 * SAMPLE_S)


def test_a_card_that_stood_still_for_long_begins_anew_in_step():
    cards = Cards()
    cards.play(1.0)

    cards.starts_s += 2.0137
    cards.play(1.99, fills=False)
    cards.push(has_broken=True)
    cards.play(1.0)

    assert cards.leads_s(since_s=3.1) == pytest.approx(EARLY_S, abs=2 * SAMPLE_S)


def test_a_microphone_that_lost_samples_finds_its_place_again():
    cards = Cards()
    cards.play(1.0)

    cards.phase_s += 0.1234  # so much was lost
    cards.reference.lose()
    cards.play(1.0)

    assert cards.reference.breaks == 2
    assert cards.leads_s() == pytest.approx(EARLY_S, abs=2 * SAMPLE_S)


def test_what_a_stopped_card_held_is_not_handed_out():
    cards = Cards()
    cards.play(1.0)

    cards.reference.stop()
    taken = cards.pop()

    assert not taken.any()
    assert not cards.reference.is_running
    assert cards.reference.depth_s == 0.0


def test_a_speaker_that_starts_again_is_in_step_again():
    cards = Cards()
    cards.play(1.0)
    cards.reference.stop()
    cards.play(2.0, fills=False)

    cards.starts_s = cards.now_s + 0.0123
    cards.pushed = 0
    cards.play(1.0)

    assert cards.leads_s(since_s=3.0) == pytest.approx(EARLY_S, abs=2 * SAMPLE_S)


@pytest.mark.parametrize("ppm", [200.0, -200.0])
def test_a_speaker_that_starts_again_is_where_it_was_to_the_sample(ppm: float):
    cards = Cards(ppm=ppm)
    cards.play(20.0)
    before_s = np.median(cards.leads_s(since_s=18.0))
    cards.reference.stop()
    cards.play(2.0, fills=False)
    assert abs(before_s - EARLY_S) > 0.0005

    cards.starts_s = cards.now_s + 0.0123
    cards.pushed = 0
    cards.play(0.5)

    assert cards.leads_s(since_s=21.5) == pytest.approx(before_s, abs=3 * SAMPLE_S)


def test_a_muted_microphone_does_not_let_it_grow_for_ever():
    cards = Cards()
    cards.play(1.0)

    for _ in range(500):
        cards.push()

    assert cards.reference.depth_s <= CAP_S
    assert cards.reference.breaks == 2  # the card's, and that what waited was thrown away, told once
    cards.popped = cards.pushed - 2 * PERIOD
    cards.reference.lose()
    since_s = cards.now_s
    cards.play(1.0)
    assert cards.leads_s(since_s=since_s) == pytest.approx(EARLY_S, abs=2 * SAMPLE_S)


@pytest.mark.parametrize("period_s", [0.005, 0.01, 0.02])
def test_no_period_is_too_short_for_what_is_handed_out_early(period_s: float):
    """The worst order: the microphone is always read just before the speaker's thread fills the card."""
    reference, frames = Reference(), round(period_s * EAR_HZ)
    reference.open(EAR_HZ)

    for turn in range(400):
        now_s = turn * period_s
        if turn * frames % STEP == 0:
            length = max(STEP, frames)
            reference.pop(length, now_s - length / EAR_HZ)
        reference.push(np.ones(frames, np.int16), now_s + period_s)

    assert reference.underruns == 0
    assert reference.slips == 0


def test_a_step_is_what_the_canceller_works_in():
    assert STEP == 160
