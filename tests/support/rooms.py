"""Rooms in which a speaker plays into a microphone: what the canceller, the tap and the daemon are judged in.

Shoebox rooms by image sources, a small loudspeaker that distorts, a delay on the way, noise, and a user
1.2 m away. Everything is mono at 16 kHz unless it says otherwise, the same every time. A voice that peaks at
half of full scale, as all of scripts/speech do, comes back at -22 dBFS; a softer one comes back softer.
`Room` works on whole arrays, `LiveRoom` on the daemon's simulated cards. Tests and benches only; PURE but for
the cards that a LiveRoom listens to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from pivoice.audio.simulated import Microphone, Speaker
from tests.support.speech import load_speech

Samples = NDArray[np.int16]
Sound = NDArray[np.float64]  # full scale is 1

RATE_HZ = 16_000
CARD_HZ = 48_000
ECHO_DB = -22.0
"""The echo of speech, while there is speech, of full scale."""
DRIVES = {"none": 0.0, "mild": 1.5, "strong": 5.0}
"""How far the loudest sample of a voice is driven into the speaker's soft clip."""
ROOMS = ((4.2, 3.4, 2.5), (5.6, 4.1, 2.7), (3.1, 2.8, 2.4))  # metres

_PEAK = 0.5  # of the voices
_SOUND_M_S = 343.0
_EYRING_S = 0.24  # by the formula; images in bare walls ring longer: this is an RT60 of 0.35 s
_LENGTH_S = 0.3  # the rest is 65 dB below the echo
_FFT = 5120
_MIC_M = 0.12
_USER_M = 1.2
_ASYMMETRY = 0.2
_TAPS = 32  # of the interpolation between two clocks
_PHASES = 512


