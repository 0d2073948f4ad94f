"""The energy gate: closed in a quiet room, open before a word is over."""

from __future__ import annotations

import numpy as np
import pytest

from pivoice.audio.resample import resampled
from pivoice.wake.gate import BLOCK_S, HOLD_S, EnergyGate
from tests.support.speech import load_speech

EAR_HZ = 16000
Samples = np.ndarray[tuple[int], np.dtype[np.int16]]


def noise(seconds: float, level: float, rate_hz: int = EAR_HZ, seed: int = 3) -> Samples:
    sound = np.random.default_rng(seed).normal(0, level, round(seconds * rate_hz))
    return sound.clip(-32768, 32767).astype(np.int16)


def listen(gate: EnergyGate, sound: Samples) -> list[bool]:
    """Return after which of its blocks the gate was open."""
    size = gate.block_frames
    return [gate.hear(sound[at : at + size]) for at in range(0, len(sound) - size + 1, size)]


def settled(level: float = 30, rate_hz: int = EAR_HZ) -> EnergyGate:
    gate = EnergyGate(rate_hz)
    listen(gate, noise(6, level, rate_hz))
    return gate


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("level", [0, 1, 30, 3000])
def test_stationary_noise_is_silence_at_any_level(level: float, rate_hz: int) -> None:
    opened = listen(EnergyGate(rate_hz), noise(60, level, rate_hz))

    assert not any(opened[round(HOLD_S / BLOCK_S) :])


def test_a_gate_that_knows_nothing_of_the_room_is_open_for_a_second() -> None:
    opened = listen(EnergyGate(), noise(3, 30))

    assert opened.index(False) * BLOCK_S == pytest.approx(1.0, abs=BLOCK_S)


def test_twenty_loud_ms_open_it_for_a_second() -> None:
    gate = settled()
    burst = noise(3, 30, seed=4)
    burst[1280 * 3 + 320 : 1280 * 3 + 640] *= 2  # the block as a whole is less than 3 dB louder

    opened = listen(gate, burst)

    hold = round(HOLD_S / BLOCK_S)
    assert opened == [False] * 3 + [True] * hold + [False] * (len(opened) - 3 - hold)


@pytest.mark.parametrize(("over_db", "is_open"), [(2.9, False), (3.1, True)])
def test_it_opens_three_db_over_the_room(over_db: float, is_open: bool) -> None:
    room = np.tile(np.array([3000, -3000], np.int16), 640)
    gate = EnergyGate()
    for _ in range(60):
        gate.hear(room)

    assert gate.hear((room * 10 ** (over_db / 20)).astype(np.int16)) is is_open


def test_noise_that_swells_by_less_than_two_db_does_not_open_it() -> None:
    gate = settled()

    assert not any(listen(gate, noise(0.4, 30 * 10 ** (1.5 / 20), seed=5)))


def test_a_fan_that_starts_is_the_room_within_seconds() -> None:
    gate = settled(30)

    opened = listen(gate, noise(12, 300, seed=5))

    assert opened[0]
    assert not any(opened[round((4.0 + HOLD_S) / BLOCK_S) :])


def test_a_fan_that_stops_does_not_leave_it_deaf() -> None:
    gate = settled(1000)
    word = load_speech("user_wake").at_rate(EAR_HZ)
    soft = word // round(np.abs(word).max() / 300)  # far below the fan that was
    listen(gate, noise(1, 10, seed=6))

    opened = listen(gate, soft + noise(len(soft) / EAR_HZ, 10, seed=7)[: len(soft)])

    assert any(opened[: round(0.4 / BLOCK_S)])


@pytest.mark.parametrize("rate_hz", [16000, 44100, 48000])
@pytest.mark.parametrize("pause_s", [0.0, 0.3, 0.6])
def test_a_word_softer_than_a_fan_that_has_just_stopped_finds_it_open(pause_s: float, rate_hz: int) -> None:
    gate = settled(1000, rate_hz)
    word = resampled(load_speech("user_wake").at_rate(EAR_HZ), EAR_HZ, rate_hz)
    soft = word // round(np.abs(word).max() / 300)
    pauses = [np.zeros(round(seconds * rate_hz), np.int16) for seconds in (pause_s, 0.2)]
    after = np.concatenate([pauses[0], soft, pauses[1]])

    opened = listen(gate, after + noise(len(after) / rate_hz, 10, rate_hz, seed=7)[: len(after)])

    assert opened[-1]


