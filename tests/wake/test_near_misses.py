"""What is kept of what nearly was the wake word, and how: which seconds, which files, whose eyes."""

from __future__ import annotations

import itertools
import logging
import stat
import threading
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pivoice.config import WakeConfig
from pivoice.wake import near_misses
from pivoice.wake.near_misses import Clip, ClipStore, NearMisses, near_misses_path, open_clip_store
from pivoice.wake.policy import policy_of

BLOCK, RATE_HZ = 1280, 16_000
NEVER = [0.0] * 30


def clips(
    scores: Sequence[float | None], wake: WakeConfig | None = None, *, start: int = 100, is_told: bool = False
) -> list[Clip]:
    """Return what is kept of one model's scores, block by block; None: the gate was closed, which the
    watcher may or may not be told."""
    wake = wake or WakeConfig()
    policy, watcher = policy_of(wake), NearMisses(wake.threshold_of, refractory_s=wake.refractory_s)
    kept = []
    for block, score in enumerate(scores, start):
        position = (block + 1) * BLOCK
        if score is None:
            clip = watcher.hear({}, position, decided=False) if is_told else None
        else:
            hit = policy.decide({"word": score}, position / RATE_HZ)
            clip = watcher.hear({"word": score}, position, decided=hit is not None)
        if clip:
            assert clip.stop <= position
            kept.append(clip)
    return kept


def block_of(clip: Clip) -> int:
    """Return in which block the peak was, counted from `start`."""
    return (clip.start + 2 * RATE_HZ) // BLOCK - 1 - 100


def test_what_comes_near_is_kept_once_around_its_peak():
    (clip,) = clips([0.0, 0.3, 0.4, 0.3, *NEVER])

    assert (clip.model, clip.score, block_of(clip)) == ("word", 0.4, 2)
    assert clip.stop - clip.start == round(2.6 * RATE_HZ)


def test_what_waits_for_its_end_when_the_gate_closes_ends_there():
    wake = WakeConfig()
    watcher = NearMisses(wake.threshold_of, refractory_s=wake.refractory_s)
    watcher.hear({"word": 0.4}, 200 * BLOCK, decided=False)

    clip = watcher.close(203 * BLOCK)

    assert clip == Clip(200 * BLOCK - 2 * RATE_HZ, 203 * BLOCK, "word", 0.4)
    assert watcher.close(204 * BLOCK) is None


@pytest.mark.parametrize("score", [0.0, 0.1, 0.249])
def test_what_is_far_from_the_threshold_is_not_kept(score: float):
    assert clips([score] * 60) == []


def test_a_wake_word_is_not_kept_nor_its_beginning_nor_what_follows_within_the_refractory_time():
    assert clips([0.3, 0.4, 0.9, 0.9, 0.4, 0.3, 0.0, 0.4, 0.4, *NEVER]) == []


@pytest.mark.parametrize("is_told", [True, False])
def test_the_refractory_time_goes_on_behind_a_closed_gate(is_told: bool):
    assert clips([0.0, 0.9, 0.0, *[None] * 10, 0.4, *NEVER], is_told=is_told) == []


def test_a_spike_that_two_blocks_in_a_row_kept_from_waking_is_kept():
    (clip,) = clips([0.0, 0.9, 0.1, *NEVER], WakeConfig(consecutive_blocks=2))

    assert clip.score == 0.9


def test_a_murmur_that_stays_near_is_one_utterance_however_long():
    assert len(clips([0.3] * 200 + NEVER)) == 1


def test_two_attempts_are_two_recordings():
    assert [block_of(clip) for clip in clips([0.4, *NEVER, 0.3, *NEVER])] == [0, 31]


@pytest.mark.parametrize("is_told", [True, False])
def test_an_attempt_after_a_closed_gate_is_kept_also_after_a_wake_word(is_told: bool):
    taken = clips([0.9, 0.9, *[None] * 60, 0.4, *NEVER], is_told=is_told)

    assert [block_of(clip) for clip in taken] == [62]


