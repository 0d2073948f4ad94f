"""The test bed keeps its word, through the pyalsaaudio that the daemon uses."""

from __future__ import annotations

import select
import subprocess
import sys
import time
from collections.abc import Iterator

import alsaaudio
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.bed import Bed, Card, Samples, wait_until

RATE_HZ = 48000
PERIOD = 960


def noise(duration_s: float, rate_hz: int = RATE_HZ) -> Samples:
    """Return sound that is like itself at no other place, and nowhere silent."""
    values = np.random.default_rng(7).integers(2000, 20000, round(duration_s * rate_hz))
    return values.astype(np.int16)


def open_mic(name: str = "bed_mic", mode: int = alsaaudio.PCM_NORMAL) -> alsaaudio.PCM:
    return alsaaudio.PCM(
        alsaaudio.PCM_CAPTURE,
        mode,
        rate=RATE_HZ,
        channels=1,
        format=alsaaudio.PCM_FORMAT_S16_LE,
        periodsize=PERIOD,
        periods=4,
        device=name,
    )


def open_speaker(name: str = "bed_speaker", periods: int = 3) -> alsaaudio.PCM:
    return alsaaudio.PCM(
        alsaaudio.PCM_PLAYBACK,
        alsaaudio.PCM_NORMAL,
        rate=RATE_HZ,
        channels=1,
        format=alsaaudio.PCM_FORMAT_S16_LE,
        periodsize=PERIOD,
        periods=periods,
        device=name,
    )


def record(pcm: alsaaudio.PCM, until_s: float) -> Samples:
    content = b""
    while time.monotonic() < until_s:
        length, period = pcm.read()
        assert length == PERIOD
        content += period
    return np.frombuffer(content, np.int16)


def play(pcm: alsaaudio.PCM, samples: Samples) -> list[int]:
    return [pcm.write(samples[at : at + PERIOD].tobytes()) for at in range(0, len(samples), PERIOD)]


def started(bed: Bed, which: str) -> float:
    """Return when the stream of that side last started."""
    return [at_s for at_s, event in bed.events("mic" if which == "mic" else "speaker") if event == "start"][
        -1
    ]


def starve(seconds: float) -> None:
    """Let time pass with nobody reading or writing."""
    select.select([], [], [], seconds)


@pytest.mark.parametrize("name", ["bed_mic", "bed_mic_card"])
def test_the_microphone_hears_what_is_said_at_the_sample_where_it_is_said(bed: Bed, name: str) -> None:
    said = noise(0.2)
    pcm = open_mic(name)

    start_s = bed.say(said)
    heard = record(pcm, until_s=start_s + 0.3)

    first = round((start_s - started(bed, "mic")) * RATE_HZ)
    assert not heard[:first].any()
    assert np.array_equal(heard[first : first + len(said)], said)
    assert not heard[first + len(said) :].any()
    pcm.close()


def test_a_microphone_with_an_echo_hears_the_speaker_later_and_softer() -> None:
    played, said = noise(0.2), noise(0.2)[::-1].copy()
    with Bed(echo_percent=25, echo_s=0.05) as bed:
        pcm = open_mic()
        start_s = bed.say(said)
        sounds = bed.frame_at("speaker", start_s) + 2400
        with (bed.dir / "speaker.raw").open("wb") as speaker:  # what a PCM that is never late leaves there
            speaker.seek(2 * sounds)
            speaker.write(played.astype("<i2").tobytes())

        heard = record(pcm, until_s=start_s + 0.5)

        first = bed.frame_at("mic", started(bed, "mic"))
        expected = np.zeros(first + len(heard), np.int64)
        expected[bed.frame_at("mic", start_s) :][: len(said)] += said
        expected[sounds + 2400 :][: len(played)] += played // 4
        assert np.array_equal(heard, np.clip(expected[first:], -32768, 32767))
        pcm.close()


def test_recording_takes_as_long_as_the_sound(bed: Bed) -> None:
    pcm = open_mic()
    begun_s, begun_cpu_s = time.monotonic(), time.process_time()

    for _ in range(15):
        pcm.read()

    took_s = time.monotonic() - begun_s
    assert took_s > 0.28, "reading is faster than the sound"
    assert time.process_time() - begun_cpu_s < took_s / 2, "reading spins instead of waiting"
    pcm.close()


