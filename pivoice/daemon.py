"""The composition root: opens the rooms, steps the turn machine, performs its actions.

Runs in the event loop's thread. Every room knows only `post` (events in) and `report` (observations
for whoever watches); this file alone knows all rooms. It decides nothing: `turn.machine` does.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from pivoice import __version__, service
from pivoice.agent.session import Session
from pivoice.audio.buffers import SpokenRing, Uplink
from pivoice.audio.capture import Ears
from pivoice.audio.gate import HalfDuplexGate
from pivoice.audio.playback import Mouth
from pivoice.clock import Clock, SystemClock
from pivoice.commands import ARGUMENTS, commands_for
from pivoice.config import Config
from pivoice.control import Control
from pivoice.latency import Latencies
from pivoice.panel.panel import open_panel
from pivoice.panel.patterns import Pattern, pattern_for
from pivoice.tools.builtin import end_conversation_tool, get_time_tool
from pivoice.tools.registry import Registry
from pivoice.turn import actions, events
from pivoice.turn.machine import Deadlines, Link, State, Turn
from pivoice.wake.detector import Detector, WakePolicy, open_detector

logger = logging.getLogger(__name__)

UPLINK_S = 6.0  # what is kept while the link is made: 5 s of connecting, and the hops around it
STOP_S = 2.4  # all of stopping; systemd and the user are promised 3 s


class Daemon:
    """The whole device. Make it, then `await run()`.

    Raises (on construction):
        ConfigError: a wake model or another setting that only opening can check.
    """

    def __init__(
        self,
        config: Config,
        *,
        key: str,
        clock: Clock | None = None,
        detectors: tuple[Detector, Detector] | None = None,
    ) -> None:
        self.config = config
        self._clock = clock or SystemClock()
        half_duplex = config.audio.echo in ("auto", "half_duplex")
        near, far = detectors or (
            open_detector(config.wake),
            open_detector(config.wake) if half_duplex else None,
        )
        self.turn = Turn(_deadlines(config), half_duplex=half_duplex)
        spoken = SpokenRing()
        gate = HalfDuplexGate() if half_duplex else None
        doors: dict[str, Any] = {"clock": self._clock, "post": self.post, "report": self.report}
        room = {**doors, "spoken": spoken, "gate": gate}
        self.uplink = Uplink(capacity_s=UPLINK_S + config.wake.preroll_ms / 1000)
        self.ears = Ears(
            audio=config.audio,
            wake=config.wake,
            detector=near,
            far_detector=far,
            policy=WakePolicy(threshold=config.wake.threshold, refractory_s=config.wake.refractory_s),
            uplink=self.uplink,
            **room,
        )
        self.mouth = Mouth(audio=config.audio, **room)
        self.tools = Registry(
            [get_time_tool(), end_conversation_tool(self._say_goodbye)], timeout_s=config.tools.timeout_s
        )
        self.session = Session(
            config=config.agent,
            key=key,
            tools=self.tools.definitions,
            uplink=self.uplink,
            post=self.post,
            report=self.report,
            play=self.mouth.play,
            end_reply=self.mouth.end,
        )
        self.control = Control(config.control.socket, commands_for(self), arguments=ARGUMENTS)
        self.control.on_watchers = self._watched
        self.latencies = Latencies()
        self._inbox: deque[events.Event] = deque()
        self._is_stepping = False
        self._is_closing = False
        self._is_starting = True  # until the microphone is found, or lost
        self._deadline: asyncio.TimerHandle | None = None
        self._armed_serial = -1
        self._running_tools: set[asyncio.Task[None]] = set()
        self._shown: tuple[object, ...] = ()
        self._turns = 0

    # --- life ---

    async def run(self, *, handle_signals: bool = True) -> None:
        """Run until SIGTERM, SIGINT or `stop`; return when everything is closed."""
        self._loop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()
        self._stopping = asyncio.Event()
        if handle_signals:
            for number in (signal.SIGTERM, signal.SIGINT):
                self._loop.add_signal_handler(number, self._stopping.set)
        await self.control.start()
        self.panel = open_panel(self.config.panel, post=self.post, on_long_press=self._toggle_mute)
        self._watchdog = asyncio.create_task(service.feed_watchdog(self._sign_of_life), name="watchdog")
        self.mouth.start()
        self.ears.start()
        self._show()
        service.notify_ready()
        logger.info("pivoice %s: wake %s, echo %s", __version__, self.ears.listens_for, self.echo)
        try:
            await self._stopping.wait()
        finally:
            await self._close()

    def stop(self) -> None:
        """Ask `run` to end. Loop only."""
        self._stopping.set()

    async def _close(self) -> None:
        """Silence first, then the session, which costs money, and the cards, then the rest; bounded."""
        self._is_closing = True
        service.notify_stopping()
        self.mouth.stop()
        self.ears.stop()
        self._watchdog.cancel()
        if self._deadline:
            self._deadline.cancel()
        for task in self._running_tools:
            task.cancel()
        await asyncio.gather(self._end_session(), self._let_threads_end())
        await self.control.close()
        self.panel.close()
        logger.info("stopped")

    async def _end_session(self) -> None:
        try:
            async with asyncio.timeout(STOP_S):
                await self.session.close()
        except TimeoutError:
            logger.warning("the session did not end within %.1f s; the server closes it within 30 s", STOP_S)

    async def _let_threads_end(self) -> None:
        """Wait until both cards are closed; a card that hangs is left to the end of the process."""
        for _ in range(round(STOP_S / 0.01)):
            if not (self.mouth.is_running or self.ears.is_running):
                break
            await asyncio.sleep(0.01)

    # --- doors ---

    def post(self, event: events.Event) -> None:
        """Take an event from any thread; a no-op once the loop is closed."""
        if threading.get_ident() == self._thread_id:
            self._accept(event)
        else:
            self._hop(self._accept, event)

    def report(self, kind: str, facts: dict[str, object]) -> None:
        """Take an observation from any thread, for the latencies and for whoever watches."""
        if threading.get_ident() == self._thread_id:
            self._observe(kind, facts)
        else:
            self._hop(self._observe, kind, facts)

    def _hop(self, call: Callable[..., object], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:
            logger.debug("! %s after the loop was closed", arguments)

    def _observe(self, kind: str, facts: dict[str, object]) -> None:
        line = {"event": kind, "time_s": round(self._loop.time(), 4), **facts}
        for latency in self.latencies.observe(line):
            self.control.publish({"event": "latency", "time_s": line["time_s"], **latency})
        self.control.publish(line)

    # --- the machine ---

    def _accept(self, event: events.Event) -> None:
        """Step the machine with `event`, and with whatever its actions cause, one at a time."""
        if self._is_closing:
            return  # a wake word heard now would open a session that nobody closes
        self._inbox.append(event)
        if self._is_stepping:
            return
        self._is_stepping = True
        try:
            while self._inbox:
                self._step(self._inbox.popleft())
        finally:
            self._is_stepping = False

    def _step(self, event: events.Event) -> None:
        if isinstance(event, events.CaptureFound | events.CaptureLost):
            self._is_starting = False
        before, could_connect = self.turn.state, "no_network" not in self.turn.conditions
        for action in self.turn.step(event):
            logger.debug("= %s", action)
            try:
                self._perform(action)
            except Exception:  # the top of a turn: one room's mistake must not leave it without a deadline
                logger.exception("%s went wrong", action)
        self.ears.set_valve(self.turn.uplink)
        self.ears.set_muted(not self.turn.wants_microphone)
        self.mouth.set_ducked(self.turn.is_ducked)
        self._arm_deadline()
        if self.turn.state is not before:
            self._turns += before is State.IDLE
            cause = type(event).__name__
            logger.info("turn %d: %s -> %s (%s)", self._turns, before.value, self.turn.state.value, cause)
        self._note(event)
        if (
            could_connect
            and "no_network" in self.turn.conditions
            and isinstance(event, events.DeadlinePassed)
        ):
            logger.error("no conversation: the agent was not ready in %g s", self.config.turn.connect_s)
        self._show(cause=type(event).__name__)

    def _perform(self, action: actions.Action) -> None:
        match action:
            case actions.Chime(name):
                self.mouth.chime(name)
            case actions.Connect(session):
                self.session.open(session)
            case actions.End():
                self.session.end()
            case actions.Linger():
                self.session.linger()
            case actions.Drop(reply):
                self.mouth.drop(reply)
                self.session.drop_reply(reply)
            case actions.OpenUplink(position, preroll):
                self.ears.open_uplink(position, preroll)
            case actions.RunTool():
                self._run_tool(action)
            case actions.CancelTools():
                for task in self._running_tools:
                    task.cancel()
                self.session.cancel_tools()
            case actions.SendToolResult(call_id, result, is_error):
                self.session.send_tool_result(call_id, result, is_error)
            case actions.Say(text):
                self.session.say(text)
            case actions.AskAgain():
                self.session.ask_again()
            case _:
                raise AssertionError(f"no room performs {action}")

    def _arm_deadline(self) -> None:
        if self.turn.deadline_serial == self._armed_serial:
            return
        self._armed_serial = self.turn.deadline_serial
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None
        if self.turn.deadline_s is not None:
            passed = events.DeadlinePassed(self._armed_serial)
            self._deadline = self._loop.call_later(self.turn.deadline_s, self.post, passed)

    def _note(self, event: events.Event) -> None:
        """Say in the log what somebody must act on, or will look for."""
        match event:
            case events.WakeHeard(model, score):
                logger.info('wake word "%s" (%.2f)', model, score)
            case events.SessionLost(_, reason):
                logger.error("no conversation: %s", reason)
            case events.MuteChanged(on):
                logger.info("muted" if on else "unmuted")

    # --- tools ---

    def _run_tool(self, call: actions.RunTool) -> None:
        async def run() -> None:
            answer = await self.tools.run(call.name, call.arguments)
            self.post(events.ToolFinished(call.session, call.call_id, answer.text, answer.is_error))

        task = asyncio.create_task(run(), name=f"tool {call.name}")
        self._running_tools.add(task)
        task.add_done_callback(self._running_tools.discard)

    def _say_goodbye(self) -> None:
        self.post(events.GoodbyeAsked(self.turn.session))

    # --- what is seen ---

    def _show(self, *, cause: str = "") -> None:
        """Put light, status line and watchers in step with the machine, where something changed."""
        turn = self.turn
        now = (turn.state, turn.link, turn.muted, self._conditions)
        if now == self._shown:
            return
        self._shown = now
        light = self._light()
        self.panel.show(light)
        service.notify_status(self.sentence())
        self._observe("state", {**self.outline(), "cause": cause})

    def _light(self) -> Pattern:
        turn = self.turn
        return pattern_for(turn.state.value, turn.link.value, turn.muted, self._conditions)

    @property
    def _conditions(self) -> frozenset[str]:
        """What the light shows besides the state; a link that comes back is told from a new one."""
        turn = self.turn
        is_back = turn.link is Link.CONNECTING and turn.memory.was_up
        more = {"reconnecting": is_back, "starting": self._is_starting and turn.state is State.IDLE}
        return turn.conditions | {name for name, holds in more.items() if holds}

    @property
    def hears(self) -> bool:
        """Whether the microphone is open and heard."""
        return self.ears.is_open and not self._conditions & {"starting", "no_microphone"}

    def outline(self) -> dict[str, object]:
        """Return who has the floor and what the light shows: `ctl watch` tells it at every change."""
        turn, light = self.turn, self._light()
        return {
            "state": turn.state.value,
            "link": turn.link.value,
            "muted": turn.muted,
            "conditions": sorted(self._conditions),
            "light": {"pattern": light.name, "colour": list(light.colour), "style": light.style},
        }

    def sentence(self) -> str:
        """What `systemctl status` says: whether it hears."""
        if self.turn.muted:
            return "muted: the microphone is closed"
        if "no_microphone" in self.turn.conditions:
            return f"no microphone: {self.config.audio.capture!r} is being retried"
        if self._is_starting:
            return f"opening the microphone {self.config.audio.capture!r}"
        if self.turn.state is State.IDLE:
            return f"hears; waiting for {self.ears.listens_for}"
        return f"in a conversation: {self.turn.state.value}"

    @property
    def echo(self) -> str:
        """Return what `audio.echo` stands for; "auto" is half duplex until there is a canceller."""
        return "half_duplex" if self.config.audio.echo == "auto" else self.config.audio.echo

    def _sign_of_life(self) -> object:
        """Return what changes while the microphone is heard, or a lost one is retried; None when muted."""
        return None if self.turn.muted else (self.ears.beats, self.ears.attempts)

    # --- control ---

    def _watched(self, watchers: int) -> None:
        """Wake scores cross the threads' border only while somebody looks at them."""
        self.ears.watching = watchers > 0

    def _toggle_mute(self) -> None:
        """A long press, in the panel's own thread."""
        self._hop(lambda: self.post(events.MuteChanged(not self.turn.muted)))


def _deadlines(config: Config) -> Deadlines:
    turn = config.turn
    return Deadlines(
        follow_up_s=turn.follow_up_s,
        no_speech_s=turn.no_speech_s,
        long_speech_s=turn.long_speech_s,
        no_reply_s=turn.no_reply_s,
        long_reply_s=turn.long_reply_s,
        yield_s=turn.yield_s,
        yield_short_s=turn.yield_short_s,
        connect_s=turn.connect_s,
        tool_s=config.tools.timeout_s,
    )
