"""The composition root: opens the rooms, steps the turn machine, performs its actions.

Runs in the event loop's thread. Every room knows only `post` (events in) and `report` (observations
for whoever watches); this file alone knows all rooms. It decides nothing: `turn.machine` does.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from pivoice import __version__, service
from pivoice.agent.session import Session
from pivoice.appearance import Appearance
from pivoice.audio.buffers import SpokenRing, Uplink
from pivoice.audio.capture import Ears
from pivoice.audio.gate import HalfDuplexGate
from pivoice.audio.playback import Mouth
from pivoice.audio.reference import Reference
from pivoice.audio.stage import STAGES, open_stage
from pivoice.audio.wake_ear import Listening
from pivoice.clock import Clock, SystemClock
from pivoice.commands import ARGUMENTS, commands_for
from pivoice.config import Config, changed
from pivoice.control import Command, Control
from pivoice.fitting import choose_echo, deadlines, open_listening
from pivoice.latency import Latencies
from pivoice.panel.panel import NoPanel, Panel, open_panel
from pivoice.tools.builtin import end_conversation_tool, get_time_tool
from pivoice.tools.registry import Registry
from pivoice.turn import actions, events
from pivoice.turn.machine import State, Turn

logger = logging.getLogger(__name__)

# Between the threads: how long the event loop may stand still. What waits for a link waits in the agent room.
UPLINK_S = 6.0
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
        today: Callable[[], date] = date.today,
        listening: Listening | None = None,
        ledger: Path | None = None,
        is_muted: bool = False,
        commands: Mapping[str, Command] | None = None,
    ) -> None:
        """`listening`: see `open_listening`, which is called without. `ledger`: None keeps it in memory.
        `commands`: more of them for the control socket."""
        self.config = config
        self._clock = clock or SystemClock()
        self.echo = choose_echo(config)
        self.turn = Turn(deadlines(config), half_duplex=self.echo.mode == "half_duplex")
        spoken = SpokenRing()
        gate = None if self.echo.mode == "none" else HalfDuplexGate()
        reference = Reference() if self.echo.mode in STAGES else None
        doors: dict[str, Any] = {"clock": self._clock, "post": self.post, "report": self.report}
        room = {**doors, "spoken": spoken, "gate": gate}
        self.uplink = Uplink(capacity_s=UPLINK_S + config.wake.preroll_ms / 1000)
        self.ears = Ears(
            audio=config.audio,
            preroll_ms=config.wake.preroll_ms,
            listening=listening or open_listening(config, {}),
            uplink=self.uplink,
            echo=open_stage(self.echo.mode, reference, gate) if reference and gate else None,
            **room,
        )
        self.mouth = Mouth(audio=config.audio, reference=reference, **room)
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
            today=today,
            ledger=ledger,
        )
        everything = {**commands_for(self), **(commands or {})}
        self.control = Control(config.control.socket, everything, arguments=ARGUMENTS)
        self.control.on_watchers = self._watched
        self.seen = Appearance(config, self.turn, self.ears)
        self.latencies = Latencies()
        self._inbox: deque[events.Event] = deque()
        self._is_stepping = False
        self._is_closing = False
        self._starts_muted = is_muted
        self._stopping = asyncio.Event()
        self._failure: BaseException | None = None
        self.panel: Panel = NoPanel(config.panel, post=self.post, on_long_press=self._toggle_mute)
        self._watchdog: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._armed_serial = -1
        self._running_tools: set[asyncio.Task[None]] = set()
        self._shown: tuple[object, ...] = ()
        self._turns = 0
        self._obstacle = ""
        """Why the last attempt to connect came to nothing."""

    # --- life ---

    async def run(self) -> None:
        """Run until `stop`; return when everything is closed.

        Raises:
            ConfigError, PivoiceError: the control socket cannot be had.
        """
        self._loop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()
        try:
            await self._open()
            await self._stopping.wait()
        finally:
            await self._close()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Ask `run` to end. Loop only."""
        self._stopping.set()

    async def _open(self) -> None:
        await self.control.start()
        self.panel = open_panel(self.config.panel, post=self.post, on_long_press=self._toggle_mute)
        self._watchdog = asyncio.create_task(service.feed_watchdog(self._sign_of_life), name="watchdog")
        self._watchdog.add_done_callback(self._watchdog_ended)
        self.session.start()
        if self._starts_muted:
            self.post(events.MuteChanged(on=True))
        self.mouth.start()
        self.ears.start()
        self._show()
        service.notify_ready()
        logger.info("pivoice %s: wake %s", __version__, self.ears.listens_for)
        level = logging.WARNING if self.echo.is_fallback else logging.INFO
        logger.log(level, "echo: %s (%s)", self.echo.mode, self.echo.reason)

    async def _close(self) -> None:
        """Silence first, then the session, which costs money, and the cards, then the rest; bounded."""
        self._is_closing = True
        try:
            self.mouth.stop()
            self.ears.stop()
            for task in (self._watchdog, *self._running_tools):
                if task:
                    task.cancel()
            if self._deadline:
                self._deadline.cancel()
        finally:
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
        if kind == "session":
            self._obstacle = str(facts.get("reason", self._obstacle))
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
        except Exception as error:  # the top of a turn: nobody knows any more who has the floor
            self._fail(error)
        finally:
            self._is_stepping = False

    def _fail(self, error: BaseException) -> None:
        """End the daemon, and the session with it, by a mistake of ours; the service starts anew."""
        logger.error("pivoice made a mistake (%s); it ends the session, and itself", type(error).__name__)
        self._failure = self._failure or error
        self._is_closing = True
        self.stop()

    def _watchdog_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self._fail(error)

    def _step(self, event: events.Event) -> None:
        if isinstance(event, events.CaptureFound | events.CaptureLost):
            self.seen.is_starting = False
        before, could_connect = self.turn.state, "no_network" not in self.turn.conditions
        waited_s = self.turn.deadline_s
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
            why = f": {self._obstacle}" if self._obstacle else ""
            logger.error("no conversation: the agent was not ready in %g s%s", waited_s, why)
        self._show(cause=type(event).__name__)

    def _perform(self, action: actions.Action) -> None:
        match action:
            case actions.Chime(name):
                self.mouth.chime(name)
            case actions.Connect(session):
                self._obstacle = ""
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
            case events.SessionLost(_, reason, ""):
                logger.info("the conversation is over: %s", reason)
            case events.SessionLost(_, reason, "cap"):
                logger.warning("no conversation: %s", reason)  # as the owner asked for; says what to do
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
        turn, seen = self.turn, self.seen
        now = (turn.state, turn.link, turn.muted, seen.conditions)
        if now == self._shown:
            return
        self._shown = now
        self.panel.show(seen.light)
        service.notify_status(seen.sentence())
        self._observe("state", {**seen.outline(), "cause": cause})

    def _sign_of_life(self) -> object:
        """Return what changes while the microphone is heard, or a lost one is retried; None when muted."""
        return None if self.turn.muted else (self.ears.beats, self.ears.attempts)

    # --- control ---

    def change(self, setting: str, value: object) -> None:
        """Give a setting of `agent.settings.MUTABLE` another value: in the open session, and in later ones.

        Raises:
            ConfigError: it cannot have that value.
        """
        self.config = changed(self.config, setting, value)
        self.session.change(self.config.agent, [setting.removeprefix("agent.")])

    def _watched(self, watchers: int) -> None:
        """Wake scores cross the threads' border only while somebody looks at them."""
        self.ears.watching = watchers > 0

    def _toggle_mute(self) -> None:
        """A long press, in the panel's own thread."""
        self._hop(lambda: self.post(events.MuteChanged(not self.turn.muted)))
