"""Bounded buffers: nothing lost, nothing twice, and what is dropped is counted."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pivoice.audio.buffers import ReplyQueue, Ring, SpokenRing, Uplink
from pivoice.audio.pcm import Samples


def ramp(start: int, count: int) -> Samples:
    return (np.arange(start, start + count) % 30000).astype(np.int16)


@given(st.lists(st.integers(0, 700), max_size=30), st.integers(0, 8000))
def test_a_ring_gives_back_every_sample_from_a_position_on(sizes: list[int], position: int):
    ring = Ring(2000)
    for size in sizes:
        ring.append(ramp(ring.end, size))

    kept = ring.since(position)

    assert ring.end == sum(sizes)
    assert ring.start == max(0, ring.end - 2000)
    first = min(ring.end, max(position, ring.start))
    assert np.array_equal(kept, ramp(first, ring.end - first))


def test_a_ring_takes_more_than_it_can_hold_at_once():
    ring = Ring(100)
    ring.append(ramp(0, 30))

    ring.append(ramp(30, 1000))

    assert np.array_equal(ring.since(0), ramp(930, 100))


def test_after_a_leap_the_sound_is_forgotten_and_the_count_goes_on():
    ring = Ring(16000)
    ring.append(ramp(0, 300))

    ring.leap(1000)
    ring.append(ramp(300, 20))

    assert (ring.start, ring.end) == (1300, 1320)
    assert np.array_equal(ring.since(0), ramp(300, 20))


@given(st.lists(st.integers(0, 3000), max_size=20), st.integers(1, 1500))
def test_the_uplink_gives_in_order_what_was_put(sizes: list[int], frames: int):
    uplink = Uplink(capacity_s=10)
    total = 0
    for size in sizes:
        uplink.put(ramp(total, size))
        total += size

    taken = uplink.take_whole(frames).samples

    assert np.array_equal(taken, ramp(0, total - total % frames))


def test_a_full_uplink_drops_the_oldest_and_counts_it():
    uplink = Uplink(capacity_s=1000 / 24000)
    uplink.put(ramp(0, 900))

    uplink.put(ramp(900, 300))

    assert uplink.dropped_frames == 200
    assert np.array_equal(uplink.take_whole(1000).samples, ramp(200, 1000))


def test_the_uplink_tells_a_waiting_reader_once_and_only_when_its_whole_chunk_is_there():
    calls: list[float] = []
    uplink = Uplink(capacity_s=1)
    uplink.on_ready = lambda: calls.append(uplink.queued_s)
    uplink.put(ramp(0, 5000))  # nobody waits

    assert not len(uplink.take_whole(6000).samples)
    uplink.put(ramp(0, 500))
    uplink.put(ramp(0, 500))
    uplink.put(ramp(0, 500))

    assert calls == [0.25]


def test_a_cleared_uplink_is_empty_and_still_tells_who_waits():
    calls: list[int] = []
    uplink = Uplink(capacity_s=1, on_ready=lambda: calls.append(1))
    uplink.put(ramp(0, 500))
    assert not len(uplink.take_whole(960).samples)

    uplink.clear()
    uplink.put(ramp(0, 900))

    assert uplink.queued_s == 900 / 24000
    assert calls == []
    uplink.put(ramp(0, 60))
    assert calls == [1]


def test_the_uplink_tells_what_was_taken_before_a_clearing_from_what_was_taken_after():
    uplink = Uplink(capacity_s=1)
    uplink.put(ramp(0, 1000))
    before = uplink.take_whole(500)

    uplink.clear()
    uplink.put(ramp(0, 500))

    assert uplink.take_whole(500).clearings == before.clearings + 1


def test_replies_wait_in_the_order_of_their_serials():
    queue = ReplyQueue()
    queue.put(1, ramp(0, 100), 5.0)
    queue.put(2, ramp(100, 50), 6.0)
    queue.end(1)

    first = queue.pull(1, 1000)
    queue.finish(1)
    head = queue.head()

    assert np.array_equal(first, ramp(0, 100))
    assert head is not None
    assert (head.reply, head.frames, head.first_s, head.is_ended) == (2, 50, 6.0, False)


def test_a_reply_is_over_when_a_newer_one_has_begun():
    queue = ReplyQueue()
    queue.put(1, ramp(0, 100), 0.0)
    queue.put(2, ramp(0, 100), 0.0)

    head = queue.head()

    assert head is not None
    assert (head.reply, head.is_ended) == (1, True)


def test_a_dropped_reply_takes_nothing_any_more_and_counts_it():
    queue = ReplyQueue()
    queue.put(3, ramp(0, 100), 0.0)

    queue.drop(3)
    queue.put(3, ramp(0, 100), 0.0)
    queue.put(2, ramp(0, 100), 0.0)
    queue.put(4, ramp(0, 10), 0.0)

    assert queue.ignored_frames == 200
    assert len(queue.pull(3, 10)) == 0
    assert len(queue.pull(4, 100)) == 10


def test_a_full_reply_queue_counts_what_it_refuses_and_takes_again_when_there_is_room():
    queue = ReplyQueue(capacity_s=1000 / 24000)
    queue.put(1, ramp(0, 800), 0.0)

    queue.put(1, ramp(800, 400), 0.0)
    queue.pull(1, 500)
    queue.put(1, ramp(1200, 400), 0.0)

    assert queue.overflow_frames == 400
    head = queue.head()
    assert head is not None
    assert head.frames == 700


def test_the_queue_holds_ten_minutes():
    queue = ReplyQueue()
    for _ in range(600):
        queue.put(1, np.zeros(24000, np.int16), 0.0)

    queue.put(1, np.zeros(24000, np.int16), 0.0)

    assert queue.overflow_frames == 24000


def test_the_spoken_ring_keeps_three_seconds_at_the_cards_rate():
    ring = SpokenRing()
    ring.set_rate(48000)

    for start in range(0, 200_000, 960):
        ring.append(ramp(start, 960))
    sound, rate_hz = ring.last()

    assert rate_hz == 48000
    assert len(sound) == 3 * 48000
    assert sound[-1] == ramp(200_639, 1)[0]
