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

from pivoice import __version__, journal, service
from pivoice.agent.session import Session
from pivoice.announcements import Announcements
from pivoice.appearance import Appearance
from pivoice.audio.capture import Ears
from pivoice.audio.earcons import Earcons
from pivoice.audio.playback import Mouth
from pivoice.clock import Clock, SystemClock
from pivoice.commands import ARGUMENTS, commands_for, readings
from pivoice.config import Config
from pivoice.control import Command, Control
from pivoice.controls import Controls
from pivoice.equipment import Equipment
from pivoice.fitting import deadlines, open_listening
from pivoice.lasting import Lasting
from pivoice.panel.panel import Edge, NoPanel, Panel, open_panel
from pivoice.ringing import Ringing
from pivoice.sound import Sound
from pivoice.toolbox import Deeds, Toolbox
from pivoice.turn import actions, events
from pivoice.turn.machine import State, Turn

logger = logging.getLogger(__name__)

REST_S = 1.0  # the earcon that ends a conversation, and a bit
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
        equipment: Equipment | None = None,
        is_muted: bool = False,
        lasting: Lasting | None = None,
        commands: Mapping[str, Command] | None = None,
    ) -> None:
        """`equipment`: None makes one that keeps nothing. `lasting`: of the daemon before. `commands`: more
        of them for the control socket."""
        self.config = config
        equipment = equipment or Equipment(open_listening(config, {}), Earcons(config.audio.earcons))
        self._clock = clock or SystemClock()
        self.lasting = lasting or Lasting()
        self.sound = Sound(
            config,
            equipment.listening,
            clock=self._clock,
            post=self.post,
            report=self.report,
            replaced=self._replaced,
            left_behind=self.lasting.left_behind,
            earcons=equipment.earcons,
        )
        self.echo, self.uplink = self.sound.echo, self.sound.uplink
        self.turn = Turn(deadlines(config), half_duplex=self.echo.mode == "half_duplex")
        self.controls = Controls(
            config,
            self.sound,
            self.turn,
            clock=self._clock,
            post=self.post,
            run_tool=lambda name, arguments: self.toolbox.run_by_hand(name, arguments),
            equipment=equipment,
        )
        self.toolbox = Toolbox(config, equipment, self._deeds(), key=key)
        self.session = Session(
            config=config.agent,
            key=key,
            tools=self.toolbox.registry.offered,
            uplink=self.uplink,
            post=self.post,
            report=self.report,
            play=lambda reply, samples: self.mouth.play(reply, samples),
            end_reply=lambda reply: self.mouth.end(reply),
            today=today,
            ledger=equipment.ledger,
            memory=self.lasting.memory,
        )
        self.toolbox.registry.on_change = lambda: self.session.offer(self.toolbox.registry.offered)
        everything = {**commands_for(self), **(commands or {})}
        self.control = Control(config.control.socket, everything, arguments=ARGUMENTS)
        self.control.on_watchers = self.sound.watched
        self.seen = Appearance(config, self.turn, self.sound)
        self.chronicle = self.lasting.chronicle
        self._announcements = Announcements()
        self._inbox: deque[events.Event] = deque()
        self._is_stepping = False
        self._is_closing = False
        self._starts_muted = is_muted or self.controls.was_muted
        self._ringing = Ringing(
            self.post,
            limit_s=60 * config.tools.ring_minutes,
            over=self.toolbox.silenced,
            sound_s=equipment.earcons.duration_s("timer"),
        )
        self._stopping = asyncio.Event()
        self._rest = asyncio.Event()  # nobody has had the floor since it was cleared
        self._failure: BaseException | None = None
        self.panel: Panel = NoPanel(
            config.panel, clock=self._clock, take=self._moved, levels=self.sound.levels
        )
        self._watchdog: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._armed_serial = -1
        self._shown: tuple[object, ...] = ()
        self.next_settings = ""
        """What is known of settings that are still to come."""

    # --- life ---

    async def run(self) -> None:
        """Run until `stop`; return when everything is closed.

        Raises:
            ConfigError, PivoiceError: the control socket cannot be had.
        """
        self._loop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()
        if self.lasting.since_s is None:
            self.lasting.since_s = self._loop.time()
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

    @property
    def is_at_rest(self) -> bool:
        """Nobody has the floor."""
        return self.turn.state is State.IDLE

    @property
    def may_end(self) -> bool:
        """Nobody has the floor, and no tool is at work whose outcome was promised."""
        return self.is_at_rest and not self.toolbox.runs

    async def may_have_ended(self) -> None:
        """Return once it may end, and the sound that ended the last conversation was played."""
        while not self.may_end:
            if not self.is_at_rest:
                self._rest.clear()
                await self._rest.wait()
            await asyncio.sleep(REST_S)

    async def _open(self) -> None:
        await self.control.start()
        self.panel = open_panel(
            self.config.panel, clock=self._clock, take=self._moved, levels=self.sound.levels
        )
        self._watchdog = asyncio.create_task(self.sound.watch().run(), name="watchdog")
        self._watchdog.add_done_callback(self._watchdog_ended)
        self.session.start()
        if self._starts_muted:
            self.post(events.MuteChanged(on=True))
        if self.panel.is_switched is not None:
            self.post(events.MuteSwitched(self.panel.is_switched))
        self.sound.start()
        self.toolbox.start()
        self._show()
        service.notify_ready()
        logger.info("pivoice %s: wake %s", __version__, self.ears.listens_for)
        level = logging.WARNING if self.echo.is_fallback else logging.INFO
        logger.log(level, "echo: %s (%s)", self.echo.mode, self.echo.reason)

    async def _close(self) -> None:
        """Silence first, then the session, which costs money, and the cards, then the rest; bounded."""
        self._is_closing = True
        try:
            self.sound.stop()
            if self._watchdog:
                self._watchdog.cancel()
            self.controls.close()
            self._ringing.close()
            if self._deadline:
                self._deadline.cancel()
        finally:
            await asyncio.gather(
                self._end_session(), self.toolbox.close(), self.sound.closed(within_s=STOP_S)
            )
        for told in self.chronicle.close(readings(self)):
            self.control.publish(told)
        await self.control.close()
        self.panel.close()
        logger.info("stopped")

    async def _end_session(self) -> None:
        try:
            async with asyncio.timeout(STOP_S):
                await self.session.close()
        except TimeoutError:
            logger.warning("the session did not end within %.1f s; the server closes it within 30 s", STOP_S)

    # --- sound ---

    @property
    def ears(self) -> Ears:
        """The ears in charge."""
        return self.sound.ears

    @property
    def mouth(self) -> Mouth:
        """The mouth in charge."""
        return self.sound.mouth

    def _replaced(self, part: str, reason: str) -> None:
        logger.error("%s; another takes its place", reason)
        logger.info("where the threads stood:\n%s", journal.where_threads_stand())
        self.lasting.restarts[part] += 1
        self._observe("restart", {"part": part})

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
        self._announcements.observe(kind, facts)
        for each in (*self.chronicle.observe(line), line):
            self.control.publish(each)

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
        if fault := self.seen.note(event):
            self._observe("fault", fault)
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
        if isinstance(event, events.TimerRang):
            self._ringing.rang()
        self._ringing.follow(self.turn.ringing)
        self.controls.volume.ringing(self.turn.ringing)
        self.controls.note(event)
        if self.is_at_rest:
            self._rest.set()
            is_hung_up = isinstance(event, events.ButtonPressed) and before is not State.IDLE
            if is_hung_up or isinstance(event, events.StopAsked):
                self.toolbox.runs.end()  # who hangs up wants no outcome told, either
        if self.turn.state is not before:
            logger.debug("= %s -> %s (%s)", before.value, self.turn.state.value, type(event).__name__)
        self._announcements.tell(event)
        if could_connect and isinstance(event, events.DeadlinePassed) and "no_network" in self.turn.faults:
            self._announcements.no_conversation(waited_s)
        self._show(cause=type(event).__name__)

    def _perform(self, action: actions.Action) -> None:
        match action:
            case actions.Chime(name):
                self.mouth.chime(name)
            case actions.Connect(session):
                self._announcements.connecting()
                self.toolbox.wanted()
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
                self.toolbox.runs.start(action)
            case actions.CancelTools():
                self.toolbox.runs.cancel()
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

    def _deeds(self) -> Deeds:
        return Deeds(
            post=self.post,
            session=lambda: self.turn.session,
            set_volume=self.controls.set_volume,
            volume=lambda: self.controls.volume.level,
            chime=lambda name: self.mouth.chime(name),
            hush=lambda name: self.mouth.hush(name),
            is_waiting=lambda: self.turn.state is State.THINKING,
        )

    # --- what is seen ---

    def _show(self, *, cause: str = "") -> None:
        """Put light, status line and watchers in step with the machine, where something changed."""
        turn, seen = self.turn, self.seen
        now = (turn.state, turn.link, turn.muted, seen.conditions)
        if now == self._shown:
            return
        self._shown = now
        self.sound.lit(not self.is_at_rest)
        self.panel.show(seen.light)
        service.notify_status(seen.sentence())
        self._observe("state", {**seen.outline(), "cause": cause})

    def _moved(self, edge: Edge) -> None:
        """A button or the switch, told by any thread."""
        self._hop(self.controls.hands.take, edge)
