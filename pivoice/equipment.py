"""What a daemon begins with besides its settings; whatever of it can be wrong is tried before it begins.

Any thread but the event loop's: models are loaded, files are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pivoice.agent.ledger import ledger_path
from pivoice.audio.earcons import Earcons
from pivoice.audio.wake_ear import Listening
from pivoice.config import Config, state_path
from pivoice.fitting import open_listening
from pivoice.tools.registry import ToolDefinition
from pivoice.wake.detector import Detector


@dataclass(frozen=True)
class Equipment:
    """See the module."""

    listening: Listening
    earcons: Earcons = field(default_factory=Earcons)
    tools: tuple[ToolDefinition, ...] = ()
    """The owner's own: commands and packages."""
    ledger: Path | None = None
    """File of the day's minutes; None keeps them in memory."""
    records: Path | None = None
    """Directory of what else outlives a restart: timers, notes, volume, mute; None keeps it in memory."""

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
        ConfigError: a wake model, a sound or a tool that `config` names cannot be used.
    """
    records = state_path("", environ)
    return Equipment(
        listening=open_listening(config, environ, detectors=detectors),
        earcons=Earcons(config.audio.earcons),
        tools=(),
        ledger=ledger_path(config.agent, environ),
        records=records,
    )