@pytest.mark.parametrize("name", ["bed_speaker", "bed_speaker_card"])
def test_the_speaker_plays_every_sample_written_in_one_piece(bed: Bed, name: str) -> None:
    played = noise(0.3)
    pcm = open_speaker(name)

    play(pcm, played)
    pcm.close()  # drains

    start_s = started(bed, "speaker")
    assert np.array_equal(bed.heard(start_s, start_s + 0.3), played)
    assert bed.xruns("speaker") == []


def test_the_speaker_tells_how_much_it_still_holds(bed: Bed) -> None:
    pcm = open_speaker()
    play(pcm, noise(0.2))

    held = pcm.info()["buffer_size"] - pcm.avail()
    elapsed = round((time.monotonic() - started(bed, "speaker")) * RATE_HZ)

    assert abs(held - (round(0.2 * RATE_HZ) - elapsed)) < RATE_HZ * 0.005
    pcm.drop()
    pcm.close()


def test_a_drop_is_silence_at_once_and_the_next_write_plays_again(bed: Bed) -> None:
    pcm = open_speaker(periods=10)
    play(pcm, noise(0.2))  # fills the card: 0.2 s that have not sounded

    starve(0.05)
    dropped_s = time.monotonic()
    pcm.drop()
    after_s = time.monotonic()
    starve(0.05)
    silent = bed.heard(after_s + 0.001)
    play(pcm, noise(0.2))
    pcm.close()

    assert bed.heard(dropped_s - 0.04, dropped_s - 0.001).all()
    assert len(silent) > 0.04 * RATE_HZ
    assert not silent.any()
    start_s = started(bed, "speaker")
    assert np.array_equal(bed.heard(start_s, start_s + 0.2), noise(0.2))


def test_a_speaker_run_dry_says_so_and_goes_on(bed: Bed) -> None:
    pcm = open_speaker(periods=2)
    play(pcm, noise(0.06))

    starve(0.08)
    results = play(pcm, noise(0.06))

    assert results[0] == -32
    assert results[1:] == [PERIOD, PERIOD]
    assert len(bed.xruns("speaker")) == 1
    pcm.close()


def test_a_microphone_nobody_reads_runs_over_and_goes_on(bed: Bed) -> None:
    pcm = open_mic()
    pcm.read()

    starve(0.12)
    overrun, _ = pcm.read()
    length, _ = pcm.read()

    assert (overrun, length) == (-32, PERIOD)
    assert len(bed.xruns("mic")) == 1
    pcm.close()


def test_an_unplugged_microphone_is_no_such_device_until_it_is_plugged_in_again(bed: Bed) -> None:
    pcm = open_mic()
    pcm.read()

    bed.unplug()

    with pytest.raises(alsaaudio.ALSAAudioError, match="No such device"):
        pcm.read()
        pcm.read()
    with pytest.raises(alsaaudio.ALSAAudioError, match="No such device"):
        open_mic()
    bed.plug()
    with pytest.raises(alsaaudio.ALSAAudioError, match="No such device"):
        pcm.read()
    pcm.close()
    assert open_mic().read()[0] == PERIOD


def test_an_unplugged_speaker_fails_writes_and_drops_but_closes(bed: Bed) -> None:
    pcm = open_speaker()
    play(pcm, noise(0.04))

    bed.unplug("speaker")

    with pytest.raises(alsaaudio.ALSAAudioError, match="No such device"):
        play(pcm, noise(0.2))
    with pytest.raises(alsaaudio.ALSAAudioError, match="No such device"):
        pcm.drop()
    pcm.close()
    assert not bed.is_open("speaker")


def test_unplugging_wakes_a_poll_with_an_error(bed: Bed) -> None:
    pcm = open_mic(mode=alsaaudio.PCM_NONBLOCK)
    pcm.read()
    (descriptor,) = pcm.polldescriptors()
    poll = select.poll()
    poll.register(*descriptor)

    bed.unplug("mic")

    events = pcm.polldescriptors_revents(poll.poll(1000))
    assert events & select.POLLERR
    pcm.close()


def test_a_microphone_polled_before_its_first_read_wakes_nobody(bed: Bed) -> None:
    pcm = open_mic(mode=alsaaudio.PCM_NONBLOCK)
    (descriptor,) = pcm.polldescriptors()
    poll = select.poll()
    poll.register(*descriptor)

    before = poll.poll(60)
    pcm.read()
    after = poll.poll(1000)

    assert before == []
    assert after != []
    pcm.close()


