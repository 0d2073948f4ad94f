"""How loud, how late and how clean the speaker comes back to the microphone, and what is left of it.

PURE: figures of sound that was played and recorded (echo_trial.py does that), with the canceller that the
daemon uses. Sound is 16 kHz mono, a step 10 ms. Levels are in dB below full scale, those of speech without
its pauses. Somebody who talks meanwhile should change no figure but `is_disturbed`: hence the medians.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pivoice.audio.buffers import EAR_HZ
from pivoice.audio.earcons import load_notice
from pivoice.audio.gate import HalfDuplexGate
from pivoice.audio.pcm import Samples, amplified, from_db, to_int16
from pivoice.audio.reference import STEP, Reference
from pivoice.audio.stage import TAP, open_stage

Floats = NDArray[np.float64]
Marks = NDArray[np.bool_]

LEAD_S = 1.0  # of silence, in which the room is heard
PAUSE_S = 0.4
TONE_S = 0.3
TAIL_S = 0.8
_TONE_HZ = 500.0  # every speaker has it, and its harmonics
_TONE_PEAK = 0.25  # 6 dB below the loudest of the speech: a tone is loud all the time
_HARMONICS = range(2, 9)
_EDGE_S = 0.03
_FULL_SCALE = 32760  # some converters stop a little short of 32767
_SETTLED = 30  # steps: a microphone crackles when it is opened
_SILENT = 1e-5  # of the loudest step's power
_SPEECH = 1e-3
_WARM_S = 1.5  # of speech until the canceller is judged: for so long it is muted (echo.py)
_JUDGED = 25  # steps of one judgement of it
_ENOUGH = 220  # steps of speech, of nearly 300
_LAGS_S = (-0.1, 1.0)  # where the echo is looked for
_LOOK = 50  # steps: what is looked for
_CLEAR = 8.0  # standard deviations of the correlation; of noise, the highest of 17600 lags has 4.5
_LOOKS = 3  # that must be clear
_BAND_HZ = (250, 6000)
_RINGS_S = 0.5  # a room of RT60 1 s has fallen by 30 dB
_BANG = from_db(-55) ** 2  # softer, nobody spoke


@dataclass(frozen=True)
class Recording:
    """What one trial gave."""

    near: Samples
    """What the microphone heard, 16 kHz."""
    far: Samples
    """What the canceller was told of the speaker meanwhile, as long."""
    clipped: int = 0
    """Samples at the microphone's full scale, counted at its own rate."""
    breaks: int = 0
    """How often the sound broke off: xruns of either side."""


@dataclass(frozen=True)
class Figures:
    """What there is to know of the echo. None: it cannot be told."""

    noise_dbfs: float
    """The room, before anything was played."""
    heard_dbfs: float
    """All that was heard while the speech played."""
    is_deaf: bool
    """The microphone gave nothing at all, not even noise."""
    is_disturbed: bool
    """Somebody spoke, or something banged."""
    clipped: int
    breaks: int
    echo_dbfs: float | None = None
    """The speech as the microphone hears it, without the noise; None: it was not heard."""
    delay_ms: float | None = None
    """How much later than its reference it is heard."""
    wander_ms: float | None = None
    """By how much the delay changed."""
    return_loss_db: float | None = None
    """How much softer the canceller makes it."""
    tap_loss_db: float | None = None
    """The same of what the wake word is heard in; None also without a second tap."""
    distortion_db: float | None = None
    """Harmonics of a tone against the tone."""


def trial_sound(rate_hz: int, softness: float) -> Samples:
    """Return what is played: silence, speech as loud as a reply's, a tone, silence; all times `softness`."""
    time_s = np.arange(round(TONE_S * rate_hz)) / rate_hz
    edge = np.clip(np.minimum(time_s, TONE_S - time_s) / _EDGE_S, 0, 1)
    tone = (32768 * _TONE_PEAK * edge * np.sin(2 * np.pi * _TONE_HZ * time_s)).astype(np.float32)
    lead, pause, tail = (np.zeros(round(each_s * rate_hz), np.int16) for each_s in (LEAD_S, PAUSE_S, TAIL_S))
    sound = np.concatenate([lead, load_notice("echo", rate_hz), pause, to_int16(tone), tail])
    return amplified(sound, softness)


def count_clipped(samples: Samples) -> int:
    """Return how many of a microphone's samples are as large as it can say."""
    return int(np.count_nonzero(np.abs(samples.astype(np.int32)) >= _FULL_SCALE))