@dataclass(frozen=True)
class Room:
    """One of three rooms, with a speaker and a microphone in one box.

    `delay_ms` is what lies between a sample at the speaker's converter and its echo, air not counted.
    """

    number: int = 0
    distortion: str = "mild"
    delay_ms: float = 80.0
    noise_db: float = -65.0
    seed: int = 1

    def echo(self, played: Samples, *, ppm: float = 0.0) -> Sound:
        """Return what the microphone hears of 16 kHz `played`, as long as it is, without noise.

        `ppm`: how much faster the speaker's clock is than the microphone's.
        """
        at_card = signal.resample_poly(played / 32768, CARD_HZ // RATE_HZ, 1)
        arrived = np.pad(EchoPath(self).through(at_card), (_TAPS, _TAPS))
        late = self.delay_ms / 1000 * RATE_HZ
        return _between(arrived, (np.arange(len(played)) - late) * (1 + ppm * 1e-6) + _TAPS)

    def voice(self, words: Samples, near_echo_db: float) -> Sound:
        """Return what the microphone hears of the user: so much louder than the echo of the agent."""
        dry = signal.fftconvolve(words / 32768, _impulse_response(self.number, "user"))
        return dry * (10 ** ((ECHO_DB + near_echo_db) / 20) / speech_level(dry))

    def noise(self, frames: int) -> Sound:
        return np.random.default_rng(self.seed).normal(0, 10 ** (self.noise_db / 20), frames)

    def microphone(
        self, played: Samples, *voices: tuple[float, Sound], ppm: float = 0.0, with_noise: bool = True
    ) -> Samples:
        """Return all that is heard while `played` sounds: its echo, noise, and `voices` from seconds on."""
        heard = self.echo(played, ppm=ppm)
        if with_noise:
            heard += self.noise(len(heard))
        for start_s, voice in voices:
            start = round(start_s * RATE_HZ)
            end = min(len(heard), start + len(voice))
            heard[start:end] += voice[: end - start]
        return to_int16(heard)


class EchoPath:
    """The way from the speaker's converter to the microphone, but for its delay: piece by piece, in order."""

    def __init__(self, room: Room, *, gain: float | None = None) -> None:
        self._drive = DRIVES[room.distortion]
        self._response = _impulse_response(room.number, "speaker")
        self._spectrum = np.fft.rfft(self._response, _FFT)
        self._gain = _calibrated_gain(room.number, room.distortion) if gain is None else gain
        self._band_state = np.zeros((len(_band()), 2))
        self._down_state = np.zeros(len(_down()) - 1)
        self._ahead = np.zeros(len(self._response) - 1)  # what of the past is still in the air
        self._silent = 0  # samples of silence that went in lately
        self._phase = 0

    def through(self, played: Sound) -> Sound:
        """Return, at 16 kHz, what arrives while `played` (48 kHz) sounds."""
        self._silent = 0 if np.any(played) else self._silent + len(played)
        count = (self._phase + len(played) + 2) // 3 - (self._phase + 2) // 3
        if self._silent > CARD_HZ:
            self._phase = (self._phase + len(played)) % 3
            return np.zeros(count)
        banded, self._band_state = signal.sosfilt(_band(), played, zi=self._band_state)
        if self._drive:
            driven = np.tanh(self._drive / _PEAK * banded + _ASYMMETRY) - np.tanh(_ASYMMETRY)
            banded = driven * _PEAK / self._drive
        smooth, self._down_state = signal.lfilter(_down(), 1.0, banded, zi=self._down_state)
        thinned = smooth[-self._phase % 3 :: 3]
        self._phase = (self._phase + len(played)) % 3
        return self._gain * self._reverberated(thinned)

    def _reverberated(self, dry: Sound) -> Sound:
        if not len(dry):
            return dry
        if len(dry) + len(self._ahead) <= _FFT:  # a period of a live room: half the time
            spectrum = np.fft.rfft(dry, _FFT) * self._spectrum
            wet = np.fft.irfft(spectrum, _FFT)[: len(dry) + len(self._ahead)]
        else:
            wet = signal.fftconvolve(dry, self._response)
        wet[: len(self._ahead)] += self._ahead[: len(wet)]
        rest = np.zeros(len(self._ahead))
        rest[: len(wet) - len(dry)] = wet[len(dry) :]
        self._ahead = rest
        return wet[: len(dry)]


class LiveRoom:
    """Lets a simulated microphone hear a simulated speaker, each by its own clock, and the room's noise.

    `microphone.listen_to(live.hear)` is done here. Nothing is heard before it sounds: the delay must be
    longer than the millisecond that interpolation looks ahead.
    """

    def __init__(self, room: Room, microphone: Microphone, speaker: Speaker) -> None:
        assert room.delay_ms >= 5, "an echo cannot come before what it is an echo of"
        assert speaker.rate_hz == CARD_HZ
        self.room = room
        self._microphone = microphone
        self._speaker = speaker
        self._path = EchoPath(room)
        self._noise = to_int16(room.noise(int(7.3 * RATE_HZ)))
        self._played = 0  # speaker frames that went down the path
        self._arrived = np.zeros(_TAPS)  # at 16 kHz by the speaker's clock
        self._first = -_TAPS  # what of the speaker's timeline the first of those is
        microphone.listen_to(self.hear)

    def user(self, words: Samples, near_echo_db: float) -> Samples:
        """Return 16 kHz `words` as the microphone hears them, at its rate, for `Microphone.say`."""
        heard = self.room.voice(words, near_echo_db)
        return to_int16(signal.resample_poly(heard, self._microphone.rate_hz, RATE_HZ))

    def hear(self, start: int, stop: int) -> Samples:
        """Return what frames `start` to `stop` of the microphone hear of the speaker, and of the room."""
        noise = self._noise[np.arange(start, stop) % len(self._noise)]
        if self._speaker.epoch_s is None:
            return noise
        speaker, microphone = self._speaker, self._microphone
        # places on the speaker's timeline, in its own sixteen-thousandths of a second
        per_frame = speaker.true_hz / microphone.true_hz * RATE_HZ / CARD_HZ
        first_s = microphone.time_of(start) - self.room.delay_ms / 1000 - speaker.epoch_s
        places = first_s * speaker.true_hz * RATE_HZ / CARD_HZ + np.arange(stop - start) * per_frame
        self._run_to(int(places[-1]) + _TAPS)
        echo = _between(self._arrived, places - self._first)
        return to_int16(echo + noise / 32768)

    def _run_to(self, place: int) -> None:
        stop = max(0, place) * (CARD_HZ // RATE_HZ)
        if stop > self._played:
            sounded = self._speaker.heard(self._played, stop) / 32768
            self._played = stop
            self._arrived = np.concatenate([self._arrived, self._path.through(sounded)])
        excess = len(self._arrived) - 2 * RATE_HZ
        if excess > RATE_HZ:
            self._arrived = self._arrived[excess:]
            self._first += excess


def lateness(seed: int, *, share: float = 0.001) -> Callable[[], float]:
    """Return what a `simulated.Device.lateness` can be: 5 to 50 ms late, in that `share` of all calls.

    At periods of 20 ms the default makes a microphone late every 20 s, and a speaker, which is asked twice
    a period, every 10 s; over 20 ms a speaker runs dry.
    """
    generator = np.random.default_rng(seed)

    def late_s() -> float:
        is_late, how_late_s = generator.random() < share, float(generator.uniform(0.005, 0.05))
        return how_late_s if is_late else 0.0

    return late_s


def speech_level(sound: Sound) -> float:
    """Return the RMS of the 10 ms frames that are within 30 dB of the loudest: of speech, not of pauses."""
    frames = sound[: len(sound) // 160 * 160].reshape(-1, 160)
    power = np.mean(frames**2, axis=1)
    return float(np.sqrt(np.mean(power[power > power.max() / 1000])))


def to_int16(sound: Sound) -> Samples:
    return np.clip(np.rint(sound * 32768), -32768, 32767).astype(np.int16)


@lru_cache
def _impulse_response(number: int, source: str) -> Sound:
    """Return how room `number` answers at the microphone to a click at the speaker, or at the user."""
    size = np.array(ROOMS[number])
    generator = np.random.default_rng(100 + number)
    microphone = size * generator.uniform(0.3, 0.45, 3)
    away = _MIC_M if source == "speaker" else _USER_M
    direction = np.array([1.0, 0.3, -0.4]) if source == "speaker" else np.array([0.6, 1.0, 0.3])
    place = microphone + away * direction / np.linalg.norm(direction)
    volume, area = size.prod(), 2 * (size[0] * size[1] + size[1] * size[2] + size[0] * size[2])
    reflected = np.exp(-0.5 * 24 * np.log(10) / _SOUND_M_S * volume / (area * _EYRING_S))  # Eyring
    reach = np.ceil(_LENGTH_S * _SOUND_M_S / (2 * size)).astype(int)
    axes = []
    for axis in range(3):
        cells = np.arange(-reach[axis], reach[axis] + 1)
        offsets = [2 * cells * size[axis] + side * place[axis] - microphone[axis] for side in (1, -1)]
        bounces = [np.abs(2 * cells), np.abs(2 * cells - 1)]
        axes.append((np.concatenate(offsets), np.concatenate(bounces)))
    x, y, z = np.ix_(*(offset for offset, _ in axes))
    a, b, c = np.ix_(*(bounce for _, bounce in axes))
    distance = np.sqrt(x**2 + y**2 + z**2)
    strength = reflected ** (a + b + c) / distance
    frame = np.rint(distance / _SOUND_M_S * CARD_HZ).astype(int)
    is_soon = frame < _LENGTH_S * CARD_HZ
    clicks = np.bincount(frame[is_soon], strength[is_soon], round(_LENGTH_S * CARD_HZ))
    return np.asarray(signal.resample_poly(clicks, 1, CARD_HZ // RATE_HZ))


@lru_cache
def _calibrated_gain(number: int, distortion: str) -> float:
    """Return the gain that brings the echo of the agent to ECHO_DB."""
    words = signal.resample_poly(load_speech("agent_long").samples / 32768, 2, 1)
    echo = EchoPath(Room(number, distortion), gain=1.0).through(words)
    return float(10 ** (ECHO_DB / 20) / speech_level(echo))


@lru_cache
def _band() -> Sound:
    """A small loudspeaker's: second-order sections."""
    return np.asarray(signal.butter(2, (220, 7400), "bandpass", fs=CARD_HZ, output="sos"))


@lru_cache
def _down() -> Sound:
    """What keeps the speaker's harmonics from folding back at 16 kHz."""
    return np.asarray(signal.firwin(63, 7600, fs=CARD_HZ))


@lru_cache
def _interpolation() -> Sound:
    """Windowed sinc, by phase (one more than there are, for what lies between two)."""
    phases = np.arange(_PHASES + 1)[:, None] / _PHASES
    taps = np.arange(_TAPS)[None, :] - (_TAPS // 2 - 1) - phases
    return np.asarray(
        np.sinc(taps) * np.i0(8 * np.sqrt(np.clip(1 - (taps / (_TAPS / 2)) ** 2, 0, 1))) / np.i0(8)
    )


def _between(sound: Sound, places: Sound) -> Sound:
    """Return the values of `sound` at `places` between its samples; 0 outside."""
    pieces = [_interpolated(sound, places[at : at + RATE_HZ]) for at in range(0, len(places), RATE_HZ)]
    return np.concatenate(pieces) if pieces else np.zeros(0)


def _interpolated(sound: Sound, places: Sound) -> Sound:
    whole = np.floor(places).astype(int)
    fine = (places - whole) * _PHASES
    phase = fine.astype(int)
    part = (fine - phase)[:, None]
    weights = _interpolation()[phase] * (1 - part) + _interpolation()[phase + 1] * part
    index = whole[:, None] + np.arange(_TAPS) - (_TAPS // 2 - 1)
    is_inside = (index >= 0) & (index < len(sound))
    values = np.where(is_inside, sound[np.clip(index, 0, len(sound) - 1)], 0.0)
    return np.einsum("ij,ij->i", weights, values)
