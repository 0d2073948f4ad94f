"""Measure what the project promises, on the sound card's own timeline. Started by `scripts/bench VERB`.

For `button` see bench_button.py, for `echo` bench_echo.py, for `wake` bench_wake.py. For the others the
daemon is `pivoice run` at default settings (but for echo = "none"), on the bed's ALSA PCMs; the far end a
bare server in this process, whose clock is the card's (CLOCK_MONOTONIC): figures are positions on timelines,
so a busy machine makes them worse, never better.
Exit 1 when a promise is missed.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import bench_button  # noqa: E402
import bench_echo  # noqa: E402
import bench_wake  # noqa: E402
from figures import Figure, show  # noqa: E402

from tests.support.bed import Samples, resampled  # noqa: E402
from tests.support.peer import RATE_HZ, Peer  # noqa: E402
from tests.support.speech import load_speech  # noqa: E402
from tests.support.stage import Stage  # noqa: E402

UPLINK_P95_MS = 80
INTERRUPTION_MS = 65
JITTER_MS = 100
FIRST_SOUND_MS = JITTER_MS + 60


@contextmanager
def conversation() -> Iterator[tuple[Stage, Peer]]:
    """Yield a daemon in a conversation with a server that does what it is told."""
    settings: dict[str, dict[str, object]] = {"audio": {"echo": "none"}, "log": {"level": "info"}}
    with (
        tempfile.TemporaryDirectory(prefix="pivoice-bench-") as directory,
        Peer() as peer,
        Stage(Path(directory), settings=settings) as stage,
    ):
        stage.port = peer.port
        stage.start_daemon()
        stage.watch()
        stage.wait_until(lambda: bool(stage.ctl("status")["hears"]), "the daemon to hear")
        stage.ctl("wake")
        peer.wait_for("session.update")
        stage.wait_for("state", link="up")
        peer.send({"type": "input.speech.started"})
        yield stage, peer


def uplink_delay(stage: Stage, peer: Peer, seconds: float) -> NDArray[np.float64]:
    """Return, for every sample that arrived, ms from the microphone to the far end's socket."""
    bed, card = stage.bed, stage.bed.cards["mic"]
    noise = np.random.default_rng(7).normal(0, 3000, round((seconds + 2) * 12_000)).astype(np.int16)
    said = resampled(noise, 12_000, card.rate_hz)  # nothing above 6 kHz: all of it passes
    start_s = bed.say(said)
    threading.Event().wait(start_s + seconds + 1 - time.monotonic())
    chunks = list(peer.audio)
    heard = np.concatenate([samples for _, samples in chunks]).astype(np.float64)
    words = resampled(said, card.rate_hz, RATE_HZ).astype(np.float64)
    # where a second from the middle of what was said lies in what arrived
    at, length = round(seconds / 2 * RATE_HZ), RATE_HZ
    size = 1 << (len(heard) + length).bit_length()
    match = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(words[at : at + length], size)))
    offset = int(np.argmax(match[: len(heard) - length])) - at  # index of the first said sample in `heard`
    again = heard[offset + at : offset + at + length]
    likeness = np.corrcoef(again, words[at : at + length])[0, 1]
    assert likeness > 0.95, f"what arrived is not what was said (correlation {likeness:.2f})"
    delays, position = [], 0
    for arrived_s, samples in chunks:
        index = position + np.arange(len(samples))
        spoken_s = start_s + (index - offset) / RATE_HZ
        inside = (index >= offset + RATE_HZ) & (index < offset + round(seconds * RATE_HZ))
        delays.append(1000 * (arrived_s - spoken_s[inside]))
        position += len(samples)
    return np.concatenate(delays)


def audible_speech(seconds: float) -> Samples:
    """Return agent speech at 24 kHz that is audible from its first sample on."""
    words = load_speech("agent_long").at_rate(RATE_HZ)
    loud = np.flatnonzero(np.abs(words.astype(np.int32)) > 1000)
    return words[loud[0] : loud[0] + round(seconds * RATE_HZ)]


