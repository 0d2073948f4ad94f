"""Earcons: short, soft, and without an edge; the owner's own; and what is said in words."""

from __future__ import annotations

import os
import runpy
import wave
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from pivoice.audio.earcons import NAMES, NOTICES, OWN_PEAK_DB, Earcons, load_notice, make_earcon, make_earcons
from pivoice.audio.pcm import Samples, from_db
from pivoice.config import EarconsConfig
from pivoice.errors import ConfigError
from tests.audio.fakes import noise, tone, write_wav

ROOT = Path(__file__).resolve().parent.parent.parent
EARCONS = tuple(make_earcons(16000))


def own(name: str, path: Path, rate_hz: int = 48000) -> Samples:
    """Return what is played for `name` by an owner with a file of their own."""
    return Earcons(EarconsConfig(**{name: str(path)})).sound(name, rate_hz)


def refusal(name: str, asked: str | Path) -> str:
    with pytest.raises(ConfigError) as caught:
        Earcons(EarconsConfig(**{name: str(asked)}))
    return str(caught.value)


def loudest_db(sound: Samples, rate_hz: int) -> float:
    """Return how loud the loudest 50 ms are, of full scale."""
    size = rate_hz // 20
    energy = np.concatenate([[0.0], np.cumsum(np.square(sound.astype(float)))])
    energies = energy[size:] - energy[:-size] if len(sound) > size else energy[-1:]
    return float(10 * np.log10(energies.max() / size / 32768**2))


def pitch_hz(sound: Samples, rate_hz: int) -> float:
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 4 * rate_hz))
    return float(spectrum.argmax() / 4)


# --- ours ---


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100, 48000, 192_000])
@pytest.mark.parametrize("name", EARCONS)
def test_an_earcon_is_short_soft_and_begins_and_ends_in_silence(name: str, rate_hz: int):
    sound = make_earcon(name, rate_hz).astype(int)

    assert len(sound) <= (1.0 if name == "timer" else 0.25) * rate_hz
    assert 2000 < np.abs(sound).max() <= 32768 * 10 ** (-15 / 20)
    assert abs(sound[0]) < 50
    assert abs(sound[-1]) < 200


def test_there_is_one_for_every_meaning_and_no_two_are_alike():
    earcons = make_earcons(16000)

    wanted = {"wake", "end", "error", "mute", "unmute", "muted", "timer", "volume", "working"}
    assert set(earcons) == wanted
    assert len({sound.tobytes() for sound in earcons.values()}) == len(earcons)


def test_what_comes_again_and_again_while_a_tool_runs_is_softer_than_all_others():
    earcons = make_earcons(48000)

    loud_db = {name: loudest_db(sound, 48000) for name, sound in earcons.items()}
    working_db = loud_db.pop("working")
    assert working_db <= min(loud_db.values()) - 2.5
    assert np.abs(earcons["working"]).max() <= 32768 * from_db(-24) + 1


def test_a_mute_falls_and_an_unmute_rises():
    for name, is_rising in {"wake": True, "unmute": True, "end": False, "mute": False}.items():
        first, last = np.array_split(make_earcon(name, 48000), 2)

        assert (pitch_hz(last, 48000) > pitch_hz(first, 48000) + 50) is is_rising, name


