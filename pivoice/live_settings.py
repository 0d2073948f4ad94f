"""Settings that the open session takes: changed by `ctl set`, or by a reload that waits for its end.

Event loop only.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

from pivoice.agent.settings import MUTABLE
from pivoice.config import Config, changed

if TYPE_CHECKING:
    from pivoice.daemon import Daemon


def change(daemon: Daemon, setting: str, value: object) -> None:
    """Give a setting of `agent.settings.MUTABLE` another value: in the open session, and in later ones.

    Raises:
        ConfigError: it cannot have that value.
    """
    daemon.config = changed(daemon.config, setting, value)
    daemon.session.change(daemon.config.agent, [setting.removeprefix("agent.")])


def adopt(daemon: Daemon, config: Config) -> list[str]:
    """Take from `config` what an open session can change; return the names of what differed."""
    value = {name: attrgetter(name) for name in sorted(MUTABLE)}
    names = [name for name, of in value.items() if of(daemon.config.agent) != of(config.agent)]
    for name in names:
        daemon.config = changed(daemon.config, f"agent.{name}", value[name](config.agent))
    if names:
        daemon.session.change(daemon.config.agent, names)
    return [f"agent.{name}" for name in names]