def first_sound_delay(stage: Stage, peer: Peer, count: int) -> list[float]:
    """Return ms from a reply's first chunk, arriving at real-time pace, to its first sample at the PCM."""
    words, delays = audible_speech(0.6), []
    for number in range(count):
        threading.Event().wait(random.uniform(0.35, 0.45))
        sent_s = peer.send_reply(words, reply_id=f"resp_{number}", rate=1.0)
        peer.send({"type": "reply.done", "reply_id": f"resp_{number}", "status": "completed"})
        heard_s = stage.bed.wait_audible(sent_s, 5)
        delays.append(1000 * (heard_s - sent_s))
        stage.bed.wait_silent(0.15, 5)
        peer.send({"type": "input.speech.started"})  # the user has the floor again: no follow-up deadline
    return delays


def interruptions(stage: Stage, peer: Peer, count: int) -> tuple[list[float], int]:
    """Return ms from each interruption to silence, and how many samples of dead replies were heard after.

    Every reply comes in one burst; two seconds of stale audio follow its interruption.
    """
    words, delays, stale_heard = audible_speech(3.0), [], 0
    for number in range(count):
        name = f"resp_cut_{number}"
        sent_s = peer.send_reply(words, reply_id=name)
        stage.bed.wait_audible(sent_s, 5)
        threading.Event().wait(random.uniform(0.2, 0.3))
        cut_s = peer.send({"type": "reply.done", "reply_id": name, "status": "interrupted"})
        peer.send_reply_audio(words[: 2 * RATE_HZ], reply_id=name)
        threading.Event().wait(cut_s + 0.4 - time.monotonic())
        silent_s = stage.bed.last_audible(cut_s, cut_s + 0.4, 0)
        delays.append(1000 * ((silent_s or cut_s) - cut_s))
        after = stage.bed.heard(cut_s + INTERRUPTION_MS / 1000, cut_s + 0.39)
        stale_heard += int(np.count_nonzero(after))
        peer.send({"type": "input.speech.started"})
    return delays, stale_heard


def bench_latency(options: argparse.Namespace) -> list[Figure]:
    with conversation() as (stage, peer):
        up = uplink_delay(stage, peer, options.seconds)
        down = first_sound_delay(stage, peer, options.count)
    return [
        Figure("microphone sample → socket, median", float(np.median(up)), UPLINK_P95_MS),
        Figure("microphone sample → socket, p95", float(np.percentile(up, 95)), UPLINK_P95_MS),
        Figure("first reply chunk → first sample, median", float(np.median(down)), FIRST_SOUND_MS),
        Figure(f"first reply chunk → first sample, worst of {len(down)}", max(down), FIRST_SOUND_MS),
    ]


def bench_interrupt(options: argparse.Namespace) -> list[Figure]:
    with conversation() as (stage, peer):
        delays, stale = interruptions(stage, peer, options.count)
    return [
        Figure("interruption → silence, median", float(np.median(delays)), INTERRUPTION_MS),
        Figure(f"interruption → silence, worst of {len(delays)}", max(delays), INTERRUPTION_MS),
        Figure("samples of dead replies heard after that", stale, 0, ""),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    latency = verbs.add_parser("latency", help="the delay the client adds, both ways")
    latency.add_argument("--seconds", type=float, default=15.0, help="of uplink to measure")
    latency.add_argument("--count", type=int, default=30, help="replies to measure")
    latency.set_defaults(bench=bench_latency)
    interrupt = verbs.add_parser("interrupt", help="from an interruption to silence")
    interrupt.add_argument("--count", type=int, default=100, help="interruptions to measure")
    interrupt.set_defaults(bench=bench_interrupt)
    bench_button.add_verb(verbs)
    bench_echo.add_verb(verbs)
    bench_wake.add_verb(verbs)
    options = parser.parse_args()

    return 0 if show(options.bench(options)) else 1


if __name__ == "__main__":
    sys.exit(main())
