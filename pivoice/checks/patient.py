"""The device under examination: what is configured, what was found so far, and how to ask.

Written by the doctor's checks one after the other, never by two at once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pivoice.audio.echo_trial import EchoTrial
from pivoice.checks.machine import Machine
from pivoice.clock import Clock
from pivoice.config import Config
from pivoice.errors import Fault
from pivoice.fitting import EchoChoice, choose_echo

if TYPE_CHECKING:
    from pivoice.audio.echo_check import Figures

SERVICE = "pivoice"
_UNIT = (
    "LoadState,ActiveState,SubState,Result,NRestarts,UnitFileState,NeedDaemonReload,User,SupplementaryGroups,"
    "ExecMainStatus,StatusText,MainPID"
)

Daemon = Literal["absent", "answers", "silent", "closed"]
"""Ours, at the control socket. "silent": somebody is there and does not answer. "closed": not to us."""


@dataclass
class Patient:
    """The device as it is found."""

    path: str
    """Of the configuration file."""
    config: Config
    """What of it is right; the rest has its default."""
    clock: Clock
    machine: Machine = field(default_factory=Machine)
    faults: tuple[Fault, ...] = ()
    """What is wrong in the configuration file."""
    await_trial: Callable[[EchoTrial], None] = EchoTrial.join
    """How to wait for a trial of the echo that was started."""
    say: Callable[[str], None] = lambda _: None
    """Tells the owner what goes on meanwhile."""
    daemon: Daemon = "absent"
    status: Mapping[str, Any] = field(default_factory=dict)
    """What the daemon said of itself."""
    absent: set[str] = field(default_factory=set)
    """"microphone", "speaker": the card that is configured for it is not there."""
    key: str = field(default="", repr=False)
    abort: Callable[[], None] | None = None
    """Ends what would cost money if it were left behind; None while there is nothing of the kind."""
    figures: Figures | None = None
    """What the echo check measured."""

    @functools.cached_property
    def choice(self) -> EchoChoice:
        return choose_echo(self.config)

    @functools.cached_property
    def unit(self) -> Mapping[str, str]:
        """What systemd says of the service; empty where there is no systemd."""
        facts = self.machine.facts("systemctl", "show", SERVICE, f"--property={_UNIT}")
        return facts if facts.get("LoadState") else {}

    @property
    def is_installed(self) -> bool:
        """Whether there is a service of ours."""
        return self.unit.get("LoadState") == "loaded"

    @property
    def is_active(self) -> bool:
        """Whether systemd says that it runs."""
        return self.unit.get("ActiveState") in ("active", "reloading", "deactivating")

    @property
    def is_starting(self) -> bool:
        """Whether systemd starts it just now: it is about to open the cards."""
        return self.unit.get("ActiveState") == "activating" and self.unit.get("SubState") != "auto-restart"

    @property
    def user(self) -> str:
        """The user that the service runs as; "" where there is no service, and we run it ourselves."""
        return (self.unit.get("User") or "root") if self.is_installed else ""

    @property
    def is_simulated(self) -> bool:
        """Whether neither side is a sound card."""
        audio = self.config.audio
        return all(name.startswith("simulated:") for name in (audio.capture, audio.playback))

    @property
    def is_held(self) -> bool:
        """Whether our own daemon has microphone, speaker and pins, or may have: they are left to it."""
        return self.daemon != "absent" or self.is_active or self.is_starting
