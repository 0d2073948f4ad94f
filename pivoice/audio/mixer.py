"""What the speaker shall play next: replies, ducked or cut, and earcons, one period at a time.

Playback thread only (the ReplyQueue is the door to the event loop). Knows no PCM and never waits.
Between periods it holds the next 5 ms of the reply at the card's rate, so that whatever happens the
last thing heard can be a ramp and not an edge.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pivoice.audio.buffers import WIRE_HZ, ReplyQueue
from pivoice.audio.chimes import Chimes, Hush
from pivoice.audio.earcons import Earcons
from pivoice.audio.fader import Fader
from pivoice.audio.pcm import Format, Samples, from_db, to_int16
from pivoice.audio.resample import Resampler

RAMP_S = 0.005  # a cut without a click: of 4000 cuts in vowels none has more above 5 kHz than the vowel had
GIVEN_UP_S = 8.0  # a reply that stands still this long, its end never told, is over
FADE_S = 0.003  # the edges of a hole in a reply that came too late
DUCK_DB = -15.0
DUCK_S = 0.020

_NOTHING: Samples = np.zeros(0, np.int16)


@dataclass
class Mixed:
    """One period, and what is worth telling of it."""

    samples: Samples
    reply: int = 0
    """Serial of the reply that sounds in it; 0: none."""
    voice: Samples = field(default_factory=lambda: _NOTHING)
    """That reply's part of it, from the period's first sample on, at full level."""
    is_first: bool = False
    """The reply begins here."""
    is_last: bool = False
    """The reply ends here, with the last sample of `voice`."""
    dropped: int = 0
    """Serial of a reply that was cut here; `voice` is its ramp."""
    is_underrun: bool = False
    """The reply's next samples have not come yet."""

    has_sound: bool = False
    has_chime: bool = False
    """Some of it is an earcon or a sentence of the device's own."""
    is_tonal: bool = False
    """And none of it could be taken for a voice."""
    words: NDArray[np.float32] | None = None
    """The device's own sentences in it, at full level."""


