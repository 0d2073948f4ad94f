"""`pivoice monitor`: the running daemon, as it is, in a terminal. A process of its own."""

from __future__ import annotations

from pivoice import control


def run(socket: str) -> int:
    """Show what the daemon at `socket` tells, until it stops."""
    for line in control.watch(socket):
        print(line, flush=True)
    return 0
