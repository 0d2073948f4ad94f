"""What a check of the device found: one line each, with the next thing to do. PURE."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    check: str
    verdict: Verdict
    """warn: it works, but could be better. fail: it does not work, or could not be checked."""
    text: str
    next: str = ""
    """What to do or to run now."""

    def __str__(self) -> str:
        line = f"{self.verdict:<5} {self.check:<13} {self.text}"
        return f"{line}\n{'':<16} -> {self.next}" if self.next else line


def is_well(findings: Iterable[Finding]) -> bool:
    """Return whether nothing failed."""
    return all(finding.verdict != "fail" for finding in findings)