def test_a_busy_card_cannot_be_opened_but_stays_open(bed: Bed) -> None:
    pcm = open_speaker()
    bed.make_busy("mic")
    bed.make_busy("speaker")

    with pytest.raises(alsaaudio.ALSAAudioError, match="busy"):
        open_mic()

    assert play(pcm, noise(0.04)) == [PERIOD, PERIOD]
    bed.make_busy("mic", busy=False)
    open_mic().close()
    pcm.close()


def test_a_card_opened_twice_is_busy_the_second_time(bed: Bed) -> None:
    pcm = open_mic()

    with pytest.raises(alsaaudio.ALSAAudioError, match="busy"):
        open_mic()

    pcm.close()
    open_mic().close()


def test_the_card_of_a_killed_process_is_free_again(bed: Bed) -> None:
    script = "import alsaaudio; p = alsaaudio.PCM(1, device='bed_mic'); print('open', flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None and holder.stdout.readline() == "open\n"
        held = bed.is_open("mic")

        holder.kill()
        holder.wait()

    assert held
    assert not bed.is_open("mic")


def test_a_stalled_microphone_gives_nothing_and_then_has_overrun(bed: Bed) -> None:
    pcm = open_mic(mode=alsaaudio.PCM_NONBLOCK)
    pcm.read()

    bed.stall("mic")
    starve(0.005)  # it looks every 2 ms
    pcm.read()
    starve(0.12)
    length, _ = pcm.read()
    bed.stall("mic", stalled=False)
    starve(0.005)
    overrun, _ = pcm.read()

    assert length == 0
    assert overrun == -32
    pcm.close()


@pytest.fixture
def odd_bed() -> Iterator[Bed]:
    """A card as USB ones are: stereo 32 bit at 44.1 kHz in, packed 24 bit at 96 kHz out."""
    with Bed(mic=Card(44100, 2, "S32_LE"), speaker=Card(96000, 2, "S24_3LE")) as made:
        yield made


def loudness(samples: NDArray[np.int16]) -> float:
    return float(np.sqrt(np.mean(samples.astype(np.float64) ** 2))) if len(samples) else 0.0


def test_a_card_of_other_rate_width_and_channels_is_heard_through_plug(odd_bed: Bed) -> None:
    tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(44100 // 5) / 44100)).astype(np.int16)
    mic = open_mic()

    start_s = odd_bed.say(tone)
    heard = record(mic, until_s=start_s + 0.3)

    first = round((start_s - started(odd_bed, "mic")) * RATE_HZ)
    assert loudness(heard[first + 480 : first + 9120]) == pytest.approx(5657, rel=0.05)
    assert loudness(heard[: first - 480]) < 5
    mic.close()


def test_a_card_of_other_rate_width_and_channels_speaks_through_plug(odd_bed: Bed) -> None:
    tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(RATE_HZ // 5) / RATE_HZ)).astype(np.int16)
    speaker = open_speaker()

    play(speaker, tone)
    speaker.close()

    start_s = started(odd_bed, "speaker")
    for channel in (0, 1):
        heard = odd_bed.heard(start_s + 0.01, start_s + 0.19, channel=channel)
        assert loudness(heard) == pytest.approx(5657, rel=0.05)


def test_the_bed_finds_the_first_and_the_last_audible_sample(bed: Bed) -> None:
    pcm = open_speaker()
    sound = np.concatenate([np.zeros(PERIOD, np.int16), noise(0.06), np.zeros(PERIOD, np.int16)])

    play(pcm, sound)
    pcm.close()

    start_s = started(bed, "speaker")
    assert bed.first_audible(start_s) == pytest.approx(start_s + 0.02, abs=1e-6)
    assert bed.last_audible(start_s) == pytest.approx(start_s + 0.08 - 1 / RATE_HZ, abs=1e-6)
    assert bed.first_audible(start_s + 0.08) is None


def test_waiting_for_what_never_comes_says_what_it_was() -> None:
    with pytest.raises(TimeoutError, match=r"no answer within 0.01 s"):
        wait_until(lambda: False, 0.01, "answer")
