"""What is particular to simulated cards: files, and what a test may do to them."""

from __future__ import annotations

import asyncio
import wave
from pathlib import Path

import numpy as np
import pytest

from pivoice.audio.pcm import Samples, open_capture, open_playback
from pivoice.audio.simulated import microphone, speaker
from pivoice.config import AudioConfig
from pivoice.errors import DeviceError
from pivoice.simulation import JumpLoop, run_jumping
from tests.audio.fakes import StepClock, find, noise, write_wav


def capture_refusal(path: Path) -> str:
    audio = AudioConfig(capture=f"simulated:{path}")
    with pytest.raises(DeviceError) as caught:
        open_capture(audio.capture, audio, StepClock())
    return str(caught.value)


def test_a_wav_file_is_heard_once_from_the_first_opening_then_silence(tmp_path: Path):
    words = noise(0.1, 16000)
    audio = AudioConfig(capture=f"simulated:{write_wav(tmp_path / 'a.wav', words, 16000)}")
    pcm = open_capture(audio.capture, audio, StepClock())

    heard = np.concatenate([pcm.read() for _ in range(20)])

    assert np.array_equal(heard[:1600], words)
    assert not heard[1600:].any()
    assert pcm.format.rate_hz == 16000


def test_a_microphone_that_was_closed_for_a_while_missed_that_while(tmp_path: Path):
    words = noise(1.0, 16000)
    audio, clock = (
        AudioConfig(capture=f"simulated:{write_wav(tmp_path / 'a.wav', words, 16000)}"),
        StepClock(),
    )
    pcm = open_capture(audio.capture, audio, clock)
    pcm.read()
    pcm.close()

    clock.pass_time(0.5)
    again = open_capture(audio.capture, audio, clock)

    assert find(again.read(), words) == round(0.52 * 16000)


def test_one_channel_of_a_stereo_file_is_heard(tmp_path: Path):
    both = np.stack([noise(0.1, 16000), noise(0.1, 16000, seed=8)], axis=1)
    path = write_wav(tmp_path / "a.wav", both.reshape(-1), 16000, channels=2)
    audio = AudioConfig(capture=f"simulated:{path}", channel=1)

    heard = open_capture(audio.capture, audio, StepClock()).read()

    assert np.array_equal(heard, both[:320, 1])


def test_what_is_said_into_the_room_is_mixed_in(tmp_path: Path):
    name = f"simulated:{write_wav(tmp_path / 'a.wav', np.full(16000, 1000, np.int16), 16000)}"
    audio, clock = AudioConfig(capture=name), StepClock()
    pcm = open_capture(name, audio, clock)
    microphone(name).say(np.full(160, 500, np.int16), at_s=clock.monotonic() + 0.01)

    heard = pcm.read()

    assert heard.tolist() == [1000] * 160 + [1500] * 160


def test_a_missing_file_is_named(tmp_path: Path):
    assert f"there is no file {tmp_path / 'no.wav'}; set audio.capture" in capture_refusal(
        tmp_path / "no.wav"
    )


def test_a_file_that_is_no_wav_is_named(tmp_path: Path):
    (tmp_path / "song.wav").write_bytes(b"OggS and so on, for longer than a header is" * 3)

    assert "song.wav is no WAV file, but Ogg; set audio.capture" in capture_refusal(tmp_path / "song.wav")


def test_an_empty_file_is_named(tmp_path: Path):
    (tmp_path / "empty.wav").touch()

    assert "empty.wav is empty" in capture_refusal(tmp_path / "empty.wav")