def figures_of(recording: Recording, *, canceller: str | None) -> Figures:
    """Return what a recording of `trial_sound` shows.

    `canceller` is the echo stage to try (a name in `stage.STAGES`), None where there is none.
    """
    sound = _Sound(recording)
    if not sound.is_whole:
        recording = replace(recording, breaks=max(1, recording.breaks))
        return Figures(-120.0, -120.0, False, False, recording.clipped, recording.breaks)
    delay_s, wander_s = sound.delay()
    late = 0 if delay_s is None else round(delay_s * EAR_HZ / STEP)
    is_speech = _later(sound.is_speech, late)
    noise, heard = sound.noise(), float(np.mean(sound.near_power[is_speech]))
    banged = sound.loudest_of_silence(late)
    figures = Figures(
        noise_dbfs=_db(noise),
        heard_dbfs=_db(heard),
        is_deaf=bool(np.ptp(sound.near[_SETTLED * STEP :].astype(np.int32)) <= 2),
        is_disturbed=banged > max(16 * noise, _BANG, 0.0 if delay_s is None else heard / 300),
        clipped=recording.clipped,
        breaks=recording.breaks,
    )
    if delay_s is None or wander_s is None:
        return figures
    figures = replace(
        figures,
        echo_dbfs=_db(heard - noise),
        delay_ms=round(1000 * delay_s, 1),
        wander_ms=round(1000 * wander_s, 1),
        distortion_db=sound.distortion_db(late),
    )
    return figures if canceller is None else _with_losses(figures, sound, is_speech, canceller)