@pytest.mark.parametrize(("quiet_s", "kept"), [(0.5, 1), (2.0, 1), (4.0, 0)])
def test_what_comes_due_while_nobody_scores_is_kept_while_its_sound_is_there(quiet_s: float, kept: int):
    watcher = NearMisses(lambda _: 0.5, refractory_s=2.0)
    watcher.hear({"word": 0.4}, 100 * BLOCK, decided=False)

    found = watcher.hear({"word": 0.0}, 100 * BLOCK + round((0.5 + quiet_s) * RATE_HZ), decided=False)

    assert (found is not None) == bool(kept)


def test_each_model_is_near_its_own_threshold():
    watcher = NearMisses({"a": 0.9, "b": 0.3}.__getitem__, refractory_s=2.0)

    for block in range(20):
        near = block == 5
        clip = watcher.hear({"a": 0.4, "b": 0.2 * near}, (block + 100) * BLOCK, decided=False)
        if clip:
            break

    assert clip is not None and (clip.model, clip.score) == ("b", 0.2)


def test_a_gap_in_the_sound_forgets_what_was_about_to_be_kept():
    watcher = NearMisses(lambda _: 0.5, refractory_s=2.0)
    watcher.hear({"word": 0.4}, 100 * BLOCK, decided=False)

    watcher.forget()

    assert all(watcher.hear({"word": 0.0}, n * BLOCK, decided=False) is None for n in range(101, 140))


def test_after_a_gap_in_the_sound_what_comes_near_is_another_utterance():
    watcher = NearMisses(lambda _: 0.5, refractory_s=2.0)
    for n in range(100, 112):
        watcher.hear({"word": 0.4}, n * BLOCK, decided=False)  # kept by now, and still going on

    watcher.forget()

    kept = [watcher.hear({"word": 0.3}, n * BLOCK, decided=False) for n in range(112, 124)]
    assert [clip.score for clip in kept if clip] == [0.3]


@settings(deadline=None)
@given(scores=st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=150), blocks=st.integers(1, 3))
def test_whatever_is_heard_no_recording_holds_a_decision_at_its_peak_and_no_two_begin_within_their_wait(
    scores: list[float | None], blocks: int
):
    wake = WakeConfig(consecutive_blocks=blocks)

    taken = clips(scores, wake)

    for clip in taken:
        assert clip.score >= 0.25 and (blocks > 1 or clip.score < 0.5)
    for before, after in itertools.pairwise(taken):
        assert after.start + 2 * RATE_HZ > before.stop


# --- the store ---


def clip(score: float = 0.4, model: str = "hey_jarvis") -> Clip:
    return Clip(0, 4, model, score)


def stored(store: ClipStore) -> list[str]:
    assert store.join(10)
    return sorted(path.name for path in store.directory.iterdir())


def test_a_recording_is_a_wav_file_that_only_its_owner_can_read(tmp_path: Path):
    store = ClipStore(tmp_path / "near", most=3)

    store.keep(clip(), np.array([1, -2, 3, -4], np.int16))

    (name,) = stored(store)
    path = store.directory / name
    assert name.startswith("000001-") and name.endswith("-hey_jarvis-0.40.wav")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.directory.stat().st_mode) == 0o700
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getframerate()) == (1, RATE_HZ)
        assert np.frombuffer(file.readframes(9), "<i2").tolist() == [1, -2, 3, -4]


def test_only_the_last_are_kept_whatever_the_clock_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = ClipStore(tmp_path, most=2)

    for score, unix_s in [(0.31, 2e9), (0.32, 1e9), (0.33, 0.0)]:
        monkeypatch.setattr(near_misses.time, "time", lambda now_s=unix_s: now_s)
        store.keep(clip(score), np.zeros(4, np.int16))
        assert store.join(10)

    assert [name.rpartition("-")[2] for name in stored(store)] == ["0.32.wav", "0.33.wav"]


def test_files_of_others_are_left_alone_and_what_a_crash_left_of_ours_goes(tmp_path: Path):
    (tmp_path / "mine.wav").write_text("")
    (tmp_path / "000007-20260101T000000-x-0.30.wav.new").write_text("half")
    store = ClipStore(tmp_path, most=1)

    store.keep(clip(), np.zeros(4, np.int16))

    assert [name.partition("-")[0] for name in stored(store)] == ["000001", "mine.wav"]