class Mixer:
    """Turns what is queued into periods for one opened card."""

    def __init__(
        self, queue: ReplyQueue, opened: Format, *, jitter_ms: int, softness: float, earcons: Earcons
    ) -> None:
        """`softness`: the factor of everything to begin with; see `mix`."""
        self._queue = queue
        self._period = opened.period_frames
        self._rate_hz = opened.rate_hz
        self._ramp = round(RAMP_S * opened.rate_hz)
        self._jitter_s = jitter_ms / 1000
        self._softness = Fader(opened.rate_hz, softness)
        self._has_sounded = False  # in the period before
        self._chimes = Chimes(earcons, opened.rate_hz, ramp=_ramp_down(self._ramp))
        self._voice: _Voice | None = None
        self._level = _Level(opened.rate_hz)

    def due_s(self, chimes: deque[str | Hush], now_s: float) -> float | None:
        """Return when there will be something to play: `now_s`, later, or None when nothing is in sight."""
        return now_s if chimes or self._chimes else self._voice_due_s(now_s)

    def mix(self, chimes: deque[str | Hush], *, ducked: bool, softness: float, now_s: float) -> Mixed:
        """Return the next period. Empties `chimes`. Everything is made softer by the factor `softness`."""
        while chimes:
            self._chimes.obey(chimes.popleft())
        mixed = self._speak(now_s)
        self._level.turn(ducked, at_once=not len(mixed.voice))
        sound: NDArray[np.float32] = np.zeros(self._period, np.float32)
        sound[: len(mixed.voice)] = mixed.voice * self._level.next(len(mixed.voice))
        mixed.has_chime, mixed.is_tonal = bool(self._chimes), self._chimes.is_tonal
        mixed.has_sound = mixed.has_chime or mixed.reply != 0
        mixed.words = self._chimes.add_to(sound)
        self._softness.turn(softness, at_once=not (mixed.has_sound and self._has_sounded))
        self._has_sounded = mixed.has_sound
        mixed.samples = to_int16(sound * self._softness.next(self._period))
        return mixed

    def _voice_due_s(self, now_s: float) -> float | None:
        head = self._queue.head()
        if head is None:
            return None
        voice = self._voice if self._voice and self._voice.serial == head.reply else None
        if voice and not voice.is_starved:
            return now_s
        in_hand = head.frames + (len(voice.ahead) * WIRE_HZ // self._rate_hz if voice else 0)
        if head.is_ended or in_hand >= self._jitter_s * WIRE_HZ:
            return now_s
        if voice is None:
            return head.first_s + self._jitter_s
        if head.frames and voice.refilled_s is None:
            voice.refilled_s = now_s
        return None if voice.refilled_s is None else voice.refilled_s + self._jitter_s

    def _speak(self, now_s: float) -> Mixed:
        """Return the reply's part of the next period."""
        voice = self._voice
        if voice and voice.serial <= self._queue.dropped:
            self._voice = None
            if not voice.is_starved:
                ramp = _faded_out(voice.ahead[: self._ramp], self._ramp)
                return Mixed(_NOTHING, reply=voice.serial, voice=ramp, dropped=voice.serial)
            voice = None
        is_first = False
        if voice and voice.is_starved and now_s - voice.starved_s > GIVEN_UP_S:
            self._queue.end(voice.serial)  # its end was never told: what came of it has been heard
        if voice is None or voice.is_starved:
            due_s = self._voice_due_s(now_s)
            head = self._queue.head()
            if head is None or due_s is None or due_s > now_s:
                return Mixed(_NOTHING)
            if voice is None:
                voice = self._voice = _Voice(head.reply, Resampler(WIRE_HZ, self._rate_hz))
                is_first = True
        return self._continue(voice, now_s=now_s, is_first=is_first)

    def _continue(self, voice: _Voice, *, now_s: float, is_first: bool) -> Mixed:
        """Take a period of `voice`, knowing whether there will be more."""
        was_starved, voice.is_starved = voice.is_starved, False
        voice.fill(self._queue, self._period + self._ramp)
        part = voice.take(self._period)
        if was_starved:
            part = _faded_in(part, round(FADE_S * self._rate_hz))
        mixed = Mixed(_NOTHING, reply=voice.serial, voice=part, is_first=is_first)
        if voice.is_complete and not len(voice.ahead):
            mixed.is_last = True
            self._voice = None
            self._queue.finish(voice.serial)
        elif not voice.is_complete and len(voice.ahead) < self._ramp:
            mixed.voice = _faded_out_at_end(part, round(FADE_S * self._rate_hz))
            voice.is_starved, voice.refilled_s, voice.starved_s = True, None, now_s
            if voice.serial <= self._queue.dropped:  # just now: the queue was emptied under our hands
                self._voice, mixed.dropped = None, voice.serial
            else:
                mixed.is_underrun = True
        return mixed


@dataclass
class _Voice:
    """The reply that is being played."""

    serial: int
    stream: Resampler
    ahead: Samples = field(default_factory=lambda: _NOTHING)
    """What comes next, at the card's rate."""
    is_complete: bool = False
    """`ahead` holds the reply's end."""
    is_starved: bool = False
    """It ran dry and waits for more."""
    starved_s: float = 0.0
    """When it last ran dry."""
    refilled_s: float | None = None
    """When, after it ran dry, more was first seen."""

    def fill(self, queue: ReplyQueue, frames: int) -> None:
        """Have at least `frames` ahead, if they are there."""
        while len(self.ahead) < frames and not self.is_complete:
            head = queue.head()
            missing = math.ceil((frames - len(self.ahead)) * WIRE_HZ / self.stream.to_hz)
            piece = queue.pull(self.serial, missing)
            if len(piece):
                self.ahead = np.concatenate([self.ahead, self.stream.process(piece)])
            elif head and head.reply == self.serial and head.is_ended:
                self.ahead = np.concatenate([self.ahead, self.stream.flush()])
                self.is_complete = True
            else:
                return

    def take(self, frames: int) -> Samples:
        """Return at most `frames` of what is ahead."""
        part, self.ahead = self.ahead[:frames], self.ahead[frames:]
        return part


class _Level:
    """The reply's loudness: 1, or ducked, with a ramp between."""

    def __init__(self, rate_hz: int) -> None:
        self._low = from_db(DUCK_DB)
        self._step = (1.0 - self._low) / (DUCK_S * rate_hz)
        self._level = 1.0
        self._target = 1.0

    def turn(self, ducked: bool, *, at_once: bool) -> None:
        self._target = self._low if ducked else 1.0
        if at_once:
            self._level = self._target

    def next(self, frames: int) -> NDArray[np.float32]:
        """Return the level of each of the next samples."""
        away = self._target - self._level
        steps = np.minimum(self._step * np.arange(1, frames + 1), abs(away))
        levels = self._level + math.copysign(1.0, away) * steps
        if frames:
            self._level = float(levels[-1])
        return np.asarray(levels, np.float32)


def _faded_out(samples: Samples, frames: int) -> Samples:
    """Return `samples` falling to nothing over `frames` from its first."""
    return to_int16(samples * _ramp_down(frames)[: len(samples)])


def _ramp_down(frames: int) -> NDArray[np.float32]:
    """Return the way from 1 to 0.

    By a raised cosine: the corners of a straight line are heard in a few vowels (+0.4 dB, 2026-11).
    """
    angle = np.linspace(0.0, np.pi, frames, dtype=np.float32)
    return np.asarray(np.float32(0.5) + np.float32(0.5) * np.cos(angle), np.float32)


def _faded_out_at_end(samples: Samples, frames: int) -> Samples:
    frames = min(frames, len(samples))
    return np.concatenate(
        [samples[: len(samples) - frames], _faded_out(samples[len(samples) - frames :], frames)]
    )


def _faded_in(samples: Samples, frames: int) -> Samples:
    return np.ascontiguousarray(_faded_out_at_end(samples[::-1], frames)[::-1])