def test_a_microphone_with_an_offset_is_no_noise_that_stops() -> None:
    opened = listen(EnergyGate(), noise(3, 30) + np.int16(5000))

    assert opened.index(False) == round(HOLD_S / BLOCK_S)


def coloured(seconds: float, slope: float, rate_hz: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return noise of deviation 1 whose amplitude goes with frequency ** slope."""
    spectrum = np.fft.rfft(np.random.default_rng(8).normal(0, 1, round(seconds * rate_hz)))
    spectrum[1:] *= np.arange(1, len(spectrum)) ** slope
    spectrum[0] = 0
    sound = np.fft.irfft(spectrum)
    return np.asarray(sound / np.std(sound))


COLOURS = {"blue": 0.5, "white": 0.0, "pink": -0.5, "brown": -1.0}


@pytest.mark.parametrize("rate_hz", [16000, 44100, 48000])
@pytest.mark.parametrize("colour", COLOURS)
def test_two_minutes_of_noise_of_any_colour_never_open_it(colour: str, rate_hz: int) -> None:
    sound = (300 * coloured(120, COLOURS[colour], rate_hz)).clip(-32768, 32767).astype(np.int16)

    opened = listen(EnergyGate(rate_hz), sound)

    assert not any(opened[round(HOLD_S / BLOCK_S) :])


@pytest.mark.parametrize("rate_hz", [16000, 44100, 48000])
@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("name", ["user_wake", "user_alexa", "user_mycroft"])
def test_a_word_softer_than_the_noise_opens_it_as_it_begins(name: str, colour: str, rate_hz: int) -> None:
    word = resampled(load_speech(name).at_rate(EAR_HZ), EAR_HZ, rate_hz).astype(np.float64)
    voiced = np.flatnonzero(np.abs(word) > 300)
    word = word[voiced[0] : voiced[-1]]
    sound = coloured(7, COLOURS[colour], rate_hz)
    hearable = resampled((3000 * sound).clip(-32768, 32767).astype(np.int16), rate_hz, EAR_HZ)
    sound *= 3000 / np.std(hearable) * np.sqrt(np.mean(word**2)) * 10 ** (5 / 20)  # 5 dB over it below 8 kHz
    at = 6 * rate_hz
    sound[at : at + len(word)] += word[: len(sound) - at]

    opened = listen(EnergyGate(rate_hz), sound.clip(-32768, 32767).astype(np.int16))

    first = round(6 / BLOCK_S)
    assert not opened[first - 1]
    assert any(opened[first : first + round(0.3 / BLOCK_S)])


def test_what_is_above_eight_khz_neither_opens_it_nor_hides_a_word() -> None:
    gate = settled(30, 48000)
    hiss = (2000 * np.sin(2 * np.pi * 15_900 * np.arange(48000 * 6) / 48000)).astype(np.int16)
    begun = listen(gate, hiss + noise(6, 30, 48000, seed=9))
    word = resampled(load_speech("user_wake").at_rate(EAR_HZ), EAR_HZ, 48000)

    quiet = listen(gate, hiss[:48000] + noise(1, 30, 48000, seed=10))
    spoken = listen(gate, hiss[: len(word)] + word)

    assert not any(begun)
    assert not any(quiet)
    assert any(spoken[:6])


def test_level_and_floor_are_told_on_one_scale() -> None:
    gate = settled(100)

    assert gate.level_dbfs == pytest.approx(gate.floor_dbfs, abs=1)
    assert gate.level_dbfs == pytest.approx(
        20 * np.log10(100 / 32768) + 2.9, abs=1
    )  # pre-emphasis doubles white noise

    gate.hear(np.zeros(gate.block_frames, np.int16))
    gate.hear(np.zeros(gate.block_frames, np.int16))
    assert gate.level_dbfs == -100


def test_a_block_of_another_length_is_refused() -> None:
    with pytest.raises(AssertionError, match="a block is 1280 samples, not 640"):
        EnergyGate().hear(np.zeros(640, np.int16))