def test_what_cannot_be_deleted_does_not_keep_the_others(tmp_path: Path):
    (tmp_path / "000001-20260101T000000-x-0.30.wav").mkdir()  # somebody's idea of order
    store = ClipStore(tmp_path, most=2)

    for score in (0.31, 0.32, 0.33, 0.34):
        store.keep(clip(score), np.zeros(4, np.int16))
        assert store.join(10)

    assert [name.rpartition("-")[2] for name in stored(store)] == ["0.30.wav", "0.33.wav", "0.34.wav"]


def test_no_thread_to_be_had_costs_that_recording_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    store = ClipStore(tmp_path, most=2)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as scarce:
        scarce.setattr(threading.Thread, "start", refuse)
        store.keep(clip(0.31), np.zeros(4, np.int16))
    store.keep(clip(0.32), np.zeros(4, np.int16))

    assert store.join(10)
    assert [name.rpartition("-")[2] for name in stored(store)] == ["0.32.wav"]
    assert "can't start new thread" in caplog.text


def test_a_model_with_a_strange_name_stays_inside_the_directory(tmp_path: Path):
    store = ClipStore(tmp_path / "near", most=1)

    store.keep(clip(model="../../hey pi"), np.zeros(4, np.int16))

    (name,) = stored(store)
    assert "-.._.._hey_pi-" in name
    assert [path.name for path in tmp_path.iterdir()] == ["near"]


def test_a_disk_that_cannot_be_written_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "file").write_text("")
    store = ClipStore(tmp_path / "file" / "near", most=1)

    for _ in range(3):
        store.keep(clip(), np.zeros(4, np.int16))
        assert store.join(10)

    (told,) = [record.getMessage() for record in caplog.records]
    assert str(store.directory) in told and "wake.near_misses_dir" in told


def test_sound_that_is_gone_is_not_kept(tmp_path: Path):
    store = ClipStore(tmp_path, most=1)

    store.keep(clip(), np.zeros(0, np.int16))

    assert stored(store) == []


def test_a_full_disk_leaves_no_half_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    store = ClipStore(tmp_path, most=1)
    monkeypatch.setattr(near_misses.wave.Wave_write, "writeframes", full)

    store.keep(clip(), np.zeros(4, np.int16))

    assert stored(store) == []


def test_a_disk_that_stalls_holds_nobody_up_and_no_more_than_a_few_recordings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store, stalls = ClipStore(tmp_path, most=100), threading.Event()
    write = ClipStore._write

    def slow(self: ClipStore, *given: object) -> None:
        assert stalls.wait(10)
        write(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(ClipStore, "_write", slow)

    for _ in range(50):
        store.keep(clip(), np.zeros(4, np.int16))
    stalls.set()

    assert 4 <= len(stored(store)) <= 5


def test_nothing_is_kept_unless_it_is_asked_for(caplog: pytest.LogCaptureFixture):
    assert open_clip_store(WakeConfig(), {}) is None
    assert open_clip_store(WakeConfig(engine="none", save_near_misses=5), {}) is None
    assert not caplog.records


def test_that_something_is_kept_is_told_at_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)

    store = open_clip_store(WakeConfig(save_near_misses=7), {"STATE_DIRECTORY": str(tmp_path)})

    assert store is not None and store.most == 7
    (told,) = [record.getMessage() for record in caplog.records]
    assert f"{tmp_path}/near-misses, at most 7" in told and "what was said" in told
    assert not store.directory.exists()


@pytest.mark.parametrize(
    ("configured", "environ", "path"),
    [
        ("/x/y", {"STATE_DIRECTORY": "/s", "HOME": "/h"}, "/x/y"),
        ("", {"STATE_DIRECTORY": "/s:/t", "HOME": "/h"}, "/s/near-misses"),
        ("", {"HOME": "/h"}, "/h/.local/state/pivoice/near-misses"),
        ("", {}, "/var/lib/pivoice/near-misses"),
    ],
)
def test_recordings_lie_where_state_lies(configured: str, environ: dict[str, str], path: str):
    assert near_misses_path(WakeConfig(near_misses_dir=configured), environ) == Path(path)
