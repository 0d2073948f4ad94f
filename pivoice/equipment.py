"""What a daemon begins with besides its settings; whatever of it can be wrong is tried before it begins.

Any thread but the event loop's: models are loaded, files are read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from pivoice.agent.ledger import ledger_path
from pivoice.audio.earcons import Earcons
from pivoice.audio.wake_ear import Listening
from pivoice.config import Config, state_path
from pivoice.errors import ConfigError, Fault
from pivoice.fitting import open_listening
from pivoice.tools.commands import open_commands
from pivoice.tools.packages import open_packages
from pivoice.tools.registry import ToolDefinition
from pivoice.tools.times import Times
from pivoice.wake.detector import Detector

T = TypeVar("T")


@dataclass(frozen=True)
class Equipment:
    """See the module."""

    listening: Listening
    earcons: Earcons
    """As the owner wants them: without a default, which would be ours."""
    tools: tuple[ToolDefinition, ...] = ()
    """The owner's own: commands and packages."""
    ledger: Path | None = None
    """File of the day's minutes; None keeps them in memory."""
    records: Path | None = None
    """Directory of what else outlives a restart: timers, notes, volume, mute; None keeps it in memory."""
    times: Times = field(default_factory=Times)
    """The clocks that timers and alarms go by."""

    def renewed(self) -> Equipment:
        """Return the same with nothing heard yet: what has heard so far may be stuck."""
        return replace(self, listening=self.listening.renewed())

    def record(self, name: str) -> Path | None:
        """Return the file of one record."""
        return self.records and self.records / name


def open_equipment(
    config: Config, environ: Mapping[str, str], *, detectors: tuple[Detector, Detector] | None = None
) -> Equipment:
    """Return it, ready; `detectors` as in `open_listening`.

    Raises:
        ConfigError: with every wake model, sound and tool that `config` names and cannot be used.
    """
    records = state_path("", environ)
    faults: list[Fault] = []
    listening = _tried(lambda: open_listening(config, environ, detectors=detectors), faults)
    earcons = _tried(lambda: Earcons(config.audio.earcons), faults)
    commands = _tried(lambda: open_commands(config.tools, environ, records), faults)
    if listening is None or earcons is None or commands is None:
        raise ConfigError(faults)
    tools = (*commands, *open_packages())
    return Equipment(listening, earcons, tools, ledger=ledger_path(config.agent, environ), records=records)


def _tried(opened: Callable[[], T], faults: list[Fault]) -> T | None:
    try:
        return opened()
    except ConfigError as error:
        faults += error.faults
        return None
