"""What a bench found, beside what it must be: one table for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """One line of the result."""

    name: str
    value: float
    limit: float | None
    """What it must not pass; None: it is printed, and may be anything."""
    unit: str = "ms"
    is_floor: bool = False
    """The limit is the least it may be, not the most."""
    digits: int = 1

    @property
    def is_kept(self) -> bool:
        if self.limit is None:
            return True
        return self.value >= self.limit if self.is_floor else self.value <= self.limit


def show(figures: Sequence[Figure]) -> bool:
    """Print the table; return whether every figure is what it must be."""
    table = Table()
    for title in ("", "measured", "must be", ""):
        table.add_column(title, justify="left" if not title else "right")
    for each in figures:
        verdict, must = ("[green]kept[/]" if each.is_kept else "[bold red]missed[/]"), ""
        if each.limit is None:
            verdict = ""
        else:
            must = f"{'>=' if each.is_floor else '<='} {each.limit:g} {each.unit}"
        table.add_row(each.name, f"{each.value:.{each.digits}f} {each.unit}", must, verdict)
    Console().print(table)
    return all(each.is_kept for each in figures)
