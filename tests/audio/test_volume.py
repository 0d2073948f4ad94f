"""The volume: one scale, whoever does it, kept, bounded, and never waited for."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pivoice.audio import simulated_mixer
from pivoice.audio.loudness_scale import Scale, gain_factor, softness
from pivoice.audio.simulated_mixer import Fitting
from pivoice.audio.volume import RING_LEAST, WRITE_S, Volume
from pivoice.audio.volume_side import PATIENCE_S
from pivoice.config import AudioConfig
from pivoice.simulation import JumpLoop, run_jumping


@dataclass
class House:
    """A volume, and what it told the audio threads."""

    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)
    soft: list[float] = field(default_factory=list)
    loud: list[float] = field(default_factory=list)
    turns: int = 0
    """How often the canceller was told."""

    def __post_init__(self) -> None:
        self.pcm = f"simulated:{self.folder / 'card.wav'}"
        self.record = self.folder / "volume.json"

    def speaker(self, scale: Scale = Scale("playback", -60.0, 0.0), **kinds: Any) -> Fitting:
        """Give the card a volume control."""
        return simulated_mixer.fit(self.pcm, Fitting("PCM", scale, **kinds))

    def microphone(self, **kinds: Any) -> Fitting:
        return simulated_mixer.fit(self.pcm, Fitting("Mic", Scale("capture", -12.0, 23.0), **kinds))

    def _turn(self) -> None:
        self.turns += 1

    def run(self, script: Callable[[Volume, JumpLoop], Awaitable[None]]) -> None:
        async def main(loop: JumpLoop) -> None:
            volume = Volume(
                AudioConfig(capture=self.pcm, playback=self.pcm, **self.settings),
                record=self.record,
                soften=self.soft.append,
                amplify=self.loud.append,
                turned=self._turn,
                clock=loop.clock,
            )
            await script(volume, loop)
            volume.close()

        run_jumping(main)


@pytest.fixture
def house(tmp_path: Path) -> Any:
    made = House(tmp_path)
    yield made
    simulated_mixer.remove(made.pcm)


async def set_to(volume: Volume, level: int) -> None:
    volume.found("playback")
    assert await volume.set_level(level) == level


# --- in software ---


def test_without_a_control_the_samples_are_made_softer(house: House):
    async def script(volume: Volume, loop: JumpLoop) -> None:
        await set_to(volume, 50)
        assert volume.status()["by"] == "software"

    house.run(script)

    assert house.soft[0] == 1.0
    assert house.soft[-1] == pytest.approx(0.125)


@pytest.mark.parametrize(("settings", "level"), [({}, 100), ({"max_volume": 60}, 60), ({"volume": 30}, 30)])
def test_before_anybody_changed_it_it_is_what_the_settings_say(house: House, settings: Any, level: int):
    house.settings = settings

    async def script(volume: Volume, loop: JumpLoop) -> None:
        volume.found("playback")
        assert volume.level == level

    house.run(script)

    assert house.soft[-1] == pytest.approx(softness(level))


@pytest.mark.parametrize("wanted", [61, 100, 1000])
def test_it_is_never_above_the_most(house: House, wanted: int):
    house.settings = {"max_volume": 60}

    async def script(volume: Volume, loop: JumpLoop) -> None:
        assert await volume.set_level(wanted) == 60

    house.run(script)

    assert max(house.soft) == pytest.approx(softness(60))


def test_none_leaves_the_control_alone(house: House):
    house.settings, control = {"mixer": "none"}, house.speaker(value=-20.0)

    async def script(volume: Volume, loop: JumpLoop) -> None:
        await set_to(volume, 50)

    house.run(script)

    assert not control.writes
    assert house.soft[-1] == pytest.approx(0.125)


def test_steps_add_up_and_end_at_the_ends(house: House):
    house.settings = {"volume": 50, "volume_step": 20}

    async def script(volume: Volume, loop: JumpLoop) -> None:
        assert [await volume.step(steps) for steps in (1, 1, 1, -2, -5)] == [70, 90, 100, 60, 0]

    house.run(script)

    assert house.soft[-1] == 0.0


def test_steps_at_once_all_count(house: House):
    house.settings, _ = {"volume": 50}, house.speaker()

    async def script(volume: Volume, loop: JumpLoop) -> None:
        volume.found("playback")
        await asyncio.gather(*(volume.step(1) for _ in range(3)))
        assert volume.level == 80

    house.run(script)


# --- on the card ---


def test_a_control_does_what_it_can_and_the_samples_the_rest(house: House):
    control = house.speaker(step=6.0)

    async def script(volume: Volume, loop: JumpLoop) -> None:
        await set_to(volume, 50)  # -18.06 dB
        assert control.value == -18.0
        assert house.soft[-1] == pytest.approx(10 ** (-0.06 / 20), abs=1e-3)
        await volume.set_level(60)  # -13.3 dB
        assert control.value == -12.0
        assert house.soft[-1] == pytest.approx(10 ** (-1.31 / 20), abs=1e-3)

    house.run(script)


def test_a_control_that_does_not_go_far_enough_down_is_helped_out(house: House):
    control = house.speaker(Scale("playback", -20.0, 0.0))

    async def script(volume: Volume, loop: JumpLoop) -> None:
        await set_to(volume, 10)  # -60 dB
        assert control.value == -20.0
        assert house.soft[-1] == pytest.approx(0.01)
        await volume.set_level(0)
        assert house.soft[-1] == 0.0

    house.run(script)


def test_full_is_0_db_on_a_card_that_amplifies(house: House):
    control = house.speaker(Scale("playback", -60.0, 12.0), value=-60.0)

    async def script(volume: Volume, loop: JumpLoop) -> None:
        await set_to(volume, 100)

    house.run(script)

    assert control.value == 0.0


def test_with_nothing_kept_a_control_stays_where_it_is(house: House):
    control = house.speaker(value=-18.0)

    async def script(volume: Volume, loop: JumpLoop) -> None:
        volume.found("playback")
        await volume.look()
        assert volume.level == 50
        assert volume.status()["by"] == "mixer 'PCM' of card card.wav"

    house.run(script)

    assert not control.writes
    assert house.soft[-1] == 1.0
    assert not house.record.exists()


@pytest.mark.parametrize(("most", "left_at"), [(50, -18.0), (100, 6.0)])
def test_what_is_louder_than_the_most_is_lowered_to_it(house: House, most: int, left_at: float):
    house.settings = {"max_volume": most}
    control = house.speaker(Scale("playback", -60.0, 12.0), value=6.0)

    async def script(volume: Volume, loop: JumpLoop) -> None:
        volume.found("playback")
        await volume.look()
        assert volume.level == most

    house.run(script)

    assert control.value == left_at


def test_another_hand_on_the_control_is_seen_and_believed(house: House):
    control = house.speaker()

    async def script(volume: Volume, loop: JumpLoop) -> None:
        await set_to(volume, 50)
        control.value = -31.0
        await volume.look()
        assert volume.level == 30
        assert house.soft[-1] == 1.0
        control.is_on = False
        await volume.look()
        assert volume.level == 0
        await asyncio.sleep(5)
        control.is_on = True
        assert await volume.step(1) == 40  # from where it is

    house.run(script)

    assert b'"volume":40' in house.record.read_bytes()


def test_another_hand_does_not_get_past_the_most(house: House):
    house.settings, control = {"max_volume": 50}, house.speaker()

    async def script(volume: Volume, loop: JumpLoop) -> None:
        await set_to(volume, 30)
        control.value = 0.0
        await volume.look()
        assert volume.level == 50

    house.run(script)

    assert control.value == -18.0


def test_a_look_before_the_card_is_there_forgets_nothing(house: House):
    house.settings, control = {"volume": 50}, house.speaker(value=0.0)

    async def script(volume: Volume, loop: JumpLoop) -> None:
        await volume.look()
        assert volume.level == 50

    house.run(script)

    assert control.value == -18.0


def test_a_card_that_comes_back_is_put_where_it_was(house: House):
    control = house.speaker()

    async def script(volume: Volume, loop: JumpLoop) -> None:
        await set_to(volume, 50)
        control.value = 0.0  # as it comes out of its box
        volume.found("playback")
        assert house.soft[-1] == pytest.approx(0.125)  # not for a moment too loud
        await volume.look()
        assert (volume.level, control.value) == (50, -18.0)

    house.run(script)


def test_the_last_wish_wins_and_the_ones_between_are_not_carried_out(house: House):
    control = house.speaker()

    async def script(volume: Volume, loop: JumpLoop) -> None:
        control.on_use = lambda: loop.clock.wait(threading.Event(), 0.01) and None  # a USB transfer
        first = asyncio.ensure_future(volume.set_level(10))
        await asyncio.sleep(0.005)
        await asyncio.gather(first, *(volume.set_level(level) for level in (20, 30, 40, 50)))

    house.run(script)

    assert control.writes == [-60.0, -18.0]


def test_what_is_wished_during_a_look_is_not_undone_by_what_was_seen(house: House):
    control = house.speaker()

    async def script(volume: Volume, loop: JumpLoop) -> None:
        await set_to(volume, 50)
        control.value = -31.0
        control.on_use = lambda: loop.clock.wait(threading.Event(), 0.01) and None
        look = asyncio.ensure_future(volume.look())
        await asyncio.sleep(0.005)
        assert await volume.set_level(80) == 80
        await look

    house.run(script)

    assert control.value == -5.0


def test_a_card_without_decibels_moves_by_parts(house: House):
    control = house.speaker(Scale("playback", 0.0, 1.0, has_db=False), step=0.1)

    async def script(volume: Volume, loop: JumpLoop) -> None:
        await set_to(volume, 55)
        await volume.look()
        assert volume.level == 55

    house.run(script)

    assert control.value == pytest.approx(0.6)
    assert house.soft[-1] == pytest.approx((55 / 60) ** 3)  # the samples do the rest, here too


def test_a_card_without_decibels_is_not_a_step_louder_than_it_may_be(house: House):
    control = house.speaker(Scale("playback", 0.0, 1.0, has_db=False), step=1 / 8)
    house.settings = {"max_volume": 30}

    async def script(volume: Volume, loop: JumpLoop) -> None:
        volume.found("playback")
        await volume.set_level(100)

    house.run(script)

    assert control.value == pytest.approx(3 / 8)
    assert softness(round(100 * control.value)) * house.soft[-1] <= 1.05 * softness(30)


# --- a card that does not do it ---


def test_a_control_that_fails_is_told_once_and_the_samples_take_over(house: House, caplog: Any):
    control = house.speaker()

    async def script(volume: Volume, loop: JumpLoop) -> None:
        await set_to(volume, 80)
        control.fault = "Input/output error"
        await volume.set_level(50)
        await volume.set_level(40)
        assert volume.status()["by"] == "software"
        assert house.soft[-1] == pytest.approx(softness(40) / softness(80), rel=0.15)
        control.fault = ""
        await volume.set_level(50)
        assert house.soft[-1] == pytest.approx(1.0, abs=0.01)

    with caplog.at_level(logging.WARNING):
        house.run(script)

    assert [each.getMessage() for each in caplog.records] == [
        "cannot ask \"mixer 'PCM' of card card.wav\": Input/output error"
    ]


def test_a_control_that_hangs_is_waited_for_two_seconds_and_done_when_it_is_back(house: House):
    control = house.speaker()

    async def script(volume: Volume, loop: JumpLoop) -> None:
        await set_to(volume, 80)
        back = threading.Event()
        control.on_use = lambda: loop.clock.wait(back) and None
        asked_s = loop.time()
        await volume.set_level(50)
        assert loop.time() - asked_s == pytest.approx(PATIENCE_S)
        assert house.soft[-1] == pytest.approx(softness(50) / softness(80), rel=0.15)
        await volume.set_level(40)
        assert loop.time() - asked_s == pytest.approx(PATIENCE_S)  # not again
        back.set()
        await asyncio.sleep(0.1)
        assert volume.status()["by"] != "software"

    house.run(script)

    assert control.value == -23.0


# --- the microphone ---


def test_a_microphone_without_a_control_is_amplified(house: House):
    async def script(volume: Volume, loop: JumpLoop) -> None:
        assert volume.gain == 50
        for gain in (80, 50, 0):
            assert await volume.set_gain(gain) == gain

    house.run(script)

    assert house.loud == [pytest.approx(factor) for factor in (1.0, gain_factor(80), 1.0, 10**-1.5)]


def test_a_microphone_with_a_control_is_turned_up_to_its_end(house: House):
    control = house.microphone(value=0.0)

    async def script(volume: Volume, loop: JumpLoop) -> None:
        volume.found("capture")
        await volume.look()
        assert volume.gain == 41
        await volume.set_gain(100)
        assert control.value == 23.0
        await volume.set_gain(0)
        assert control.value == -12.0

    house.run(script)

    assert set(house.loud) == {1.0}


# --- kept ---


def test_both_are_kept_over_a_restart(house: House):
    async def first(volume: Volume, loop: JumpLoop) -> None:
        await volume.set_level(70)
        await volume.set_gain(60)

    async def second(volume: Volume, loop: JumpLoop) -> None:
        assert (volume.level, volume.gain) == (70, 60)

    house.run(first)
    house.settings = {"volume": 20}
    house.run(second)

    assert house.soft[-1] == pytest.approx(softness(70))


def test_a_configured_volume_is_not_kept_as_if_somebody_had_chosen_it(house: House):
    house.settings = {"volume": 20}

    async def script(volume: Volume, loop: JumpLoop) -> None:
        await volume.set_gain(60)

    house.run(script)

    assert house.record.read_text() == '{"volume":null,"gain":60}'


def test_a_button_that_is_held_writes_now_and_then(house: House):
    written: set[bytes] = set()

    async def script(volume: Volume, loop: JumpLoop) -> None:
        for _ in range(100):  # ten seconds
            await volume.step(-1)
            await volume.step(1)
            await volume.step(-1)
            await asyncio.sleep(0.1)
            if house.record.exists():
                written.add(house.record.stat().st_mtime_ns.to_bytes(8))
        assert len(written) <= 10 / WRITE_S + 1

    house.run(script)

    assert written


def test_what_is_kept_and_louder_than_a_new_most_is_no_louder(house: House):
    house.record.write_text('{"volume":90,"gain":null}')
    house.settings = {"max_volume": 40}

    async def script(volume: Volume, loop: JumpLoop) -> None:
        assert volume.level == 40

    house.run(script)

    assert max(house.soft) == pytest.approx(softness(40))


# --- a timer ---


@pytest.mark.parametrize(("most", "rings_at"), [(100, RING_LEAST), (30, 30)])
def test_a_timer_is_heard_at_any_volume(house: House, most: int, rings_at: int):
    house.settings = {"max_volume": most}

    async def script(volume: Volume, loop: JumpLoop) -> None:
        await volume.set_level(0)
        volume.ringing(True)
        assert house.soft[-1] == pytest.approx(softness(rings_at))
        assert volume.level == 0
        volume.ringing(False)

    house.run(script)

    assert house.soft[-1] == 0.0


def test_a_control_that_nobody_ever_moved_is_put_back_after_the_ringing(house: House):
    control = house.speaker(value=-50.0)

    async def script(volume: Volume, loop: JumpLoop) -> None:
        volume.found("playback")
        await volume.look()
        volume.ringing(True)
        await volume.look()
        assert control.value == -23.0
        volume.ringing(False)
        await volume.look()
        assert control.value == pytest.approx(-49.0)
        assert volume.level == 15

    house.run(script)


def test_a_timer_does_not_make_a_loud_speaker_softer(house: House):
    async def script(volume: Volume, loop: JumpLoop) -> None:
        await volume.set_level(80)
        volume.ringing(True)

    house.run(script)

    assert house.soft[-1] == pytest.approx(softness(80))


# --- the canceller ---


def test_the_canceller_is_told_what_it_cannot_see_and_nothing_else(house: House):
    house.speaker(value=0.0)

    async def script(volume: Volume, loop: JumpLoop) -> None:
        volume.found("playback")
        for level, told in ((100, 0), (98, 0), (60, 1), (40, 2), (40, 2)):
            await volume.set_level(level)
            assert house.turns == told
        for gain, told in ((52, 2), (80, 3), (50, 4)):
            await volume.set_gain(gain)
            assert house.turns == told

    house.run(script)


def test_a_volume_that_the_samples_make_is_no_news_to_the_canceller(house: House):
    async def script(volume: Volume, loop: JumpLoop) -> None:
        volume.found("playback")
        for level in (100, 20, 0, 70):
            await volume.set_level(level)

    house.run(script)

    assert house.turns == 0
