"""What hands do to the device, in simulated time: each action, ringing, talking, the switch, and the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from pivoice.config import ButtonConfig, PanelConfig
from pivoice.hands import Hands
from pivoice.panel.panel import MUTE_SWITCH, Edge
from pivoice.simulation import JumpLoop, run_jumping
from pivoice.turn.events import (
    ButtonPressed,
    Event,
    HushAsked,
    MuteChanged,
    MuteSwitched,
    RingSilenced,
    StopAsked,
    TalkPressed,
    TalkReleased,
)


@dataclass
class Desk:
    """Hands on buttons, and what came of them: events, steps of volume, and tools."""

    loop: JumpLoop
    is_ringing: bool = False
    is_muted: bool = False
    came: list[object] = field(default_factory=list)
    at_s: list[float] = field(default_factory=list)
    """When each of them came."""

    def furnish(self, *buttons: ButtonConfig) -> Desk:
        self.hands = Hands(
            PanelConfig(button_pin=None, button=list(buttons)),
            post=self.post,
            is_ringing=lambda: self.is_ringing,
            is_muted=lambda: self.is_muted,
            change_volume=self.note,
            run_tool=lambda name, arguments: self.note((name, arguments)),
        )
        return self

    def note(self, what: object) -> None:
        self.came.append(what)
        self.at_s.append(self.loop.time())

    def post(self, event: Event) -> None:
        self.note(event)
        self.is_ringing &= not isinstance(event, RingSilenced)

    async def move(self, *moves: float, button: int = 0) -> None:
        """Press for so long, let go for so long, and so on, from now on."""
        for number, for_s in enumerate(moves):
            self.edge(number % 2 == 0, button)
            await asyncio.sleep(for_s)

    def edge(self, is_down: bool, button: int = 0) -> None:
        self.hands.take(Edge(button, is_down, self.loop.time()))


def at_desk(main: Callable[[Desk], Awaitable[None]]) -> Desk:
    async def lived(loop: JumpLoop) -> Desk:
        desk = Desk(loop)
        await main(desk)
        return desk

    return run_jumping(lived)


@pytest.mark.parametrize(
    ("action", "came"),
    [
        ("wake_or_stop", [ButtonPressed()]),
        ("mute", [MuteChanged(on=True)]),
        ("hush", [HushAsked()]),
        ("stop", [StopAsked()]),
        ("volume_up", [1]),
        ("volume_down", [-1]),
        ("push_to_talk", [TalkPressed(), TalkReleased()]),
        ("tool:lamp", [("lamp", {})]),
        ('tool:set_timer {"minutes": 5}', [("set_timer", {"minutes": 5})]),
        ("", []),
    ],
)
@pytest.mark.parametrize("slot", ["press", "double", "hold"])
def test_each_action_can_be_had_by_each_gesture(slot: str, action: str, came: list[object]):
    moves = {"press": (0.2, 1.0), "double": (0.1, 0.1, 0.1, 1.0), "hold": (1.5, 1.0)}[slot]

    async def main(desk: Desk) -> None:
        others = {"press": "", "double": "", "hold": ""}
        await desk.furnish(ButtonConfig(22, **others | {slot: action})).move(*moves)

    assert at_desk(main).came == came


def test_mute_unmutes_what_is_muted():
    async def main(desk: Desk) -> None:
        desk.is_muted = True
        await desk.furnish(ButtonConfig(22, press="mute")).move(0.2, 1.0)

    assert at_desk(main).came == [MuteChanged(on=False)]


def test_a_plain_press_acts_when_the_button_goes_down_and_one_beside_a_hold_on_release():
    async def main(desk: Desk) -> None:
        desk.furnish(ButtonConfig(22), ButtonConfig(23, hold="mute"))
        await desk.move(0.2, 1.0, button=0)
        await desk.move(0.2, 1.0, button=1)

    assert at_desk(main).at_s == pytest.approx([0.0, 1.4])


def test_a_hold_acts_while_the_button_is_down():
    async def main(desk: Desk) -> None:
        await desk.furnish(ButtonConfig(22, hold="mute", hold_s=0.7)).move(3.0, 1.0)

    assert at_desk(main).at_s == pytest.approx([0.7])


def test_buttons_do_not_mix():
    async def main(desk: Desk) -> None:
        desk.furnish(ButtonConfig(22, double="stop"), ButtonConfig(23, press="hush", double="stop"))
        await desk.move(0.1, 0.1, button=0)
        await desk.move(0.1, 1.0, button=1)

    assert at_desk(main).came == [ButtonPressed(), HushAsked()]


@pytest.mark.parametrize(("debounce_ms", "presses"), [(None, 1), (0, 3)])
def test_a_bouncing_contact_is_one_press(debounce_ms: int | None, presses: int):
    async def main(desk: Desk) -> None:
        button = ButtonConfig(22, debounce_ms=debounce_ms)
        await desk.furnish(button).move(0.002, 0.003, 0.001, 0.004, 0.3, 1.0)

    assert at_desk(main).came == presses * [ButtonPressed()]


def test_a_press_while_it_rings_silences_and_nothing_else_until_it_is_released():
    async def main(desk: Desk) -> None:
        desk.is_ringing = True
        button = ButtonConfig(22, double="stop", hold="mute")
        await desk.furnish(button).move(0.002, 0.003, 4.0, 1.0)
        await desk.move(0.1, 1.0)

    desk = at_desk(main)

    assert desk.came == [RingSilenced(), ButtonPressed()]
    assert desk.at_s[0] == 0.0  # the moment it goes down


def test_a_press_that_silences_is_no_half_of_a_double_one_and_takes_the_other_half_with_it():
    async def main(desk: Desk) -> None:
        await desk.furnish(ButtonConfig(22, double="stop")).move(0.1, 0.1)
        desk.is_ringing = True
        await desk.move(0.1, 1.0)

    assert at_desk(main).came == [RingSilenced()]


def test_a_press_that_is_known_only_once_it_rings_silences():
    async def main(desk: Desk) -> None:
        desk.furnish(ButtonConfig(22, hold="mute")).edge(True)
        await asyncio.sleep(0.2)
        desk.is_ringing = True
        desk.edge(False)

    assert at_desk(main).came == [RingSilenced()]


def test_the_talk_button_silences_what_rings_and_does_not_talk():
    async def main(desk: Desk) -> None:
        desk.is_ringing = True
        await desk.furnish(ButtonConfig(22, press="push_to_talk")).move(2.0, 1.0)

    assert at_desk(main).came == [RingSilenced()]


def test_holding_to_talk_while_it_begins_to_ring_silences_and_does_not_talk():
    async def main(desk: Desk) -> None:
        desk.furnish(ButtonConfig(22, hold="push_to_talk")).edge(True)
        await asyncio.sleep(0.2)
        desk.is_ringing = True
        await asyncio.sleep(2.0)
        desk.edge(False)
        await asyncio.sleep(1.0)

    assert at_desk(main).came == [RingSilenced()]


def test_holding_to_talk_lasts_as_long_as_it_is_held():
    async def main(desk: Desk) -> None:
        await desk.furnish(ButtonConfig(22, hold="push_to_talk", hold_s=0.5)).move(3.0, 1.0)

    desk = at_desk(main)

    assert desk.came == [TalkPressed(), TalkReleased()]
    assert desk.at_s == pytest.approx([0.5, 3.0])


def test_two_talk_buttons_talk_until_the_last_is_released():
    async def main(desk: Desk) -> None:
        desk.furnish(*(ButtonConfig(pin, press="push_to_talk") for pin in (22, 23)))
        for is_down, button in ((True, 0), (True, 1), (False, 0), (False, 1)):
            desk.edge(is_down, button)
            await asyncio.sleep(1.0)

    desk = at_desk(main)

    assert desk.came == [TalkPressed(), TalkPressed(), TalkReleased()]  # who talks already goes on
    assert desk.at_s == [0.0, 1.0, 3.0]


def test_a_talk_button_that_is_stuck_leaves_the_other_one_to_talk():
    async def main(desk: Desk) -> None:
        desk.furnish(*(ButtonConfig(pin, press="push_to_talk") for pin in (22, 23)))
        desk.edge(True, 0)  # and the conversation that it began is over, by the other end
        await asyncio.sleep(60.0)
        desk.edge(True, 1)

    desk = at_desk(main)

    assert desk.came == [TalkPressed(), TalkPressed()]
    assert desk.at_s[1] == 60.0


def test_the_switch_is_told_by_its_level_and_its_bounces_settle_to_it():
    async def main(desk: Desk) -> None:
        await desk.furnish().move(0.001, 0.002, 0.001, 0.002, 1.0, button=MUTE_SWITCH)
        await desk.move(0.001, 0.5, button=MUTE_SWITCH)

    assert at_desk(main).came == [MuteSwitched(on=True), MuteSwitched(on=False)]


def test_a_switch_that_muted_at_the_start_is_heard_when_it_does_no_more():
    async def main(desk: Desk) -> None:
        desk.furnish().edge(False, MUTE_SWITCH)

    assert at_desk(main).came == [MuteSwitched(on=False)]


def test_the_switch_is_no_press_for_what_rings():
    async def main(desk: Desk) -> None:
        desk.is_ringing = True
        await desk.furnish().move(1.0, button=MUTE_SWITCH)

    assert at_desk(main).came == [MuteSwitched(on=True)]


def test_who_closes_while_somebody_talks_lets_go_of_the_button_once():
    async def main(desk: Desk) -> None:
        desk.furnish(ButtonConfig(22, press="push_to_talk"), ButtonConfig(23, hold="mute"))
        desk.edge(True, 0)
        desk.edge(True, 1)
        desk.hands.close()
        desk.hands.close()
        desk.edge(False, 0)
        await asyncio.sleep(5.0)
        await desk.move(0.5, 0.5)

    assert at_desk(main).came == [TalkPressed(), TalkReleased()]


def test_who_is_closed_by_what_a_press_does_does_nothing_more():
    async def main(desk: Desk) -> None:
        await asyncio.sleep(2.0)
        desk.furnish(ButtonConfig(22, press="stop", double="hush", hold="mute"))
        desk.hands._post = lambda event: (desk.note(event), desk.hands.close())  # type: ignore[assignment]
        for is_down, at_s in ((True, 0.0), (False, 0.1), (True, 1.9)):  # told late: a press, and one begun
            desk.hands.take(Edge(0, is_down, at_s))
        await asyncio.sleep(5.0)

    assert at_desk(main).came == [StopAsked()]


def test_a_button_that_is_down_when_the_hands_come_is_no_press():
    async def main(desk: Desk) -> None:
        desk.furnish(ButtonConfig(22), ButtonConfig(23, hold="mute"))
        desk.edge(False, 0)
        desk.edge(False, 1)
        await asyncio.sleep(5.0)

    assert at_desk(main).came == []


def test_edges_that_are_told_late_count_by_when_they_were():
    """The loop stood still for two seconds: a short press is no hold."""

    async def main(desk: Desk) -> None:
        await asyncio.sleep(2.0)
        desk.furnish(ButtonConfig(22, hold="mute"))
        desk.hands.take(Edge(0, True, 0.1))
        desk.hands.take(Edge(0, False, 0.3))
        await asyncio.sleep(2.0)

    assert at_desk(main).came == [ButtonPressed()]
