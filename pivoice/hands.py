"""What the owner's hands do: from the edges of buttons and switch to what they are mapped to.

Event loop only. Decides nothing about the conversation: it posts events, and asks for volume and tools.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pivoice.button_actions import Act, act_of
from pivoice.config import ButtonConfig, PanelConfig
from pivoice.panel.gestures import Contact, Gesture, Gestures
from pivoice.panel.panel import MUTE_SWITCH, Edge
from pivoice.turn import events


class Hands:
    """See the module."""

    def __init__(
        self,
        config: PanelConfig,
        *,
        post: Callable[[events.Event], None],
        is_ringing: Callable[[], bool],
        is_muted: Callable[[], bool],
        change_volume: Callable[[int], None],
        run_tool: Callable[[str, dict[str, object]], None],
    ) -> None:
        """`change_volume`: by so many steps, up or down."""
        self._post = post
        self._is_ringing = is_ringing
        self._is_muted = is_muted
        self._change_volume = change_volume
        self._run_tool = run_tool
        self._buttons = [_Button(config, each, self._told, is_ringing) for each in config.buttons]
        self._switch = _Switch(config.debounce_ms / 1000, post)
        self._talking: set[int] = set()  # push-to-talk buttons that are down, by id
        self._is_closed = False

    def take(self, edge: Edge) -> None:
        """Take what the panel tells, hopped to the loop."""
        if self._is_closed:
            return
        if edge.button == MUTE_SWITCH:
            self._switch.take(edge.is_down, edge.time_s)
        else:
            self._buttons[edge.button].take(edge.is_down, edge.time_s)

    def close(self) -> None:
        """Let go of every button: who talks while one is held has ended. Safe to call twice."""
        self._is_closed = True
        self._switch.close()
        for button in self._buttons:
            button.close()
        if self._talking:
            self._talking.clear()
            self._post(events.TalkReleased())

    def _told(self, button: _Button, gesture: Gesture | None) -> None:
        """Do what a gesture is mapped to; None: a press while it rings, which silences, and nothing else."""
        if gesture is None:
            self._post(events.RingSilenced())
            return
        act = button.acts[gesture.kind]
        if act is None:
            return
        if not gesture.is_over and self._is_ringing():  # pressed before it rang, and known only now
            self._post(events.RingSilenced())
        elif act.name == "push_to_talk":
            self._talk(id(button), not gesture.is_over)
        elif not gesture.is_over:
            self._do(act)

    def _talk(self, button: int, is_down: bool) -> None:
        was_talking = bool(self._talking)
        if is_down:
            self._talking.add(button)
            # by each of them: another one may be stuck, and what it began over long since
            self._post(events.TalkPressed())
        else:
            self._talking.discard(button)
            if was_talking and not self._talking:
                self._post(events.TalkReleased())

    def _do(self, act: Act) -> None:
        match act.name:
            case "wake_or_stop":
                self._post(events.ButtonPressed())
            case "mute":
                self._post(events.MuteChanged(on=not self._is_muted()))
            case "hush":
                self._post(events.HushAsked())
            case "stop":
                self._post(events.StopAsked())
            case "volume_up":
                self._change_volume(1)
            case "volume_down":
                self._change_volume(-1)
            case "tool":
                self._run_tool(act.tool, act.arguments)
            case _:
                raise AssertionError(f"no hand does {act}")


class _Timer:
    """One timer on the loop, for whichever of two deadlines comes first."""

    def __init__(self, passed: Callable[[float], None]) -> None:
        self._passed = passed
        self._handle: asyncio.TimerHandle | None = None
        self._is_closed = False

    def arm(self, *deadlines_s: float | None) -> None:
        self._cancel()
        due_s = min((each for each in deadlines_s if each is not None), default=None)
        if due_s is not None and not self._is_closed:
            # the deadline itself is told: the loop may be a hair early
            self._handle = asyncio.get_running_loop().call_at(due_s, self._passed, due_s)

    def close(self) -> None:
        self._is_closed = True
        self._cancel()

    def _cancel(self) -> None:
        if self._handle:
            self._handle.cancel()
            self._handle = None


class _Button:
    """One button: its contact, what its finger does, and what that is mapped to."""

    def __init__(
        self,
        panel: PanelConfig,
        config: ButtonConfig,
        told: Callable[[_Button, Gesture | None], None],
        is_ringing: Callable[[], bool],
    ) -> None:
        """`told` gets None for a press that only silences what rings."""
        self.acts = {
            "press": act_of(config.press),
            "double": act_of(config.double),
            "hold": act_of(config.hold),
        }
        debounce_ms = panel.debounce_ms if config.debounce_ms is None else config.debounce_ms
        hold_s = panel.long_press_s if config.hold_s is None else config.hold_s
        self._contact = Contact(debounce_ms / 1000)
        self._gestures = Gestures(
            hold_s=hold_s if config.hold else None, double_s=panel.double_press_s if config.double else None
        )
        self._told = told
        self._is_ringing = is_ringing
        self._is_swallowed = False
        self._timer = _Timer(self._passed)

    def take(self, is_down: bool, time_s: float) -> None:
        self._changed(self._contact.moved(is_down, time_s), time_s)

    def close(self) -> None:
        self._timer.close()

    def _passed(self, time_s: float) -> None:
        self._changed(self._contact.passed(time_s), time_s)

    def _changed(self, changes: list[tuple[bool, float]], time_s: float) -> None:
        for is_down, at_s in changes:
            if is_down and self._is_ringing():
                self._is_swallowed = True
                self._gestures.forget()
                self._told(self, None)
            elif self._is_swallowed:
                self._is_swallowed = False  # it is up
            else:
                self._tell(self._gestures.moved(is_down, at_s))
        self._tell(self._gestures.passed(time_s))
        self._timer.arm(self._contact.deadline_s, self._gestures.deadline_s)

    def _tell(self, gestures: list[Gesture]) -> None:
        for gesture in gestures:
            self._told(self, gesture)


class _Switch:
    """A switch that mutes for as long as it is where it is."""

    def __init__(self, still_s: float, post: Callable[[events.Event], None]) -> None:
        self._contact = Contact(still_s, is_down=None)
        self._post = post
        self._timer = _Timer(self._passed)

    def take(self, is_down: bool, time_s: float) -> None:
        self._changed(self._contact.moved(is_down, time_s))

    def close(self) -> None:
        self._timer.close()

    def _passed(self, time_s: float) -> None:
        self._changed(self._contact.passed(time_s))

    def _changed(self, changes: list[tuple[bool, float]]) -> None:
        for is_muting, _ in changes:
            self._post(events.MuteSwitched(on=is_muting))
        self._timer.arm(self._contact.deadline_s)