def test_a_file_of_wider_samples_is_heard_in_16_bits(tmp_path: Path):
    octets = b"".join(bytes([200, value % 256, value // 256]) for value in range(320))
    path = write_wav(tmp_path / "wide.wav", np.frombuffer(octets, np.int16), 16000, width=3)
    audio = AudioConfig(capture=f"simulated:{path}")
    pcm = open_capture(audio.capture, audio, StepClock())

    assert pcm.read().tolist() == list(range(1, 321))  # rounded up: 200 of 256 are there


def test_a_speaker_file_that_cannot_be_written_is_named(tmp_path: Path):
    audio = AudioConfig(playback=f"simulated:{tmp_path}/no/where.wav")

    with pytest.raises(DeviceError, match=r"cannot be written: No such file"):
        open_playback(audio.playback, audio, StepClock())


def test_the_speakers_file_is_a_valid_wav_at_every_moment_and_keeps_the_gaps(tmp_path: Path):
    path = tmp_path / "spoken.wav"
    audio, clock = AudioConfig(playback=f"simulated:{path}"), StepClock()
    pcm = open_playback(audio.playback, audio, clock)
    words = noise(0.02, 48000)
    pcm.write(words)
    clock.pass_time(0.02)
    pcm.drop()
    clock.pass_time(0.48)
    pcm.write(words)

    with wave.open(str(path)) as file:
        frames = np.frombuffer(file.readframes(file.getnframes()), np.int16)

    assert (file.getframerate(), file.getnchannels()) == (48000, 1)
    assert np.array_equal(frames[:960], words)
    assert not frames[960:24000].any()
    assert np.array_equal(frames[24000:], words)


def test_an_xrun_can_be_asked_for(tmp_path: Path):
    name = f"simulated:{write_wav(tmp_path / 'a.wav', noise(0.1, 16000), 16000)}"
    audio, clock = AudioConfig(capture=name, playback=f"simulated:{tmp_path / 'b.wav'}"), StepClock()
    ear, mouth = open_capture(name, audio, clock), open_playback(audio.playback, audio, clock)
    mouth.write(noise(0.02, 48000))

    microphone(name).request_xrun()
    speaker(audio.playback).request_xrun()
    ear.read()
    mouth.write(noise(0.02, 48000))

    assert (ear.xruns, mouth.xruns) == (1, 1)


def test_a_source_is_heard_for_exactly_the_time_it_is_asked_for(tmp_path: Path):
    name = f"simulated:{write_wav(tmp_path / 'a.wav', np.full(16000, 1000, np.int16), 16000)}"
    audio = AudioConfig(capture=name)
    asked: list[tuple[int, int]] = []

    def count(start: int, stop: int) -> Samples:
        asked.append((start, stop))
        return np.arange(start, stop, dtype=np.int16)

    pcm = open_capture(name, audio, StepClock())
    microphone(name).listen_to(count)

    heard = np.concatenate([pcm.read() for _ in range(3)])

    assert heard.tolist() == [1000 + frame for frame in range(960)]
    assert asked == [(0, 320), (320, 640), (640, 960)]


def test_a_source_is_heard_in_every_channel_and_clips(tmp_path: Path):
    path = write_wav(tmp_path / "a.wav", np.full(1000, 30000, np.int16), 16000, channels=2)
    audio = AudioConfig(capture=f"simulated:{path}", channel=1)
    pcm = open_capture(audio.capture, audio, StepClock())
    microphone(audio.capture).listen_to(lambda start, stop: np.full(stop - start, 5000, np.int16))

    assert pcm.read().tolist() == [32767] * 320


@pytest.mark.parametrize("ppm", [-100.0, 100.0])
def test_cards_with_a_quartz_of_their_own_gain_or_lose_time(tmp_path: Path, ppm: float):
    name = f"simulated:{write_wav(tmp_path / 'a.wav', noise(0.1, 16000), 16000)}"
    audio, clock = AudioConfig(capture=name, playback=f"simulated:{tmp_path / 'b.wav'}"), StepClock()
    microphone(name).ppm = speaker(audio.playback).ppm = ppm
    ear, mouth = open_capture(name, audio, clock), open_playback(audio.playback, audio, clock)
    begun_s = clock.monotonic()

    for _ in range(5000):
        ear.read()
        mouth.write(np.zeros(960, np.int16))

    assert ear.format.rate_hz == 16000
    assert clock.monotonic() - begun_s == pytest.approx(100 / (1 + ppm * 1e-6), abs=1e-4)
    assert (ear.xruns, mouth.xruns) == (0, 0)


def test_a_late_reader_hears_the_same_later(tmp_path: Path):
    words = noise(0.1, 16000)
    audio, clock = (
        AudioConfig(capture=f"simulated:{write_wav(tmp_path / 'a.wav', words, 16000)}"),
        StepClock(),
    )
    pcm = open_capture(audio.capture, audio, clock)
    stalls = iter([0.0, 0.05, 0.0, 0.0, 0.0])
    microphone(audio.capture).lateness = lambda: next(stalls)
    begun_s = clock.monotonic()

    heard, times = [], []
    for _ in range(5):
        heard.append(pcm.read())
        times.append(round(clock.monotonic() - begun_s, 4))

    assert np.array_equal(np.concatenate(heard), words)
    assert times == [0.02, 0.09, 0.09, 0.09, 0.1]


@pytest.mark.parametrize(("late_s", "xruns"), [(0.015, 0), (0.03, 1)])
@pytest.mark.parametrize("is_between", [False, True])
def test_a_late_writer_runs_the_card_dry_only_when_it_held_no_more(
    tmp_path: Path, late_s: float, xruns: int, is_between: bool
):
    audio, clock = AudioConfig(playback=f"simulated:{tmp_path / 'b.wav'}"), StepClock()
    pcm = open_playback(audio.playback, audio, clock)
    for _ in range(3):
        pcm.wait()
        pcm.write(noise(0.02, 48000))
    stalls = iter([0.0, late_s] if is_between else [late_s, 0.0])
    speaker(audio.playback).lateness = lambda: next(stalls)

    pcm.wait()
    pcm.write(noise(0.02, 48000))

    assert pcm.xruns == xruns


@pytest.mark.parametrize("is_mended", [True, False])
def test_a_read_that_hangs_in_the_driver_hangs_until_it_is_mended_or_closed(tmp_path: Path, is_mended: bool):
    name = f"simulated:{write_wav(tmp_path / 'a.wav', noise(0.1, 16000), 16000)}"
    told: list[str] = []

    async def script(loop: JumpLoop) -> None:
        pcm = open_capture(name, AudioConfig(capture=name), loop.clock)

        def listen() -> None:
            try:
                told.append(f"{len(pcm.read())} samples at {loop.clock.monotonic():.1f} s")
            except DeviceError as error:
                told.append(f"{error.reason} at {loop.clock.monotonic():.1f} s")

        microphone(name).wedge(True)
        thread = loop.clock.start_thread(listen, name="ear")
        await asyncio.sleep(60)
        assert thread.is_alive()
        if is_mended:
            microphone(name).wedge(False)
        else:
            pcm.close()
        await asyncio.sleep(1)
        assert not thread.is_alive()

    run_jumping(script)

    assert told == ["320 samples at 60.0 s" if is_mended else "it was closed meanwhile at 60.0 s"]


def test_a_microphone_that_loses_sound_again_and_again_is_given_up_though_some_is_left(tmp_path: Path):
    name = f"simulated:{write_wav(tmp_path / 'a.wav', noise(0.1, 16000), 16000)}"
    ear = open_capture(name, AudioConfig(capture=name), StepClock())

    with pytest.raises(DeviceError, match="25 xruns in 2 s"):
        for _ in range(60):
            microphone(name).request_xrun()
            ear.read()
            ear.read()

    assert ear.xruns == 25