@pytest.mark.parametrize("rate_hz", [8000, 16000, 48000])
@pytest.mark.parametrize("name", NOTICES)
def test_a_notice_is_a_sentence_soft_and_at_the_cards_rate(name: str, rate_hz: int):
    sound = load_notice(name, rate_hz).astype(int)

    assert 1.5 * rate_hz < len(sound) < 6 * rate_hz
    assert 3000 < np.abs(sound).max() <= 32768 * 0.26
    assert np.abs(sound[: rate_hz // 1600]).max() < 300
    assert np.abs(sound[-rate_hz // 1600 :]).max() < 300


def test_every_notice_is_a_small_file_in_the_voice_of_the_others():
    for name in NOTICES:
        path = ROOT / "pivoice" / "audio" / "notices" / f"{name}.wav"
        with wave.open(str(path)) as file:
            assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16000)
        assert path.stat().st_size < 200_000


def test_every_sound_has_a_setting_and_every_setting_a_sound():
    assert {each.name for each in fields(EarconsConfig)} == set(NAMES) == {*EARCONS, *NOTICES}


@pytest.mark.parametrize("name", NAMES)
def test_a_sound_is_as_long_as_it_says(name: str):
    earcons = Earcons()

    assert len(earcons.sound(name, 48000)) / 48000 == pytest.approx(earcons.duration_s(name), abs=0.001)


# --- off ---


@pytest.mark.parametrize("name", EARCONS)
def test_an_earcon_can_be_switched_off(name: str):
    earcons = Earcons(EarconsConfig(**{name: "off"}))

    assert len(earcons.sound(name, 48000)) == 0
    assert earcons.duration_s(name) == 0
    assert all(len(earcons.sound(other, 48000)) for other in EARCONS if other != name)


@pytest.mark.parametrize("name", NOTICES)
def test_a_notice_switched_off_is_the_error_sound_as_the_owner_has_that(name: str, tmp_path: Path):
    path = write_wav(tmp_path / "buzz.wav", tone(0.3, 16000, peak=3000), 16000)

    for error in ("on", "off", str(path)):
        earcons = Earcons(EarconsConfig(**{name: "off", "error": error}))

        assert np.array_equal(earcons.sound(name, 48000), earcons.sound("error", 48000))
        assert earcons.duration_s(name) == pytest.approx(earcons.duration_s("error"))


# --- the owner's own ---


@pytest.mark.parametrize("card_hz", [8000, 44100, 48000, 192_000])
@pytest.mark.parametrize("file_hz", [8000, 11025, 22050, 48000, 96_000, 192_000])
def test_a_file_of_any_rate_is_played_at_the_cards(tmp_path: Path, file_hz: int, card_hz: int):
    path = write_wav(tmp_path / "a.wav", tone(0.4, file_hz, hz=1000, peak=2000), file_hz)

    sound = own("wake", path, card_hz)

    assert len(sound) == pytest.approx(0.4 * card_hz, abs=2)
    assert pitch_hz(sound, card_hz) == pytest.approx(1000, abs=3)
    middle = sound[round(0.1 * card_hz) : round(0.3 * card_hz)].astype(float)
    assert np.sqrt(2 * np.mean(middle**2)) == pytest.approx(2000, rel=0.02)


def test_a_file_of_many_channels_is_mixed_to_one(tmp_path: Path):
    frames = np.stack([tone(0.5, 16000, hz=500, peak=2000), tone(0.5, 16000, hz=1500, peak=1000)], axis=1)
    path = write_wav(tmp_path / "a.wav", frames, 16000, channels=2)

    sound = own("end", path, 16000)

    middle = slice(1000, 7000)
    assert np.abs(sound[middle] - frames.mean(axis=1)[middle]).max() <= 1


def test_a_file_is_played_without_its_offset_and_without_a_click_at_either_end(tmp_path: Path):
    samples = (tone(0.3, 48000, hz=700, peak=1500) + 4000).astype(np.int16)
    path = write_wav(tmp_path / "a.wav", samples, 48000)

    sound = own("wake", path).astype(int)

    assert abs(sound.mean()) < 5
    assert abs(sound[0]) < 20 and abs(sound[-1]) < 20
    assert np.abs(np.diff(sound)).max() < 200  # 1500 at 700 Hz moves by 137 a sample


@pytest.mark.parametrize("peak", [30000, 9000])
def test_an_earcon_that_is_louder_than_ours_is_made_as_loud_as_ours(tmp_path: Path, peak: int):
    path = write_wav(tmp_path / "a.wav", tone(0.3, 48000, peak=peak), 48000)

    loud_db = loudest_db(own("wake", path), 48000)

    assert loud_db == pytest.approx(loudest_db(make_earcon("wake", 48000), 48000), abs=1.5)
    assert loudest_db(own("working", path), 48000) < loud_db - 6


def test_a_click_may_be_higher_than_a_tone_but_no_higher_than_a_reply(tmp_path: Path):
    click = np.zeros(4800, np.int16)
    click[2400:2404] = 32767, -32768, 32767, -32768
    path = write_wav(tmp_path / "a.wav", click, 48000)

    peak = np.abs(own("volume", path).astype(int)).max()

    assert make_earcon("volume", 48000).max() < peak <= 32768 * from_db(OWN_PEAK_DB) + 1


def test_an_earcon_that_is_softer_than_ours_stays_so(tmp_path: Path):
    soft = tone(0.3, 48000, peak=600)
    path = write_wav(tmp_path / "a.wav", soft, 48000)

    assert np.abs(own("wake", path)[1000:-1000] - soft[1000:-1000]).max() <= 1


@pytest.mark.parametrize("name", ["timer", "bad_key"])
def test_what_calls_or_speaks_may_be_as_loud_as_a_reply(tmp_path: Path, name: str):
    path = write_wav(tmp_path / "a.wav", tone(2.0, 48000, peak=32000), 48000)

    assert np.abs(own(name, path)).max() == pytest.approx(32768 * from_db(OWN_PEAK_DB), rel=0.01)


def test_a_file_is_read_once_when_it_can_still_be_refused(tmp_path: Path):
    path = write_wav(tmp_path / "a.wav", noise(0.2, 48000), 48000)
    earcons = Earcons(EarconsConfig(wake=str(path)))
    path.unlink()

    assert len(earcons.sound("wake", 48000)) == len(earcons.sound("wake", 16000)) * 3
    assert earcons.duration_s("wake") == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("name", "seconds", "is_taken"),
    [
        ("wake", 5.0, True),
        ("wake", 5.1, False),
        ("timer", 30.0, True),
        ("timer", 31.0, False),
        ("cap", 8.0, True),
    ],
)
def test_a_file_may_last_so_long(tmp_path: Path, name: str, seconds: float, is_taken: bool):
    path = write_wav(tmp_path / "long.wav", noise(seconds, 8000), 8000)

    if is_taken:
        assert len(own(name, path, 8000)) == seconds * 8000
    else:
        assert f"lasts {seconds:.1f} s; at most {30 if name == 'timer' else 5} s" in refusal(name, path)


def test_every_file_that_cannot_be_used_is_told_at_once_with_its_setting(tmp_path: Path):
    (tmp_path / "song.wav").write_bytes(b"ID3 and so on")
    config = EarconsConfig(wake="/no/chime.wav", end=str(tmp_path / "song.wav"), mute="off")

    with pytest.raises(ConfigError) as caught:
        Earcons(config)

    first, second = caught.value.faults
    assert (first.key, first.problem) == ("audio.earcons.wake", "'/no/chime.wav' is not there")
    assert second.key == "audio.earcons.end"
    assert "is no WAV file, but MP3 (sox or ffmpeg make another of it)" in second.problem


@pytest.mark.parametrize("asked", ["On", "chime.wav", "~/chime.wav", "true"])
def test_what_is_neither_a_word_nor_a_path_is_told_what_it_may_be(asked: str):
    said = refusal("muted", asked)

    assert f'audio.earcons.muted: {asked!r} is neither "on" nor "off", nor the path, from /' in said


def test_what_only_its_owner_can_read_is_told_where_to_put_it():
    assert "sees nothing below /home and /root: put it into /etc/pivoice" in refusal("wake", "/home/no/a.wav")


def test_a_directory_a_pipe_and_silence_are_no_sound(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    write_wav(tmp_path / "silent.wav", np.full(4800, 900, np.int16), 48000)
    write_wav(tmp_path / "none.wav", np.zeros(0, np.int16), 48000)

    assert "cannot be read: Is a directory" in refusal("wake", tmp_path)
    assert "is no file" in refusal("wake", tmp_path / "pipe")
    assert 'is silent; "off" is no sound' in refusal("wake", tmp_path / "silent.wav")
    assert 'holds no sound; "off" is none' in refusal("wake", tmp_path / "none.wav")


# --- the script ---


def test_the_script_writes_every_sound_for_owners_to_start_from(tmp_path: Path):
    write_earcons = runpy.run_path(str(ROOT / "scripts" / "earcons.py"))["write_earcons"]
    (tmp_path / "wake.wav").write_bytes(b"my own")

    kept = write_earcons(tmp_path)

    assert kept == [tmp_path / "wake.wav"] and kept[0].read_bytes() == b"my own"
    assert {path.stem for path in tmp_path.iterdir()} == set(NAMES)
    error = own("error", tmp_path / "error.wav").astype(int)
    ours = make_earcon("error", 48000).astype(int)
    assert np.abs(error[400:-400] - ours[400:-400]).max() <= 2  # played as it was


@pytest.mark.parametrize(
    ("hz", "is_tonal"), [(250, False), (440, False), (600, True), (1000, True), (3000, True), (5000, False)]
)
def test_an_owners_sound_is_known_for_tones_like_ours_or_for_what_may_be_a_voice(
    tmp_path: Path, hz: int, is_tonal: bool
):
    path = write_wav(tmp_path / "ding.wav", tone(0.4, 22050, hz=hz, peak=20000), 22050)

    assert Earcons(EarconsConfig(wake=str(path))).is_tonal("wake") is is_tonal


def test_an_owners_words_are_no_tones(tmp_path: Path):
    words = load_notice("cap", 16000)
    path = write_wav(tmp_path / "yes.wav", words[:16000], 16000)

    assert not Earcons(EarconsConfig(wake=str(path))).is_tonal("wake")
