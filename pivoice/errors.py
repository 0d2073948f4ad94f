"""Every error that pivoice raises on purpose, named by who must act.

PivoiceError
├── ConfigError    the owner edits the configuration; exit 78, systemd does not restart
├── DeviceError    the owner checks a cable, a driver or another program; pivoice retries
├── AgentError     the far end
│   ├── AuthError  the owner mends the key; no retry
│   ├── LinkError  the network or the server; pivoice retries
│   └── WireError  the vendor's or our mistake; logged, and the session goes on
└── ToolError      told to the agent, which tells the user

Errors carry their facts as attributes and build their sentence in `__str__`:
what failed, with which value, what to do next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class PivoiceError(Exception):
    """Something pivoice can explain in one sentence."""


@dataclass(frozen=True)
class Fault:
    """One mistake in the configuration."""

    key: str
    """Dotted path, as in the file: `audio.period_ms`."""
    problem: str
    """What is wrong, with the value, and what is allowed."""

    def __str__(self) -> str:
        return f"{self.key}: {self.problem}" if self.key else self.problem


class ConfigError(PivoiceError):
    """The configuration cannot be used. Carries every fault found, not only the first."""

    def __init__(self, faults: Sequence[Fault], *, path: str = "") -> None:
        super().__init__(faults, path)
        self.faults = tuple(faults)
        self.path = path

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return "\n".join(f"{where}{fault}" for fault in self.faults)


class DeviceError(PivoiceError):
    """A sound card (or a panel's chip) cannot be used now. Retrying may help.

    `advice` is the next step for the owner, without a full stop. `cause` is the same for errors that differ
    only in when they were met, such as while reading and on opening again; it is the reason, if not given.
    """

    def __init__(self, device: str, *, doing: str, reason: str, advice: str = "", cause: str = "") -> None:
        super().__init__(device, doing, reason, advice)
        self.device = device
        self.doing = doing
        self.reason = reason
        self.advice = advice
        self.cause = cause or reason

    def __str__(self) -> str:
        tail = f"; {self.advice}" if self.advice else ""
        return f"cannot {self.doing} {self.device!r}: {self.reason}{tail}"


class AgentError(PivoiceError):
    """The agent's server did not do what was asked."""

    def __init__(self, reason: str, *, advice: str = "", code: str = "") -> None:
        super().__init__(reason, advice, code)
        self.reason = reason
        self.advice = advice
        self.code = code
        """The server's own code, such as `unauthorized`; empty when there was none."""

    def __str__(self) -> str:
        return f"{self.reason}; {self.advice}" if self.advice else self.reason


class AuthError(AgentError):
    """The key or the account was refused. Retrying cannot help."""


class LinkError(AgentError):
    """The server cannot be reached, or the link broke. Retrying may help."""


class WireError(AgentError):
    """A message that could not be understood. Never the end of a session."""


class ToolError(PivoiceError):
    """A tool failed. The sentence is written for the agent to read."""
