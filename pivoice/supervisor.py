"""One daemon after the other in one process: start, reload, stop.

Event loop only, save that a configuration is read and its wake models are loaded in a thread of asyncio's
while the daemon goes on. Owns the process's signals. No conversation is cut off for other settings: the
daemon that has them begins once it is over. Should the loop itself hang, it is interrupted, and a daemon
begins anew.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pivoice import config, journal, service
from pivoice.agent.keys import find_key
from pivoice.agent.rest import tls_for
from pivoice.caller import Line
from pivoice.clock import SystemClock
from pivoice.config import Config
from pivoice.control import Control
from pivoice.daemon import Daemon
from pivoice.equipment import Equipment, open_equipment
from pivoice.errors import ConfigError, Fault, PivoiceError
from pivoice.lasting import Lasting
from pivoice.live_settings import adopt
from pivoice.watchdog import LoopWatch

logger = logging.getLogger(__name__)

_INTERRUPTION = signal.SIGUSR1  # gets a loop that hangs out of what it hangs in; from others it does nothing


@dataclass(frozen=True)
class Start:
    """What a daemon begins with; whatever of it can be wrong was tried."""

    config: Config
    key: str = field(repr=False)
    equipment: Equipment
    path: str
    """Of the configuration file, for people."""


def prepare(settings: Config, environ: Mapping[str, str], *, path: str) -> Start:
    """Find the key, load the wake models and what TLS trusts. Any thread, but the event loop's.

    Raises:
        ConfigError: what `settings` name cannot be used; names `path`.
    """
    tls_for(settings.agent.url)  # kept; half a second of a Pi, which the first conversation need not wait for
    try:
        return Start(settings, find_key(settings.agent, environ), open_equipment(settings, environ), path)
    except ConfigError as error:
        error.path = error.path or path
        raise


def prepare_anew(path: str, environ: Mapping[str, str]) -> Start:
    """Read the configuration again and `prepare`. Any thread.

    Raises:
        ConfigError: it cannot be used. That it is not there meant all defaults at the start; now it is a
            mistake, or an editor at work.
    """
    if not Path(path).exists():
        raise ConfigError([Fault("", "is not there")], path=path)
    return prepare(config.load(path), environ, path=path)


class Supervisor:
    """Runs daemons until SIGTERM, SIGINT or `stop`; SIGHUP reloads, as `reload` does."""

    def __init__(
        self, first: Start, read: Callable[[], Start], *, open_daemon: Callable[..., Daemon] = Daemon
    ) -> None:
        """`read` brings what the next daemon begins with; called in a thread, it may raise a ConfigError.
        `open_daemon` is called as `Daemon` is."""
        self._read = read
        self._open_daemon = open_daemon
        self._now = first
        self._next: Start | None = None
        self._lasting = Lasting()
        self._waiting: asyncio.Task[None] | None = None  # for the end of a conversation
        self._preparing = asyncio.Lock()
        self._is_stopping = False
        self._hangups = 0  # SIGHUPs whose configuration was not read yet
        self._hangup: asyncio.Task[None] | None = None
        self.daemon = self._daemon(first)
        """The one that runs."""

    async def run(self, *, handle_signals: bool = True) -> None:
        """Run the daemon, and after each reload the one that follows it; return once stopped."""
        journal.use_loop(asyncio.get_running_loop())
        loop_watch = self._watch_loop() if handle_signals else None
        if loop_watch:
            beating = asyncio.create_task(loop_watch.beat(), name="loop beat")
        try:
            while True:
                await self._run_daemon()
                if (start := self._next) is None:
                    return
                self._now, self._next = start, None
                self.daemon = self._daemon(start, is_muted=self.daemon.turn.mute_asked)
        finally:
            if loop_watch:
                loop_watch.stop()
                beating.cancel()

    async def _run_daemon(self) -> None:
        try:
            await self.daemon.run()
        except Exception:  # the top of a daemon
            if self._next is None:
                raise
            logger.exception("pivoice begins anew")
        finally:
            if self._waiting:
                self._waiting.cancel()

    def stop(self) -> None:
        """Ask `run` to end. Loop only."""
        self._is_stopping, self._next = True, None
        service.notify_stopping()
        self.daemon.stop()

    async def reload(self) -> Line:
        """Read the configuration again, and end this daemon for one that follows it.

        At once where nobody has the floor. Else what a session can change holds at once, and the rest once
        the conversation is over: "waits" says so.

        Raises:
            PivoiceError: the new settings cannot be used; says all that is wrong. Nothing has changed.
        """
        if self._preparing.locked():
            raise PivoiceError("a reload is under way already; try again in a moment")
        return await self._reload_in_turn()

    async def _reload_in_turn(self) -> Line:
        try:
            async with self._preparing:
                start = await asyncio.to_thread(self._read)
                await self._try_socket(start.config.control.socket)
        except PivoiceError as error:
            logger.error("not reloaded, the settings in force stay: %s", error)
            raise PivoiceError(f"{error}\nnot reloaded; the settings in force stay") from error
        if self._is_stopping:
            raise PivoiceError("pivoice is stopping")
        journal.set_level(start.config.log.level)
        self._next = start
        answer: Line = {"reloading": start.path, "socket": start.config.control.socket}
        if self.daemon.may_end:
            self._begin_next()
            return answer
        adopted = adopt(self.daemon, start.config)
        self.daemon.next_settings = "they hold once the conversation is over"
        if self._waiting is None or self._waiting.done():
            self._waiting = asyncio.create_task(self._begin_once_at_rest(), name="reload")
        logger.info("%s holds once the conversation is over%s", start.path, _and_now(adopted))
        return answer | {"at_once": adopted, "waits": "for the end of the conversation"}

    async def _begin_once_at_rest(self) -> None:
        await self.daemon.may_have_ended()
        self._begin_next()

    def _begin_next(self) -> None:
        if self._next is not None and not self._is_stopping:
            logger.info("reloading %s", self._next.path)
            service.notify_reloading()
            self.daemon.stop()

    def _daemon(self, start: Start, *, is_muted: bool = False) -> Daemon:
        return self._open_daemon(
            start.config,
            key=start.key,
            equipment=start.equipment,
            is_muted=is_muted,  # nobody but the user opens a closed microphone
            lasting=self._lasting,
            commands={"reload": lambda _: self.reload()},
        )

    async def _try_socket(self, path: str) -> None:
        """Find out whether another socket can be listened at, while there is a way back."""
        if not _is_same(path, self.daemon.config.control.socket):
            probe = Control(path, {})
            await probe.start()
            await probe.close()

    # --- a loop that hangs ---

    def _watch_loop(self) -> LoopWatch:
        """Own the signals, and have a thread look after the loop."""
        loop, thread_id = asyncio.get_running_loop(), threading.get_ident()

        def interrupt() -> None:
            loop.call_soon_threadsafe(self._begin_anew)
            signal.pthread_kill(thread_id, _INTERRUPTION)

        watch = LoopWatch(SystemClock(), on_stuck=interrupt)
        signal.signal(_INTERRUPTION, lambda _, frame: watch.interrupt(frame))
        self._handle_signals()
        watch.start()
        return watch

    def _begin_anew(self) -> None:
        """The loop hung, and goes on: nobody knows what was left half done."""
        if self._is_stopping:
            return
        self._lasting.restarts["loop"] += 1
        self.daemon.report("restart", {"part": "loop"})
        if self._next is None:
            self._next = replace(self._now, equipment=self._now.equipment.renewed())
        self.daemon.stop()

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        # started by hand, it means that the terminal is gone, and whoever paid attention with it
        loop.add_signal_handler(signal.SIGHUP, self.stop if os.isatty(0) else self._hang_up)

    def _hang_up(self) -> None:
        """Reload. What is asked for while the file is being read is not lost: it may have changed since."""
        self._hangups += 1
        if self._hangup is None or self._hangup.done():
            self._hangup = asyncio.get_running_loop().create_task(self._reload_as_asked(), name="reload")

    async def _reload_as_asked(self) -> None:
        while self._hangups and not self._is_stopping:
            self._hangups = 0
            try:
                await self._reload_in_turn()
            except PivoiceError:
                pass  # logged
            except Exception:  # the top of a task
                logger.exception("not reloaded, the settings in force stay")


def _is_same(path: str, other: str) -> bool:
    return Path(path).resolve() == Path(other).resolve()  # /var/run is /run


def _and_now(adopted: Sequence[str]) -> str:
    return f"; at once: {', '.join(adopted)}" if adopted else ""
