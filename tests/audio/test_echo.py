"""The echo stage: what it takes away, what it leaves, and when it does nothing at all."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from pivoice.audio import echo
from pivoice.audio.buffers import EAR_HZ
from pivoice.audio.earcons import make_earcons
from pivoice.audio.echo import DELAY, WebrtcStage
from pivoice.audio.gate import HalfDuplexGate
from pivoice.audio.pcm import Samples
from pivoice.audio.reference import Reference
from pivoice.audio.stage import Heard
from tests.audio.fakes import noise
from tests.support.rooms import Room
from tests.support.speech import load_speech

PERIOD = 320


@dataclass
class House:
    """A stage between a speaker and a microphone that agree about time, which begins at 0."""

    period: int = PERIOD
    reference: Reference = field(default_factory=Reference)
    gate: HalfDuplexGate = field(default_factory=HalfDuplexGate)
    at: int = 0

    def __post_init__(self) -> None:
        self.reference.open(EAR_HZ)
        self.stage = WebrtcStage(self.reference, self.gate)

    def live(self, near: Samples, far: Samples | None = None, *, is_reply: bool = True) -> Heard:
        """Return what is heard of `near` while `far` sounds, period by period; None: the speaker rests."""
        parts = []
        for start in range(0, len(near) - self.period + 1, self.period):
            start_s = self.at / EAR_HZ
            if far is not None:
                if self.at == 0 or not self.reference.is_running:
                    self._push(far[start : start + self.period], start_s, is_reply)
                ahead = far[start + self.period : start + 2 * self.period]
                if len(ahead) == self.period:
                    self._push(ahead, start_s + self.period / EAR_HZ, is_reply)
            parts.append(self.stage.process(near[start : start + self.period], start_s=start_s))
            self.at += self.period
        uplink, ear = (np.concatenate([part[which] for part in parts]) for which in (0, 1))
        return Heard(uplink, ear, any(part.is_onset for part in parts))

    def _push(self, sound: Samples, begins_s: float, is_reply: bool) -> None:
        self.reference.push(sound, begins_s)
        if is_reply and np.abs(sound).max() > 33:
            self.gate.heard_until(begins_s + len(sound) / EAR_HZ, since_s=begins_s)


def level_db(samples: Samples) -> float:
    return float(10 * np.log10(np.mean(samples.astype(float) ** 2) / 32768**2 + 1e-12))


def reply(seconds: float) -> Samples:
    """Return an agent who makes no pause for breath."""
    words = load_speech("agent_long").at_rate(EAR_HZ)
    steps = words[: len(words) // 1600 * 1600].reshape(-1, 1600)
    return np.resize(steps[np.abs(steps).max(axis=1) > 1000], round(seconds * EAR_HZ))


def user(seconds: float = 1.5) -> Samples:
    return np.resize(load_speech("user_barge").at_rate(EAR_HZ), round(seconds * EAR_HZ))


@pytest.mark.parametrize(("distortion", "left_db"), [("mild", 30), ("strong", 20)])
@pytest.mark.parametrize("delay_ms", [20, 150])
def test_the_agents_voice_is_taken_out_of_both(distortion: str, left_db: float, delay_ms: float):
    room, house, far = Room(0, distortion, delay_ms), House(), reply(12)
    near = room.microphone(far)

    heard = house.live(near, far)

    after = slice(6 * EAR_HZ, None)
    assert level_db(near[after]) - level_db(heard.uplink[after]) >= left_db
    assert level_db(near[after]) - level_db(heard.ear[after]) >= 10


def test_nothing_of_the_first_reply_goes_up_before_the_canceller_has_heard_an_echo():
    house, far = House(), reply(3)
    loud = noise(3, EAR_HZ)  # nothing that could be cancelled

    heard = house.live(loud, far)

    audible = int(np.flatnonzero(np.abs(far) > 33)[0]) + PERIOD
    assert not heard.uplink[audible : round(1.4 * EAR_HZ)].any()
    assert heard.ear[round(0.5 * EAR_HZ) : EAR_HZ].any()
    assert heard.uplink[2 * EAR_HZ :].any()


def test_the_users_first_word_goes_up_while_the_first_chime_sounds():
    house, words = House(), user()
    chime = np.zeros_like(words)
    sound = make_earcons(EAR_HZ)["wake"]
    chime[: len(sound)] = sound

    heard = house.live(words, chime, is_reply=False)

    for part in np.split(np.arange(EAR_HZ), 4):
        assert level_db(heard.uplink[part]) == pytest.approx(level_db(words[part]), abs=2)


def test_what_is_too_soft_for_a_voice_becomes_silence_while_a_reply_sounds():
    house, far = House(), reply(6)
    murmur = (noise(6, EAR_HZ) // 400).astype(np.int16)  # -60 dBFS

    heard = house.live(murmur, far)

    assert heard.ear[3 * EAR_HZ :].any()
    assert not heard.uplink[3 * EAR_HZ :].any()


def test_the_silence_after_a_voice_over_a_reply_is_silence_again():
    house, far = House(), reply(6)
    near = np.zeros(6 * EAR_HZ, np.int16)
    near[3 * EAR_HZ : round(3.5 * EAR_HZ)] = noise(0.5, EAR_HZ)
    near[round(3.5 * EAR_HZ) :] = noise(2.5, EAR_HZ) // 400

    heard = house.live(near, far)

    assert heard.uplink[round(3.2 * EAR_HZ) : round(3.5 * EAR_HZ)].any()
    assert not heard.uplink[round(3.9 * EAR_HZ) : round(5.9 * EAR_HZ)].any()


def test_what_is_said_after_the_reply_was_cut_goes_up_at_once_however_soft():
    house, far = House(), reply(4)
    house.live(Room().microphone(far), far)
    house.gate.cut(house.at / EAR_HZ)
    murmur = (noise(2, EAR_HZ) // 400).astype(np.int16)

    heard = house.live(murmur, np.zeros_like(murmur), is_reply=False)

    assert level_db(heard.uplink[EAR_HZ:]) == pytest.approx(level_db(murmur[EAR_HZ:]), abs=3)


def test_the_user_is_heard_over_a_reply_by_both():
    room, house, far = Room(), House(), reply(10)
    near = room.microphone(far, (7.0, room.voice(user(), -5)))

    heard = house.live(near, far)

    before, during = slice(6 * EAR_HZ, round(6.9 * EAR_HZ)), slice(round(7.1 * EAR_HZ), round(8.5 * EAR_HZ))
    assert level_db(heard.uplink[during]) > level_db(heard.uplink[before]) + 15
    assert level_db(heard.ear[during]) > level_db(heard.ear[before]) + 10


def test_an_xrun_in_a_reply_costs_a_second_of_the_uplink_and_none_of_the_ear():
    house, far = House(), reply(9)
    loud = noise(9, EAR_HZ)
    house.live(loud[: 4 * EAR_HZ], far[: 4 * EAR_HZ])

    house.stage.discontinuity()
    heard = house.live(loud[4 * EAR_HZ :], far[4 * EAR_HZ :])

    assert not heard.uplink[: round(0.99 * EAR_HZ)].any()
    assert heard.uplink[round(1.2 * EAR_HZ) : round(1.5 * EAR_HZ)].any()
    assert heard.ear[: EAR_HZ // 2].any()


def test_an_xrun_between_replies_costs_nothing():
    house, far = House(), reply(4)
    house.live(Room().microphone(far), far)
    silence = np.zeros(EAR_HZ, np.int16)
    house.live(silence, silence, is_reply=False)

    house.stage.discontinuity()
    heard = house.live(noise(0.9, EAR_HZ), reply(0.9))

    assert heard.uplink[EAR_HZ // 4 :].any()


def test_while_the_speaker_rests_nothing_is_computed_and_every_sample_passes(monkeypatch: pytest.MonkeyPatch):
    house, sound = House(), noise(2, EAR_HZ)
    monkeypatch.setattr(house.stage, "_canceller", None)
    monkeypatch.setattr(house.stage, "_tap", None)

    heard = house.live(sound)

    assert np.array_equal(heard.uplink[DELAY:], sound[: len(heard.uplink) - DELAY])
    assert np.array_equal(heard.ear, heard.uplink)
    assert not heard.uplink[:DELAY].any()


def test_the_microphone_is_as_late_whether_the_speaker_runs_or_not():
    house, sound = House(), user(3)
    quiet = np.zeros_like(sound)

    resting = house.live(sound)
    running = house.live(sound, quiet, is_reply=False)
    house.reference.stop()
    again = house.live(sound)

    for heard in (resting, running, again):
        middle = slice(EAR_HZ // 2, 2 * EAR_HZ)
        match = np.correlate(
            heard.uplink[EAR_HZ // 2 - 300 : 2 * EAR_HZ + 300].astype(float), sound[middle].astype(float)
        )
        assert abs(int(np.argmax(match)) - 300 - DELAY) <= 1
        assert level_db(heard.uplink[middle]) == pytest.approx(level_db(sound[middle]), abs=1)
    assert house.stage.delay_s == DELAY / EAR_HZ


@pytest.mark.parametrize("what", ["a room's noise", "a soft voice"])
def test_neither_noise_is_suppressed_nor_a_soft_voice_made_louder(what: str):
    house = House()
    sound = noise(8, EAR_HZ) // 256 if what == "a room's noise" else user(8) // 32

    heard = house.live(sound, np.zeros_like(sound), is_reply=False)

    late = slice(4 * EAR_HZ, 7 * EAR_HZ)
    as_late = np.concatenate([np.zeros(DELAY, np.int16), sound])
    assert level_db(heard.uplink[late]) == pytest.approx(level_db(as_late[late]), abs=0.5)


def test_starting_and_stopping_the_speaker_is_not_heard_in_the_uplink():
    house = House()
    tone = np.rint(8000 * np.sin(2 * np.pi * 300 * np.arange(3 * EAR_HZ) / EAR_HZ)).astype(np.int16)
    quiet = np.zeros(EAR_HZ, np.int16)

    parts = [house.live(tone[:EAR_HZ]).uplink]
    parts.append(house.live(tone[EAR_HZ : 2 * EAR_HZ], quiet, is_reply=False).uplink)
    house.reference.stop()
    parts.append(house.live(tone[2 * EAR_HZ :]).uplink)

    steps = np.abs(np.diff(np.concatenate(parts)[DELAY:].astype(int)))
    assert steps.max() < 2 * np.abs(np.diff(tone.astype(int))).max()


@pytest.mark.parametrize("period", [80, 112, 320, 441, 1600])
def test_periods_of_any_length_lose_nothing_and_wait_for_less_than_a_step(period: int):
    house, sound = House(period), noise(2, EAR_HZ)

    heard = house.live(sound)

    passed = len(sound) // period * period
    filled = -period % 160  # silence before the first, so that whole steps leave no rest
    assert 0 <= passed + filled - len(heard.uplink) < 160
    assert np.array_equal(heard.uplink[DELAY + filled :], sound[: len(heard.uplink) - DELAY - filled])


def test_without_its_library_the_wake_word_gets_what_the_agent_gets_and_status_says_so(
    monkeypatch: pytest.MonkeyPatch,
):
    def open_nothing() -> None:
        raise OSError("there is no libspeexdsp.so.1; run: apt install libspeexdsp1")

    monkeypatch.setattr(echo, "open_tap", open_nothing)
    house, far = House(), reply(8)

    heard = house.live(Room().microphone(far), far)

    assert level_db(heard.ear[4 * EAR_HZ :]) < -50
    assert "libspeexdsp1" in str(house.stage.status()["tap"])


def test_status_tells_how_well_it_cancels():
    house, far = House(), reply(10)
    assert house.stage.status()["return_loss_db"] is None

    house.live(Room(delay_ms=80).microphone(far), far)

    status = house.stage.status()
    assert status["tap"] == "speexdsp"
    assert status["is_warm"] is True
    assert isinstance(status["return_loss_db"], float) and status["return_loss_db"] > 25
    assert status["delay_ms"] == pytest.approx(86, abs=2)  # the reference is 6 ms early
    assert status["slips"] == 0
    house.reference.push(far[:PERIOD], house.at / EAR_HZ)
    assert house.stage.status()["depth_ms"] == 20 - 6  # what came too late for the last period is not kept