class _Sound:
    """A recording in steps. Powers are mean squares, of full scale 1."""

    def __init__(self, recording: Recording) -> None:
        self.steps = min(len(recording.near), len(recording.far)) // STEP
        self.near = recording.near[: self.steps * STEP]
        self.far = recording.far[: self.steps * STEP]
        far_power = _powers(self.far)
        self.is_played: Marks = far_power > _SILENT * np.max(far_power, initial=0.0)
        played = np.flatnonzero(self.is_played)
        self.start, self.end = (int(played[0]), int(played[-1]) + 1) if len(played) else (0, 0)
        self.is_speech: Marks = np.zeros(self.steps, np.bool_)
        speech = slice(self.start, max(self.start, self.end - round((PAUSE_S + TONE_S) * EAR_HZ / STEP)))
        loudest = np.max(far_power[speech], initial=0.0)
        self.is_speech[speech] = far_power[speech] > _SPEECH * loudest
        self.near_power = self.powers_of(self.near)

    @property
    def is_whole(self) -> bool:
        """Whether enough of the trial is there to say anything: cards that fail may leave little of it."""
        return self.start > 2 * _SETTLED and int(np.count_nonzero(self.is_speech)) > _ENOUGH

    def powers_of(self, heard: Samples) -> Floats:
        """Return the power of each step of what is as long as `near`, without the offset of a cheap card."""
        lead = heard[_SETTLED * STEP : self.start * STEP]
        offset = float(np.mean(lead)) if len(lead) else 0.0
        return _powers(heard.astype(np.float64) - offset)

    def noise(self) -> float:
        """Return the power of the room before anything was played."""
        return float(np.median(self.near_power[_SETTLED : self.start]))

    def loudest_of_silence(self, late: int) -> float:
        """Return the most power of 50 ms in which there was nothing to be heard of us."""
        reach = late + round(_RINGS_S * EAR_HZ / STEP)
        is_heard = np.convolve(self.is_played, np.ones(reach))[: self.steps] > 0
        is_heard[:_SETTLED] = True
        smooth = np.convolve(self.near_power, np.full(5, 0.2), "same")
        return float(np.max(smooth[~is_heard], initial=0.0))

    def delay(self) -> tuple[float | None, float | None]:
        """Return when the echo comes, and by how much that changes, in seconds; None when none comes."""
        looks = [
            self._look(step * STEP)
            for step in range(0, self.steps - _LOOK + 1, _LOOK // 2)
            if np.count_nonzero(self.is_speech[step : step + _LOOK]) > _LOOK // 2
        ]
        clear_s = [delay_s for delay_s, clearness in looks if clearness > _CLEAR]
        if len(clear_s) < max(_LOOKS, len(looks) // 4):
            return None, None
        return float(np.median(clear_s)), float(np.percentile(clear_s, 90) - np.percentile(clear_s, 10))

    def _look(self, at: int) -> tuple[float, float]:
        """Return where a half second from sample `at` on is found again, and how clearly.

        Whitened correlation (GCC-PHAT): a peak a sample wide of whatever room and speaker smear.
        """
        first, last = (round(lag_s * EAR_HZ) for lag_s in _LAGS_S)
        frames = _LOOK * STEP
        size = 1 << (frames + last - first).bit_length()
        heard = np.zeros(frames + last - first)
        begin = max(0, at + first)
        part = self.near[begin : at + frames + last]
        heard[begin - at - first :][: len(part)] = part
        said = np.fft.rfft(self.far[at : at + frames] * np.hanning(frames), size)
        cross = np.fft.rfft(heard, size) * np.conj(said)
        hz = np.fft.rfftfreq(size, 1 / EAR_HZ)
        is_known = (hz > _BAND_HZ[0]) & (hz < _BAND_HZ[1]) & (np.abs(said) > 0.01 * np.abs(said).max())
        weights = np.divide(is_known, np.abs(cross), out=np.zeros(len(cross)), where=np.abs(cross) > 0)
        likeness = np.abs(np.fft.irfft(cross * weights, size)[: last - first])
        peak = int(np.argmax(likeness))
        deviation = math.sqrt(float(np.mean(likeness**2)))
        return (peak + first) / EAR_HZ, float(likeness[peak]) / deviation if deviation else 0.0

    def distortion_db(self, late: int) -> float | None:
        """Return how much softer the tone's harmonics are than the tone; None where noise hides them."""
        edge, length = round(2 * _EDGE_S * EAR_HZ), round((TONE_S - 3 * _EDGE_S) * EAR_HZ)
        begin = (self.end + late) * STEP - round(TONE_S * EAR_HZ) + edge
        tone, *harmonics = _lines(self.near[begin : begin + length])
        noise = sum(_lines(self.near[self.start * STEP - length : self.start * STEP])[1:])
        if tone < 1000 * noise or not tone:
            return None
        return _db(sum(harmonics) / tone)


def _with_losses(figures: Figures, sound: _Sound, is_speech: Marks, canceller: str) -> Figures:
    left, ear = _cancelled(sound, canceller)
    left_power = sound.powers_of(left)
    blocks = _warm_blocks(is_speech)
    if not blocks:
        return figures
    losses = [_loss_db(sound.near_power, left_power, block) for block in blocks]
    worst = blocks[int(np.argmin(losses))]
    is_spoken_over = min(losses) < np.median(losses) - 20 and np.mean(left_power[worst]) > _BANG
    tap_loss_db = None
    if ear is not None:
        ear_power = sound.powers_of(ear)
        tap_loss_db = float(np.median([_loss_db(sound.near_power, ear_power, block) for block in blocks]))
    return replace(
        figures,
        is_disturbed=figures.is_disturbed or bool(is_spoken_over),
        return_loss_db=round(float(np.median(losses)), 1),
        tap_loss_db=None if tap_loss_db is None else round(tap_loss_db, 1),
    )


def _cancelled(sound: _Sound, canceller: str) -> tuple[Samples, Samples | None]:
    """Return what the stage leaves for the agent, and for the wake word where that is something else."""
    stage = open_stage(
        canceller, _Replayed(sound.far), HalfDuplexGate()
    )  # no reply is told of: no gate, no mute
    held = round(stage.delay_s * EAR_HZ)
    near = np.concatenate([sound.near, np.zeros(-(-held // STEP) * STEP, np.int16)])
    uplink, ear = [], []
    for at in range(0, len(near), 2 * STEP):
        heard = stage.process(near[at : at + 2 * STEP], start_s=at / EAR_HZ)
        uplink.append(heard.uplink)
        ear.append(heard.ear)
    kept = slice(held, held + len(sound.near))
    has_tap = stage.status()["tap"] == TAP
    return np.concatenate(uplink)[kept], np.concatenate(ear)[kept] if has_tap else None


class _Replayed(Reference):
    """Hands out what the capture thread was given, once more."""

    def __init__(self, far: Samples) -> None:
        super().__init__()
        self.is_running = True
        self._rest = far

    def pop(self, frames: int, start_s: float) -> Samples:
        taken, self._rest = self._rest[:frames], self._rest[frames:]
        return np.concatenate([taken, np.zeros(frames - len(taken), np.int16)])


def _warm_blocks(is_speech: Marks) -> list[NDArray[np.intp]]:
    """Return the steps of speech by quarter seconds, without those that come while the canceller is muted."""
    spoken = np.flatnonzero(is_speech)
    spoken = spoken[round(_WARM_S * EAR_HZ / STEP) :]
    blocks = [spoken[(spoken >= at) & (spoken < at + _JUDGED)] for at in range(0, len(is_speech), _JUDGED)]
    return [block for block in blocks if len(block) >= _JUDGED // 2]


def _loss_db(near_power: Floats, left_power: Floats, block: NDArray[np.intp]) -> float:
    return _db(float(near_power[block].mean())) - _db(float(left_power[block].mean()))


def _lines(sound: Samples) -> list[float]:
    """Return the power of the tone and of each of its harmonics in `sound`."""
    if len(sound) < STEP:
        return [0.0] * (1 + len(_HARMONICS))
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2
    hz = np.fft.rfftfreq(len(sound), 1 / EAR_HZ)
    return [float(spectrum[np.abs(hz - times * _TONE_HZ) < 20].sum()) for times in (1, *_HARMONICS)]


def _powers(samples: Samples | Floats) -> Floats:
    """Return the mean square of each step."""
    return np.asarray(np.mean((samples / 32768).reshape(-1, STEP) ** 2, axis=1))


def _later(marks: Marks, steps: int) -> Marks:
    moved = np.roll(marks, steps)
    if steps > 0:
        moved[:steps] = False
    elif steps < 0:
        moved[steps:] = False
    return moved


def _db(power: float) -> float:
    return round(10 * math.log10(max(power, 1e-12)), 1)
